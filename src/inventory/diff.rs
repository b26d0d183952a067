//! What is different between two shelves of one source; pure.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::SourceReport;
use super::change::{Cause, Change, ChangeKind, FieldChange};
use super::row::Entry;
use super::shelf::Shelf;
use crate::domain::Presence;

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
    if let Some(change) = of_source(&before.report, report) {
        difference.changes.push(change);
    }
    if Arc::ptr_eq(&before.content, &after.content) {
        return difference;
    }
    let (mut old, mut new) = (
        before.content.entries.iter().peekable(),
        after.content.entries.iter().peekable(),
    );
    loop {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return difference,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(old), Some(new)) => old.row.id.cmp(&new.row.id),
        };
        let (gone, come) = match order {
            Ordering::Less => (old.next(), None),
            Ordering::Greater => (None, new.next()),
            Ordering::Equal => (old.next(), new.next()),
        };
        if let (Some(old), Some(new)) = (gone, come)
            && new.is_as(old)
        {
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
            (_, Some(entry)) => difference.upserts.push(entry.clone()),
            (Some(entry), None) => difference.removed.push(entry.clone()),
            (None, None) => {}
        }
    }
}

fn is_listed(entry: &Entry) -> bool {
    matches!(entry.presence, Presence::Present | Presence::Stale)
}

fn of_cluster(
    before: Option<&Entry>,
    after: Option<&Entry>,
    cause: Cause,
    report: &SourceReport,
) -> Option<Change> {
    let mut fields = Vec::new();
    let kind = match (before, after) {
        (None, None) => return None,
        (None, Some(_)) => ChangeKind::Added,
        (Some(_), None) => ChangeKind::Removed,
        (Some(before), Some(after)) => {
            if !Arc::ptr_eq(&before.row, &after.row) {
                fields = of_rows(before, after);
            }
            match (is_listed(before), is_listed(after)) {
                (true, false) => ChangeKind::Missing,
                (false, true) => ChangeKind::Returned,
                _ if fields.is_empty() => return None,
                _ => ChangeKind::Updated,
            }
        }
    };
    let last = after.or(before)?;
    Some(Change {
        kind,
        cause,
        source: report.name.clone(),
        provider: report.provider.clone(),
        cluster: Some(last.row.id.clone()),
        name: Some(last.row.facts.name.to_string()),
        fields,
        before: before.cloned(),
        after: after.cloned(),
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

fn of_rows(before: &Entry, after: &Entry) -> Vec<FieldChange> {
    let (old, new) = (before.row.document(), after.row.document());
    let mut fields = Vec::new();
    let (old_members, new_members) = (
        Members::of(&old).unwrap_or_default(),
        Members::of(&new).unwrap_or_default(),
    );
    of_members("", &old_members, &new_members, &mut fields);
    if before.row.contact_lost != after.row.contact_lost {
        let word = |lost: bool| raw(if lost { "true" } else { "false" });
        fields.push(FieldChange {
            field: "stale".to_owned(),
            old: word(before.row.contact_lost),
            new: word(after.row.contact_lost),
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

fn of_source(before: &SourceReport, after: &SourceReport) -> Option<Change> {
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
    compare(
        "state",
        before.state.as_str().into(),
        after.state.as_str().into(),
    );
    let code = |report: &SourceReport| report.error.map(|error| error.code()).into();
    compare("error", code(before), code(after));
    (!fields.is_empty()).then(|| Change {
        kind: ChangeKind::SourceState,
        cause: Cause::Outage,
        source: after.name.clone(),
        provider: after.provider.clone(),
        cluster: None,
        name: None,
        fields,
        before: None,
        after: None,
    })
}
