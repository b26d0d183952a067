//! What one publication changed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::row::Entry;
use crate::domain::{ClusterId, Kind, Presence, SourceName};

/// Bytes of a change beside its texts, with its part of the index of its batch.
const BESIDES: usize = 768;

/// What happened.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// A cluster is listed that was not.
    Added,
    /// What is known of a cluster is something else.
    Updated,
    /// A complete listing does not have the cluster any more; it is still shown.
    Missing,
    /// A second listing agreed that it is gone, or it was deleted through the gateway; it is not shown any more.
    Removed,
    /// It was missing and is listed again.
    Returned,
    /// How far a source's clusters can be trusted: its `state`, its `error`, whether it is `overdue`, and whether it `omits_items`
    /// that could not be read.
    SourceState,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Added,
        Self::Updated,
        Self::Missing,
        Self::Removed,
        Self::Returned,
        Self::SourceState,
    ];

    /// The word used in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Missing => "missing",
            Self::Removed => "removed",
            Self::Returned => "returned",
            Self::SourceState => "source_state",
        }
    }

    /// The kind that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Why it happened, as far as the gateway can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The vendor says something else than before.
    Vendor,
    /// The vendor could not be read, or can be read again.
    Outage,
    /// Somebody asked this gateway for it.
    Operator,
}

/// A value that is another one than before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field: `name`, or `status.state` within an object.
    pub field: String,
    /// What it was; null where there was none.
    pub old: Box<RawValue>,
    /// What it is; null where there is none.
    pub new: Box<RawValue>,
}

/// One change, as it is told and kept. The generation and the time that belong to it are its batch's.
#[derive(Debug)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Why.
    pub cause: Cause,
    /// Where.
    pub source: SourceName,
    /// The source's provider.
    pub provider: Kind,
    /// To which cluster; `None` where it happened to the source.
    pub cluster: Option<ClusterId>,
    /// The cluster's name; the last one, where it is gone.
    pub name: Option<String>,
    /// What is another one than before.
    pub fields: Vec<FieldChange>,
    /// The cluster before, and after.
    pub(super) before: Option<Known>,
    pub(super) after: Option<Known>,
}

/// A cluster on one side of a change, as answers showed it then. What is kept of it beside its row is left out, since changes
/// outlive the snapshots that they lie between.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The cluster; its presence is the one that was shown.
    pub(super) entry: Entry,
    /// Whether what was known of it was old.
    pub(super) is_old: bool,
    /// What of this is the cluster's own, and not its source's.
    pub(super) was: Was,
}

impl Known {
    pub(super) fn new(entry: &Entry, presence: Presence, is_old: bool, was: Was) -> Self {
        Self {
            entry: Entry {
                presence,
                detail: None,
                base: None,
                ..entry.clone()
            },
            is_old,
            was,
        }
    }
}

/// How a cluster was, whatever was the matter with its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Was {
    /// Its presence by the listings alone.
    pub presence: Presence,
    /// Whether it was stale by itself: read long ago, or out of its vendor's reach.
    pub is_stale: bool,
}

impl Was {
    const STALE: u8 = 0x10;

    /// As one number.
    pub const fn code(self) -> u8 {
        self.presence as u8 | if self.is_stale { Self::STALE } else { 0 }
    }

    /// What a number stands for.
    pub fn of_code(code: u8) -> Option<Self> {
        let presence = code & !Self::STALE;
        Some(Self {
            presence: Presence::ALL
                .into_iter()
                .find(|known| *known as u8 == presence)?,
            is_stale: code & Self::STALE != 0,
        })
    }
}

/// A change in the form in which answers have it.
#[derive(Serialize)]
struct Told<'a> {
    generation: u64,
    at: Timestamp,
    kind: ChangeKind,
    cause: Cause,
    source: &'a SourceName,
    provider: &'a Kind,
    cluster: Option<&'a ClusterId>,
    name: Option<&'a str>,
    fields: &'a [FieldChange],
}

impl Change {
    /// The change as answers have it.
    pub(super) fn told(&self, generation: u64, at: Timestamp) -> Box<[u8]> {
        write(&self.as_told(generation, at))
    }

    /// The change as those have it who do not see the cluster as it was before: to them it is new.
    pub(super) fn told_coming(&self, generation: u64, at: Timestamp) -> Box<[u8]> {
        write(&Told {
            kind: ChangeKind::Added,
            fields: &[],
            ..self.as_told(generation, at)
        })
    }

    /// The change as those have it who do not see the cluster as it is after: to them it is gone.
    pub(super) fn told_going(&self, generation: u64, at: Timestamp) -> Box<[u8]> {
        let before = self.before.as_ref();
        write(&Told {
            kind: ChangeKind::Removed,
            name: before.map(|known| &*known.entry.row.facts.name),
            fields: &[],
            ..self.as_told(generation, at)
        })
    }

    fn as_told(&self, generation: u64, at: Timestamp) -> Told<'_> {
        Told {
            generation,
            at,
            kind: self.kind,
            cause: self.cause,
            source: &self.source,
            provider: &self.provider,
            cluster: self.cluster.as_ref(),
            name: self.name.as_deref(),
            fields: &self.fields,
        }
    }

    /// The cluster's own account of itself after the change, the last one where it is gone: JSON. What keeps changes needs it to
    /// tell later who may see them.
    pub fn document(&self) -> Option<String> {
        let known = self.after.as_ref().or(self.before.as_ref())?;
        Some(known.entry.row.document())
    }

    /// How the cluster was before the change; `None` where it was not listed, or it happened to the source.
    pub fn was(&self) -> Option<Was> {
        self.before.as_ref().map(|known| known.was)
    }

    /// Bytes that it takes, as far as they can be reckoned. What it shares with the current snapshot is not counted.
    pub(super) fn weight(&self) -> usize {
        let fields = self.fields.iter();
        let fields: usize = fields
            .map(|one| one.field.len() + one.old.get().len() + one.new.get().len() + 64)
            .sum();
        let before = self.before.as_ref();
        fields + before.map_or(0, |known| known.entry.row.json_len()) + BESIDES
    }
}

fn write(told: &Told<'_>) -> Box<[u8]> {
    // Plain data cannot fail.
    serde_json::to_vec(told).unwrap_or_default().into()
}
