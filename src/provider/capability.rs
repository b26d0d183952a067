//! What a provider can do and say, as data that tests, the API and the docs read.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Vantage;

/// Something that can be asked of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// List every cluster of the account.
    List,
    /// Read one cluster's detail.
    Describe,
    /// Read the nodes of one cluster.
    Nodes,
    /// Read one cluster's health: as the vendor checks it, or as it follows from the detail.
    Health,
    /// Read the kubeconfig of one cluster.
    Kubeconfig,
    /// Read what the vendor measured of one cluster over a period.
    Metrics,
    /// Make a cluster, or the record of one.
    Create,
    /// Change, scale or upgrade a cluster.
    Update,
    /// Build the infrastructure of a cluster that is only a record.
    Provision,
    /// Destroy the infrastructure of a cluster.
    Destroy,
    /// Remove the record of a cluster.
    Forget,
    /// Read how far the vendor's work on a cluster is.
    Operations,
}

impl Capability {
    /// Everything that can be asked of any provider.
    pub const ALL: [Self; 12] = [
        Self::List,
        Self::Describe,
        Self::Nodes,
        Self::Health,
        Self::Kubeconfig,
        Self::Metrics,
        Self::Create,
        Self::Update,
        Self::Provision,
        Self::Destroy,
        Self::Forget,
        Self::Operations,
    ];

    /// The word used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Describe => "describe",
            Self::Nodes => "nodes",
            Self::Health => "health",
            Self::Kubeconfig => "kubeconfig",
            Self::Metrics => "metrics",
            Self::Create => "create",
            Self::Update => "update",
            Self::Provision => "provision",
            Self::Destroy => "destroy",
            Self::Forget => "forget",
            Self::Operations => "operations",
        }
    }

    /// Whether it changes something at the vendor.
    pub const fn is_write(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Update | Self::Provision | Self::Destroy | Self::Forget
        )
    }
}

/// What a provider can do and say. Each claim is checked against the simulated vendor.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Capabilities {
    /// Whether it runs clusters or watches them.
    pub vantage: Vantage,
    /// What can be asked of it; anything else is `CAPABILITY_NOT_SUPPORTED`.
    #[schema(value_type = Vec<Capability>)]
    pub operations: &'static [Capability],
    /// Fields of a cluster that this provider can fill; a null in any other field means that it never says.
    #[schema(value_type = Vec<String>)]
    pub reports: &'static [&'static str],
    /// Fields that only the detail call fills, so that they are null until it was made.
    #[schema(value_type = Vec<String>)]
    pub detail_only: &'static [&'static str],
}

impl Capabilities {
    /// Whether an operation can be asked of it.
    pub fn supports(&self, operation: Capability) -> bool {
        self.operations.contains(&operation)
    }
}
