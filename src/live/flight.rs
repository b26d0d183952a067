//! One call for all who ask at the same time, and a short memory of its answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use super::weigh::Weigh;
use super::{Bounds, Failure};

/// What a vendor said, and when.
#[derive(Debug)]
pub struct Answer<V> {
    /// What it said.
    pub value: Arc<V>,
    /// When it was read, by our clock.
    pub at: Timestamp,
    /// Why nothing newer could be read; then this is the last that is known.
    pub failed: Option<Failure>,
}

impl<V> Clone for Answer<V> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            at: self.at,
            failed: self.failed.clone(),
        }
    }
}

type Ended<V> = Option<Result<Answer<V>, Failure>>;

struct Flying<V> {
    /// Its place in the order of requests and calls.
    began: u64,
    ended: watch::Receiver<Ended<V>>,
}

struct Last<T> {
    began: u64,
    since: Instant,
    what: T,
}

/// What is known of one key.
struct Slot<V> {
    flying: Option<Flying<V>>,
    last: Option<Last<Answer<V>>>,
    failed: Option<Last<Failure>>,
    forced: Option<Instant>,
    weight: usize,
    touched: u64,
}

impl<V> Slot<V> {
    fn new() -> Self {
        Self {
            flying: None,
            last: None,
            failed: None,
            forced: None,
            weight: 0,
            touched: 0,
        }
    }

    /// What is answered when the vendor failed: the last that is known, where the failure leaves it standing.
    fn standing(&self, failure: &Failure) -> Result<Answer<V>, Failure> {
        match &self.last {
            Some(last) if failure.leaves_standing() => Ok(Answer {
                failed: Some(failure.clone()),
                ..last.what.clone()
            }),
            _ => Err(failure.clone()),
        }
    }
}

struct Slots<K, V> {
    clock: u64,
    weight: usize,
    by_key: HashMap<K, Slot<V>>,
}

/// Calls under way and answers remembered, by what they are about.
pub(super) struct Flights<K, V> {
    slots: Mutex<Slots<K, V>>,
    bounds: Bounds,
}

/// What a request finds.
enum Step<V> {
    Answered(Result<Answer<V>, Failure>),
    /// A call that answers this request as well.
    Join(watch::Receiver<Ended<V>>),
    /// A call that began before the request, which wants a newer one.
    Await(watch::Receiver<Ended<V>>),
    Begin(u64, watch::Sender<Ended<V>>, watch::Receiver<Ended<V>>),
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Weigh + Send + Sync + 'static,
{
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            slots: Mutex::new(Slots {
                clock: 0,
                weight: 0,
                by_key: HashMap::new(),
            }),
            bounds,
        })
    }

    fn slots(&self) -> MutexGuard<'_, Slots<K, V>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers from memory, joins the call under way, or begins one if it is admitted, in a task that `spawn` starts.
    ///
    /// `fresh` wants an answer of a call that begins now or later.
    pub(super) async fn ask<P: Send + 'static>(
        self: &Arc<Self>,
        key: K,
        fresh: bool,
        call: BoxFuture<'static, Result<V, Failure>>,
        admit: impl Fn() -> Result<P, Failure>,
        spawn: impl Fn(BoxFuture<'static, ()>),
    ) -> Result<Answer<V>, Failure> {
        let asked = self.tick();
        let (began, told, ended) = loop {
            match self.step(&key, fresh, asked) {
                Step::Answered(answer) => return answer,
                Step::Await(mut ended) => {
                    // A call that broke has ended as well.
                    let _ = ended.wait_for(Option::is_some).await;
                }
                Step::Join(ended) => return outcome(ended).await,
                Step::Begin(began, told, ended) => break (began, told, ended),
            }
        };
        let landing = Landing {
            flights: Arc::clone(self),
            key,
            began,
        };
        match admit() {
            Ok(place) => spawn(Box::pin(async move {
                let ended = call.await;
                let _ = told.send(Some(landing.land(ended)));
                drop(place);
            })),
            Err(failure) => {
                let _ = told.send(Some(landing.land(Err(failure))));
            }
        }
        outcome(ended).await
    }

    /// Drops what is remembered; a call under way still answers those who wait for it, and nobody else.
    pub(super) fn forget(&self, key: &K) {
        let mut slots = self.slots();
        if let Some(slot) = slots.by_key.remove(key) {
            slots.weight -= slot.weight;
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots().by_key.len()
    }

    fn tick(&self) -> u64 {
        let mut slots = self.slots();
        slots.clock += 1;
        slots.clock
    }

    fn step(&self, key: &K, fresh: bool, asked: u64) -> Step<V> {
        let bounds = self.bounds;
        let mut slots = self.slots();
        slots.clock += 1;
        let clock = slots.clock;
        let slot = slots.by_key.entry(key.clone()).or_insert_with(Slot::new);
        slot.touched = clock;
        if let Some(flying) = &slot.flying {
            // A call that was dropped tells nobody any more.
            if flying.ended.has_changed().is_ok() || flying.ended.borrow().is_some() {
                let ended = flying.ended.clone();
                if !fresh && let Some(answer) = remembered(slot, bounds) {
                    return Step::Answered(Ok(answer));
                }
                return if !fresh || flying.began > asked {
                    Step::Join(ended)
                } else {
                    Step::Await(ended)
                };
            }
            slot.flying = None;
        }
        if fresh {
            let newest = slot.last.as_ref().filter(|last| last.began > asked);
            if let Some(last) = newest {
                return Step::Answered(Ok(last.what.clone()));
            }
            let failed = slot.failed.as_ref().filter(|failed| failed.began > asked);
            if let Some(failed) = failed {
                return Step::Answered(slot.standing(&failed.what));
            }
            if slot.forced.is_some_and(|at| at.elapsed() < bounds.forced) {
                let failed = (slot.failed.as_ref()).filter(|failed| {
                    slot.last
                        .as_ref()
                        .is_none_or(|last| last.began < failed.began)
                });
                if let Some(failed) = failed {
                    return Step::Answered(slot.standing(&failed.what));
                }
                if let Some(last) = &slot.last {
                    return Step::Answered(Ok(last.what.clone()));
                }
            }
            slot.forced = Some(Instant::now());
        } else {
            if let Some(answer) = remembered(slot, bounds) {
                return Step::Answered(Ok(answer));
            }
            let failed =
                (slot.failed.as_ref()).filter(|failed| failed.since.elapsed() < bounds.failure);
            if let Some(failed) = failed {
                return Step::Answered(slot.standing(&failed.what));
            }
        }
        let (told, ended) = watch::channel(None);
        slot.flying = Some(Flying {
            began: clock,
            ended: ended.clone(),
        });
        Step::Begin(clock, told, ended)
    }
}

/// How a call ended, for one who waits for it.
async fn outcome<V>(mut ended: watch::Receiver<Ended<V>>) -> Result<Answer<V>, Failure> {
    match ended.wait_for(Option::is_some).await {
        Ok(outcome) => outcome.clone().unwrap_or(Err(Failure::Broken)),
        Err(_) => Err(Failure::Broken),
    }
}

fn remembered<V>(slot: &Slot<V>, bounds: Bounds) -> Option<Answer<V>> {
    let last = slot.last.as_ref()?;
    (last.since.elapsed() < bounds.memory).then(|| last.what.clone())
}

/// The end of a call, also of one that panics or is dropped.
struct Landing<K, V>
where
    K: Hash + Eq,
{
    flights: Arc<Flights<K, V>>,
    key: K,
    began: u64,
}

impl<K, V> Landing<K, V>
where
    K: Hash + Eq,
    V: Weigh,
{
    /// Remembers how the call ended and gives what those who wait are told.
    fn land(&self, outcome: Result<V, Failure>) -> Result<Answer<V>, Failure> {
        let mut slots = (self.flights.slots)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let slots = &mut *slots;
        let is_own = |slot: &&mut Slot<V>| {
            let flying = slot.flying.as_ref();
            flying.is_some_and(|flying| flying.began == self.began)
        };
        let slot = slots.by_key.get_mut(&self.key).filter(is_own);
        let told = match outcome {
            Ok(value) => {
                let weight = value.weight();
                let answer = Answer {
                    value: Arc::new(value),
                    at: super::now(),
                    failed: None,
                };
                if let Some(slot) = slot {
                    slots.weight = slots.weight - slot.weight + weight;
                    slot.weight = weight;
                    slot.last = Some(Last {
                        began: self.began,
                        since: Instant::now(),
                        what: answer.clone(),
                    });
                    slot.failed = None;
                    slot.flying = None;
                }
                Ok(answer)
            }
            Err(failure) => match slot {
                Some(slot) => {
                    slot.failed = Some(Last {
                        began: self.began,
                        since: Instant::now(),
                        what: failure.clone(),
                    });
                    slot.flying = None;
                    slot.standing(&failure)
                }
                None => Err(failure),
            },
        };
        make_room(slots, self.flights.bounds);
        told
    }
}

impl<K, V> Drop for Landing<K, V>
where
    K: Hash + Eq,
{
    fn drop(&mut self) {
        let mut slots = (self.flights.slots)
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_key.get_mut(&self.key)
            && let Some(flying) = &slot.flying
            && flying.began == self.began
        {
            slot.flying = None;
        }
    }
}

/// Drops what is too old to be the last that is known, then what was asked for longest ago, until the rest fits.
fn make_room<K: Hash + Eq, V>(slots: &mut Slots<K, V>, bounds: Bounds) {
    let mut freed = 0;
    slots.by_key.retain(|_, slot| {
        let is_old = slot
            .last
            .as_ref()
            .is_none_or(|last| last.since.elapsed() > bounds.last_known);
        let is_quiet = slot
            .failed
            .as_ref()
            .is_none_or(|failed| failed.since.elapsed() > bounds.failure);
        let stays = slot.flying.is_some() || !is_old || !is_quiet;
        if !stays {
            freed += slot.weight;
        }
        stays
    });
    slots.weight -= freed;
    while slots.by_key.len() > bounds.entries || slots.weight > bounds.bytes {
        let mut oldest: Option<u64> = None;
        for slot in slots.by_key.values().filter(|slot| slot.flying.is_none()) {
            oldest = Some(oldest.map_or(slot.touched, |touched| touched.min(slot.touched)));
        }
        let Some(oldest) = oldest else { return };
        let mut freed = 0;
        slots.by_key.retain(|_, slot| {
            let goes = slot.flying.is_none() && slot.touched <= oldest;
            if goes {
                freed += slot.weight;
            }
            !goes
        });
        slots.weight -= freed;
    }
}
