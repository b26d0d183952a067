//! One cluster of Kubeadapt, its nodes and node groups, in the vendor's shapes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fleet::{CLOUD_PLACES, Dice, Gpu, Profile, Style, ago, stamp, uuid};
use super::super::world::{Call, Context};
use super::Kubeadapt;

pub(super) struct Record {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) provider: &'static str,
    pub(super) service: Option<String>,
    pub(super) region: &'static str,
    pub(super) environment: &'static str,
    pub(super) status: &'static str,
    pub(super) stale: bool,
    pub(super) version: String,
    pub(super) created: Timestamp,
    pub(super) seen: Option<Timestamp>,
    pub(super) nodes: u64,
    pub(super) gpu: Option<Gpu>,
    pub(super) odd: bool,
}

impl Kubeadapt {
    /// The hourly run rate in ten-thousandths; it moves with each revision, and the order of the list with it.
    pub(super) fn rate(&self, serial: u64, revision: u64) -> u64 {
        let base = Dice::new(&[self.context.seed, serial, 3]).between(5_000, 1_500_000);
        base + Dice::new(&[self.context.seed, serial, revision, 4]).below(base / 10)
    }

    pub(super) fn record(&self, serial: u64, revision: u64) -> Record {
        let Context {
            seed,
            anchor,
            quirks,
            ..
        } = self.context;
        let profile = Profile::draw(seed, serial, anchor);
        let mut dice = Dice::new(&[seed, serial, 5]);
        let odd = quirks && dice.percent(15);
        let (provider, service, region) = CLOUD_PLACES[profile.place];
        let status = match dice.below(20) {
            _ if odd && dice.percent(30) => dice.pick(&["paused", "Active", "upgrading"]),
            0 => "disconnected",
            1 => "pending",
            2 => "error",
            3 => "discovered",
            _ => "active",
        };
        let never = matches!(status, "pending" | "discovered");
        let stale = never || status == "disconnected" || dice.percent(5);
        let silent = if stale {
            dice.between(200, 90_000)
        } else {
            dice.between(2, 60)
        };
        let moved = if stale {
            0
        } else {
            i64::try_from(revision).unwrap_or(0)
        };
        let service = match service {
            "" => None,
            service if quirks && dice.percent(20) => Some(service.to_lowercase()),
            service => Some(service.to_owned()),
        };
        Record {
            id: self.id(serial),
            name: profile.name,
            provider,
            service,
            region,
            environment: if odd {
                "development"
            } else {
                profile.environment
            },
            status,
            stale,
            version: format!("1.{}.{}", dice.between(29, 34), dice.below(9)),
            created: profile.created,
            seen: (!never).then(|| ago(anchor, i64::try_from(silent).unwrap_or(0) - moved)),
            nodes: profile.nodes,
            gpu: profile.gpu,
            odd,
        }
    }

    pub(super) fn row(&self, serial: u64, record: &Record, revision: u64) -> Value {
        let mut dice = Dice::new(&[self.context.seed, serial, revision, 6]);
        let cores = record.nodes * 8;
        let memory = record.nodes * (32 << 30);
        let used = dice.between(15, 85);
        let gpus = record.gpu.map_or(0, |_| record.nodes * 8);
        let gpu_memory = record.gpu.map_or(0, |gpu| gpus * gpu.memory_gb * (1 << 30));
        let gpu_used = if gpus == 0 { 0 } else { dice.between(1, 99) };
        let pods = record.nodes * dice.between(8, 40);
        let mut row = json!({"id": record.id, "kind": if record.odd { "cluster" } else { "Cluster" },
            "metadata": Self::metadata(record),
            "capacity": {
                "cpu": {"total_cores": cores as f64, "allocatable_cores": cores as f64 * 0.94},
                "memory": {"total_bytes": memory, "allocatable_bytes": memory / 100 * 93},
                "gpu": {"total": gpus, "allocatable": gpus, "model": record.gpu.map_or("", |gpu| gpu.model)},
                "storage": {"total_bytes": record.nodes * (200 << 30)}, "pods": {"allocatable": record.nodes * 110}},
            "utilization": {
                "cpu": {"requested_cores": cores as f64 * 0.7, "used_cores": cores as f64 * used as f64 / 100.0, "utilization_percent": used as f64},
                "memory": {"requested_bytes": memory / 10 * 6, "used_bytes": memory / 100 * used, "utilization_percent": used as f64 + 0.4},
                "gpu": {"utilization_percent": gpu_used as f64, "memory_used_bytes": gpu_memory / 100 * gpu_used, "memory_total_bytes": gpu_memory},
                "network": {"rx_bytes_total": dice.below(1 << 40), "tx_bytes_total": dice.below(1 << 40)},
                "restarts_total": dice.below(200), "oom_kills_total": dice.below(9),
                "counts": {"nodes": record.nodes, "namespaces": dice.between(3, 30), "workloads": pods / 3 + 1,
                    "deployments": pods / 4, "statefulsets": pods / 20, "daemonsets": 6, "jobs": dice.below(40),
                    "cronjobs": dice.below(10), "pods": pods, "running_pods": pods - pods / 40, "containers": pods * 2,
                    "running_containers": pods * 2 - pods / 20, "persistent_volumes": pods / 12}},
            "cost": {"current_run_rate_hourly": money(self.rate(serial, revision)),
                "last_updated_at": record.seen.map(|seen| stamp(seen, Style::Seconds))}});
        if record.odd {
            row["labels_preview"] = json!(["added", "lately"]);
            if let Some(utilization) = row["utilization"].as_object_mut() {
                utilization.remove("network");
                utilization.remove("restarts_total");
            }
            if record.stale {
                row["cost"]["current_run_rate_hourly"] = Value::Null;
            }
        }
        row
    }

    pub(super) fn metadata(record: &Record) -> Value {
        let mut metadata = json!({"name": record.name, "provider": record.provider, "region": record.region,
            "availability_zones": [format!("{}a", record.region), format!("{}b", record.region)],
            "environment": record.environment, "status": record.status, "is_stale": record.stale,
            "k8s_version": record.version, "agent_version": "1.18.2", "discovery_source": "agent",
            "created_at": stamp(record.created, Style::Seconds)});
        if let Some(service) = &record.service {
            metadata["service"] = json!(service);
        }
        match record.seen {
            Some(seen) if record.odd => {
                metadata["last_seen_at"] = json!(stamp(seen, Style::Offset));
            }
            Some(seen) => metadata["last_seen_at"] = json!(stamp(seen, Style::Seconds)),
            None if record.odd => {}
            None => metadata["last_seen_at"] = Value::Null,
        }
        if record.odd {
            metadata["agent_version"] = json!("");
            metadata["availability_zones"] = Value::Null;
        }
        metadata
    }

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
        let id = uuid(&mut dice);
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
}

pub(super) fn money(ten_thousandths: u64) -> Value {
    json!({"amount": format!("{}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000), "currency": "USD"})
}
