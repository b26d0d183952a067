//! What LakeSail tells of a cluster at this moment: its health, its access file, what it measured, and the work on it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::provider::Loose;

/// The health of an external cluster now.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct Health {
    pub(in super::super) status: Loose<String>,
    pub(in super::super) node_groups: Loose<Vec<Loose<NodeGroup>>>,
    pub(in super::super) system_pods: Loose<Vec<Loose<SystemPod>>>,
    pub(in super::super) total_nodes: Loose<i128>,
    pub(in super::super) ready_nodes: Loose<i128>,
    pub(in super::super) last_checked_at: Loose<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct NodeGroup {
    pub(in super::super) name: Loose<String>,
    pub(in super::super) status: Loose<String>,
    pub(in super::super) desired_size: Loose<i128>,
    pub(in super::super) ready_nodes: Loose<i128>,
    pub(in super::super) message: Loose<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct SystemPod {
    pub(in super::super) name: Loose<String>,
    pub(in super::super) namespace: Loose<String>,
    pub(in super::super) ready: Loose<bool>,
    pub(in super::super) phase: Loose<String>,
    pub(in super::super) restart_count: Loose<i128>,
    pub(in super::super) message: Loose<String>,
}

/// The access file: a credential, so that this type has no `Debug`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Kubeconfig {
    pub(in super::super) kubeconfig: Loose<String>,
}

/// What was measured. No unit is published for any of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct Metrics {
    pub(in super::super) cpu_utilization: Loose<Vec<Loose<Point>>>,
    pub(in super::super) memory_utilization: Loose<Vec<Loose<Point>>>,
    pub(in super::super) estimated_cost: Loose<Vec<Loose<Point>>>,
    pub(in super::super) active_job_count: Loose<Vec<Loose<Point>>>,
}

/// The value is kept as it was written: read as a float it would no longer be the price.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Point {
    pub(in super::super) timestamp: Loose<String>,
    pub(in super::super) value: Loose<Box<RawValue>>,
}

/// Work on something, of which a cluster is one kind. Its result is of no published shape and is left out, as are the ids
/// of the organization and of the member who asked for it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct Operation {
    pub(in super::super) id: Loose<String>,
    #[serde(rename = "operation")]
    pub(in super::super) kind: Loose<String>,
    pub(in super::super) status: Loose<String>,
    pub(in super::super) resource_id: Loose<String>,
    pub(in super::super) error: Loose<OperationError>,
    pub(in super::super) progress: Loose<Progress>,
    pub(in super::super) created_at: Loose<String>,
    pub(in super::super) updated_at: Loose<String>,
    pub(in super::super) started_at: Loose<String>,
    pub(in super::super) completed_at: Loose<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct OperationError {
    pub(in super::super) code: Loose<String>,
    pub(in super::super) message: Loose<String>,
    pub(in super::super) error_type: Loose<String>,
    pub(in super::super) details: Loose<ErrorDetails>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in super::super) struct ErrorDetails {
    pub(in super::super) retryable: Loose<bool>,
    pub(in super::super) retry_after: Loose<f64>,
    pub(in super::super) field_errors: Loose<BTreeMap<String, Loose<String>>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Progress {
    pub(in super::super) stage: Loose<String>,
    pub(in super::super) message: Loose<String>,
    pub(in super::super) resources: Loose<Vec<Loose<Resource>>>,
    pub(in super::super) summary: Loose<Summary>,
}

/// A piece of infrastructure. Its URN names the customer's stack and is left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Resource {
    #[serde(rename = "type")]
    pub(in super::super) kind: Loose<String>,
    pub(in super::super) name: Loose<String>,
    pub(in super::super) operation: Loose<String>,
    pub(in super::super) status: Loose<String>,
    pub(in super::super) duration: Loose<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(in super::super) struct Summary {
    pub(in super::super) total: Loose<i128>,
    pub(in super::super) pending: Loose<i128>,
    pub(in super::super) running: Loose<i128>,
    pub(in super::super) succeeded: Loose<i128>,
    pub(in super::super) failed: Loose<i128>,
    pub(in super::super) unchanged: Loose<i128>,
}
