//! Operations that this gateway knows: those that it started, and those that it saw at a cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::follow::Follow;
use crate::domain::{ClusterId, Kind, Operation, OperationId, OperationState, SourceName};

/// Who tells how far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperationOrigin)]
pub enum Origin {
    /// The vendor has a record of it.
    Vendor,
    /// The vendor has none: it follows from the cluster's state.
    Gateway,
}

/// An operation and what the gateway knows about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Its id.
    pub id: OperationId,
    /// The source at whose vendor it runs.
    pub source: SourceName,
    /// The source's provider.
    pub provider: Kind,
    /// The cluster that it works on, where that is known.
    pub cluster: Option<ClusterId>,
    /// Who tells how far it is.
    pub origin: Origin,
    /// The operation.
    pub operation: Operation,
    /// When it was asked for, or became known.
    pub since: Timestamp,
    /// When it was read, by our clock.
    pub at: Timestamp,
    /// Whether it outlives this process.
    #[serde(skip)]
    pub durable: bool,
}

impl Known {
    /// Its place in lists.
    pub fn place(&self) -> Place {
        (self.since.as_millisecond(), self.id.as_str().to_owned())
    }

    /// Whether it is one of these.
    pub(super) fn is_one_of(&self, selection: &Selection) -> bool {
        let Selection {
            source,
            cluster,
            states,
            after,
            limit: _,
        } = selection;
        source.as_ref().is_none_or(|source| *source == self.source)
            && (cluster.as_ref()).is_none_or(|cluster| self.cluster.as_ref() == Some(cluster))
            && (states.is_empty() || states.contains(&self.operation.state))
            && after.as_ref().is_none_or(|after| self.place() < *after)
    }
}

/// Which operations are wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Only of this source.
    pub source: Option<SourceName>,
    /// Only of this cluster.
    pub cluster: Option<ClusterId>,
    /// Only in one of these states; empty is any.
    pub states: Vec<OperationState>,
    /// Only what comes after this place.
    pub after: Option<Place>,
    /// At most so many.
    pub limit: usize,
}

/// A place in lists, the newest first: a time in milliseconds, and where times are the same an id, or the empty text, which comes after
/// every id.
pub type Place = (i64, String);

/// How old what is kept of a running operation may become while nothing but its age changes.
const KEPT_FOR: SignedDuration = SignedDuration::from_secs(10);

struct Entry {
    known: Known,
    follow: Option<Arc<Follow>>,
    /// The order in which it became known.
    number: u64,
    upkeep: Upkeep,
}

/// What is kept of an operation.
enum Upkeep {
    /// Nothing: it was only seen here.
    Seen,
    /// Nothing yet: it was begun here.
    Unkept,
    /// This.
    Kept(Box<Known>),
}

impl Entry {
    /// Whether what is kept of it is not what is known.
    fn is_due(&self) -> bool {
        match &self.upkeep {
            Upkeep::Seen => false,
            Upkeep::Unkept => true,
            Upkeep::Kept(kept) => {
                let known = &self.known;
                kept.operation != known.operation
                    || kept.cluster != known.cluster
                    || (!known.operation.done && known.at.duration_since(kept.at) >= KEPT_FOR)
            }
        }
    }
}

/// Operations of one cluster that are remembered with a write.
const MOST_EARLIER: usize = 200;

/// Operations by id, at most so many.
pub(super) struct Book {
    state: Mutex<State>,
    most: usize,
}

#[derive(Default)]
struct State {
    entries: HashMap<OperationId, Entry>,
    count: u64,
}

impl Book {
    pub(super) fn new(most: usize) -> Self {
        Self {
            state: Mutex::default(),
            most,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was read of an operation; says whether it is seen to have ended for the first time.
    ///
    /// What is known beside the operation, its cluster and how it is followed, stays where the new account does not say.
    pub(super) fn note(&self, mut known: Known, follow: Option<Arc<Follow>>) -> bool {
        let mut state = self.state();
        if let Some(entry) = state.entries.get_mut(&known.id) {
            let has_ended = known.operation.done && !entry.known.operation.done;
            known.cluster = known.cluster.or_else(|| entry.known.cluster.take());
            known.durable |= entry.known.durable;
            known.since = entry.known.since;
            entry.known = known;
            if follow.is_some() {
                entry.follow = follow;
            }
            return has_ended;
        }
        state.count += 1;
        let number = state.count;
        let has_ended = known.operation.done;
        state.entries.insert(
            known.id.clone(),
            Entry {
                known,
                follow,
                number,
                upkeep: Upkeep::Seen,
            },
        );
        if state.entries.len() > self.most {
            let oldest = state
                .entries
                .iter()
                .min_by_key(|(_, entry)| (!entry.known.operation.done, entry.number))
                .map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                state.entries.remove(&oldest);
            }
        }
        has_ended
    }

    /// What is known of one, and how it is followed where its vendor does not track it.
    pub(super) fn find(&self, id: &OperationId) -> Option<(Known, Option<Arc<Follow>>)> {
        let state = self.state();
        let entry = state.entries.get(id)?;
        Some((entry.known.clone(), entry.follow.clone()))
    }

    /// A mark of what is known now, for [`Book::had`].
    pub(super) fn mark(&self) -> u64 {
        self.state().count
    }

    /// Whether an operation was known when a mark was made.
    pub(super) fn had(&self, id: &OperationId, mark: u64) -> bool {
        let state = self.state();
        let entry = state.entries.get(id);
        entry.is_some_and(|entry| entry.number <= mark)
    }

    /// Operations that nobody but the gateway tracks, of one cluster.
    pub(super) fn tracked(&self, cluster: &ClusterId) -> Vec<OperationId> {
        let state = self.state();
        let is_wanted = |entry: &&Entry| {
            entry.follow.is_some() && entry.known.cluster.as_ref() == Some(cluster)
        };
        let mut found: Vec<&Entry> = state.entries.values().filter(is_wanted).collect();
        found.sort_by_key(|entry| std::cmp::Reverse(entry.known.place()));
        found.iter().map(|entry| entry.known.id.clone()).collect()
    }

    /// The vendor's operations that are known of a cluster, the newest first, not too many.
    pub(super) fn earlier(&self, cluster: Option<&ClusterId>) -> Vec<OperationId> {
        let Some(cluster) = cluster else {
            return Vec::new();
        };
        let state = self.state();
        let is_of = |entry: &&Entry| {
            entry.known.origin == Origin::Vendor && entry.known.cluster.as_ref() == Some(cluster)
        };
        let mut found: Vec<&Entry> = state.entries.values().filter(is_of).collect();
        found.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        let ids = found.iter().map(|entry| entry.known.id.clone());
        ids.take(MOST_EARLIER).collect()
    }

    /// Takes note that an operation is to be kept, and whether that is so already.
    pub(super) fn keep(&self, id: &OperationId, is_kept: bool) {
        let mut state = self.state();
        if let Some(entry) = state.entries.get_mut(id) {
            entry.known.durable = is_kept;
            entry.upkeep = if is_kept {
                Upkeep::Kept(Box::new(entry.known.clone()))
            } else {
                Upkeep::Unkept
            };
        }
    }

    /// What is to be kept of an operation now, if anything is.
    pub(super) fn due(&self, id: &OperationId) -> Option<Known> {
        let state = self.state();
        let entry = state.entries.get(id)?;
        entry.is_due().then(|| entry.known.clone())
    }

    /// Takes note that this is kept.
    pub(super) fn kept(&self, known: &Known) {
        let mut state = self.state();
        if let Some(entry) = state.entries.get_mut(&known.id) {
            entry.known.durable = true;
            if !matches!(entry.upkeep, Upkeep::Seen) {
                entry.upkeep = Upkeep::Kept(Box::new(known.clone()));
            }
        }
    }

    /// Operations of which something is to be kept, and those whose going on is to be looked at, the longest not looked at first.
    pub(super) fn chores(&self) -> (Vec<OperationId>, Vec<OperationId>) {
        let state = self.state();
        let is_own = |entry: &Entry| !matches!(entry.upkeep, Upkeep::Seen);
        let own = || (state.entries.iter()).filter(|(_, entry)| is_own(entry));
        let due = own().filter(|(_, entry)| entry.is_due());
        let mut running: Vec<_> = own()
            .filter(|(_, entry)| !entry.known.operation.done)
            .collect();
        running.sort_by_key(|(_, entry)| entry.known.at);
        (
            due.map(|(id, _)| id.clone()).collect(),
            running.into_iter().map(|(id, _)| id.clone()).collect(),
        )
    }

    /// How many operations are to be kept and are not.
    pub(super) fn unkept(&self) -> usize {
        let state = self.state();
        let is_unkept = |entry: &&Entry| matches!(entry.upkeep, Upkeep::Unkept);
        state.entries.values().filter(is_unkept).count()
    }

    /// Every operation that is wanted and seen, the newest first, at most so many.
    pub(super) fn select(
        &self,
        selection: &Selection,
        most: usize,
        sees: &dyn Fn(&Known) -> bool,
    ) -> Vec<Known> {
        let state = self.state();
        let known = state.entries.values().map(|entry| &entry.known);
        let mut found: Vec<&Known> = known
            .filter(|known| known.is_one_of(selection) && sees(known))
            .collect();
        found.sort_by_key(|known| std::cmp::Reverse(known.place()));
        found.truncate(most);
        found.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(native: &str, created: i64, done: bool) -> Known {
        let source = SourceName::new("s").unwrap();
        Known {
            id: OperationId::new(&source, native),
            provider: Kind::new("test"),
            cluster: Some(ClusterId::new(&source, "c")),
            source,
            origin: Origin::Vendor,
            operation: Operation {
                native_id: native.to_owned(),
                done,
                created_at: Timestamp::from_second(created).ok(),
                ..Operation::default()
            },
            since: Timestamp::from_second(created).unwrap(),
            at: Timestamp::UNIX_EPOCH,
            durable: false,
        }
    }

    fn names(found: &[Known]) -> Vec<&str> {
        found
            .iter()
            .map(|known| known.operation.native_id.as_str())
            .collect()
    }

    #[test]
    fn pages_are_the_newest_first_and_meet_without_a_gap() {
        let book = Book::new(10);
        for (native, created) in [("a", 10), ("b", 30), ("c", 20), ("d", 20)] {
            book.note(known(native, created, false), None);
        }
        let mut selection = Selection::default();
        let first = book.select(&selection, 3, &|_| true);
        assert_eq!(names(&first), ["b", "d", "c"]);
        selection.after = first.last().map(Known::place);
        let second = book.select(&selection, 3, &|_| true);
        assert_eq!(names(&second), ["a"]);
    }

    #[test]
    fn an_end_is_told_once_and_what_has_ended_makes_room_first() {
        let book = Book::new(2);
        assert!(!book.note(known("a", 1, false), None));
        assert!(book.note(known("b", 2, true), None));
        assert!(!book.note(known("b", 2, true), None));
        book.note(known("c", 3, false), None);
        let all = Selection::default();
        assert_eq!(names(&book.select(&all, 9, &|_| true)), ["c", "a"]);
        assert!(book.note(known("a", 1, true), None));
        let mut unplaced = known("a", 1, true);
        unplaced.cluster = None;
        book.note(unplaced, None);
        let (kept, _) = book.find(&known("a", 1, true).id).unwrap();
        assert!(kept.cluster.is_some());
    }
}
