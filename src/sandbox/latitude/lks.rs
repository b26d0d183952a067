//! Writes of the LKS family.

use serde_json::{Value, json};

use super::super::world::{Answer, Call, Fleet};
use super::catalogue::{LKS_MINORS, PLANS, SITES};
use super::ledger::{Birth, Life, Task};
use super::record::Record;
use super::writes::{attributes, numbers};
use super::{Latitude, ROWS, titled};

impl Latitude {
    pub(super) fn create_lks(&self, call: &Call, fleet: &dyn Fleet) -> Answer {
        let wanted = match attributes(call, "lks_clusters") {
            Ok(wanted) => wanted,
            Err(answer) => return answer,
        };
        for name in ["name", "project_id", "site", "kubernetes_version"] {
            if wanted[name].as_str().is_none_or(str::is_empty) {
                return titled(422, "VALIDATION_ERROR", &format!("{name} can't be blank"));
            }
        }
        let text = |name: &str| wanted[name].as_str().unwrap_or_default().to_owned();
        let Some(project) = self.project_of(&text("project_id")) else {
            return titled(404, "not_found", "Specified Record Not Found");
        };
        let Some(site) = SITES.into_iter().find(|site| wanted["site"] == *site) else {
            return titled(422, "VALIDATION_ERROR", "site is not available for LKS");
        };
        let Some(version) = lks_version(&wanted["kubernetes_version"])
            .filter(|(minor, _)| *minor > *LKS_MINORS.start())
        else {
            return titled(
                422,
                "VALIDATION_ERROR",
                "kubernetes_version is not available for creation",
            );
        };
        if !call.feature("stock") {
            return titled(422, "INSUFFICIENT_STOCK", "No stock available");
        }
        let birth = Birth {
            legacy: false,
            project,
            site,
            plan: PLANS[0],
            at: self.clock(),
        };
        let record = self.make(call, fleet, birth, |life| {
            life.name = Some(text("name"));
            life.description = wanted["description"].as_str().map(str::to_owned);
            life.version = Some(version);
        });
        Answer::json(201, json!({"data": self.lks(&record)})).rows(ROWS)
    }

    pub(super) fn update_lks(&self, call: &Call, record: &Record) -> Answer {
        let wanted = match attributes(call, "lks_clusters") {
            Ok(wanted) => wanted,
            Err(answer) => return answer,
        };
        if record.status != Some("ready") {
            return titled(409, "CONFLICT", "The cluster is not idle");
        }
        let text = |name: &str| wanted[name].as_str().map(str::to_owned);
        let (name, description) = (text("name"), text("description"));
        let version = &wanted["kubernetes_version"];
        if name.is_none() && description.is_none() && version.is_null() {
            return titled(
                422,
                "VALIDATION_ERROR",
                "name, description or kubernetes_version is required",
            );
        }
        let current = (record.minor, record.patch);
        let upgrade = match lks_version(version) {
            _ if version.is_null() => None,
            None => {
                return titled(
                    422,
                    "VALIDATION_ERROR",
                    "kubernetes_version is not available for upgrade",
                );
            }
            Some(version) if version < current => {
                return titled(
                    422,
                    "DOWNGRADE_NOT_ALLOWED",
                    "The control plane cannot be downgraded",
                );
            }
            Some((minor, _)) if minor > current.0 + 1 => {
                return titled(422, "VERSION_SKEW", "Upgrade one minor version at a time");
            }
            Some(version) => Some(version).filter(|version| *version != current),
        };
        let change = |life: &mut Life| {
            life.name = name.or_else(|| life.name.take());
            life.description = description.or_else(|| life.description.take());
            life.version = upgrade.or(life.version);
        };
        if upgrade.is_some() {
            self.begin(record.serial, Task::Upgrade, call.pace, change);
        } else {
            self.put_down(record.serial, change);
        }
        let record = self.record(record.serial, call.revision());
        Answer::ok(json!({"data": self.lks(&record)})).rows(ROWS)
    }

    pub(super) fn destroy_lks(&self, call: &Call, record: &Record) -> Answer {
        if matches!(record.status, Some("deleting" | "deleted" | "paused")) {
            return titled(409, "CONFLICT", "The cluster is paused or deleted");
        }
        self.begin(record.serial, Task::Destroy, call.pace, |_| ());
        Answer::nothing(204)
    }
}

/// Minor version and patch of a version that LKS lists.
fn lks_version(text: &Value) -> Option<(u64, u64)> {
    numbers(text.as_str()?).filter(|(minor, patch)| LKS_MINORS.contains(minor) && *patch == 1)
}
