//! Operations that this gateway knows: those that it started, and those that it saw at a cluster.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::follow::Follow;
use crate::domain::{ClusterId, Kind, Operation, OperationId, OperationState, SourceName};

/// Who tells how far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OperationOrigin)]
pub enum Origin {
    /// The vendor has a record of it.
    Vendor,
    /// The vendor has none: it follows from the cluster's state.
    Gateway,
}

/// An operation and what the gateway knows about it.
#[derive(Debug, Clone)]
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
    /// When it was read, by our clock.
    pub at: Timestamp,
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

/// The place of an operation in the list, the newest first: its time and the order in which it became known.
pub(super) type Place = (i64, u64);

struct Entry {
    known: Known,
    follow: Option<Arc<Follow>>,
    place: Place,
}

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
            entry.known = known;
            if follow.is_some() {
                entry.follow = follow;
            }
            return has_ended;
        }
        state.count += 1;
        let since = known.operation.created_at.unwrap_or(known.at);
        let place = (since.as_millisecond(), state.count);
        let has_ended = known.operation.done;
        state.entries.insert(
            known.id.clone(),
            Entry {
                known,
                follow,
                place,
            },
        );
        if state.entries.len() > self.most {
            let oldest = state
                .entries
                .iter()
                .min_by_key(|(_, entry)| (!entry.known.operation.done, entry.place.1))
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
        entry.is_some_and(|entry| entry.place.1 <= mark)
    }

    /// Operations that nobody but the gateway tracks, of one cluster.
    pub(super) fn tracked(&self, cluster: &ClusterId) -> Vec<OperationId> {
        let state = self.state();
        let is_wanted = |entry: &&Entry| {
            entry.follow.is_some() && entry.known.cluster.as_ref() == Some(cluster)
        };
        let mut found: Vec<&Entry> = state.entries.values().filter(is_wanted).collect();
        found.sort_by_key(|entry| std::cmp::Reverse(entry.place));
        found.iter().map(|entry| entry.known.id.clone()).collect()
    }

    /// The operations that are wanted, the newest first, and the place after the last one where there are more.
    pub(super) fn select(
        &self,
        selection: &Selection,
        sees: &dyn Fn(&Known) -> bool,
    ) -> (Vec<Known>, Option<Place>) {
        let state = self.state();
        let is_wanted = |entry: &&Entry| {
            let known = &entry.known;
            selection
                .source
                .as_ref()
                .is_none_or(|source| *source == known.source)
                && (selection.cluster.as_ref())
                    .is_none_or(|cluster| known.cluster.as_ref() == Some(cluster))
                && (selection.states.is_empty()
                    || selection.states.contains(&known.operation.state))
                && selection.after.is_none_or(|after| entry.place < after)
                && sees(known)
        };
        let mut found: Vec<&Entry> = state.entries.values().filter(is_wanted).collect();
        found.sort_by_key(|entry| std::cmp::Reverse(entry.place));
        let has_more = found.len() > selection.limit;
        found.truncate(selection.limit);
        let next = has_more
            .then(|| found.last().map(|entry| entry.place))
            .flatten();
        (
            found.into_iter().map(|entry| entry.known.clone()).collect(),
            next,
        )
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
            at: Timestamp::UNIX_EPOCH,
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
        let mut selection = Selection {
            limit: 3,
            ..Selection::default()
        };
        let (first, next) = book.select(&selection, &|_| true);
        assert_eq!(names(&first), ["b", "d", "c"]);
        selection.after = next;
        let (second, next) = book.select(&selection, &|_| true);
        assert_eq!((names(&second), next), (vec!["a"], None));
    }

    #[test]
    fn an_end_is_told_once_and_what_has_ended_makes_room_first() {
        let book = Book::new(2);
        assert!(!book.note(known("a", 1, false), None));
        assert!(book.note(known("b", 2, true), None));
        assert!(!book.note(known("b", 2, true), None));
        book.note(known("c", 3, false), None);
        let all = Selection {
            limit: 9,
            ..Selection::default()
        };
        assert_eq!(names(&book.select(&all, &|_| true).0), ["c", "a"]);
        assert!(book.note(known("a", 1, true), None));
        let mut unplaced = known("a", 1, true);
        unplaced.cluster = None;
        book.note(unplaced, None);
        let (kept, _) = book.find(&known("a", 1, true).id).unwrap();
        assert!(kept.cluster.is_some());
    }
}
