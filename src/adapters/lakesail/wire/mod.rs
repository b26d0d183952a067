//! LakeSail's shapes, in its own words. What is not declared here never reaches an answer: account ids, roles, outputs of
//! infrastructure code and who made or changed something are left out on purpose.

mod live;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::provider::Loose;

pub(super) use live::{
    ErrorDetails, Health, Kubeconfig, Metrics, NodeGroup, Operation, Point, Progress, Resource,
    SystemPod,
};

/// A list answer. `items` must be there: without it the answer is of another shape, not empty. `marker` is sent by `/infra`
/// only.
#[derive(Debug, Deserialize)]
pub(super) struct List {
    pub(super) items: Vec<Box<RawValue>>,
    pub(super) included: Option<Included>,
    #[serde(default)]
    pub(super) total: Loose<i128>,
    #[serde(default)]
    pub(super) marker: Loose<String>,
}

/// A detail answer.
#[derive(Debug, Deserialize)]
pub(super) struct One {
    pub(super) item: Box<RawValue>,
    pub(super) included: Option<Included>,
}

/// Objects sent beside the references. `clusters` holds external clusters under `/infra` and the platform's own records
/// under `/me`: one key, two types, so its rows are read later.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Included {
    pub(super) clusters: Option<Vec<Box<RawValue>>>,
    pub(super) external_clusters: Option<Vec<Box<RawValue>>>,
    pub(super) connections: Option<Vec<Box<RawValue>>>,
    pub(super) operations: Option<Vec<Box<RawValue>>>,
}

/// An item of `/infra`: `id` is that of an external cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InfraReference {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) connection_id: Loose<String>,
}

/// An item of `/me`: `id` is that of the platform's own record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MeReference {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) external_cluster_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) connection_id: Loose<String>,
}

/// The platform's own record of a cluster, self-registered or provisioned.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlatformCluster {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) region: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) external_cluster_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) connection_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) network_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) external_status: Loose<String>,
    #[serde(default, skip_serializing)]
    pub(super) operation_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) created_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) updated_at: Loose<String>,
}

/// A cluster in a cloud account.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExternalCluster {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) cluster_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) connection_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) network_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) region: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status_message: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) config: Loose<Config>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) provider_metadata: Loose<ProviderMetadata>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) last_health_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) last_health_message: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) last_health_check_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) created_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) updated_at: Loose<String>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) kubernetes_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) system_node_group: Loose<SystemNodeGroup>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) public_access_cidrs: Loose<Vec<Loose<String>>>,
}

/// How large the group may be. `desired_size` is a wish and never a count of nodes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SystemNodeGroup {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) instance_types: Loose<InstanceTypes>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) min_size: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) max_size: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) desired_size: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) disk_size_gb: Loose<i128>,
}

/// A flat list. The vendor's page prints it nested once, which is read as well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<OneOrMany>")]
pub(super) struct InstanceTypes(pub(super) Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<Vec<OneOrMany>> for InstanceTypes {
    fn from(items: Vec<OneOrMany>) -> Self {
        let flat = items.into_iter().flat_map(|item| match item {
            OneOrMany::One(name) => vec![name],
            OneOrMany::Many(names) => names,
        });
        Self(flat.collect())
    }
}

/// What the cloud calls the cluster. The ARN holds the customer's account id; it is only let through where configured.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderMetadata {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) cluster_name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) cluster_arn: Loose<String>,
}

/// The cloud account behind a cluster, without what identifies it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Connection {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) provider: Loose<String>,
}

/// Both views of one cluster, as `/me` sends them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Both<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cluster: Option<&'a PlatformCluster>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) external_cluster: Option<&'a ExternalCluster>,
}
