//! What is known of one source: its report and its clusters. Each step takes the last shelf and gives the next; nothing waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::account::unlooked;
use super::columns::{Columns, Totals};
use super::facts::Interner;
use super::index::Index;
use super::links::Links;
use super::passing::Passing;
use super::prepare::Prepared;
use super::row::{Base, Detail, Entry, Row};
use super::source::{ATTEMPTS, Attempt, Freshness, SourceReport};
use crate::domain::{ClusterId, Presence};
use crate::provider::{Described, ErrorKind, Listing, Locator};

/// A source of this size or more that loses more than half of its clusters at once is suspect.
const MASS: usize = 10;

/// A source's clusters by id, their index, and what they sum up to.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) entries: Vec<Entry>,
    pub(super) index: Index,
    pub(super) columns: Columns,
    /// Sums over all of them.
    pub(super) totals: Totals,
}

/// What is known of one source.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    pub(super) report: Arc<SourceReport>,
    pub(super) content: Arc<Content>,
    /// When the entries were last read, unless one says otherwise.
    pub(super) fetched_at: Option<Timestamp>,
    /// The same as answers have it; empty where it is not known.
    pub(super) fetched_text: Arc<str>,
    /// Age after which clusters count as stale even if nothing failed.
    pub(super) staleness_limit: Duration,
    /// What lies below each cluster.
    pub(super) links: Links,
    /// Clusters that were seen otherwise since the last refresh, and the generation that first showed it.
    pub(super) held: HashMap<ClusterId, u64>,
    /// Whether the clusters are older than the source's staleness limit.
    pub(super) overdue: bool,
    /// Clusters that were read at another time than the rest and are older than the limit.
    pub(super) outdated: RoaringBitmap,
    /// When it was last looked at which clusters these are: they follow from it.
    pub(super) aged_at: Option<Timestamp>,
    /// Clusters that whoever asks may see; `None` is all of them, as everywhere but in a view.
    pub(super) seen: Option<RoaringBitmap>,
}

/// How a refresh of one source ended.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// When it began.
    pub started_at: Timestamp,
    /// The generation that was current then.
    pub based_on: u64,
    /// How long it took.
    pub took: Duration,
    /// The whole listing, or why there is none and how many pages were read before.
    pub result: Result<Listing<Prepared>, (ErrorKind, u32)>,
    /// When the next one is due.
    pub next_attempt_at: Option<Timestamp>,
}

/// A detail call that succeeded.
#[derive(Debug, Clone)]
pub struct Detailed {
    /// The cluster.
    pub id: ClusterId,
    /// What was read.
    pub described: Described,
    /// When.
    pub at: Timestamp,
    /// The generation that was current when it was asked for: what was shown otherwise since is newer.
    pub based_on: u64,
}

/// [`Shelf::fetched_text`].
pub(super) fn text_of(fetched_at: Option<Timestamp>) -> Arc<str> {
    fetched_at
        .map(|at| at.to_string())
        .unwrap_or_default()
        .into()
}

impl Content {
    pub(super) fn new(mut entries: Vec<Entry>) -> Arc<Self> {
        entries.sort_by(|a, b| a.row.id.cmp(&b.row.id));
        Self::unsorted(entries)
    }

    /// Entries in an order of their own, of which one cluster may have several: for questions that no order plays a part in.
    pub(super) fn unsorted(entries: Vec<Entry>) -> Arc<Self> {
        let index = Index::build(&entries);
        let columns = Columns::build(&entries);
        let totals = columns.totals(&Passing::All.mask(entries.len()));
        Arc::new(Self {
            entries,
            index,
            columns,
            totals,
        })
    }

    /// Clusters with a reading time of their own that is longer ago than the limit.
    pub(super) fn older_than(&self, limit: Duration, now: Timestamp) -> RoaringBitmap {
        let kept = [Presence::Stale, Presence::Missing, Presence::Suspect]
            .map(|presence| &self.index.presences[presence as usize]);
        let is_old = |number: &u32| {
            self.entries[*number as usize]
                .fetched_at
                .is_some_and(|at| is_older(at, limit, now))
        };
        kept.into_iter().flatten().filter(is_old).collect()
    }
}

impl Shelf {
    pub(super) fn new(report: SourceReport, staleness_limit: Duration) -> Self {
        Self {
            report: Arc::new(report),
            content: Content::new(Vec::new()),
            fetched_at: None,
            fetched_text: Arc::default(),
            staleness_limit,
            links: Links::default(),
            held: HashMap::new(),
            overdue: false,
            outdated: RoaringBitmap::new(),
            aged_at: None,
            seen: None,
        }
    }

    /// Clusters that are seen.
    pub(super) fn len(&self) -> usize {
        self.seen
            .as_ref()
            .map_or(self.content.entries.len(), |seen| {
                usize::try_from(seen.len()).unwrap_or(usize::MAX)
            })
    }

    /// Whether a cluster is seen.
    pub(super) fn sees(&self, number: u32) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen.contains(number))
    }

    pub(super) fn with_links(self, links: Links) -> Self {
        Self { links, ..self }
    }

    /// The presence of an entry, as answers show it.
    pub(super) fn presence(&self, entry: &Entry) -> Presence {
        self.shown(entry.presence)
    }

    /// How a presence by the listings alone is shown: a failed source makes present clusters stale, also where it was suspect
    /// before it failed.
    pub(super) fn shown(&self, presence: Presence) -> Presence {
        let is_unread =
            self.report.state == Freshness::Stale || self.report.error.is_some() || self.overdue;
        if presence == Presence::Present && is_unread {
            Presence::Stale
        } else {
            presence
        }
    }

    /// Whether a cluster was last read longer ago than the staleness limit.
    pub(super) fn is_old(&self, number: u32) -> bool {
        self.overdue || self.outdated.contains(number)
    }

    /// The ids of [`Shelf::outdated`].
    pub(super) fn outdated_ids(&self) -> Vec<ClusterId> {
        let entries = &self.content.entries;
        let old = self.outdated.iter();
        let old = old.filter_map(|number| entries.get(number as usize));
        old.map(|entry| entry.row.id.clone()).collect()
    }

    /// The shelf after a refresh.
    pub(super) fn after(&self, outcome: Outcome, has_details: bool) -> Self {
        let mut report = SourceReport::clone(&self.report);
        report.next_attempt_at = outcome.next_attempt_at;
        let took =
            Duration::from_millis(u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX));
        let ended_at = outcome
            .started_at
            .checked_add(took)
            .unwrap_or(outcome.started_at);
        let mut attempt = Attempt {
            started_at: outcome.started_at,
            took: outcome.took,
            error: None,
            pages: 0,
            clusters: None,
            rejected: 0,
        };
        let mut next = match outcome.result {
            Ok(listing) => {
                attempt.pages = listing.pages;
                attempt.clusters = Some(listing.clusters.len());
                attempt.rejected = listing.rejected.len();
                remember(&mut report, attempt);
                self.after_listing(listing, report, ended_at, outcome.based_on, has_details)
            }
            Err((error, pages)) => {
                attempt.error = Some(error);
                attempt.pages = pages;
                remember(&mut report, attempt);
                self.after_failure(error, report, ended_at)
            }
        };
        // The next refresh begins after this one is published, so it knows all that was held.
        next.held.clear();
        next
    }

    /// Everything known stays as it was and is marked.
    fn after_failure(&self, error: ErrorKind, mut report: SourceReport, now: Timestamp) -> Self {
        report.error = Some(error);
        report.failures += 1;
        report.failing_since.get_or_insert(now);
        report.state = match report.state {
            Freshness::Fresh | Freshness::Stale => Freshness::Stale,
            Freshness::Suspect => Freshness::Suspect,
            Freshness::Never => Freshness::Never,
        };
        Self {
            report: Arc::new(report),
            ..self.clone()
        }
    }

    /// A whole listing: the only thing that can remove clusters, and it needs two of them.
    fn after_listing(
        &self,
        listing: Listing<Prepared>,
        mut report: SourceReport,
        now: Timestamp,
        based_on: u64,
        has_details: bool,
    ) -> Self {
        let known: HashMap<&ClusterId, &Entry> = self
            .content
            .entries
            .iter()
            .map(|entry| (&entry.row.id, entry))
            .collect();
        let listed_count = listing.clusters.len();
        let mut changed = false;
        let mut seen: HashSet<ClusterId> = HashSet::with_capacity(listed_count);
        let mut entries: Vec<Entry> =
            Vec::with_capacity(listed_count.max(self.content.entries.len()));
        let (listed, held) = self.hold(based_on, listing.clusters, &mut seen);
        for entry in held {
            let known = known.get(&entry.row.id).copied();
            changed |= known.is_none_or(|known| known.presence != entry.presence);
            entries.push(entry);
        }
        for Prepared(entry) in listed {
            let known = known.get(&entry.row.id).copied();
            changed |= known.is_none_or(|known| {
                !Arc::ptr_eq(&known.row, &entry.row) || known.presence != entry.presence
            });
            changed |=
                known.is_some_and(|known| known.fetched_at.is_some() || known.is_detail_newest);
            seen.insert(entry.row.id.clone());
            entries.push(entry);
        }

        let unreadable: HashSet<ClusterId> = (listing.rejected.iter())
            .filter_map(|rejected| {
                Some(ClusterId::new(&report.name, rejected.native_id.as_deref()?))
            })
            .filter(|id| !seen.contains(id))
            .collect();
        let unidentified = listing
            .rejected
            .iter()
            .filter(|rejected| rejected.native_id.is_none())
            .count();
        let absent: Vec<&Entry> = self
            .content
            .entries
            .iter()
            .filter(|entry| !seen.contains(&entry.row.id))
            .collect();
        // Those that the last listing had already lost are no part of what this one loses.
        let was_there =
            |entry: &&Entry| matches!(entry.presence, Presence::Present | Presence::Stale);
        let lost = absent
            .iter()
            .copied()
            .filter(was_there)
            .filter(|entry| !unreadable.contains(&entry.row.id))
            .count();
        let before = self.content.entries.len();
        let had = self.content.entries.iter().filter(was_there).count();
        let is_mass = listed_count == 0 || (had >= MASS && lost * 2 > had);
        let mut suspects = 0;
        for entry in absent {
            let presence = if unreadable.contains(&entry.row.id) {
                Presence::Stale
            } else if unidentified > 0 {
                // Which of the unreadable rows this one is cannot be known, so it may still be there.
                Presence::Stale
            } else {
                match entry.presence {
                    // A second complete listing agrees that it is gone.
                    Presence::Missing | Presence::Suspect => {
                        changed = true;
                        continue;
                    }
                    Presence::Present | Presence::Stale if is_mass => Presence::Suspect,
                    Presence::Present | Presence::Stale => Presence::Missing,
                }
            };
            suspects += usize::from(presence == Presence::Suspect);
            let fetched_at = entry.fetched_at.or(self.fetched_at);
            changed |= entry.presence != presence || entry.fetched_at != fetched_at;
            entries.push(Entry {
                presence,
                fetched_at,
                ..entry.clone()
            });
        }

        report.state = if suspects > 0 {
            Freshness::Suspect
        } else {
            Freshness::Fresh
        };
        report.fetched_at = Some(now);
        report.restored = false;
        report.error = None;
        report.failures = 0;
        report.failing_since = None;
        report.rejected = listing.rejected.len();
        let unknown = unreadable
            .iter()
            .filter(|id| !known.contains_key(id))
            .count();
        // An unreadable row without an id may be one of the kept clusters or a new one: nobody can vouch that it is shown.
        report.omitted = unknown + unidentified;
        let warnings = listing.warnings.iter();
        report.warnings = warnings
            .map(|(field, count)| (field.into(), count))
            .collect();
        report.clusters = entries.len();
        report.details_pending = pending(&entries, has_details);
        let content = if changed || entries.len() != before {
            Content::new(entries)
        } else {
            Arc::clone(&self.content)
        };
        Self {
            report: Arc::new(report),
            outdated: content.older_than(self.staleness_limit, now),
            aged_at: Some(now),
            content,
            fetched_at: Some(now),
            fetched_text: text_of(Some(now)),
            overdue: false,
            ..self.clone()
        }
    }

    /// What is known of one cluster.
    pub(super) fn entry(&self, id: &ClusterId) -> Option<&Entry> {
        let place = self
            .content
            .index
            .find(&self.content.entries, id.as_str())?;
        self.content.entries.get(place)
    }

    /// The shelf after some clusters were described.
    pub(super) fn detailed(&self, details: Vec<Detailed>, texts: &mut Interner) -> Self {
        let mut entries = self.content.entries.clone();
        let mut changed = false;
        for Detailed {
            id,
            described,
            at,
            based_on,
        } in details
        {
            if self.held.get(&id).is_some_and(|since| *since > based_on) {
                continue;
            }
            let Some(place) = self.content.index.find(&self.content.entries, id.as_str()) else {
                continue;
            };
            let entry = &mut entries[place];
            let base = entry
                .base
                .clone()
                .unwrap_or_else(|| Arc::new(Base::of_row(&entry.row)));
            let detail = Arc::new(Detail::new(described, at));
            if let Some(row) = Row::described(&base, entry.row.locator.clone(), &detail, texts) {
                entry.row = Arc::new(row);
                entry.base = Some(base);
                entry.detail = Some(detail);
                entry.is_detail_newest = true;
                changed = true;
            }
        }
        if !changed {
            return self.clone();
        }
        let mut report = SourceReport::clone(&self.report);
        report.details_pending = pending(&entries, true);
        Self {
            report: Arc::new(report),
            content: Content::new(entries),
            ..self.clone()
        }
    }

    /// The shelf with its age looked at again.
    pub(super) fn aged(&self, now: Timestamp) -> Option<Self> {
        let limit = self.staleness_limit;
        let overdue = self.fetched_at.is_some_and(|at| is_older(at, limit, now));
        let outdated = self.content.older_than(limit, now);
        let state = match self.report.state {
            Freshness::Fresh if overdue => Freshness::Stale,
            // The clock was set; nothing else makes an old listing young.
            // What an earlier process left is not fresh, however young it is: nobody has looked since.
            Freshness::Stale
                if !overdue && self.report.error.is_none() && !self.report.restored =>
            {
                Freshness::Fresh
            }
            state => state,
        };
        let is_same =
            overdue == self.overdue && state == self.report.state && outdated == self.outdated;
        (!is_same).then(|| {
            let report = SourceReport {
                state,
                ..SourceReport::clone(&self.report)
            };
            Self {
                report: Arc::new(report),
                overdue,
                outdated,
                aged_at: Some(now),
                ..self.clone()
            }
        })
    }

    /// The shelf of a source that nobody looked at for a while: what it says is what somebody left, and it is due.
    pub(super) fn left(&self, now: Timestamp) -> Self {
        let report = SourceReport {
            state: unlooked(self.report.state),
            restored: true,
            next_attempt_at: Some(now),
            ..SourceReport::clone(&self.report)
        };
        let left = Self {
            report: Arc::new(report),
            ..self.clone()
        };
        left.aged(now).unwrap_or(left)
    }

    /// Clusters whose detail is wanted, the most urgent first: never described, changed since, then the oldest.
    pub(super) fn wanting_detail(&self, older_than: Timestamp) -> Vec<(ClusterId, Locator)> {
        let mut wanting: Vec<(Option<Timestamp>, &Entry)> = (self.content.entries.iter())
            .filter(|entry| matches!(entry.presence, Presence::Present))
            .filter_map(|entry| match &entry.detail {
                None => Some((None, entry)),
                Some(detail) if entry.changed_at > detail.at => Some((Some(Timestamp::MIN), entry)),
                Some(detail) if detail.at < older_than => Some((Some(detail.at), entry)),
                Some(_) => None,
            })
            .collect();
        wanting.sort_by_key(|(at, _)| *at);
        wanting
            .into_iter()
            .map(|(_, entry)| (entry.row.id.clone(), entry.row.locator.clone()))
            .collect()
    }
}

/// A time that lies as far ahead as the limit says that the clock was set, so the age is not known and counts as too high.
fn is_older(at: Timestamp, limit: Duration, now: Timestamp) -> bool {
    now.duration_since(at).unsigned_abs() > limit
}

fn remember(report: &mut SourceReport, attempt: Attempt) {
    report.attempts.push_front(attempt);
    report.attempts.truncate(ATTEMPTS);
}

pub(super) fn pending(entries: &[Entry], has_details: bool) -> usize {
    if has_details {
        entries
            .iter()
            .filter(|entry| entry.detail.is_none())
            .count()
    } else {
        0
    }
}
