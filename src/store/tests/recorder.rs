//! What the recorder promises, over a store that fails as told, in paused time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::scripted::{End, Scripted, all};
use super::{clusters, source};
use crate::inventory::authoring::Author;
use crate::inventory::journal::{Journal as _, Publication};
use crate::store::StoreError;
use crate::store::queue::{Bounds, Queue};
use crate::store::recorder::{PATIENCE, RETRY, Recorder};

const A_WHILE: Duration = Duration::from_mins(10);

fn record(store: &Arc<Scripted>, bounds: Bounds) -> Recorder {
    let queue = Queue::new(HashSet::new(), bounds);
    Recorder::start(
        Arc::<Scripted>::clone(store),
        queue,
        None,
        &Handle::current(),
    )
}

fn recorder(store: &Arc<Scripted>) -> Recorder {
    record(store, Bounds::default())
}

fn code(recorder: &Recorder) -> Option<&'static str> {
    let standing = recorder.standing().unwrap();
    standing.behind.map(|behind| behind.code)
}

/// What a store has to have after this publication.
fn expected(publication: &Publication) -> std::collections::BTreeMap<String, Vec<u8>> {
    all(&publication.deltas[0])
}

#[tokio::test(start_paused = true)]
async fn a_publication_is_durable_before_it_is_shown() {
    let store = Scripted::ending([End::Late(3)]);
    let recorder = recorder(&store);
    let mut author = Author::new("s");
    let begun = Instant::now();
    let first = author.list(10, &clusters(&["a", "b"]));
    recorder.publish(first.clone()).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    let content = store.content();
    assert_eq!(content.generation, 10);
    assert_eq!(content.sources[&source("s")], expected(&first));
    assert_eq!(content.changes.len(), first.batch.unwrap().len());
    assert_eq!(content.attempts.len(), 1);
    // What follows is written as what is different.
    let second = author.list(11, &clusters(&["a", "c"]));
    recorder.publish(second.clone()).await;
    assert_eq!(store.content().sources[&source("s")], expected(&second));
    assert_eq!(store.commits(), 2);
    let standing = recorder.standing().unwrap();
    assert_eq!((standing.behind, standing.publications), (None, 0));
    assert_eq!(standing.commits.count, 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_is_caught_up_with() {
    let store = Scripted::ending([End::Refused, End::Refused]);
    let recorder = recorder(&store);
    let mut author = Author::new("s");
    let begun = Instant::now();
    let first = author.list(10, &clusters(&["a", "b"]));
    recorder.publish(first.clone()).await;
    assert_eq!(
        begun.elapsed(),
        Duration::ZERO,
        "a refusal is no reason to wait"
    );
    assert_eq!(code(&recorder), Some("STORE_LOCKED"));
    assert_eq!(recorder.standing().unwrap().publications, 1);
    sleep(RETRY + RETRY / 2).await;
    assert_eq!(code(&recorder), Some("STORE_LOCKED"));
    assert_eq!(store.content().generation, 0);
    sleep(RETRY).await;
    assert_eq!(code(&recorder), None);
    assert_eq!(store.content().sources[&source("s")], expected(&first));
    assert_eq!(store.content().changes.len(), first.batch.unwrap().len());
    assert_eq!(recorder.standing().unwrap().publications, 0);
}

#[tokio::test(start_paused = true)]
async fn readers_wait_for_a_late_store_once_and_not_for_long() {
    let store = Scripted::ending([End::Late(1_000), End::Late(1_000)]);
    let recorder = recorder(&store);
    let mut author = Author::new("s");
    let begun = Instant::now();
    recorder.publish(author.list(10, &clusters(&["a"]))).await;
    assert_eq!(begun.elapsed(), PATIENCE);
    assert_eq!(code(&recorder), Some("STORE_LATE"));
    let last = author.list(11, &clusters(&["a", "b"]));
    recorder.publish(last.clone()).await;
    assert_eq!(begun.elapsed(), PATIENCE, "once is enough");
    assert_eq!(recorder.standing().unwrap().publications, 2);
    sleep(A_WHILE).await;
    assert_eq!(code(&recorder), None);
    let content = store.content();
    assert_eq!(content.generation, 11);
    assert_eq!(content.sources[&source("s")], expected(&last));
    assert_eq!(content.attempts.len(), 2);
    // Afterwards publications are waited for again.
    store.ends.lock().unwrap().push_back(End::Late(2));
    let begun = Instant::now();
    recorder.publish(author.list(12, &clusters(&["b"]))).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_is_counted_and_the_history_says_from_where_it_is_whole() {
    let store = Scripted::ending(std::iter::repeat_n(End::Refused, 6));
    let bounds = Bounds {
        batches: 2,
        attempts: 3,
        ..Bounds::default()
    };
    let recorder = record(&store, bounds);
    let mut author = Author::new("s");
    let mut last = None;
    for (at, ids) in [
        &["a"][..],
        &["a", "b"],
        &["a", "b", "c"],
        &["a", "b", "c", "d"],
    ]
    .iter()
    .enumerate()
    {
        let publication = author.list(10 + at as u64, &clusters(ids));
        assert!(publication.batch.is_some());
        recorder.publish(publication.clone()).await;
        last = Some(publication);
    }
    sleep(A_WHILE).await;
    let content = store.content();
    assert_eq!(content.sources[&source("s")], expected(&last.unwrap()));
    let generations: Vec<u64> = content
        .changes
        .iter()
        .map(|(generation, _)| *generation)
        .collect();
    assert_eq!(generations, [12, 13]);
    assert_eq!(content.whole_from, Some(12));
    assert_eq!(content.attempts.len(), 3);
    // Ten: the source's state, and a cluster; eleven: a cluster.
    assert_eq!(recorder.standing().unwrap().lost_changes, 3);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_was_never_read_keeps_what_the_store_has_of_it() {
    let store = Scripted::ending([]);
    let mut before = Author::new("s");
    let kept = before.list(5, &clusters(&["a", "b"]));
    recorder(&store).publish(kept.clone()).await;
    // A new process for which the store opened late, so that nothing was restored.
    let error = Some(StoreError::Locked);
    let queue = Queue::new(HashSet::new(), Bounds::default());
    let keeping = Arc::<Scripted>::clone(&store);
    let recorder = Recorder::start(keeping, queue, error, &Handle::current());
    assert_eq!(code(&recorder), Some("STORE_LOCKED"));
    let mut author = Author::new("s");
    recorder.publish(author.fail(20)).await;
    sleep(A_WHILE).await;
    assert_eq!(code(&recorder), None);
    assert_eq!(store.content().sources[&source("s")], expected(&kept));
    // The first listing replaces all of it.
    let first = author.list(21, &clusters(&["b", "c"]));
    recorder.publish(first.clone()).await;
    assert_eq!(store.content().sources[&source("s")], expected(&first));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_begun_anew_gets_every_source() {
    let store = Scripted::ending([End::Well, End::Well, End::Replaced]);
    let recorder = recorder(&store);
    let (mut one, mut other) = (Author::new("one"), Author::new("other"));
    let kept = one.list(10, &clusters(&["a"]));
    recorder.publish(kept.clone()).await;
    recorder.publish(other.list(11, &clusters(&["b"]))).await;
    let last = other.list(12, &clusters(&["b", "c"]));
    recorder.publish(last.clone()).await;
    assert_eq!(code(&recorder), Some("STORE_CORRUPT"));
    sleep(A_WHILE).await;
    let content = store.content();
    assert_eq!(content.sources[&source("one")], expected(&kept));
    assert_eq!(content.sources[&source("other")], expected(&last));
    assert_eq!(code(&recorder), None);
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_written_at_the_end() {
    let store = Scripted::ending([End::Refused]);
    let recorder = recorder(&store);
    let mut author = Author::new("s");
    let last = author.list(10, &clusters(&["a"]));
    recorder.publish(last.clone()).await;
    recorder.stop(A_WHILE).await;
    assert_eq!(store.content().sources[&source("s")], expected(&last));
}

/// A listing, or none, and how the commit ends that comes next.
type Turn = (bool, Option<Vec<&'static str>>, End);

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let ids = proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4);
    let end = prop_oneof![
        4 => Just(End::Well),
        2 => Just(End::Refused),
        2 => Just(End::Unsure),
        1 => Just(End::Late(7)),
        1 => Just(End::Late(100)),
        1 => Just(End::Replaced),
    ];
    let turn = (any::<bool>(), proptest::option::weighted(0.8, ids), end);
    proptest::collection::vec(turn, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_on_the_way_in_the_end_everything_is_there(turns in turns()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let store = Scripted::ending(turns.iter().map(|turn| turn.2));
            let was_replaced = turns.iter().any(|turn| turn.2 == End::Replaced);
            let recorder = recorder(&store);
            let mut authors = [Author::new("one"), Author::new("other")];
            let mut last = std::collections::BTreeMap::new();
            let mut changes = 0;
            for (at, (first, listed, _)) in turns.into_iter().enumerate() {
                let (author, generation) = (&mut authors[usize::from(first)], 10 + at as u64);
                let publication = match listed {
                    Some(ids) => author.list(generation, &clusters(&ids)),
                    None => author.fail(generation),
                };
                let delta = &publication.deltas[0];
                if delta.report.fetched_at.is_some() {
                    last.insert(delta.source().clone(), expected(&publication));
                }
                changes += publication.batch.as_ref().map_or(0, |batch| batch.len());
                let begun = Instant::now();
                recorder.publish(publication).await;
                assert!(begun.elapsed() <= PATIENCE);
                // Whoever sees no failure finds everything in the store.
                if recorder.standing().unwrap().behind.is_none() {
                    assert_eq!(store.content().sources, last);
                }
            }
            sleep(A_WHILE).await;
            let content = store.content();
            assert_eq!(content.sources, last);
            assert_eq!(recorder.standing().unwrap().behind, None);
            if !was_replaced {
                assert_eq!(content.changes.len(), changes);
            }
        });
    }
}
