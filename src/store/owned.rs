//! What one of several gateways owns in a store: its running operations and the idempotency keys that it has taken.
//!
//! Each process has a random name, and says now and then that it is alive, by the clock of the store. What belongs to one that
//! does not is taken over by whoever comes first. A store that is away is no reason to refuse a write: operations and keys are in
//! memory then, and what can be kept later is kept later.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info};

use super::StoreError;
use super::durable::Durable;
use super::error::within;
use super::open::Store;
use super::pool::Value;
use super::settings::Address;
use crate::live::{InMemory, Standing};

/// How long a process counts as alive after it said so.
const LEASE: Duration = Duration::from_secs(15);
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

/// Operations and idempotency keys of one process, in a store that others may share.
pub struct Owned {
    durable: Arc<Durable>,
    /// The name of this process.
    pub(super) owner: String,
    /// Keys as this process knows them, for when the store is away.
    pub(super) memory: InMemory,
    is_alive: AtomicBool,
    /// Whether nobody else can have the store: who has the file open is the only one.
    pub(super) is_alone: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    behind: Option<(Timestamp, &'static str)>,
    rests_until: Option<Instant>,
    /// Keys that the store knows to be this process's.
    claimed: HashSet<Mark>,
    /// Answers that are not kept yet; `None` frees the key.
    waiting: HashMap<Mark, Option<String>>,
}

impl Owned {
    pub(super) fn over(durable: Arc<Durable>) -> Self {
        let mut name = [0; 16];
        // Two processes without randomness that start within the same nanosecond would take each other for themselves.
        if getrandom::fill(&mut name).is_err() {
            name = Timestamp::now().as_nanosecond().to_be_bytes();
        }
        let is_alone = matches!(durable.settings().address, Address::File(_));
        Self {
            durable,
            owner: format!("{:032x}", u128::from_be_bytes(name)),
            memory: InMemory::default(),
            is_alive: AtomicBool::new(false),
            is_alone,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the store within bounded time; `None` where it cannot be done.
    pub(super) async fn with<T>(
        &self,
        work: impl for<'a> FnOnce(&'a Store) -> BoxFuture<'a, Result<T, StoreError>> + Send,
    ) -> Option<T> {
        let rests = self.state().rests_until;
        if rests.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let asked = async {
            let store = self.durable.store()?;
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
            state.rests_until = Some(Instant::now() + REST);
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

    /// Takes note that the store has given this process a key, or that the key is done with.
    pub(super) fn claim(&self, key: Mark, is_ours: bool) {
        let mut state = self.state();
        if is_ours {
            state.claimed.insert(key);
        } else {
            state.claimed.remove(&key);
        }
    }

    /// Whether the store has given this process a key.
    pub(super) fn has_claimed(&self, key: &Mark) -> bool {
        self.state().claimed.contains(key)
    }

    /// Has an answer wait for the store.
    pub(super) fn wait(&self, key: Mark, answer: Option<String>) {
        let mut state = self.state();
        if state.waiting.len() < MOST_WAITING {
            state.waiting.insert(key, answer);
        }
    }

    fn waiting(&self) -> Vec<(Mark, Option<String>)> {
        let state = self.state();
        let waiting = state.waiting.iter();
        waiting
            .map(|(key, answer)| (*key, answer.clone()))
            .collect()
    }

    /// Says that this process is alive, before the first thing that it owns.
    pub(super) async fn live(&self) -> Option<()> {
        if self.is_alive.load(Ordering::Relaxed) {
            return Some(());
        }
        self.say_alive().await
    }

    /// Says that this process is alive, and keeps what could not be kept before.
    pub(super) async fn say_alive(&self) -> Option<()> {
        let is_first = !self.is_alive.load(Ordering::Relaxed);
        let owner = self.owner.clone();
        let is_alone = self.is_alone;
        self.with(|store| {
            Box::pin(async move {
                let mut transaction = store.pool.begin_shared().await?;
                if is_first && is_alone {
                    // All others are no more.
                    let owner = vec![Value::text(owner.clone())];
                    transaction.execute(ALONE, owner).await?;
                }
                let values = vec![Value::text(owner), Value::count(LEASE.as_millis())];
                transaction.execute(BEAT, values).await?;
                transaction.execute(LAPSED, vec![]).await?;
                transaction.commit().await
            })
        })
        .await?;
        self.is_alive.store(true, Ordering::Relaxed);
        for (key, answer) in self.waiting() {
            self.answer(key, answer).await?;
            self.state().waiting.remove(&key);
        }
        Some(())
    }

    /// Says that this process is no more.
    pub(super) async fn leave(&self) {
        let owner = self.owner.clone();
        self.is_alive.store(false, Ordering::Relaxed);
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
