//! Latitude.sh's shapes, in its own words. What is not declared here never reaches an answer.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::provider::Loose;

/// A list answer. `data` must be there: without it the answer is of another shape, not empty.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    pub(super) data: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(super) meta: Loose<Meta>,
}

/// What a list says of itself: LKS lists a `total`, `/projects` a `stats.total.count` where it was asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub(super) total: Loose<i128>,
    #[serde(default)]
    pub(super) stats: Loose<Stats>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stats {
    #[serde(default)]
    pub(super) total: Loose<Total>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Total {
    #[serde(default)]
    pub(super) count: Loose<i128>,
}

/// A detail answer.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub(super) struct One<T> {
    pub(super) data: Resource<T>,
}

/// A JSON:API resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub(super) struct Resource<T> {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) r#type: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) attributes: Loose<T>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ProjectAttributes {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) environment: Loose<String>,
}

/// A cluster of the legacy family. The list sends the first fields only, the detail all of them. `kubeconfig_url` is left
/// out on purpose: nothing here shall lead to a credential.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LegacyAttributes {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) phase: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) ready: Loose<bool>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) infrastructure_ready: Loose<bool>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) control_plane_ready: Loose<bool>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) message: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) steps: Loose<Vec<Loose<WireStep>>>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) last_status_change: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) created_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) control_plane_endpoint: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) location: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) load_balancer_ips: Loose<Vec<Loose<String>>>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) kubernetes_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) version_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) available_upgrade: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) plan: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) worker_plan: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) control_plane_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) worker_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) control_plane: Loose<ControlPlane>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) workers: Loose<Workers>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) worker_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) control_plane_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) failure_message: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) failure_reason: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) nodes: Loose<Vec<Loose<LegacyNode>>>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) project: Loose<ProjectReference>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct WireStep {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ControlPlane {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) ready: Loose<bool>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) replicas: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) ready_replicas: Loose<i128>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Workers {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) replicas: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) ready_replicas: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) available_replicas: Loose<i128>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LegacyNode {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) hostname: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) server_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) r#type: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) ip: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) internal_ip: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) external_ip: Loose<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ProjectReference {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) slug: Loose<String>,
}

/// A cluster of the LKS family; list and detail send the same.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LksAttributes {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) description: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) project_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) site: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) message: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) reason: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) control_plane_endpoint: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) kubernetes_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) platform_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) network: Loose<LksNetwork>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) created_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) updated_at: Loose<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the vendor's words")]
pub(super) struct LksNetwork {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) pod_cidrs: Loose<Vec<Loose<String>>>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) service_cidrs: Loose<Vec<Loose<String>>>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) node_cidrs: Loose<Vec<Loose<String>>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct PoolAttributes {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) mode: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) plan: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) ready_nodes: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) kubernetes_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) message: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) reason: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) labels: Loose<BTreeMap<String, Loose<String>>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LksNodeAttributes {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) reason: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) message: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) created_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) updated_at: Loose<String>,
}

/// The detail of an LKS cluster, which takes several calls, as one object.
#[derive(Debug, Serialize)]
pub(super) struct LksWhole<'a> {
    #[serde(flatten)]
    pub(super) cluster: &'a Resource<LksAttributes>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) nodepools: Vec<&'a Resource<PoolAttributes>>,
}

/// A body of ours.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a, T> {
    data: Typed<'a, T>,
}

#[derive(Debug, Serialize)]
struct Typed<'a, T> {
    r#type: &'static str,
    attributes: &'a T,
}

impl<'a, T> Document<'a, T> {
    pub(super) const fn new(kind: &'static str, attributes: &'a T) -> Self {
        Self {
            data: Typed {
                r#type: kind,
                attributes,
            },
        }
    }
}

/// A legacy cluster to be made.
#[derive(Debug, Default, Serialize)]
pub(super) struct LegacyCreation {
    pub(super) name: String,
    pub(super) project_id: String,
    pub(super) site: String,
    pub(super) plan: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ssh_keys: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worker_plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kubernetes_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) control_plane_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worker_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) operating_system: Option<String>,
}

/// An LKS cluster to be made: a control plane without any pool.
#[derive(Debug, Default, Serialize)]
pub(super) struct LksCreation {
    pub(super) name: String,
    pub(super) project_id: String,
    pub(super) site: String,
    pub(super) kubernetes_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
}

/// A change of a legacy cluster: one of the counts or the version.
#[derive(Debug, Default, Serialize)]
pub(super) struct LegacyChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worker_count: Option<u32>,
    /// Counts only where there were no workers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) worker_plan: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) control_plane_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kubernetes_version: Option<String>,
}

/// A change of an LKS cluster: any of these.
#[derive(Debug, Default, Serialize)]
pub(super) struct LksChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kubernetes_version: Option<String>,
}

/// What the vendor says of a legacy cluster that it makes or changes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct LegacyReceipt {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) control_plane_endpoint: Loose<String>,
}

/// One line of the newest legacy versions; these rows have neither an id nor attributes.
#[derive(Debug, Deserialize)]
pub(super) struct LegacyVersion {
    #[serde(default)]
    pub(super) latest: Loose<String>,
    #[serde(default)]
    pub(super) minor: Loose<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LksVersion {
    #[serde(default)]
    pub(super) version: Loose<String>,
    #[serde(default)]
    pub(super) available_for_creation: Loose<bool>,
    #[serde(default)]
    pub(super) available_for_upgrade: Loose<bool>,
}

/// A credential: neither shown nor written back.
#[derive(Deserialize)]
pub(super) struct KubeconfigAttributes {
    #[serde(default)]
    pub(super) kubeconfig: Loose<String>,
}
