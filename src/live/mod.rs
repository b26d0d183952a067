//! Calls that must reach a vendor now, for one cluster: detail, nodes, health, kubeconfig, metrics, writes and operations.
//!
//! Reads that come together are one call, and its answer is remembered for a few seconds ([`Answer`] says when it was read). A
//! vendor that fails leaves the last answer standing, marked with the failure. Nothing is remembered of a kubeconfig.
//!
//! A write is sent once and never repeated. It runs in a task of its own, so that a caller that goes away does not leave half
//! of it, and [`Live::stop`] awaits it. Where its answer is lost, the cluster is read back, and what is answered is what was
//! found ([`WriteFailure::Unknown`]). What a call has shown of a cluster is told to a [`Ledger`] before the call is answered.
//!
//! Where something outlives the process ([`Keep`], [`Keys`]), a write is kept there before its vendor is asked. What a process leaves
//! that ends in the middle is looked for by another one, and never sent again. That a write is sent under a key is kept together
//! with the write ([`Intended`]), so that no two processes send it, and what is known of a write and cannot be kept is told again
//! until it is.

mod book;
mod evidence;
mod flight;
mod follow;
mod intent;
mod keep;
mod keys;
mod lookback;
mod owed;
mod read;
mod tend;
mod weigh;
mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::domain::{
    Cluster, ClusterId, ClusterMetrics, Health, Node, Operation, OperationId, Period, SourceName,
};
use crate::provider::{Described, ErrorKind, Listed, Locator, Provider, ProviderError};

pub use book::{Known, Origin, Place, Selection};
pub use evidence::Lookback;
pub use flight::Answer;
pub use keep::{Away, Forgetful, Intended, Keep, Part, Record, Stage, Standing, Subject, Task};
pub use keys::{
    Begun, Ending, Finished, InMemory, Key, Keys, MOST_OF_ONE, Once, Outcome, Print, Refusal,
};
pub use write::{Done, Write, WriteFailure};

use book::Book;
use flight::Flights;
use owed::Owed;

/// How long what goes on may be left to others where calls took all the time that there was.
const PARTING: Duration = Duration::from_secs(1);

/// One source whose vendor can be asked.
#[derive(Clone)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// What asks its vendor.
    pub provider: Arc<dyn Provider>,
}

/// A cluster that a call is about, as the inventory knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The cluster.
    pub id: ClusterId,
    /// Its source.
    pub source: SourceName,
    /// Its address at the vendor.
    #[serde(with = "keep::locator")]
    pub locator: Locator,
}

/// What is kept, how long, and what a call may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How long an answer is given again without asking the vendor.
    pub memory: Duration,
    /// How long it is kept for the case that the vendor fails.
    pub last_known: Duration,
    /// How long a failure is answered again without asking the vendor.
    pub failure: Duration,
    /// From one call that a caller forced to the next, for each cluster.
    pub forced: Duration,
    /// Longest time for a read.
    pub deadline: Duration,
    /// Longest time for a write.
    pub write_deadline: Duration,
    /// Waits before each look at a cluster whose write was not answered.
    pub looks: [Duration; 3],
    /// Answers kept of each kind.
    pub entries: usize,
    /// Bytes kept of each kind, as far as they can be reckoned.
    pub bytes: usize,
    /// Reads of one source under way at once.
    pub flights: usize,
    /// Operations known at once.
    pub operations: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            memory: Duration::from_secs(5),
            last_known: Duration::from_hours(1),
            failure: Duration::from_secs(1),
            forced: Duration::from_secs(1),
            deadline: Duration::from_secs(15),
            write_deadline: Duration::from_secs(75),
            looks: [
                Duration::ZERO,
                Duration::from_secs(1),
                Duration::from_secs(3),
            ],
            entries: 1_024,
            bytes: 32 << 20,
            flights: 64,
            operations: 2_000,
        }
    }
}

/// What a call has shown of a cluster.
#[derive(Debug)]
pub enum Seen {
    /// The cluster as a listing would show it.
    Listed(Box<Listed>),
    /// The cluster's detail.
    Described {
        /// The cluster.
        id: ClusterId,
        /// What was read.
        described: Box<Described>,
        /// When.
        at: Timestamp,
    },
    /// Its record is gone.
    Gone(ClusterId),
}

/// Who keeps what is known.
pub trait Ledger: Send + Sync {
    /// Takes what a call has shown; done when readers see it.
    fn seen(&self, source: &SourceName, seen: Seen) -> BoxFuture<'static, ()>;
    /// Asks for the source's list to be read soon.
    fn refresh(&self, source: &SourceName);
}

/// Why a call gives nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The provider failed or refused.
    #[error("the provider failed")]
    Provider(#[source] Box<ProviderError>),
    /// The vendor did not answer in time.
    #[error("no answer in time")]
    Deadline,
    /// Too many calls to this source are under way.
    #[error("too many calls are under way")]
    Busy,
    /// There is no such source.
    #[error("no such source")]
    NoSource,
    /// The program is stopping.
    #[error("stopping")]
    Stopping,
    /// What keeps operations cannot be reached, and nothing is known without it.
    #[error("what keeps operations cannot be reached")]
    Away,
    /// The call ended without an answer: a fault of this program.
    #[error("the call broke")]
    Broken,
}

impl Failure {
    /// Whether it says nothing of the thing itself, so that the last that is known of it stands.
    pub fn leaves_standing(&self) -> bool {
        match self {
            Self::Provider(error) => !matches!(
                error.kind,
                ErrorKind::NotFound
                    | ErrorKind::NotSupported
                    | ErrorKind::InvalidValues
                    | ErrorKind::Conflict
                    | ErrorKind::NotReady
            ),
            Self::Deadline | Self::Busy | Self::Stopping | Self::Away | Self::Broken => true,
            Self::NoSource => false,
        }
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        Self::Provider(Box::new(error))
    }
}

/// Calls to vendors, for one cluster at a time; a clone is one reference count.
#[derive(Clone)]
pub struct Live(Arc<Inner>);

struct Connected {
    name: SourceName,
    provider: Arc<dyn Provider>,
    /// Places for reads under way.
    places: Arc<Semaphore>,
}

struct Inner {
    sources: HashMap<SourceName, Connected>,
    bounds: Bounds,
    ledger: Arc<dyn Ledger>,
    keys: Arc<dyn Keys>,
    keep: Arc<dyn Keep>,
    runtime: Handle,
    details: Arc<Flights<ClusterId, Described>>,
    nodes: Arc<Flights<ClusterId, Vec<Node>>>,
    healths: Arc<Flights<ClusterId, Health>>,
    metrics: Arc<Flights<(ClusterId, Period), ClusterMetrics>>,
    of_cluster: Arc<Flights<ClusterId, Vec<Operation>>>,
    operations: Arc<Flights<OperationId, Operation>>,
    book: Book,
    owed: Owed,
    /// Clusters, and names of clusters to be, that are being written.
    written: write::UnderWay,
    /// When clusters were last written: what was read of them before is old, however late it comes.
    changed: Mutex<HashMap<ClusterId, Instant>>,
    running: keys::Running,
    reads: TaskTracker,
    writes: TaskTracker,
    stop: CancellationToken,
    /// What says that this process is alive, as long as writes are under way.
    tending: TaskTracker,
    ended: CancellationToken,
}

impl Live {
    /// Calls to these sources, made on the given runtime.
    pub fn new(
        sources: Vec<Source>,
        bounds: Bounds,
        ledger: Arc<dyn Ledger>,
        keys: Arc<dyn Keys>,
        runtime: &Handle,
    ) -> Self {
        Self::keeping(sources, bounds, ledger, keys, Arc::new(Forgetful), runtime)
    }

    /// The same, with operations that outlive the process.
    pub fn keeping(
        sources: Vec<Source>,
        bounds: Bounds,
        ledger: Arc<dyn Ledger>,
        keys: Arc<dyn Keys>,
        keep: Arc<dyn Keep>,
        runtime: &Handle,
    ) -> Self {
        let is_kept = keep.standing().is_some();
        let connected = |source: Source| {
            let connected = Connected {
                name: source.name.clone(),
                provider: source.provider,
                places: Arc::new(Semaphore::new(bounds.flights)),
            };
            (source.name, connected)
        };
        let live = Self(Arc::new(Inner {
            sources: sources.into_iter().map(connected).collect(),
            ledger,
            keys,
            keep,
            runtime: runtime.clone(),
            details: Flights::new(bounds),
            nodes: Flights::new(bounds),
            healths: Flights::new(bounds),
            metrics: Flights::new(bounds),
            of_cluster: Flights::new(bounds),
            operations: Flights::new(bounds),
            book: Book::new(bounds.operations),
            owed: Owed::default(),
            written: Arc::default(),
            changed: Mutex::default(),
            running: keys::Running::default(),
            reads: TaskTracker::new(),
            writes: TaskTracker::new(),
            stop: CancellationToken::new(),
            tending: TaskTracker::new(),
            ended: CancellationToken::new(),
            bounds,
        }));
        if is_kept {
            let (tended, ended) = (Arc::downgrade(&live.0), live.0.ended.clone());
            let tending = tend::tend(tended, ended);
            live.0.tending.spawn_on(tending, runtime);
        }
        live
    }

    /// How what keeps operations is; `None` where a restart forgets them.
    pub fn standing(&self) -> Option<Standing> {
        let mut standing = self.0.keep.standing()?;
        standing.unkept += self.0.book.unkept() + self.0.owed.unseen();
        Some(standing)
    }

    /// What a source's provider is.
    pub fn provider(&self, source: &SourceName) -> Option<&dyn Provider> {
        let connected = self.0.sources.get(source)?;
        Some(connected.provider.as_ref())
    }

    /// Gives reads up, takes no new write, and waits for those under way, and until what goes on is left to others, at most so long
    /// together; for the latter a moment in any case.
    pub async fn stop(&self, grace: Duration) {
        self.0.stop.cancel();
        self.0.reads.close();
        self.0.writes.close();
        let ended = async {
            self.0.writes.wait().await;
            self.0.reads.wait().await;
        };
        let deadline = Instant::now() + grace;
        if timeout_at(deadline, ended).await.is_err() {
            error!(
                grace_ms = grace.as_millis(),
                writes.count = self.0.writes.len(),
                "calls to vendors did not end in time"
            );
            self.abandon();
        }
        self.0.ended.cancel();
        self.0.tending.close();
        let deadline = deadline.max(Instant::now() + PARTING);
        if timeout_at(deadline, self.0.tending.wait()).await.is_err() {
            error!(
                grace_ms = grace.as_millis(),
                "operations were not left to others in time"
            );
        }
    }

    fn connected(&self, source: &SourceName) -> Result<&Connected, Failure> {
        self.0.sources.get(source).ok_or(Failure::NoSource)
    }

    /// Forgets what was read of a cluster: it was changed.
    fn forget_answers(&self, id: &ClusterId) {
        {
            let mut changed = (self.0.changed.lock()).unwrap_or_else(PoisonError::into_inner);
            changed.retain(|_, at| at.elapsed() <= self.0.bounds.deadline);
            changed.insert(id.clone(), Instant::now());
        }
        self.0.details.forget(id);
        self.0.nodes.forget(id);
        self.0.healths.forget(id);
        self.0.of_cluster.forget(id);
    }
}

impl Inner {
    /// Whether a cluster was written after a read of it began.
    fn is_changed_since(&self, id: &ClusterId, began: Instant) -> bool {
        let changed = (self.changed.lock()).unwrap_or_else(PoisonError::into_inner);
        changed.get(id).is_some_and(|at| *at >= began)
    }
}

/// The time on our clock, in whole milliseconds: more would only make answers longer.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Whether a vendor's account of a cluster may be taken for an account of another one. Adapters answer for the cluster they
/// were asked for; what does not is a mistake that must not change another cluster's row.
fn is_of(cluster: &Cluster, id: &ClusterId) -> bool {
    cluster.id == *id
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
