//! How often each client may ask: a bucket of tokens for each of them, which fills again as time passes.
//!
//! Whoever asks steadily is never refused as long as it keeps to the rate, and whoever was silent for a while may ask for as much
//! as the whole quota at once. Every answer says how much is left (draft-ietf-httpapi-ratelimit-headers), so that a client need
//! not run into the limit to learn of it.

mod bucket;
mod client;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::upstream::Rate;

use super::code::Code;
use super::problem::Problem;
use bucket::{Bucket, Pace};

pub use bucket::Standing;
pub use client::{Client, Proxies};

/// Clients that are remembered. One more takes the place of one that was not seen for long, which then begins anew: with as many
/// addresses nobody is held back by a limit for each of them anyway.
const REMEMBERED: usize = 1 << 16;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Holds each client to a rate.
pub struct Limiter {
    pace: Pace,
    policy: HeaderValue,
    started: Instant,
    buckets: Cache<Client, Arc<Bucket>>,
}

impl Limiter {
    /// A limiter with a full bucket for every client.
    pub fn new(rate: Rate) -> Self {
        let policy = format!("\"default\";q={};w={}", rate.calls, seconds(rate.per));
        Self {
            pace: Pace::new(rate),
            // Digits always can stand in a header.
            policy: HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("")),
            started: Instant::now(),
            buckets: Cache::new(REMEMBERED),
        }
    }

    /// Takes a token out of the client's bucket, if there is one.
    pub fn draw(&self, client: &Client, now: Instant) -> Standing {
        let new = || Ok::<_, Infallible>(Arc::default());
        match self.buckets.get_or_insert_with(client, new) {
            Ok(bucket) => bucket.draw(self.pace, now - self.started),
            Err(never) => match never {},
        }
    }

    /// How the client stands, without taking anything.
    ///
    /// For what counts only when it goes wrong, as a key that opens nothing does: looked at before, drawn after.
    pub fn look(&self, client: &Client, now: Instant) -> Standing {
        let bucket = self.buckets.peek(client).unwrap_or_default();
        bucket.look(self.pace, now - self.started)
    }

    /// Tells a client how it stands.
    pub(super) fn tell(&self, headers: &mut HeaderMap, standing: Standing) {
        let left = format!(
            "\"default\";r={};t={}",
            standing.remaining,
            seconds(standing.full_in)
        );
        headers.insert(RATE_LIMIT_POLICY, self.policy.clone());
        if let Ok(left) = HeaderValue::try_from(left) {
            headers.insert(RATE_LIMIT, left);
        }
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What a client is told that has to wait.
pub(super) fn refusal(wait: Duration) -> Problem {
    Problem::new(Code::RateLimited).with_retry_after(wait)
}

/// Whole seconds, rounded up.
fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
