//! How much room an answer takes in memory.

use crate::domain::{ClusterMetrics, Health, Node, Operation};
use crate::provider::Described;

/// How many bytes an answer takes, roughly.
pub(super) trait Weigh {
    fn weight(&self) -> usize;
}

impl Weigh for Described {
    fn weight(&self) -> usize {
        let raw = self.raw.as_ref().map_or(0, |raw| raw.get().len());
        4_096 + raw + self.nodes.as_ref().map_or(0, Weigh::weight)
    }
}

impl Weigh for Vec<Node> {
    fn weight(&self) -> usize {
        256 + self.len() * 1_024
    }
}

impl Weigh for Health {
    fn weight(&self) -> usize {
        let groups = self.node_groups.as_ref().map_or(0, Vec::len);
        let pods = self.system_pods.as_ref().map_or(0, Vec::len);
        512 + (groups + pods) * 256
    }
}

impl Weigh for ClusterMetrics {
    fn weight(&self) -> usize {
        let points: usize = self.series.iter().map(|series| series.points.len()).sum();
        512 + points * 64
    }
}

impl Weigh for Operation {
    fn weight(&self) -> usize {
        let resources = self
            .progress
            .as_ref()
            .map_or(0, |progress| progress.resources.len());
        1_024 + resources * 256
    }
}

impl Weigh for Vec<Operation> {
    fn weight(&self) -> usize {
        256 + self.iter().map(Weigh::weight).sum::<usize>()
    }
}
