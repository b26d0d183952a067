//! What can go wrong between us and a vendor.

use std::time::Duration;

use http::StatusCode;

/// Why a call failed, independent of the vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// 401: the credential is missing, wrong or expired.
    Unauthorized,
    /// 403: the credential does not allow this.
    Forbidden,
    /// 404 or 410: there is no such thing.
    NotFound,
    /// Another 4xx: the vendor refuses the request as it is.
    Rejected,
    /// 429, or the vendor's quota is used up.
    RateLimited,
    /// 5xx: the vendor failed.
    Unavailable,
    /// No complete answer within the attempt's time.
    Timeout,
    /// No connection: name resolution, TCP or TLS failed.
    Unreachable,
    /// The connection broke before the answer was complete.
    Interrupted,
    /// 3xx: redirects are never followed, since they could carry the credential elsewhere.
    Redirected,
    /// The body, as sent or decompressed, or the headers are larger than the cap.
    TooLarge,
    /// The answer is not HTTP as it should be: unreadable headers or an unreadable content coding.
    Garbled,
    /// A 2xx whose content type is not JSON.
    ContentType,
    /// Not tried: the breaker is open after repeated failures.
    CircuitOpen,
    /// Not tried: the credential could not be read.
    Credential,
}

impl FailureKind {
    /// Whether the same call may succeed later without anybody changing anything.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Unavailable
            | Self::Timeout
            | Self::Unreachable
            | Self::Interrupted
            | Self::Garbled
            | Self::CircuitOpen => true,
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::Rejected
            | Self::Redirected
            | Self::TooLarge
            | Self::ContentType
            | Self::Credential => false,
        }
    }
}

/// A call that failed, after all its attempts.
///
/// `code` and `text` are the vendor's and for the operator's eyes: they never reach a client.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind:?} after {attempts} attempts")]
pub struct UpstreamError {
    /// Why.
    pub kind: FailureKind,
    /// The HTTP status, when there was one.
    pub status: Option<StatusCode>,
    /// The vendor's error code.
    pub code: Option<String>,
    /// The vendor's or the library's text, bounded in length.
    pub text: Option<String>,
    /// How long the vendor, its quota or the breaker asks to wait.
    pub wait: Option<Duration>,
    /// How many attempts were made; 0 when none was.
    pub attempts: u32,
}

impl UpstreamError {
    /// A failure without an answer.
    pub const fn new(kind: FailureKind) -> Self {
        Self {
            kind,
            status: None,
            code: None,
            text: None,
            wait: None,
            attempts: 1,
        }
    }

    /// Adds a text for the operator, cut to a bounded length.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(excerpt(&text.into()));
        self
    }
}

/// Cuts a text to what is worth keeping of a foreign body: 256 characters without control characters.
pub fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}
