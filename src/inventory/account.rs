//! What a store keeps of a source beside its clusters: all that answers show of it.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::change::Cause;
use super::shelf::Shelf;
use super::{Attempt, Freshness, SourceReport};
use crate::domain::ClusterId;
use crate::provider::ErrorKind;

/// A source's account of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) state: Freshness,
    pub(super) fetched_at: Option<Timestamp>,
    rejected: usize,
    omitted: usize,
    error: Option<Box<str>>,
    failing_since: Option<Timestamp>,
    failures: u32,
    attempts: Vec<KeptAttempt>,
    // What earlier versions did not write has a default.
    #[serde(default)]
    warnings: Vec<(Cow<'static, str>, u64)>,
    #[serde(default)]
    next_attempt_at: Option<Timestamp>,
    #[serde(default)]
    details_pending: usize,
    #[serde(default)]
    restored: bool,
    /// Whether the clusters are older than the source's staleness limit, and when that was last looked at.
    #[serde(default)]
    pub(super) overdue: bool,
    /// Clusters that were read longer ago than the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) outdated: Vec<ClusterId>,
    #[serde(default)]
    pub(super) aged_at: Option<Timestamp>,
    /// Why the last step was made.
    #[serde(default)]
    pub(super) cause: Option<Cause>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptAttempt {
    started_at: Timestamp,
    took_ms: u64,
    error: Option<Box<str>>,
    pages: u32,
    clusters: Option<usize>,
    rejected: usize,
}

impl KeptAttempt {
    fn of(attempt: &Attempt) -> Self {
        Self {
            started_at: attempt.started_at,
            took_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            error: attempt.error.map(|error| error.code().into()),
            pages: attempt.pages,
            clusters: attempt.clusters,
            rejected: attempt.rejected,
        }
    }

    fn attempt(self) -> Attempt {
        Attempt {
            started_at: self.started_at,
            took: Duration::from_millis(self.took_ms),
            error: self.error.as_deref().and_then(ErrorKind::parse),
            pages: self.pages,
            clusters: self.clusters,
            rejected: self.rejected,
        }
    }
}

impl Account {
    pub(super) fn of(shelf: &Shelf, cause: Cause) -> Self {
        let report = &shelf.report;
        Self {
            state: report.state,
            fetched_at: shelf.fetched_at,
            rejected: report.rejected,
            omitted: report.omitted,
            error: report.error.map(|error| error.code().into()),
            failing_since: report.failing_since,
            failures: report.failures,
            attempts: report.attempts.iter().map(KeptAttempt::of).collect(),
            warnings: report.warnings.clone(),
            next_attempt_at: report.next_attempt_at,
            details_pending: report.details_pending,
            restored: report.restored,
            overdue: shelf.overdue,
            outdated: shelf.outdated_ids(),
            aged_at: shelf.aged_at,
            cause: Some(cause),
        }
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn write(&self) -> String {
        // Plain data cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Has a report say what an earlier process left: nothing of it is fresh.
    pub(super) fn restore(self, report: &mut SourceReport) {
        let state = unlooked(self.state);
        let (next, pending) = (report.next_attempt_at, report.details_pending);
        let warnings = std::mem::take(&mut report.warnings);
        self.tell(report);
        report.state = state;
        report.restored = true;
        report.next_attempt_at = next;
        report.details_pending = pending;
        report.warnings = warnings;
    }

    /// Has a report say what is told here, as it was.
    pub(super) fn tell(self, report: &mut SourceReport) {
        report.state = self.state;
        report.fetched_at = self.fetched_at;
        report.rejected = self.rejected;
        report.omitted = self.omitted;
        report.warnings = self.warnings;
        report.error = self.error.as_deref().and_then(ErrorKind::parse);
        report.failing_since = self.failing_since;
        report.next_attempt_at = self.next_attempt_at;
        report.failures = self.failures;
        report.attempts = (self.attempts.into_iter())
            .map(KeptAttempt::attempt)
            .collect();
        report.details_pending = self.details_pending;
        report.restored = self.restored;
    }
}

/// How far clusters can be trusted that nobody looked at.
pub(super) const fn unlooked(state: Freshness) -> Freshness {
    match state {
        Freshness::Fresh | Freshness::Stale => Freshness::Stale,
        state => state,
    }
}
