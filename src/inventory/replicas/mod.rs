//! An inventory that several gateways share, as replicas of each other.
//!
//! - **Generations are made one after the other, whoever makes them.** A [`Turn`] begins with what others have published since,
//!   and until it ends nobody else publishes. So there is one row of generations, and what a step is made on is what there is.
//! - **A source is read by whoever has its [`Lease`].** What comes of a lease that does not hold any more is not published.
//! - **What one publishes the others load**, as little of it as is different, and show it as it was published: the same bytes.
//! - **What nobody did is published as well**: that sources came or went with the configuration, and that nobody looked at them
//!   while no gateway was there. Whoever has a turn first tells it, by a [`Census`].
//!
//! Where the leases are and how others are told is left to who implements [`Commons`].

mod desk;
mod follow;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;

pub(super) use desk::Sitting;
pub use desk::{Desk, Lease};

use super::journal::{Publication, RestoredSource};
use super::past::Kept;
use crate::domain::{Kind, SourceName};

/// What replicas have in common.
pub trait Commons: Send + Sync {
    /// The place from which a source is read; `None` where there is no such source.
    fn desk(&self, source: &SourceName) -> Option<Arc<Desk>>;

    /// Stirs when there may be something newer. Its value says nothing.
    fn news(&self) -> watch::Receiver<u64>;

    /// Takes part: all that there is. To be done with success before anything else.
    fn join(&self) -> BoxFuture<'_, Result<Newer, Away>>;

    /// All that is newer than what was applied; `None` where nothing is.
    fn newer(&self, applied: u64) -> BoxFuture<'_, Result<Option<Newer>, Away>>;

    /// Whether the next turn may have a census to tell.
    fn is_census_due(&self) -> bool;

    /// Begins a turn on top of what was applied. To drop it changes nothing.
    fn begin(&self, applied: u64) -> BoxFuture<'_, Result<Begun, Away>>;

    /// Takes note of what readers see, and of how much waits to be published.
    fn note(&self, applied: u64, waiting: usize);

    /// Tells the others that a reader walks through a generation, page by page, and may go on at any of them.
    fn keep(&self, generation: u64);

    /// The generations that readers walk through at others; each is told once.
    fn kept(&self) -> Vec<u64>;

    /// Takes note that what came of a lease was refused, since the lease does not hold any more.
    fn fenced(&self, source: &SourceName);
}

/// What is shared cannot be reached, or not in time. Who could not reach it has said why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what the replicas share cannot be reached")]
pub struct Away;

/// A turn that has begun.
pub struct Begun {
    /// The turn.
    pub turn: Box<dyn Turn>,
    /// What others have published since; the turn is made on top of it.
    pub newer: Option<Newer>,
    /// The last generation of this replica that is known to be durable; 0 where there is none.
    pub own: u64,
    /// What is to be published before anything else, where there is such.
    pub census: Option<Census>,
}

/// What nobody has told yet of the sources as such. As soon as the turn is committed somebody has.
#[derive(Debug, Default)]
pub struct Census {
    /// Sources that were shown, and that nobody looked at since.
    pub left: Vec<SourceName>,
    /// Sources that are shown for the first time, or again after they were gone.
    pub come: Vec<SourceName>,
    /// Sources that were shown, and that no gateway has any more.
    pub gone: Vec<(SourceName, Kind, RestoredSource)>,
    /// Whether it is known what was shown before: then changes go on from there.
    pub is_whole: bool,
}

/// While it lasts nobody else publishes.
pub trait Turn: Send {
    /// Of these leases, those that do not hold any more.
    fn lost<'a>(
        &'a mut self,
        leases: &'a [(SourceName, u64)],
    ) -> BoxFuture<'a, Result<Vec<(SourceName, u64)>, Away>>;

    /// Says that who has the turn is still at it: a turn in which nothing happens for a few seconds is given up.
    fn stay(&mut self) -> BoxFuture<'_, Result<(), Away>>;

    /// Makes a publication durable and tells the others of it. After an error nobody knows whether it is.
    fn commit(self: Box<Self>, publication: Publication) -> BoxFuture<'static, Result<(), Away>>;
}

/// What is newer than a generation.
#[derive(Debug)]
pub struct Newer {
    /// The last generation.
    pub generation: u64,
    /// The generation before it.
    pub previous: u64,
    /// When it was published.
    pub at: Timestamp,
    /// The sources of which something is different.
    pub sources: Vec<NewerSource>,
    /// What changed, the oldest first.
    pub changes: Vec<Kept>,
    /// Where all that is known is given, and not only what is newer: all that changed after this generation is in `changes`, and
    /// when that was published.
    pub anew: Option<(u64, Timestamp)>,
    /// Sources that are as somebody left them: what they say is not shown as it is before a census has told.
    pub left: Vec<SourceName>,
}

/// What is newer of one source.
#[derive(Debug)]
pub struct NewerSource {
    /// The source.
    pub name: SourceName,
    /// Its account of itself; empty where that is not what was written.
    pub account: String,
    /// Clusters that are new or other ones.
    pub records: Vec<Record>,
    /// Clusters that are no more, and since which generation.
    pub gone: Vec<(String, u64)>,
    /// Whether the records are all that there is of the source.
    pub is_whole: bool,
    /// How many clusters it has, where that is known: records that are not found are lost like those that cannot be read.
    pub clusters: Option<usize>,
}

impl NewerSource {
    /// A source of which there is nothing.
    pub const fn nothing(name: SourceName) -> Self {
        Self {
            name,
            account: String::new(),
            records: Vec::new(),
            gone: Vec::new(),
            is_whole: true,
            clusters: None,
        }
    }
}

/// One cluster as it was written.
#[derive(Debug)]
pub struct Record {
    /// Its id.
    pub id: String,
    /// The generation that wrote it.
    pub generation: u64,
    /// The record.
    pub bytes: Vec<u8>,
}
