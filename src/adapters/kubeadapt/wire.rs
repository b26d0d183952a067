//! Kubeadapt's shapes, in its own words. Only what is declared here can get through to `raw`.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::provider::Loose;

/// The outer object of every answer, of both generations.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    /// Present in the current generation only.
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) meta: Option<&'a RawValue>,
    /// The list of the older generation.
    #[serde(default)]
    pub(super) clusters: Option<IgnoredAny>,
    /// The error text of the older generation.
    #[serde(default)]
    pub(super) detail: Option<IgnoredAny>,
    /// The older generation answers a single object without an envelope.
    #[serde(default)]
    pub(super) id: Option<IgnoredAny>,
}

/// What an answer says about itself.
#[derive(Debug, Deserialize)]
pub(super) struct Meta<'a> {
    #[serde(borrow, default)]
    pub(super) pagination: Option<&'a RawValue>,
    /// Parameters that were not recognised, and so did not filter anything.
    #[serde(default)]
    pub(super) ignored_params: Option<Vec<IgnoredAny>>,
}

/// Where a list goes on.
#[derive(Debug, Deserialize)]
pub(super) struct Pagination {
    #[serde(default)]
    pub(super) next_cursor: Loose<String>,
    #[serde(default)]
    pub(super) has_more: Loose<bool>,
}

/// The id alone, for a row of which nothing else can be read.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    #[serde(default)]
    pub(super) id: Loose<String>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Cluster {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) kind: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) metadata: Loose<Metadata>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) capacity: Loose<Capacity>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) utilization: Loose<Utilization>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) cost: Loose<Cost>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Metadata {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) provider: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) service: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) region: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) availability_zones: Loose<Vec<Loose<String>>>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) environment: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) is_stale: Loose<bool>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) k8s_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) agent_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) discovery_source: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) created_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) last_seen_at: Loose<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Capacity {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) cpu: Loose<Cores>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) memory: Loose<Bytes>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) gpu: Loose<Gpu>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) storage: Loose<Storage>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) pods: Loose<Pods>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Cores {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) total_cores: Loose<f64>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) allocatable_cores: Loose<f64>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Bytes {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) total_bytes: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) allocatable_bytes: Loose<i128>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Gpu {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) total: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) allocatable: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) model: Loose<String>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Storage {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) total_bytes: Loose<i128>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Pods {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) allocatable: Loose<i128>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Utilization {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) cpu: Loose<CpuUse>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) memory: Loose<MemoryUse>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) gpu: Loose<GpuUse>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) network: Loose<NetworkUse>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) restarts_total: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) oom_kills_total: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) counts: Loose<Counts>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct CpuUse {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) requested_cores: Loose<f64>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) used_cores: Loose<f64>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) utilization_percent: Loose<f64>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct MemoryUse {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) requested_bytes: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) used_bytes: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) utilization_percent: Loose<f64>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct GpuUse {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) utilization_percent: Loose<f64>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) memory_used_bytes: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) memory_total_bytes: Loose<i128>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct NetworkUse {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) rx_bytes_total: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) tx_bytes_total: Loose<i128>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Counts {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) nodes: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) namespaces: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) workloads: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) deployments: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) statefulsets: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) daemonsets: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) jobs: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) cronjobs: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) pods: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) running_pods: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) containers: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) running_containers: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) persistent_volumes: Loose<i128>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Cost {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) current_run_rate_hourly: Loose<Money>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) last_updated_at: Loose<String>,
}

/// Always a decimal string; a JSON number here would be the older generation's.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct Money {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) amount: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) currency: Loose<String>,
}

/// A node. It is mapped and not kept as `raw`.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    #[serde(default)]
    pub(super) id: Loose<String>,
    #[serde(default)]
    pub(super) metadata: Loose<NodeMetadata>,
    #[serde(default)]
    pub(super) capacity: Loose<NodeCapacity>,
    #[serde(default)]
    pub(super) cost: Loose<Cost>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeMetadata {
    pub(super) name: Loose<String>,
    pub(super) node_role: Loose<String>,
    pub(super) instance_type: Loose<String>,
    pub(super) availability_zone: Loose<String>,
    pub(super) region: Loose<String>,
    pub(super) architecture: Loose<String>,
    pub(super) operating_system: Loose<String>,
    pub(super) is_ready: Loose<bool>,
    pub(super) is_schedulable: Loose<bool>,
    pub(super) labels: Loose<BTreeMap<String, Loose<String>>>,
    pub(super) created_at_k8s: Loose<String>,
    pub(super) last_seen_at: Loose<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeCapacity {
    pub(super) gpu: Loose<Gpu>,
}
