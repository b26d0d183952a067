//! What this process counts of its deliveries.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What happened since the process started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tally {
    /// Attempts that the server took.
    pub delivered: u64,
    /// Attempts that failed, after which another one comes.
    pub retried: u64,
    /// Attempts that failed and were the last.
    pub dead: u64,
    /// From when events were added until the server took them.
    pub latency: Latency,
}

/// How long something took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// Seconds that all of them took.
    pub seconds: f64,
    /// How many took at most as long as each of [`Latency::BOUNDS`], and longer than the one before.
    pub within: [u64; Self::BOUNDS.len()],
}

impl Latency {
    /// Seconds by which they are told apart: at once, after a try or two, after hours.
    pub const BOUNDS: [f64; 10] = [
        0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 43_200.0,
    ];

    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.count += 1;
        self.seconds += seconds;
        if let Some(place) = Self::BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.within[place] += 1;
        }
    }
}

/// Counts of one webhook.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Tally>);

impl Counts {
    pub(super) fn note(&self, note: impl FnOnce(&mut Tally)) {
        note(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn read(&self) -> Tally {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
