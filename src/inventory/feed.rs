//! What changed lately, kept for those who watch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::batch::{Batch, Moment};
use super::mark::Mark;
use crate::domain::ClusterId;

/// Bytes of changes that are kept, and of those that are noise.
const MOST: usize = 64 << 20;
const MOST_NOISE: usize = 16 << 20;

/// The changes of the last generations, bounded in bytes.
#[derive(Debug)]
pub struct Feed(Mutex<Rings>);

/// What is worth telling, and what changes by itself all the time. A generation is in both or in none of them.
#[derive(Debug)]
struct Rings {
    told: Ring,
    noise: Ring,
}

#[derive(Debug)]
struct Ring {
    batches: VecDeque<Arc<Batch>>,
    weight: usize,
    most: usize,
    /// All that changed after this generation is here.
    floor: u64,
    /// When that generation was published.
    floor_at: Timestamp,
}

impl Ring {
    fn new(floor: u64, floor_at: Timestamp, most: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            weight: 0,
            most,
            floor,
            floor_at,
        }
    }

    fn begin(&mut self, floor: u64, floor_at: Timestamp) {
        *self = Self::new(floor, floor_at, self.most);
    }

    fn push(&mut self, batch: Arc<Batch>) {
        self.weight += batch.weight;
        self.batches.push_back(batch);
        while self.weight > self.most {
            let Some(oldest) = self.batches.pop_front() else {
                return;
            };
            self.weight -= oldest.weight;
            self.floor = oldest.generation;
            self.floor_at = oldest.at;
        }
    }

    /// The batches from one generation to another, both of them included.
    fn between(&self, from: u64, until: u64) -> impl DoubleEndedIterator<Item = &Arc<Batch>> {
        let first = (self.batches).partition_point(|batch| batch.generation < from);
        let end = (self.batches).partition_point(|batch| batch.generation <= until);
        self.batches.range(first..end.max(first))
    }
}

impl Rings {
    fn floor(&self, noise: bool) -> u64 {
        if noise {
            self.told.floor.max(self.noise.floor)
        } else {
            self.told.floor
        }
    }

    fn floor_at(&self, noise: bool) -> Timestamp {
        if noise && self.noise.floor > self.told.floor {
            self.noise.floor_at
        } else {
            self.told.floor_at
        }
    }
}

/// Joins batches of two rings by generation: what is worth telling comes first.
fn joined<'a>(
    told: impl Iterator<Item = &'a Arc<Batch>>,
    noise: Option<impl Iterator<Item = &'a Arc<Batch>>>,
    is_next: fn(u64, u64) -> bool,
    most: usize,
) -> Vec<Moment> {
    let (mut told, mut noise) = (told.peekable(), noise.into_iter().flatten().peekable());
    let mut moments = Vec::new();
    while moments.len() < most {
        let next = match (told.peek(), noise.peek()) {
            (None, None) => break,
            (Some(one), None) | (None, Some(one)) => one.generation,
            (Some(one), Some(other)) if is_next(one.generation, other.generation) => one.generation,
            (Some(_), Some(other)) => other.generation,
        };
        let is_of = |batch: &&Arc<Batch>| batch.generation == next;
        let parts = [told.next_if(is_of), noise.next_if(is_of)];
        moments.extend(Moment::new(parts.into_iter().flatten().cloned().collect()));
    }
    moments
}

impl Feed {
    pub(super) fn new(floor: u64, at: Timestamp) -> Self {
        Self::of_size(floor, at, MOST, MOST_NOISE)
    }

    pub(super) fn of_size(floor: u64, at: Timestamp, most: usize, most_noise: usize) -> Self {
        Self(Mutex::new(Rings {
            told: Ring::new(floor, at, most),
            noise: Ring::new(floor, at, most_noise),
        }))
    }

    pub(super) fn push(&self, told: Option<Arc<Batch>>, noise: Option<Arc<Batch>>) {
        let mut rings = self.lock();
        if let Some(batch) = told {
            rings.told.push(batch);
        }
        if let Some(batch) = noise {
            rings.noise.push(batch);
        }
    }

    /// Forgets everything: what follows begins after this generation.
    pub(super) fn begin(&self, floor: u64, at: Timestamp) {
        let mut rings = self.lock();
        rings.told.begin(floor, at);
        rings.noise.begin(floor, at);
    }

    /// Forgets what changes by itself all the time: of this generation it is not known.
    pub(super) fn skip_noise(&self, until: u64, at: Timestamp) {
        self.lock().noise.begin(until, at);
    }

    /// All that changed after this generation is here, with what changes all the time or without.
    pub fn floor(&self, noise: bool) -> u64 {
        self.lock().floor(noise)
    }

    /// The last generation that was published at a time or before it, as far as that makes a difference here; `None` where not all
    /// that changed since is here any more.
    ///
    /// Where the clock was set back, generations are counted as later that were published in between: nothing is missed.
    pub fn generation_at(&self, at: Timestamp, until: u64, noise: bool) -> Option<u64> {
        let rings = self.lock();
        if at < rings.floor_at(noise) {
            return None;
        }
        let floor = rings.floor(noise);
        let later = |ring: &Ring| {
            let mut batches = ring.between(floor.saturating_add(1), until);
            batches
                .find(|batch| batch.at > at)
                .map(|batch| batch.generation)
        };
        let told = later(&rings.told);
        let noise = if noise { later(&rings.noise) } else { None };
        let first = told.into_iter().chain(noise).min();
        Some(first.map_or(until, |first| first - 1))
    }

    /// The last generation up to one in which anything worth telling changed, and when that was; `None` where that is not here.
    pub fn last_change(&self, generation: u64) -> Option<(u64, Timestamp)> {
        let rings = self.lock();
        let last = rings.told.between(0, generation).next_back();
        last.map(|batch| (batch.generation, batch.at))
    }

    /// What changed from a place on, up to a generation, the oldest first and at most so many generations; `None` where not all
    /// of it is here any more.
    pub fn since(&self, from: Mark, until: u64, most: usize, noise: bool) -> Option<Vec<Moment>> {
        let rings = self.lock();
        if from < Mark::after(rings.floor(noise)) {
            return None;
        }
        let noises = noise.then(|| rings.noise.between(from.generation, until));
        let told = rings.told.between(from.generation, until);
        Some(joined(told, noises, |one, other| one <= other, most))
    }

    /// What changed in generations up to one, the newest first and at most so many of them, as far as it is here.
    pub fn back(&self, until: u64, most: usize, noise: bool) -> Vec<Moment> {
        let rings = self.lock();
        let floor = rings.floor(noise).saturating_add(1);
        let noises = noise.then(|| rings.noise.between(floor, until).rev());
        let told = rings.told.between(floor, until).rev();
        joined(told, noises, |one, other| one >= other, most)
    }

    /// The generations up to one in which a cluster changed, the newest first and at most so many of them, as far as they are here;
    /// and the generation after which they are.
    pub fn of_cluster(&self, id: &ClusterId, until: u64, most: usize) -> (Vec<Moment>, u64) {
        let (batches, floor): (Vec<Arc<Batch>>, u64) = {
            let rings = self.lock();
            let batches = rings.told.between(0, until).rev();
            (batches.cloned().collect(), rings.told.floor)
        };
        let moments = batches
            .into_iter()
            .filter_map(|batch| Moment::new(vec![batch]));
        let of_cluster = moments.filter(|moment| moment.is_of(id)).take(most);
        (of_cluster.collect(), floor)
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
