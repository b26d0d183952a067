//! LakeSail's writes: a record is made, its infrastructure built, changed and destroyed, and the record removed.

use serde_json::{Map, Value, json};

use super::super::Example;
use super::super::world::{Answer, Call, Fleet};
use super::ledger::{Birth, Life, Task};
use super::record::{Home, Record};
use super::{LakeSail, missing};

const ONE: &[&str] = &[""];

/// Fields that are wrong, by their paths.
type Errors = Map<String, Value>;

impl LakeSail {
    /// Answers what changes something, by the path behind the prefix.
    pub(super) fn change(&self, call: &Call, path: &[&str], fleet: &dyn Fleet) -> Answer {
        let of = |connection: &str, id: &str| {
            self.find(call, id, true)
                .filter(|record| self.connection_id(record.connection) == connection)
        };
        let method = call.parts.method.as_str();
        let answer = match (method, path) {
            ("POST", ["infra", "connections", connection, "clusters"]) => {
                Some(self.create(call, connection, fleet))
            }
            ("POST", ["infra", "connections", connection, "clusters", id]) => {
                of(connection, id).map(|record| self.update(call, &record, fleet))
            }
            (
                "POST",
                [
                    "infra",
                    "connections",
                    connection,
                    "clusters",
                    id,
                    "provision",
                ],
            ) => of(connection, id)
                .map(|record| self.set_about(call, &record, Task::Provision, &["pending"])),
            ("DELETE", ["infra", "connections", connection, "clusters", id]) => of(connection, id)
                .map(|record| self.set_about(call, &record, Task::Destroy, &["active", "failed"])),
            ("DELETE", ["infra", "clusters", id]) => self
                .find(call, id, true)
                .map(|record| forget(&record, fleet)),
            _ => Some(Answer::json(405, json!({"message": "method not allowed"}))),
        };
        let answer = answer.unwrap_or_else(missing);
        if call.feature("empty-answers") && answer.status < 300 {
            Answer::nothing(answer.status)
        } else {
            answer
        }
    }

    /// The clusters and networks of a connection that a person would use for a first try.
    pub(super) fn example_of(&self, name: &str) -> Example {
        Example {
            spec: json!({"name": name, "region": "us-east-1", "version": "1.35",
                "node_groups": [{"name": "system", "instance_types": ["m7g.large"], "min_size": 1, "max_size": 3,
                    "desired_size": 2, "disk_gb": 100}],
                "public_access_cidrs": ["203.0.113.0/24"],
                "options": {"connection_id": self.connection_id(0), "network_id": self.network_id(0)}}),
            patch: json!({"node_groups": [{"max_size": 5, "desired_size": 4}]}),
        }
    }

    /// A record only: nothing is built by it. A name may come twice.
    fn create(&self, call: &Call, connection: &str, fleet: &dyn Fleet) -> Answer {
        let Some(number) = self.connection_number(connection) else {
            return missing();
        };
        let Ok(body) = serde_json::from_slice::<Value>(&call.body) else {
            return super::bad("the body is no JSON");
        };
        let mut errors = Errors::new();
        if body["connectionId"] != json!(connection) {
            errors.insert("connectionId".to_owned(), json!("differs from the path"));
        }
        let name = needed(&body, "name", &mut errors);
        let region = needed(&body, "region", &mut errors);
        let network = body["networkId"]
            .as_str()
            .and_then(|id| self.network_number(id))
            .filter(|network| self.connection_of_network(*network) == number);
        if network.is_none() {
            errors.insert("networkId".to_owned(), json!("no such network"));
        }
        check_config(&body["config"], &mut errors);
        let (Some(name), Some(region), Some(network), true) =
            (name, region, network, errors.is_empty())
        else {
            return invalid(&errors);
        };
        if !self.is_active(number) {
            return conflict("the connection is not active");
        }
        if !self.is_network_active(network) {
            return conflict("the network is not active");
        }
        let at = self.clock();
        let serial = fleet.add(&|serial| {
            let life = Life {
                birth: Some(Birth {
                    connection: number,
                    network,
                    region: region.clone(),
                    at,
                }),
                name: Some(name.clone()),
                config: Some(body["config"].clone()),
                status: Some("pending"),
                message: None,
                changed: Some(at),
            };
            self.ledger().lives.insert(serial, life);
        });
        let record = self.record(serial, call.revision());
        Answer::json(201, self.external_cluster(&record)).rows(ONE)
    }

    /// The configuration is replaced as a whole. A record is changed at once, infrastructure by work.
    fn update(&self, call: &Call, record: &Record, fleet: &dyn Fleet) -> Answer {
        let Ok(body) = serde_json::from_slice::<Value>(&call.body) else {
            return super::bad("the body is no JSON");
        };
        let mut errors = Errors::new();
        check_config(&body["config"], &mut errors);
        if !body["name"].is_null() {
            needed(&body, "name", &mut errors);
        }
        if !errors.is_empty() {
            return invalid(&errors);
        }
        let mut ledger = self.ledger();
        let status = ledger.status_of(record);
        if !["pending", "active"].contains(&status.as_str()) {
            return conflict("the cluster is neither pending nor active");
        }
        let life = ledger.lives.entry(record.serial).or_default();
        life.config = Some(body["config"].clone());
        life.changed = Some(self.clock());
        if let Some(name) = body["name"].as_str() {
            life.name = Some(name.to_owned());
        }
        if status == "active" {
            let of = (record.serial, record.external.as_str());
            let how = (call.pace, call.feature("failing-work"));
            self.begin(&mut ledger, Task::Update, of, how);
        }
        drop(ledger);
        fleet.rearrange();
        let record = self.record(record.serial, call.revision());
        Answer::ok(self.external_cluster(&record)).rows(ONE)
    }

    /// Begins work, if the cluster's status is one of these.
    fn set_about(&self, call: &Call, record: &Record, task: Task, from: &[&str]) -> Answer {
        let mut ledger = self.ledger();
        let status = ledger.status_of(record);
        if !from.contains(&status.as_str()) {
            return conflict(&format!("the cluster is {status}"));
        }
        let of = (record.serial, record.external.as_str());
        let how = (call.pace, call.feature("failing-work"));
        Answer::json(202, self.begin(&mut ledger, task, of, how)).rows(ONE)
    }
}

impl super::ledger::Ledger {
    /// The status now, in lower case: it may have changed since the record was put together.
    fn status_of(&self, record: &Record) -> String {
        let life = self.lives.get(&record.serial);
        let status = life.and_then(|life| life.status).or(record.status);
        status.unwrap_or_default().to_lowercase()
    }
}

/// A record goes only where nothing is left running: a failed cluster may have something.
fn forget(record: &Record, fleet: &dyn Fleet) -> Answer {
    if record.home == Home::SelfRegistered {
        return missing();
    }
    let status = record.status.unwrap_or_default();
    if !["pending", "destroyed"].contains(&status) {
        return conflict(&format!("the infrastructure is {status}, destroy it first"));
    }
    fleet.remove(record.serial);
    Answer::nothing(204)
}

fn needed(body: &Value, name: &str, errors: &mut Errors) -> Option<String> {
    let text = body[name].as_str().filter(|text| !text.trim().is_empty());
    if text.is_none() {
        errors.insert(name.to_owned(), json!("is required"));
    }
    text.map(str::to_owned)
}

/// All of it is required, and flat.
fn check_config(config: &Value, errors: &mut Errors) {
    let group = &config["systemNodeGroup"];
    let size = |name: &str| group[name].as_u64();
    let are_texts = |value: &Value| {
        let list = value.as_array();
        list.is_some_and(|list| list.iter().all(Value::is_string))
    };
    let types = &group["instanceTypes"];
    let are_sizes_good = match (size("minSize"), size("desiredSize"), size("maxSize")) {
        (Some(min), Some(desired), Some(max)) => min <= desired && desired <= max && max > 0,
        _ => false,
    };
    let cidrs = &config["publicAccessCidrs"];
    let checks = [
        ("kubernetesVersion", config["kubernetesVersion"].is_string()),
        ("systemNodeGroup.name", group["name"].is_string()),
        (
            "systemNodeGroup.instanceTypes",
            are_texts(types) && types != &json!([]),
        ),
        ("systemNodeGroup.desiredSize", are_sizes_good),
        (
            "systemNodeGroup.diskSizeGb",
            group["diskSizeGb"].is_null() || size("diskSizeGb").is_some_and(|disk| disk > 0),
        ),
        ("publicAccessCidrs", cidrs.is_null() || are_texts(cidrs)),
    ];
    for (name, is_good) in checks {
        if !is_good {
            errors.insert(
                format!("config.{name}"),
                json!("is required, or out of bounds"),
            );
        }
    }
}

fn invalid(errors: &Errors) -> Answer {
    Answer::json(
        400,
        json!({"code": "validation_failed", "message": "the request is not valid", "errorType": "validation",
            "details": {"retryable": false, "fieldErrors": errors}}),
    )
}

pub(super) fn conflict(message: &str) -> Answer {
    Answer::json(
        409,
        json!({"code": "conflict", "message": message, "errorType": "conflict", "details": {"retryable": false}}),
    )
}
