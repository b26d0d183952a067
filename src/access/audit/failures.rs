//! Counts failed authentications, so that many of them are few lines.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use super::super::principal::DeniedKind;
use super::Event;

/// How long failures are counted before the count is written.
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses that are told apart; more are counted together.
const ADDRESSES: usize = 1024;

/// Failures of the last minute.
#[derive(Default)]
pub(super) struct Failures(HashMap<(Option<IpAddr>, DeniedKind), Counted>);

struct Counted {
    since: Timestamp,
    more: u64,
    last: Event,
}

impl Failures {
    /// Takes a failure; gives it back if it is to be written at once.
    pub(super) fn note(&mut self, kind: DeniedKind, mut event: Event) -> Option<Event> {
        let mut key = (event.remote, kind);
        if !self.0.contains_key(&key) && self.0.len() >= ADDRESSES {
            key.0 = None;
            event.remote = None;
        }
        if let Some(counted) = self.0.get_mut(&key) {
            counted.more += 1;
            counted.last = event;
            return None;
        }
        let counted = Counted {
            since: event.time,
            more: 0,
            last: event.clone(),
        };
        self.0.insert(key, counted);
        Some(event)
    }

    /// The counts whose minute is over; all of them at the end.
    pub(super) fn take(&mut self, now: Timestamp, is_over: bool) -> Vec<Event> {
        let window = i64::try_from(WINDOW.as_secs()).unwrap_or(i64::MAX);
        let counts = self.0.extract_if(|_, counted| {
            is_over || now.as_second() - counted.since.as_second() >= window
        });
        counts
            .filter(|(_, counted)| counted.more > 0)
            .map(|(_, counted)| Event {
                count: Some(counted.more),
                ..counted.last
            })
            .collect()
    }
}
