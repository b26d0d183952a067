//! Who did what: one JSON object on each line, to a file, to standard output or into a store, apart from the access log.
//!
//! Recording never waits: events go through a bounded queue to one thread that writes. What does not fit is counted, and the
//! count is written as soon as there is room. Failed authentications are written at once when they are the first of their
//! kind from an address, and counted from then on for a minute, so that nobody can flood the file. Nothing that a caller
//! showed to authenticate ever comes here.

mod failures;
mod trail;
mod writer;

use std::fs::OpenOptions;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, sleep};
use utoipa::ToSchema;

use super::principal::{DeniedKind, Principal, PrincipalKind};
use failures::Failures;
pub use trail::{Kept, Place, Unreadable, Wanted, Whereabouts};
use writer::{Sink, Writer};

/// Events that wait to be written, at most.
const QUEUE: usize = 4096;
/// How often the end of the queue is looked for.
const POLL: Duration = Duration::from_millis(10);

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard output, which a serving gateway uses for nothing else.
    Stdout,
    /// The end of a file; one that is moved away is begun anew.
    File(PathBuf),
    /// The store, for all gateways that share it.
    Store,
}

/// Where events are kept that are neither on standard output nor in a file.
pub trait Shelf: Send + Sync {
    /// Keeps events; done when they are durable. It is called by a thread that may wait.
    fn keep(&self, events: &[Event]) -> io::Result<()>;

    /// Events of everybody who keeps them here, the newest first; of those of one time, the one that was kept last.
    fn read(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Kept>, Unreadable>>;
}

impl Destination {
    /// Says why it could not be written. Nothing is left behind where nothing was.
    pub fn check(&self) -> io::Result<()> {
        let Self::File(path) = self else {
            return Ok(());
        };
        match std::fs::metadata(path) {
            // A pipe may be without a reader yet, for whom opening it would wait.
            Ok(found) if !found.is_file() && !found.is_dir() => Ok(()),
            Ok(_) => OpenOptions::new().append(true).open(path).map(drop),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                OpenOptions::new()
                    .append(true)
                    .create_new(true)
                    .open(path)?;
                std::fs::remove_file(path)
            }
            Err(error) => Err(error),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Something was to be created, changed or deleted.
    Write,
    /// A kubeconfig was to be read.
    KubeconfigRead,
    /// A refresh was asked for.
    Refresh,
    /// A page of this audit was to be read.
    AuditRead,
    /// Somebody could not show who it is.
    AuthenticationFailed,
    /// Somebody may not do what it wanted to.
    Forbidden,
    /// Events were not written.
    EventsLost,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] = [
        Self::Write,
        Self::KubeconfigRead,
        Self::Refresh,
        Self::AuditRead,
        Self::AuthenticationFailed,
        Self::Forbidden,
        Self::EventsLost,
    ];

    /// Its name in the audit.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::KubeconfigRead => "kubeconfig_read",
            Self::Refresh => "refresh",
            Self::AuditRead => "audit_read",
            Self::AuthenticationFailed => "authentication_failed",
            Self::Forbidden => "forbidden",
            Self::EventsLost => "events_lost",
        }
    }

    /// The action of this name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Actor {
    kind: PrincipalKind,
    id: String,
    name: String,
}

impl Actor {
    /// The id of the key, or the subject of the token.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        Self {
            kind: principal.kind,
            id: principal.id.clone(),
            name: principal.name.clone(),
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The HTTP status.
    pub status: u16,
    /// The code of the problem; none when there was no problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
}

/// One line of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When the answer was given.
    pub time: Timestamp,
    /// What happened.
    #[serde(rename = "event")]
    pub action: Action,
    /// Who did it; none when that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<Actor>,
    /// The address at the other end of the connection, which may be a proxy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    /// The request, as in the access log.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The HTTP method.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The route's template.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub route: &'static str,
    /// The cluster or source that it is about, as the path names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why somebody was not let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'static str>,
    /// How many events this line stands for, if not for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

impl Event {
    /// An event about nothing yet.
    pub fn new(action: Action, time: Timestamp) -> Self {
        Self {
            time,
            action,
            actor: None,
            remote: None,
            request_id: String::new(),
            method: String::new(),
            route: "",
            target: None,
            outcome: None,
            detail: None,
            count: None,
        }
    }
}

/// Takes events.
pub struct Audit {
    queue: SyncSender<Event>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    whereabouts: Whereabouts,
}

#[derive(Default)]
struct Shared {
    /// Events that were lost since the last line that says so.
    lost: AtomicU64,
    /// Events that were ever lost.
    lost_ever: AtomicU64,
    is_failing: AtomicBool,
    is_over: AtomicBool,
    failures: Mutex<Failures>,
}

impl Shared {
    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audit {
    /// Opens the destination and starts the thread that writes.
    pub fn start(destination: &Destination, shelf: Option<Arc<dyn Shelf>>) -> io::Result<Self> {
        Self::over(Sink::open(destination, shelf)?)
    }

    fn over(sink: Sink) -> io::Result<Self> {
        let (queue, inbox) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let whereabouts = sink.whereabouts();
        let writer = Writer::new(sink, Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("clustergate-audit".to_owned())
            .spawn(move || writer.run(&inbox))?;
        Ok(Self {
            queue,
            shared,
            thread: Mutex::new(Some(thread)),
            whereabouts,
        })
    }

    /// Where events are, for who wants to read them.
    pub const fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    /// Hands an event to the thread that writes; never waits.
    pub fn record(&self, event: Event) {
        if self.queue.try_send(event).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            self.shared.lost_ever.fetch_add(1, Ordering::Relaxed);
            self.shared.is_failing.store(true, Ordering::Relaxed);
        }
    }

    /// Whether events are lost now. It is tried all the time whether they can be written again.
    pub fn is_failing(&self) -> bool {
        self.shared.is_failing.load(Ordering::Relaxed)
    }

    /// Events that could not be written since the start.
    pub fn lost(&self) -> u64 {
        self.shared.lost_ever.load(Ordering::Relaxed)
    }

    /// Hands a failed authentication over, or counts it where there are many.
    pub fn record_failure(&self, kind: DeniedKind, event: Event) {
        let first = self.shared.failures().note(kind, event);
        if let Some(event) = first {
            self.record(event);
        }
    }

    /// Writes what waits, and waits for it at most so long.
    pub async fn close(&self, grace: Duration) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else {
            return;
        };
        let deadline = Instant::now() + grace;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                tracing::error!("audit could not be written to its end");
                return;
            }
            sleep(POLL).await;
        }
        // Its panic was already reported by the hook.
        let _ = thread.join();
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
