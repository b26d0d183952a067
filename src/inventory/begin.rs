//! What a writer begins with: what an earlier process left, and what is different from what that process showed.
//!
//! Changes go on over a restart because the first generation is compared with the last one that was kept, like any other with the
//! one before: nothing of it is fresh any more, some of it may be too old, and sources may have come or gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::batch::Batch;
use super::change::{Cause, Change, ChangeKind, FieldChange};
use super::diff::difference;
use super::facts::Interner;
use super::journal::{Delta, Publication, Restored, RestoredSource};
use super::shelf::Shelf;
use super::source::SourceReport;
use crate::domain::{Kind, SourceName};

/// What a writer begins with.
pub(super) struct Begin {
    /// The shelf of each source, in their order.
    pub(super) shelves: Vec<Arc<Shelf>>,
    /// One for each source, shared with its task, which prepares rows.
    pub(super) texts: Vec<Arc<Mutex<Interner>>>,
    /// The first generation. It is kept even where nothing is different, so that the next process begins with a higher one.
    pub(super) first: Publication,
}

/// Fills the empty shelves of the sources with what was restored; what they are then is of this generation.
pub(super) fn begin(
    empty: Vec<Shelf>,
    mut restored: Restored,
    generation: u64,
    now: Timestamp,
) -> Begin {
    let (mut shelves, mut texts, mut deltas) = (Vec::new(), Vec::new(), Vec::new());
    let mut changes: BTreeMap<SourceName, Vec<Change>> = BTreeMap::new();
    for (name, provider, source) in restored.gone.drain(..) {
        let found = gone(name.clone(), provider, source);
        changes.entry(name).or_default().extend(found);
    }
    for empty in empty {
        let name = empty.report.name.clone();
        let known = restored.sources.remove(&name);
        let is_kept = restored.absent.contains(&name)
            || known.as_ref().is_some_and(|known| known.refused == 0);
        let (was, shelf, own) = match known {
            Some(known) => {
                let (is_shown, is_unread) = (known.is_shown, known.is_unread());
                let (was, shelf, own) = known.shelve(&empty);
                let shelf = if is_unread { empty } else { shelf };
                (is_shown.then_some(was), shelf, own)
            }
            None => (None, empty, Interner::default()),
        };
        let shelf = Arc::new(shelf.aged(now).unwrap_or(shelf));
        let found = differences(was.as_ref(), Some(&shelf));
        changes.entry(name).or_default().extend(found);
        if is_kept {
            deltas.push(Delta {
                report: Arc::clone(&shelf.report),
                attempt: None,
                cause: Cause::Outage,
                shelf: Arc::clone(&shelf),
                upserts: Vec::new(),
                removed: Vec::new(),
            });
        }
        shelves.push(shelf);
        texts.push(Arc::new(Mutex::new(own)));
    }
    let changes = changes.into_values().flatten().collect();
    // Where nobody knows what was shown, nothing goes on from there.
    let batch = restored
        .is_whole
        .then(|| Batch::new(generation, now, changes));
    Begin {
        shelves,
        texts,
        first: Publication {
            generation,
            at: now,
            deltas,
            batch: batch.flatten().map(Arc::new),
        },
    }
}

/// What there is to tell of a source that was shown and is no more.
pub(super) fn gone(name: SourceName, provider: Kind, source: RestoredSource) -> Vec<Change> {
    let nothing = Shelf::new(
        SourceReport::new(name, provider, Duration::ZERO),
        Duration::MAX,
    );
    let (was, ..) = source.shelve(&nothing);
    differences(Some(&was), None)
}

/// What is different from what was shown of a source, which may not have been there, or may be there no more.
pub(super) fn differences(before: Option<&Shelf>, after: Option<&Shelf>) -> Vec<Change> {
    match (before, after) {
        (None, None) => Vec::new(),
        (Some(before), Some(after)) => difference(before, after, Cause::Outage).changes,
        (Some(before), None) => passing(before, &nothing(before), false),
        (None, Some(after)) => passing(&nothing(after), after, true),
    }
}

fn nothing(like: &Shelf) -> Shelf {
    let report = &like.report;
    let report = SourceReport::new(
        report.name.clone(),
        report.provider.clone(),
        report.refresh_interval,
    );
    Shelf::new(report, like.staleness_limit)
}

/// A source comes or goes, and all of its clusters with it.
fn passing(before: &Shelf, after: &Shelf, comes: bool) -> Vec<Change> {
    let state = |shelf: &Shelf, is_there: bool| {
        let word = format!("\"{}\"", shelf.report.state.as_str());
        let json = if is_there { word } else { "null".to_owned() };
        RawValue::from_string(json).unwrap_or_default()
    };
    let (own, clusters): (Vec<Change>, Vec<Change>) = difference(before, after, Cause::Operator)
        .changes
        .into_iter()
        .partition(|change| change.kind == ChangeKind::SourceState);
    let others = own.into_iter().flat_map(|change| change.fields);
    let others = others.filter(|field| field.field != "state");
    let first = FieldChange {
        field: "state".to_owned(),
        old: state(before, !comes),
        new: state(after, comes),
    };
    let own = Change {
        kind: ChangeKind::SourceState,
        cause: Cause::Operator,
        source: after.report.name.clone(),
        provider: after.report.provider.clone(),
        cluster: None,
        name: None,
        fields: std::iter::once(first).chain(others).collect(),
        before: None,
        after: None,
    };
    std::iter::once(own).chain(clusters).collect()
}
