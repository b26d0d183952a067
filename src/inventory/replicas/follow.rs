//! What another replica has published, applied: the same shelf, the same changes; pure.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::SourceReport;
use super::super::account::Account;
use super::super::change::Cause;
use super::super::facts::Interner;
use super::super::record;
use super::super::row::Entry;
use super::super::shelf::{self, Content, Shelf};
use super::NewerSource;
use crate::domain::ClusterId;

/// A source as another replica has published it.
#[derive(Debug)]
pub(in super::super) struct Followed {
    pub(in super::super) shelf: Shelf,
    /// Why it is so.
    pub(in super::super) cause: Cause,
    /// Whether its list was asked for since.
    pub(in super::super) is_attempted: bool,
    /// Records that are not what was written.
    pub(in super::super) refused: usize,
}

impl Shelf {
    /// The shelf as another replica has published it.
    pub(in super::super) fn followed(&self, newer: NewerSource, texts: &mut Interner) -> Followed {
        let NewerSource {
            account,
            records,
            gone,
            is_whole,
            clusters,
            ..
        } = newer;
        let account = Account::read(&account);
        let mut report = SourceReport::clone(&self.report);
        let (mut overdue, mut aged_at, mut fetched_at) =
            (self.overdue, self.aged_at, self.fetched_at);
        let mut cause = Cause::Vendor;
        let begun_at = |report: &SourceReport| report.attempts.front().map(|last| last.started_at);
        let last = begun_at(&report);
        if let Some(account) = account {
            overdue = account.overdue;
            aged_at = account.aged_at;
            fetched_at = account.fetched_at;
            cause = account.cause.unwrap_or(cause);
            account.tell(&mut report);
        }
        let is_attempted = begun_at(&report) != last;

        // What others have shown is held against a list that was asked for before. A list that was read since knows what was
        // shown before it.
        let mut held = if is_attempted {
            HashMap::new()
        } else {
            self.held.clone()
        };
        let mut refused = 0;
        let mut upserts: HashMap<ClusterId, Entry> = HashMap::with_capacity(records.len());
        for one in &records {
            let Some(entry) = record::decode(&one.id, &one.bytes, texts) else {
                refused += 1;
                continue;
            };
            if !is_whole {
                held.insert(entry.row.id.clone(), one.generation);
            }
            upserts.insert(entry.row.id.clone(), entry);
        }
        let is_other = is_whole || !upserts.is_empty() || !gone.is_empty();
        let content = if is_other {
            let removed: HashSet<&str> = gone.iter().map(|(id, _)| id.as_str()).collect();
            let kept = self.content.entries.iter().filter(|entry| {
                !is_whole
                    && !removed.contains(entry.row.id.as_str())
                    && !upserts.contains_key(&entry.row.id)
            });
            let mut entries: Vec<Entry> = kept.cloned().collect();
            if !is_whole {
                let absent = self.content.entries.iter().map(|entry| &entry.row.id);
                let since: HashMap<&str, u64> =
                    gone.iter().map(|(id, at)| (id.as_str(), *at)).collect();
                held.extend(
                    absent
                        .filter_map(|id| Some((id.clone(), *since.get(id.as_str())?)))
                        .filter(|(id, _)| !upserts.contains_key(id)),
                );
            }
            entries.extend(upserts.into_values());
            Content::new(entries)
        } else {
            Arc::clone(&self.content)
        };
        report.clusters = content.entries.len();
        refused += clusters.map_or(0, |clusters| {
            clusters.saturating_sub(content.entries.len() + refused)
        });
        report.omitted += refused;
        let outdated = aged_at.map(|at| content.older_than(self.staleness_limit, at));
        let shelf = Self {
            report: Arc::new(report),
            content,
            fetched_at,
            fetched_text: shelf::text_of(fetched_at),
            overdue,
            outdated: outdated.unwrap_or_default(),
            aged_at,
            held,
            ..self.clone()
        };
        Followed {
            shelf,
            cause,
            is_attempted,
            refused,
        }
    }
}
