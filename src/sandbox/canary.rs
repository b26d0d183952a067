//! A listener that stands for another host: whatever reaches it was led astray.

use std::future::ready;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Response, header};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::body::Outgoing;
use super::server::{accept, simple};

const TARGETS_KEPT: usize = 100;

/// What reached the canary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CanaryHits {
    /// Requests of any kind.
    pub requests: u64,
    /// Requests that brought an `Authorization` header with them: a credential was given away.
    pub with_authorization: u64,
    /// Paths and queries of the first hundred requests.
    pub targets: Vec<String>,
}

/// The foreign host.
#[derive(Debug, Clone)]
pub struct Canary {
    url: String,
    hits: Arc<Mutex<CanaryHits>>,
}

impl Canary {
    pub(super) async fn start(tasks: &mut JoinSet<()>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let canary = Self {
            url,
            hits: Arc::default(),
        };
        tasks.spawn(serve(listener, canary.clone()));
        Ok(canary)
    }

    /// Its base address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What reached it so far.
    pub fn hits(&self) -> CanaryHits {
        self.hits
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn count(&self, parts: &http::request::Parts) {
        let mut hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        hits.requests += 1;
        hits.with_authorization += u64::from(parts.headers.contains_key(header::AUTHORIZATION));
        if hits.targets.len() < TARGETS_KEPT {
            hits.targets.push(parts.uri.to_string());
        }
    }
}

async fn serve(listener: TcpListener, canary: Canary) {
    accept(listener, |stream| {
        let canary = canary.clone();
        async move {
            simple(stream, |parts, _| {
                canary.count(&parts);
                ready(Response::new(Outgoing::whole(Bytes::from_static(
                    b"{\"data\":[]}",
                ))))
            })
            .await;
        }
    })
    .await;
}
