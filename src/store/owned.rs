//! What one of several gateways owns in a store: its running operations and the idempotency keys that it has taken.
//!
//! Each process has a random name, and says now and then that it is alive, by the clock of the store. What belongs to one that
//! does not is taken over by whoever comes first. A store that is away is no reason to refuse a write: operations and keys are in
//! memory then, and what can be kept later is kept later.
//!
//! One call that fails does not make a store that is away. What decides whether a write is sent waits out the rest after it, and
//! asks once more; and a key that the store has, or may have, for this process is never used from memory: see the claims.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, error, info};

use super::StoreError;
use super::durable::Durable;
use super::error::within;
use super::open::Store;
use super::pool::Value;
use super::settings::Address;
use crate::live::{InMemory, Print, Standing};

/// How long a process counts as alive after it said so.
const LEASE: Duration = Duration::from_secs(15);
/// How long after it said so it need not say so again before it takes something: long enough that it says so by itself, and short
/// enough that nobody takes over what it is about to own.
const SURELY_ALIVE: Duration = Duration::from_secs(10);
/// How long one thing may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long after a failure the store is not asked again.
const REST: Duration = Duration::from_secs(1);
/// Answers that wait for the store, at most.
const MOST_WAITING: usize = 1_000;

const BEAT: &str = "INSERT INTO live_owner (id, until) SELECT $1, ms + $2 FROM live_clock WHERE true \
    ON CONFLICT (id) DO UPDATE SET until = excluded.until";
const LEAVE: &str = "DELETE FROM live_owner WHERE id = $1";
const ALONE: &str = "DELETE FROM live_owner WHERE id <> $1";
const LAPSED: &str = "DELETE FROM live_owner WHERE until < (SELECT ms FROM live_clock) - 86400000";

/// A key as it is kept: nobody reads it from the store.
pub(super) type Mark = [u8; 32];

/// Where the store is got from.
pub(super) trait Reach: Send + Sync {
    /// The store; one that is away is opened where it can be.
    fn store(&self) -> BoxFuture<'_, Result<Arc<Store>, StoreError>>;
}

impl Reach for Durable {
    fn store(&self) -> BoxFuture<'_, Result<Arc<Store>, StoreError>> {
        Box::pin(self.reach())
    }
}

/// Operations and idempotency keys of one process, in a store that others may share.
pub struct Owned {
    reach: Arc<dyn Reach>,
    /// The name of this process.
    pub(super) owner: String,
    /// Keys as this process knows them, for when the store is away.
    pub(super) memory: InMemory,
    /// Whether nobody else can have the store: who has the file open is the only one.
    pub(super) is_alone: bool,
    /// How long after a failure the store is not asked again.
    pub(super) rest: Duration,
    state: Mutex<State>,
    /// Has what waits be told by one at a time, and nothing be taken under a key of which something is being told.
    telling: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    behind: Option<(Timestamp, &'static str)>,
    rests_until: Option<Instant>,
    /// When this process last said that it is alive.
    said: Option<Instant>,
    /// Keys under which this process has begun something.
    taken: HashMap<Mark, Taken>,
    /// What became of keys, as far as it is not kept yet.
    waiting: HashMap<Mark, Word>,
    /// Operations that the store may have as this process's, though it was not heard that they were taken over.
    untended: HashSet<String>,
}

/// A key under which this process has begun something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) print: Print,
    pub(super) hold: Hold,
}

/// Whether the store has a key for this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// It has not: it was not reached.
    No,
    /// It may have: whether what it was told is kept is not known.
    Perhaps,
    /// It has.
    Yes,
}

/// What became of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) print: Print,
    /// The answer; `None` frees the key.
    pub(super) answer: Option<String>,
}

impl Owned {
    pub(super) fn over(durable: Arc<Durable>) -> Self {
        let is_alone = matches!(durable.settings().address, Address::File(_));
        Self::reaching(durable, is_alone)
    }

    pub(super) fn reaching(reach: Arc<dyn Reach>, is_alone: bool) -> Self {
        let mut name = [0; 16];
        // Two processes without randomness that start within the same nanosecond would take each other for themselves.
        if getrandom::fill(&mut name).is_err() {
            name = Timestamp::now().as_nanosecond().to_be_bytes();
        }
        Self {
            reach,
            owner: format!("{:032x}", u128::from_be_bytes(name)),
            memory: InMemory::default(),
            is_alone,
            rest: REST,
            state: Mutex::default(),
            telling: tokio::sync::Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the store within bounded time; `None` where it cannot be done, also for a moment after a failure.
    pub(super) async fn with<T>(
        &self,
        work: impl for<'a> FnOnce(&'a Store) -> BoxFuture<'a, Result<T, StoreError>> + Send,
    ) -> Option<T> {
        let rests = self.state().rests_until;
        if rests.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        self.attempt(work).await
    }

    /// The same for what must not be left undone for one failure alone: waits out the rest and tries once more.
    pub(super) async fn surely<T>(
        &self,
        work: impl for<'a> Fn(&'a Store) -> BoxFuture<'a, Result<T, StoreError>> + Send + Sync,
    ) -> Option<T> {
        if let Some(value) = self.with(&work).await {
            return Some(value);
        }
        self.rested().await;
        self.attempt(&work).await
    }

    async fn attempt<T>(
        &self,
        work: impl for<'a> FnOnce(&'a Store) -> BoxFuture<'a, Result<T, StoreError>> + Send,
    ) -> Option<T> {
        let asked = async {
            let store = self.reach.store().await?;
            work(&store).await
        };
        match within(PATIENCE, asked).await {
            Ok(value) => {
                self.is_back();
                Some(value)
            }
            Err(error) => {
                self.is_away(&error);
                None
            }
        }
    }

    fn is_away(&self, error: &StoreError) {
        let code = error.code();
        let is_new = {
            let mut state = self.state();
            state.rests_until = Some(Instant::now() + self.rest);
            let since = state.behind.map(|(since, _)| since);
            state.behind = Some((since.unwrap_or_else(Timestamp::now), code));
            since.is_none()
        };
        if is_new {
            error!(error.code = code, error = %error.told(), "operations cannot be kept; writes go on from memory and the store is tried again");
        } else {
            debug!(error.code = code, error = %error.told(), "operations still cannot be kept");
        }
    }

    fn is_back(&self) {
        let behind = {
            let mut state = self.state();
            state.rests_until = None;
            state.behind.take()
        };
        if let Some((since, _)) = behind {
            let seconds = Timestamp::now().duration_since(since).as_secs();
            info!(behind.seconds = seconds, "operations are kept again");
        }
    }

    pub(super) fn standing(&self) -> Standing {
        let state = self.state();
        Standing {
            behind: state.behind,
            unkept: state.waiting.len(),
        }
    }

    /// Takes note that something is begun under a key, and how the store has the key.
    pub(super) fn take(&self, key: Mark, taken: Taken) {
        self.state().taken.insert(key, taken);
    }

    /// A key under which this process has begun something.
    pub(super) fn taken(&self, key: &Mark) -> Option<Taken> {
        self.state().taken.get(key).copied()
    }

    /// Takes note that nothing is under way under a key any longer.
    pub(super) fn let_go(&self, key: &Mark) -> Option<Taken> {
        self.state().taken.remove(key)
    }

    /// Has what became of a key wait for the store; `false` where too much waits already.
    pub(super) fn wait(&self, key: Mark, word: Word) -> bool {
        let mut state = self.state();
        let has_room = state.waiting.len() < MOST_WAITING;
        if has_room {
            state.waiting.insert(key, word);
        }
        has_room
    }

    /// The same where nothing is under way under the key, and nothing waits yet.
    pub(super) fn wait_where_idle(&self, key: Mark, word: Word) -> bool {
        let mut state = self.state();
        let is_idle = !state.taken.contains_key(&key) && !state.waiting.contains_key(&key);
        let waits = is_idle && state.waiting.len() < MOST_WAITING;
        if waits {
            state.waiting.insert(key, word);
        }
        waits
    }

    /// Operations that may be this process's without its following them.
    pub(super) fn untended(&self) -> Vec<String> {
        self.state().untended.iter().cloned().collect()
    }

    /// Takes note that an operation may be this process's without its following it.
    pub(super) fn is_untended(&self, id: String) {
        self.state().untended.insert(id);
    }

    /// Takes note that an operation is followed here, or is not this process's.
    pub(super) fn is_tended(&self, id: &str) {
        self.state().untended.remove(id);
    }

    /// Waits until the store may be asked again.
    pub(super) async fn rested(&self) {
        let rests = self.state().rests_until;
        if let Some(until) = rests {
            sleep_until(until).await;
        }
    }

    /// Keeps what became of a key and could not be kept before; `false` where it still cannot.
    pub(super) async fn tell(&self, key: &Mark) -> bool {
        if !self.state().waiting.contains_key(key) {
            return true;
        }
        let _turn = self.telling.lock().await;
        let word = self.state().waiting.get(key).cloned();
        let Some(word) = word else { return true };
        if self.answer(*key, word).await.is_none() {
            return false;
        }
        self.state().waiting.remove(key);
        true
    }

    /// Keeps what became of all keys and could not be kept before, until that fails.
    pub(super) async fn tell_all(&self) -> Option<()> {
        let waiting: Vec<Mark> = self.state().waiting.keys().copied().collect();
        for key in waiting {
            if !self.tell(&key).await {
                return None;
            }
        }
        Some(())
    }

    /// Says that this process is alive, before something that it owns, unless it has just said so.
    pub(super) async fn live(&self) -> Option<()> {
        let said = self.state().said;
        if said.is_some_and(|said| said.elapsed() < SURELY_ALIVE) {
            return Some(());
        }
        let now = Instant::now();
        let (owner, clears) = (self.owner.clone(), self.is_alone && said.is_none());
        self.surely(move |store| Box::pin(say_alive(store, owner.clone(), clears)))
            .await?;
        self.state().said = Some(now);
        Some(())
    }

    /// Says that this process is alive.
    pub(super) async fn say_alive(&self) -> Option<()> {
        let now = Instant::now();
        let clears = self.is_alone && self.state().said.is_none();
        let owner = self.owner.clone();
        self.with(move |store| Box::pin(say_alive(store, owner, clears)))
            .await?;
        self.state().said = Some(now);
        Some(())
    }

    /// Says that this process is no more.
    pub(super) async fn leave(&self) {
        // Whoever comes next is told what is known, if that can be done at all.
        self.tell_all().await;
        let owner = self.owner.clone();
        self.state().said = None;
        self.with(|store| {
            Box::pin(async move {
                store
                    .pool
                    .execute_shared(LEAVE, vec![Value::text(owner)])
                    .await
            })
        })
        .await;
    }
}

/// Says that a process is alive; `clears` where all others are no more.
async fn say_alive(store: &Store, owner: String, clears: bool) -> Result<(), StoreError> {
    let mut transaction = store.pool.begin_shared().await?;
    if clears {
        let owner = vec![Value::text(owner.clone())];
        transaction.execute(ALONE, owner).await?;
    }
    let values = vec![Value::text(owner), Value::count(LEASE.as_millis())];
    transaction.execute(BEAT, values).await?;
    transaction.execute(LAPSED, vec![]).await?;
    transaction.commit().await
}
