//! What a source's outbound stack is allowed to do.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

/// So many calls in so much time, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Calls.
    pub calls: u32,
    /// In this time.
    pub per: Duration,
}

/// Bounds of a source's calls. Every wait and every buffer has one.
#[derive(Debug, Clone)]
pub struct StackSettings {
    /// Where the vendor is; only this host is ever called.
    pub base_url: Url,
    /// Time for one connection.
    pub connect_timeout: Duration,
    /// Time for one attempt, from the first byte sent to the last byte read.
    pub attempt_timeout: Duration,
    /// Calls in flight at once.
    pub max_in_flight: usize,
    /// Largest body, both as sent and decompressed.
    pub max_body_bytes: usize,
    /// The vendor's published rate; calls wait for their turn.
    pub rate: Option<Rate>,
    /// Attempts for one call, the first included.
    pub max_attempts: u32,
    /// Longest time a call waits for quota or a vendor's hint before it fails with `RateLimited`.
    pub max_wait: Duration,
    /// Consecutive failed attempts after which the breaker opens.
    pub breaker_failures: u32,
    /// How long the open breaker waits before it lets one probe through.
    pub breaker_cooldown: Duration,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl StackSettings {
    /// The defaults for a base URL.
    pub fn new(base_url: Url) -> Self {
        Self {
            base_url,
            connect_timeout: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(30),
            max_in_flight: 4,
            max_body_bytes: 32 << 20,
            rate: None,
            max_attempts: 3,
            max_wait: Duration::from_mins(2),
            breaker_failures: 5,
            breaker_cooldown: Duration::from_secs(30),
            ca_file: None,
        }
    }

    /// Lets an open breaker probe at every refresh: a source is read again at the first one after its vendor came back.
    #[must_use]
    pub fn probed_every(mut self, refresh_interval: Duration) -> Self {
        self.breaker_cooldown = self.breaker_cooldown.min(refresh_interval.mul_f64(0.9));
        self
    }
}

/// Where a token comes from.
#[derive(Clone)]
pub enum TokenSource {
    /// A value that was read at start, from the environment.
    Value(SecretString),
    /// A file, read anew after a 401 and whenever it changed.
    File(PathBuf),
}

/// How the token is put into the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer <token>`.
    Bearer,
    /// `Authorization: <token>`.
    Raw,
}

/// What authorizes a call. Its `Debug` says nothing of the token.
#[derive(Clone)]
pub struct Credential {
    /// Where the token comes from.
    pub token: Arc<TokenSource>,
    /// How it is sent.
    pub scheme: Scheme,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value([redacted])"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
