//! One machine of a cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Accelerator, Agent, Cost};

/// What a node is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Runs the control plane.
    ControlPlane,
    /// Runs workloads.
    Worker,
    /// The provider does not say, or says a word that is not known.
    #[default]
    Unknown,
}

/// The normalized state of a node; the vendor's own word is in `native_status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Being built or joining.
    Pending,
    /// Up and schedulable.
    Ready,
    /// Up, and not ready.
    NotReady,
    /// Failed, or what watches it failed.
    Failed,
    /// Excluded on purpose.
    Disabled,
    /// Being removed.
    Deleting,
    /// The provider does not say, or says a word that is not known.
    #[default]
    Unknown,
}

/// Names a node can be reached by, as text: vendors send malformed ones, so they are not parsed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Addresses {
    /// Address inside the cluster's network.
    pub internal: Option<String>,
    /// Address outside of it.
    pub external: Option<String>,
    /// DNS name.
    pub dns: Option<String>,
}

/// One machine of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// The vendor's id of the node.
    pub id: String,
    /// Display name.
    pub name: Option<String>,
    /// Host name.
    pub hostname: Option<String>,
    /// What it is for.
    pub role: NodeRole,
    /// Normalized state.
    pub state: NodeState,
    /// The vendor's word, verbatim.
    pub native_status: Option<String>,
    /// Whether it is ready for workloads, if the vendor says.
    pub ready: Option<bool>,
    /// Machine type or plan.
    pub instance_type: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Availability zone.
    pub zone: Option<String>,
    /// Processor architecture.
    pub architecture: Option<String>,
    /// Operating system.
    pub os: Option<String>,
    /// Names it can be reached by.
    pub addresses: Addresses,
    /// Accelerators in it.
    pub accelerators: Vec<Accelerator>,
    /// What it costs.
    pub cost: Option<Cost>,
    /// The vendor's agent on it.
    pub agent: Option<Agent>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, by the vendor's clock.
    pub created_at: Option<Timestamp>,
    /// When the vendor last saw it.
    pub observed_at: Option<Timestamp>,
}
