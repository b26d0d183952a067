//! The keeper and its tasks, in paused time over a provider that answers as told.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use http::{HeaderMap, Request, StatusCode};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};
use tower::service_fn;

use super::*;
use crate::inventory::{Control, Inventory, Keeper, Schedule, Source};
use crate::provider::{
    Capabilities, Capability, Limits, Page, PageCursor, Provider, ProviderError,
};
use crate::upstream::{
    Answer, Call, Credential, Dialect, FailureKind, Rate, Scheme, Stack, StackSettings, Target,
    TokenSource, UpstreamError,
};

const PERIOD: Duration = Duration::from_mins(1);

pub(super) type Answered<T> = BoxFuture<'static, Result<T, ProviderError>>;

type Describe = Box<dyn Fn(&str) -> Answered<Described> + Send + Sync>;

/// Answers the n-th listing, from 0, and each detail as told, and remembers when it was asked.
pub(super) struct Script {
    list: Box<dyn Fn(usize) -> Answered<Page> + Send + Sync>,
    describe: Describe,
    listed: Mutex<Vec<Instant>>,
    described: Mutex<Vec<(Instant, String)>>,
}

impl Script {
    pub(super) fn new(list: impl Fn(usize) -> Answered<Page> + Send + Sync + 'static) -> Self {
        Self {
            list: Box::new(list),
            describe: Box::new(|id| answer(described(cluster("s", id)))),
            listed: Mutex::default(),
            described: Mutex::default(),
        }
    }

    fn describing(
        ids: u32,
        describe: impl Fn(&str) -> Answered<Described> + Send + Sync + 'static,
    ) -> Self {
        Self {
            describe: Box::new(describe),
            ..Self::new(move |_| answer(page(ids)))
        }
    }

    /// Seconds from a time to each listing.
    fn times(&self, start: Instant) -> Vec<u64> {
        let times = self.listed.lock().unwrap();
        times.iter().map(|time| (*time - start).as_secs()).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.listed.lock().unwrap().len()
    }

    fn described(&self) -> Vec<String> {
        let described = self.described.lock().unwrap();
        described.iter().map(|(_, id)| id.clone()).collect()
    }
}

impl Provider for Script {
    fn kind(&self) -> Kind {
        Kind::new("script")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &Capabilities {
            vantage: Vantage::Hosts,
            operations: &[Capability::List, Capability::Describe],
            reports: &["name"],
            detail_only: &["orchestrator.version"],
        }
    }

    fn list_page<'a>(
        &'a self,
        _: Option<&'a PageCursor>,
    ) -> BoxFuture<'a, Result<Page, ProviderError>> {
        let call = {
            let mut listed = self.listed.lock().unwrap();
            listed.push(Instant::now());
            listed.len() - 1
        };
        (self.list)(call)
    }

    fn describe<'a>(
        &'a self,
        locator: &'a Locator,
    ) -> BoxFuture<'a, Result<Described, ProviderError>> {
        let asked = (Instant::now(), locator.as_str().to_owned());
        self.described.lock().unwrap().push(asked);
        (self.describe)(locator.as_str())
    }
}

pub(super) fn answer<T: Send + 'static>(value: T) -> Answered<T> {
    ready(Ok(value)).boxed()
}

fn refuse<T: Send + 'static>(error: ProviderError) -> Answered<T> {
    ready(Err(error)).boxed()
}

pub(super) fn page(ids: u32) -> Page {
    let one = |id| listed(cluster("s", &format!("{id:04}")));
    Page {
        clusters: (0..ids).map(one).collect(),
        ..Page::default()
    }
}

fn unavailable(wait: Option<Duration>) -> ProviderError {
    let mut error = UpstreamError::new(FailureKind::Unavailable);
    error.wait = wait;
    ProviderError::call("list", error)
}

/// A stack whose calls all succeed; none of them leaves the process.
pub(super) fn stack() -> Stack {
    let transport = service_fn(|_: Request<Bytes>| {
        ready(Ok::<_, UpstreamError>(Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{}"),
        }))
    });
    let credential = Credential {
        token: Arc::new(TokenSource::Value("token".into())),
        scheme: Scheme::Bearer,
    };
    let settings = StackSettings::new("https://api.example/".parse().unwrap());
    Stack::over(transport, settings, credential, Dialect::PLAIN).unwrap()
}

pub(super) fn schedule() -> Schedule {
    Schedule {
        refresh_interval: PERIOD,
        refresh_deadline: Duration::from_secs(30),
        staleness_limit: Duration::from_hours(24),
        detail_interval: None,
        limits: Limits::default(),
        rate: None,
    }
}

fn with_details(rate: Option<Rate>) -> Schedule {
    Schedule {
        detail_interval: Some(Duration::from_hours(1)),
        rate,
        ..schedule()
    }
}

fn start_all(scripts: &[(&str, &Arc<Script>, Schedule, Stack)]) -> (Arc<Inventory>, Keeper) {
    let source = |(name, script, schedule, stack): &(&str, &Arc<Script>, Schedule, Stack)| Source {
        name: super::source(name),
        provider: Arc::clone(*script) as Arc<dyn Provider>,
        stack: stack.clone(),
        schedule: *schedule,
    };
    Keeper::start(scripts.iter().map(source).collect(), &Handle::current())
}

fn start(script: Script, schedule: Schedule) -> (Arc<Script>, Arc<Inventory>, Keeper) {
    let script = Arc::new(script);
    let (inventory, keeper) = start_all(&[("s", &script, schedule, stack())]);
    (script, inventory, keeper)
}

fn report(inventory: &Inventory) -> SourceReport {
    SourceReport::clone(inventory.current().source("s").unwrap())
}

/// Runs what is due without letting time pass further than a moment.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_source_is_read_at_once_and_then_at_its_period() {
    let began = Instant::now();
    let slow = |_| {
        async {
            sleep(Duration::from_secs(10)).await;
            Ok(page(3))
        }
        .boxed()
    };
    let (script, inventory, _keeper) = start(Script::new(slow), schedule());
    assert_eq!(report(&inventory).state, Freshness::Never);
    sleep(PERIOD * 4 + Duration::from_secs(1)).await;
    assert_eq!(script.times(began), [0, 60, 120, 180, 240]);
    assert_eq!(
        (report(&inventory).state, inventory.current().len()),
        (Freshness::Fresh, 3)
    );
    assert!(report(&inventory).next_attempt_at > report(&inventory).fetched_at);
}

#[tokio::test(start_paused = true)]
async fn a_failing_source_keeps_the_rhythm_and_its_clusters() {
    let began = Instant::now();
    let (script, inventory, _keeper) = start(
        Script::new(|call| match call {
            0 | 4 => answer(page(2)),
            _ => refuse(unavailable(None)),
        }),
        schedule(),
    );
    let mut generations = inventory.subscribe();
    sleep(PERIOD * 3 + Duration::from_secs(1)).await;
    assert_eq!(script.times(began), [0, 60, 120, 180]);
    let failing = report(&inventory);
    assert_eq!(
        (failing.state, failing.failures, failing.clusters),
        (Freshness::Stale, 3, 2)
    );
    assert!(generations.has_changed().unwrap());
    assert_eq!(
        *generations.borrow_and_update(),
        inventory.current().generation
    );
    sleep(PERIOD).await;
    assert_eq!(
        (report(&inventory).state, report(&inventory).failures),
        (Freshness::Fresh, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_asks_to_wait_is_not_asked_before() {
    let began = Instant::now();
    let (script, inventory, keeper) = start(
        Script::new(|call| match call {
            0 => refuse(unavailable(Some(Duration::from_mins(5)))),
            _ => answer(page(1)),
        }),
        schedule(),
    );
    settle().await;
    let wait = report(&inventory)
        .next_attempt_at
        .unwrap()
        .duration_since(Timestamp::now());
    assert!((295..=300).contains(&wait.as_secs()), "{wait}");
    // Also not when somebody asks for it; the wish is kept.
    assert!(keeper.refresh(&super::source("s")).is_some());
    sleep(Duration::from_secs(301)).await;
    assert_eq!(script.times(began), [0, 300]);
    sleep(PERIOD).await;
    assert_eq!(script.times(began), [0, 300, 360]);
}

#[tokio::test(start_paused = true)]
async fn a_source_whose_circuit_is_open_is_read_again_as_soon_as_it_lets_a_call_through() {
    let began = Instant::now();
    let (script, _inventory, _keeper) = start(
        Script::new(|call| match call {
            0 => {
                let mut open = UpstreamError::new(FailureKind::CircuitOpen);
                open.attempts = 0;
                open.wait = Some(Duration::from_secs(20));
                refuse(ProviderError::call("list", open))
            }
            _ => answer(page(1)),
        }),
        schedule(),
    );
    sleep(Duration::from_secs(21)).await;
    assert_eq!(script.times(began), [0, 20]);
    sleep(PERIOD).await;
    assert_eq!(script.times(began), [0, 20, 80]);
}

#[tokio::test(start_paused = true)]
async fn wishes_during_a_refresh_are_one_more_refresh() {
    let slow = |_| {
        async {
            sleep(Duration::from_secs(5)).await;
            Ok(page(1))
        }
        .boxed()
    };
    let (script, _inventory, keeper) = start(Script::new(slow), schedule());
    settle().await;
    let name = super::source("s");
    let joined: Vec<bool> = (0..100)
        .map(|_| keeper.refresh(&name).unwrap().joined)
        .collect();
    assert!(!joined[0] && joined[1..].iter().all(|joined| *joined));
    sleep(Duration::from_secs(40)).await;
    assert_eq!(script.count(), 2);
    assert!(!keeper.refresh(&name).unwrap().joined);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(script.count(), 3);
    assert!(keeper.refresh(&super::source("unknown")).is_none());
    assert!(keeper.vitals(&name).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_hangs_meets_the_deadline_and_holds_nobody_up() {
    let began = Instant::now();
    let hanging = Arc::new(Script::new(|_| pending().boxed()));
    let healthy = Arc::new(Script::new(|_| answer(page(1))));
    let (inventory, _keeper) = start_all(&[
        ("s", &hanging, schedule(), stack()),
        ("t", &healthy, schedule(), stack()),
    ]);
    sleep(Duration::from_secs(29)).await;
    assert_eq!(report(&inventory).error, None);
    assert_eq!(
        inventory.current().source("t").unwrap().state,
        Freshness::Fresh
    );
    sleep(Duration::from_secs(2)).await;
    let late = report(&inventory);
    assert_eq!(late.error.map(ErrorKind::code), Some("REFRESH_DEADLINE"));
    assert_eq!(late.attempts[0].took, Duration::from_secs(30));
    sleep(Duration::from_secs(100)).await;
    assert_eq!(hanging.times(began), [0, 60, 120]);
    assert_eq!(healthy.times(began), [0, 60, 120]);
}

#[tokio::test(start_paused = true)]
async fn stopping_ends_every_task_also_one_that_hangs() {
    let (script, inventory, keeper) = start(
        Script::new(|call| {
            if call == 0 {
                answer(page(1))
            } else {
                pending().boxed()
            }
        }),
        schedule(),
    );
    sleep(PERIOD + Duration::from_secs(1)).await;
    let stopped = timeout(Duration::from_secs(1), keeper.stop(Duration::from_secs(5))).await;
    assert!(stopped.is_ok());
    sleep(PERIOD * 5).await;
    assert_eq!(script.count(), 2);
    assert_eq!(inventory.current().len(), 1);
    drop(keeper);
    assert_eq!(Arc::strong_count(&script), 1);
}

#[tokio::test(start_paused = true)]
async fn clusters_that_are_not_read_in_time_become_stale() {
    let never_old = schedule();
    let at_once = Schedule {
        staleness_limit: Duration::ZERO,
        ..schedule()
    };
    for (schedule, expected) in [(never_old, Freshness::Fresh), (at_once, Freshness::Stale)] {
        let (_script, inventory, _keeper) = start(Script::new(|_| answer(page(1))), schedule);
        settle().await;
        // Ages are told by the clock of the day, which pausing does not move.
        let read_at = report(&inventory).fetched_at.unwrap();
        while crate::inventory::now() <= read_at {
            std::hint::spin_loop();
        }
        sleep(Duration::from_secs(3)).await;
        assert_eq!(report(&inventory).state, expected);
    }
}

/// A stack and a provider whose every detail is one request over it.
fn counted(ids: u32) -> (Stack, Arc<Script>) {
    let stack = stack();
    let way = stack.clone();
    let describe = move |id: &str| {
        let (way, cluster) = (way.clone(), cluster("s", id));
        async move {
            let call = Call::get("describe", Target::new("/detail"));
            way.send(call).await.unwrap();
            Ok(described(cluster))
        }
        .boxed()
    };
    (stack, Arc::new(Script::describing(ids, describe)))
}

#[tokio::test(start_paused = true)]
async fn details_leave_room_for_the_next_listing() {
    let rate = Rate {
        calls: 20,
        per: PERIOD,
    };
    let (stack, script) = counted(50);
    let (inventory, _keeper) = start_all(&[("s", &script, with_details(Some(rate)), stack)]);
    sleep(Duration::from_secs(59)).await;
    assert_eq!(script.described().len(), 18);
    assert_eq!(report(&inventory).details_pending, 32);
    sleep(PERIOD * 2).await;
    assert_eq!(report(&inventory).details_pending, 0);
    let mut described = script.described();
    described.sort_unstable();
    described.dedup();
    // None is read again before its time.
    assert_eq!((described.len(), script.described().len()), (50, 50));
}

#[tokio::test(start_paused = true)]
async fn details_that_a_refresh_interrupts_are_not_lost() {
    // Each takes long, and none is due to be published when the refresh is asked for.
    let slow = |id: &str| {
        let cluster = cluster("s", id);
        async move {
            sleep(Duration::from_millis(400)).await;
            Ok(described(cluster))
        }
        .boxed()
    };
    let (script, inventory, keeper) = start(Script::describing(10, slow), with_details(None));
    sleep(Duration::from_millis(900)).await;
    assert_eq!(report(&inventory).details_pending, 10);
    keeper.refresh(&super::source("s"));
    settle().await;
    assert_eq!((report(&inventory).details_pending, script.count()), (8, 2));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(report(&inventory).details_pending, 0);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_fails_is_left_alone_until_the_next_listing_and_starves_nobody() {
    let poisoned = |id: &str| match id {
        "0000" => refuse(unavailable(None)),
        id => answer(described(cluster("s", id))),
    };
    let (script, inventory, _keeper) = start(Script::describing(3, poisoned), with_details(None));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(script.described(), ["0000"]);
    sleep(PERIOD).await;
    assert_eq!(script.described(), ["0000", "0001", "0002", "0000"]);
    assert_eq!(report(&inventory).details_pending, 1);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_detail_is_asked_for_again_only_after_the_interval() {
    let refused = |id: &str| match id {
        "0000" => refuse(ProviderError::new(ErrorKind::NotFound, "describe")),
        id => answer(described(cluster("s", id))),
    };
    let (script, _inventory, _keeper) = start(Script::describing(2, refused), with_details(None));
    sleep(PERIOD * 50).await;
    assert_eq!(script.described(), ["0000", "0001"]);
    sleep(PERIOD * 15).await;
    assert_eq!(script.described()[2], "0000");
}

#[tokio::test(start_paused = true)]
async fn details_are_not_read_after_a_failed_listing() {
    let script = Script::new(|_| refuse(unavailable(None)));
    let (script, _inventory, _keeper) = start(script, with_details(None));
    sleep(PERIOD * 2).await;
    assert!(script.described().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_generation_can_be_read_while_it_is_retained() {
    let (_script, inventory, _keeper) = start(Script::new(|_| answer(page(1))), schedule());
    settle().await;
    let first = inventory.current();
    inventory.retain(&first);
    inventory.retain(&first);
    sleep(PERIOD * 3).await;
    assert!(inventory.current().generation > first.generation);
    assert_eq!(
        inventory.at(first.generation).unwrap().generation,
        first.generation
    );
    for _ in 0..8 {
        sleep(PERIOD).await;
        inventory.retain(&inventory.current());
    }
    assert!(inventory.at(first.generation).is_none());
}

/// The clusters in the order of their ids, by native id.
fn names(inventory: &Inventory) -> Vec<String> {
    let snapshot = inventory.current();
    let found = snapshot.select(&crate::inventory::query::Query {
        limit: 100,
        ..Default::default()
    });
    let name = |place: &_| snapshot.row(*place).cluster().unwrap().native_id;
    found.places.iter().map(name).collect()
}

fn page_of(ids: &[&str]) -> Page {
    Page {
        clusters: ids.iter().map(|id| listed(cluster("s", id))).collect(),
        ..Page::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_published_before_it_is_answered_and_outlives_the_refresh_under_way() {
    let slow = |call| {
        async move {
            let answered = if call == 0 {
                page_of(&["a", "b"])
            } else {
                page_of(&["a", "b", "late"])
            };
            sleep(Duration::from_secs(5)).await;
            Ok(answered)
        }
        .boxed()
    };
    let (_script, inventory, keeper) = start(Script::new(slow), schedule());
    sleep(Duration::from_secs(6)).await;
    assert_eq!(names(&inventory), ["a", "b"]);
    let name = super::source("s");
    keeper.refresh(&name);
    sleep(Duration::from_secs(1)).await;
    // The second listing has been read at the vendor and is on its way.
    let before = inventory.current().generation;
    let created = Shown::Listed(Box::new(listed(cluster("s", "created"))));
    keeper.record(&name, created).await;
    assert_eq!(names(&inventory), ["a", "b", "created"]);
    let forgotten = Shown::Gone(ClusterId::new(&name, "b"));
    keeper.record(&name, forgotten).await;
    assert_eq!(names(&inventory), ["a", "created"]);
    assert_eq!(inventory.current().generation, before + 2);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(names(&inventory), ["a", "created", "late"]);
    // The next listing disagrees: the vendor still has the one and never had the other.
    keeper.refresh(&name);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(names(&inventory), ["a", "b", "created", "late"]);
    keeper.refresh(&name);
    sleep(Duration::from_secs(6)).await;
    assert_eq!(names(&inventory), ["a", "b", "late"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_of_an_unknown_source_or_after_the_end_holds_nobody_up() {
    let (_script, inventory, keeper) = start(Script::new(|_| answer(page(1))), schedule());
    settle().await;
    let gone = || Shown::Gone(ClusterId::new(&super::source("s"), "0000"));
    let patience = Duration::from_secs(1);
    let unknown = keeper.record(&super::source("unknown"), gone());
    timeout(patience, unknown).await.unwrap();
    keeper.stop(Duration::from_secs(1)).await;
    let late = keeper.record(&super::source("s"), gone());
    timeout(patience, late).await.unwrap();
    assert_eq!(inventory.current().len(), 1);
}
