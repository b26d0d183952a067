//! How much a cluster has and how much of it is used.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Fill;
use super::fill::fill;

/// What the cluster has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Capacity {
    /// Processor cores of all nodes.
    pub cpu_cores: Option<f64>,
    /// Cores that can be scheduled.
    pub cpu_allocatable_cores: Option<f64>,
    /// Memory of all nodes.
    pub memory_bytes: Option<u64>,
    /// Memory that can be scheduled.
    pub memory_allocatable_bytes: Option<u64>,
    /// Storage.
    pub storage_bytes: Option<u64>,
    /// Pods that can be scheduled.
    pub pods: Option<u64>,
}

/// What the vendor says is used; only what it reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Utilization {
    /// Processor use, 0 to 100.
    pub cpu_percent: Option<f64>,
    /// Cores in use.
    pub cpu_used_cores: Option<f64>,
    /// Cores requested by workloads.
    pub cpu_requested_cores: Option<f64>,
    /// Memory use, 0 to 100.
    pub memory_percent: Option<f64>,
    /// Memory in use.
    pub memory_used_bytes: Option<u64>,
    /// Memory requested by workloads.
    pub memory_requested_bytes: Option<u64>,
    /// Accelerator use, 0 to 100.
    pub gpu_percent: Option<f64>,
    /// Accelerator memory in use.
    pub gpu_memory_used_bytes: Option<u64>,
    /// Pods that run.
    pub pods_running: Option<u64>,
    /// Container restarts so far.
    pub restarts_total: Option<u64>,
    /// Containers killed for memory so far.
    pub oom_kills_total: Option<u64>,
    /// When the vendor took these figures.
    pub as_of: Option<Timestamp>,
}

impl Fill for Capacity {
    fn fill(&mut self, other: Self) {
        fill(&mut self.cpu_cores, other.cpu_cores);
        fill(&mut self.cpu_allocatable_cores, other.cpu_allocatable_cores);
        fill(&mut self.memory_bytes, other.memory_bytes);
        fill(
            &mut self.memory_allocatable_bytes,
            other.memory_allocatable_bytes,
        );
        fill(&mut self.storage_bytes, other.storage_bytes);
        fill(&mut self.pods, other.pods);
    }
}
