//! What is known of each source.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Kind, SourceName};
use crate::provider::ErrorKind;

/// How far a source's clusters can be trusted to be what the vendor has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// The last refresh read the whole list.
    Fresh,
    /// The last refresh failed, or is overdue; the last good clusters are kept.
    Stale,
    /// The vendor suddenly listed nothing or far less; the last good clusters are kept until a second listing agrees.
    Suspect,
    /// No listing was ever read to its end.
    Never,
}

impl Freshness {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Fresh, Self::Stale, Self::Suspect, Self::Never];

    /// The state that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The word used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Suspect => "suspect",
            Self::Never => "never",
        }
    }
}

/// How one attempt to refresh a source ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// `None` when the list was read to its end.
    pub error: Option<ErrorKind>,
    /// Pages read.
    pub pages: u32,
    /// Clusters read, when the list was read to its end.
    pub clusters: Option<usize>,
    /// Items that could not be mapped.
    pub rejected: usize,
}

/// Attempts that are remembered for each source.
pub const ATTEMPTS: usize = 20;

/// What is known of one source at one generation.
#[derive(Debug, Clone)]
pub struct SourceReport {
    /// The source.
    pub name: SourceName,
    /// Its provider.
    pub provider: Kind,
    /// How far its clusters can be trusted.
    pub state: Freshness,
    /// When its list was last read to its end.
    pub fetched_at: Option<Timestamp>,
    /// Clusters in the inventory, missing and suspect ones included.
    pub clusters: usize,
    /// Items of the last good listing that could not be mapped.
    pub rejected: usize,
    /// Of these, items of which no last good version is shown: the inventory is incomplete by them.
    pub omitted: usize,
    /// Values that were set to null in the last good listing, by field.
    pub warnings: Vec<(Cow<'static, str>, u64)>,
    /// Why the last refresh failed.
    pub error: Option<ErrorKind>,
    /// Since when refreshes fail.
    pub failing_since: Option<Timestamp>,
    /// When the next refresh is due.
    pub next_attempt_at: Option<Timestamp>,
    /// Refreshes in a row that failed.
    pub failures: u32,
    /// The last attempts, newest first, at most [`ATTEMPTS`].
    pub attempts: VecDeque<Attempt>,
    /// How often it is refreshed.
    pub refresh_interval: Duration,
    /// Clusters whose detail was never read, though the provider has one.
    pub details_pending: usize,
    /// Whether all of this is as an earlier process left it: no refresh has ended well since the start.
    pub restored: bool,
    /// Whether whoever asks sees only some of its clusters. Then counts are of these, or left out where they cannot be.
    pub is_partial: bool,
}

impl SourceReport {
    /// A source of which nothing is known yet.
    pub fn new(name: SourceName, provider: Kind, refresh_interval: Duration) -> Self {
        Self {
            name,
            provider,
            state: Freshness::Never,
            fetched_at: None,
            clusters: 0,
            rejected: 0,
            omitted: 0,
            warnings: Vec::new(),
            error: None,
            failing_since: None,
            next_attempt_at: None,
            failures: 0,
            attempts: VecDeque::new(),
            refresh_interval,
            details_pending: 0,
            restored: false,
            is_partial: false,
        }
    }

    /// Items that could not be read and are not shown; `None` where there are some, and their number would tell of clusters that
    /// whoever asks does not see.
    pub fn omitted(&self) -> Option<usize> {
        (self.omitted == 0 || !self.is_partial).then_some(self.omitted)
    }

    /// Whether the source could not be read, or not in time: it is the AIP-217 sense of unreachable.
    pub fn is_unreachable(&self) -> bool {
        self.error.is_some() || self.state == Freshness::Stale
    }
}
