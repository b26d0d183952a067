//! The layers around one source's transport.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tower::limit::ConcurrencyLimit;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

use super::address::Address;
use super::authorize::Keyring;
use super::breaker::Switch;
use super::classify::Classify;
use super::layer::Layered;
use super::meter::Meter;
use super::pace::Pacer;
use super::retry::Retry;
use super::timeout::Timeout;
use super::transport::Transport;
use super::{Answer, Call, Credential, Dialect, Quota, StackSettings, UpstreamError};

/// Whether the breaker lets calls through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BreakerState {
    /// Calls go through.
    Closed,
    /// Calls are refused until the time; the first after it is a probe.
    Open {
        /// When the next probe may go.
        until: Timestamp,
    },
}

/// What a stack has seen and done, for operators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vitals {
    /// Requests sent, retries included.
    pub requests: u64,
    /// Of these, retries.
    pub retries: u64,
    /// Calls in flight now.
    pub in_flight: usize,
    /// The breaker.
    pub breaker: BreakerState,
    /// What the vendor last said of its quota.
    pub quota: Option<Quota>,
    /// No call goes out before this time, because the vendor asked for it.
    pub not_before: Option<Timestamp>,
}

/// One source's way to its vendor: retry, breaker, pace, concurrency, timeout, authorization, transport.
///
/// Clones share everything: one source has one breaker, one queue and one retry budget.
#[derive(Clone)]
pub struct Stack {
    inner: Arc<Inner>,
}

type Wire = BoxCloneSyncService<Request<Bytes>, Answer, UpstreamError>;
type Metered = Layered<Wire, Arc<Meter>>;
type Authorized = Layered<Metered, Arc<Keyring>>;
type Attempt = Layered<Layered<Authorized, Timeout>, Classify>;
type Paced = Layered<ConcurrencyLimit<Attempt>, Arc<Pacer>>;
type Layers = Retry<Layered<Paced, Arc<Switch>>>;

struct Inner {
    address: Address,
    layers: Layers,
    switch: Arc<Switch>,
    pacer: Arc<Pacer>,
    meter: Arc<Meter>,
}

impl Stack {
    /// Builds the stack for a real vendor. It opens no connection yet.
    pub fn connect(
        settings: StackSettings,
        credential: Credential,
        dialect: Dialect,
    ) -> Result<Self, StackError> {
        let address = Address::new(settings.base_url.clone())?;
        let transport = Transport::new(&settings, &address)?;
        Self::over(transport, settings, credential, dialect)
    }

    /// Builds the stack over another transport, such as one that answers from a list.
    ///
    /// The transport gets the whole request, authorized and with its absolute URI, and answers with any status.
    pub fn over<T>(
        transport: T,
        settings: StackSettings,
        credential: Credential,
        dialect: Dialect,
    ) -> Result<Self, StackError>
    where
        T: Service<Request<Bytes>, Response = Answer, Error = UpstreamError>
            + Clone
            + Send
            + Sync
            + 'static,
        T::Future: Send + 'static,
    {
        let address = Address::new(settings.base_url)?;
        let switch = Arc::new(Switch::new(
            settings.breaker_failures,
            settings.breaker_cooldown,
        ));
        let pacer = Arc::new(Pacer::new(settings.rate, settings.max_wait));
        let meter = Arc::new(Meter::default());

        // From the inside out.
        let wire = Layered::new(Wire::new(transport), Arc::clone(&meter));
        // A token is asked for anew by each attempt.
        let authorize = Layered::new(wire, Arc::new(Keyring::new(credential)));
        // Of one attempt only: waiting for a turn or a place is not the vendor's slowness.
        let timeout = Layered::new(authorize, Timeout(settings.attempt_timeout));
        let classify = Classify {
            dialect,
            pacer: Arc::clone(&pacer),
        };
        let attempt = Layered::new(timeout, classify);
        let concurrency = ConcurrencyLimit::new(attempt, settings.max_in_flight.max(1));
        let pace = Layered::new(concurrency, Arc::clone(&pacer));
        // Inside retry, so that every attempt counts; outside pace, so that a refused call joins no queue.
        let breaker = Layered::new(pace, Arc::clone(&switch));
        let layers = Retry::new(
            breaker,
            address.clone(),
            settings.max_attempts,
            settings.max_wait,
        );
        Ok(Self {
            inner: Arc::new(Inner {
                address,
                layers,
                switch,
                pacer,
                meter,
            }),
        })
    }

    /// Makes one call: every 2xx JSON answer is `Ok`, everything else an error.
    ///
    /// A 2xx without a body is `Ok` too. Dropping the future abandons the call and gives its place to the next.
    pub async fn send(&self, call: Call) -> Result<Answer, UpstreamError> {
        self.inner.layers.clone().oneshot(call).await
    }

    /// The clock, for calls that name a moment: what makes them has none of its own.
    pub fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// What it has seen and done.
    pub fn vitals(&self) -> Vitals {
        let Inner {
            switch,
            pacer,
            meter,
            ..
        } = &*self.inner;
        let (now, clock) = (Instant::now(), Timestamp::now());
        let breaker = match switch.open_until() {
            Some(until) => BreakerState::Open {
                until: on_the_clock(until, now, clock),
            },
            None => BreakerState::Closed,
        };
        Vitals {
            requests: meter.requests(),
            retries: meter.retries(),
            in_flight: meter.in_flight(),
            breaker,
            quota: pacer.quota(),
            not_before: pacer
                .not_before(now)
                .map(|time| on_the_clock(time, now, clock)),
        }
    }
}

/// A time of the runtime as a time of day; a time gone by is now.
fn on_the_clock(time: Instant, now: Instant, clock: Timestamp) -> Timestamp {
    let ahead = SignedDuration::try_from(time.saturating_duration_since(now));
    ahead
        .ok()
        .and_then(|ahead| clock.checked_add(ahead).ok())
        .unwrap_or(Timestamp::MAX)
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("base_url", &self.inner.address.as_str())
            .finish_non_exhaustive()
    }
}

/// A stack that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Plain HTTP is allowed to loopback only: it would send the token in clear.
    #[error("base_url must be https (plain http is allowed to loopback only)")]
    PlainHttp,
    /// The base URL cannot be called.
    #[error("base_url must be an absolute URL with a host and without user, query or fragment")]
    BaseUrl,
    /// The certificate file cannot be used.
    #[error("ca_file cannot be used")]
    CaFile(#[source] std::io::Error),
    /// The client could not be built.
    #[error("the HTTP client could not be built")]
    Client(#[source] Box<dyn std::error::Error + Send + Sync>),
}
