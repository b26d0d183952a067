//! What changed before the memory begins, as something kept it.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::batch::{Batch, Moment};
use super::change::{Cause, Change, ChangeKind, FieldChange, Known, Was};
use super::facts::Interner;
use super::mark::Mark;
use super::row::{Entry, Row};
use crate::domain::{ClusterId, Kind, Presence, SourceName};

/// Changes that are older than the memory. Each answer is bounded by what is asked for, and by the time it takes.
pub trait Past: Send + Sync {
    /// All that changed after this generation is kept, up to where the memory begins.
    fn floor(&self) -> BoxFuture<'_, Result<u64, PastError>>;

    /// Whether all that changed after a place is kept. A place after the floor may be of a generation that was shown and never
    /// kept: nobody can go on from there.
    fn reaches(&self, from: Mark) -> BoxFuture<'_, Result<bool, PastError>> {
        Box::pin(async move { Ok(from >= Mark::after(self.floor().await?)) })
    }

    /// The last generation that was published at a time or before it; `None` where that is before the floor.
    fn generation_at(&self, at: Timestamp) -> BoxFuture<'_, Result<Option<u64>, PastError>>;

    /// The last generation up to one of which a change is kept, and when it was published.
    fn last_change(&self, until: u64)
    -> BoxFuture<'_, Result<Option<(u64, Timestamp)>, PastError>>;

    /// What changed from a place on, up to a generation, the oldest first, at most so many changes and so many bytes as can be
    /// answered at once. None mean that there are no more; where not all of them are kept, that is said.
    fn changes(
        &self,
        from: Mark,
        until: u64,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Kept>, PastError>>;

    /// The changes of one cluster that lie before a place, the newest first, at most so many changes and bytes. None mean that
    /// there are no more.
    fn of_cluster<'a>(
        &'a self,
        id: &'a ClusterId,
        before: Mark,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Kept>, PastError>>;
}

/// Why the past cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PastError {
    /// What keeps it fails, or takes too long.
    #[error("older changes cannot be read now")]
    Unavailable,
    /// Not all that changed after the place is kept.
    #[error("not all that changed since is kept")]
    Unknown,
}

/// One change as it was kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The generation that first showed it.
    pub generation: u64,
    /// Its place among the changes of this generation.
    pub place: usize,
    /// When it was published.
    pub at: Timestamp,
    /// The change as answers have it: JSON.
    pub body: Box<[u8]>,
    /// [`Change::document`].
    pub document: Option<Box<str>>,
    /// [`Change::was`].
    pub was: Option<Was>,
}

impl Kept {
    /// Whether it can be read back as a change.
    pub fn is_readable(&self) -> bool {
        read(self, &mut Interner::default()).is_some()
    }
}

/// A change as it was told, read back.
#[derive(Deserialize)]
struct ToldOnce {
    kind: ChangeKind,
    cause: Cause,
    source: SourceName,
    provider: Kind,
    cluster: Option<ClusterId>,
    name: Option<String>,
    fields: Vec<FieldChange>,
}

impl Kept {
    /// Whether it can be read back.
    pub fn is_whole(&self) -> bool {
        serde_json::from_slice::<ToldOnce>(&self.body)
            .is_ok_and(|told| told.kind == ChangeKind::SourceState || self.document.is_some())
    }
}

/// The changes as they were told once, joined by generation. Of what cannot be read back nobody learns.
pub fn moments(kept: Vec<Kept>) -> Vec<Moment> {
    let mut moments: Vec<Moment> = Vec::new();
    let mut texts = Interner::default();
    let mut run: Vec<(Kept, Change)> = Vec::new();
    for one in kept {
        let Some(change) = read(&one, &mut texts) else {
            continue;
        };
        let follows = run.last().is_some_and(|(last, _)| {
            last.generation == one.generation && last.place + 1 == one.place
        });
        if !follows {
            moments.extend(moment(std::mem::take(&mut run)));
        }
        run.push((one, change));
    }
    moments.extend(moment(run));
    moments
}

/// The changes of whole generations as they were told once, to be remembered. What is known of a change beside what was told is
/// taken from `known`, where it is there. `None` where any of it cannot be read back.
pub(super) fn batches(
    kept: Vec<Kept>,
    mut known: HashMap<(SourceName, Option<ClusterId>), Change>,
) -> Option<Vec<Arc<Batch>>> {
    let mut texts = Interner::default();
    let mut batches = Vec::new();
    let mut kept = kept.into_iter().peekable();
    while let Some((generation, at)) = kept.peek().map(|first| (first.generation, first.at)) {
        let (mut changes, mut told) = (Vec::new(), Vec::new());
        while let Some(one) = kept.next_if(|next| next.generation == generation) {
            if one.place != told.len() {
                return None;
            }
            let mut change = read(&one, &mut texts)?;
            let place = (change.source.clone(), change.cluster.clone());
            if let Some(seen) = known.remove(&place).filter(|seen| seen.kind == change.kind) {
                (change.before, change.after) = (seen.before, seen.after);
            }
            changes.push(change);
            told.push(one.body);
        }
        batches.extend(Batch::told_as(generation, at, changes, told).map(Arc::new));
    }
    Some(batches)
}

fn moment(run: Vec<(Kept, Change)>) -> Option<Moment> {
    let (first, _) = run.first()?;
    let (generation, at, place) = (first.generation, first.at, first.place);
    let (told, changes) = (run.into_iter())
        .map(|(kept, change)| (kept.body, change))
        .unzip();
    let batch = Batch::told_as(generation, at, changes, told)?;
    Some(Moment::part_of(place, batch))
}

/// Makes a change of what was kept. The cluster before it follows from the one after it, since the change names what was another
/// value. Of its presence, and of whether it was stale, no more is known than the change says.
fn read(kept: &Kept, texts: &mut Interner) -> Option<Change> {
    let told: ToldOnce = serde_json::from_slice(&kept.body).ok()?;
    let mut change = Change {
        kind: told.kind,
        cause: told.cause,
        source: told.source,
        provider: told.provider,
        cluster: told.cluster,
        name: told.name,
        fields: told.fields,
        before: None,
        after: None,
    };
    if change.kind == ChangeKind::SourceState {
        return Some(change);
    }
    let last = kept.document.as_deref()?;
    let mut known = |document: &str, old: bool| {
        let word = |name: &str| {
            let field = change.fields.iter().find(|field| field.field == name)?;
            let value = if old { &field.old } else { &field.new };
            Some(value.get())
        };
        let is_missing = match change.kind {
            ChangeKind::Missing => !old,
            ChangeKind::Returned | ChangeKind::Removed => old,
            ChangeKind::Added | ChangeKind::Updated | ChangeKind::SourceState => false,
        };
        let otherwise = if is_missing {
            Presence::Missing
        } else {
            Presence::Present
        };
        let presence = word("presence").and_then(|word| {
            let word = word.trim_matches('"');
            Presence::ALL
                .into_iter()
                .find(|presence| presence.as_str() == word)
        });
        let row = Row::of_document(document, false, texts)?;
        let entry = Entry {
            row: Arc::new(row),
            presence: Presence::Present,
            fetched_at: None,
            changed_at: kept.at,
            detail: None,
            base: None,
            is_detail_newest: false,
        };
        let is_old = word("stale") == Some("true");
        let shown = presence.unwrap_or(otherwise);
        let was = kept.was.filter(|_| old).unwrap_or(Was {
            presence: shown,
            is_stale: is_old,
        });
        Some(Known::new(&entry, shown, is_old, was))
    };
    let (before, after) = match change.kind {
        ChangeKind::Added => (None, known(last, false)),
        ChangeKind::Removed => (known(last, true), None),
        _ => {
            let first = before(last, &change.fields)?;
            (known(&first, true), known(last, false))
        }
    };
    if before.is_none() && after.is_none() {
        return None;
    }
    (change.before, change.after) = (before, after);
    Some(change)
}

/// The account of a cluster before some of its fields became what they are.
fn before(document: &str, fields: &[FieldChange]) -> Option<String> {
    let mut value: Value = serde_json::from_str(document).ok()?;
    let members = value.as_object_mut()?;
    for field in fields {
        let old: Value = serde_json::from_str(field.old.get()).ok()?;
        match field.field.split_once('.') {
            None if ["presence", "stale"].contains(&field.field.as_str()) => {}
            None => {
                members.insert(field.field.clone(), old);
            }
            Some((outer, inner)) => {
                let object = members.get_mut(outer).and_then(Value::as_object_mut)?;
                if old.is_null() && outer == "labels" {
                    object.remove(inner);
                } else {
                    object.insert(inner.to_owned(), old);
                }
            }
        }
    }
    serde_json::to_string(&value).ok()
}
