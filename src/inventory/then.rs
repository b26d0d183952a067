//! The inventory as it was shown at an earlier generation: what changed since is undone.
//!
//! What no change tells is not known of then: measurements, counters and clocks, when a source was read and how often, nodes, and
//! the vendor's own objects. All of it is left out, also of clusters that did not change.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::Snapshot;
use super::batch::Moment;
use super::change::{Change, ChangeKind, Known, Was};
use super::diff;
use super::facts::Interner;
use super::row::{Entry, Row};
use super::shelf::{Content, Shelf};
use super::source::{Freshness, SourceReport};
use crate::domain::{ClusterId, Kind, SourceName};
use crate::provider::ErrorKind;

/// What is to be undone: of each cluster and source only how it was before its first change.
#[derive(Default)]
pub struct Undo {
    clusters: HashMap<ClusterId, Option<Known>>,
    sources: BTreeMap<SourceName, Then>,
    weight: usize,
}

/// What changes tell of a source as it was; `None` where nothing is told, since it is as it was.
#[expect(
    clippy::option_option,
    reason = "whether something is told, and what it was"
)]
struct Then {
    provider: Kind,
    /// `Some(None)` where the source was not there.
    state: Option<Option<Freshness>>,
    error: Option<Option<ErrorKind>>,
    overdue: Option<bool>,
    omits_items: Option<bool>,
}

impl Undo {
    /// Takes the changes of a moment; the oldest come first.
    pub fn take(&mut self, moment: &Moment) {
        for change in moment.changes() {
            if change.kind == ChangeKind::SourceState {
                self.take_source(change);
            } else if let Some(id) = &change.cluster {
                let weight = &mut self.weight;
                self.clusters.entry(id.clone()).or_insert_with(|| {
                    *weight += change.weight();
                    change.before.clone()
                });
            }
        }
    }

    /// Bytes that it takes, as far as they can be reckoned.
    pub fn weight(&self) -> usize {
        self.weight
    }

    fn take_source(&mut self, change: &Change) {
        let then = self
            .sources
            .entry(change.source.clone())
            .or_insert_with(|| Then {
                provider: change.provider.clone(),
                state: None,
                error: None,
                overdue: None,
                omits_items: None,
            });
        for field in &change.fields {
            let old: Value = serde_json::from_str(field.old.get()).unwrap_or_default();
            match field.field.as_str() {
                "state" => {
                    let state = || old.as_str().and_then(Freshness::parse);
                    then.state.get_or_insert_with(state);
                }
                "error" => {
                    let error = || old.as_str().and_then(ErrorKind::parse);
                    then.error.get_or_insert_with(error);
                }
                "overdue" => {
                    then.overdue.get_or_insert(old == Value::Bool(true));
                }
                "omits_items" => {
                    then.omits_items.get_or_insert(old == Value::Bool(true));
                }
                _ => {}
            }
        }
    }

    /// The inventory as it was shown at a generation, given that this is all that changed from then until a snapshot. It takes
    /// long for many clusters: each is read and written once more.
    pub fn apply(self, now: &Snapshot, generation: u64, at: Timestamp) -> Snapshot {
        let mut names: HashSet<SourceName> = self.sources.keys().cloned().collect();
        names.extend(now.sources().iter().map(|source| source.name.clone()));
        let mut before: HashMap<&str, Vec<&Known>> = HashMap::new();
        for (id, known) in &self.clusters {
            let source = id.as_str().split(':').next().unwrap_or_default();
            before.entry(source).or_default().extend(known);
        }
        let mut shelves = Vec::new();
        for name in names {
            let then = self.sources.get(&name);
            if then.is_some_and(|then| then.state == Some(None)) {
                continue;
            }
            let known = before.remove(name.as_str()).unwrap_or_default();
            let current = now.shelves.iter().find(|shelf| shelf.report.name == name);
            let current = current.map(AsRef::as_ref);
            let shelf = shelve(name, then, current, &known, &self.clusters);
            shelves.push(Arc::new(shelf));
        }
        let mut snapshot = Snapshot::new(generation, at, shelves);
        snapshot.is_of_then = true;
        snapshot
    }
}

fn shelve(
    name: SourceName,
    told: Option<&Then>,
    now: Option<&Shelf>,
    before: &[&Known],
    changed: &HashMap<ClusterId, Option<Known>>,
) -> Shelf {
    let provider = now.map(|shelf| shelf.report.provider.clone());
    let provider = (told.map(|then| then.provider.clone())).or(provider);
    let interval = now.map_or(std::time::Duration::ZERO, |now| now.report.refresh_interval);
    let provider = provider.unwrap_or_else(|| Kind::new("unknown"));
    let mut report = SourceReport::new(name, provider, interval);
    let current = |what: fn(&Shelf) -> bool| now.is_some_and(what);
    report.state = told
        .and_then(|then| then.state.flatten())
        .or(now.map(|shelf| shelf.report.state))
        .unwrap_or(Freshness::Never);
    report.error = told
        .and_then(|then| then.error)
        .unwrap_or_else(|| now.and_then(|shelf| shelf.report.error));
    let overdue = told
        .and_then(|then| then.overdue)
        .unwrap_or_else(|| current(|shelf| shelf.overdue));
    let omits_items = told
        .and_then(|then| then.omits_items)
        .unwrap_or_else(|| current(|shelf| shelf.report.omitted > 0));
    // How many they were nobody told.
    report.omitted = usize::from(omits_items);
    report.is_partial = true;

    let mut texts = Interner::default();
    let (mut entries, mut stale) = (Vec::new(), HashSet::new());
    let mut add = |row: &Arc<Row>, was: Was, changed_at: Timestamp| {
        let Some(row) = told_of(row, &mut texts) else {
            return;
        };
        if was.is_stale {
            stale.insert(row.id.clone());
        }
        entries.push(Entry {
            row: Arc::new(row),
            presence: was.presence,
            fetched_at: None,
            changed_at,
            detail: None,
            base: None,
            is_detail_newest: false,
        });
    };
    if let Some(now) = now {
        for (number, entry) in (0_u32..).zip(&now.content.entries) {
            if !changed.contains_key(&entry.row.id) {
                let was = Was {
                    presence: entry.presence,
                    is_stale: now.outdated.contains(number) || entry.row.contact_lost,
                };
                add(&entry.row, was, entry.changed_at);
            }
        }
    }
    for known in before {
        add(&known.entry.row, known.was, known.entry.changed_at);
    }
    report.clusters = entries.len();
    let content = Content::new(entries);
    let numbered = (0_u32..).zip(&content.entries);
    let outdated = numbered
        .filter(|(_, entry)| stale.contains(&entry.row.id))
        .map(|(number, _)| number)
        .collect();
    Shelf {
        links: now.map_or_else(Default::default, |now| now.links),
        content,
        overdue,
        outdated,
        ..Shelf::new(report, std::time::Duration::MAX)
    }
}

/// What changes tell of a cluster; that it was out of its vendor's reach is told beside it.
fn told_of(row: &Row, texts: &mut Interner) -> Option<Row> {
    let mut cluster = row.cluster()?;
    diff::quiet(&mut cluster);
    cluster.contact_lost = false;
    let document = serde_json::to_string(&cluster).ok()?;
    Row::of_document(&document, false, texts)
}
