//! An inventory that several gateways share, as replicas of each other.
//!
//! - **Generations are made one after the other, whoever makes them.** A [`Turn`] begins with what others have published since,
//!   and until it ends nobody else publishes. So there is one row of generations, and what a step is made on is what there is.
//! - **A source is read by whoever has its [`Lease`].** What comes of a lease that does not hold any more is not published.
//! - **What one publishes the others load**, as little of it as is different, and show it as it was published: the same bytes.
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

use super::account::Account;
use super::journal::Publication;
use super::past::Kept;
use crate::domain::SourceName;

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
}

/// While it lasts nobody else publishes.
pub trait Turn: Send {
    /// Of these leases, those that do not hold any more.
    fn lost<'a>(
        &'a mut self,
        leases: &'a [(SourceName, u64)],
    ) -> BoxFuture<'a, Result<Vec<(SourceName, u64)>, Away>>;

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

/// A source's account of itself when nobody reads it any more: nothing that it says is fresh, and it is due. `None` where it
/// cannot be read.
pub fn left(account: &str, now: Timestamp) -> Option<String> {
    Account::read(account).map(|account| account.left(now).write())
}
