//! Gateways that share a PostgreSQL database.
//!
//! - **One turn at a time.** Whoever publishes holds the row of the last generation until its transaction ends, and begins with
//!   what others have published. A gateway that is stopped meanwhile loses its session, and the others go on.
//! - **A lease for each source**, by the clock of the server. Its holder reckons by a clock of its own, from before it asked, so
//!   that it stops before anybody else begins. What comes of a lease that was taken over is refused by its token.
//! - **The others are told** by a notification, and look for themselves every now and then.

mod census;
mod leases;
mod leaving;
mod load;
mod news;
mod share;
mod turns;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::PgPool;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info};

use super::StoreError;
use super::durable::Durable;
use super::open::Store;
use super::settings;
use crate::domain::{Kind, SourceName};
use crate::inventory::journal::{Behind, Commits, Sharing, Standing};
use crate::inventory::replicas::{Away, Begun, Commons, Desk, Newer};

/// Where replicas tell each other that something has happened.
const CHANNEL: &str = "clustergate";
/// Walks that the others are told of together, at most.
const WALKS: usize = 16;
/// What begins a word of a walk; the generation follows.
const WALK: &str = "walk ";

/// One of several gateways that share a database.
pub(super) struct Replicas {
    durable: Arc<Durable>,
    /// Another one for each process.
    id: String,
    lease: Duration,
    sources: Vec<(SourceName, Kind)>,
    desks: BTreeMap<SourceName, Arc<Desk>>,
    news: watch::Sender<u64>,
    /// Stirred where there is something to be done about leases.
    rouse: Arc<Notify>,
    is_joined: AtomicBool,
    /// The last generation that it has made.
    committed: AtomicU64,
    /// Whether its sources are left to the others.
    is_retiring: AtomicBool,
    /// Whether the others were told, or were tried to be told, that it ends.
    has_left: AtomicBool,
    /// Whether there may be something to tell of the sources as such.
    is_census_due: AtomicBool,
    /// Sources of which the database has what another provider wrote.
    foreign: Mutex<HashSet<SourceName>>,
    told: Mutex<Told>,
    walks: Mutex<Walks>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Generations through which readers walk.
#[derive(Debug, Default)]
struct Walks {
    /// Here, and the others were not told yet.
    own: Vec<u64>,
    /// Elsewhere.
    others: Vec<u64>,
}

/// How it goes.
struct Told {
    behind: Option<Behind>,
    waiting: u64,
    applied: u64,
    heard: Instant,
    fenced: u64,
    commits: Commits,
}

impl Replicas {
    /// A gateway that takes part as soon as the database can be reached. Its sources are read only while it has their leases.
    pub(super) fn start(
        durable: Arc<Durable>,
        sharing: settings::Sharing,
        sources: Vec<(SourceName, Kind)>,
        runtime: &Handle,
    ) -> Arc<Self> {
        let rouse: Arc<Notify> = Arc::default();
        let desks = sources.iter();
        let desks = desks.map(|(name, _)| (name.clone(), Arc::new(Desk::new(Arc::clone(&rouse)))));
        let replicas = Arc::new(Self {
            durable,
            id: id(),
            lease: sharing.lease,
            desks: desks.collect(),
            sources,
            news: watch::Sender::new(0),
            rouse,
            is_joined: AtomicBool::new(false),
            committed: AtomicU64::new(0),
            is_retiring: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            is_census_due: AtomicBool::new(false),
            foreign: Mutex::default(),
            told: Mutex::new(Told {
                behind: None,
                waiting: 0,
                applied: 0,
                heard: Instant::now(),
                fenced: 0,
                commits: Commits::default(),
            }),
            walks: Mutex::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let (tasks, stop) = (&replicas.tasks, &replicas.stop);
        tasks.spawn_on(Arc::clone(&replicas).keep_leases(stop.clone()), runtime);
        tasks.spawn_on(Arc::clone(&replicas).hear(stop.clone()), runtime);
        tasks.close();
        replicas
    }

    /// Begins nothing any more, and leaves each source to the others as soon as what is under way of it is done.
    pub(super) fn retire(&self) {
        self.is_retiring.store(true, Ordering::Release);
        self.desks.values().for_each(|desk| desk.close());
        self.rouse.notify_one();
    }

    /// Whether it takes no part any more: it is about to end, or nothing of it could be published.
    fn is_leaving(&self) -> bool {
        let mut desks = self.desks.values();
        let is_abandoned = !self.desks.is_empty() && desks.all(|desk| desk.is_abandoned());
        is_abandoned || self.is_retiring.load(Ordering::Acquire)
    }

    /// Leaves its sources to the others; waits for it at most so long.
    pub(super) async fn stop(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.stop.cancel();
        // What was written last may wait for somebody else; what is left of the time is for the others.
        if timeout(grace / 2, self.tasks.wait()).await.is_err() {
            error!(grace_ms = grace.as_millis(), "leases did not end in time");
        }
        self.leave(deadline).await;
    }

    pub(super) fn standing(&self) -> Standing {
        let held = self.desks.values().filter(|desk| desk.lease().is_some());
        let leases = u64::try_from(held.count()).unwrap_or(u64::MAX);
        let told = lock(&self.told);
        Standing {
            behind: told.behind,
            publications: told.waiting,
            lost_changes: 0,
            commits: told.commits.clone(),
            shared: Some(Sharing {
                leases,
                generation: told.applied,
                silent_seconds: told.heard.elapsed().as_secs_f64(),
                fenced: told.fenced,
            }),
        }
    }

    pub(super) fn is_joined(&self) -> bool {
        self.is_joined.load(Ordering::Acquire)
    }

    fn joined(&self) {
        self.is_joined.store(true, Ordering::Release);
        self.rouse.notify_one();
    }

    fn desk_of(&self, source: &str) -> Option<&Arc<Desk>> {
        let mut desks = self.desks.iter();
        let found = desks.find(|(name, _)| name.as_str() == source);
        found.map(|(_, desk)| desk)
    }

    fn stir(&self) {
        self.news
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut lock(&self.told));
    }

    /// Takes note of how the database answered. One that failed is opened anew by whoever needs it next.
    fn checked<T>(
        &self,
        store: &Arc<Store>,
        result: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match &result {
            Ok(_) => self.tell(|told| told.heard = Instant::now()),
            Err(_) => self.durable.forget(store),
        }
        result
    }

    /// Says once that the database cannot be used.
    fn away(&self, error: &StoreError) -> Away {
        let code = error.code();
        let mut told = lock(&self.told);
        let known = told.behind.map(|known| known.since);
        told.behind = Some(Behind {
            since: known.unwrap_or_else(Timestamp::now),
            code,
        });
        drop(told);
        if known.is_none() {
            error!(error.code = code, error = %error.told(), "the shared store is away; what is known is served, nothing is read of sources whose leases end, and it is tried again");
        } else {
            debug!(error.code = code, error = %error.told(), "the shared store is still away");
        }
        Away
    }

    fn here<T>(&self, result: Result<T, StoreError>) -> Result<T, Away> {
        let value = result.map_err(|error| self.away(&error))?;
        let behind = lock(&self.told).behind.take();
        if let Some(behind) = behind {
            let seconds = Timestamp::now().duration_since(behind.since).as_secs();
            info!(behind.seconds = seconds, "the shared store is back");
            self.rouse.notify_one();
        }
        Ok(value)
    }

    /// What the arm of a recorder needs to know of a generation.
    pub(super) async fn first(self: &Arc<Self>) -> Option<Newer> {
        let taken = self.take_part().await;
        self.here(taken).ok()
    }
}

/// The same, for tasks of the inventory.
pub(super) struct Member(pub(super) Arc<Replicas>);

impl Commons for Member {
    fn desk(&self, source: &SourceName) -> Option<Arc<Desk>> {
        self.0.desks.get(source).cloned()
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.0.news.subscribe()
    }

    fn join(&self) -> BoxFuture<'_, Result<Newer, Away>> {
        Box::pin(async { self.0.here(self.0.take_part().await) })
    }

    fn newer(&self, applied: u64) -> BoxFuture<'_, Result<Option<Newer>, Away>> {
        Box::pin(async move { self.0.here(self.0.look(applied).await) })
    }

    fn is_census_due(&self) -> bool {
        self.0.is_census_due.load(Ordering::Acquire)
    }

    fn begin(&self, applied: u64) -> BoxFuture<'_, Result<Begun, Away>> {
        Box::pin(async move { self.0.here(self.0.take_turn(applied).await) })
    }

    fn note(&self, applied: u64, waiting: usize) {
        self.0.tell(|told| {
            told.applied = applied;
            told.waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        });
    }

    fn keep(&self, generation: u64) {
        push(&mut lock(&self.0.walks).own, generation);
        self.0.rouse.notify_one();
    }

    fn kept(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.0.walks).others)
    }

    fn fenced(&self, _: &SourceName) {
        self.0.tell(|told| told.fenced += 1);
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Walks that nobody was told of are few; of more the oldest are forgotten.
fn push(walks: &mut Vec<u64>, generation: u64) {
    if walks.len() >= WALKS {
        walks.remove(0);
    }
    walks.push(generation);
}

fn pool(store: &Store) -> Result<&PgPool, StoreError> {
    store.shared.as_ref().ok_or(StoreError::Late)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time on our clock, in whole milliseconds, as answers have it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// A name that no other process has.
fn id() -> String {
    let mut bytes = [0; 12];
    if getrandom::fill(&mut bytes).is_err() {
        // Without randomness the time and the process tell apart well enough.
        let time = Timestamp::now().as_nanosecond().to_le_bytes();
        bytes[..8].copy_from_slice(&time[..8]);
        bytes[8..].copy_from_slice(&std::process::id().to_le_bytes());
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
