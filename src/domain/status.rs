//! The life-cycle state of a cluster.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Fill;
use super::fill::fill;

/// The normalized state; the vendor's own word is always beside it in `status.native`.
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
pub enum State {
    /// Recorded or accepted, nothing built yet.
    Pending,
    /// Being built.
    Provisioning,
    /// Up and, as far as the provider says, healthy.
    Running,
    /// Up, with something in it failing.
    Degraded,
    /// Up, and being scaled, upgraded or changed.
    Updating,
    /// Paused or stopped on purpose.
    Stopped,
    /// The provider has lost contact with it.
    Unreachable,
    /// Being removed.
    Deleting,
    /// Removed; the provider still lists the record.
    Deleted,
    /// Building or changing it failed.
    Failed,
    /// The provider says nothing, or a word that is not known.
    #[default]
    Unknown,
}

impl State {
    /// Every state, in the order of the life cycle.
    pub const ALL: [Self; 11] = [
        Self::Pending,
        Self::Provisioning,
        Self::Running,
        Self::Degraded,
        Self::Updating,
        Self::Stopped,
        Self::Unreachable,
        Self::Deleting,
        Self::Deleted,
        Self::Failed,
        Self::Unknown,
    ];

    /// The word used in answers and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Provisioning => "provisioning",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Updating => "updating",
            Self::Stopped => "stopped",
            Self::Unreachable => "unreachable",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What the provider says about the cluster's condition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The normalized state.
    pub state: State,
    /// The vendor's word, verbatim.
    pub native: Option<String>,
    /// Whether it is ready for workloads, if the vendor says.
    pub ready: Option<bool>,
    /// The vendor's reason code.
    pub reason: Option<String>,
    /// The vendor's text for people.
    pub message: Option<String>,
    /// When the state last changed, by the vendor's clock.
    pub since: Option<Timestamp>,
}

impl Fill for Status {
    fn fill(&mut self, other: Self) {
        if self.state == State::Unknown && self.native.is_none() {
            self.state = other.state;
        }
        fill(&mut self.native, other.native);
        fill(&mut self.ready, other.ready);
        fill(&mut self.reason, other.reason);
        fill(&mut self.message, other.message);
        fill(&mut self.since, other.since);
    }
}
