//! The composition root.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::config::Config;
use crate::domain::{Kind, SourceName};
use crate::provider::ProviderError;

/// What ends the program.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The part is not connected.
    #[error("this build cannot do that")]
    Unavailable,
}

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

/// How a simulated gateway is started.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// What the fleet is made from; the same seed makes the same fleet.
    pub seed: u64,
    /// How many clusters there are.
    pub clusters: usize,
}

/// How the simulated vendors are started.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// What the fleet is made from; the same seed makes the same fleet.
    pub seed: u64,
    /// How many clusters there are.
    pub clusters: usize,
    /// Where the sandbox takes commands.
    pub control: SocketAddr,
}

/// How the trial of one source went.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The source.
    pub source: SourceName,
    /// Its provider.
    pub provider: Kind,
    /// What was seen.
    pub outcome: Result<Seen, ProviderError>,
    /// How long it took.
    pub took: Duration,
}

/// What the trial of a source saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Clusters.
    pub clusters: usize,
    /// Pages.
    pub pages: u32,
    /// Items that could not be mapped.
    pub rejected: usize,
}

/// Runs the gateway until it is asked to stop.
pub async fn serve(config: Config) -> Result<(), AppError> {
    drop(config);
    std::future::ready(Err(AppError::Unavailable)).await
}

/// Runs simulated vendors and a gateway over them until asked to stop.
pub async fn demo(options: DemoOptions) -> Result<(), AppError> {
    let _ = options;
    std::future::ready(Err(AppError::Unavailable)).await
}

/// Runs the simulated vendors until asked to stop.
pub async fn sandbox(options: SandboxOptions) -> Result<(), AppError> {
    let _ = options;
    std::future::ready(Err(AppError::Unavailable)).await
}

/// Tries every source once.
pub async fn check(config: &Config, progress: impl FnMut(Progress)) -> Vec<Checked> {
    let _ = (config, progress);
    std::future::ready(Vec::new()).await
}

/// The API over a fresh reading of all sources, without a socket.
#[derive(Debug)]
pub struct InProcess {
    _private: (),
}

impl InProcess {
    /// Reads every source once.
    pub async fn read(
        config: Config,
        progress: Arc<dyn Fn(Progress) + Send + Sync>,
    ) -> Result<Self, AppError> {
        drop((config, progress));
        std::future::ready(Err(AppError::Unavailable)).await
    }

    /// Asks the API.
    pub async fn get(&self, path_and_query: &str, accept: &str) -> Result<Reply, AppError> {
        let _ = (path_and_query, accept);
        std::future::ready(Err(AppError::Unavailable)).await
    }
}

/// The API's description.
pub fn openapi(version_3_0: bool) -> serde_json::Value {
    let _ = version_3_0;
    serde_json::Value::Null
}
