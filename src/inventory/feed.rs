//! What changed lately, kept for those who watch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::SourceReport;
use super::change::{Change, ChangeKind};
use super::passing::{Passing, passing};
use super::query::Filter;
use super::row::Entry;
use super::shelf::{Content, Shelf};
use super::view::of_projects;
use crate::domain::{Kind, Reach, SourceName};

/// Bytes of changes that are kept, and of those that are noise.
const MOST: usize = 64 << 20;
const MOST_NOISE: usize = 16 << 20;

/// The changes of one generation.
#[derive(Debug)]
pub struct Batch {
    /// The generation that first shows them.
    pub generation: u64,
    /// When it was published.
    pub at: Timestamp,
    sections: Vec<Section>,
    /// Each change as answers have it, in the order of the batch.
    told: Vec<Box<[u8]>>,
    weight: usize,
}

/// The changes of one source, one after the other.
#[derive(Debug)]
struct Section {
    source: SourceName,
    provider: Kind,
    changes: Vec<Change>,
    sides: OnceLock<[Side; 2]>,
}

/// The clusters of a section as they were, or as they are: a shelf that is asked like any other.
#[derive(Debug)]
struct Side {
    shelf: Shelf,
    /// The change that each entry belongs to.
    of: Vec<u32>,
}

impl Side {
    fn of<'a>(section: &Section, entries: impl Iterator<Item = (usize, &'a Entry)>) -> Self {
        let (mut of, mut kept) = (Vec::new(), Vec::new());
        for (at, entry) in entries {
            of.push(u32::try_from(at).unwrap_or(u32::MAX));
            kept.push(entry.clone());
        }
        let report = SourceReport::new(
            section.source.clone(),
            section.provider.clone(),
            std::time::Duration::ZERO,
        );
        let mut shelf = Shelf::new(report, std::time::Duration::MAX);
        shelf.content = Content::unsorted(kept);
        Self { shelf, of }
    }

    /// Adds the changes whose cluster passes.
    fn add(&self, filter: &Filter, reach: &Reach, found: &mut RoaringBitmap) {
        let narrowed = (reach.projects.as_ref()).map(|projects| of_projects(&self.shelf, projects));
        let shelf = narrowed.as_ref().unwrap_or(&self.shelf);
        match passing(shelf, filter) {
            None => {}
            Some(Passing::All) => found.extend(self.of.iter().copied()),
            Some(Passing::Some(numbers)) => {
                found.extend(
                    numbers
                        .iter()
                        .filter_map(|number| self.of.get(number as usize).copied()),
                );
            }
        }
    }
}

impl Section {
    fn sides(&self) -> &[Side; 2] {
        self.sides.get_or_init(|| {
            let side = |pick: fn(&Change) -> Option<&Entry>| {
                let entries = self.changes.iter().enumerate();
                Side::of(
                    self,
                    entries.filter_map(move |(at, change)| Some((at, pick(change)?))),
                )
            };
            [
                side(|change| change.before.as_ref()),
                side(|change| change.after.as_ref()),
            ]
        })
    }

    /// The changes of which somebody learns who asks so and sees so far: where the cluster passes now, and where it did before.
    fn passing(&self, filter: &Filter, reach: &Reach) -> RoaringBitmap {
        let mut found = RoaringBitmap::new();
        if !reach.sees(&self.source) || !filter.admits_source(&self.source, self.provider.as_str())
        {
            return found;
        }
        if filter.is_of_sources() && reach.projects.is_none() {
            found.insert_range(0..u32::try_from(self.changes.len()).unwrap_or(u32::MAX));
            return found;
        }
        // What happens to a source happens to whoever watches any of its clusters.
        let changes = self.changes.iter().enumerate();
        found.extend(
            changes
                .filter(|(_, change)| change.kind == ChangeKind::SourceState)
                .filter_map(|(at, _)| u32::try_from(at).ok()),
        );
        for side in self.sides() {
            side.add(filter, reach, &mut found);
        }
        found
    }
}

impl Batch {
    /// Puts the changes of one generation together; `None` where there are none.
    pub(super) fn new(generation: u64, at: Timestamp, changes: Vec<Change>) -> Option<Self> {
        if changes.is_empty() {
            return None;
        }
        let told: Vec<_> = changes
            .iter()
            .map(|change| change.told(generation, at))
            .collect();
        let weight = changes.iter().map(Change::weight).sum::<usize>()
            + told.iter().map(|told| told.len()).sum::<usize>();
        let mut sections: Vec<Section> = Vec::new();
        for change in changes {
            match sections.last_mut() {
                Some(section) if section.source == change.source => section.changes.push(change),
                _ => sections.push(Section {
                    source: change.source.clone(),
                    provider: change.provider.clone(),
                    changes: vec![change],
                    sides: OnceLock::new(),
                }),
            }
        }
        Some(Self {
            generation,
            at,
            sections,
            told,
            weight,
        })
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.told.len()
    }

    /// Never: a batch without changes is not made.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Every change, in order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.sections.iter().flat_map(|section| &section.changes)
    }

    /// The places of the changes that somebody learns of who asks so and sees so far.
    pub fn passing(&self, filter: &Filter, reach: &Reach) -> Vec<usize> {
        let mut found = Vec::new();
        let mut first = 0;
        for section in &self.sections {
            let numbers = section.passing(filter, reach);
            found.extend(numbers.iter().map(|number| first + number as usize));
            first += section.changes.len();
        }
        found
    }

    /// The change at a place, as answers have it: JSON.
    pub fn told(&self, place: usize) -> &[u8] {
        self.told.get(place).map_or(&[], |told| told)
    }
}

/// The changes of the last generations, bounded in bytes.
#[derive(Debug)]
pub struct Feed {
    told: Mutex<Ring>,
    noise: Mutex<Ring>,
}

#[derive(Debug)]
struct Ring {
    batches: VecDeque<Arc<Batch>>,
    weight: usize,
    most: usize,
    /// All that changed after this generation is here.
    floor: u64,
}

impl Ring {
    fn new(floor: u64, most: usize) -> Self {
        Self {
            batches: VecDeque::new(),
            weight: 0,
            most,
            floor,
        }
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
        }
    }

    fn since(&self, generation: u64, most: usize) -> Option<Vec<Arc<Batch>>> {
        if generation < self.floor {
            return None;
        }
        let first = self
            .batches
            .partition_point(|batch| batch.generation <= generation);
        Some(self.batches.range(first..).take(most).cloned().collect())
    }
}

impl Feed {
    pub(super) fn new(floor: u64) -> Self {
        Self {
            told: Mutex::new(Ring::new(floor, MOST)),
            noise: Mutex::new(Ring::new(floor, MOST_NOISE)),
        }
    }

    pub(super) fn push(&self, told: Option<Arc<Batch>>, noise: Option<Arc<Batch>>) {
        if let Some(batch) = told {
            lock(&self.told).push(batch);
        }
        if let Some(batch) = noise {
            lock(&self.noise).push(batch);
        }
    }

    /// All that changed after this generation is here.
    pub fn floor(&self) -> u64 {
        lock(&self.told).floor
    }

    /// What changed after a generation, the oldest first, at most so many batches; `None` where not all of it is here any more.
    pub fn since(&self, generation: u64, most: usize) -> Option<Vec<Arc<Batch>>> {
        lock(&self.told).since(generation, most)
    }

    /// The same of what changes all the time.
    pub fn noise_since(&self, generation: u64, most: usize) -> Option<Vec<Arc<Batch>>> {
        lock(&self.noise).since(generation, most)
    }
}

fn lock(ring: &Mutex<Ring>) -> MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}
