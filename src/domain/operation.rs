//! Work that a vendor does on a cluster, and how far it is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is done; the vendor's own word is in `native_kind`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Makes a cluster's record.
    Create,
    /// Builds the infrastructure.
    Provision,
    /// Changes, scales or upgrades it.
    Update,
    /// Destroys the infrastructure.
    Destroy,
    /// Removes the record.
    Forget,
    /// The vendor says nothing, or a word that is not known.
    #[default]
    Unknown,
}

/// How far it is; the vendor's own word is in `native_status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Accepted, not begun.
    Pending,
    /// Being worked on.
    Running,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// The vendor says a word that is not known, or nothing shows how it ended; `done` still tells whether it has ended.
    #[default]
    Unknown,
}

/// One piece of infrastructure that an operation works on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationResource {
    /// Its name.
    pub name: Option<String>,
    /// What it is, in the vendor's words.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What is done to it, in the vendor's words.
    pub action: Option<String>,
    /// How far that is, in the vendor's words.
    pub status: Option<String>,
    /// How long it has taken, in a unit that the vendor does not tell.
    pub duration: Option<f64>,
}

/// How many pieces of infrastructure are how far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationCounts {
    /// All of them.
    pub total: Option<u64>,
    /// Not begun.
    pub pending: Option<u64>,
    /// Being worked on.
    pub running: Option<u64>,
    /// Ended well.
    pub succeeded: Option<u64>,
    /// Ended badly.
    pub failed: Option<u64>,
    /// In no need of work.
    pub unchanged: Option<u64>,
}

/// How far an operation is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationProgress {
    /// The stage, in the vendor's words.
    pub stage: Option<String>,
    /// The vendor's text for people.
    pub message: Option<String>,
    /// Counts of what it works on.
    pub counts: OperationCounts,
    /// What it works on; bounded.
    pub resources: Vec<OperationResource>,
}

/// Why an operation failed, in the vendor's words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationError {
    /// The vendor's code.
    pub code: Option<String>,
    /// The vendor's text for people.
    pub message: Option<String>,
    /// Whether trying again may help, if the vendor says.
    pub retryable: Option<bool>,
    /// Seconds to wait before, at the least.
    pub retry_after_seconds: Option<f64>,
    /// Fields of the request that are wrong, and why.
    pub fields: BTreeMap<String, String>,
}

/// Work on a cluster, as its vendor tells it.
///
/// What the gateway adds (its own id, source, cluster) is not part of this type.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// The vendor's id.
    pub native_id: String,
    /// What is done.
    pub kind: OperationKind,
    /// The vendor's word for it, verbatim.
    pub native_kind: Option<String>,
    /// How far it is.
    pub state: OperationState,
    /// The vendor's word for it, verbatim.
    pub native_status: Option<String>,
    /// Whether it has ended, well or badly.
    pub done: bool,
    /// How far it is in detail.
    pub progress: Option<OperationProgress>,
    /// Why it failed.
    pub error: Option<OperationError>,
    /// When it was asked for.
    pub created_at: Option<Timestamp>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it last moved.
    pub updated_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
}
