//! What a caller wants a cluster to be, in words that hold for every provider.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A group of nodes as it should be. What is left out stays as it is, or is the provider's default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeGroupSpec {
    /// Its name; a provider that has only one group takes any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "system")]
    pub name: Option<String>,
    /// Machine types or plans, the preferred first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_types: Option<Vec<String>>,
    /// Fewest nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<u32>,
    /// Most nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u32>,
    /// Nodes wanted now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_size: Option<u32>,
    /// Disk of each node, in GB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<u32>,
}

/// A cluster to be made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSpec {
    /// Its name.
    pub name: String,
    /// Region or site, in the provider's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Version of the orchestrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1.35")]
    pub version: Option<String>,
    /// The project it belongs to, by the provider's id, where the provider has projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Groups of nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_groups: Vec<NodeGroupSpec>,
    /// Ranges that may reach the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access_cidrs: Option<Vec<String>>,
    /// What only this provider needs, under its own keys; unknown keys are errors.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub options: Map<String, Value>,
}

/// A change of a cluster: what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterPatch {
    /// A new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A newer version of the orchestrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "1.36")]
    pub version: Option<String>,
    /// Groups of nodes, found by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_groups: Vec<NodeGroupSpec>,
    /// Ranges that may reach the API server; all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_access_cidrs: Option<Vec<String>>,
    /// What only this provider has, under its own keys; unknown keys are errors.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub options: Map<String, Value>,
}

impl ClusterPatch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
