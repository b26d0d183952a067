//! Leaves a vendor alone that fails again and again.
//!
//! Only listings and writes count: one cluster that cannot be read must not keep a caller from all others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::call::OfOne;
use super::layer::{Pass, Within};
use super::moment::later;
use super::{Answer, FailureKind, UpstreamError, jitter};

/// The state that all clones of a breaker share.
///
/// There is no third state for the probe: admitting one moves the time of the next, so a probe whose future is
/// dropped costs one more cool-down and cannot leave the breaker stuck.
#[derive(Debug)]
pub(super) struct Switch {
    failures: u32,
    cooldown: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    consecutive: u32,
    open_until: Option<Instant>,
}

/// An attempt that may go; a probe remembers which turn it took.
#[derive(Debug, Clone, Copy)]
struct Admission {
    probe: Option<Instant>,
    /// Whether its failure counts.
    counts: bool,
}

/// How an attempt bears on the vendor's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// It answered, if only to refuse.
    Alive,
    /// It did not answer as a working vendor does.
    Down,
    /// Nothing was sent.
    None,
}

impl Switch {
    pub(super) fn new(failures: u32, cooldown: Duration) -> Self {
        Self {
            failures: failures.max(1),
            cooldown,
            state: Mutex::default(),
        }
    }

    /// When the next probe may go, if the breaker is open.
    pub(super) fn open_until(&self) -> Option<Instant> {
        self.lock().open_until
    }

    /// Lets an attempt through, or says how long to wait. One that does not count takes no probe's turn.
    fn admit(&self, counts: bool, now: Instant) -> Result<Admission, Duration> {
        let mut state = self.lock();
        let probe = match state.open_until {
            Some(until) if until > now => return Err(until - now),
            Some(_) if counts => {
                state.open_until = Some(later(now, self.cooldown()));
                state.open_until
            }
            Some(_) | None => None,
        };
        Ok(Admission { probe, counts })
    }

    fn record(&self, admission: Admission, result: &Result<Answer, UpstreamError>, now: Instant) {
        let mut state = self.lock();
        match evidence(result) {
            // Between failed listings and writes, one thing that can be read is no sign that those go well.
            Evidence::Alive if !admission.counts && state.open_until.is_none() => {}
            Evidence::Down if !admission.counts => {}
            Evidence::Alive => *state = State::default(),
            Evidence::Down => {
                state.consecutive = state.consecutive.saturating_add(1);
                if state.open_until.is_none() && state.consecutive >= self.failures {
                    state.open_until = Some(later(now, self.cooldown()));
                }
            }
            // A probe that was never sent has not used up its turn.
            Evidence::None => {
                if admission.probe.is_some() && admission.probe == state.open_until {
                    let wait = result.as_ref().err().and_then(|error| error.wait);
                    let turn = later(now, wait.unwrap_or_default());
                    state.open_until = state.open_until.map(|until| until.min(turn));
                }
            }
        }
    }

    /// Shortened by chance, so that many gateways do not probe in step.
    fn cooldown(&self) -> Duration {
        self.cooldown
            .saturating_sub(jitter::up_to(self.cooldown / 10))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn evidence(result: &Result<Answer, UpstreamError>) -> Evidence {
    let Err(error) = result else {
        return Evidence::Alive;
    };
    if error.attempts == 0 {
        return Evidence::None;
    }
    match error.kind {
        FailureKind::Unavailable
        | FailureKind::Timeout
        | FailureKind::Unreachable
        | FailureKind::Interrupted
        | FailureKind::Garbled => Evidence::Down,
        FailureKind::Unauthorized
        | FailureKind::Forbidden
        | FailureKind::NotFound
        | FailureKind::Rejected
        | FailureKind::RateLimited
        | FailureKind::Redirected
        | FailureKind::TooLarge
        | FailureKind::ContentType => Evidence::Alive,
        FailureKind::CircuitOpen | FailureKind::Credential => Evidence::None,
    }
}

fn refusal(wait: Duration) -> UpstreamError {
    let mut error = UpstreamError::new(FailureKind::CircuitOpen);
    error.attempts = 0;
    error.wait = Some(wait);
    error
}

/// The layer: refuses while the switch is open.
impl<S: Within> Pass<S> for Arc<Switch> {
    async fn pass(self, within: S, request: Request<Bytes>) -> Result<Answer, UpstreamError> {
        let counts = request.extensions().get::<OfOne>().is_none();
        let admission = self.admit(counts, Instant::now()).map_err(refusal)?;
        let result = within.oneshot(request).await;
        self.record(admission, &result, Instant::now());
        result
    }
}
