//! A store that may be away, and is opened again where it is.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{debug, error, info};

use super::StoreError;
use super::error::within;
use super::files;
use super::open::Store;
use super::pool::Hold;
use super::settings::{Address, Settings};
use super::write::{self, Commit};
use crate::domain::{Kind, SourceName};
use crate::inventory::journal::Restored;

/// How long it may take to reach a store.
const OPENING: Duration = Duration::from_secs(5);
/// How long it may take to bring its tables up to date.
const MIGRATING: Duration = Duration::from_hours(6);
/// How long whoever needs it waits for both: longer than to reach it may take, so that it is known why it could not be.
const WAITING: Duration = Duration::from_secs(6);
/// How long it may take to read everything back.
const RESTORING: Duration = Duration::from_secs(30);

/// Where commits go.
pub(super) trait Keeping: Send + Sync + 'static {
    /// Makes a commit durable. To do so once more changes nothing.
    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Deletes a little of what is kept long enough; answers with whether there may be more of it.
    fn tidy(&self, now: Timestamp) -> BoxFuture<'_, Result<bool, StoreError>>;
}

/// A store that is opened when it is needed, and again after a failure.
pub(super) struct Durable {
    settings: Settings,
    /// The sources that are configured.
    sources: OnceLock<Vec<SourceName>>,
    store: Mutex<Option<Arc<Store>>>,
    /// The same, for who must not wait for a commit.
    open: ArcSwapOption<Store>,
    /// One that is being opened. It goes on while nobody waits for it: what was begun anew each time might never end.
    opening: Mutex<JoinSet<Result<Store, StoreError>>>,
    is_closed: AtomicBool,
}

/// How a store was found at the start.
pub(super) struct Found {
    pub(super) restored: Restored,
    /// Sources that the store has as they were given back.
    pub(super) in_line: HashSet<SourceName>,
    /// Why it cannot be used yet.
    pub(super) error: Option<StoreError>,
}

impl Found {
    pub(super) fn nothing(error: Option<StoreError>) -> Self {
        Self {
            restored: Restored::default(),
            in_line: HashSet::new(),
            error,
        }
    }
}

impl Durable {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            sources: OnceLock::new(),
            store: Mutex::new(None),
            open: ArcSwapOption::empty(),
            opening: Mutex::default(),
            is_closed: AtomicBool::new(false),
        }
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The store, where it is open. One that is away is opened again by the next commit.
    pub(super) fn store(&self) -> Result<Arc<Store>, StoreError> {
        self.open.load_full().ok_or(StoreError::Late)
    }

    /// The store; one that is away is opened.
    pub(super) async fn connect(&self) -> Result<Arc<Store>, StoreError> {
        if let Some(store) = self.open.load_full() {
            return Ok(store);
        }
        let mut place = self.store.lock().await;
        // Somebody else may have been faster.
        if let Some(store) = self.open.load_full() {
            return Ok(store);
        }
        let store = Arc::new(self.open().await?);
        *place = Some(Arc::clone(&store));
        self.open.store(Some(Arc::clone(&store)));
        info!("the store is open");
        Ok(store)
    }

    /// The store; one that was in use and is away is opened, as the next commit would do.
    pub(super) async fn reach(&self) -> Result<Arc<Store>, StoreError> {
        // What was not read back yet, or is given up, is opened by nobody who only passes by.
        let is_begun = self.settings.shared.is_some() || self.sources.get().is_some();
        if !is_begun || self.is_closed.load(Ordering::Relaxed) {
            return self.store();
        }
        self.connect().await
    }

    /// Has a store that failed be opened anew by whoever needs it next.
    pub(super) fn forget(&self, store: &Arc<Store>) {
        let open = self.open.load();
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, store)) {
            self.open.compare_and_swap(&*open, None);
        }
    }

    /// Opens the store and reads back what it has of these sources. Where it cannot, nothing is known, and it is tried again later.
    pub(super) async fn restore(&self, sources: &[(SourceName, Kind)]) -> Found {
        let names = sources.iter().map(|(name, _)| name.clone());
        self.sources.get_or_init(|| names.collect());
        let mut place = self.store.lock().await;
        match self.open().await {
            Ok(store) => self.set(&mut place, Some(store)),
            Err(StoreError::Corrupt(error)) => {
                return Found::nothing(self.replace(&mut place, error).await.err());
            }
            Err(error) => return Found::nothing(Some(error)),
        }
        let Some(store) = place.as_ref() else {
            return Found::nothing(None);
        };
        match within(RESTORING, store.restore(sources)).await {
            // The statements are known to be good, so a file that they do not fit is not what was written.
            Err(StoreError::Failed(error)) if self.is_file() => {
                Found::nothing(self.replace(&mut place, error).await.err())
            }
            Ok(restored) => Found {
                in_line: restored.whole().cloned().collect(),
                restored,
                error: None,
            },
            Err(StoreError::Corrupt(error)) => {
                Found::nothing(self.replace(&mut place, error).await.err())
            }
            Err(error) => {
                self.set(&mut place, None);
                Found::nothing(Some(error))
            }
        }
    }

    fn set(&self, place: &mut Option<Arc<Store>>, store: Option<Store>) {
        *place = store.map(Arc::new);
        self.open.store(place.clone());
    }

    fn take(&self, place: &mut Option<Arc<Store>>) -> Option<Arc<Store>> {
        self.open.store(None);
        place.take()
    }

    const fn is_file(&self) -> bool {
        matches!(self.settings.address, Address::File(_))
    }

    async fn open(&self) -> Result<Store, StoreError> {
        let hold = match self.settings.shared {
            None => Hold::Alone,
            Some(_) => Hold::Shared,
        };
        let mut opening = self.opening.lock().await;
        if opening.is_empty() {
            let address = self.settings.address.clone();
            opening.spawn(async move {
                let store = within(OPENING, Store::connect(&address, hold)).await?;
                within(MIGRATING, store.bring_up()).await?;
                Ok(store)
            });
        }
        match timeout(WAITING, opening.join_next()).await {
            Ok(Some(Ok(opened))) => opened,
            // Its runtime is shutting down.
            Ok(_) => Err(StoreError::Late),
            Err(_) => {
                debug!("the tables of the store are still being brought up to date");
                Err(StoreError::Late)
            }
        }
    }

    /// Moves damaged files away and begins anew; a damaged database of a server is left to who runs it.
    async fn replace(
        &self,
        place: &mut Option<Arc<Store>>,
        damage: sqlx::Error,
    ) -> Result<(), StoreError> {
        if let Some(store) = self.take(place) {
            store.close().await;
        }
        let Address::File(file) = &self.settings.address else {
            return Err(StoreError::Corrupt(damage));
        };
        {
            // Nobody else may be using what is moved.
            let _held = files::hold(file)?;
            let moved = files::move_aside(file, Timestamp::now())?;
            error!(error = %damage, store.moved_to = %moved.display(), "the store is damaged; it is moved aside and a new one is begun");
        }
        let store = self.open().await?;
        self.set(place, Some(store));
        Ok(())
    }

    async fn write(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut place = self.store.lock().await;
        if place.is_none() {
            match self.open().await {
                Ok(store) => self.set(&mut place, Some(store)),
                Err(StoreError::Corrupt(error)) => {
                    self.replace(&mut place, error).await?;
                    return Err(StoreError::Replaced);
                }
                Err(error) => return Err(error),
            }
            info!("the store is open");
        }
        let Some(store) = place.as_ref() else {
            return Err(StoreError::Late);
        };
        match write::write(&store.pool, commit).await {
            Ok(()) => Ok(()),
            Err(StoreError::Corrupt(error)) => {
                self.replace(&mut place, error).await?;
                Err(StoreError::Replaced)
            }
            Err(error) => {
                // A connection that failed once is not asked again.
                self.set(&mut place, None);
                Err(error)
            }
        }
    }

    /// Lets go of the store.
    pub(super) async fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        let mut place = self.store.lock().await;
        if let Some(store) = self.take(&mut place) {
            store.close().await;
        }
        self.opening.lock().await.shutdown().await;
    }
}

impl Keeping for Durable {
    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.write(commit))
    }

    fn tidy(&self, now: Timestamp) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            // Who writes waits for one small deletion at most, and not for what is to be found out before it.
            let Ok(store) = self.store() else {
                return Ok(false);
            };
            let is_more = store.tidy(&self.settings, now).await?;
            if self.settings.shared.is_some() {
                let sources = store.tidy_gone(&self.settings, now).await?;
                return Ok(is_more || sources);
            }
            // Who never looked does not know what is configured.
            let Some(sources) = self.sources.get() else {
                return Ok(is_more);
            };
            let sources = store.tidy_sources(&self.settings, sources, now).await?;
            Ok(is_more || sources)
        })
    }
}
