//! Publications for tests of what keeps them: one source, listing by listing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::SourceReport;
use super::batch::Batch;
use super::change::Cause;
use super::diff::difference;
use super::facts::Interner;
use super::journal::{Delta, Publication};
use super::prepare::Preparing;
use super::shelf::{Outcome, Shelf};
use crate::domain::{Cluster, Kind, SourceName, Vantage};
use crate::provider::{ErrorKind, Gather as _, Listed, Listing, Locator, Warnings};

/// One source and what becomes of it.
pub(crate) struct Author {
    shelf: Arc<Shelf>,
    texts: Arc<Mutex<Interner>>,
    clock: i64,
}

impl Author {
    pub(crate) fn new(source: &str) -> Self {
        let name = SourceName::new(source).unwrap();
        let report = SourceReport::new(name, Kind::new("test"), Duration::from_mins(1));
        Self {
            shelf: Arc::new(Shelf::new(report, Duration::from_hours(1))),
            texts: Arc::default(),
            clock: 0,
        }
    }

    /// The publication of a listing of these clusters, each an id and a name.
    pub(crate) fn list(&mut self, generation: u64, clusters: &[(String, String)]) -> Publication {
        let listed = clusters.iter().map(|(id, name)| Listed {
            cluster: Cluster::new(
                &self.shelf.report.name,
                Kind::new("test"),
                id,
                name.clone(),
                Vantage::Hosts,
            ),
            locator: Locator::new(id),
            raw: None,
            nodes: None,
        });
        let listed = listed.collect();
        self.end(generation, Ok(listed))
    }

    /// The publication of a failed listing.
    pub(crate) fn fail(&mut self, generation: u64) -> Publication {
        self.end(generation, Err(ErrorKind::Deadline))
    }

    fn end(&mut self, generation: u64, result: Result<Vec<Listed>, ErrorKind>) -> Publication {
        self.clock += 1;
        let at = Timestamp::from_second(1_800_000_000 + self.clock).unwrap();
        let mut preparing = Preparing {
            shelf: Arc::clone(&self.shelf),
            texts: Arc::clone(&self.texts),
            now: at,
        };
        let result = result.map(|listed| Listing {
            clusters: listed.into_iter().map(|one| preparing.take(one)).collect(),
            rejected: Vec::new(),
            warnings: Warnings::default(),
            pages: 1,
        });
        let outcome = Outcome {
            started_at: at,
            based_on: generation - 1,
            took: Duration::ZERO,
            result: result.map_err(|kind| (kind, 0)),
            next_attempt_at: None,
        };
        let next = Arc::new(self.shelf.after(outcome, false));
        let before = std::mem::replace(&mut self.shelf, Arc::clone(&next));
        let found = difference(&before, &next, Cause::Vendor);
        let removed = found.removed.iter().map(|entry| entry.row.id.clone());
        Publication {
            generation,
            at,
            deltas: vec![Delta {
                report: Arc::clone(&next.report),
                attempt: next.report.attempts.front().cloned(),
                cause: Cause::Vendor,
                upserts: found.upserts,
                removed: removed.collect(),
                shelf: next,
            }],
            batch: Batch::new(generation, at, found.changes).map(Arc::new),
        }
    }
}
