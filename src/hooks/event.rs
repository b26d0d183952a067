//! What is told: types, ids and bodies of events. All of it follows from the change, so that it is the same at each attempt, after
//! each restart and by each gateway.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::settings::HookName;
use crate::inventory::{ChangeKind, Mark};

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A change, as `GET /changes` tells it.
    Change(ChangeKind),
    /// Changes are not known any more that were never told.
    Lost,
    /// Somebody tries whether events arrive.
    Test,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Change(ChangeKind::Added),
        Self::Change(ChangeKind::Updated),
        Self::Change(ChangeKind::Missing),
        Self::Change(ChangeKind::Removed),
        Self::Change(ChangeKind::Returned),
        Self::Change(ChangeKind::SourceState),
        Self::Lost,
        Self::Test,
    ];

    /// The `type` of the body.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Change(ChangeKind::Added) => "cluster.added",
            Self::Change(ChangeKind::Updated) => "cluster.updated",
            Self::Change(ChangeKind::Missing) => "cluster.missing",
            Self::Change(ChangeKind::Removed) => "cluster.removed",
            Self::Change(ChangeKind::Returned) => "cluster.returned",
            Self::Change(ChangeKind::SourceState) => "source.state_changed",
            Self::Lost => "changes.lost",
            Self::Test => "webhook.test",
        }
    }
}

/// Bits of a number that tell the place in a generation; those before them tell the generation.
const PLACES: u32 = 20;

/// An event that is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its place in the order of all events of a webhook: that of the change.
    pub number: i64,
    /// Its id: another one for each webhook.
    pub id: String,
    /// Its type.
    pub kind: EventKind,
    /// The cluster, or the source, that it is about; events of one subject set out in order.
    pub subject: Option<String>,
    /// The generation that first shows it.
    pub generation: u64,
    /// JSON.
    pub body: Vec<u8>,
}

/// What is read of a change as it is told.
#[derive(Deserialize)]
struct Told {
    kind: ChangeKind,
    source: String,
    cluster: Option<String>,
}

impl NewEvent {
    /// The event of a change, given as it is told to this webhook; `None` where that cannot be read.
    pub(super) fn change(
        hook: &HookName,
        generation: u64,
        place: usize,
        at: Timestamp,
        told: &[u8],
    ) -> Option<Self> {
        let head: Told = serde_json::from_slice(told).ok()?;
        let data: &RawValue = serde_json::from_slice(told).ok()?;
        let kind = EventKind::Change(head.kind);
        Some(Self {
            number: number(generation, place),
            id: id(hook, &format!("{generation}.{place}")),
            kind,
            subject: Some(head.cluster.unwrap_or(head.source)),
            generation,
            body: body(kind, at, data.get()),
        })
    }

    /// The event that changes after a place are not known any more, up to a generation.
    pub(super) fn lost(hook: &HookName, from: Mark, floor: u64, now: Timestamp) -> Self {
        let data = json!({ "after": from.known(), "until": floor });
        Self {
            number: number(floor, usize::MAX),
            id: id(hook, &format!("lost {from}")),
            kind: EventKind::Lost,
            subject: None,
            generation: floor,
            body: body(EventKind::Lost, now, &data.to_string()),
        }
    }

    /// An event that tells nothing.
    pub(super) fn test(hook: &HookName, generation: u64, nonce: &str, now: Timestamp) -> Self {
        let data = json!({ "webhook": hook });
        Self {
            // Somewhere behind the changes of the generation.
            number: number(generation, (1 << (PLACES - 1)) + chance(nonce)),
            id: id(hook, &format!("test {nonce}")),
            kind: EventKind::Test,
            subject: None,
            generation,
            body: body(EventKind::Test, now, &data.to_string()),
        }
    }
}

/// Where events are in the order of all; as large a place as there can be is the last one of its generation.
fn number(generation: u64, place: usize) -> i64 {
    let last = (1_i64 << PLACES) - 1;
    let place = i64::try_from(place).unwrap_or(last).min(last);
    let generation = i64::try_from(generation).unwrap_or(i64::MAX);
    generation.saturating_mul(1 << PLACES).saturating_add(place)
}

/// A number below a quarter of all places, by chance of the text.
fn chance(nonce: &str) -> usize {
    let hash = blake3::hash(nonce.as_bytes());
    let [a, b, ..] = *hash.as_bytes();
    usize::from(u16::from_be_bytes([a, b]))
}

/// Another id for each webhook and each thing that is told.
fn id(hook: &HookName, what: &str) -> String {
    let hash = blake3::hash(format!("{hook}\0{what}").as_bytes());
    format!("evt_{}", &hash.to_hex()[..32])
}

/// The body that Standard Webhooks recommends.
fn body(kind: EventKind, at: Timestamp, data: &str) -> Vec<u8> {
    let kind = kind.as_str();
    format!(r#"{{"type":"{kind}","timestamp":"{at}","data":{data}}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn name(text: &str) -> HookName {
        HookName::new(text).unwrap()
    }

    #[test]
    fn an_id_is_the_same_each_time_and_another_one_for_all_else() {
        let told = br#"{"kind":"added","source":"a","cluster":"a:1"}"#;
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        let event = |hook: &str, generation, place| {
            NewEvent::change(&name(hook), generation, place, at, told).unwrap()
        };
        assert_eq!(event("ops", 7, 1), event("ops", 7, 1));
        let ids = [
            event("ops", 7, 1).id,
            event("ops", 7, 11).id,
            event("ops", 71, 1).id,
            event("ops-7", 7, 1).id,
            NewEvent::lost(&name("ops"), Mark::after(7), 9, at).id,
            NewEvent::test(&name("ops"), 7, "7.1", at).id,
        ];
        let numbers = [event("ops", 7, 0), event("ops", 7, 11), event("ops", 8, 0)];
        assert!(numbers.is_sorted_by(|one, next| one.number < next.number));
        let lost = NewEvent::lost(&name("ops"), Mark::after(3), 7, at);
        assert!(numbers[1].number < lost.number && lost.number < numbers[2].number);
        let far = event("ops", 7_000_000_000_000, usize::MAX).number;
        assert!(far < i64::MAX, "it lasts until the year 2191");
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert!(
            ids.iter()
                .all(|id| id.len() == 36 && id.starts_with("evt_"))
        );
    }

    #[test]
    fn a_body_has_a_type_a_time_and_the_change_as_it_is_told() {
        let told =
            br#"{"generation":7,"kind":"source_state","source":"a","cluster":null,"fields":[]}"#;
        let at: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let event = NewEvent::change(&name("ops"), 7, 0, at, told).unwrap();
        assert_eq!(event.subject.as_deref(), Some("a"));
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(body["type"], "source.state_changed");
        assert_eq!(body["timestamp"], "2026-11-21T10:00:00Z");
        assert_eq!(body["data"], serde_json::from_slice::<Value>(told).unwrap());
        assert!(NewEvent::change(&name("ops"), 7, 0, at, b"{").is_none());
        let lost = NewEvent::lost(&name("ops"), Mark::after(7), 9, at);
        let body: Value = serde_json::from_slice(&lost.body).unwrap();
        assert_eq!(body["data"], json!({"after": 7, "until": 9}));
    }
}
