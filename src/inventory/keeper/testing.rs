//! A fleet that changes when a test says so: the writer without its tasks, and without a clock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize};

use futures_util::future::BoxFuture;

use super::*;
use crate::domain::{Cluster, ClusterId, Kind, Vantage};
use crate::inventory::Mark;
use crate::inventory::journal::{Delta, RestoredSource};
use crate::inventory::past::{Kept, Past, PastError};
use crate::inventory::prepare::Preparing;
use crate::provider::{ErrorKind, Gather as _, Listed, Listing, Locator, Rejected, Warnings};

/// The generation that a stage begins with.
pub(crate) const FIRST: u64 = 1_000;

/// Sources that are read when a test says so.
pub(crate) struct Stage {
    pub(crate) inventory: Arc<Inventory>,
    /// Everything that was ever told.
    pub(crate) archive: Arc<Archive>,
    writer: Writer,
    names: Vec<SourceName>,
    /// Publications that are shown and not kept yet, while the store is behind.
    waiting: Option<Vec<Publication>>,
    kept: HashMap<SourceName, Delta>,
    /// Sources that the last process showed.
    shown: HashSet<SourceName>,
}

/// A cluster in a state, in a project where one is named.
pub(crate) fn cluster(source: &str, id: &str, state: &str, project: Option<&str>) -> Cluster {
    let source = SourceName::new(source).unwrap();
    let mut cluster = Cluster::new(&source, Kind::new("latitude"), id, id, Vantage::Hosts);
    cluster.status.state = serde_json::from_value(state.into()).unwrap();
    if let Some(project) = project {
        cluster.owner.project = Some(crate::domain::Project {
            id: Some(project.to_owned()),
            name: None,
        });
    }
    cluster
}

fn listed(cluster: Cluster) -> Listed {
    Listed {
        locator: Locator::new(&cluster.native_id),
        cluster,
        raw: None,
        nodes: None,
    }
}

impl Stage {
    pub(crate) fn new(names: &[&str]) -> Self {
        let names: Vec<SourceName> = (names.iter())
            .map(|name| SourceName::new(*name).unwrap())
            .collect();
        let shelf = |name: &SourceName| {
            let minute = Duration::from_mins(1);
            let report = SourceReport::new(name.clone(), Kind::new("latitude"), minute);
            Arc::new(Shelf::new(report, Duration::from_hours(1)))
        };
        let shelves: Vec<Arc<Shelf>> = names.iter().map(shelf).collect();
        let delta = |shelf: &Arc<Shelf>| Delta {
            report: Arc::clone(&shelf.report),
            attempt: None,
            cause: Cause::Vendor,
            shelf: Arc::clone(shelf),
            upserts: Vec::new(),
            removed: Vec::new(),
        };
        let kept = shelves.iter().map(delta);
        let kept = kept.map(|delta| (delta.source().clone(), delta)).collect();
        let shown = names.iter().cloned().collect();
        let first = Snapshot::new(FIRST, at(FIRST), shelves.clone());
        let inventory = Arc::new(Inventory::new(first));
        let writer = Writer {
            has_details: vec![false; names.len()],
            texts: names.iter().map(|_| Arc::default()).collect(),
            shelves,
            generation: FIRST,
            as_of: at(FIRST),
            journal: Arc::new(Forgetful),
            inventory: Arc::clone(&inventory),
        };
        let archive = Arc::new(Archive::default());
        archive.durable.store(FIRST, Ordering::Relaxed);
        Self {
            inventory,
            archive,
            writer,
            names,
            waiting: None,
            kept,
            shown,
        }
    }

    /// Keeps nothing of what is shown from now on, until it is kept all at once or lost.
    pub(crate) fn fall_behind(&mut self) {
        self.waiting.get_or_insert_default();
    }

    /// Keeps what was shown and not kept.
    pub(crate) fn catch_up(&mut self) {
        for publication in self.waiting.take().unwrap_or_default() {
            self.keep(publication);
        }
    }

    fn keep(&mut self, publication: Publication) {
        if let Some(waiting) = &mut self.waiting {
            waiting.push(publication);
            return;
        }
        self.archive
            .durable
            .store(publication.generation, Ordering::Relaxed);
        if let Some(batch) = &publication.batch {
            self.archive.keep(batch);
        }
        for delta in publication.deltas {
            self.shown.insert(delta.source().clone());
            self.kept.insert(delta.source().clone(), delta);
        }
    }

    /// Ends the process, with all that was shown and not kept, and begins another one with these sources.
    pub(crate) fn restart(&mut self, names: &[&str]) {
        self.waiting = None;
        let durable = self.archive.durable.load(Ordering::Relaxed);
        self.names = names
            .iter()
            .map(|name| SourceName::new(*name).unwrap())
            .collect();
        let mut restored = Restored::new(durable);
        restored.is_whole = true;
        for (name, delta) in &self.kept {
            let records: Vec<(ClusterId, Vec<u8>)> = delta
                .all()
                .map(|(id, record)| (id.clone(), record))
                .collect();
            let records = records
                .iter()
                .map(|(id, record)| (id.as_str(), &record[..]));
            let mut source = RestoredSource::read(delta.account(), records);
            assert_eq!(source.refused, 0);
            source.is_shown = self.shown.contains(name);
            if self.names.contains(name) {
                restored.add(name.clone(), source);
            } else if source.is_shown {
                restored.add_gone(name.clone(), Kind::new("latitude"), source);
            }
        }
        for name in &self.names {
            if !self.kept.contains_key(name) {
                restored.add_absent(name.clone());
            }
        }
        self.shown.clear();
        // Numbers that no process has shown lie between.
        let generation = self.writer.generation + 10;
        let empty = self.names.iter().map(|name| {
            let minute = Duration::from_mins(1);
            let report = SourceReport::new(name.clone(), Kind::new("latitude"), minute);
            Shelf::new(report, Duration::from_hours(1))
        });
        let begin = begin(empty.collect(), restored, generation, at(generation));
        let first = Snapshot::new(generation, at(generation), begin.shelves.clone());
        self.archive
            .restarts
            .lock()
            .unwrap()
            .push((durable, generation));
        self.inventory = Arc::new(Inventory::new(first));
        self.writer = Writer {
            has_details: vec![false; self.names.len()],
            texts: begin.texts,
            shelves: begin.shelves,
            generation,
            as_of: at(generation),
            journal: Arc::new(Forgetful),
            inventory: Arc::clone(&self.inventory),
        };
        self.keep(begin.first);
    }

    /// Replaces the feed by one that keeps little.
    pub(crate) fn with_feed_of(mut self, most: usize) -> Self {
        let mut inventory =
            Inventory::new(Snapshot::new(FIRST, at(FIRST), self.writer.shelves.clone()));
        inventory.feed = crate::inventory::Feed::of_size(FIRST, at(FIRST), most, most);
        self.inventory = Arc::new(inventory);
        self.writer.inventory = Arc::clone(&self.inventory);
        self
    }

    pub(crate) fn generation(&self) -> u64 {
        self.writer.generation
    }

    /// Publishes what several sources have found in one generation.
    pub(crate) fn publish(&mut self, lists: BTreeMap<&str, Option<Vec<Cluster>>>) -> u64 {
        let events: Vec<_> = (lists.into_iter())
            .map(|(source, list)| (self.place(source), self.outcome(source, list, Vec::new())))
            .collect();
        self.end(events)
    }

    /// Publishes a whole listing of a source.
    pub(crate) fn list(&mut self, source: &str, clusters: Vec<Cluster>) -> u64 {
        self.publish(BTreeMap::from([(source, Some(clusters))]))
    }

    /// Publishes a listing of which some items could not be read.
    pub(crate) fn list_with(
        &mut self,
        source: &str,
        clusters: Vec<Cluster>,
        rejected: Vec<Rejected>,
    ) -> u64 {
        let event = self.outcome(source, Some(clusters), rejected);
        self.end(vec![(self.place(source), event)])
    }

    /// Publishes that a source could not be read.
    pub(crate) fn fail(&mut self, source: &str) -> u64 {
        self.publish(BTreeMap::from([(source, None)]))
    }

    /// Publishes what a call has shown.
    pub(crate) fn show(&mut self, source: &str, shown: Shown) -> u64 {
        self.end(vec![(self.place(source), Event::Changed(shown))])
    }

    /// Publishes the ages of all sources as they are so many seconds after the last generation.
    pub(crate) fn age(&mut self, seconds: i64) -> u64 {
        let now = self.now() + jiff::SignedDuration::from_secs(seconds);
        let mut making = Making::default();
        for source in 0..self.names.len() {
            if let Some(next) = self.writer.shelves[source].aged(now) {
                let cause = Cause::Outage;
                let step = Step {
                    source,
                    cause,
                    attempted: false,
                    next,
                };
                making.add(&mut self.writer.shelves, step);
            }
        }
        self.show_all(making)
    }

    /// A cluster as a call shows it.
    pub(crate) fn shown(cluster: Cluster) -> Shown {
        Shown::Listed(Box::new(listed(cluster)))
    }

    fn place(&self, source: &str) -> usize {
        let mut names = self.names.iter();
        names.position(|name| name.as_str() == source).unwrap()
    }

    fn now(&self) -> Timestamp {
        at(self.writer.generation)
    }

    fn outcome(
        &self,
        source: &str,
        clusters: Option<Vec<Cluster>>,
        rejected: Vec<Rejected>,
    ) -> Event {
        let place = self.place(source);
        let now = self.now();
        let mut preparing = Preparing {
            shelf: Arc::clone(&self.writer.shelves[place]),
            texts: Arc::clone(&self.writer.texts[place]),
            now,
        };
        let listing = |clusters: Vec<Cluster>| Listing {
            clusters: (clusters.into_iter())
                .map(|cluster| preparing.take(listed(cluster)))
                .collect(),
            rejected,
            warnings: Warnings::default(),
            pages: 1,
        };
        Event::Refreshed(Outcome {
            started_at: now,
            based_on: self.writer.generation,
            took: Duration::ZERO,
            result: clusters.map(listing).ok_or((ErrorKind::Malformed, 0)),
            next_attempt_at: None,
        })
    }

    fn end(&mut self, events: Vec<(usize, Event)>) -> u64 {
        let mut making = Making::default();
        for (source, event) in events {
            let step = self.writer.step(source, event);
            making.add(&mut self.writer.shelves, step);
        }
        self.show_all(making)
    }

    fn show_all(&mut self, making: Making) -> u64 {
        let at = at(self.writer.generation + 1);
        let ready = self.writer.make(making, at);
        let batch = ready.publication.batch.clone();
        self.keep(ready.publication);
        self.inventory.feed().push(batch, ready.noise);
        self.inventory.publish(ready.snapshot);
        self.writer.generation
    }
}

/// Keeps every change in memory, as a store would.
#[derive(Default)]
pub(crate) struct Archive {
    kept: Mutex<Vec<Kept>>,
    /// How often it was asked for changes.
    pub(crate) asked: AtomicUsize,
    pub(crate) broken: AtomicBool,
    durable: AtomicU64,
    /// What processes went on from, and what they began with.
    restarts: Mutex<Vec<(u64, u64)>>,
}

impl Archive {
    fn keep(&self, batch: &Batch) {
        let changes = batch.changes().enumerate();
        self.kept
            .lock()
            .unwrap()
            .extend(changes.map(|(place, change)| Kept {
                generation: batch.generation,
                place,
                at: batch.at,
                body: batch.told(place).into(),
                document: change.document().map(Into::into),
                was: change.was(),
            }));
    }

    fn is_reached(&self, from: Mark) -> bool {
        let seen = from.generation - u64::from(from.place == 0);
        let restarts = self.restarts.lock().unwrap();
        let is_kept = |(after, first): &(u64, u64)| seen <= *after || seen >= *first;
        from >= Mark::after(FIRST) && restarts.iter().all(is_kept)
    }

    fn tell<T: Send + 'static>(
        &self,
        tell: impl FnOnce(&[Kept]) -> T,
    ) -> BoxFuture<'static, Result<T, PastError>> {
        let told = if self.broken.load(Ordering::Relaxed) {
            Err(PastError::Unavailable)
        } else {
            Ok(tell(&self.kept.lock().unwrap()))
        };
        Box::pin(std::future::ready(told))
    }
}

fn mark(kept: &Kept) -> Mark {
    Mark {
        generation: kept.generation,
        place: kept.place,
    }
}

impl Past for Archive {
    fn floor(&self) -> BoxFuture<'_, Result<u64, PastError>> {
        self.tell(|_| FIRST)
    }

    fn reaches(&self, from: Mark) -> BoxFuture<'_, Result<bool, PastError>> {
        let is_reached = self.is_reached(from);
        self.tell(move |_| is_reached)
    }

    fn generation_at(&self, at: Timestamp) -> BoxFuture<'_, Result<Option<u64>, PastError>> {
        self.tell(|kept| {
            let mut earlier = kept.iter().rev().filter(|kept| kept.at <= at);
            let last = earlier.next().map(|kept| kept.generation);
            last.or((at >= super::testing::at(FIRST)).then_some(FIRST))
        })
    }

    fn last_change(
        &self,
        until: u64,
    ) -> BoxFuture<'_, Result<Option<(u64, Timestamp)>, PastError>> {
        self.tell(|kept| {
            let mut earlier = kept.iter().rev();
            let last = earlier.find(|kept| kept.generation <= until);
            last.map(|kept| (kept.generation, kept.at))
        })
    }

    fn changes(
        &self,
        from: Mark,
        until: u64,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Kept>, PastError>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let durable = self.durable.load(Ordering::Relaxed);
        assert!(
            until <= durable,
            "{until} is asked for, and {durable} is kept"
        );
        if !self.is_reached(from) {
            return Box::pin(std::future::ready(Err(PastError::Unknown)));
        }
        self.tell(|kept| {
            let is_wanted = |kept: &&Kept| mark(kept) >= from && kept.generation <= until;
            kept.iter().filter(is_wanted).take(most).cloned().collect()
        })
    }

    fn of_cluster<'a>(
        &'a self,
        id: &'a ClusterId,
        before: Mark,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Kept>, PastError>> {
        let named = format!("\"cluster\":\"{id}\"");
        self.tell(|kept| {
            let is_wanted = |kept: &&Kept| {
                mark(kept) < before && std::str::from_utf8(&kept.body).unwrap().contains(&named)
            };
            kept.iter()
                .rev()
                .filter(is_wanted)
                .take(most)
                .cloned()
                .collect()
        })
    }
}

/// When a generation is published: a second for each.
pub(crate) fn at(generation: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + i64::try_from(generation).unwrap()).unwrap()
}
