//! Hands JSON to a server that a configuration names: no redirect, no proxy, and no address that may not be called.
//!
//! The name is looked up here, what it leads to is judged, and the connection goes to an address that passed: no second answer of
//! the name system comes in between.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, redirect};
use tokio::time::timeout;
use url::{Host, Url};

use super::classify::retry_after;
use super::guard::Admitted;
use super::transport::{bundled, certificates};

/// Bytes of an answer that are read, so that its connection can be used again; they are thrown away.
const READ: usize = 16 << 10;
/// How long they are waited for; then the connection goes.
const DRAINING: Duration = Duration::from_millis(500);

/// Finds addresses of a name.
pub trait Lookup: Send + Sync + 'static {
    /// The addresses that a name leads to now.
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The name system of this machine.
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Lookup for System {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Where and how JSON is handed over. Its `Debug` shows the origin alone: the rest of a URL may be a secret.
#[derive(Clone)]
pub struct PostSettings {
    /// The URL.
    pub url: Url,
    /// Addresses that may be called.
    pub admitted: Admitted,
    /// Time for one request, from the name to the status of the answer.
    pub timeout: Duration,
    /// Connections that are kept open between requests.
    pub max_idle: usize,
    /// Certificates to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

impl fmt::Debug for PostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostSettings")
            .field("origin", &self.url.origin().ascii_serialization())
            .field("admitted", &self.admitted)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// No answer, and why. Nothing in it names the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The name leads to no address that may be called.
    #[error("the name leads to no address that may be called")]
    NotAllowed,
    /// The name leads nowhere, or nobody answers there.
    #[error("no connection")]
    Unreachable,
    /// The certificate is not good, or there is no common way to speak TLS.
    #[error("no TLS")]
    Tls,
    /// It took longer than it may.
    #[error("no answer in time")]
    Timeout,
    /// The connection broke, or what came is not HTTP.
    #[error("the connection broke")]
    Interrupted,
}

impl PostError {
    /// One of a closed list of codes.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotAllowed => "TARGET_NOT_ALLOWED",
            Self::Unreachable => "UNREACHABLE",
            Self::Tls => "TLS_FAILED",
            Self::Timeout => "TIMEOUT",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

/// An answer, as far as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Posted {
    /// Its status.
    pub status: StatusCode,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

/// A client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be built")]
pub struct NoPoster(#[source] Box<dyn Error + Send + Sync>);

/// Hands JSON to one URL.
pub struct Poster {
    client: Client,
    settings: PostSettings,
}

impl Poster {
    /// A client for a URL, by this machine's name system. It opens no connection yet.
    pub fn new(settings: PostSettings) -> Result<Self, NoPoster> {
        Self::asking(settings, Arc::new(System))
    }

    /// The same by another name system.
    pub fn asking(settings: PostSettings, names: Arc<dyn Lookup>) -> Result<Self, NoPoster> {
        // With two crypto libraries in the tree rustls could not choose; someone else's choice is as good as ours.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let is_https = settings.url.scheme() == "https";
        let guarded = Arc::new(Guarded {
            names,
            admitted: settings.admitted,
        });
        let builder = || {
            Client::builder()
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .https_only(is_https)
                .connect_timeout(settings.timeout)
                .pool_max_idle_per_host(settings.max_idle)
                .dns_resolver(Arc::clone(&guarded))
                .tcp_nodelay(true)
                .user_agent(concat!("clustergate/", env!("CARGO_PKG_VERSION")))
        };
        let client = match &settings.ca_file {
            Some(path) => {
                let trusted = certificates(path).map_err(|error| NoPoster(Box::new(error)))?;
                builder().tls_certs_only(trusted).build()
            }
            None if !is_https => builder().tls_certs_only(std::iter::empty()).build(),
            None => builder().build().or_else(|_| bundled(builder())?.build()),
        };
        let client = client.map_err(|error| NoPoster(Box::new(error.without_url())))?;
        Ok(Self { client, settings })
    }

    /// Hands a body over. What the answer says beside its status is neither kept nor shown.
    pub async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Posted, PostError> {
        // Only names are looked up: an address that stands in the URL itself is judged here.
        let literal = match self.settings.url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) | None => None,
        };
        if literal.is_some_and(|address| !self.settings.admitted.admits(address)) {
            return Err(PostError::NotAllowed);
        }
        let asked = timeout(self.settings.timeout, self.ask(headers, body)).await;
        let mut response = asked.unwrap_or(Err(PostError::Timeout))?;
        let posted = Posted {
            status: response.status(),
            retry_after: retry_after(response.headers(), Timestamp::now()),
        };
        // The status has said what counts, however the rest ends: who keeps it back, or drips it, has taken the event all the same.
        let _ = timeout(DRAINING, drain(&mut response)).await;
        Ok(posted)
    }

    async fn ask(&self, headers: HeaderMap, body: Bytes) -> Result<Response, PostError> {
        let json = HeaderValue::from_static("application/json");
        let request = (self.client.post(self.settings.url.clone()))
            .headers(headers)
            .header(CONTENT_TYPE, json)
            .body(body);
        request.send().await.map_err(|error| failure(&error))
    }
}

/// Reads what is left of an answer, as far as that is worth it: a connection of which something is left to be read is closed.
async fn drain(response: &mut Response) {
    let mut left = READ;
    while let Ok(Some(chunk)) = response.chunk().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return;
        }
    }
}

/// Looks names up, and lets pass what may be called.
struct Guarded {
    names: Arc<dyn Lookup>,
    admitted: Admitted,
}

/// A name leads to no address that may be called.
#[derive(Debug, thiserror::Error)]
#[error("not allowed")]
struct NotAllowed;

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.names.lookup(name.as_str());
        let admitted = self.admitted;
        Box::pin(async move {
            let mut found = found.await?;
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            found.retain(|address| admitted.admits(*address));
            if found.is_empty() {
                return Err(NotAllowed.into());
            }
            let found = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(found) as Addrs)
        })
    }
}

fn failure(error: &reqwest::Error) -> PostError {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let special = causes.find_map(|cause| {
        if cause.is::<NotAllowed>() {
            Some(PostError::NotAllowed)
        } else {
            is_tls(cause).then_some(PostError::Tls)
        }
    });
    match special {
        Some(special) => special,
        None if error.is_timeout() => PostError::Timeout,
        None if error.is_connect() => PostError::Unreachable,
        None => PostError::Interrupted,
    }
}

/// Whether an error is of TLS; those of I/O hide what they are made of from who asks for their cause.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    let within = error.downcast_ref::<io::Error>();
    let within = within.and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || within.is_some_and(|inner| is_tls(inner))
}
