//! A store that fails as told, and remembers what it was told.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::domain::SourceName;
use crate::inventory::journal::Delta;
use crate::store::StoreError;
use crate::store::durable::Keeping;
use crate::store::write::Commit;

/// How one commit ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    /// Durable.
    Well,
    /// Not durable, and said so.
    Refused,
    /// Durable, though it seems not to be.
    Unsure,
    /// So many seconds later.
    Late(u64),
    /// Begun anew: nothing is there.
    Replaced,
}

type Records = BTreeMap<String, Vec<u8>>;

/// What a store has.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Content {
    pub(super) generation: u64,
    pub(super) sources: BTreeMap<SourceName, Records>,
    pub(super) changes: BTreeSet<(u64, usize)>,
    pub(super) attempts: BTreeSet<(SourceName, Timestamp)>,
    pub(super) whole_from: Option<u64>,
}

#[derive(Default)]
pub(super) struct Scripted {
    pub(super) ends: Mutex<VecDeque<End>>,
    pub(super) content: Mutex<Content>,
    pub(super) commits: Mutex<usize>,
}

impl Scripted {
    pub(super) fn ending(ends: impl IntoIterator<Item = End>) -> Arc<Self> {
        Arc::new(Self {
            ends: Mutex::new(ends.into_iter().collect()),
            ..Self::default()
        })
    }

    pub(super) fn content(&self) -> Content {
        self.content.lock().unwrap().clone()
    }

    pub(super) fn commits(&self) -> usize {
        *self.commits.lock().unwrap()
    }

    fn apply(&self, commit: &Commit) {
        let mut content = self.content.lock().unwrap();
        content.generation = content.generation.max(commit.generation);
        for written in commit
            .sources
            .iter()
            .filter(|written| !written.is_skipped())
        {
            let delta = &written.delta;
            let known = content.sources.entry(delta.source().clone()).or_default();
            if written.is_whole {
                *known = all(delta);
            } else {
                known.extend(delta.upserts().map(owned));
                for id in delta.removed() {
                    known.remove(id.as_str());
                }
            }
        }
        for batch in &commit.batches {
            let places = 0..batch.len();
            content
                .changes
                .extend(places.map(|place| (batch.generation, place)));
        }
        let attempts = commit.attempts.iter();
        let attempts = attempts.map(|(source, one)| (source.clone(), one.started_at));
        content.attempts.extend(attempts);
        content.whole_from = content.whole_from.max(commit.whole_from);
    }
}

/// Everything that is to be kept of a source.
pub(super) fn all(delta: &Delta) -> Records {
    delta.all().map(owned).collect()
}

fn owned((id, record): (&crate::domain::ClusterId, Vec<u8>)) -> (String, Vec<u8>) {
    (id.as_str().to_owned(), record)
}

impl Keeping for Scripted {
    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<(), StoreError>> {
        *self.commits.lock().unwrap() += 1;
        let end = self.ends.lock().unwrap().pop_front().unwrap_or(End::Well);
        Box::pin(async move {
            match end {
                End::Well => {}
                End::Refused => return Err(StoreError::Locked),
                End::Late(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                End::Unsure => {
                    self.apply(commit);
                    return Err(StoreError::Late);
                }
                End::Replaced => {
                    *self.content.lock().unwrap() = Content::default();
                    return Err(StoreError::Replaced);
                }
            }
            self.apply(commit);
            Ok(())
        })
    }

    fn tidy(&self, _: Timestamp) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(std::future::ready(Ok(false)))
    }
}
