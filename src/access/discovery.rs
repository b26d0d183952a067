//! Keeps an issuer's keys: one task reads them, by its period or when a token names one that is not known.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use url::{Host, Url};

use super::issuer::IssuerSettings;
use super::jwks::KeySet;
use crate::upstream::{FetchError, Fetcher, is_confidential};

/// How long keys count as fresh.
pub(super) const FRESH: Duration = Duration::from_mins(15);
/// How long keys are used when newer ones cannot be had.
pub(super) const STALE: Duration = Duration::from_hours(12);
/// Least time between two readings: a token with an invented key name costs the issuer nothing more.
pub(super) const INTERVAL: Duration = Duration::from_secs(30);
/// Time for one reading, discovery included.
const READING: Duration = Duration::from_secs(10);
/// How long a request waits for a reading.
const PATIENCE: Duration = Duration::from_secs(12);
/// Largest document that is read.
const MAX_BYTES: usize = 512 << 10;

/// Reads documents; over the network, or from a script in tests.
pub(super) trait Read: Send + Sync {
    /// The body of a good answer.
    fn read<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, Unread>>;
}

/// Why a document was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unread(pub(super) &'static str);

/// Reads over the network.
pub(super) struct Network(Fetcher);

impl Network {
    /// A client for an issuer. It opens no connection yet.
    pub(super) fn new(settings: &IssuerSettings, base: &Url) -> Result<Self, FetchError> {
        Fetcher::trusting(base, settings.ca_file.as_deref()).map(Self)
    }
}

impl Read for Network {
    fn read<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, Unread>> {
        Box::pin(async move {
            let fetched = self.0.fetch(url, "application/json").await;
            let fetched = fetched.map_err(|error| explain(&error))?;
            if !fetched.status().is_success() {
                return Err(Unread("it answers with an error"));
            }
            fetched
                .body(MAX_BYTES)
                .await
                .map_err(|error| explain(&error))
        })
    }
}

fn explain(error: &FetchError) -> Unread {
    Unread(match error {
        FetchError::Client(_) => "the HTTP client could not be built",
        FetchError::Connect(_) => "no connection",
        FetchError::Timeout => "no answer in time",
        FetchError::Interrupted(_) => "the connection broke",
        FetchError::TooLarge(_) => "its answer is too large",
    })
}

/// What is known of an issuer's keys.
#[derive(Clone, Default)]
pub(super) struct Known {
    keys: Option<(Arc<KeySet>, Instant)>,
    readings: u64,
    last: Option<Instant>,
}

impl Known {
    /// The keys, unless they are too old.
    pub(super) fn keys(&self) -> Option<Arc<KeySet>> {
        let (keys, read) = self.keys.as_ref()?;
        (read.elapsed() < STALE).then(|| Arc::clone(keys))
    }

    /// Whether it is time enough since the last reading.
    fn may_read(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= INTERVAL)
    }

    /// When the keys are read next without being asked for.
    fn due(&self) -> Instant {
        let Some(last) = self.last else {
            return Instant::now();
        };
        let is_fresh = self.keys.as_ref().is_some_and(|(_, read)| *read == last);
        last + if is_fresh { FRESH } else { INTERVAL }
    }
}

/// The keys of one issuer as requests see them.
#[derive(Clone)]
pub(super) struct Keys {
    known: watch::Receiver<Known>,
    wish: Arc<watch::Sender<()>>,
}

impl Keys {
    /// What is known now.
    pub(super) fn known(&self) -> Known {
        self.known.borrow().clone()
    }

    /// Whether asking for a reading could bring anything new.
    pub(super) fn may_ask(&self) -> bool {
        self.known.borrow().may_read()
    }

    /// Asks for a reading, together with everybody else who does, and waits for its end.
    pub(super) async fn ask(mut self) -> Known {
        let seen = self.known();
        if !seen.may_read() {
            return seen;
        }
        self.wish.send_replace(());
        let is_newer = |known: &Known| known.readings > seen.readings;
        let newer = timeout(PATIENCE, self.known.wait_for(is_newer)).await;
        match newer {
            Ok(Ok(known)) => known.clone(),
            // The task is over, or slower than anybody waits.
            Ok(Err(_)) | Err(_) => seen,
        }
    }
}

/// The task that reads.
pub(super) struct Reader {
    settings: Arc<IssuerSettings>,
    read: Box<dyn Read>,
    known: watch::Sender<Known>,
    wish: watch::Receiver<()>,
    is_failing: bool,
}

impl Reader {
    /// A task for an issuer, and the way to ask it.
    pub(super) fn new(settings: Arc<IssuerSettings>, read: Box<dyn Read>) -> (Self, Keys) {
        let (known, watched) = watch::channel(Known::default());
        let (wish, wished) = watch::channel(());
        let keys = Keys {
            known: watched,
            wish: Arc::new(wish),
        };
        let reader = Self {
            settings,
            read,
            known,
            wish: wished,
            is_failing: false,
        };
        (reader, keys)
    }

    /// Reads until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let due = self.known.borrow().due();
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(due) => {}
                wished = self.wish.changed() => {
                    if wished.is_err() {
                        return;
                    }
                    if !self.known.borrow().may_read() {
                        continue;
                    }
                }
            }
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = timeout(READING, self.keys()) => read,
            };
            self.publish(read.unwrap_or(Err(Unread("no answer in time"))));
        }
    }

    fn publish(&mut self, read: Result<KeySet, Unread>) {
        let issuer = self.settings.issuer.as_str();
        match &read {
            Ok(keys) if self.is_failing => {
                tracing::info!(
                    access.issuer = issuer,
                    keys.count = keys.len(),
                    "keys of the issuer can be read again"
                );
            }
            Ok(keys) => {
                tracing::debug!(
                    access.issuer = issuer,
                    keys.count = keys.len(),
                    "keys of the issuer read"
                );
            }
            Err(error) if !self.is_failing => {
                tracing::warn!(access.issuer = issuer, %error, "keys of the issuer cannot be read; known ones are used for some hours");
            }
            Err(_) => {}
        }
        self.is_failing = read.is_err();
        self.known.send_modify(|known| {
            let now = Instant::now();
            known.readings += 1;
            known.last = Some(now);
            if let Ok(keys) = read {
                known.keys = Some((Arc::new(keys), now));
            }
        });
    }

    async fn keys(&self) -> Result<KeySet, Unread> {
        let uri = match &self.settings.jwks_uri {
            Some(uri) => uri.clone(),
            None => self.discover().await?,
        };
        let body = self.read.read(&uri).await?;
        KeySet::read(&body).map_err(Unread)
    }

    /// Asks the issuer where its keys are.
    async fn discover(&self) -> Result<Url, Unread> {
        #[derive(Deserialize)]
        struct Metadata {
            issuer: String,
            jwks_uri: Url,
        }
        let address = discovery_address(&self.settings.issuer)
            .ok_or(Unread("its name is no address to ask"))?;
        let body = self.read.read(&address).await?;
        let metadata: Metadata = serde_json::from_slice(&body)
            .map_err(|_| Unread("what it says of itself cannot be understood"))?;
        if metadata.issuer != self.settings.issuer {
            return Err(Unread("it calls itself otherwise"));
        }
        let leads_home = !is_loopback(&metadata.jwks_uri) || is_loopback(&address);
        if !may_be_asked(&metadata.jwks_uri) || !leads_home {
            return Err(Unread("its keys are at an address that is not asked"));
        }
        Ok(metadata.jwks_uri)
    }
}

/// Where an issuer says where its keys are.
fn discovery_address(issuer: &str) -> Option<Url> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    Url::parse(&format!("{base}/.well-known/openid-configuration")).ok()
}

/// Whether keys may be read from an address: whoever can change them on the way can let everybody in.
pub fn may_be_asked(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none() && is_confidential(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
