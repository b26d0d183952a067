//! How one vendor says no, and how it tells its quota.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Answer, FailureKind};

/// What a vendor's error answer says, in its own form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusal {
    /// A kind that the HTTP status alone does not tell; `None` leaves it to the status.
    pub kind: Option<FailureKind>,
    /// The vendor's error code.
    pub code: Option<String>,
    /// The vendor's text.
    pub text: Option<String>,
    /// How long it asks to wait, where the body or a header of its own says so. `Retry-After` is read for every vendor.
    pub wait: Option<Duration>,
}

/// What a vendor says of the quota that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Calls allowed in one window.
    pub limit: Option<u64>,
    /// Calls left in this window.
    pub remaining: Option<u64>,
    /// When the window ends.
    pub resets_at: Option<Timestamp>,
}

/// The two things of which every vendor has its own form: pure functions, so that a dialect is data.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Reads a non-2xx answer; it never fails, since the body may be anything.
    pub refusal: fn(&Answer, Timestamp) -> Refusal,
    /// Reads quota headers of any answer.
    pub quota: fn(&HeaderMap) -> Option<Quota>,
}

impl Dialect {
    /// A vendor that says nothing beyond the HTTP status.
    pub const PLAIN: Self = Self {
        refusal: |_, _| Refusal {
            kind: None,
            code: None,
            text: None,
            wait: None,
        },
        quota: |_| None,
    };
}
