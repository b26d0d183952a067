//! What schedules work in a cluster.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Fill;
use super::fill::fill;

/// The family of orchestrator.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum OrchestratorType {
    /// Kubernetes, of any distribution.
    Kubernetes,
    /// Slurm.
    Slurm,
    /// Ray.
    Ray,
    /// Bare machines without an orchestrator.
    None,
    /// The provider does not say, or says a word that is not known.
    #[default]
    Unknown,
}

impl OrchestratorType {
    /// Every family.
    pub const ALL: [Self; 5] = [
        Self::Kubernetes,
        Self::Slurm,
        Self::Ray,
        Self::None,
        Self::Unknown,
    ];

    /// The word used in answers and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Slurm => "slurm",
            Self::Ray => "ray",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// Whether a newer version can be had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeStatus {
    /// The newest version that the provider offers.
    UpToDate,
    /// A newer version is offered.
    UpgradeAvailable,
    /// The provider no longer supports this version.
    Unsupported,
    /// The provider does not know, or says a word that is not known.
    #[default]
    Unknown,
}

/// What the provider says about upgrades.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upgrade {
    /// The normalized answer.
    pub status: UpgradeStatus,
    /// The next version, in the vendor's own writing.
    pub available: Option<String>,
}

/// What schedules work in the cluster, and where its API is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Orchestrator {
    /// The family.
    #[serde(rename = "type")]
    pub kind: OrchestratorType,
    /// The distribution in lower case: `rke2`, `lks`, `eks`, `gke`, `aks`, `k3s`, …
    pub distribution: Option<String>,
    /// The version without `v` and build metadata, such as `1.34.3`.
    pub version: Option<String>,
    /// The version as the vendor writes it.
    pub native_version: Option<String>,
    /// URL of the API server.
    pub endpoint: Option<String>,
    /// Whether a newer version can be had.
    pub upgrade: Option<Upgrade>,
}

impl Fill for Orchestrator {
    fn fill(&mut self, other: Self) {
        if self.kind == OrchestratorType::Unknown {
            self.kind = other.kind;
        }
        fill(&mut self.distribution, other.distribution);
        fill(&mut self.version, other.version);
        fill(&mut self.native_version, other.native_version);
        fill(&mut self.endpoint, other.endpoint);
        fill(&mut self.upgrade, other.upgrade);
    }
}
