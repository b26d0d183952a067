//! What is known now, complete or admittedly not.
//!
//! One writer ([`Keeper`]) takes the outcomes of one refresh task for each source and publishes immutable [`Snapshot`]s;
//! readers take the current one from the [`Inventory`] and never wait. What a reader would compute, the snapshot holds ready:
//! each cluster's JSON, an order for each sort key, a bitmap for each filter value, the sums of what can be added. All of it is
//! kept for each source apart, so that a refresh of one source leaves the others' as they are.

mod account;
mod batch;
mod begin;
mod change;
mod columns;
pub mod completeness;
mod diff;
mod exact;
mod facts;
mod feed;
pub mod hours;
mod index;
pub mod journal;
mod keeper;
mod links;
mod mark;
mod order;
mod passing;
pub mod past;
mod prepare;
pub mod query;
mod record;
mod refresh;
pub mod replicas;
mod row;
mod select;
mod shelf;
mod shown;
mod snapshot;
mod source;
mod summary;
mod then;
pub mod token;
mod view;
mod walk;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

pub use batch::{Batch, Interest, Moment, Selection};
pub use change::{Cause, Change, ChangeKind, FieldChange, Was};
pub use completeness::{Completeness, Coverage};
pub use feed::Feed;
pub use keeper::{Keeper, Schedule, Source};
pub use mark::Mark;
pub use prepare::Prepared;
pub use row::Row;
pub use select::{Found, Place};
pub use shelf::{Detailed, Outcome};
pub use shown::Shown;
pub use snapshot::Snapshot;
pub use source::{ATTEMPTS, Attempt, Freshness, SourceReport};
pub use summary::{Sum, Summary};
pub use then::Undo;
pub use view::View;

use crate::domain::SourceName;
use crate::upstream::Vitals;

/// Past generations kept for readers that walk through them.
const RETAINED: usize = 8;

/// The readers' side: the current snapshot, swapped whole.
pub struct Inventory {
    current: arc_swap::ArcSwap<Snapshot>,
    changed: watch::Sender<u64>,
    feed: Feed,
    retained: Mutex<VecDeque<Arc<Snapshot>>>,
    /// The last generation that was kept for a walk that began here.
    walked: watch::Sender<u64>,
    /// Generations that are wanted for a walk that began elsewhere, and are not here yet.
    awaited: Mutex<VecDeque<u64>>,
    /// Snapshots that nobody needs any more but those who are reading them.
    outgoing: Mutex<Vec<Arc<Snapshot>>>,
}

impl Inventory {
    pub(crate) fn new(first: Snapshot) -> Self {
        let changed = watch::Sender::new(first.generation);
        Self {
            feed: Feed::new(first.generation, first.as_of),
            current: arc_swap::ArcSwap::from_pointee(first),
            changed,
            retained: Mutex::default(),
            walked: watch::Sender::default(),
            awaited: Mutex::default(),
            outgoing: Mutex::default(),
        }
    }

    /// The current snapshot; never waits.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// What changed lately.
    pub fn feed(&self) -> &Feed {
        &self.feed
    }

    /// Tells of each new generation.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Keeps a snapshot for a reader that walks through it page by page; the oldest of a few makes room.
    pub fn retain(&self, snapshot: &Arc<Snapshot>) {
        if self.hold(snapshot) {
            self.walked.send_replace(snapshot.generation);
        }
    }

    /// Keeps a generation for a reader that walks through it at another gateway, now or when it is published here.
    fn retain_at(&self, generation: u64) {
        let current = self.current();
        if generation > current.generation {
            let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            awaited.push_back(generation);
            if awaited.len() > RETAINED {
                awaited.pop_front();
            }
            return;
        }
        let is_wanted = |snapshot: &&Arc<Snapshot>| snapshot.generation == generation;
        let last = self.outgoing().iter().find(is_wanted).cloned();
        let found = Some(&current).filter(is_wanted).or(last.as_ref());
        if let Some(snapshot) = found {
            self.hold(snapshot);
        }
    }

    /// Keeps a snapshot; `false` where it is kept already.
    fn hold(&self, snapshot: &Arc<Snapshot>) -> bool {
        let mut retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        if retained
            .iter()
            .any(|kept| kept.generation == snapshot.generation)
        {
            return false;
        }
        retained.push_back(Arc::clone(snapshot));
        while retained.len() > RETAINED {
            self.outgoing().extend(retained.pop_front());
        }
        true
    }

    /// The snapshot of one generation, if it is the current one or kept for a walk.
    pub fn at(&self, generation: u64) -> Option<Arc<Snapshot>> {
        let current = self.current();
        if current.generation == generation {
            return Some(current);
        }
        let retained = self.retained.lock().unwrap_or_else(PoisonError::into_inner);
        retained
            .iter()
            .find(|snapshot| snapshot.generation == generation)
            .cloned()
    }

    fn publish(&self, next: Snapshot) {
        let generation = next.generation;
        let next = Arc::new(next);
        let is_awaited = {
            let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
            let had = awaited.len();
            awaited.retain(|wanted| *wanted > generation);
            had > awaited.len()
        };
        if is_awaited {
            self.hold(&next);
        }
        let last = self.current.swap(next);
        self.outgoing().push(last);
        self.changed.send_replace(generation);
    }

    /// Drops the snapshots that nobody reads any more.
    ///
    /// To free a large one takes dozens of milliseconds, so it is not left to the reader who happens to be the last.
    fn sweep(&self) {
        let unread = |snapshot: &mut Arc<Snapshot>| Arc::strong_count(snapshot) == 1;
        let unread: Vec<_> = self.outgoing().extract_if(.., unread).collect();
        drop(unread);
    }

    fn outgoing(&self) -> MutexGuard<'_, Vec<Arc<Snapshot>>> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time on our clock, in whole milliseconds: more would only make answers longer.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// What can be asked of the tasks behind the inventory.
pub trait Control: Send + Sync {
    /// Asks for a refresh of one source, joining one that is already asked for; `None` when there is no such source.
    fn refresh(&self, source: &SourceName) -> Option<Requested>;
    /// What the source's outbound stack has seen; `None` when there is no such source.
    fn vitals(&self, source: &SourceName) -> Option<Vitals>;
    /// The same, of the calls of this gateway alone, where others read the source as well.
    fn own_vitals(&self, source: &SourceName) -> Option<Vitals> {
        self.vitals(source)
    }
    /// Whether nothing is published any more, since of the tasks that do so one failed.
    fn has_failed(&self) -> bool {
        false
    }
}

/// A refresh that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requested {
    /// Whether a refresh was already asked for or about to begin, which this one joined.
    pub joined: bool,
    /// The vendor asked not to be called before this time; the refresh waits for it.
    pub not_before: Option<Timestamp>,
}

#[cfg(test)]
pub(crate) use keeper::testing;

#[cfg(test)]
impl Inventory {
    /// An inventory of which nothing but these reports is known; for the tests of the API.
    pub(crate) fn with_reports(
        generation: u64,
        as_of: Timestamp,
        reports: Vec<SourceReport>,
    ) -> Self {
        let shelves = reports
            .into_iter()
            .map(|report| Arc::new(shelf::Shelf::new(report, std::time::Duration::MAX)))
            .collect();
        Self::new(Snapshot::new(generation, as_of, shelves))
    }
}

#[cfg(test)]
pub(crate) mod authoring;
#[cfg(test)]
mod tests;
