//! Latitude.sh's writes: clusters of both families are made, changed and destroyed.

use std::sync::PoisonError;

use serde_json::{Value, json};

use super::super::Example;
use super::super::world::{Answer, Call, Fleet};
use super::ledger::{Birth, Life, Task};
use super::record::Record;
use super::{Latitude, refused, titled};

impl Latitude {
    /// Answers what changes something. One write at a time, so that what is checked stays true while it is done.
    pub(super) fn change(&self, call: &Call, fleet: &dyn Fleet) -> Answer {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = Self::denied(call) {
            return answer;
        }
        let path = call.path();
        match (call.parts.method.as_str(), path.as_slice()) {
            ("POST", ["kubernetes_clusters"]) => self.create_legacy(call, fleet),
            ("POST", ["lks", "clusters"]) => self.create_lks(call, fleet),
            (method, ["kubernetes_clusters", id]) => match self.find(call, id, true) {
                None => refused(404, "NOT_FOUND", &format!("Cluster {id} not found")),
                Some(record) if method == "PATCH" => self.update_legacy(call, &record),
                Some(record) => self.destroy_legacy(call, &record),
            },
            (method, ["lks", "clusters", id]) => match self.find(call, id, false) {
                None => titled(404, "not_found", "Specified Record Not Found"),
                Some(record) if method == "PATCH" => self.update_lks(call, &record),
                Some(record) => self.destroy_lks(call, &record),
            },
            _ => titled(404, "not_found", "Specified Record Not Found"),
        }
    }

    /// What is refused before anything of a write is looked at, and of a kubeconfig too.
    pub(super) fn denied(call: &Call) -> Option<Answer> {
        let is_lks = call.segments.first().is_some_and(|first| first == "lks");
        let family = if is_lks { "lks" } else { "kubernetes" };
        if !call.feature(family) {
            let message = "Managed Kubernetes is not enabled for this team";
            return Some(refused(403, "FEATURE_NOT_ENABLED", message));
        }
        let message = "You are not authorized to perform this action";
        call.feature("read-only-key")
            .then(|| refused(403, "FORBIDDEN", message))
    }

    /// What a person would say for a first try.
    pub(super) fn example_of(&self, name: &str) -> Example {
        Example {
            spec: json!({"name": name, "region": "LAX2", "version": "1.35.1", "project": self.project_id(0),
                "options": {"family": "lks"}}),
            patch: json!({"version": "1.36.1"}),
        }
    }

    /// A cluster that is being provisioned from now on.
    pub(super) fn make(
        &self,
        call: &Call,
        fleet: &dyn Fleet,
        birth: Birth,
        change: impl Fn(&mut Life),
    ) -> Record {
        let serial = fleet.add(&|serial| {
            self.begin(serial, Task::Provision, call.pace, |life| {
                life.birth = Some(birth);
                change(life);
            });
        });
        self.record(serial, call.revision())
    }
}

/// What a body asks for, if it is one of its kind.
pub(super) fn attributes(call: &Call, kind: &str) -> Result<Value, Answer> {
    let media = call.header("content-type").unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if !["application/vnd.api+json", "application/json"].contains(&essence) {
        return Err(titled(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            "Use application/vnd.api+json",
        ));
    }
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    if body["data"]["type"] != kind || !body["data"]["attributes"].is_object() {
        let message = "The body is no resource of this type";
        return Err(refused(400, "VALIDATION_ERROR", message));
    }
    Ok(body["data"]["attributes"].clone())
}

/// Minor version and patch of `1.35.3`.
pub(super) fn numbers(text: &str) -> Option<(u64, u64)> {
    let (minor, patch) = text.strip_prefix("1.")?.split_once('.')?;
    Some((minor.parse().ok()?, patch.parse().ok()?))
}
