//! What failed at a provider, in terms a caller can act on.

use std::time::Duration;

use crate::upstream::{FailureKind, UpstreamError, excerpt};

/// Why a provider's operation failed. Each kind has one stable code; the list is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The call itself failed.
    Call(FailureKind),
    /// The body is not JSON, or not complete.
    Malformed,
    /// The body is JSON of another shape than documented: never taken for an empty list.
    UnexpectedShape,
    /// The vendor answers in an older generation of its API, which is not supported.
    UnsupportedGeneration,
    /// The product is not there: not enabled for this account, or not installed.
    NotEnabled,
    /// The same page or cursor came again.
    PaginationLoop,
    /// The vendor says that there is more and gives no way to it, or its totals contradict its rows.
    Truncated,
    /// More pages or rows than the cap allows.
    PageLimit,
    /// The vendor no longer accepts the cursor, also after one fresh start.
    CursorExpired,
    /// The refresh took longer than its deadline.
    Deadline,
    /// The provider cannot do this.
    NotSupported,
    /// The cluster is gone, or not visible to this credential.
    NotFound,
    /// A write's values cannot be used with this provider; nothing was sent.
    InvalidValues,
    /// The cluster's state does not allow this now, by the vendor's word.
    Conflict,
    /// What is asked for will be there later, by the vendor's word.
    NotReady,
}

impl ErrorKind {
    /// Every kind that can be reported, for documentation and tests.
    pub const ALL: [Self; 29] = [
        Self::Call(FailureKind::Unauthorized),
        Self::Call(FailureKind::Forbidden),
        Self::Call(FailureKind::NotFound),
        Self::Call(FailureKind::Rejected),
        Self::Call(FailureKind::RateLimited),
        Self::Call(FailureKind::Unavailable),
        Self::Call(FailureKind::Timeout),
        Self::Call(FailureKind::Unreachable),
        Self::Call(FailureKind::Interrupted),
        Self::Call(FailureKind::Redirected),
        Self::Call(FailureKind::TooLarge),
        Self::Call(FailureKind::Garbled),
        Self::Call(FailureKind::ContentType),
        Self::Call(FailureKind::CircuitOpen),
        Self::Call(FailureKind::Credential),
        Self::Malformed,
        Self::UnexpectedShape,
        Self::UnsupportedGeneration,
        Self::NotEnabled,
        Self::PaginationLoop,
        Self::Truncated,
        Self::PageLimit,
        Self::CursorExpired,
        Self::Deadline,
        Self::NotSupported,
        Self::NotFound,
        Self::InvalidValues,
        Self::Conflict,
        Self::NotReady,
    ];

    /// The kind that a code stands for.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The stable code that clients see.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Call(FailureKind::Unauthorized) => "UPSTREAM_UNAUTHORIZED",
            Self::Call(FailureKind::Forbidden) => "UPSTREAM_FORBIDDEN",
            Self::Call(FailureKind::NotFound) => "UPSTREAM_ENDPOINT_NOT_FOUND",
            Self::Call(FailureKind::Rejected) => "UPSTREAM_REJECTED_REQUEST",
            Self::Call(FailureKind::RateLimited) => "UPSTREAM_RATE_LIMITED",
            Self::Call(FailureKind::Unavailable) => "UPSTREAM_UNAVAILABLE",
            Self::Call(FailureKind::Timeout) => "UPSTREAM_TIMEOUT",
            Self::Call(FailureKind::Unreachable) => "UPSTREAM_UNREACHABLE",
            Self::Call(FailureKind::Interrupted) => "UPSTREAM_INTERRUPTED",
            Self::Call(FailureKind::Redirected) => "UPSTREAM_REDIRECTED",
            Self::Call(FailureKind::TooLarge) => "UPSTREAM_BODY_TOO_LARGE",
            Self::Call(FailureKind::Garbled) => "UPSTREAM_GARBLED",
            Self::Call(FailureKind::ContentType) => "UPSTREAM_CONTENT_TYPE",
            Self::Call(FailureKind::CircuitOpen) => "UPSTREAM_CIRCUIT_OPEN",
            Self::Call(FailureKind::Credential) => "CREDENTIAL_UNREADABLE",
            Self::Malformed => "UPSTREAM_MALFORMED_BODY",
            Self::UnexpectedShape => "UPSTREAM_UNEXPECTED_SHAPE",
            Self::UnsupportedGeneration => "UPSTREAM_UNSUPPORTED_GENERATION",
            Self::NotEnabled => "UPSTREAM_NOT_ENABLED",
            Self::PaginationLoop => "UPSTREAM_PAGINATION_LOOP",
            Self::Truncated => "UPSTREAM_TRUNCATED_LIST",
            Self::PageLimit => "UPSTREAM_PAGE_LIMIT",
            Self::CursorExpired => "UPSTREAM_CURSOR_EXPIRED",
            Self::Deadline => "REFRESH_DEADLINE",
            Self::NotSupported => "CAPABILITY_NOT_SUPPORTED",
            Self::NotFound => "CLUSTER_NOT_FOUND",
            Self::InvalidValues => "INVALID_VALUES",
            Self::Conflict => "UPSTREAM_CONFLICT",
            Self::NotReady => "UPSTREAM_NOT_READY",
        }
    }

    /// Whether the next refresh may succeed without anybody changing anything.
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Call(kind) => kind.is_transient(),
            Self::Malformed
            | Self::UnexpectedShape
            | Self::PaginationLoop
            | Self::Truncated
            | Self::CursorExpired
            | Self::Deadline
            | Self::NotReady => true,
            Self::UnsupportedGeneration
            | Self::NotEnabled
            | Self::PageLimit
            | Self::NotSupported
            | Self::NotFound
            | Self::InvalidValues
            | Self::Conflict => false,
        }
    }

    /// What an operator can do about it.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Call(FailureKind::Unauthorized) => {
                "the vendor refuses the token: check that it is complete, not expired and meant for this account"
            }
            Self::Call(FailureKind::Forbidden) => {
                "the token is valid but may not list clusters: give it read access, or check the vendor's address allow-list"
            }
            Self::Call(FailureKind::NotFound) => {
                "the vendor does not know the path: check base_url and the provider's path settings"
            }
            Self::Call(FailureKind::Rejected) => {
                "the vendor refuses the request as it is: check the provider's settings"
            }
            Self::Call(FailureKind::RateLimited) => {
                "the vendor's quota is used up: raise refresh_interval or share the token with fewer programs"
            }
            Self::Call(FailureKind::Unavailable) => {
                "the vendor fails: see its status page; reading resumes by itself"
            }
            Self::Call(FailureKind::Timeout) => {
                "the vendor does not answer in time: see its status page, or raise attempt_timeout"
            }
            Self::Call(FailureKind::Unreachable) => {
                "no connection: check base_url, DNS, firewall, proxy and certificates"
            }
            Self::Call(FailureKind::Interrupted) => {
                "the connection broke before the answer was complete; reading resumes by itself"
            }
            Self::Call(FailureKind::Redirected) => {
                "the vendor answers with a redirect, which is never followed: check base_url"
            }
            Self::Call(FailureKind::TooLarge) => {
                "the answer or its headers are larger than allowed: check base_url and any proxy on the way, or raise max_body_bytes"
            }
            Self::Call(FailureKind::Garbled) => {
                "the answer is not readable HTTP: check base_url and any proxy on the way"
            }
            Self::Call(FailureKind::ContentType) => {
                "the answer is not JSON: base_url may point to a web page, or a proxy answers instead"
            }
            Self::Call(FailureKind::CircuitOpen) => {
                "calls are suspended after repeated failures; a probe goes out by itself"
            }
            Self::Call(FailureKind::Credential) => {
                "the token file cannot be used: check token_file, its owner and its mode (0600)"
            }
            Self::Malformed => "the answer is not complete JSON; reading resumes by itself",
            Self::UnexpectedShape => {
                "the answer has another shape than documented: check base_url, or report the vendor's change"
            }
            Self::UnsupportedGeneration => {
                "this account is served an older generation of the vendor's API, which is not supported: ask the vendor to migrate it"
            }
            Self::NotEnabled => {
                "the product is not enabled for this account, or base_url points elsewhere: enable it at the vendor, correct base_url, or remove the source"
            }
            Self::PaginationLoop => {
                "the vendor's paging repeats itself; the last good inventory is kept"
            }
            Self::Truncated => "the vendor's list ends early; the last good inventory is kept",
            Self::PageLimit => "more clusters than max_pages allows: raise it",
            Self::CursorExpired => {
                "the vendor's list changes faster than it can be read; reading resumes by itself"
            }
            Self::Deadline => {
                "the refresh took too long: raise refresh_deadline, or split the account"
            }
            Self::NotSupported => "the vendor has no such call",
            Self::NotFound => "the cluster is gone, or not visible to this token",
            Self::InvalidValues => "the request's values cannot be used with this provider",
            Self::Conflict => {
                "the cluster's state does not allow this now: look at it and its operations"
            }
            Self::NotReady => "the vendor does not have it yet: ask again later",
        }
    }
}

/// A value of a request that cannot be used with a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The field, as a path from the body's root: `node_groups[0].min_size`, `options.plan`.
    pub field: String,
    /// What is wrong with it and what would be right; of ours, never a vendor's text.
    pub reason: String,
}

/// A provider's operation that failed.
///
/// Clients see [`ErrorKind::code`]; the rest is for the operator's log.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{operation} failed: {}", kind.code())]
pub struct ProviderError {
    /// Why.
    pub kind: ErrorKind,
    /// The operation, as a constant.
    pub operation: &'static str,
    /// A detail of ours for the operator; never a vendor's body.
    pub detail: Option<String>,
    /// A constant text of ours that callers may see, such as what a documented code of the vendor means.
    pub public: Option<&'static str>,
    /// Values of a request that cannot be used.
    pub mistakes: Vec<Mistake>,
    /// Whether a write failed before it was sent: in a read that it needs.
    pub unsent: bool,
    /// The call that failed, when one did.
    pub source: Option<Box<UpstreamError>>,
}

impl ProviderError {
    /// An error without a failed call behind it.
    pub const fn new(kind: ErrorKind, operation: &'static str) -> Self {
        Self {
            kind,
            operation,
            detail: None,
            public: None,
            mistakes: Vec::new(),
            unsent: false,
            source: None,
        }
    }

    /// Maps a failed call.
    pub fn call(operation: &'static str, error: UpstreamError) -> Self {
        Self {
            kind: ErrorKind::Call(error.kind),
            operation,
            detail: None,
            public: None,
            mistakes: Vec::new(),
            unsent: false,
            source: Some(Box::new(error)),
        }
    }

    /// The provider has no such operation.
    pub const fn not_supported(operation: &'static str) -> Self {
        Self::new(ErrorKind::NotSupported, operation)
    }

    /// A write whose values cannot be used; nothing was sent.
    pub fn invalid(operation: &'static str, mistakes: Vec<Mistake>) -> Self {
        let mut error = Self::new(ErrorKind::InvalidValues, operation);
        error.mistakes = mistakes;
        error
    }

    /// Adds a constant text that callers may see.
    #[must_use]
    pub const fn with_public(mut self, text: &'static str) -> Self {
        self.public = Some(text);
        self
    }

    /// Says that the write was not sent, whatever became of the reads before it.
    #[must_use]
    pub const fn before_write(mut self) -> Self {
        self.unsent = true;
        self
    }

    /// Whether a write that failed so may have been carried out all the same: it was sent, and no refusal came back.
    pub fn may_have_happened(&self) -> bool {
        if self.unsent {
            return false;
        }
        let Some(call) = &self.source else {
            return matches!(self.kind, ErrorKind::Malformed | ErrorKind::UnexpectedShape);
        };
        call.attempts > 0
            && !matches!(
                call.kind,
                FailureKind::Unauthorized
                    | FailureKind::Forbidden
                    | FailureKind::NotFound
                    | FailureKind::Rejected
                    | FailureKind::RateLimited
                    | FailureKind::Unreachable
            )
    }

    /// Adds a detail for the operator, cut to a bounded length.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(excerpt(&detail.into()));
        self
    }

    /// Says more precisely what a failed call meant.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// How long the vendor asks to wait.
    pub fn wait(&self) -> Option<Duration> {
        self.source.as_ref().and_then(|error| error.wait)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_was_not_sent_cannot_have_happened() {
        let timeout = || ProviderError::call("update", UpstreamError::new(FailureKind::Timeout));
        assert!(timeout().may_have_happened());
        assert!(!timeout().before_write().may_have_happened());
        let shape = ProviderError::new(ErrorKind::UnexpectedShape, "update");
        assert!(shape.may_have_happened());
        assert!(!shape.before_write().may_have_happened());
    }

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let codes: BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert!(
            codes
                .iter()
                .all(|code| code.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        );
    }
}
