//! A snapshot as far as a caller sees: itself a snapshot, through which nothing else can be reached.
//!
//! What is hidden is left out once, where the view is made, and not in each question: sources that are not seen have no shelf,
//! and a shelf of which only some projects are seen begins each selection with these clusters alone. So no filter, order, sum
//! or page can forget it, and whoever sees everything pays for nothing.

use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringBitmap;

use super::shelf::Shelf;
use super::{Attempt, Inventory, Snapshot, SourceReport};
use crate::domain::Reach;

/// Views of one snapshot that are remembered at most. A view costs a few kilobytes; one more begins the memory anew.
const REMEMBERED: usize = 256;

/// A snapshot as far as a caller sees.
#[derive(Clone)]
pub struct View {
    whole: Arc<Snapshot>,
    /// `None` where everything is seen.
    seen: Option<Arc<Snapshot>>,
}

impl View {
    /// A snapshot as far as a reach goes, which is worked out once for each snapshot and reach.
    pub fn new(whole: Arc<Snapshot>, reach: &Reach) -> Self {
        let seen = (!reach.is_all()).then(|| whole.views.of(&whole, reach));
        Self { whole, seen }
    }

    /// What is seen, to be held for longer.
    pub fn seen(&self) -> &Arc<Snapshot> {
        self.seen.as_ref().unwrap_or(&self.whole)
    }

    /// Keeps what is behind the view for a reader that walks through it page by page.
    pub fn retain_in(&self, inventory: &Inventory) {
        inventory.retain(&self.whole);
    }
}

impl Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        self.seen()
    }
}

/// Views of one snapshot that were asked for before, by the fingerprint of their reach. They go when the snapshot goes.
#[derive(Default)]
pub(super) struct Views(Mutex<HashMap<u128, Arc<Snapshot>>>);

impl Views {
    fn of(&self, whole: &Snapshot, reach: &Reach) -> Arc<Snapshot> {
        let fingerprint = reach.fingerprint();
        if let Some(seen) = self.lock().get(&fingerprint) {
            return Arc::clone(seen);
        }
        // Worked out without the lock, since others need not wait for it.
        let seen = Arc::new(narrow(whole, reach, fingerprint));
        let mut views = self.lock();
        if views.len() >= REMEMBERED {
            views.clear();
        }
        views.insert(fingerprint, Arc::clone(&seen));
        seen
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Arc<Snapshot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn narrow(whole: &Snapshot, reach: &Reach, fingerprint: u128) -> Snapshot {
    let shelves = whole
        .shelves
        .iter()
        .filter(|shelf| reach.sees(&shelf.report.name))
        .map(|shelf| match &reach.projects {
            None => Arc::clone(shelf),
            Some(projects) => Arc::new(of_projects(shelf, projects)),
        });
    let mut seen = Snapshot::new(whole.generation, whole.as_of, shelves.collect());
    seen.reach = fingerprint;
    seen.is_of_then = whole.is_of_then;
    seen.variant = whole.variant;
    seen
}

/// A shelf of which only the clusters of some projects are seen.
pub(super) fn of_projects(shelf: &Shelf, projects: &BTreeSet<String>) -> Shelf {
    let content = &shelf.content;
    let mut seen = RoaringBitmap::new();
    for numbers in projects
        .iter()
        .filter_map(|project| content.index.of_project(project))
    {
        seen |= numbers;
    }
    let is_pending = |number: &u32| content.entries[*number as usize].detail.is_none();
    let details_pending = if shelf.report.details_pending == 0 {
        0
    } else {
        seen.iter().filter(is_pending).count()
    };
    let clusters = usize::try_from(seen.len()).unwrap_or(usize::MAX);
    let mut next = shelf.clone();
    next.report = Arc::new(partial(&shelf.report, clusters, details_pending));
    next.seen = Some(seen);
    next
}

/// A report without what would tell how many clusters there are beside the ones that are seen. Whether items are missing stays:
/// of an item that could not be read nobody knows the project.
fn partial(report: &SourceReport, clusters: usize, details_pending: usize) -> SourceReport {
    let attempts = report.attempts.iter().map(|attempt| Attempt {
        pages: 0,
        clusters: None,
        rejected: 0,
        ..attempt.clone()
    });
    SourceReport {
        is_partial: true,
        clusters,
        details_pending,
        rejected: 0,
        omitted: report.omitted.min(1),
        warnings: Vec::new(),
        attempts: attempts.collect(),
        ..report.clone()
    }
}
