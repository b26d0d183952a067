//! Outbound HTTP to one vendor, as layers; it knows nothing of clusters.
//!
//! From outermost to innermost: retry, breaker, pace, concurrency, timeout, authorize, transport.

mod call;
mod dialect;
mod error;
mod fetch;
mod settings;
mod stack;

pub use call::{Answer, Call, Target};
pub use dialect::{Dialect, Quota, Refusal};
pub use error::{FailureKind, UpstreamError, excerpt};
pub use fetch::{FetchError, Fetched, Fetcher};
pub use settings::{Credential, Rate, Scheme, StackSettings, TokenSource};
pub use stack::{BreakerState, Stack, StackError, Vitals};
