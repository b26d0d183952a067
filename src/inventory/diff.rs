//! What is different between two shelves of one source; pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::SourceReport;
use super::change::{Cause, Change, ChangeKind, FieldChange, Known, Was};
use super::row::Entry;
use super::shelf::Shelf;
use crate::domain::{Cluster, Presence};
use crate::provider::ErrorKind;

/// Members that change by themselves all the time: measurements, counters, and clocks. A cluster of which nothing else is new has
/// not changed.
const NOISE: [&str; 9] = [
    "utilization",
    "workload_counts",
    "observed_at",
    "updated_at",
    "detailed_at",
    "agent.last_seen_at",
    "cost.as_of",
    "status.since",
    "capacity.as_of",
];

/// Leaves of a cluster what changes tell of it.
pub(super) fn quiet(cluster: &mut Cluster) {
    cluster.utilization = None;
    cluster.workload_counts.clear();
    cluster.observed_at = None;
    cluster.updated_at = None;
    cluster.detailed_at = None;
    cluster.status.since = None;
    if let Some(agent) = &mut cluster.agent {
        agent.last_seen_at = None;
    }
    if let Some(cost) = &mut cluster.cost {
        cost.as_of = None;
    }
}

/// What is different between two shelves of one source.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// What is worth telling.
    pub(super) changes: Vec<Change>,
    /// Clusters of which only what changes all the time has changed.
    pub(super) noise: Vec<Change>,
    /// Entries that are not what they were, in whatever way.
    pub(super) upserts: Vec<Entry>,
    /// Entries that are no more.
    pub(super) removed: Vec<Entry>,
}

/// Compares a source's shelf with the one before, of which a step of the given cause made it.
pub(super) fn difference(before: &Shelf, after: &Shelf, cause: Cause) -> Difference {
    let mut difference = Difference::default();
    let report = after.report.as_ref();
    if let Some(change) = of_source(before, after) {
        difference.changes.push(change);
    }
    if Arc::ptr_eq(&before.content, &after.content) && before.outdated == after.outdated {
        return difference;
    }
    let (mut old, mut new) = (sides(before).peekable(), sides(after).peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return difference,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.entry.row.id.cmp(&new.entry.row.id),
        };
        let (gone, come) = match order {
            Ordering::Less => (old.next(), None),
            Ordering::Greater => (None, new.next()),
            Ordering::Equal => (old.next(), new.next()),
        };
        let is_kept = matches!((gone, come), (Some(old), Some(new)) if new.entry.is_as(old.entry));
        if is_kept && gone.map(|side| side.is_old) == come.map(|side| side.is_old) {
            continue;
        }
        if let Some(change) = of_cluster(gone, come, cause, report) {
            if is_noise(&change) {
                difference.noise.push(change);
            } else {
                difference.changes.push(change);
            }
        }
        match (gone, come) {
            (_, Some(_)) if is_kept => {}
            (_, Some(side)) => difference.upserts.push(side.entry.clone()),
            (Some(side), None) => difference.removed.push(side.entry.clone()),
            (None, None) => {}
        }
    }
}

/// A cluster of one of the two shelves.
#[derive(Clone, Copy)]
struct Side<'a> {
    shelf: &'a Shelf,
    entry: &'a Entry,
    /// Whether it was read long ago, though its source was not.
    is_old: bool,
}

impl Side<'_> {
    /// Whether the listings have it.
    fn is_listed(self) -> bool {
        matches!(self.entry.presence, Presence::Present | Presence::Stale)
    }

    /// Whether what is known of it is old, as far as that is not because its whole source is.
    fn is_stale(self) -> bool {
        self.is_old || self.entry.row.contact_lost
    }

    fn presence(self) -> Presence {
        self.shelf.presence(self.entry)
    }

    fn known(self) -> Known {
        let is_old = self.is_old || self.shelf.overdue;
        let was = Was {
            presence: self.entry.presence,
            is_stale: self.is_stale(),
        };
        Known::new(self.entry, self.presence(), is_old, was)
    }
}

fn sides(shelf: &Shelf) -> impl Iterator<Item = Side<'_>> {
    let numbered = (0_u32..).zip(&shelf.content.entries);
    numbered.map(|(number, entry)| Side {
        shelf,
        entry,
        is_old: shelf.outdated.contains(number),
    })
}

fn of_cluster(
    before: Option<Side<'_>>,
    after: Option<Side<'_>>,
    cause: Cause,
    report: &SourceReport,
) -> Option<Change> {
    let mut fields = Vec::new();
    let kind = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Removed,
        (Some(before), Some(after)) => {
            fields = of_sides(before, after);
            match (before.is_listed(), after.is_listed()) {
                (true, false) => ChangeKind::Missing,
                (false, true) => ChangeKind::Returned,
                _ if fields.is_empty() => return None,
                _ => ChangeKind::Updated,
            }
        }
    };
    let last = after.or(before)?.entry;
    Some(Change {
        kind,
        cause,
        source: report.name.clone(),
        provider: report.provider.clone(),
        cluster: Some(last.row.id.clone()),
        name: Some(last.row.facts.name.to_string()),
        fields,
        before: before.map(Side::known),
        after: after.map(Side::known),
    })
}

fn is_noise(change: &Change) -> bool {
    let is = |field: &str| {
        NOISE.iter().any(|noise| {
            field
                .strip_prefix(noise)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    change.kind == ChangeKind::Updated && change.fields.iter().all(|change| is(&change.field))
}

/// The members of an object, read no further than needed to tell them apart.
#[derive(Default, Deserialize)]
#[serde(transparent)]
struct Members<'a>(#[serde(borrow)] BTreeMap<&'a str, &'a RawValue>);

impl<'a> Members<'a> {
    fn of(json: &'a str) -> Option<Self> {
        json.starts_with('{')
            .then(|| serde_json::from_str(json).ok())?
    }
}

fn of_sides(before: Side<'_>, after: Side<'_>) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    if !Arc::ptr_eq(&before.entry.row, &after.entry.row) {
        let (old, new) = (before.entry.row.document(), after.entry.row.document());
        let (old_members, new_members) = (
            Members::of(&old).unwrap_or_default(),
            Members::of(&new).unwrap_or_default(),
        );
        of_members("", &old_members, &new_members, &mut fields);
    }
    // What a source does to the presence of all of its clusters is told of the source. Where that hides what became of one of
    // them, it is told as the listings have it.
    if before.entry.presence != after.entry.presence {
        let is_hidden = before.presence() == after.presence();
        let word = |side: Side<'_>| {
            let shown = side.presence();
            let presence = if is_hidden {
                side.entry.presence
            } else {
                shown
            };
            raw(&format!("\"{}\"", presence.as_str()))
        };
        fields.push(FieldChange {
            field: "presence".to_owned(),
            old: word(before),
            new: word(after),
        });
    }
    if before.is_stale() != after.is_stale() {
        let word = |side: Side<'_>| raw(if side.is_stale() { "true" } else { "false" });
        fields.push(FieldChange {
            field: "stale".to_owned(),
            old: word(before),
            new: word(after),
        });
    }
    fields
}

fn of_members(prefix: &str, old: &Members<'_>, new: &Members<'_>, fields: &mut Vec<FieldChange>) {
    let mut names: Vec<&str> = old.0.keys().chain(new.0.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let text = |members: &Members<'_>| {
            members
                .0
                .get(name)
                .map_or("null", |value| value.get())
                .to_owned()
        };
        let (was, is) = (text(old), text(new));
        if was == is {
            continue;
        }
        let field = format!("{prefix}{name}");
        // Objects are compared one level deep; what is below is one value.
        if prefix.is_empty()
            && let (Some(was), Some(is)) = (Members::of(&was), Members::of(&is))
        {
            of_members(&format!("{field}."), &was, &is, fields);
            continue;
        }
        fields.push(FieldChange {
            field,
            old: raw(&was),
            new: raw(&is),
        });
    }
}

/// What was a value once is one still.
fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap_or_default()
}

fn of_source(before: &Shelf, after: &Shelf) -> Option<Change> {
    let mut fields = Vec::new();
    let mut compare = |field: &str, old: serde_json::Value, new: serde_json::Value| {
        if old != new {
            fields.push(FieldChange {
                field: field.to_owned(),
                old: raw(&old.to_string()),
                new: raw(&new.to_string()),
            });
        }
    };
    let state = |shelf: &Shelf| shelf.report.state.as_str().into();
    compare("state", state(before), state(after));
    let code = |report: &SourceReport| report.error.map(ErrorKind::code).into();
    compare("error", code(&before.report), code(&after.report));
    compare("overdue", before.overdue.into(), after.overdue.into());
    // How many is for those alone who see all of the source.
    let omits = |shelf: &Shelf| (shelf.report.omitted > 0).into();
    compare("omits_items", omits(before), omits(after));
    (!fields.is_empty()).then(|| Change {
        kind: ChangeKind::SourceState,
        cause: Cause::Outage,
        source: after.report.name.clone(),
        provider: after.report.provider.clone(),
        cluster: None,
        name: None,
        fields,
        before: None,
        after: None,
    })
}
