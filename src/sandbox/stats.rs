//! What a simulated vendor remembers of the calls it got.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::world::{Kind, Scope};

/// Times of requests are kept for the newest this many.
const TIMES_KEPT: usize = 65_536;

/// What happened at a simulated vendor since it began or since the last reset.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Connections that were accepted.
    pub connections: u64,
    /// Requests whose head was read, whatever came of them.
    pub requests: u64,
    /// Requests to lists of clusters, and to lists that lead to them.
    pub list_calls: u64,
    /// Requests for one cluster.
    pub detail_calls: u64,
    /// Requests that were refused for their credential, faults not counted.
    pub unauthorized: u64,
    /// Requests that were refused for the quota, faults not counted.
    pub throttled: u64,
    /// Requests that ran into the fault that was set.
    pub faulted: u64,
    /// Requests to endpoints that hand out credentials or change something; a reader of the inventory makes none.
    pub secret_calls: u64,
    /// Of these, requests that change something, whatever came of them.
    pub write_calls: u64,
    /// Requests whose decoded path holds `../`, CR, LF or `@`.
    pub injected: u64,
    /// Requests being answered at this moment, their bodies included.
    pub inflight: u64,
    /// The largest number of requests that were being answered at one moment.
    pub max_inflight: u64,
    /// Bytes written to clients, heads included.
    pub bytes_sent: u64,
    /// When requests came, measured from the beginning or the last reset; the newest 65,536 of them.
    pub times: Vec<Duration>,
    /// Requests by kind of endpoint.
    pub by_kind: BTreeMap<&'static str, u64>,
}

/// The counters behind [`Stats`].
#[derive(Debug)]
pub(super) struct Counters {
    inner: Mutex<Inner>,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    since: Instant,
    stats: Stats,
    times: VecDeque<Duration>,
}

/// Counts a request as being answered for as long as it lives.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Counters>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0
            .with(|stats| stats.inflight = stats.inflight.saturating_sub(1));
    }
}

impl Counters {
    pub(super) fn new() -> Self {
        let inner = Inner {
            since: Instant::now(),
            stats: Stats::default(),
            times: VecDeque::new(),
        };
        Self {
            inner: Mutex::new(inner),
            bytes: AtomicU64::new(0),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Stats) -> T) -> T {
        change(
            &mut self
                .inner
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .stats,
        )
    }

    pub(super) fn connected(&self) {
        self.with(|stats| stats.connections += 1);
    }

    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let at = inner.since.elapsed();
        if inner.times.len() == TIMES_KEPT {
            inner.times.pop_front();
        }
        inner.times.push_back(at);
        let stats = &mut inner.stats;
        stats.requests += 1;
        stats.inflight += 1;
        stats.max_inflight = stats.max_inflight.max(stats.inflight);
        InFlight(Arc::clone(self))
    }

    pub(super) fn called(&self, kind: Kind, injected: bool) {
        self.with(|stats| {
            *stats.by_kind.entry(kind.name).or_default() += 1;
            stats.injected += u64::from(injected);
            match kind.scope {
                Scope::List => stats.list_calls += 1,
                Scope::Detail => stats.detail_calls += 1,
                Scope::Secret => stats.secret_calls += 1,
                Scope::Write => {
                    stats.secret_calls += 1;
                    stats.write_calls += 1;
                }
                Scope::Other | Scope::Open => {}
            }
        });
    }

    pub(super) fn faulted(&self) {
        self.with(|stats| stats.faulted += 1);
    }

    pub(super) fn unauthorized(&self) {
        self.with(|stats| stats.unauthorized += 1);
    }

    pub(super) fn throttled(&self) {
        self.with(|stats| stats.throttled += 1);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stats = inner.stats.clone();
        stats.times = inner.times.iter().copied().collect();
        stats.bytes_sent = self.bytes.load(Ordering::Relaxed);
        stats
    }

    pub(super) fn reset(&self) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inflight = inner.stats.inflight;
        inner.stats = Stats {
            inflight,
            max_inflight: inflight,
            ..Stats::default()
        };
        inner.times.clear();
        inner.since = Instant::now();
        self.bytes.store(0, Ordering::Relaxed);
    }
}
