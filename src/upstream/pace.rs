//! Calls no faster than the vendor allows: its published rate, the quota it tells, the waits it asks for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until, timeout_at};
use tower::ServiceExt as _;

use super::classify::LONGEST_HINT;
use super::layer::{Pass, Within};
use super::moment::later;
use super::{Answer, FailureKind, Quota, Rate, UpstreamError, jitter};

/// The first wait after a 429 that does not say how long; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_UNASKED_WAIT: Duration = Duration::from_secs(10);

/// The most that chance adds to a vendor's wait.
const LONGEST_JITTER: Duration = Duration::from_millis(250);

/// What all calls of one source share: when the next may go.
#[derive(Debug)]
pub(super) struct Pacer {
    rate: Option<Rate>,
    max_wait: Duration,
    /// Calls that wait for their turn, the head of the queue included.
    queued: AtomicUsize,
    /// Whoever holds it is next; tokio's mutex is fair, so turns come in order of arrival.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When the last calls went out, as many as the rate allows in one window.
    sent: VecDeque<Instant>,
    not_before: Option<Instant>,
    /// 429 answers in a row that did not say how long to wait.
    unasked: u32,
    told: Option<Quota>,
    window: Option<Window>,
}

/// The vendor's current quota window, as far as it lets us know.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// What the vendor told, less what went out since.
    remaining: u64,
    ends: Instant,
}

impl Pacer {
    pub(super) fn new(rate: Option<Rate>, max_wait: Duration) -> Self {
        Self {
            rate: rate.filter(|rate| rate.calls > 0),
            max_wait,
            queued: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::default(),
        }
    }

    /// What the vendor last said of its quota.
    pub(super) fn quota(&self) -> Option<Quota> {
        self.lock().told
    }

    /// The time before which no call goes out, if it is still to come.
    pub(super) fn not_before(&self, now: Instant) -> Option<Instant> {
        let state = self.lock();
        let spent = state
            .window
            .filter(|window| window.remaining == 0)
            .map(|window| window.ends);
        state.not_before.max(spent).filter(|time| *time > now)
    }

    pub(super) fn note_quota(&self, quota: Quota, now: Timestamp) {
        let left = quota
            .resets_at
            .and_then(|end| Duration::try_from(end.duration_since(now)).ok());
        let mut state = self.lock();
        state.told = Some(quota);
        state.window = quota.remaining.zip(left).map(|(remaining, left)| Window {
            remaining,
            ends: later(Instant::now(), left.min(LONGEST_HINT)),
        });
    }

    /// Holds all calls back after an answer that asks for it, and writes the resulting wait into the error.
    fn observe(&self, result: &mut Result<Answer, UpstreamError>, now: Instant) {
        let mut state = self.lock();
        let Err(error) = result else {
            state.unasked = 0;
            return;
        };
        let asked = match (error.kind, error.wait) {
            (FailureKind::RateLimited | FailureKind::Unavailable, Some(wait)) => {
                state.unasked = 0;
                wait
            }
            (FailureKind::RateLimited, None) => state.unasked_wait(now),
            _ => return,
        };
        let asked = asked.saturating_add(jitter::up_to((asked / 10).min(LONGEST_JITTER)));
        let until = later(now, asked);
        let until = state.not_before.map_or(until, |held| held.max(until));
        state.not_before = Some(until);
        error.wait = Some(until - now);
    }

    /// Waits for the turn of one call. `ready` is what the call needs besides, and is asked for within the turn.
    async fn turn<T>(
        &self,
        ready: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let arrival = Instant::now();
        let deadline = later(arrival, self.max_wait);
        let queued = Queued::join(&self.queued);
        let earliest = self.lock().earliest(self.rate, queued.ahead, arrival);
        if earliest > deadline {
            return Err(refusal(earliest - arrival));
        }
        let Ok(turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Err(self.late(queued.ahead));
        };
        let Ok(ready) = timeout_at(deadline, ready).await else {
            return Err(self.late(0));
        };
        let ready = ready?;
        loop {
            let now = Instant::now();
            let next = {
                let mut state = self.lock();
                let next = state.earliest(self.rate, 0, now);
                if next <= now {
                    state.send(self.rate, now);
                    break;
                }
                next
            };
            if next > deadline {
                return Err(refusal(next - now));
            }
            sleep_until(next).await;
        }
        drop(turn);
        Ok(ready)
    }

    fn late(&self, ahead: usize) -> UpstreamError {
        let now = Instant::now();
        let earliest = self.lock().earliest(self.rate, ahead, now);
        refusal((earliest - now).max(FIRST_WAIT))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When a call can go at the earliest that has so many others before it; never before `now`.
    fn earliest(&self, rate: Option<Rate>, ahead: usize, now: Instant) -> Instant {
        let held = self.not_before.unwrap_or(now);
        let quota = match self.window {
            Some(window) if window.remaining == 0 => window.ends,
            Some(_) | None => now,
        };
        now.max(held).max(quota).max(self.slot(rate, ahead, now))
    }

    /// When the window of the rate has room.
    fn slot(&self, rate: Option<Rate>, ahead: usize, now: Instant) -> Instant {
        let Some(rate) = rate else { return now };
        let calls = usize::try_from(rate.calls).unwrap_or(usize::MAX);
        // The n-th call from now has to keep its distance from the one `calls` before it, sent or still queued.
        let (rounds, place) = (ahead / calls, ahead % calls);
        let missing = calls - self.sent.len().min(calls);
        let before = match place.checked_sub(missing) {
            Some(index) => self.sent.get(index).copied(),
            None => None,
        };
        let rounds = u32::try_from(rounds).unwrap_or(u32::MAX);
        match before {
            Some(sent) => later(sent, spacing(rate).saturating_mul(rounds.saturating_add(1))),
            None => later(now, spacing(rate).saturating_mul(rounds)),
        }
    }

    fn send(&mut self, rate: Option<Rate>, now: Instant) {
        if let Some(window) = &mut self.window {
            window.remaining = window.remaining.saturating_sub(1);
            if window.ends <= now {
                // A new window has begun; what is left in it the next answer tells.
                self.window = None;
            }
        }
        if let Some(rate) = rate {
            self.sent.push_back(now);
            if self.sent.len() > usize::try_from(rate.calls).unwrap_or(usize::MAX) {
                self.sent.pop_front();
            }
        }
    }

    fn unasked_wait(&mut self, now: Instant) -> Duration {
        // Several calls in flight are refused together: that is one refusal, not one each.
        if let Some(held) = self.not_before.filter(|held| *held > now) {
            return held - now;
        }
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.unasked));
        self.unasked = self.unasked.saturating_add(1);
        wait.min(LONGEST_UNASKED_WAIT)
    }
}

/// A window, and a little more: calls are counted when they arrive, and the first may travel longer than the last.
fn spacing(rate: Rate) -> Duration {
    rate.per.saturating_add(rate.per / 50)
}

/// A place in the queue, given up on drop.
struct Queued<'a> {
    queue: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> Queued<'a> {
    fn join(queue: &'a AtomicUsize) -> Self {
        let ahead = queue.fetch_add(1, Relaxed);
        Self { queue, ahead }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.queue.fetch_sub(1, Relaxed);
    }
}

fn refusal(wait: Duration) -> UpstreamError {
    let mut error =
        UpstreamError::new(FailureKind::RateLimited).with_text("no turn within the longest wait");
    error.attempts = 0;
    error.wait = Some(wait);
    error
}

/// The layer: each call waits for its turn, then for room among the calls in flight.
impl<S: Within> Pass<S> for Arc<Pacer> {
    async fn pass(self, mut within: S, request: Request<Bytes>) -> Result<Answer, UpstreamError> {
        // The place among the calls in flight comes before the turn: a turn taken first would age while
        // the call waits for its place, and old turns would then go out together, above the rate.
        let ready = self.turn(within.ready()).await?;
        let mut result = ready.call(request).await;
        self.observe(&mut result, Instant::now());
        result
    }
}
