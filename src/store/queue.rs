//! What is not yet durable, bounded; pure.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::write::{Begun, Commit, Written};
use crate::domain::SourceName;
use crate::inventory::journal::{Delta, Publication};
use crate::inventory::{Attempt, Batch};

/// What may wait to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of changes.
    pub(super) bytes: usize,
    /// Generations with changes.
    pub(super) batches: usize,
    /// Attempts to read sources.
    pub(super) attempts: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            batches: 10_000,
            attempts: 10_000,
        }
    }
}

/// What is not yet durable.
///
/// Of each source only the last state waits, however many publications it took: what is written is what there is. Changes and
/// attempts wait one by one; the oldest make room where there are too many.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bounds: Bounds,
    generation: u64,
    publications: u64,
    sources: BTreeMap<SourceName, Written>,
    /// Sources of which the store has what memory had before what waits here.
    in_line: HashSet<SourceName>,
    /// The last state of every source, to begin anew with.
    last: HashMap<SourceName, Delta>,
    batches: VecDeque<Arc<Batch>>,
    weight: usize,
    attempts: VecDeque<(SourceName, Attempt)>,
    lost: Lost,
    whole_from: Option<u64>,
    whole_at: Option<Timestamp>,
    origin: Option<Origin>,
    /// How this process began, and whether the store is still to be told.
    begun: Option<Begun>,
    is_begun_told: bool,
    /// The last generation that is durable; at the beginning the first one.
    settled: u64,
    /// When the last generation was published.
    at: Option<Timestamp>,
}

/// What a process goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This generation, of which the store has all that was shown.
    After(u64),
    /// Nothing that is known: what is in the store may not be what was shown.
    Unknown,
}

/// What made room and is nowhere now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lost {
    pub(super) changes: u64,
    pub(super) attempts: u64,
}

impl Queue {
    pub(super) fn new(in_line: HashSet<SourceName>, bounds: Bounds) -> Self {
        Self {
            bounds,
            in_line,
            ..Self::default()
        }
    }

    /// Says what the process goes on from; to be called before anything is added.
    pub(super) fn from(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Changes before this generation are not all kept, and the store does not know it yet.
    pub(super) fn whole_from(&self) -> Option<u64> {
        self.whole_from
    }

    /// Publications that wait.
    pub(super) fn publications(&self) -> u64 {
        self.publications
    }

    pub(super) fn lost(&self) -> Lost {
        self.lost
    }

    /// Adds a publication.
    pub(super) fn add(&mut self, publication: Publication) {
        self.generation = publication.generation;
        self.at = Some(publication.at);
        self.publications += 1;
        if let Some(origin) = self.origin.take() {
            self.begin(origin, &publication);
        }
        for mut delta in publication.deltas {
            let name = delta.source().clone();
            if let Some(attempt) = delta.attempt.take() {
                self.attempts.push_back((name.clone(), attempt));
            }
            self.last.insert(name.clone(), delta.settled());
            // Two steps are written as the one state that they lead to.
            let is_whole = !self.in_line.contains(&name) || self.sources.contains_key(&name);
            let delta = if is_whole { delta.settled() } else { delta };
            self.sources.insert(name, Written { delta, is_whole });
        }
        if let Some(batch) = publication.batch {
            self.weight += batch.weight();
            self.batches.push_back(batch);
        }
        self.make_room();
    }

    fn begin(&mut self, origin: Origin, publication: &Publication) {
        let first = publication.generation;
        self.settled = first;
        let after = match origin {
            Origin::After(generation) => Some(generation),
            Origin::Unknown => {
                self.lose_until(first, Some(publication.at));
                None
            }
        };
        self.begun = Some(Begun {
            first,
            after,
            at: publication.at,
        });
    }

    /// Takes note that not all changes up to a generation are kept.
    fn lose_until(&mut self, generation: u64, at: Option<Timestamp>) {
        self.whole_from = self.whole_from.max(Some(generation + 1));
        self.whole_at = self.whole_at.max(at);
    }

    /// Takes out all that waits; `None` where nothing does.
    pub(super) fn take(&mut self) -> Option<Commit> {
        if self.publications == 0 {
            return None;
        }
        self.publications = 0;
        self.weight = 0;
        Some(Commit {
            generation: self.generation,
            sources: std::mem::take(&mut self.sources).into_values().collect(),
            batches: self.batches.drain(..).collect(),
            attempts: self.attempts.drain(..).collect(),
            whole_from: self.whole_from,
            whole_at: self.whole_at,
            begun: self.begun.filter(|_| !self.is_begun_told),
        })
    }

    /// Takes note that what was taken out is durable.
    pub(super) fn done(&mut self, commit: &Commit) {
        for written in &commit.sources {
            // Of a source that was never read nothing was written.
            if !written.is_skipped() {
                self.in_line.insert(written.delta.source().clone());
            }
        }
        if self.whole_from == commit.whole_from {
            (self.whole_from, self.whole_at) = (None, None);
        }
        self.is_begun_told |= commit.begun.is_some();
        self.settled = self.settled.max(commit.generation);
    }

    /// Takes back what was taken out and may not be durable, though it may be. A store that was begun anew has nothing.
    pub(super) fn failed(&mut self, commit: Commit, is_new: bool) {
        self.generation = self.generation.max(commit.generation);
        self.publications += 1;
        for Written { delta, .. } in commit.sources {
            let name = delta.source().clone();
            self.in_line.remove(&name);
            self.add_whole(name, &delta);
        }
        if is_new {
            // What was there is gone with it; all that changed since the last commit is here.
            self.lose_until(self.settled, self.at);
            self.is_begun_told = false;
            if let Some(begun) = &mut self.begun {
                begun.after = None;
            }
            self.in_line.clear();
            let last: Vec<(SourceName, Delta)> = self.last.clone().into_iter().collect();
            for (name, delta) in last {
                self.add_whole(name, &delta);
            }
        }
        for batch in commit.batches.into_iter().rev() {
            self.weight += batch.weight();
            self.batches.push_front(batch);
        }
        for attempt in commit.attempts.into_iter().rev() {
            self.attempts.push_front(attempt);
        }
        self.make_room();
    }

    /// Has all of a source written; what waits already is newer.
    fn add_whole(&mut self, name: SourceName, delta: &Delta) {
        let waiting = self.sources.entry(name).or_insert_with(|| Written {
            delta: delta.settled(),
            is_whole: true,
        });
        waiting.is_whole = true;
    }

    fn make_room(&mut self) {
        while self.weight > self.bounds.bytes || self.batches.len() > self.bounds.batches {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            self.weight -= oldest.weight();
            self.lost.changes += oldest.len() as u64;
            self.lose_until(oldest.generation, Some(oldest.at));
        }
        while self.attempts.len() > self.bounds.attempts {
            self.attempts.pop_front();
            self.lost.attempts += 1;
        }
    }
}
