//! Outbound HTTP to one vendor, as layers; it knows nothing of clusters.
//!
//! From outermost to innermost: retry, breaker, pace, concurrency, timeout, authorize, transport. Each is one file
//! (concurrency is tower's own); `layer.rs` is what they have in common, `stack.rs` puts them together, `classify.rs` says what
//! an answer means.

mod address;
mod authorize;
mod body;
mod breaker;
mod call;
mod classify;
mod dialect;
mod error;
mod fetch;
mod guard;
mod jitter;
mod layer;
mod meter;
mod moment;
mod pace;
mod post;
mod retry;
mod settings;
mod stack;
mod timeout;
mod transport;

#[cfg(test)]
mod tests;

pub use authorize::read_secret_file;
pub use call::{Answer, Call, Target};
pub use dialect::{Dialect, Quota, Refusal};
pub use error::{FailureKind, UpstreamError, excerpt};
pub use fetch::{FetchError, Fetched, Fetcher, is_confidential};
pub use guard::Admitted;
pub use jitter::up_to as random_up_to;
pub use post::{Lookup, NoPoster, PostError, PostSettings, Posted, Poster, System};
pub use settings::{Credential, Rate, Scheme, StackSettings, TokenSource};
pub use stack::{BreakerState, Stack, StackError, Vitals};
