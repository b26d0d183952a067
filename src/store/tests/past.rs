//! Changes that are read back from where they are kept.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use tokio::runtime::Handle;

use super::files::{Place, places};
use super::{clusters, source};
use crate::domain::{ClusterId, Kind};
use crate::inventory::authoring::Author;
use crate::inventory::journal::{Journal as _, Publication, Restored};
use crate::inventory::past::{Kept, Past, PastError};
use crate::inventory::{Batch, Change, Mark};
use crate::store::durable::Durable;
use crate::store::past::Changes;
use crate::store::{Recorder, Store};

const GRACE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_is_lost_and_not_yet_said_is_not_told_as_if_it_were_there() {
    for place in places("past_lost").await {
        let process = Process::start(&place).await;
        process.publish_nothing(10, second(0)).await;
        let mut author = Author::new("s");
        process.publish(&author.list(11, &clusters(&["a"]))).await;
        process.stop().await;
        let durable = Arc::new(Durable::new(place.settings()));
        assert!(durable.restore(&[]).await.error.is_none());
        let past = Changes::new(Arc::clone(&durable), || Some(12));
        assert_eq!(past.floor().await, Ok(11));
        assert_eq!(past.reaches(Mark::after(10)).await, Ok(false));
        let changes = past.changes(Mark::after(10), 11, 10).await;
        assert!(matches!(changes, Err(PastError::Unknown)), "{changes:?}");
        // A store that is away answers nothing.
        durable.close().await;
        assert_eq!(past.floor().await, Err(PastError::Unavailable));
    }
}

#[tokio::test]
async fn what_is_left_of_damaged_changes_is_not_told_as_if_it_were_all() {
    for place in places("past_damaged").await {
        let process = Process::start(&place).await;
        process.publish_nothing(10, second(0)).await;
        let mut author = Author::new("s");
        for (generation, names) in [(11, &["a"][..]), (12, &["a", "b"]), (13, &["a", "b", "c"])] {
            process
                .publish(&author.list(generation, &clusters(names)))
                .await;
        }
        let id = ClusterId::new(&source("s"), "b");
        process.stop().await;
        let durable = Arc::new(Durable::new(place.settings()));
        assert!(durable.restore(&[]).await.error.is_none());
        let past = Changes::new(Arc::clone(&durable), || None);
        assert_eq!(past.floor().await, Ok(10));
        assert!(past.changes(Mark::after(10), 13, 100).await.is_ok());
        let sql = "UPDATE change SET body = 'garbage' WHERE generation = 12";
        let store = durable.store().unwrap();
        assert!(store.pool.execute(sql, Vec::new()).await.unwrap() > 0);
        let changes = past.changes(Mark::after(10), 13, 100).await;
        assert!(matches!(changes, Err(PastError::Unknown)), "{changes:?}");
        // It says from where on it knows of everything, and that it tells.
        assert_eq!(past.floor().await, Ok(12));
        assert_eq!(past.reaches(Mark::after(11)).await, Ok(false));
        assert_eq!(past.generation_at(second(0)).await, Ok(None));
        let later = past.changes(Mark::after(12), 13, 100).await.unwrap();
        assert!(!later.is_empty() && later.iter().all(|one| one.generation == 13));
        let history = past.of_cluster(&id, Mark::after(13), 100).await;
        assert!(history.unwrap().is_empty());
        durable.close().await;
    }
}

/// A process that writes a store.
struct Process {
    recorder: Arc<Recorder>,
    past: Arc<dyn Past>,
    restored: Restored,
}

impl Process {
    async fn start(place: &Place) -> Self {
        let sources = vec![(source("s"), Kind::new("test"))];
        let settings = place.settings();
        let (recorder, restored) = Recorder::open(settings, sources, &Handle::current()).await;
        assert!(recorder.standing().unwrap().behind.is_none());
        Self {
            past: recorder.past().unwrap(),
            recorder,
            restored,
        }
    }

    /// Publishes a generation of which nothing is different.
    async fn publish_nothing(&self, generation: u64, at: Timestamp) {
        let publication = Publication {
            generation,
            at,
            deltas: Vec::new(),
            batch: None,
        };
        self.recorder.publish(publication).await;
    }

    async fn publish(&self, publication: &Publication) -> Arc<Batch> {
        self.recorder.publish(publication.clone()).await;
        publication.batch.clone().unwrap()
    }

    async fn stop(self) {
        drop(self.past);
        self.recorder.stop(GRACE).await;
    }

    async fn reaches(&self, place: &str) -> bool {
        let mark = Mark::parse(place).unwrap();
        self.past.reaches(mark).await.unwrap()
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Every change from a place on, so many at once.
async fn all(past: &dyn Past, mut from: Mark, until: u64, most: usize) -> Vec<Kept> {
    let mut all: Vec<Kept> = Vec::new();
    loop {
        let some = past.changes(from, until, most).await.unwrap();
        assert!(some.len() <= most);
        let Some(last) = some.last() else {
            return all;
        };
        (from.generation, from.place) = (last.generation, last.place + 1);
        all.extend(some);
    }
}

fn bodies(kept: &[Kept]) -> Vec<&[u8]> {
    kept.iter().map(|one| &*one.body).collect()
}

#[tokio::test]
async fn what_is_kept_is_told_as_it_was() {
    for place in places("past_told").await {
        told(&place).await;
    }
}

async fn told(place: &Place) {
    let process = Process::start(place).await;
    process.publish_nothing(10, second(0)).await;
    let mut author = Author::new("s");
    let ids: Vec<String> = (0..250).map(|number| format!("{number:03}")).collect();
    let mut ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut batches = vec![process.publish(&author.list(11, &clusters(&ids))).await];
    ids.remove(7);
    for generation in 12..14 {
        batches.push(
            process
                .publish(&author.list(generation, &clusters(&ids)))
                .await,
        );
    }
    let told: Vec<&[u8]> = (batches.iter())
        .flat_map(|batch| (0..batch.len()).map(|place| batch.told(place)))
        .collect();
    let past = process.past.as_ref();
    assert_eq!(past.floor().await, Ok(10));
    for most in [7, 100, 1_000] {
        let kept = all(past, Mark::after(10), 13, most).await;
        assert_eq!(bodies(&kept), told, "{most}");
        let documents = kept.iter().filter(|kept| kept.document.is_some());
        assert_eq!(documents.count(), 252);
    }
    // From within a generation, and not to the end.
    let kept = all(past, Mark::parse("11.249").unwrap(), 12, 100).await;
    assert_eq!(
        bodies(&kept),
        told[249..batches[0].len() + batches[1].len()]
    );
    let gone = ClusterId::new(&source("s"), "007");
    let history = past.of_cluster(&gone, Mark::after(13), 100).await.unwrap();
    let generations: Vec<u64> = history.iter().map(|kept| kept.generation).collect();
    assert_eq!(generations, [13, 12, 11]);
    let before = Mark::parse("12").unwrap();
    let history = past.of_cluster(&gone, before, 1).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].generation, 12);
    assert_eq!(history[0].was, batches[1].changes().find_map(Change::was));
    // Times: the first generation is of the floor's own time.
    for (at, expected) in [
        (second(-1), None),
        (second(0), Some(10)),
        (batches[0].at, Some(11)),
        (second(1_000), Some(13)),
    ] {
        assert_eq!(past.generation_at(at).await, Ok(expected), "{at}");
    }
    assert_eq!(past.last_change(12).await, Ok(Some((12, batches[1].at))));
    assert_eq!(past.last_change(1_000).await, Ok(Some((13, batches[2].at))));
    assert_eq!(past.last_change(10).await, Ok(None));
    // What is not durable yet is not left out.
    let more = past.changes(Mark::after(11), 14, 10).await;
    assert!(matches!(more, Err(PastError::Unavailable)), "{more:?}");
    let more = past.of_cluster(&gone, Mark::after(14), 10).await;
    assert!(matches!(more, Err(PastError::Unavailable)), "{more:?}");
    let early = past.changes(Mark::after(9), 13, 10).await;
    assert!(matches!(early, Err(PastError::Unknown)), "{early:?}");
    process.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_from_what_was_kept_and_from_nothing_else() {
    for place in places("past_restart").await {
        restarts(&place).await;
    }
}

async fn restarts(place: &Place) {
    let process = Process::start(place).await;
    assert!(!process.restored.is_whole, "there was nothing");
    process.publish_nothing(10, second(0)).await;
    let mut author = Author::new("s");
    process.publish(&author.list(11, &clusters(&["a"]))).await;
    process.stop().await;

    let process = Process::start(place).await;
    assert!(process.restored.is_whole);
    assert_eq!(process.restored.generation, 11);
    process.publish_nothing(100, second(50)).await;
    process.publish(&author.list(101, &clusters(&["b"]))).await;
    for (from, expected) in [
        ("9", false),
        ("10", true),
        ("11", true),
        ("11.1", true),
        ("12", false),
        ("99", false),
        ("99.1", false),
        ("100", true),
        ("100.1", true),
        ("101", true),
    ] {
        assert_eq!(process.reaches(from).await, expected, "{from}");
    }
    let kept = all(process.past.as_ref(), Mark::after(10), 101, 10).await;
    let generations: Vec<u64> = kept.iter().map(|kept| kept.generation).collect();
    assert_eq!(generations, [11, 11, 101, 101]);
    assert_eq!(process.past.generation_at(second(60)).await, Ok(Some(101)));
    assert_eq!(
        process.past.generation_at(second(49)).await,
        Ok(Some(101)),
        "{kept:?}"
    );
    process.stop().await;

    // What cannot be read back is no place to go on from.
    let store = Store::open(&place.address).await.unwrap();
    let damage = "UPDATE cluster SET record = substr(record, 1, 40) WHERE id = 's:a'";
    assert_eq!(store.pool.execute(damage, vec![]).await.unwrap(), 1);
    store.close().await;
    drop(store);
    let process = Process::start(place).await;
    assert!(!process.restored.is_whole);
    process.publish_nothing(200, second(100)).await;
    assert_eq!(process.past.floor().await, Ok(200));
    process.stop().await;
}

#[tokio::test]
async fn what_retention_deletes_is_not_told_as_if_it_were_all() {
    for place in places("past_tidy").await {
        deletes(&place).await;
    }
}

async fn deletes(place: &Place) {
    let process = Process::start(place).await;
    process.publish_nothing(10, second(0)).await;
    let mut author = Author::new("s");
    let ids: Vec<String> = (0..900).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    process.publish(&author.list(11, &clusters(&ids))).await;
    let second_batch = process
        .publish(&author.list(12, &clusters(&ids[..600])))
        .await;
    process.stop().await;

    let store = Store::open(&place.address).await.unwrap();
    let mut settings = place.settings();
    settings.most_changes = 1_000;
    assert!(!store.tidy(&settings, second(10)).await.unwrap());
    store.close().await;
    drop(store);
    // A part of the first generation is left, which nobody can use.
    let process = Process::start(place).await;
    process.publish_nothing(20, second(20)).await;
    assert_eq!(process.past.floor().await, Ok(11));
    assert!(!process.reaches("11.300").await);
    let kept = all(process.past.as_ref(), Mark::after(11), 20, 1_000).await;
    assert_eq!(kept.len(), second_batch.len());
    assert_eq!(process.past.generation_at(second(0)).await, Ok(None));
    process.stop().await;
}

/// What happens to a store.
#[derive(Debug, Clone)]
enum Step {
    /// A listing of these clusters is published and kept.
    List(Vec<u8>),
    /// One is shown and never kept, and the process is killed.
    Lose(Vec<u8>),
    /// Another process goes on.
    Restart,
    /// Only so many changes are left, and another process goes on.
    Tidy(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let ids = || proptest::collection::vec(0..6_u8, 0..5);
    prop_oneof![
        6 => ids().prop_map(Step::List),
        1 => ids().prop_map(Step::Lose),
        1 => Just(Step::Restart),
        1 => (0..20_usize).prop_map(Step::Tidy),
    ]
}

/// What the store has to say.
#[derive(Default)]
struct Model {
    generation: u64,
    durable: u64,
    floor: u64,
    kept: Vec<(u64, Vec<u8>)>,
    restarts: Vec<(u64, u64)>,
}

impl Model {
    async fn begin(&mut self, place: &Place) -> Process {
        let process = Process::start(place).await;
        assert_eq!(process.restored.generation, self.durable);
        self.generation += 10;
        if self.durable == 0 {
            self.floor = self.generation;
        } else {
            self.restarts.push((self.durable, self.generation));
        }
        self.durable = self.generation;
        let at = second(i64::try_from(self.generation).unwrap());
        process.publish_nothing(self.generation, at).await;
        process
    }

    fn knows(&self, seen: u64) -> bool {
        let is_kept = |(after, first): &(u64, u64)| seen <= *after || seen >= *first;
        self.restarts.iter().all(is_kept)
    }

    async fn check(&self, past: &dyn Past) {
        assert_eq!(past.floor().await, Ok(self.floor));
        for generation in 9..=self.generation {
            let is_known = generation >= self.floor && self.knows(generation);
            let from = Mark::after(generation);
            assert_eq!(past.reaches(from).await, Ok(is_known), "{generation}");
            let within = Mark {
                generation,
                place: 1,
            };
            let is_within = generation > self.floor && self.knows(generation);
            assert_eq!(past.reaches(within).await, Ok(is_within), "{generation}.1");
            if is_known {
                let later = self.kept.iter().filter(|kept| kept.0 > generation);
                let later: Vec<&[u8]> = later.map(|kept| &kept.1[..]).collect();
                let told = all(past, from, self.durable, 7).await;
                assert_eq!(bodies(&told), later, "{generation}");
            }
        }
    }
}

async fn compare(steps: Vec<Step>) {
    let place = Place::file();
    let mut model = Model::default();
    let mut author = Author::new("s");
    let mut process = model.begin(&place).await;
    for step in steps {
        if let Step::List(ids) | Step::Lose(ids) = &step {
            let mut ids = ids.clone();
            ids.sort_unstable();
            ids.dedup();
            let named = |id: &u8| (id.to_string(), format!("{id} of {}", model.generation));
            let listed: Vec<(String, String)> = ids.iter().map(named).collect();
            model.generation += 1;
            let publication = author.list(model.generation, &listed);
            if let Step::List(_) = step {
                model.durable = model.generation;
                process.recorder.publish(publication.clone()).await;
                let batch = publication.batch.iter();
                let told = batch.flat_map(|batch| {
                    let places = 0..batch.len();
                    places.map(|place| (batch.generation, batch.told(place).to_vec()))
                });
                model.kept.extend(told);
                continue;
            }
        }
        process.stop().await;
        if let Step::Tidy(most) = step {
            let store = Store::open(&place.address).await.unwrap();
            let mut settings = place.settings();
            settings.most_changes = most as u64;
            while store.tidy(&settings, second(0)).await.unwrap() {}
            store.close().await;
            let excess = model.kept.len().saturating_sub(most);
            // What is left of the last generation that goes is told to nobody.
            let gone = model.kept.drain(..excess).map(|kept| kept.0).max();
            model.floor = model.floor.max(gone.unwrap_or(0));
        }
        process = model.begin(&place).await;
    }
    model.check(process.past.as_ref()).await;
    process.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 16,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_store_tells_what_was_kept_and_says_what_was_not(
        steps in proptest::collection::vec(step(), 1..14),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(compare(steps));
    }
}
