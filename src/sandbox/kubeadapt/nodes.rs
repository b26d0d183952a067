//! The nodes and node groups of Kubeadapt's clusters.

use serde_json::{Value, json};

use super::super::fleet::{Dice, Style, stamp, uuid};
use super::super::world::{Answer, Call};
use super::paging::{envelope, failure, pagination};
use super::record::{Record, money};
use super::{Kubeadapt, NODE_PARAMETERS, ROWS};

impl Kubeadapt {
    pub(super) fn group_name(record: &Record, node: u64) -> &'static str {
        match node {
            0 => "system",
            _ if record.gpu.is_some() => "gpu:workers",
            _ => "workers",
        }
    }

    pub(super) fn node(&self, serial: u64, record: &Record, node: u64, revision: u64) -> Value {
        let mut dice = Dice::new(&[self.context.seed, serial, node, 8]);
        let spot = node > 0 && dice.percent(30);
        let used = Dice::new(&[self.context.seed, serial, node, revision, 9]).between(5, 95);
        let id = self.node_id(serial, node);
        let rate = self.rate(serial, revision) / record.nodes.max(1);
        let capacity_type = match (spot, record.odd) {
            (true, true) => "SPOT",
            (true, false) => "spot",
            (false, true) => "ON_DEMAND",
            (false, false) => "on-demand",
        };
        let gpus = if node > 0 {
            record.gpu.map_or(0, |_| 8)
        } else {
            0
        };
        let mut row = json!({"id": id, "metadata": {"name": format!("ip-10-{}-{node}", serial % 250),
                "cluster": {"id": record.id, "name": record.name}, "node_role": if node == 0 { "system" } else { "worker" },
                "instance_type": if gpus > 0 { "p5.48xlarge" } else { "m7g.2xlarge" }, "node_group": Self::group_name(record, node),
                "availability_zone": format!("{}a", record.region), "region": record.region, "capacity_type": capacity_type,
                "architecture": if gpus > 0 { "amd64" } else { "arm64" }, "operating_system": "linux",
                "kubelet_version": format!("v{}", record.version), "provider_id": format!("aws:///{}a/i-{serial:08x}{node:02x}", record.region),
                "is_spot": spot, "is_ready": !dice.percent(5), "is_schedulable": true, "labels": {"team": "platform"},
                "created_at_k8s": stamp(record.created, Style::Seconds),
                "last_seen_at": record.seen.map(|seen| stamp(seen, Style::Seconds))},
            "capacity": {"cpu": {"total_cores": 8.0, "allocatable_cores": 7.5},
                "memory": {"total_bytes": 32_u64 << 30, "allocatable_bytes": 30_u64 << 30},
                "gpu": {"total": gpus, "allocatable": gpus, "model": if gpus > 0 { record.gpu.map_or("", |gpu| gpu.model) } else { "" }},
                "ephemeral_storage": {"total_bytes": 200_u64 << 30}, "pods": {"allocatable": 110}},
            "utilization": {"cpu": {"used_cores": used as f64 * 0.08, "utilization_percent": used as f64},
                "memory": {"used_bytes": used * (32 << 30) / 100, "utilization_percent": used as f64},
                "gpu": {"utilization_percent": 0.0, "memory_used_bytes": 0, "memory_total_bytes": 0},
                "counts": {"pods": 30, "running_pods": 29}},
            "cost": {"current_run_rate_hourly": money(rate), "pricing_source": "opaque",
                "last_updated_at": record.seen.map(|seen| stamp(seen, Style::Seconds))}});
        if spot {
            row["cost"]["on_demand_equivalent_hourly"] = money(rate * 5 / 2);
        }
        row
    }

    pub(super) fn groups(&self, call: &Call, serials: &[u64]) -> Vec<Value> {
        let mut groups = Vec::new();
        for serial in serials {
            let record = self.record(*serial, call.revision());
            let mut names: Vec<&str> = (0..record.nodes)
                .map(|node| Self::group_name(&record, node))
                .collect();
            let all = names.clone();
            names.dedup();
            for name in names {
                let nodes = all.iter().filter(|other| **other == name).count();
                groups.push(json!({"id": format!("ng-{}-{name}", record.id), "kind": "NodeGroup",
                    "metadata": {"name": name, "cluster": {"id": record.id, "name": record.name},
                        "instance_types": ["m7g.2xlarge"], "zones": [format!("{}a", record.region)], "spot_count": 0,
                        "ondemand_count": nodes, "spot_percentage": 0.0,
                        "oldest_node_created_at_k8s": stamp(record.created, Style::Seconds), "status": "active"},
                    "capacity": {"cpu": {"total_cores": nodes as f64 * 8.0, "allocatable_cores": nodes as f64 * 7.5},
                        "memory": {"total_bytes": nodes as u64 * (32 << 30), "allocatable_bytes": nodes as u64 * (30 << 30)}},
                    "utilization": {"cpu": {"used_cores": 1.0, "utilization_percent": 12.5},
                        "memory": {"used_bytes": 1_u64 << 30, "utilization_percent": 3.1},
                        "counts": {"nodes": nodes, "ready_nodes": nodes, "pods": nodes * 30}},
                    "cost": {"current_run_rate_hourly": money(self.rate(*serial, call.revision()) * nodes as u64 / record.nodes.max(1)),
                        "last_updated_at": record.seen.map(|seen| stamp(seen, Style::Seconds))}}));
            }
        }
        groups
    }
    /// One node by its id; rarely asked for, so it may be searched for.
    pub(super) fn one_node(&self, call: &Call, id: &str) -> Answer {
        for serial in &call.members.alive {
            let record = self.record(*serial, call.revision());
            if let Some(node) = (0..record.nodes).find(|node| self.node_id(*serial, *node) == id) {
                let row = self.node(*serial, &record, node, call.revision());
                return Answer::ok(envelope(call, row, None, &[])).rows(ROWS);
            }
        }
        failure(
            call,
            404,
            "NODE_NOT_FOUND",
            "node not found in tenant",
            &json!({"field": "node_uid", "reason": "not_found"}),
        )
    }

    fn node_id(&self, serial: u64, node: u64) -> String {
        uuid(&mut Dice::new(&[self.context.seed, serial, node, 10]))
    }

    /// Nodes of some clusters, in the order of the clusters; the cursor counts clusters and nodes.
    pub(super) fn nodes(&self, call: &Call, serials: &[u64]) -> Answer {
        let limit = match Self::limit(call) {
            Ok(limit) => limit,
            Err(answer) => return answer,
        };
        let (mut cluster, mut node) = match Self::position(call) {
            Ok(Some((value, _))) => (
                usize::try_from(value >> 16).unwrap_or(usize::MAX),
                value & 0xFFFF,
            ),
            Ok(None) => (0, 0),
            Err(answer) => return answer,
        };
        let first = (cluster, node) == (0, 0);
        let group = call.query("node_group");
        let mut rows = Vec::new();
        while rows.len() < limit && cluster < serials.len() {
            let serial = serials[cluster];
            let record = self.record(serial, call.revision());
            if node >= record.nodes {
                (cluster, node) = (cluster + 1, 0);
                continue;
            }
            if group.is_none_or(|names| {
                names
                    .split(',')
                    .any(|name| name == Self::group_name(&record, node))
            }) {
                rows.push(self.node(serial, &record, node, call.revision()));
            }
            node += 1;
        }
        let at_end = |cluster: usize, node: u64| {
            serials.get(cluster).is_none_or(|serial| {
                cluster + 1 == serials.len() && node >= self.record(*serial, call.revision()).nodes
            })
        };
        let has_more = !at_end(cluster, node);
        let next = has_more.then(|| Self::token_for(call, ((cluster as u64) << 16) | node, "node"));
        let total = || {
            serials
                .iter()
                .map(|serial| usize::try_from(self.record(*serial, 0).nodes).unwrap_or(0))
                .sum()
        };
        Answer::ok(envelope(
            call,
            Value::Array(rows),
            Some(pagination(call, next, has_more, limit, total)),
            &NODE_PARAMETERS,
        ))
        .rows(ROWS)
        .first(first)
    }
}
