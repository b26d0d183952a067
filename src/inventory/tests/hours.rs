//! Counts of hours against summaries, and when they are made.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use tokio::runtime::Handle;
use tokio::time::advance;

use super::fleets::accounts;
use super::*;
use crate::domain::Reach;
use crate::inventory::hours::{Account, Count, Hour, HourWatch, Hours, Tally};
use crate::inventory::keeper::testing::{Stage, cluster as of_project};
use crate::inventory::past::PastError;
use crate::inventory::query::Filter;
use crate::inventory::{Inventory, View};

/// Keeps counts, unless it is broken.
#[derive(Default)]
struct Ledger {
    noted: Mutex<Vec<Vec<Count>>>,
    is_broken: AtomicBool,
}

impl Ledger {
    /// Takes out what was noted since: sources and how many clusters each has.
    fn take(&self) -> Vec<(String, u64)> {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap());
        let counts = noted.into_iter().flatten();
        let clusters =
            |account: &Account| account.groups.iter().map(|one| one.tally.clusters).sum();
        counts
            .map(|count| (count.source.as_str().to_owned(), clusters(&count.account)))
            .collect()
    }
}

impl Hours for Ledger {
    fn note(&self, counts: Vec<Count>) -> BoxFuture<'_, Result<(), PastError>> {
        let is_broken = self.is_broken.load(Ordering::Relaxed);
        if !is_broken {
            self.noted.lock().unwrap().push(counts);
        }
        let told = if is_broken {
            Err(PastError::Unavailable)
        } else {
            Ok(())
        };
        Box::pin(std::future::ready(told))
    }

    fn between(&self, _: Hour, _: Hour, _: i64) -> BoxFuture<'_, Result<Vec<Count>, PastError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Counts of a snapshot as they are kept.
async fn counted(snapshot: Snapshot) -> Vec<Count> {
    let ledger = Arc::new(Ledger::default());
    let hours: Arc<dyn Hours> = Arc::<Ledger>::clone(&ledger);
    let inventory = Arc::new(Inventory::new(snapshot));
    let watch = HourWatch::start(inventory, hours, &Handle::current());
    watch.stop(Duration::from_secs(5)).await;
    let mut noted = ledger.noted.lock().unwrap();
    noted.pop().unwrap_or_default()
}

/// All groups that somebody sees who sees these projects, or all of them.
fn joined(counts: &[Count], projects: Option<&str>) -> Tally {
    let mut all = Tally::default();
    let groups = counts.iter().flat_map(|count| &count.account.groups);
    for group in groups {
        if projects.is_none_or(|project| group.projects.iter().any(|one| one == project)) {
            all.add(&group.tally);
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn groups_add_up_to_the_summary(accounts in accounts()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let benches: Vec<Bench> = accounts.iter().map(super::fleets::Account::bench).collect();
        let whole = Arc::new(snapshot(1, &benches));
        let counts = runtime.block_on(counted(snapshot(1, &benches)));
        let text = serde_json::to_string(&counts.iter().map(|count| &count.account).collect::<Vec<_>>()).unwrap();
        let back: Vec<Account> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&back, &counts.iter().map(|count| count.account.clone()).collect::<Vec<_>>());
        prop_assert_eq!(joined(&counts, None), Tally::from(&whole.summarize(&Filter::default())));
        let projects = whole.shelves.iter().flat_map(|shelf| &shelf.content.entries);
        let projects: std::collections::BTreeSet<String> = projects
            .flat_map(|entry| entry.row.facts.projects.iter().map(ToString::to_string))
            .collect();
        for project in projects {
            let reach = Reach { sources: None, projects: Some([project.clone()].into()) };
            let seen = View::new(Arc::clone(&whole), &reach);
            prop_assert_eq!(joined(&counts, Some(&project)), Tally::from(&seen.summarize(&Filter::default())));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_changed_is_counted_once_and_the_end_is_counted() {
    let mut stage = Stage::new(&["a", "b"]);
    let ledger = Arc::new(Ledger::default());
    let hours: Arc<dyn Hours> = Arc::<Ledger>::clone(&ledger);
    stage.list("a", vec![of_project("a", "1", "running", None)]);
    let inventory = Arc::clone(&stage.inventory);
    let watch = HourWatch::start(inventory, hours, &Handle::current());
    let tick = async || {
        advance(Duration::from_secs(31)).await;
        // The watch looks on another thread: its turn is over when it waits again.
        for _ in 0..100 {
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tick().await;
    assert_eq!(
        ledger.take(),
        [("a".to_owned(), 1)],
        "one that was never read is not counted"
    );
    stage.list("b", vec![of_project("b", "1", "running", None)]);
    ledger.is_broken.store(true, Ordering::Relaxed);
    tick().await;
    ledger.is_broken.store(false, Ordering::Relaxed);
    tick().await;
    assert_eq!(ledger.take(), [("b".to_owned(), 1)]);
    stage.fail("a");
    stage.list("b", vec![]);
    watch.stop(Duration::from_secs(5)).await;
    let last: Vec<String> = ledger
        .take()
        .into_iter()
        .map(|(source, _)| source)
        .collect();
    assert_eq!(
        last,
        ["a", "b"],
        "a source that is not fresh any more is another one"
    );
}

#[test]
fn hours_begin_on_the_hour_also_before_1970() {
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    assert_eq!(Hour::of(at(7_199)), Hour(1));
    assert_eq!(Hour::of(at(-1)), Hour(-1));
    assert_eq!(Hour(1).start(), at(3_600));
    assert_eq!(Hour(i64::MAX).start(), Timestamp::MAX);
}
