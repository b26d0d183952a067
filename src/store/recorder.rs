//! The journal over a store: what is published is durable first, and where it cannot be, it is caught up with.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use super::StoreError;
use super::api_keys::ApiKeys;
use super::audit_log::AuditLog;
use super::durable::{Durable, Found, Keeping};
use super::owned::Owned;
use super::past::Changes;
use super::queue::{Bounds, Lost, Origin, Queue};
use super::replicas::{Member, Replicas};
use super::settings::{Settings, Sharing};
use super::write::Commit;
use crate::domain::{Kind, SourceName};
use crate::inventory::hours::Hours;
use crate::inventory::journal::{Behind, Journal, Publication, Restored, Standing};
use crate::inventory::past::Past;
use crate::inventory::replicas::{Commons, Newer};

/// How long a publication waits for the store before it is shown all the same.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long the start waits for a store that others share.
const JOINING: Duration = Duration::from_secs(30);
/// How long one commit may take.
const COMMIT: Duration = Duration::from_mins(1);
/// How long after a failure the store is tried again, if no publication comes before.
pub(super) const RETRY: Duration = Duration::from_secs(5);
/// How long the end of a store may take, however late it is.
const CLOSING: Duration = Duration::from_millis(500);
/// How often what is kept long enough is looked for.
const TIDYING: Duration = Duration::from_mins(10);
/// Between two small deletions.
const PAUSE: Duration = Duration::from_millis(100);

/// Hands publications to a store.
pub struct Recorder {
    shared: Arc<Shared>,
    durable: Option<Arc<Durable>>,
    /// Where several gateways share the store: this one of them, and what there was when it took part.
    replicas: Option<(Arc<Replicas>, Mutex<Option<Newer>>)>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct Shared {
    keeping: Arc<dyn Keeping>,
    queue: Mutex<Queue>,
    standing: Mutex<Standing>,
    wake: Notify,
    /// Whether it was said that something is lost, since the store was last behind.
    is_loss_told: AtomicBool,
    /// The last generation of which it is known whether it is durable.
    settled: watch::Sender<u64>,
}

impl Recorder {
    /// Opens a store, reads back what it has of these sources, and starts to keep it up to date on the given runtime. A store that
    /// cannot be opened is tried again; until then it is behind.
    pub async fn open(
        settings: Settings,
        sources: Vec<(SourceName, Kind)>,
        runtime: &Handle,
    ) -> (Arc<Self>, Restored) {
        let engine = settings.address.engine();
        let begun = Instant::now();
        let shared = settings.shared;
        let durable = Arc::new(Durable::new(settings));
        if let Some(sharing) = shared {
            let recorder = Self::share(durable, sharing, sources, runtime).await;
            return (Arc::new(recorder), Restored::default());
        }
        let opened = Arc::clone(&durable);
        let opening = runtime.spawn(async move { opened.restore(&sources).await });
        // Only a runtime that is shutting down drops the task.
        let found = opening
            .await
            .unwrap_or_else(|_| Found::nothing(Some(StoreError::Late)));
        let Found {
            restored,
            in_line,
            error,
        } = found;
        if error.is_none() {
            let refused = restored.refused();
            info!(
                store.engine = engine,
                clusters.restored = restored.clusters(),
                records.refused = refused,
                took_ms = begun.elapsed().as_millis(),
                "the store is open"
            );
            if refused > 0 {
                warn!(
                    records.refused = refused,
                    "records of the store are not what was written; their sources are incomplete until they are read"
                );
            }
        }
        let origin = if restored.is_whole {
            Origin::After(restored.generation)
        } else {
            Origin::Unknown
        };
        let queue = Queue::new(in_line, Bounds::default()).from(origin);
        let keeping = Arc::<Durable>::clone(&durable);
        let mut recorder = Self::start(keeping, queue, error, runtime);
        recorder.durable = Some(durable);
        (Arc::new(recorder), restored)
    }

    /// API keys, kept in the same store.
    pub fn api_keys(&self) -> Option<Arc<ApiKeys>> {
        let durable = self.durable.as_ref()?;
        Some(Arc::new(ApiKeys::of(Arc::clone(durable))))
    }

    /// The audit, kept in the same store; whoever writes it waits on this runtime.
    pub fn audit_log(&self, runtime: &Handle) -> Option<Arc<AuditLog>> {
        let durable = self.durable.as_ref()?;
        Some(Arc::new(AuditLog::of(Arc::clone(durable), runtime)))
    }

    /// Operations and idempotency keys, kept in the same store.
    pub fn owned(&self) -> Option<Arc<Owned>> {
        let durable = self.durable.as_ref()?;
        Some(Arc::new(Owned::over(Arc::clone(durable))))
    }

    /// Takes part in a store that several gateways share.
    async fn share(
        durable: Arc<Durable>,
        sharing: Sharing,
        sources: Vec<(SourceName, Kind)>,
        runtime: &Handle,
    ) -> Self {
        let replicas = Replicas::start(Arc::clone(&durable), sharing, sources, runtime);
        let joining = Arc::clone(&replicas);
        let begun = Instant::now();
        let joined = runtime.spawn(async move { timeout(JOINING, joining.first()).await });
        // Only a runtime that is shutting down drops the task.
        let first = joined.await.ok().and_then(Result::ok).flatten();
        if let Some(first) = &first {
            let clusters: usize = (first.sources.iter())
                .map(|source| source.records.len())
                .sum();
            info!(
                store.engine = "postgres",
                clusters.restored = clusters,
                inventory.generation = first.generation,
                took_ms = begun.elapsed().as_millis(),
                "this gateway shares its inventory"
            );
        }
        let keeping = Arc::<Durable>::clone(&durable);
        let queue = Queue::new(HashSet::new(), Bounds::default());
        let mut recorder = Self::start(keeping, queue, None, runtime);
        recorder.durable = Some(durable);
        recorder.replicas = Some((replicas, Mutex::new(first)));
        recorder
    }

    /// What this gateway has in common with others, and what there was when it took part, which is told once; `None` where it has
    /// the store alone.
    pub fn commons(&self) -> Option<(Arc<dyn Commons>, Option<Newer>)> {
        let (replicas, first) = self.replicas.as_ref()?;
        let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        Some((Arc::new(Member(Arc::clone(replicas))), first))
    }

    pub(super) fn start(
        keeping: Arc<dyn Keeping>,
        queue: Queue,
        error: Option<StoreError>,
        runtime: &Handle,
    ) -> Self {
        let shared = Arc::new(Shared {
            keeping,
            queue: Mutex::new(queue),
            standing: Mutex::default(),
            wake: Notify::new(),
            is_loss_told: AtomicBool::new(false),
            settled: watch::Sender::new(0),
        });
        if let Some(error) = error {
            shared.fall_behind(&error, None);
        }
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn_on(write(Arc::clone(&shared), stop.clone()), runtime);
        tasks.spawn_on(tidy(Arc::clone(&shared), stop.clone()), runtime);
        tasks.close();
        Self {
            shared,
            durable: None,
            replicas: None,
            stop,
            tasks,
        }
    }

    /// What keeps the counts of each hour.
    pub fn hours(&self) -> Option<Arc<dyn Hours>> {
        let durable = self.durable.as_ref()?;
        Some(Arc::<Durable>::clone(durable))
    }

    /// The changes that are kept, to be read; `None` where there is nothing to read from.
    pub fn past(&self) -> Option<Arc<dyn Past>> {
        let durable = self.durable.as_ref()?;
        let shared = Arc::clone(&self.shared);
        let unsaid = move || shared.queue().whole_from();
        Some(Arc::new(Changes::new(Arc::clone(durable), unsaid)))
    }

    /// What is opened and opened again behind it; `None` where a test writes somewhere else.
    pub(super) fn durable(&self) -> Option<&Arc<Durable>> {
        self.durable.as_ref()
    }

    /// Has sources that other gateways can read be left to them, as soon as what is under way of them is done. What there is to be
    /// written still is.
    pub fn retire(&self) {
        if let Some((replicas, _)) = &self.replicas {
            replicas.retire();
        }
    }

    /// Leaves what other gateways can read to them; waits for it at most so long.
    pub async fn leave(&self, grace: Duration) {
        if let Some((replicas, _)) = &self.replicas {
            replicas.stop(grace).await;
        }
    }

    /// Lets what waits be written once more, and ends; waits for it at most so long.
    pub async fn stop(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        self.stop.cancel();
        let (ended, ()) = tokio::join!(timeout(grace, self.tasks.wait()), self.leave(grace));
        if ended.is_err() {
            error!(
                grace_ms = grace.as_millis(),
                "the store did not end in time"
            );
        }
        let closing = deadline.max(Instant::now() + CLOSING);
        if let Some(durable) = &self.durable
            && timeout_at(closing, durable.close()).await.is_err()
        {
            error!(
                grace_ms = grace.as_millis(),
                "the store did not close in time"
            );
        }
        let waiting = self.shared.queue().publications();
        if waiting > 0 {
            error!(
                publications = waiting,
                "the store is behind at the end; what it has is older than what was shown"
            );
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Journal for Recorder {
    fn publish(&self, publication: Publication) -> BoxFuture<'_, ()> {
        Box::pin(self.shared.publish(publication))
    }

    fn is_waiting(&self) -> bool {
        let replicas = self.replicas.as_ref();
        replicas.is_some_and(|(replicas, _)| !replicas.is_joined())
    }

    fn standing(&self) -> Option<Standing> {
        if let Some((replicas, _)) = &self.replicas {
            return Some(replicas.standing());
        }
        let mut standing = self.shared.standing().clone();
        let queue = self.shared.queue();
        standing.lost_changes = queue.lost().changes;
        if standing.behind.is_some() {
            standing.publications = standing.publications.max(queue.publications());
        }
        Some(standing)
    }
}

impl Shared {
    async fn publish(&self, publication: Publication) {
        let generation = publication.generation;
        let mut settled = self.settled.subscribe();
        let before = {
            let mut queue = self.queue();
            let before = queue.lost();
            queue.add(publication);
            self.say_lost(before, queue.lost());
            let mut standing = self.standing();
            standing.publications += 1;
            standing.behind.is_some()
        };
        self.wake.notify_one();
        if before {
            // Readers do not wait again and again for a store that is known to be behind.
            return;
        }
        let wait = settled.wait_for(|settled| *settled >= generation);
        if timeout(PATIENCE, wait).await.is_err() {
            self.fall_behind(&StoreError::Late, Some(generation));
        }
    }

    /// Says once that the store does not have what is shown; with a generation, unless that has become durable by now.
    fn fall_behind(&self, error: &StoreError, unless: Option<u64>) {
        let code = error.code();
        let is_new = {
            let mut standing = self.standing();
            if unless.is_some_and(|generation| *self.settled.borrow() >= generation) {
                return;
            }
            let known = standing.behind.as_ref().map(|known| known.since);
            let since = known.unwrap_or_else(Timestamp::now);
            standing.behind = Some(Behind { since, code });
            known.is_none()
        };
        if is_new {
            error!(error.code = code, error = %error.told(), "the store is behind; the inventory is served from memory and the store is tried again");
        } else {
            debug!(error.code = code, error = %error.told(), "the store is still behind");
        }
    }

    /// Takes note of a commit that went well.
    fn committed(&self, commit: &Commit, took: Duration) {
        let is_all = {
            let mut queue = self.queue();
            queue.done(commit);
            queue.publications() == 0
        };
        // Before it is looked at who is behind, so that nobody who waited too long says so afterwards.
        self.settled.send_replace(commit.generation);
        let behind = {
            let mut standing = self.standing();
            standing.commits.add(took);
            if is_all {
                standing.publications = 0;
                standing.behind.take()
            } else {
                None
            }
        };
        if let Some(behind) = behind {
            self.is_loss_told.store(false, Ordering::Relaxed);
            let seconds = Timestamp::now().duration_since(behind.since).as_secs();
            info!(
                behind.seconds = seconds,
                changes.lost = self.queue().lost().changes,
                "the store has caught up"
            );
        }
    }

    fn failed(&self, commit: Commit, error: &StoreError) {
        let generation = commit.generation;
        {
            let mut queue = self.queue();
            let before = queue.lost();
            queue.failed(commit, matches!(error, StoreError::Replaced));
            self.say_lost(before, queue.lost());
        }
        self.fall_behind(error, None);
        self.settled.send_replace(generation);
    }

    /// Says that something made room, once for each time that the store is behind.
    fn say_lost(&self, before: Lost, after: Lost) {
        if after != before && !self.is_loss_told.swap(true, Ordering::Relaxed) {
            error!(
                changes.lost = after.changes,
                attempts.lost = after.attempts,
                "too much waits for the store; the oldest changes will not be in its history"
            );
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what waits, as long as there is something; tries again after a failure. When asked to stop it tries once more.
async fn write(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let is_last = stop.is_cancelled();
        // What woke this task so far is taken below, and is no reason to hurry after a failure.
        let _ = shared.wake.notified().now_or_never();
        let next = shared.queue().take();
        let Some(commit) = next else {
            if is_last {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = shared.wake.notified() => {}
            }
            continue;
        };
        let begun = Instant::now();
        let written = timeout(COMMIT, shared.keeping.commit(&commit)).await;
        match written.unwrap_or(Err(StoreError::Late)) {
            Ok(()) => shared.committed(&commit, begun.elapsed()),
            Err(error) => {
                shared.failed(commit, &error);
                if is_last {
                    return;
                }
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = shared.wake.notified() => {}
                    () = sleep(RETRY) => {}
                }
            }
        }
    }
}

/// Deletes what is kept long enough, now and then.
async fn tidy(shared: Arc<Shared>, stop: CancellationToken) {
    let mut pause = PAUSE;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        let tidied = timeout(COMMIT, shared.keeping.tidy(Timestamp::now())).await;
        pause = match tidied.unwrap_or(Err(StoreError::Late)) {
            Ok(true) => PAUSE,
            Ok(false) => TIDYING,
            Err(error) => {
                warn!(error.code = error.code(), error = %error.told(), "what the store keeps too long could not be deleted");
                TIDYING
            }
        };
    }
}
