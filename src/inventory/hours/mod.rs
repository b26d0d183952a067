//! The inventory hour by hour: what was counted of each source when it was last looked at within an hour, kept for long.
//!
//! What is kept is small beside the changes, so it reaches further back: sums by source and project, since sources and projects
//! decide who sees what. An hour in which nobody looked is not there; nothing is made up for it.

mod tally;
mod watch;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use tally::{Group, Tally};
pub use watch::HourWatch;

use super::past::PastError;
use super::shelf::Shelf;
use super::{Freshness, Snapshot};
use crate::domain::{Kind, SourceName};

/// Seconds of an hour.
const SECONDS: i64 = 3_600;

/// An hour of the clock: whole hours since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour that a time lies in.
    pub fn of(at: Timestamp) -> Self {
        Self(at.as_second().div_euclid(SECONDS))
    }

    /// When it begins. Times beyond all calendars are the last there is.
    pub fn start(self) -> Timestamp {
        let seconds = self.0.saturating_mul(SECONDS);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
    }
}

/// What was counted of one source when it was last looked at within an hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// The source.
    pub source: SourceName,
    /// The hour.
    pub hour: Hour,
    /// The generation that was counted.
    pub generation: u64,
    /// What was counted.
    pub account: Account,
}

/// What was counted of one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The source's provider.
    pub provider: Kind,
    /// How far its clusters could be trusted.
    pub state: Freshness,
    /// Whether everything that the vendor listed could be read.
    pub whole: bool,
    /// Whether its projects are told apart; where there are too many, clusters of some are counted as of none.
    pub told_apart: bool,
    /// Its clusters by project.
    pub groups: Vec<Group>,
}

/// Keeps counts.
pub trait Hours: Send + Sync {
    /// Keeps counts in the place of those of the same source and hour that are of an earlier generation.
    fn note(&self, counts: Vec<Count>) -> BoxFuture<'_, Result<(), PastError>>;

    /// The counts of a span, its end not included: of each source the last one in each so many hours, counted from the first hour
    /// of 1970 on. The oldest come first.
    fn between(
        &self,
        from: Hour,
        until: Hour,
        step: i64,
    ) -> BoxFuture<'_, Result<Vec<Count>, PastError>>;
}

impl Snapshot {
    /// Counts of the sources that were ever read, and of which something is another one than when they were counted last.
    fn counts(&self, hour: Hour, is_known: impl Fn(usize) -> bool) -> Vec<Count> {
        let shelves = self.shelves.iter().enumerate();
        let wanted = shelves.filter(|(at, shelf)| shelf.fetched_at.is_some() && !is_known(*at));
        let count = |(_, shelf): (usize, &Arc<Shelf>)| {
            let (groups, told_apart) = tally::groups(&shelf.content.entries);
            let account = Account {
                provider: shelf.report.provider.clone(),
                state: shelf.report.state,
                whole: shelf.report.omitted == 0,
                told_apart,
                groups,
            };
            Count {
                source: shelf.report.name.clone(),
                hour,
                generation: self.generation,
                account,
            }
        };
        wanted.map(count).collect()
    }
}
