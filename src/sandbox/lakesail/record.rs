//! One cluster of LakeSail and what hangs on it, in the vendor's shapes.

use serde_json::{Value, json};

use super::super::fleet::{Dice, Profile, Style, ago, stamp};
use super::super::world::Context;
use super::ledger::Life;
use super::{CANARY, LakeSail};

/// The region of the one cloud there is that is nearest to each place of a profile.
const REGION_OF_PLACE: [&str; 12] = [
    "eu-west-1",
    "us-east-1",
    "us-east-2",
    "eu-central-1",
    "eu-west-1",
    "eu-central-1",
    "us-west-2",
    "ap-southeast-1",
    "us-east-1",
    "sa-east-1",
    "ap-northeast-1",
    "eu-central-1",
];

/// Which of the two lists a cluster is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    Both,
    /// Known to the organization, not to any team of the caller: no platform record.
    InfraOnly,
    /// Registered by hand: no cloud infrastructure of LakeSail's making.
    SelfRegistered,
}

pub(super) struct Record {
    pub(super) serial: u64,
    pub(super) home: Home,
    pub(super) id: String,
    pub(super) external: String,
    pub(super) connection: u64,
    pub(super) network: u64,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) status: Option<&'static str>,
    pub(super) message: Option<String>,
    pub(super) version: String,
    pub(super) nodes: u64,
    pub(super) created: String,
    pub(super) updated: String,
    pub(super) checked: String,
    pub(super) odd: bool,
    /// Made by a write, not drawn.
    pub(super) is_made: bool,
    /// As it was written last; none if nobody wrote it.
    pub(super) config: Option<Value>,
}

impl Record {
    /// Whether there is a control plane to speak to.
    pub(super) fn is_up(&self) -> bool {
        let status = self.status.unwrap_or_default().to_lowercase();
        ["active", "updating"].contains(&status.as_str())
    }

    pub(super) fn arn(&self) -> String {
        format!(
            "arn:aws:eks:{}:123456789012:cluster/{}",
            self.region, self.name
        )
    }
}

impl LakeSail {
    pub(super) fn record(&self, serial: u64, revision: u64) -> Record {
        let Context {
            seed,
            anchor,
            quirks,
            ..
        } = self.context;
        let profile = Profile::draw(seed, serial, anchor);
        let mut dice = Dice::new(&[seed, serial, 3]);
        let odd = quirks && dice.percent(15);
        let home = self.home(serial);
        let status = match dice.below(14) {
            _ if home == Home::SelfRegistered => None,
            _ if odd && dice.percent(50) => {
                Some(dice.pick(&["Active", "provisioning", "draining", "destroyed"]))
            }
            0 => Some("pending"),
            1 => Some("failed"),
            _ => Some("active"),
        };
        let mut moving = Dice::new(&[seed, serial, revision, 4]);
        let moved = i64::try_from(moving.below(3_000)).unwrap_or(0);
        let message = match status {
            Some("failed") => Some(format!("quota reached, attempt {}", revision + 1)),
            Some(_) if odd => Some(String::new()),
            _ => None,
        };
        let drawn = Record {
            serial,
            home,
            id: self.named("CL", serial, 21),
            external: self.named("EX", serial, 22),
            connection: serial % self.connections(),
            network: (serial % self.connections()) * 2 + serial % 2,
            name: profile.name,
            region: REGION_OF_PLACE[profile.place].to_owned(),
            status,
            message,
            version: format!("1.{}", dice.between(32, 35)),
            nodes: profile.nodes,
            created: stamp(
                profile.created,
                if odd { Style::Offset } else { Style::Seconds },
            ),
            updated: stamp(ago(anchor, 4_000 - moved), Style::Seconds),
            checked: stamp(ago(anchor, 3_300 - moved), Style::Micros),
            odd,
            is_made: false,
            config: None,
        };
        match self.life(serial) {
            Some(life) => lived(drawn, life),
            None => drawn,
        }
    }

    pub(super) fn network_id(&self, number: u64) -> String {
        self.named("NW", number, 32)
    }

    pub(super) fn me_reference(&self, record: &Record) -> Value {
        if record.home == Home::SelfRegistered {
            return json!({"id": record.id, "externalClusterId": Value::Null, "connectionId": Value::Null});
        }
        json!({"id": record.id, "externalClusterId": record.external, "connectionId": self.connection_id(record.connection)})
    }

    pub(super) fn platform_cluster(&self, record: &Record) -> Value {
        let member = self.named("MB", 1, 33);
        if record.home == Home::SelfRegistered {
            let mut cluster = json!({"id": record.id, "name": record.name, "externalClusterId": Value::Null,
                "createdAt": record.created, "createdBy": member});
            if !record.odd {
                cluster["region"] = json!(record.region);
                cluster["updatedAt"] = json!(record.updated);
            }
            return cluster;
        }
        json!({"id": record.id, "name": record.name, "region": record.region, "externalClusterId": record.external,
            "connectionId": self.connection_id(record.connection), "networkId": self.network_id(record.network),
            "externalStatus": record.status, "operationId": self.latest_operation(record),
            "createdAt": record.created, "createdBy": member, "updatedAt": record.updated, "updatedBy": member})
    }

    pub(super) fn external_cluster(&self, record: &Record) -> Value {
        let member = self.named("MB", 1, 33);
        let types = if record.odd {
            json!([["m7g.large", "m7g.xlarge"]])
        } else {
            json!(["m7g.large"])
        };
        let config = record.config.clone().unwrap_or_else(|| {
            json!({"kubernetesVersion": record.version, "systemNodeGroup": {"name": "system", "instanceTypes": types,
                "minSize": 1, "maxSize": record.nodes + 2, "desiredSize": record.nodes, "diskSizeGb": 100},
                "publicAccessCidrs": if record.odd { json!([]) } else { json!(["203.0.113.0/24"]) }})
        });
        let mut cluster = json!({"id": record.external, "connectionId": self.connection_id(record.connection),
            "networkId": self.network_id(record.network),
            "clusterId": (record.home == Home::Both).then_some(&record.id), "name": record.name, "region": record.region,
            "status": record.status, "statusMessage": record.message,
            "config": config, "providerMetadata": {"clusterName": record.name, "clusterArn": record.arn()},
            "iacState": {"projectName": "lakesail-byoc-cluster", "stackName": format!("lakesail-{}", record.external.to_lowercase())},
            "iacOutputs": {"vpcId": "vpc-0123", "adminSecret": format!("{CANARY}-iac-output")},
            "jobRunnerRoleArn": format!("arn:aws:iam::123456789012:role/{CANARY}-job-runner"),
            "lastHealthStatus": if record.status == Some("active") { "healthy" } else { "unknown" },
            "lastHealthMessage": Value::Null, "lastHealthCheckAt": record.checked,
            "createdAt": record.created, "createdBy": member, "updatedAt": record.updated, "updatedBy": member});
        if record.odd {
            cluster["tier"] = json!({"added": "lately"});
            cluster["providerMetadata"] = Value::Null;
            cluster["lastHealthStatus"] = Value::Null;
        }
        cluster
    }

    pub(super) fn connection(&self, number: u64) -> Value {
        json!({"id": self.connection_id(number), "name": format!("aws-{number}"), "provider": "aws",
            "providerConfig": {"accountId": "123456789012", "region": "us-east-1", "roleArn": format!("arn:aws:iam::123456789012:role/{CANARY}-connection"),
                "externalIdSecretArn": format!("{CANARY}-external-id"), "stackArn": format!("{CANARY}-stack")},
            "status": if self.is_active(number) { "active" } else { "pending" }, "statusMessage": Value::Null, "createdAt": "2026-01-02T03:04:05Z", "updatedAt": "2026-01-02T03:04:05Z"})
    }

    pub(super) fn network(&self, number: u64) -> Value {
        json!({"id": self.network_id(number), "connectionId": self.connection_id(self.connection_of_network(number)), "name": format!("vpc-{number}"),
            "region": "us-east-1", "providerNetworkId": format!("vpc-{number:04x}"), "config": {"cidr": format!("10.{}.0.0/16", number % 250)},
            "status": if self.is_network_active(number) { "active" } else { "pending" }, "statusMessage": Value::Null, "iacOutputs": {"secret": format!("{CANARY}-network")},
            "createdAt": "2026-01-02T03:04:05Z", "updatedAt": "2026-01-02T03:04:05Z"})
    }

    /// The operation that a drawn cluster was made by; a record that was never provisioned has none.
    pub(super) fn operation(&self, record: &Record) -> Option<Value> {
        let has_none = record.is_made || matches!(record.status, None | Some("pending"));
        (!has_none).then(|| self.drawn_operation(record))
    }

    fn latest_operation(&self, record: &Record) -> Option<String> {
        let drawn = || Some(self.operation(record)?["id"].as_str()?.to_owned());
        self.latest_work_of(record.serial).or_else(drawn)
    }

    fn drawn_operation(&self, record: &Record) -> Value {
        let failed = record.status == Some("failed");
        let done = record.status != Some("provisioning");
        let error = failed.then(|| {
            json!({"code": "quota_exceeded", "message": "quota reached", "errorType": "provider",
                "details": {"retryable": true, "retryAfter": 30, "fieldErrors": {}, "requestId": "r-1", "causedBy": "provider"}})
        });
        json!({"id": self.named("OP", record.serial, 34), "organizationId": self.organization, "memberId": self.named("MB", 1, 33),
            "operation": "provision", "status": if failed { "failed" } else if done { "succeeded" } else { "running" },
            "resourceType": "cluster", "resourceId": record.external, "result": Value::Null, "error": error,
            "progress": {"stage": "nodes", "message": "creating", "resources": [],
                "summary": {"total": 40, "pending": 0, "running": 0, "succeeded": 40, "failed": 0, "unchanged": 0}},
            "createdAt": record.created, "updatedAt": record.updated, "startedAt": record.created,
            "completedAt": done.then_some(&record.updated)})
    }
}

/// A drawn cluster as writes left it.
fn lived(mut record: Record, life: Life) -> Record {
    if let Some(birth) = life.birth {
        record.is_made = true;
        record.odd = false;
        record.home = Home::Both;
        record.connection = birth.connection;
        record.network = birth.network;
        record.region = birth.region;
        record.created = stamp(birth.at, Style::Seconds);
    }
    if let Some(name) = life.name {
        record.name = name;
    }
    if life.status.is_some() {
        record.status = life.status;
        record.message = life.message;
    }
    if let Some(config) = life.config {
        let size = config["systemNodeGroup"]["desiredSize"].as_u64();
        record.nodes = size.unwrap_or(record.nodes);
        if let Some(version) = config["kubernetesVersion"].as_str() {
            version.clone_into(&mut record.version);
        }
        record.config = Some(config);
    }
    if let Some(changed) = life.changed {
        record.updated = stamp(changed, Style::Seconds);
        record.checked = stamp(changed, Style::Micros);
    }
    record
}
