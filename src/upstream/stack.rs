//! The layers around one source's transport.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Answer, Call, Credential, Dialect, Quota, StackSettings, UpstreamError};

/// Whether the breaker lets calls through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
#[derive(Debug, Clone, PartialEq, Eq)]
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
#[derive(Clone)]
pub struct Stack {
    inner: Arc<Inner>,
}

struct Inner {
    settings: StackSettings,
}

impl Stack {
    /// Builds the stack for a real vendor. It opens no connection yet.
    pub fn connect(
        settings: StackSettings,
        credential: Credential,
        dialect: Dialect,
    ) -> Result<Self, StackError> {
        let _ = (credential, dialect);
        Ok(Self {
            inner: Arc::new(Inner { settings }),
        })
    }

    /// Makes one call: every 2xx JSON answer is `Ok`, everything else an error.
    pub async fn send(&self, call: Call) -> Result<Answer, UpstreamError> {
        let _ = (call, &self.inner.settings);
        Err(UpstreamError::new(super::FailureKind::Unreachable))
    }

    /// What it has seen and done.
    pub fn vitals(&self) -> Vitals {
        Vitals {
            requests: 0,
            retries: 0,
            in_flight: 0,
            breaker: BreakerState::Closed,
            quota: None,
            not_before: None,
        }
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
