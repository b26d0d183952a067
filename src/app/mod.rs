//! The composition root: configuration in, running program out.

mod check;
mod demo;
mod gateway;
mod in_process;
mod keys;
mod stored;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tracing::info;

use crate::api::server::{self, CertificateWatch};
use crate::config::{Config, Mistakes, Server, tls_mistakes};
use crate::tls::Served;

pub use check::{Checked, Seen, check};
pub use demo::{
    DemoOptions, Demonstration, SandboxOptions, SimulatedVendor, demo, demo_sources, sandbox,
};
pub use gateway::{Gateway, Memory, live, sources, webhooks};
pub use in_process::{InProcess, Progress, Reply};
pub use keys::KeptKeys;
pub use stored::{Stored, StoredError, Verified};

/// How often a serving thread looks at the queue that all threads share.
///
/// A thread's own queue holds 256 tasks. Where more connections have something to read, the rest waits in the shared one, and by
/// default so long that some of them starve while others are served again and again.
pub const GLOBAL_QUEUE_INTERVAL: u32 = 8;

/// How long everything else may take to end, beside the requests that are open.
const ENDING: Duration = Duration::from_secs(5);

/// What ends the program.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Somebody else listens there, or the address is not this machine's.
    #[error("cannot listen on {address}: choose another address with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The listener failed.
    #[error("serving failed")]
    Serve(#[source] io::Error),
    /// The simulated vendors could not be started.
    #[error("the simulated vendors could not be started")]
    Sandbox(#[source] io::Error),
    /// Threads could not be started.
    #[error("no threads could be started")]
    Runtime(#[source] io::Error),
    /// A source's settings cannot be used.
    #[error(transparent)]
    Config(#[from] Mistakes),
    /// The request could not be made.
    #[error("not a request")]
    Request(#[source] http::Error),
    /// The answer could not be read.
    #[error("the answer could not be read")]
    Body(#[source] axum::Error),
}

/// Runs the gateway until it is asked to stop.
pub async fn serve(config: Config) -> Result<(), AppError> {
    outlive_limits();
    let background = Background::start()?;
    let tls = certificate(&config.server)?;
    let listener = bind(config.server.listen).await?;
    let gateway = Gateway::start(&config, background.handle()).await?;
    if config.store.is_none() {
        info!("nothing outlives this process: there is no store");
    }
    let asked = run(listener, tls, &gateway, &config.server).await?;
    // Who runs it waits for so long since it has asked, and then kills what is left.
    let deadline = asked + config.server.shutdown_grace + ENDING;
    let left = deadline.saturating_duration_since(Instant::now());
    gateway.stop(left).await;
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| AppError::Listen { address, source })
}

/// The certificate to show, if any; says everything that is wrong with it otherwise.
fn certificate(settings: &Server) -> Result<Option<Arc<Served>>, Mistakes> {
    let Some(files) = settings.tls.clone() else {
        return Ok(None);
    };
    match Served::load(files) {
        Ok(served) => Ok(Some(Arc::new(served))),
        Err(faults) => Err(tls_mistakes(faults)),
    }
}

async fn run(
    listener: TcpListener,
    tls: Option<Arc<Served>>,
    gateway: &Gateway,
    settings: &Server,
) -> Result<Instant, AppError> {
    let address = listener.local_addr().map_err(AppError::Serve)?;
    info!(server.listen = %address, server.tls = tls.is_some(), sources.count = gateway.inventory.current().sources().len(), "serving");
    let (state, recorder) = (gateway.state.clone(), gateway.recorder.clone());
    let asked: Arc<OnceLock<Instant>> = Arc::default();
    let known = Arc::clone(&asked);
    let shutdown = async move {
        asked_to_stop().await;
        info!("stopping");
        known.get_or_init(Instant::now);
        state.drain();
        // Others can read the sources while the last requests are answered.
        if let Some(recorder) = recorder {
            recorder.retire();
        }
    };
    let limits = server::Limits {
        max_connections: settings.max_connections,
        head_timeout: settings.header_timeout,
        idle_timeout: settings.idle_timeout,
        grace: settings.shutdown_grace,
        ..server::Limits::default()
    };
    // Here, since this is the runtime that serves.
    let _watch = server::LagWatch::start(gateway.state.clone());
    let _certificate = tls.clone().map(|served| {
        let state = gateway.state.clone();
        CertificateWatch::start(state, served, CertificateWatch::PERIOD)
    });
    server::serve_with(listener, tls, gateway.router.clone(), limits, shutdown)
        .await
        .map_err(AppError::Serve)?;
    Ok(*asked.get_or_init(Instant::now))
}

/// Ends when the process is asked to stop, by a terminal, its end, or by who started it.
async fn asked_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::SignalKind;

        let hangup = (!hangup_is_ignored()).then(SignalKind::hangup);
        tokio::select! {
            _ = interrupt => {}
            () = received(Some(SignalKind::terminate())) => {}
            () = received(hangup) => {}
        }
    }
    #[cfg(not(unix))]
    {
        let _ = interrupt.await;
    }
}

/// Has a write beyond the size that files may have here fail, as on a disk that is full, and not end the process.
fn outlive_limits() {
    #[cfg(unix)]
    {
        let too_large = rustix::process::Signal::XFSZ.as_raw();
        // From the first time that it is listened for on nothing else is done about it, also when nobody listens any more.
        if let Err(error) = tokio::signal::unix::signal(too_large.into()) {
            tracing::debug!(%error, "a limit of the size of files ends this process");
        }
    }
}

/// Awaits a signal; never ends where there is none to wait for.
#[cfg(unix)]
async fn received(kind: Option<tokio::signal::unix::SignalKind>) {
    match kind.map(tokio::signal::unix::signal) {
        Some(Ok(mut signal)) => {
            signal.recv().await;
        }
        Some(Err(_)) | None => std::future::pending().await,
    }
}

/// Whether who started the process wants it to outlive its terminal, as `nohup` does.
#[cfg(unix)]
fn hangup_is_ignored() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The first signal is the hangup.
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// Threads that read vendors and build snapshots, apart from those that serve: parsing a large list must not delay an answer.
pub struct Background(Option<Runtime>);

impl Background {
    /// Starts the threads.
    pub fn start() -> Result<Self, AppError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(4)
            .thread_name("clustergate-refresh")
            .thread_keep_alive(Duration::from_secs(30))
            .on_thread_start(give_way)
            .enable_all()
            .build()
            .map_err(AppError::Runtime)?;
        Ok(Self(Some(runtime)))
    }

    /// Where tasks are spawned.
    #[expect(
        clippy::missing_panics_doc,
        reason = "only the drop takes the runtime out"
    )]
    pub fn handle(&self) -> &tokio::runtime::Handle {
        self.0
            .as_ref()
            .expect("the runtime is there until the drop")
            .handle()
    }
}

/// Has this thread wait for processors behind those that serve. Where threads have no priority of their own nothing is changed.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 10) {
        tracing::debug!(%error, "background threads keep their priority");
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // A runtime must not be waited for inside another one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The API's description.
pub fn openapi(version_3_0: bool) -> serde_json::Value {
    if version_3_0 {
        crate::api::openapi::document_3_0()
    } else {
        crate::api::openapi::document()
    }
}
