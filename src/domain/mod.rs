//! The unified model: one [`Cluster`] for every provider.
//!
//! This module performs no I/O, is not async, reads no clock and knows no vendor's word. Three rules hold for every field:
//! absent, empty and zero are three things (`None` means that the provider does not say); the vendor's own word stands beside
//! every normalized one (`native`); and the vendor's clock (`observed_at`) never stands in for ours (`fetched_at`).

mod accelerator;
mod capacity;
mod cluster;
mod fill;
mod health;
mod id;
mod metrics;
mod money;
mod node;
mod number;
mod operation;
mod orchestrator;
mod reach;
mod spec;
mod status;
mod time;
mod version;

pub use accelerator::{Accelerator, Interconnect};
pub use capacity::{Capacity, Utilization};
pub use cluster::{
    Agent, Cluster, Identifier, Location, Network, NodeCounts, Owner, Presence, Project, Step,
    Vantage,
};
pub use fill::Fill;
pub use health::{Health, HealthOrigin, HealthStatus, NodeGroup, NodeTally, SystemPod};
pub use id::{ClusterId, InvalidName, Kind, OperationId, SourceName};
pub use metrics::{ClusterMetrics, InvalidPeriod, Period, Point, Series};
pub use money::{Cost, CostOrigin, Money};
pub use node::{Addresses, Node, NodeRole, NodeState};
pub use number::{count, finite, percent};
pub use operation::{
    Operation, OperationCounts, OperationError, OperationKind, OperationProgress,
    OperationResource, OperationState,
};
pub use orchestrator::{Orchestrator, OrchestratorType, Upgrade, UpgradeStatus};
pub use reach::Reach;
pub use spec::{ClusterPatch, ClusterSpec, NodeGroupSpec};
pub use status::{State, Status};
pub use time::timestamp;
pub use version::Version;
