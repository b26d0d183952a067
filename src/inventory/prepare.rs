//! Rows are prepared while their list is read, page by page, so that a long list is never held in the form in which it came.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use super::facts::Interner;
use super::row::{Base, Entry, Row};
use super::shelf::Shelf;
use crate::domain::Presence;
use crate::provider::{Gather, Listed};

/// A cluster of a new listing, ready for the shelf.
#[derive(Debug, Clone)]
pub struct Prepared(pub(super) Entry);

/// Prepares the rows of one listing against what is known of the source.
pub(super) struct Preparing {
    pub(super) shelf: Arc<Shelf>,
    pub(super) texts: Arc<Mutex<Interner>>,
    pub(super) now: Timestamp,
}

impl Gather for Preparing {
    type Row = Prepared;

    fn take(&mut self, listed: Listed) -> Prepared {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.shelf.entry(&listed.cluster.id);
        Prepared(next_entry(listed, known, self.now, &mut texts))
    }

    fn join(&mut self, known: &mut Prepared, other: Listed) {
        let entry = &known.0;
        let base = entry
            .base
            .clone()
            .unwrap_or_else(|| Arc::new(Base::of_row(&entry.row)));
        // What was written from a cluster reads back as one.
        if let Some(mut listed) = base.listed(entry.row.locator.clone()) {
            listed.join(other);
            *known = self.take(listed);
        }
    }
}

pub(super) fn next_entry(
    listed: Listed,
    known: Option<&Entry>,
    now: Timestamp,
    texts: &mut Interner,
) -> Entry {
    let detail = known.and_then(|known| known.detail.clone());
    let fresh = |row, base, changed_at| Entry {
        row,
        presence: Presence::Present,
        fetched_at: None,
        changed_at,
        detail: detail.clone(),
        base,
        is_detail_newest: false,
    };
    let Some(known) = known else {
        return fresh(Arc::new(Row::listed(listed, None, texts)), None, now);
    };
    let Some(detail) = &detail else {
        let row = Row::listed(listed, None, texts);
        return if row.says_the_same(&known.row) {
            fresh(Arc::clone(&known.row), None, known.changed_at)
        } else {
            fresh(Arc::new(row), None, now)
        };
    };
    let base = Arc::new(Base::new(&listed));
    let same_base = (known.base.as_ref())
        .filter(|known| known.says_the_same(&base))
        .cloned();
    let changed_at = if same_base.is_some() {
        known.changed_at
    } else {
        now
    };
    let is_joined =
        same_base.is_some() && !known.is_detail_newest && listed.locator == known.row.locator;
    let base = Some(same_base.unwrap_or(base));
    if is_joined {
        return fresh(Arc::clone(&known.row), base, changed_at);
    }
    // Also a listing that says the same as before the detail is newer than the detail.
    let row = Row::listed(listed, Some(detail), texts);
    if row.says_the_same(&known.row) {
        fresh(Arc::clone(&known.row), base, changed_at)
    } else {
        fresh(Arc::new(row), base, changed_at)
    }
}
