//! One cluster of Prime Intellect and its nodes, in the vendor's shapes.

use serde_json::{Value, json};

use super::super::fleet::{Dice, GPUS, Gpu, LOWER36, Profile, Style, ago, stamp};
use super::super::world::Context;
use super::{CANARY, PrimeIntellect};

const PROVIDERS: [&str; 8] = [
    "nebius",
    "latitude",
    "datacrunch",
    "hyperstack",
    "lambdalabs",
    "crusoecloud",
    "massedcompute",
    "dc_impala",
];

/// One cluster, before it is put in any of the vendor's shapes.
pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) provider: &'static str,
    pub(super) status: &'static str,
    pub(super) vault: bool,
    pub(super) team: Option<String>,
    pub(super) user: Option<String>,
    pub(super) gpu: Gpu,
    pub(super) per_node: u64,
    pub(super) nodes: u64,
    pub(super) orchestrator: &'static str,
    pub(super) version: Option<String>,
    pub(super) price: Option<f64>,
    pub(super) created: String,
    pub(super) updated: String,
    pub(super) odd: bool,
}

impl PrimeIntellect {
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
        let gpu = profile
            .gpu
            .unwrap_or(GPUS[usize::try_from(serial % 4).unwrap_or(0)]);
        let status = match dice.below(20) {
            _ if odd && dice.percent(40) => {
                dice.pick(&["Degraded", "active", "MIGRATING", "UNKNOWN"])
            }
            0 => "PROVISIONING",
            1 => "STOPPED",
            2 => "ERROR",
            3 => "PENDING",
            4 => "DELETING",
            _ => "ACTIVE",
        };
        let naive = quirks && dice.percent(40);
        let style = if naive { Style::Naive } else { Style::Seconds };
        let nodes = profile.nodes;
        let mut moving = Dice::new(&[seed, serial, revision, 4]);
        let cents = gpu.cents_per_hour * 8 * nodes + moving.below(100);
        let updated = ago(
            anchor,
            4_000 - i64::try_from(moving.below(3_000)).unwrap_or(0),
        );
        let orchestrator = dice.pick(&["SLURM", "KUBERNETES", "KUBERNETES", "RAY", "NONE"]);
        let version = (orchestrator == "KUBERNETES" && !odd)
            .then(|| format!("v1.{}.{}", dice.between(31, 34), dice.below(6)));
        Record {
            id: self.id(serial),
            name: if profile.gpu.is_some() {
                profile.name
            } else {
                format!("{}-{}", gpu.short, profile.name)
            },
            provider: dice.pick(&PROVIDERS),
            status,
            vault: dice.percent(50),
            team: dice.percent(80).then(|| self.team_id(serial % 5)),
            user: dice.percent(30).then(|| {
                format!(
                    "clu{}",
                    Dice::new(&[seed, serial % 7, 6]).letters(LOWER36, 22)
                )
            }),
            gpu,
            per_node: 8,
            nodes,
            orchestrator,
            version,
            price: (!odd || dice.percent(50)).then_some(cents as f64 / 100.0),
            created: stamp(profile.created, style),
            updated: stamp(updated, style),
            odd,
        }
    }

    pub(super) fn connection(record: &Record, node: u64) -> Value {
        json!({"podId": format!("{}p{node}", record.id), "podName": format!("{}-{node}", record.name),
            "host": format!("{CANARY}-host-198.51.100.{}", node + 1), "port": 22, "user": format!("{CANARY}-ubuntu"),
            "role": if node == 0 { "controller" } else { "worker" }, "isControlNode": node == 0})
    }

    pub(super) fn summary(record: &Record, detailed: bool) -> Value {
        let mut row = json!({"id": record.id, "name": record.name, "providerType": record.provider,
            "status": record.status, "vaultEnabled": record.vault, "createdAt": record.created,
            "teamId": record.team, "userId": record.user,
            "controller": Self::connection(record, 0), "nodes": Value::Null});
        if detailed {
            row["nodes"] = (0..record.nodes)
                .map(|node| Self::connection(record, node))
                .collect();
        }
        if record.odd {
            row["clusterGroup"] = json!({"added": "lately"});
            if let Some(fields) = row.as_object_mut() {
                fields.remove("controller");
            }
        }
        row
    }

    pub(super) fn node(record: &Record, node: u64) -> Value {
        let failed = record.status == "ERROR" && node == 0;
        json!({"id": format!("{}p{node}", record.id), "name": format!("{}-{node}", record.name),
            "remoteId": format!("r-{}-{node}", &record.id[2..8]), "providerType": record.provider, "type": "HOSTED",
            "status": if failed { "ERROR" } else { record.status },
            "installationStatus": if failed { "ERROR" } else { "FINISHED" },
            "installationProgress": if failed { Value::Null } else { json!(100) },
            "installationFailure": failed.then_some("driver did not load"), "testStatus": Value::Null,
            "finalizerStatus": Value::Null, "gpuName": record.gpu.market, "gpuCount": record.per_node,
            "socket": record.gpu.socket, "priceHr": record.price.map(|price| price / record.nodes as f64),
            "stoppedPriceHr": Value::Null, "provisioningPriceHr": 0.0, "basePriceHr": Value::Null,
            "baseCurrency": "USD", "environmentType": "ubuntu_22_cuda_12", "userId": record.user,
            "teamId": record.team, "walletId": format!("{CANARY}-wallet"), "isDetached": false,
            "createdAt": record.created, "updatedAt": record.updated, "terminatedAt": Value::Null,
            "providerReadyAt": record.created, "piReadyAt": record.updated,
            "info": {"note": format!("{CANARY}-node-info")}, "connections": [Self::connection(record, node)]})
    }

    pub(super) fn detail(record: &Record) -> Value {
        let mut data = json!({"id": record.id, "remoteId": format!("r-{}", &record.id[2..8]), "name": record.name,
            "providerType": record.provider, "status": record.status, "vaultEnabled": record.vault,
            "gpuName": record.gpu.market, "gpuCount": record.per_node * record.nodes, "socket": record.gpu.socket,
            "priceHr": record.price, "stoppedPriceHr": Value::Null, "provisioningPriceHr": 0.0,
            "basePriceHr": record.price.map(|price| (price * 80.0).round() / 100.0), "baseCurrency": if record.odd { "EUR" } else { "USD" },
            "userId": record.user, "teamId": record.team, "walletId": format!("{CANARY}-wallet"),
            "orchestratorType": record.orchestrator, "orchestratorVersion": record.version,
            "orchestratorEndpoint": format!("https://{CANARY}.example.com:6443"),
            "orchestratorConfig": {"kubeconfig": format!("{CANARY}-kubeconfig"), "nested": [{"token": format!("{CANARY}-token")}]},
            "orchestratorDeploymentJobId": format!("job-{}", &record.id[2..10]),
            "orchestratorDeploymentStatus": "FINISHED",
            "createdAt": record.created, "updatedAt": record.updated,
            "terminatedAt": (record.status == "DELETING").then_some(&record.updated),
            "info": {"any": format!("{CANARY}-info")},
            "nodes": (0..record.nodes).map(|node| Self::node(record, node)).collect::<Vec<_>>(),
            "sshKeys": [{"id": "k1", "role": "ADMIN", "userId": record.user, "sshKeyId": "s1",
                "publicKey": format!("ssh-ed25519 {CANARY}-public-key")}]});
        if record.odd {
            data["socket"] = Value::Null;
            data["topology"] = json!("fat-tree");
        }
        data
    }
}
