//! A generation in the making.

use std::collections::{BTreeMap, HashSet, btree_map};
use std::sync::Arc;

use super::super::change::{Cause, Change};
use super::super::diff::difference;
use super::super::journal::Delta;
use super::super::shelf::Shelf;
use crate::domain::ClusterId;

/// A step of one source.
pub(super) struct Step {
    pub(super) source: usize,
    pub(super) cause: Cause,
    pub(super) attempted: bool,
    pub(super) next: Shelf,
}

/// A generation in the making.
#[derive(Default)]
pub(super) struct Making {
    pub(super) deltas: BTreeMap<usize, Delta>,
    pub(super) changes: Vec<Change>,
    pub(super) noise: Vec<Change>,
}

impl Making {
    /// Takes a source one step further.
    pub(super) fn add(&mut self, shelves: &mut [Arc<Shelf>], step: Step) {
        let shelf = Arc::new(step.next);
        let before = std::mem::replace(&mut shelves[step.source], Arc::clone(&shelf));
        let found = difference(&before, &shelf, step.cause);
        self.changes.extend(found.changes);
        self.noise.extend(found.noise);
        let attempt = step
            .attempted
            .then(|| shelf.report.attempts.front().cloned())
            .flatten();
        let removed = found.removed.into_iter().map(|entry| entry.row.id.clone());
        match self.deltas.entry(step.source) {
            btree_map::Entry::Vacant(place) => {
                place.insert(Delta {
                    report: Arc::clone(&shelf.report),
                    attempt,
                    cause: step.cause,
                    upserts: found.upserts,
                    removed: removed.collect(),
                    shelf,
                });
            }
            btree_map::Entry::Occupied(mut place) => {
                let delta = place.get_mut();
                // What the last step says of a cluster is what there is.
                let removed: Vec<ClusterId> = removed.collect();
                let last: HashSet<&ClusterId> = found
                    .upserts
                    .iter()
                    .map(|entry| &entry.row.id)
                    .chain(&removed)
                    .collect();
                delta.upserts.retain(|entry| !last.contains(&entry.row.id));
                delta.removed.retain(|id| !last.contains(id));
                drop(last);
                delta.upserts.extend(found.upserts);
                delta.removed.extend(removed);
                delta.report = Arc::clone(&shelf.report);
                delta.attempt = attempt.or(delta.attempt.take());
                delta.cause = step.cause;
                delta.shelf = shelf;
            }
        }
    }
}
