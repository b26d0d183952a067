//! Latitude.sh's projects, clusters, pools and nodes, in the vendor's shapes.

use serde_json::{Value, json};

use super::super::fleet::{Dice, HEX, Profile, Style, ago, stamp};
use super::super::world::Context;
use super::catalogue::{PLANS, SITE_OF_PLACE};
use super::ledger::Task;
use super::{Latitude, slug};

/// What both families of clusters have.
pub(super) struct Record {
    pub(super) serial: u64,
    pub(super) id: String,
    pub(super) legacy: bool,
    pub(super) project: u64,
    pub(super) name: String,
    pub(super) site: &'static str,
    /// `phase` of a legacy cluster, `status` of an LKS one.
    pub(super) status: Option<&'static str>,
    pub(super) minor: u64,
    pub(super) patch: u64,
    pub(super) nodes: u64,
    pub(super) plan: &'static str,
    pub(super) created: jiff::Timestamp,
    pub(super) updated: jiff::Timestamp,
    pub(super) revision: u64,
    pub(super) odd: bool,
    /// Made by a write, not drawn.
    pub(super) is_made: bool,
    /// Control plane nodes, where a write set them.
    pub(super) planes: Option<u64>,
    pub(super) description: Option<String>,
    /// What is done to it, and at which step that is.
    pub(super) busy: Option<(Task, u32)>,
}

impl Record {
    pub(super) fn ready(&self) -> bool {
        matches!(self.status, Some("Provisioned" | "Upgrading" | "ready"))
    }

    pub(super) fn version(&self) -> String {
        if self.legacy {
            format!("v1.{}.{}+rke2r1", self.minor, self.patch)
        } else {
            format!("1.{}.{}", self.minor, self.patch)
        }
    }

    pub(super) const fn control_planes(&self) -> u64 {
        match self.planes {
            Some(planes) => planes,
            None if self.nodes > 4 => 3,
            None => 1,
        }
    }

    pub(super) const fn workers(&self) -> u64 {
        self.nodes.saturating_sub(self.control_planes())
    }

    /// Whether work of this kind goes on.
    fn is_at(&self, task: Task) -> bool {
        self.busy.is_some_and(|(busy, _)| busy == task)
    }

    /// The address of its API server.
    pub(super) fn endpoint(&self) -> String {
        let host = self.id.replace('_', "-");
        if self.legacy {
            format!("https://{host}.k8s.example.com:6443")
        } else {
            format!("https://{host}.lks.lsh.io:6443")
        }
    }

    /// Nodes of each LKS pool.
    pub(super) fn pools(&self) -> Vec<u64> {
        let second = if self.nodes > 2 { self.nodes / 3 } else { 0 };
        [self.nodes - second, second]
            .into_iter()
            .filter(|count| *count > 0)
            .collect()
    }
}

impl Latitude {
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
        let legacy = self.legacy(serial);
        let status = match (legacy, dice.below(16)) {
            (true, _) if odd && dice.percent(40) => {
                Some(dice.pick(&["Unknown", "Hibernating", "Upgrading"]))
            }
            (false, _) if odd && dice.percent(40) => {
                dice.pick(&[None, Some("hibernating"), Some("paused")])
            }
            (true, 0) => Some("Provisioning"),
            (true, 1) => Some("Failed"),
            (true, 2) => Some("Upgrading"),
            (true, _) => Some("Provisioned"),
            (false, 0) => Some("provisioning"),
            (false, 1) => Some("scaling"),
            (false, 2) => Some("upgrading"),
            (false, 3) => Some("deleting"),
            (false, _) => Some("ready"),
        };
        let moved =
            i64::try_from(Dice::new(&[seed, serial, revision, 4]).below(3_000)).unwrap_or(0);
        let mut record = Record {
            serial,
            id: self.id(serial),
            legacy,
            project: serial % self.projects(),
            name: profile.name,
            site: SITE_OF_PLACE[profile.place],
            status,
            minor: dice.between(33, 36),
            patch: dice.below(5),
            nodes: profile.nodes,
            plan: if profile.gpu.is_some() {
                "g3-large-h100"
            } else {
                dice.pick(&PLANS[..3])
            },
            created: profile.created,
            updated: ago(anchor, 4_000 - moved),
            revision,
            odd,
            is_made: false,
            planes: None,
            description: None,
            busy: None,
        };
        if let Some(life) = self.life(serial) {
            life.apply(&mut record);
        }
        record
    }

    pub(super) fn project(&self, number: u64) -> Value {
        json!({"id": self.project_id(number), "type": "projects", "attributes": {
            "name": format!("Project {number}"), "slug": slug(number), "description": "",
            "environment": if number.is_multiple_of(3) { json!("Production") } else { Value::Null },
            "provisioning_type": "on_demand", "billing_type": "Normal", "billing_method": "Normal",
            "team": {"id": "team_1", "name": "Example", "slug": "example", "currency": {"code": "USD"}, "feature_flags": [], "limits": {}},
            "stats": {"servers": 3}, "tags": [],
            "created_at": "2024-08-19T20:35:22+00:00", "updated_at": "2024-08-19T20:35:22.292Z"}})
    }

    pub(super) fn message(record: &Record) -> String {
        match record.status {
            Some("Provisioned" | "ready") => {
                format!("the cluster is ready (check {})", record.revision)
            }
            Some(other) => format!(
                "the cluster is {} (check {})",
                other.to_lowercase(),
                record.revision
            ),
            None => String::new(),
        }
    }

    pub(super) fn legacy_summary(record: &Record) -> Value {
        let ready = record.ready();
        // How far a cluster is that is being made is known; of a drawn one it follows from whether it is ready.
        let reached = match record.busy {
            Some((Task::Provision, step)) => step,
            _ if ready => 3,
            _ => 1,
        };
        let step = |name: &str, number: u32| {
            let status = match reached {
                reached if reached >= number => "completed",
                reached if reached + 1 < number && record.is_made => "pending",
                _ => "in_progress",
            };
            json!({"name": name, "status": status})
        };
        let mut attributes = json!({"name": record.name, "phase": record.status, "ready": ready,
            "infrastructure_ready": reached > 0, "control_plane_ready": reached > 1, "message": Self::message(record),
            "steps": [step("infrastructure", 1), step("control_plane", 2), step("workers", 3)],
            "last_status_change": stamp(record.updated, Style::Seconds), "created_at": stamp(record.created, Style::Seconds)});
        if record.odd {
            attributes["last_status_change"] = Value::Null;
            attributes["steps"] = json!([]);
            attributes["maintenance_window"] = json!({"added": "lately"});
        }
        json!({"type": "kubernetes_clusters", "id": record.id, "attributes": attributes})
    }

    pub(super) fn legacy_detail(&self, record: &Record) -> Value {
        let mut row = Self::legacy_summary(record);
        let ready = record.ready();
        let (planes, workers) = (record.control_planes(), record.workers());
        let ready_workers = if ready || !record.is_made { workers } else { 0 };
        let plane_status = match record.busy {
            Some((Task::ScalePlanes, _)) => "scaling",
            Some((Task::Upgrade, _)) => "upgrading",
            _ if ready => "ready",
            _ => "scaling",
        };
        let worker_status = match workers {
            _ if record.is_at(Task::ScaleWorkers) || (record.is_made && !ready) => json!("scaling"),
            0 => json!("idle"),
            _ if record.odd => Value::Null,
            _ => json!("ready"),
        };
        let known = !(record.odd && record.status == Some("Unknown"));
        let more = json!({
            "control_plane_endpoint": ready.then(|| record.endpoint()),
            "kubeconfig_url": ready.then(|| format!("/kubernetes_clusters/{}/kubeconfig", record.id)),
            "location": known.then_some(record.site), "load_balancer_ips": if ready { json!(["198.51.100.7"]) } else { json!([]) },
            "kubernetes_version": known.then(|| record.version()),
            "version_status": if !known { "unknown" } else if record.minor < 35 { "upgrade_available" } else { "up_to_date" },
            "available_upgrade": (known && record.minor < 35).then(|| format!("v1.{}.0+rke2r1", record.minor + 1)),
            "plan": known.then_some(record.plan), "worker_plan": (workers > 0).then_some(record.plan),
            "control_plane_count": planes, "worker_count": workers,
            "control_plane": known.then(|| json!({"ready": ready, "replicas": planes, "ready_replicas": if ready { planes } else { 0 }})),
            "workers": known.then(|| json!({"replicas": workers, "ready_replicas": ready_workers, "available_replicas": ready_workers})),
            "worker_status": worker_status, "control_plane_status": plane_status,
            "failure_message": (record.status == Some("Failed")).then_some("control plane did not come up"),
            "failure_reason": (record.status == Some("Failed")).then_some("ControlPlaneTimeout"),
            "nodes": self.legacy_nodes(record, planes, workers),
            "project": {"id": self.project_id(record.project), "name": format!("Project {}", record.project), "slug": slug(record.project)}});
        if let (Some(attributes), Value::Object(more)) = (row["attributes"].as_object_mut(), more) {
            attributes.extend(more);
        }
        row
    }

    pub(super) fn legacy_nodes(&self, record: &Record, planes: u64, workers: u64) -> Vec<Value> {
        (0..planes + workers)
            .map(|node| {
                let plane = node < planes;
                let name = format!("{}-{}-{node}", record.name, if plane { "control-plane" } else { "workers" });
                let bound = !record.odd;
                let status = match Dice::new(&[self.context.seed, record.serial, node, 5]).below(20) {
                    _ if record.is_made => if record.ready() { "ready" } else { "pending" },
                    0 => "pending",
                    1 if !plane => "failed",
                    _ => "ready",
                };
                json!({"id": name, "name": name, "hostname": bound.then_some(&name), "server_id": bound.then(|| format!("sv_{node}")),
                    "type": if plane { "control_plane" } else { "worker" }, "status": status,
                    "ip": bound.then(|| format!("203.0.113.{}", node % 250)), "internal_ip": format!("10.0.0.{}", node % 250),
                    "external_ip": bound.then(|| format!("203.0.113.{}", node % 250))})
            })
            .collect()
    }

    pub(super) fn lks(&self, record: &Record) -> Value {
        let up = record.status != Some("provisioning");
        let description = match &record.description {
            Some(text) => json!(text),
            None if record.odd => Value::Null,
            None => json!(""),
        };
        let mut attributes = json!({"name": record.name, "description": description,
            "project_id": self.project_id(record.project), "site": record.site, "status": record.status,
            "message": Self::message(record), "reason": "",
            "control_plane_endpoint": up.then(|| record.endpoint()),
            "kubeconfig_url": up.then(|| format!("/lks/clusters/{}/kubeconfig", record.id)),
            "kubernetes_version": record.version(), "platform_version": format!("lks-v{}-007", record.version()),
            "network": {"pod_cidrs": ["10.0.0.0/12"], "service_cidrs": ["10.96.0.0/15"], "node_cidrs": ["10.16.0.0/21"]},
            "created_at": stamp(record.created, Style::Micros), "updated_at": stamp(record.updated, Style::Micros)});
        if record.odd
            && let Some(fields) = attributes.as_object_mut()
        {
            fields.remove("description");
            fields.insert("reason".to_owned(), Value::Null);
            fields.insert("autopilot".to_owned(), json!(true));
        }
        json!({"id": record.id, "type": "lks_clusters", "attributes": attributes})
    }

    pub(super) fn pool_id(record: &Record, pool: usize) -> String {
        format!("lksnp_{}{pool}", record.id.trim_start_matches("lksc_"))
    }

    pub(super) fn pool(record: &Record, pool: usize, count: u64) -> Value {
        let allocated = record.odd && pool > 0;
        json!({"id": Self::pool_id(record, pool), "type": "lks_node_pools", "attributes": {
            "name": format!("pool-{}", if pool == 0 { 'a' } else { 'b' }), "type": "bare_metal",
            "mode": if allocated { "allocated" } else { "on_demand" }, "plan": (!allocated).then_some(record.plan),
            "server_ids": allocated.then(|| (0..count).map(|node| format!("sv_{node}")).collect::<Vec<_>>()),
            "description": "", "count": count, "max_pods_per_node": Value::Null,
            "kubernetes_version": record.version(), "platform_version": format!("lks-v{}-007", record.version()),
            "status": if record.ready() { "ready" } else { "updating" }, "message": "the node pool is ready", "reason": "",
            // Null is "not reported", and reported as often as not.
            "ready_nodes": (record.serial.is_multiple_of(2)).then_some(count), "labels": {},
            "taints": if pool == 0 { json!([]) } else { json!([{"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}]) },
            "created_at": stamp(record.created, Style::Micros), "updated_at": stamp(record.updated, Style::Micros)}})
    }

    pub(super) fn pool_node(&self, record: &Record, pool: usize, node: u64) -> Value {
        let mut dice = Dice::new(&[self.context.seed, record.serial, pool as u64, node, 6]);
        let status = if dice.percent(8) {
            dice.pick(&["pending", "not_ready"])
        } else {
            "ready"
        };
        json!({"id": format!("lksno_{}", dice.letters(HEX, 12)), "type": "lks_nodes", "attributes": {
            "name": format!("pool-{pool}-{}", dice.letters("abcdefghjkmnpqrstuvwxyz23456789", 5)), "status": status, "reason": "",
            "message": Value::Null, "server": if status == "pending" { Value::Null } else { json!({"id": format!("sv_{node}"), "status": "on"}) },
            "joined_at": (status != "pending").then(|| stamp(record.created, Style::Micros)),
            "created_at": stamp(record.created, Style::Micros), "updated_at": stamp(record.updated, Style::Micros)}})
    }
}
