//! What calls beside the listings have shown of single clusters: a detail that was asked for, the effect of a write.
//!
//! It is held against a listing that began before readers saw it, which may not know it yet. A listing that begins afterwards
//! decides.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::change::Cause;
use super::facts::Interner;
use super::prepare::{Prepared, next_entry};
use super::row::Entry;
use super::shelf::{Content, Detailed, Shelf};
use super::source::SourceReport;
use crate::domain::{ClusterId, Presence};
use crate::provider::Listed;

/// What a call has shown of one cluster.
#[derive(Debug, Clone)]
pub enum Shown {
    /// The cluster as a listing would show it.
    Listed(Box<Listed>),
    /// The cluster's detail.
    Described(Box<Detailed>),
    /// The vendor no longer has its record.
    Gone(ClusterId),
}

impl Shown {
    /// Why the cluster is what was shown. A detail that somebody wanted to see is the vendor's own account; the others are told by
    /// what wrote them.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Described(_) => Cause::Vendor,
            Self::Listed(_) | Self::Gone(_) => Cause::Operator,
        }
    }

    fn id(&self) -> &ClusterId {
        match self {
            Self::Listed(listed) => &listed.cluster.id,
            Self::Described(detailed) => &detailed.id,
            Self::Gone(id) => id,
        }
    }
}

impl Shelf {
    /// The shelf after a call has shown something, as of the generation that publishes it.
    pub(super) fn changed(
        &self,
        change: Shown,
        now: Timestamp,
        generation: u64,
        has_details: bool,
        texts: &mut Interner,
    ) -> Self {
        let id = change.id().clone();
        let is_own = id
            .as_str()
            .strip_prefix(self.report.name.as_str())
            .is_some_and(|rest| rest.starts_with(':'));
        if !is_own {
            return self.clone();
        }
        let mut next = match change {
            Shown::Described(detailed) => {
                let mut next = self.detailed(vec![*detailed], texts);
                let Some(place) = next.place(&id) else {
                    return next;
                };
                let mut entries = next.content.entries.clone();
                entries[place].fetched_at = Some(now);
                next.content = Content::new(entries);
                next
            }
            Shown::Listed(listed) => {
                let known = self.place(&id);
                let mut entries = self.content.entries.clone();
                let entry = Entry {
                    fetched_at: Some(now),
                    ..next_entry(
                        *listed,
                        known.map(|at| &self.content.entries[at]),
                        now,
                        texts,
                    )
                };
                match known {
                    Some(place) => entries[place] = entry,
                    None => entries.push(entry),
                }
                self.with(entries, has_details)
            }
            Shown::Gone(_) => {
                let mut entries = self.content.entries.clone();
                entries.retain(|entry| entry.row.id != id);
                self.with(entries, has_details)
            }
        };
        // Places have moved.
        next.outdated = next.content.older_than(next.staleness_limit, now);
        next.aged_at = Some(now);
        next.held.insert(id, generation);
        next
    }

    fn place(&self, id: &ClusterId) -> Option<usize> {
        let content = &self.content;
        content.index.find(&content.entries, id.as_str())
    }

    fn with(&self, entries: Vec<Entry>, has_details: bool) -> Self {
        let mut report = SourceReport::clone(&self.report);
        report.clusters = entries.len();
        report.details_pending = super::shelf::pending(&entries, has_details);
        Self {
            report: Arc::new(report),
            content: Content::new(entries),
            ..self.clone()
        }
    }

    /// Puts what is held in the place of what an older listing says of it. Given are the listing's rows and those that it has;
    /// taken over are the entries as they are, present where the listing has them.
    pub(super) fn hold(
        &self,
        based_on: u64,
        listed: Vec<Prepared>,
        seen: &mut HashSet<ClusterId>,
    ) -> (Vec<Prepared>, Vec<Entry>) {
        let is_held = |id: &ClusterId| self.held.get(id).is_some_and(|since| *since > based_on);
        if !self.held.keys().any(is_held) {
            return (listed, Vec::new());
        }
        let (held, free): (Vec<Prepared>, Vec<Prepared>) =
            listed.into_iter().partition(|row| is_held(&row.0.row.id));
        let is_listed: HashSet<&ClusterId> = held.iter().map(|row| &row.0.row.id).collect();
        let mut kept = Vec::new();
        for id in self.held.keys().filter(|id| is_held(id)) {
            seen.insert(id.clone());
            // Without an entry it is gone, whatever the listing still says.
            if let Some(entry) = self.entry(id) {
                let presence = if is_listed.contains(id) {
                    Presence::Present
                } else {
                    entry.presence
                };
                kept.push(Entry {
                    presence,
                    ..entry.clone()
                });
            }
        }
        (free, kept)
    }
}
