//! One cluster of Kubeadapt, its nodes and node groups, in the vendor's shapes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fleet::{CLOUD_PLACES, Dice, Gpu, Profile, Style, ago, stamp};
use super::super::world::Context;
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
        let Context { seed, anchor, .. } = self.context;
        let profile = Profile::draw(seed, serial, anchor);
        let node = Dice::new(&[seed, serial, 3]).between(1_500, 9_000);
        let accelerators = profile.gpu.map_or(0, |gpu| gpu.cents_per_hour * 100 * 8);
        let base = profile.nodes * (node + accelerators);
        base + Dice::new(&[seed, serial, revision, 4]).below(base / 10)
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
}

pub(super) fn money(ten_thousandths: u64) -> Value {
    json!({"amount": format!("{}.{:04}", ten_thousandths / 10_000, ten_thousandths % 10_000), "currency": "USD"})
}
