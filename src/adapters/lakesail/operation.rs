//! Work that LakeSail does on a cluster. No I/O: values in, values out.
//!
//! No list of words is published for the kind or the status of an operation, so that only the time of its completion says
//! that one has ended.

use std::collections::{BTreeMap, HashSet};

use serde_json::value::RawValue;

use super::wire::{self, ErrorDetails, Included, Progress, Resource};
use crate::domain::{
    Operation, OperationCounts, OperationError, OperationKind, OperationProgress,
    OperationResource, OperationState, finite,
};
use crate::provider::read::{flag, id, list, number, text, time};
use crate::provider::{Warnings, row};

/// Pieces of infrastructure that are kept of one operation.
const MOST_RESOURCES: usize = 200;
/// Wrong fields that are kept of one error.
const MOST_FIELDS: usize = 50;
/// The vendor's time to wait has no unit: taken for seconds, it is held to a quarter of an hour.
const LONGEST_WAIT: f64 = 900.0;

/// An operation; `None` for one without an id, which nobody could ask for again.
pub(super) fn operation(wire: &wire::Operation) -> Option<Operation> {
    let w = &mut Warnings::default();
    let native_kind = text(&wire.kind, "operation", w);
    let native_status = text(&wire.status, "status", w);
    // A time that cannot be read is one all the same: the vendor says that the work has ended.
    let done = text(&wire.completed_at, "completedAt", w).is_some();
    let error = error(wire, w);
    let said = native_status.as_deref().and_then(state_of);
    Some(Operation {
        native_id: id(&wire.id)?.to_owned(),
        kind: native_kind.as_deref().map(kind_of).unwrap_or_default(),
        native_kind,
        state: judged(said, done, error.is_some()),
        native_status,
        done,
        progress: progress(wire, w),
        error,
        created_at: time(&wire.created_at, "createdAt", w),
        started_at: time(&wire.started_at, "startedAt", w),
        updated_at: time(&wire.updated_at, "updatedAt", w),
        completed_at: time(&wire.completed_at, "completedAt", w),
    })
}

/// The operations that are sent beside one cluster and are of it, the newest first.
pub(super) fn of_cluster(included: Option<&Included>, external: &str) -> Vec<Operation> {
    let rows = included.and_then(|included| included.operations.as_ref());
    let read = |item: &RawValue| {
        let wire: wire::Operation = row(item)?;
        operation(&wire).filter(|_| id(&wire.resource_id) == Some(external))
    };
    let mut seen = HashSet::new();
    let mut operations: Vec<Operation> = rows
        .into_iter()
        .flatten()
        .filter_map(|item| read(item))
        .collect();
    operations.retain(|operation| seen.insert(operation.native_id.clone()));
    newest_first(&mut operations);
    operations
}

/// Those without a time come last.
pub(super) fn newest_first(operations: &mut [Operation]) {
    operations
        .sort_by_key(|operation| std::cmp::Reverse(operation.created_at.or(operation.started_at)));
}

/// How the words of a name say what is done: `provision`, `cluster.destroy`, `updateExternalCluster`.
fn kind_of(native: &str) -> OperationKind {
    let mut name = String::with_capacity(native.len() + 8);
    let mut was_lower = false;
    for letter in native.chars() {
        if letter.is_uppercase() && was_lower {
            name.push(' ');
        }
        was_lower = letter.is_lowercase();
        name.extend(letter.to_lowercase());
    }
    let words = name.split(|letter: char| !letter.is_alphanumeric());
    let mut kinds = words.map(|word| match word {
        "create" | "creating" => OperationKind::Create,
        "provision" | "provisioning" | "deploy" => OperationKind::Provision,
        "update" | "updating" | "upgrade" | "scale" | "modify" => OperationKind::Update,
        // The call that removes a record makes no operation, so that a deletion is one of infrastructure.
        "destroy" | "destroying" | "deprovision" | "teardown" | "delete" => OperationKind::Destroy,
        _ => OperationKind::Unknown,
    });
    kinds
        .find(|kind| *kind != OperationKind::Unknown)
        .unwrap_or_default()
}

fn state_of(native: &str) -> Option<OperationState> {
    match native.trim().to_lowercase().as_str() {
        "pending" | "queued" | "accepted" | "scheduled" => Some(OperationState::Pending),
        "running" | "in_progress" | "in-progress" | "inprogress" | "started" | "active" => {
            Some(OperationState::Running)
        }
        "succeeded" | "success" | "successful" | "completed" | "complete" | "done" => {
            Some(OperationState::Succeeded)
        }
        "failed" | "failure" | "error" | "errored" | "cancelled" | "canceled" | "aborted" => {
            Some(OperationState::Failed)
        }
        _ => None,
    }
}

/// What has ended with an error has failed, whatever its word; a word of work going on says nothing of work that has ended.
fn judged(said: Option<OperationState>, done: bool, has_error: bool) -> OperationState {
    match said {
        _ if done && has_error => OperationState::Failed,
        Some(OperationState::Pending | OperationState::Running) if done => OperationState::Unknown,
        Some(said) => said,
        None => OperationState::Unknown,
    }
}

fn error(wire: &wire::Operation, w: &mut Warnings) -> Option<OperationError> {
    let error = wire.error.clone().take("error", w)?;
    let details: ErrorDetails = error.details.take("error.details", w).unwrap_or_default();
    let kind = text(&error.error_type, "error.errorType", w);
    let read = OperationError {
        code: text(&error.code, "error.code", w).or(kind),
        message: text(&error.message, "error.message", w),
        retryable: flag(&details.retryable, "error.details.retryable", w),
        retry_after_seconds: details
            .retry_after
            .clone()
            .and_then("error.details.retryAfter", w, finite)
            .map(|seconds| seconds.min(LONGEST_WAIT)),
        fields: fields(details, w),
    };
    (read != OperationError::default()).then_some(read)
}

fn fields(details: ErrorDetails, w: &mut Warnings) -> BTreeMap<String, String> {
    const NAME: &str = "error.details.fieldErrors";
    let fields = details.field_errors.take(NAME, w).unwrap_or_default();
    fields
        .into_iter()
        .take(MOST_FIELDS)
        .filter_map(|(name, reason)| Some((name, text(&reason, NAME, w)?)))
        .collect()
}

fn progress(wire: &wire::Operation, w: &mut Warnings) -> Option<OperationProgress> {
    let progress: Progress = wire.progress.clone().take("progress", w)?;
    let summary = progress
        .summary
        .clone()
        .take("progress.summary", w)
        .unwrap_or_default();
    let counts = OperationCounts {
        total: number(&summary.total, "progress.summary.total", w),
        pending: number(&summary.pending, "progress.summary.pending", w),
        running: number(&summary.running, "progress.summary.running", w),
        succeeded: number(&summary.succeeded, "progress.summary.succeeded", w),
        failed: number(&summary.failed, "progress.summary.failed", w),
        unchanged: number(&summary.unchanged, "progress.summary.unchanged", w),
    };
    let resources = list(&progress.resources, "progress.resources", w).unwrap_or_default();
    let read = OperationProgress {
        stage: text(&progress.stage, "progress.stage", w),
        message: text(&progress.message, "progress.message", w),
        counts,
        resources: resources
            .into_iter()
            .take(MOST_RESOURCES)
            .map(|resource| piece(resource, w))
            .collect(),
    };
    (read != OperationProgress::default()).then_some(read)
}

fn piece(resource: Resource, w: &mut Warnings) -> OperationResource {
    OperationResource {
        name: text(&resource.name, "progress.resources.name", w),
        kind: text(&resource.kind, "progress.resources.type", w),
        action: text(&resource.operation, "progress.resources.operation", w),
        status: text(&resource.status, "progress.resources.status", w),
        duration: resource
            .duration
            .and_then("progress.resources.duration", w, finite),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Operation {
        operation(&serde_json::from_str(body).unwrap()).unwrap()
    }

    #[test]
    fn the_words_of_a_name_say_what_is_done() {
        for (native, kind) in [
            ("provision", OperationKind::Provision),
            ("PROVISION", OperationKind::Provision),
            ("cluster.destroy", OperationKind::Destroy),
            ("updateExternalCluster", OperationKind::Update),
            ("CLUSTER_DELETE", OperationKind::Destroy),
            ("create-cluster", OperationKind::Create),
            ("recreated", OperationKind::Unknown),
            ("", OperationKind::Unknown),
        ] {
            assert_eq!(kind_of(native), kind, "{native}");
        }
    }

    #[test]
    fn only_the_time_of_completion_ends_an_operation() {
        use OperationState::{Failed, Pending, Running, Succeeded, Unknown};
        let error = r#""error":{"code":"quota"},"#;
        for (status, error, done, state) in [
            ("pending", "", false, Pending),
            ("In_Progress", "", false, Running),
            ("succeeded", "", false, Succeeded),
            ("succeeded", "", true, Succeeded),
            ("succeeded", error, true, Failed),
            ("failed", error, false, Failed),
            ("running", "", true, Unknown),
            ("opaque", "", false, Unknown),
            ("opaque", "", true, Unknown),
            ("opaque", error, true, Failed),
            ("opaque", error, false, Unknown),
            ("opaque", r#""error":{},"#, true, Unknown),
        ] {
            let end = if done {
                r#""2026-05-01T10:09:00Z""#
            } else {
                "null"
            };
            let body = format!(r#"{{"id":"OP1","status":"{status}",{error}"completedAt":{end}}}"#);
            let found = read(&body);
            assert_eq!((found.done, found.state), (done, state), "{body}");
        }
        let found = read(r#"{"id":"OP1","completedAt":"soon"}"#);
        assert_eq!((found.done, found.completed_at), (true, None));
    }

    #[test]
    fn what_has_no_end_is_cut() {
        let resources = vec![r#"{"urn":"urn:canary","name":"a","duration":1.5}"#; 300].join(",");
        let found = read(&format!(
            r#"{{"id":"OP1","progress":{{"resources":[{resources}]}},
                "error":{{"details":{{"retryAfter":1e9}}}}}}"#
        ));
        assert_eq!(found.progress.as_ref().unwrap().resources.len(), 200);
        assert_eq!(
            found.error.as_ref().unwrap().retry_after_seconds,
            Some(900.0)
        );
        assert!(!format!("{found:?}").contains("canary"));
    }

    #[test]
    fn operations_of_other_things_are_left_out() {
        let included: Included = serde_json::from_str(
            r#"{"operations":[
                {"id":"OP1","resourceId":"EX1","createdAt":"2026-05-01T10:00:00Z"},
                {"id":"OP2","resourceId":"EX2","createdAt":"2026-05-01T12:00:00Z"},
                {"id":"OP3","resourceId":"EX1","createdAt":"2026-05-01T11:00:00Z"},
                {"id":"OP3","resourceId":"EX1"}, {"resourceId":"EX1"}, 7,
                {"id":"OP4","resourceId":"EX1"}]}"#,
        )
        .unwrap();
        let ids: Vec<String> = of_cluster(Some(&included), "EX1")
            .into_iter()
            .map(|operation| operation.native_id)
            .collect();
        assert_eq!(ids, ["OP3", "OP1", "OP4"]);
    }
}
