//! What a provider can do and say, as data that tests, the API and the docs read.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Vantage;

/// Something that can be asked of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// List every cluster of the account.
    List,
    /// Read one cluster's detail.
    Describe,
    /// Read the nodes of one cluster.
    Nodes,
}

/// What a provider can do and say. Each claim is checked against the simulated vendor.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Capabilities {
    /// Whether it runs clusters or watches them.
    pub vantage: Vantage,
    /// What can be asked of it; anything else is `CAPABILITY_NOT_SUPPORTED`.
    #[schema(value_type = Vec<Operation>)]
    pub operations: &'static [Operation],
    /// Fields of a cluster that this provider can fill; a null in any other field means that it never says.
    #[schema(value_type = Vec<String>)]
    pub reports: &'static [&'static str],
    /// Fields that only the detail call fills, so that they are null until it was made.
    #[schema(value_type = Vec<String>)]
    pub detail_only: &'static [&'static str],
}

impl Capabilities {
    /// Whether an operation can be asked of it.
    pub fn supports(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }
}
