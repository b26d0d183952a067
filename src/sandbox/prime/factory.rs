//! What members of a team see without being administrators: the factory and the Slurm deployments.

use serde_json::{Value, json};

use super::super::fleet::{Dice, LOWER36, Style, stamp};
use super::super::world::{Answer, Call};
use super::record::Record;
use super::{PrimeIntellect, invalid};

impl PrimeIntellect {
    /// A team by its number; clusters that belong to a team belong to one of five.
    pub(super) fn team_id(&self, number: u64) -> String {
        format!(
            "clv{}",
            Dice::new(&[self.context.seed, number, 5]).letters(LOWER36, 22)
        )
    }

    fn of_team(&self, call: &Call, team: &str) -> Vec<Record> {
        let all = call
            .members
            .alive
            .iter()
            .map(|serial| self.record(*serial, call.revision()));
        all.filter(|record| record.team.as_deref() == Some(team))
            .collect()
    }

    /// `status`, `nodes` or `workloads` of a team's fleet.
    pub(super) fn factory(&self, call: &Call, part: &str) -> Answer {
        let Some(team) = call.query("team_id") else {
            return invalid("team_id", "Field required");
        };
        let records = self.of_team(call, team);
        let observed = stamp(self.context.anchor, Style::Naive);
        let source = |kind: &str| json!({"kind": kind, "status": "ok", "observed_at": observed});
        let mut body =
            json!({"schema_version": 1, "as_of": stamp(self.context.anchor, Style::Seconds)});
        match part {
            "status" => {
                body["clusters"] = records
                    .iter()
                    .map(|record| Self::fleet_status(record, &source("capacity")))
                    .collect();
            }
            "nodes" => {
                body["clusters"] = records.iter().map(Self::fleet_nodes).collect();
                // Paired with the clusters by position.
                body["sources"] = records.iter().map(|_| source("capacity")).collect();
            }
            _ => {
                body["workloads"] = json!([]);
                body["sources"] = json!([source("training")]);
                body["truncated"] = json!(false);
            }
        }
        Answer::ok(body)
    }

    fn fleet_status(record: &Record, source: &Value) -> Value {
        let total = record.per_node * record.nodes;
        json!({"display_name": record.name, "gpu_type": record.gpu.market, "total_gpus": total,
            "status": if record.status == "ACTIVE" { "online" } else { "offline" },
            // Null is "not observed", never zero.
            "unassigned_gpus": (!record.odd).then_some(0), "unknown_gpus": 0,
            "allocations": [{"type": "training", "reserved_gpus": total, "in_use_gpus": Value::Null, "idle_inside_gpus": Value::Null, "unknown_gpus": 0}],
            "sources": [source]})
    }

    fn fleet_nodes(record: &Record) -> Value {
        let nodes: Vec<Value> = (0..record.nodes)
            .map(|node| {
                json!({"name": format!("{}-{node}", record.name), "state": if node % 7 == 6 { "cordoned" } else { "ready" },
                    "gpu_type": record.gpu.market, "gpus_total": record.per_node, "gpus_used": Value::Null, "assigned_to": "training"})
            })
            .collect();
        json!({"display_name": record.name, "status": "online", "nodes": nodes})
    }

    /// A team's Slurm deployments; other teams' ids get the same 404 as ids that do not exist.
    pub(super) fn slurm(&self, call: &Call, team: &str) -> Answer {
        if !(0..5).any(|number| self.team_id(number) == team) {
            return Answer::json(404, json!({"detail": "Not Found"}));
        }
        let rows: Vec<Value> = self
            .of_team(call, team)
            .iter()
            .filter(|record| record.orchestrator == "SLURM")
            .map(|record| {
                json!({"id": format!("job-{}", &record.id[2..10]), "primeClusterId": record.id, "displayName": record.name,
                    "status": "RUNNING", "gpuType": record.gpu.market, "gpuCount": record.per_node * record.nodes,
                    "createdAt": record.created, "startedAt": record.updated})
            })
            .collect();
        Answer::ok(json!({"data": rows}))
    }
}
