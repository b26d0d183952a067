//! Writes of the legacy family.

use serde_json::{Value, json};

use super::super::fleet::Dice;
use super::super::world::{Answer, Call, Fleet};
use super::catalogue::{PLANS, SITES, WITHOUT_KUBERNETES, is_offered};
use super::ledger::{Birth, Task};
use super::record::Record;
use super::writes::{attributes, numbers};
use super::{Latitude, ROWS, refused, titled};

const MOST_WORKERS: u64 = 10;
/// Machines of a plan that are left at a site.
const STOCK: u64 = 16;
const LONGEST_NAME: usize = 63;

impl Latitude {
    pub(super) fn create_legacy(&self, call: &Call, fleet: &dyn Fleet) -> Answer {
        let wanted = match attributes(call, "kubernetes_clusters") {
            Ok(wanted) => wanted,
            Err(answer) => return answer,
        };
        let Some(project) = wanted["project_id"].as_str() else {
            return refused(400, "VALIDATION_ERROR", "Project ID is required");
        };
        let Some(project) = self
            .project_of(project)
            .filter(|number| self.project_id(*number) == project)
        else {
            return titled(404, "not_found", "Specified Record Not Found");
        };
        let keys = wanted["ssh_keys"].as_array().cloned().unwrap_or_default();
        if !keys
            .iter()
            .all(|key| key.as_str().is_some_and(|key| key.starts_with("ssh_")))
        {
            let message = "One or more SSH keys not found or not owned by your team";
            return refused(400, "VALIDATION_ERROR", message);
        }
        if !call.feature("management-plane") {
            return unmanaged();
        }
        let site = match site(&wanted["site"]) {
            Ok(site) => site,
            Err(answer) => return answer,
        };
        let name = match &wanted["name"] {
            Value::String(name) if is_name(name) => name.clone(),
            Value::Null => Dice::new(&[self.context.seed, call.number, 51]).letters("abcdef", 8),
            _ => {
                let message =
                    "Cluster name must contain only lowercase letters, numbers, and hyphens";
                return refused(422, "INVALID_CLUSTER_NAME", message);
            }
        };
        let plan = match plan(&wanted["plan"]) {
            Ok(plan) => plan,
            Err(answer) => return answer,
        };
        if !wanted["worker_plan"].is_null()
            && let Err(answer) = self::plan(&wanted["worker_plan"])
        {
            return answer;
        }
        let version = match &wanted["kubernetes_version"] {
            Value::Null => Some((34, 3)),
            text => legacy_version(text).filter(|version| is_offered(*version)),
        };
        let Some(version) = version else {
            return unavailable(&wanted["kubernetes_version"]);
        };
        let planes = wanted["control_plane_count"].as_u64().unwrap_or(1).max(1);
        let workers = wanted["worker_count"].as_u64().unwrap_or(1);
        if !call.feature("stock") || planes + workers > STOCK {
            return out_of_stock();
        }
        let of_project = usize::try_from(project)
            .ok()
            .and_then(|at| call.members.arrangement.groups.get(at));
        if of_project
            .into_iter()
            .flatten()
            .any(|serial| self.legacy(*serial))
        {
            let message = "Only 1 cluster per project is allowed";
            return refused(422, "CLUSTER_LIMIT_EXCEEDED", message);
        }
        let birth = Birth {
            legacy: true,
            project,
            site,
            plan,
            at: self.clock(),
        };
        let record = self.make(call, fleet, birth, |life| {
            life.name = Some(name.clone());
            life.version = Some(version);
            life.planes = Some(planes);
            life.workers = Some(workers);
        });
        let endpoint = format!("https://api.{}.example.com:6443", record.name);
        Answer::json(201, json!({"data": {"type": "kubernetes_clusters", "id": record.id,
            "attributes": {"name": record.name, "status": "provisioning", "control_plane_endpoint": endpoint}}}))
        .rows(ROWS)
    }

    pub(super) fn update_legacy(&self, call: &Call, record: &Record) -> Answer {
        let wanted = match attributes(call, "kubernetes_clusters") {
            Ok(wanted) => wanted,
            Err(answer) => return answer,
        };
        let invalid = |message: &str| refused(400, "VALIDATION_ERROR", message);
        let (workers, planes) = (&wanted["worker_count"], &wanted["control_plane_count"]);
        let version = &wanted["kubernetes_version"];
        match (!workers.is_null(), !planes.is_null(), !version.is_null()) {
            (false, false, false) => {
                return invalid(
                    "worker_count, control_plane_count, or kubernetes_version is required",
                );
            }
            (true, true, _) => {
                return invalid(
                    "cannot update control_plane_count and worker_count in the same request",
                );
            }
            (true, _, true) | (_, true, true) => {
                return invalid("cannot combine kubernetes_version with scaling operations");
            }
            _ => {}
        }
        if !call.feature("management-plane") {
            return unmanaged();
        }
        if record.status != Some("Provisioned") {
            let phase = record.status.unwrap_or_default();
            let message = format!(
                "Cluster must be in Provisioned phase to accept updates (current phase: {phase})"
            );
            return refused(422, "VALIDATION_ERROR", &message);
        }
        if !version.is_null() {
            self.upgrade_legacy(call, record, version)
        } else if planes.is_null() {
            self.scale_workers(call, record, &wanted)
        } else {
            self.scale_planes(call, record, planes)
        }
    }

    fn scale_workers(&self, call: &Call, record: &Record, wanted: &Value) -> Answer {
        let Some(count) = wanted["worker_count"].as_i64() else {
            return refused(400, "VALIDATION_ERROR", "worker_count must be an integer");
        };
        let Some(count) = u64::try_from(count)
            .ok()
            .filter(|count| *count <= MOST_WORKERS)
        else {
            let message = "worker_count must be between 0 and 10";
            return refused(422, "INVALID_WORKER_COUNT", message);
        };
        if record.workers() == 0 && count > 0 {
            if wanted["worker_plan"].is_null() {
                let message = "worker_plan is required when scaling from 0 workers";
                return refused(422, "WORKER_PLAN_REQUIRED", message);
            }
            if let Err(answer) = plan(&wanted["worker_plan"]) {
                return answer;
            }
        }
        if count > record.workers() && !call.feature("stock") {
            return out_of_stock();
        }
        let is_new = count != record.workers();
        if is_new {
            self.begin(record.serial, Task::ScaleWorkers, call.pace, |life| {
                life.workers = Some(count);
            });
        }
        updated(record, "scaling", is_new, "worker_count", json!(count))
    }

    fn scale_planes(&self, call: &Call, record: &Record, count: &Value) -> Answer {
        let Some(count) = count.as_i64() else {
            return refused(
                400,
                "VALIDATION_ERROR",
                "control_plane_count must be an integer",
            );
        };
        let Some(count) = u64::try_from(count).ok().filter(|count| *count > 0) else {
            return refused(
                422,
                "VALIDATION_ERROR",
                "control_plane_count must be at least 1",
            );
        };
        if count > STOCK || (count > record.control_planes() && !call.feature("stock")) {
            return out_of_stock();
        }
        let is_new = count != record.control_planes();
        if is_new {
            let workers = record.workers();
            self.begin(record.serial, Task::ScalePlanes, call.pace, |life| {
                life.planes = Some(count);
                life.workers = Some(workers);
            });
        }
        updated(
            record,
            "scaling",
            is_new,
            "control_plane_count",
            json!(count),
        )
    }

    fn upgrade_legacy(&self, call: &Call, record: &Record, text: &Value) -> Answer {
        let Some(version) = legacy_version(text) else {
            return unavailable(text);
        };
        let current = (record.minor, record.patch);
        if version < current {
            let message = format!(
                "Cannot downgrade from {} to {}",
                record.version(),
                text.as_str().unwrap_or_default()
            );
            return refused(422, "VERSION_DOWNGRADE", &message);
        }
        if version.0 > current.0 + 1 {
            let (from, to) = (current.0, version.0);
            let message = format!(
                "Cannot skip minor versions. Current: 1.{from}, target: 1.{to}. Upgrade to 1.{} first.",
                from + 1
            );
            return refused(422, "MINOR_VERSION_SKIP", &message);
        }
        let is_new = version != current;
        if is_new && !is_offered(version) {
            return unavailable(text);
        }
        if is_new {
            self.begin(record.serial, Task::Upgrade, call.pace, |life| {
                life.version = Some(version);
            });
        }
        updated(
            record,
            "upgrading",
            is_new,
            "kubernetes_version",
            text.clone(),
        )
    }

    pub(super) fn destroy_legacy(&self, call: &Call, record: &Record) -> Answer {
        if record.status == Some("Deleting") {
            return refused(422, "DELETION_FAILED", "Failed to delete the cluster");
        }
        self.begin(record.serial, Task::Destroy, call.pace, |_| ());
        Answer::nothing(204)
    }
}

fn site(wanted: &Value) -> Result<&'static str, Answer> {
    let Some(site) = SITES.into_iter().find(|site| wanted == *site) else {
        return Err(refused(422, "INVALID_SITE", "Site not found"));
    };
    if site == WITHOUT_KUBERNETES {
        let message = format!(
            "Managed Kubernetes is not available at site {site}. Available sites: FRA, ASH"
        );
        return Err(refused(422, "SITE_NOT_SUPPORTED", &message));
    }
    Ok(site)
}

fn plan(wanted: &Value) -> Result<&'static str, Answer> {
    PLANS
        .into_iter()
        .find(|plan| wanted == *plan)
        .ok_or_else(|| {
            let message = format!("Plan '{}' not found", wanted.as_str().unwrap_or_default());
            refused(422, "PLAN_NOT_FOUND", &message)
        })
}

/// Minor version and patch of `v1.35.3+rke2r1`.
fn legacy_version(text: &Value) -> Option<(u64, u64)> {
    numbers(text.as_str()?.strip_prefix('v')?.strip_suffix("+rke2r1")?)
}

fn is_name(name: &str) -> bool {
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    bytes.iter().all(is_plain)
        && is_end(bytes.first())
        && is_end(bytes.last())
        && bytes.len() <= LONGEST_NAME
}

/// The answer to a change of a legacy cluster; without an effect it is a 200 in place of a 202.
fn updated(record: &Record, word: &str, is_new: bool, name: &str, value: Value) -> Answer {
    let mut attributes =
        json!({"name": record.name, "status": if is_new { word } else { "unchanged" }});
    attributes[name] = value;
    let body =
        json!({"data": {"type": "kubernetes_clusters", "id": record.id, "attributes": attributes}});
    Answer::json(if is_new { 202 } else { 200 }, body).rows(ROWS)
}

fn unavailable(text: &Value) -> Answer {
    let message = format!(
        "Version {} is not available for upgrade",
        text.as_str().unwrap_or_default()
    );
    refused(422, "VERSION_NOT_AVAILABLE", &message)
}

fn out_of_stock() -> Answer {
    let message = "No stock available of plan suitable for Kubernetes cluster";
    refused(422, "INSUFFICIENT_STOCK", message)
}

fn unmanaged() -> Answer {
    let message = "Failed to communicate with the management cluster";
    refused(503, "MANAGEMENT_CLUSTER_ERROR", message)
}
