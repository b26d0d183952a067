//! What of the inventory outlives the process: each publication on its way to a store, and what a store gives back at the start.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::account::Account;
use super::batch::Batch;
use super::change::Cause;
use super::facts::Interner;
use super::record;
use super::row::Entry;
use super::shelf::{self, Content, Shelf};
use super::{Attempt, Freshness, SourceReport};
use crate::domain::{ClusterId, Kind, SourceName};

/// Where publications are made durable before readers see them.
pub trait Journal: Send + Sync {
    /// Takes a publication. Done when it is durable, or when the journal answers for it: a store that cannot be written keeps nobody
    /// from seeing what is true.
    fn publish(&self, publication: Publication) -> BoxFuture<'_, ()>;

    /// How the store is; `None` where there is none.
    fn standing(&self) -> Option<Standing> {
        None
    }

    /// Whether nothing can be known or read before a store can be reached that other gateways share.
    fn is_waiting(&self) -> bool {
        false
    }
}

/// How the store behind a journal is.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// What readers see and the store does not have yet; `None` where it has everything.
    pub behind: Option<Behind>,
    /// Publications that are not durable yet.
    pub publications: u64,
    /// Changes that were not kept, since too many waited.
    pub lost_changes: u64,
    /// How long commits took.
    pub commits: Commits,
    /// How it is shared; `None` where one gateway has it alone.
    pub shared: Option<Sharing>,
}

/// How a gateway takes part in a store that several share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sharing {
    /// Sources that are read from here.
    pub leases: u64,
    /// The generation that readers see.
    pub generation: u64,
    /// Seconds since the store last answered.
    pub silent_seconds: f64,
    /// How often what was read of a source was refused, since another gateway had it by then.
    pub fenced: u64,
}

/// A store that does not have what readers see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behind {
    /// Since when.
    pub since: Timestamp,
    /// Why: one of a closed list of codes.
    pub code: &'static str,
}

/// How long commits took.
#[derive(Debug, Clone, Default)]
pub struct Commits {
    /// How many there were.
    pub count: u64,
    /// Seconds that all of them took.
    pub seconds: f64,
    /// How many took at most as long as each of [`Commits::BOUNDS`], and longer than the one before.
    pub within: [u64; Self::BOUNDS.len()],
}

impl Commits {
    /// Seconds by which commits are told apart.
    pub const BOUNDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        if let Some(place) = Self::BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.within[place] += 1;
        }
    }
}

/// A journal of a gateway that remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

impl Journal for Forgetful {
    fn publish(&self, _: Publication) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// One generation, as far as it is another one than the last.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its number.
    pub generation: u64,
    /// When it is published.
    pub at: Timestamp,
    /// The sources of which something is different.
    pub deltas: Vec<Delta>,
    /// What is worth telling of it.
    pub batch: Option<Arc<Batch>>,
}

/// What is different of one source.
#[derive(Debug, Clone)]
pub struct Delta {
    /// The source's report.
    pub report: Arc<SourceReport>,
    /// The attempt to read it that this is of.
    pub attempt: Option<Attempt>,
    /// Why the last of what is different is.
    pub(super) cause: Cause,
    pub(super) shelf: Arc<Shelf>,
    pub(super) upserts: Vec<Entry>,
    pub(super) removed: Vec<ClusterId>,
}

impl Delta {
    /// The source.
    pub fn source(&self) -> &SourceName {
        &self.report.name
    }

    /// Clusters that are new or other ones, with their records.
    pub fn upserts(&self) -> impl ExactSizeIterator<Item = (&ClusterId, Vec<u8>)> {
        self.upserts.iter().map(kept)
    }

    /// Clusters that are no more.
    pub fn removed(&self) -> &[ClusterId] {
        &self.removed
    }

    /// Every cluster of the source, with its record.
    pub fn all(&self) -> impl ExactSizeIterator<Item = (&ClusterId, Vec<u8>)> {
        self.shelf.content.entries.iter().map(kept)
    }

    /// The source as it is then, without what led to it: to write all of it.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self {
            report: Arc::clone(&self.report),
            attempt: None,
            cause: self.cause,
            shelf: Arc::clone(&self.shelf),
            upserts: Vec::new(),
            removed: Vec::new(),
        }
    }

    /// What is to be known of the source itself: JSON.
    pub fn account(&self) -> String {
        Account::of(&self.shelf, self.cause).write()
    }
}

fn kept(entry: &Entry) -> (&ClusterId, Vec<u8>) {
    (&entry.row.id, record::encode(entry))
}

/// What a store gives back.
#[derive(Debug, Default)]
pub struct Restored {
    /// The last generation that was kept; 0 where there was none.
    pub generation: u64,
    /// Whether this is all that was shown of that generation: then changes go on from there.
    pub is_whole: bool,
    pub(super) sources: HashMap<SourceName, RestoredSource>,
    /// Sources of which nothing is kept.
    pub(super) absent: HashSet<SourceName>,
    /// Sources that were shown and are no more.
    pub(super) gone: Vec<(SourceName, Kind, RestoredSource)>,
}

/// One source as it was when it was last kept.
#[derive(Debug)]
pub struct RestoredSource {
    account: String,
    entries: Vec<Entry>,
    /// The entries in order, once [`RestoredSource::sorted`] has made it.
    content: Option<Arc<Content>>,
    texts: Interner,
    /// Records that are not what was written.
    pub refused: usize,
    /// Whether the last process showed it.
    pub is_shown: bool,
}

impl RestoredSource {
    /// Reads a source's records back, given its account of itself.
    pub fn read<'a>(account: String, records: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut source = Self {
            account,
            entries: Vec::new(),
            content: None,
            texts: Interner::default(),
            refused: 0,
            is_shown: true,
        };
        for (id, bytes) in records {
            match record::decode(id, bytes, &mut source.texts) {
                Some(entry) => source.entries.push(entry),
                None => source.refused += 1,
            }
        }
        source
    }

    /// Adds another part of the same source.
    pub fn join(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.refused += other.refused;
    }

    /// Orders what was read, which is most of what is left to do with it. Nothing can be added then.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.content();
        self
    }

    fn content(&mut self) -> Arc<Content> {
        let made = || Content::new(std::mem::take(&mut self.entries));
        Arc::clone(self.content.get_or_insert_with(made))
    }

    /// How many clusters could be read.
    pub fn len(&self) -> usize {
        let sorted = self.content.as_ref();
        self.entries.len() + sorted.map_or(0, |content| content.entries.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The source's shelf as it was, and as it begins: everything as it was, and nothing of it fresh.
    pub(super) fn shelve(mut self, shelf: &Shelf) -> (Shelf, Shelf, Interner) {
        let content = self.content();
        let account = Account::read(&self.account);
        let mut report = SourceReport::clone(&shelf.report);
        report.clusters = content.entries.len();
        report.omitted = self.refused;
        report.restored = true;
        let (mut was, mut overdue, mut outdated) = (None, false, Vec::new());
        // What cannot be read of a source's own account is as if it had been read at no time that is known.
        report.state = if content.entries.is_empty() && account.is_none() {
            Freshness::Never
        } else {
            Freshness::Stale
        };
        let mut fetched_at = None;
        if let Some(account) = account {
            was = Some(account.state);
            (overdue, outdated) = (account.overdue, account.outdated.clone());
            fetched_at = account.fetched_at;
            account.restore(&mut report);
            report.omitted += self.refused;
        }
        let kept = SourceReport {
            state: was.unwrap_or(report.state),
            ..report.clone()
        };
        let next = Shelf {
            report: Arc::new(report),
            content,
            fetched_at,
            fetched_text: shelf::text_of(fetched_at),
            ..shelf.clone()
        };
        let places = outdated.iter().filter_map(|id| {
            let place = next
                .content
                .index
                .find(&next.content.entries, id.as_str())?;
            u32::try_from(place).ok()
        });
        let kept = Shelf {
            report: Arc::new(kept),
            overdue,
            outdated: places.collect(),
            ..next.clone()
        };
        (kept, next, self.texts)
    }

    /// Whether nothing was ever read of it.
    pub(super) fn is_unread(&self) -> bool {
        let account = Account::read(&self.account);
        let is_never = account.is_some_and(|account| account.state == Freshness::Never);
        is_never && self.is_empty() && self.refused == 0
    }
}

impl Restored {
    /// Nothing is known but the last generation.
    pub fn new(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    /// Takes note that nothing is kept of a source.
    pub fn add_absent(&mut self, name: SourceName) {
        self.absent.insert(name);
    }

    /// Adds a source that was shown and is no more.
    pub fn add_gone(&mut self, name: SourceName, provider: Kind, source: RestoredSource) {
        self.gone.push((name, provider, source));
    }

    /// Adds a source.
    pub fn add(&mut self, name: SourceName, source: RestoredSource) {
        self.sources.insert(name, source);
    }

    /// Sources that are all there, as they were written; also those of which nothing was.
    pub fn whole(&self) -> impl Iterator<Item = &SourceName> {
        let whole = self
            .sources
            .iter()
            .filter(|(_, source)| source.refused == 0);
        whole.map(|(name, _)| name).chain(&self.absent)
    }

    /// Records in all that are not what was written.
    pub fn refused(&self) -> usize {
        let gone = self.gone.iter().map(|(_, _, source)| source);
        let all = self.sources.values().chain(gone);
        all.map(|source| source.refused).sum()
    }

    /// How many clusters there are in all.
    pub fn clusters(&self) -> usize {
        self.sources.values().map(RestoredSource::len).sum()
    }
}
