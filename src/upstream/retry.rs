//! Repeats what may succeed a second time, and knows when to stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tower::{Service, ServiceExt};
use tracing::debug;

use super::address::Address;
use super::call::OfOne;
use super::layer::Within;
use super::meter::Repeated;
use super::{Answer, Call, FailureKind, UpstreamError, jitter};

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(10);

/// How often one call waits because the vendor asks for it: a vendor that always asks must not hold it for ever.
const MOST_ASKED_WAITS: u32 = 10;

/// Retries of one source, together: one for ten calls, so that a failing vendor gets at most a tenth more.
///
/// One more is lent at the start, where nothing is earned yet and a lost first call would cost a whole interval. The first
/// success takes it back if it was not needed.
#[derive(Debug)]
struct Budget(Mutex<Credit>);

#[derive(Debug)]
struct Credit {
    tenths: u32,
    is_lent: bool,
}

impl Budget {
    const RETRY: u32 = 10;
    const MOST: u32 = 100;

    fn new() -> Self {
        Self(Mutex::new(Credit {
            tenths: Self::RETRY,
            is_lent: true,
        }))
    }

    fn credit(&self) -> MutexGuard<'_, Credit> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn earn(&self) {
        let mut credit = self.credit();
        credit.tenths = (credit.tenths + 1).min(Self::MOST);
    }

    fn spend(&self) -> bool {
        let mut credit = self.credit();
        let Some(left) = credit.tenths.checked_sub(Self::RETRY) else {
            return false;
        };
        *credit = Credit {
            tenths: left,
            is_lent: false,
        };
        true
    }

    fn succeed(&self) {
        let mut credit = self.credit();
        if std::mem::take(&mut credit.is_lent) {
            credit.tenths = credit.tenths.saturating_sub(Self::RETRY);
        }
    }
}

/// How far one call has come.
#[derive(Debug, Default)]
struct Progress {
    /// Attempts that were sent.
    sent: u32,
    /// Retries that were paid from the budget.
    paid: u32,
    asked_waits: u32,
    waited: Duration,
}

/// The outermost layer: from a call to its attempts.
#[derive(Clone)]
pub(super) struct Retry<S> {
    inner: S,
    address: Address,
    max_attempts: u32,
    max_wait: Duration,
    budget: Arc<Budget>,
}

impl<S> Retry<S> {
    pub(super) fn new(inner: S, address: Address, max_attempts: u32, max_wait: Duration) -> Self {
        Self {
            inner,
            address,
            max_attempts,
            max_wait,
            budget: Arc::new(Budget::new()),
        }
    }

    /// How long to wait here before the next attempt, or `None` when there is none.
    fn delay(&self, progress: &mut Progress, error: &UpstreamError) -> Option<Duration> {
        // Also an open breaker and a queue that is too long: repeating would not change them.
        let not_sent = error.attempts == 0;
        if not_sent || !error.kind.is_transient() {
            return None;
        }
        let asked = error.wait.unwrap_or_default();
        progress.waited = progress.waited.saturating_add(asked);
        if progress.waited > self.max_wait {
            return None;
        }
        if error.kind == FailureKind::RateLimited {
            // The pace layer holds the next attempt back as long as the vendor asked for.
            progress.asked_waits += 1;
            return (progress.asked_waits <= MOST_ASKED_WAITS).then_some(Duration::ZERO);
        }
        if progress.paid + 1 >= self.max_attempts || !self.budget.spend() {
            return None;
        }
        let longest = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(progress.paid));
        progress.paid += 1;
        Some(jitter::up_to(longest.min(LONGEST_DELAY)))
    }
}

impl<S: Within> Retry<S> {
    async fn send(self, call: Call) -> Result<Answer, UpstreamError> {
        let mut request = self.address.request(&call)?;
        if call.is_of_one() {
            request.extensions_mut().insert(OfOne);
        }
        let mut progress = Progress::default();
        let mut last: Option<UpstreamError> = None;
        loop {
            let result = self.inner.clone().oneshot(request.clone()).await;
            let was_sent = result
                .as_ref()
                .map_or_else(|error| error.attempts > 0, |_| true);
            if was_sent && progress.sent == 0 {
                self.budget.earn();
            }
            progress.sent += u32::from(was_sent);
            let error = match result {
                Ok(answer) => {
                    self.budget.succeed();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            debug!(
                upstream.operation = call.operation,
                upstream.attempt = progress.sent,
                upstream.failure = ?error.kind,
                "attempt failed"
            );
            let delay = if call.repeatable {
                self.delay(&mut progress, &error)
            } else {
                None
            };
            let Some(delay) = delay else {
                return Err(conclude(last, error, progress.sent));
            };
            tokio::time::sleep(delay).await;
            request.extensions_mut().insert(Repeated);
            last = Some(error);
        }
    }
}

/// The failure to report: where the last attempt was not even sent, the one before it says more.
fn conclude(last: Option<UpstreamError>, error: UpstreamError, sent: u32) -> UpstreamError {
    let wait = error.wait;
    let mut failure = match last {
        Some(last) if error.attempts == 0 => UpstreamError { wait, ..last },
        Some(_) | None => error,
    };
    failure.attempts = sent;
    failure
}

impl<S: Within + Sync> Service<Call> for Retry<S> {
    type Response = Answer;
    type Error = UpstreamError;
    type Future = BoxFuture<'static, Result<Answer, UpstreamError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, call: Call) -> Self::Future {
        Box::pin(self.clone().send(call))
    }
}
