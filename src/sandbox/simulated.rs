//! The handle of one simulated vendor.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::fault::Fault;
use super::fleet::{Dice, Members};
use super::stats::{Counters, Stats};
use super::world::{Allowance, Api, Call, Fleet, Kind};
use super::{Example, Truth, Vendor};

/// So many calls are allowed when no quota is set; vendors that tell of an allowance tell of this one.
const AMPLE: u64 = 1_000_000;

/// How long work goes on that a write begins, unless it is told otherwise: long enough to be watched.
const PACE: Duration = Duration::from_secs(20);

/// How many calls a vendor takes in a span of time; the span begins with the first call after the last has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Calls that are answered in one span.
    pub calls: u64,
    /// Length of the span.
    pub per: Duration,
}

/// Which requests run into a fault; by default all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aim {
    /// Kinds of endpoints by the names [`Stats::by_kind`] has for them; none for all.
    pub kinds: Vec<String>,
    /// So many requests of these kinds are answered well before the fault begins.
    pub skip: u64,
    /// So many requests are struck before the fault is over; none for no end.
    pub count: Option<u64>,
    /// Whether what is asked for is done before the fault strikes: of a write, only the answer is lost.
    pub late: bool,
}

/// A handle to one simulated vendor; clones lead to the same vendor.
#[derive(Clone)]
pub struct Simulated {
    inner: Arc<Inner>,
}

impl fmt::Debug for Simulated {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Simulated")
            .field("vendor", &self.inner.vendor)
            .field("base_url", &self.inner.base_url)
            .finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    vendor: Vendor,
    seed: u64,
    pub(super) api: Box<dyn Api>,
    pub(super) base_url: String,
    canary: Arc<str>,
    pub(super) counters: Arc<Counters>,
    settings: Mutex<Settings>,
    members: RwLock<Arc<Members>>,
    /// Held while the fleet changes, so that no change is lost.
    changing: Mutex<u64>,
    calls: AtomicU64,
    flips: AtomicU64,
}

struct Settings {
    fault: Option<Fault>,
    probability: f64,
    aim: Aim,
    /// Requests the aim has looked at since the fault was set.
    seen: u64,
    latency: Duration,
    pace: Option<Duration>,
    quota: Option<Quota>,
    window: Option<(Instant, u64)>,
    features: Arc<BTreeMap<&'static str, bool>>,
}

impl Inner {
    pub(super) fn new(
        vendor: Vendor,
        seed: u64,
        clusters: u64,
        api: Box<dyn Api>,
        base_url: String,
        canary: Arc<str>,
    ) -> Self {
        let features = Arc::new(api.features().iter().copied().collect());
        let ids = (0..clusters)
            .flat_map(|serial| api.ids(serial).into_iter().map(move |id| (id, serial)))
            .collect();
        let members = Members::assemble(api.as_ref(), (0..clusters).collect(), Arc::new(ids), 0);
        let settings = Settings {
            fault: None,
            probability: 1.0,
            aim: Aim::default(),
            seen: 0,
            latency: Duration::ZERO,
            pace: Some(PACE),
            quota: None,
            window: None,
            features,
        };
        Self {
            vendor,
            seed,
            api,
            base_url,
            canary,
            counters: Arc::new(Counters::new()),
            settings: Mutex::new(settings),
            members: RwLock::new(Arc::new(members)),
            changing: Mutex::new(clusters),
            calls: AtomicU64::new(0),
            flips: AtomicU64::new(0),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Settings) -> T) -> T {
        change(&mut self.settings.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, members: Members) {
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(members);
    }

    /// Gives a call what it needs to know of this moment.
    pub(super) fn prepare(&self, call: &mut Call) {
        self.sweep();
        call.number = self.calls.fetch_add(1, Ordering::Relaxed);
        call.canary = Arc::clone(&self.canary);
        call.members = self.members();
        (call.features, call.pace) =
            self.with(|settings| (Arc::clone(&settings.features), settings.pace));
    }

    /// Whether the fault strikes only after what was asked for is done.
    pub(super) fn is_late(&self) -> bool {
        self.with(|settings| settings.aim.late)
    }

    /// Takes away the clusters of which work has left nothing.
    fn sweep(&self) {
        for serial in self.api.gone() {
            self.remove(serial);
        }
    }

    /// Changes which clusters there are; `change` gets their numbers and the next free one.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<u64>, &mut HashMap<String, u64>, &mut u64) -> T,
    ) -> T {
        let mut next = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let members = self.members();
        let mut alive = members.alive.clone();
        let mut ids = HashMap::clone(&members.ids);
        let result = change(&mut alive, &mut ids, &mut next);
        let (api, ids) = (self.api.as_ref(), Arc::new(ids));
        self.put(Members::assemble(api, alive, ids, members.revision));
        result
    }

    /// The fault a call runs into, if it is one of those that are aimed at.
    pub(super) fn strike(&self, call: &Call, kind: Kind) -> Option<Fault> {
        // 53 bits, as many as a fraction has.
        let draw =
            (Dice::new(&[self.seed, call.number, 77]).next() >> 11) as f64 / (1_u64 << 53) as f64;
        self.with(|settings| {
            let fault = settings.fault?;
            let aim = &settings.aim;
            if !aim.kinds.is_empty() && !aim.kinds.iter().any(|name| name == kind.name) {
                return None;
            }
            let seen = settings.seen;
            settings.seen += 1;
            let in_time = seen >= aim.skip && aim.count.is_none_or(|count| seen - aim.skip < count);
            (in_time && draw < settings.probability).then_some(fault)
        })
    }

    pub(super) fn latency(&self) -> Duration {
        self.with(|settings| settings.latency)
    }

    /// True on every other call, beginning with the first.
    pub(super) fn flips(&self) -> bool {
        self.flips.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
    }

    /// Counts a call against the quota and tells whether it still fits.
    pub(super) fn spend(&self) -> (Allowance, bool) {
        let now = Instant::now();
        self.with(|settings| {
            let Quota { calls, per } = settings.quota.unwrap_or(Quota {
                calls: AMPLE,
                per: Duration::from_mins(1),
            });
            let (since, used) = match settings.window {
                Some((since, used)) if now.duration_since(since) < per => (since, used),
                _ => (now, 0),
            };
            let fits = used < calls;
            let used = used + u64::from(fits);
            settings.window = Some((since, used));
            let resets_in = per.saturating_sub(now.duration_since(since));
            (
                Allowance {
                    limit: calls,
                    remaining: calls - used.min(calls),
                    resets_in,
                },
                fits,
            )
        })
    }
}

impl Fleet for Inner {
    fn add(&self, born: &dyn Fn(u64)) -> u64 {
        self.change(|alive, ids, next| {
            let serial = *next;
            *next += 1;
            born(serial);
            alive.push(serial);
            let added = self.api.ids(serial).into_iter();
            ids.extend(added.map(|id| (id, serial)));
            serial
        })
    }

    fn remove(&self, serial: u64) {
        self.change(|alive, ids, _| {
            alive.retain(|other| *other != serial);
            ids.retain(|_, other| *other != serial);
        });
    }

    fn rearrange(&self) {
        self.change(|_, _, _| ());
    }
}

impl Members {
    fn assemble(
        api: &dyn Api,
        alive: Vec<u64>,
        ids: Arc<HashMap<String, u64>>,
        revision: u64,
    ) -> Self {
        let arrangement = api.arrange(&alive, revision);
        Self {
            revision,
            alive,
            ids,
            arrangement,
        }
    }
}

impl Simulated {
    pub(super) const fn of(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// Which vendor this is.
    pub fn vendor(&self) -> Vendor {
        self.inner.vendor
    }

    /// Where it listens: `http://127.0.0.1:PORT`, without any path.
    pub fn base_url(&self) -> String {
        self.inner.base_url.clone()
    }

    /// The base address in the form the vendor's pages give it, with the path that belongs to it.
    pub fn api_url(&self) -> String {
        format!("{}{}", self.inner.base_url, self.inner.api.base_path())
    }

    /// The one credential it accepts.
    pub fn token(&self) -> String {
        self.inner.api.token().to_owned()
    }

    /// The organization that LakeSail's optional header has to name.
    pub fn organization(&self) -> Option<String> {
        self.inner.api.organization().map(str::to_owned)
    }

    /// Makes it misbehave from the next request on, or behave again.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.inner.flips.store(0, Ordering::Relaxed);
        self.inner.with(|settings| {
            settings.fault = fault;
            settings.seen = 0;
        });
    }

    /// Narrows the fault to some requests, counted from now on.
    pub fn set_fault_aim(&self, aim: Aim) {
        self.inner.with(|settings| {
            settings.aim = aim;
            settings.seen = 0;
        });
    }

    /// Which requests run into the fault.
    pub fn fault_aim(&self) -> Aim {
        self.inner.with(|settings| settings.aim.clone())
    }

    /// The fault that is set.
    pub fn fault(&self) -> Option<Fault> {
        self.inner.with(|settings| settings.fault)
    }

    /// The share of requests, 0 to 1, that run into the fault; which ones follows from the seed and their number.
    pub fn set_fault_probability(&self, probability: f64) {
        let probability = if probability.is_finite() {
            probability.clamp(0.0, 1.0)
        } else {
            1.0
        };
        self.inner
            .with(|settings| settings.probability = probability);
    }

    /// The share of requests that run into the fault.
    pub fn fault_probability(&self) -> f64 {
        self.inner.with(|settings| settings.probability)
    }

    /// How long each answer is held back.
    pub fn set_latency(&self, latency: Duration) {
        self.inner.with(|settings| settings.latency = latency);
    }

    /// How long each answer is held back.
    pub fn latency(&self) -> Duration {
        self.inner.latency()
    }

    /// How long work goes on that a write begins; none for work that only moves by [`advance`](Self::advance). Work that
    /// goes on already keeps its time.
    pub fn set_pace(&self, pace: Option<Duration>) {
        self.inner.with(|settings| settings.pace = pace);
    }

    /// How long work goes on that a write begins.
    pub fn pace(&self) -> Option<Duration> {
        self.inner.with(|settings| settings.pace)
    }

    /// Moves all work that goes on by one step, and tells how much of it has not ended.
    pub fn advance(&self) -> usize {
        let rest = self.inner.api.advance();
        self.inner.sweep();
        rest
    }

    /// Moves all work to its end.
    pub fn finish(&self) {
        while self.advance() > 0 {}
    }

    /// What a caller of the gateway says to make a cluster of this name here, and to change it; none where the vendor's
    /// writes are not simulated.
    pub fn example(&self, name: &str) -> Option<Example> {
        self.inner.api.example(name)
    }

    /// Limits the calls it takes; over the limit it answers 429 as the vendor does.
    pub fn set_quota(&self, quota: Option<Quota>) {
        self.inner.with(|settings| {
            settings.quota = quota;
            settings.window = None;
        });
    }

    /// The limit that is set.
    pub fn quota(&self) -> Option<Quota> {
        self.inner.with(|settings| settings.quota)
    }

    /// Turns one of the vendor's switches; false when it has no such switch.
    pub fn set_feature(&self, name: &str, on: bool) -> bool {
        self.inner.with(
            |settings| match Arc::make_mut(&mut settings.features).get_mut(name) {
                Some(feature) => {
                    *feature = on;
                    true
                }
                None => false,
            },
        )
    }

    /// The vendor's switches and how they stand.
    pub fn features(&self) -> BTreeMap<&'static str, bool> {
        self.inner
            .with(|settings| BTreeMap::clone(&settings.features))
    }

    /// What happened so far.
    pub fn stats(&self) -> Stats {
        self.inner.counters.stats()
    }

    /// Begins counting anew.
    pub fn reset_stats(&self) {
        self.inner.counters.reset();
    }

    /// How many clusters there are.
    pub fn len(&self) -> usize {
        self.inner.sweep();
        self.inner.members().alive.len()
    }

    /// Whether there are no clusters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a cluster away, by any id it is known by; false when there is none.
    pub fn remove(&self, id: &str) -> bool {
        let serial = self.inner.members().ids.get(id).copied();
        if let Some(serial) = serial {
            self.inner.remove(serial);
        }
        serial.is_some()
    }

    /// Adds a cluster and returns its native id.
    pub fn add(&self) -> String {
        let serial = self.inner.add(&|_| ());
        let ids = self.inner.api.ids(serial).into_iter();
        ids.take(1).collect()
    }

    /// Moves every cluster on: costs, utilization, freshness or messages change.
    pub fn touch(&self) {
        let inner = &self.inner;
        let _changing = inner
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let members = inner.members();
        let (alive, ids) = (members.alive.clone(), Arc::clone(&members.ids));
        inner.put(Members::assemble(
            inner.api.as_ref(),
            alive,
            ids,
            members.revision + 1,
        ));
    }

    /// What a client that misses nothing ends up with, each real cluster once, by age.
    pub fn truth(&self) -> Vec<Truth> {
        self.inner.sweep();
        let members = self.inner.members();
        members
            .alive
            .iter()
            .map(|serial| self.inner.api.truth(*serial, members.revision))
            .collect()
    }
}
