//! What is known now.

mod source;

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

pub use source::{ATTEMPTS, Attempt, Freshness, SourceReport};

use crate::domain::SourceName;
use crate::upstream::Vitals;

/// Everything known at one moment; immutable.
pub struct Snapshot {
    /// Counts up with every publication, also across restarts.
    pub generation: u64,
    /// When it was published.
    pub as_of: Timestamp,
    sources: Vec<Arc<SourceReport>>,
}

impl Snapshot {
    /// Every source, by name.
    pub fn sources(&self) -> &[Arc<SourceReport>] {
        &self.sources
    }

    /// One source.
    pub fn source(&self, name: &str) -> Option<&Arc<SourceReport>> {
        self.sources
            .iter()
            .find(|source| source.name.as_str() == name)
    }
}

/// The readers' side: the current snapshot, swapped whole.
pub struct Inventory {
    current: arc_swap::ArcSwap<Snapshot>,
    changed: watch::Sender<u64>,
}

impl Inventory {
    /// The current snapshot; never waits.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Tells of each new generation.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

/// What can be asked of the tasks behind the inventory.
pub trait Control: Send + Sync {
    /// Asks for a refresh of one source, joining one that is already asked for; `None` when there is no such source.
    fn refresh(&self, source: &SourceName) -> Option<Requested>;
    /// What the source's outbound stack has seen; `None` when there is no such source.
    fn vitals(&self, source: &SourceName) -> Option<Vitals>;
}

/// A refresh that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// Whether a refresh was already running or asked for, which this one joined.
    pub joined: bool,
    /// The vendor asked not to be called before this time; the refresh waits for it.
    pub not_before: Option<Timestamp>,
}

// For the tests of the API only.
#[cfg(test)]
impl Inventory {
    /// An inventory of which nothing but these reports is known.
    pub(crate) fn with_reports(
        generation: u64,
        as_of: Timestamp,
        reports: Vec<SourceReport>,
    ) -> Self {
        let sources = reports.into_iter().map(Arc::new).collect();
        let snapshot = Snapshot {
            generation,
            as_of,
            sources,
        };
        Self {
            current: arc_swap::ArcSwap::from_pointee(snapshot),
            changed: watch::Sender::new(generation),
        }
    }
}
