//! The API over a fresh reading of all sources, without a socket: what `--direct` asks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{ACCEPT, HOST};
use http::{HeaderMap, Request};
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt as _;

use super::{AppError, Background, Gateway};
use crate::config::Config;
use crate::domain::SourceName;

/// How long details are waited for once every listing is there.
const DETAILS: Duration = Duration::from_secs(5);

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// How far a reading of all sources is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// A source is being read.
    Started {
        /// The source.
        source: SourceName,
    },
    /// A source was read, or could not be.
    Finished {
        /// The source.
        source: SourceName,
        /// Clusters read.
        clusters: usize,
        /// Why it could not be read.
        error_code: Option<&'static str>,
    },
}

/// The API over a fresh reading of all sources.
pub struct InProcess {
    gateway: Gateway,
    _background: Background,
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

impl InProcess {
    /// Reads every source once, with details as far as they come within a few seconds.
    pub async fn read(
        config: Config,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<Self, AppError> {
        let background = Background::start()?;
        // What is read afresh is kept by nobody.
        let config = Config {
            store: None,
            webhooks: Vec::new(),
            ..config
        };
        let gateway = Gateway::start(&config, background.handle()).await?;
        for source in &config.sources {
            progress(Progress::Started {
                source: source.name.clone(),
            });
        }
        let mut changes = gateway.inventory.subscribe();
        let mut finished: HashSet<SourceName> = HashSet::new();
        while finished.len() < config.sources.len() {
            let snapshot = gateway.inventory.current();
            for report in snapshot.sources() {
                if !report.attempts.is_empty() && finished.insert(report.name.clone()) {
                    let error_code = report.error.map(crate::provider::ErrorKind::code);
                    progress(Progress::Finished {
                        source: report.name.clone(),
                        clusters: report.clusters,
                        error_code,
                    });
                }
            }
            if finished.len() < config.sources.len() && changes.changed().await.is_err() {
                break;
            }
        }
        let until = Instant::now() + DETAILS;
        while gateway
            .inventory
            .current()
            .sources()
            .iter()
            .any(|report| report.error.is_none() && report.details_pending > 0)
        {
            if timeout_at(until, changes.changed()).await.is_err() {
                break;
            }
        }
        Ok(Self {
            gateway,
            _background: background,
        })
    }

    /// Asks the API.
    pub async fn get(&self, path_and_query: &str, accept: &str) -> Result<Reply, AppError> {
        let request = Request::get(path_and_query)
            .header(HOST, "localhost")
            .header(ACCEPT, accept)
            .body(Body::empty())
            .map_err(AppError::Request)?;
        let response = match self.gateway.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .map_err(AppError::Body)?;
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    }
}
