//! Keys and intents while the store fails for a moment, at the worst moment, or for long: no key is used twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join};

use super::files::places;
use super::owned::{id, key, outcome, record, shown};
use crate::live::{Begun, Intended, Keep, Keys, Selection, Stage};
use crate::store::StoreError;
use crate::store::claims::mark;
use crate::store::durable::Durable;
use crate::store::open::Store;
use crate::store::owned::{Hold, Owned, Reach, Taken};
use crate::store::pool::Value;
use crate::store::settings::Settings;

const SAME: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

/// A way to the store that fails as told.
struct Way {
    durable: Arc<Durable>,
    is_away: AtomicBool,
    /// How many calls fail, though the store is not away.
    failing: AtomicUsize,
}

impl Reach for Way {
    fn store(&self) -> BoxFuture<'_, Result<Arc<Store>, StoreError>> {
        Box::pin(async {
            let fails = |left: usize| left.checked_sub(1);
            let is_failing =
                (self.failing).fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails);
            if is_failing.is_ok() || self.is_away.load(Ordering::Relaxed) {
                return Err(StoreError::Late);
            }
            self.durable.reach().await
        })
    }
}

struct Gateway {
    owned: Owned,
    way: Arc<Way>,
}

impl Gateway {
    async fn over(durable: &Arc<Durable>) -> Self {
        let way = Arc::new(Way {
            durable: Arc::clone(durable),
            is_away: AtomicBool::new(false),
            failing: AtomicUsize::new(0),
        });
        let mut owned = Owned::reaching(Arc::<Way>::clone(&way), false);
        owned.rest = Duration::from_millis(20);
        owned.beat().await.unwrap();
        Self { owned, way }
    }

    fn cut_off(&self, is_away: bool) {
        self.way.is_away.store(is_away, Ordering::Relaxed);
    }

    fn fails_once(&self) {
        self.way.failing.store(1, Ordering::Relaxed);
    }

    async fn begin(&self, name: &str) -> Begun {
        self.owned.begin(key(name), SAME).await
    }

    async fn intend(&self, name: &str, native: &str) -> Intended {
        let intent = record(native, 10, Stage::Asked);
        self.owned.intend(&intent, Some(&key(name))).await
    }

    async fn end(&self, name: &str, status: Option<u16>) {
        self.owned.end(key(name), status.map(outcome)).await;
    }

    async fn execute(&self, sql: &'static str) {
        let done = self
            .owned
            .with(|store| Box::pin(store.pool.execute_shared(sql, Vec::new())));
        assert_eq!(done.await, Some(1), "{sql}");
    }
}

/// Two gateways over each store that there is to test with.
async fn each(name: &str, test: impl AsyncFn(&Gateway, &Gateway)) {
    for place in places(name).await {
        let durable = Arc::new(Durable::new(Settings::at(place.address.clone())));
        assert!(durable.restore(&[]).await.error.is_none());
        let (first, second) = (Gateway::over(&durable).await, Gateway::over(&durable).await);
        test(&first, &second).await;
        durable.close().await;
    }
}

#[tokio::test]
async fn one_failed_call_makes_no_key_new() {
    each("outages_once", async |first, second| {
        assert_eq!(first.begin("k").await, Begun::New);
        first.end("k", Some(201)).await;
        // It rests after a failure of something else.
        second.fails_once();
        assert!(second.owned.beat().await.is_err());
        assert_eq!(second.begin("k").await, Begun::Ended(outcome(201)));
        // The call itself fails.
        assert_eq!(first.begin("l").await, Begun::New);
        second.fails_once();
        assert_eq!(second.begin("l").await, Begun::Running);
        second.fails_once();
        assert_eq!(second.begin("m").await, Begun::New);
        second.fails_once();
        assert_eq!(second.intend("m", "gw-m").await, Intended::Kept);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_was_begun_from_memory_is_claimed_before_anything_is_sent() {
    each("outages_begun", async |first, second| {
        second.cut_off(true);
        for name in ["answered", "running", "other", "nobody's"] {
            assert_eq!(second.begin(name).await, Begun::New, "{name}");
        }
        assert_eq!(first.begin("answered").await, Begun::New);
        first.end("answered", Some(201)).await;
        assert_eq!(first.begin("running").await, Begun::New);
        assert_eq!(first.intend("running", "gw-1").await, Intended::Kept);
        assert_eq!(first.owned.begin(key("other"), OTHER).await, Begun::New);
        second.cut_off(false);
        for (number, (name, begun)) in [
            ("answered", Begun::Ended(outcome(201))),
            ("running", Begun::Running),
            ("other", Begun::OtherRequest),
        ]
        .into_iter()
        .enumerate()
        {
            // Of another subject than what the first one sends.
            let mut intent = record(&format!("gw-2{number}"), 10, Stage::Asked);
            intent.task = None;
            let intended = second.owned.intend(&intent, Some(&key(name))).await;
            assert_eq!(intended, Intended::Taken, "{name}");
            second.end(name, None).await;
            assert_eq!(second.begin(name).await, begun, "{name}");
            assert_eq!(second.owned.find(&intent.known.id).await, Ok(None));
        }
        first.end("running", Some(202)).await;
        first.owned.withdraw(&id("gw-1")).await.unwrap();
        assert_eq!(second.intend("nobody's", "gw-3").await, Intended::Kept);
        assert_eq!(first.begin("nobody's").await, Begun::Running);
        second.end("nobody's", Some(202)).await;
        assert_eq!(first.begin("nobody's").await, Begun::Ended(outcome(202)));
    })
    .await;
}

#[tokio::test]
async fn what_others_know_as_not_sent_is_not_sent_from_memory() {
    each("outages_claimed", async |first, second| {
        assert_eq!(first.begin("k").await, Begun::New);
        first.cut_off(true);
        assert_eq!(first.intend("k", "gw-1").await, Intended::Unsafe);
        first.end("k", None).await;
        // Tried again, it is as unsafe as before: the claim is still kept.
        assert_eq!(first.begin("k").await, Begun::New);
        assert_eq!(first.intend("k", "gw-2").await, Intended::Unsafe);
        first.end("k", None).await;
        assert_eq!(second.begin("k").await, Begun::Running);
        // Other keys, and writes without one, go on.
        assert_eq!(first.begin("unheard").await, Begun::New);
        let away = Intended::Away { may_be_kept: false };
        assert_eq!(first.intend("unheard", "gw-3").await, away);
        let intent = record("gw-4", 10, Stage::Asked);
        assert_eq!(first.owned.intend(&intent, None).await, away);
        first.end("unheard", Some(202)).await;
        assert_eq!(Keep::standing(&first.owned).unwrap().unkept, 2);

        first.cut_off(false);
        first.owned.rested().await;
        first.owned.catch_up().await.unwrap();
        assert_eq!(Keep::standing(&first.owned).unwrap().unkept, 0);
        assert_eq!(second.begin("k").await, Begun::New);
        // What was answered from memory is known to all by now.
        assert_eq!(second.begin("unheard").await, Begun::Ended(outcome(202)));
        let other = second.owned.begin(key("unheard"), OTHER).await;
        assert_eq!(other, Begun::OtherRequest);
    })
    .await;
}

#[tokio::test]
async fn what_may_be_claimed_counts_as_claimed() {
    each("outages_perhaps", async |first, _| {
        first.cut_off(true);
        assert_eq!(first.begin("k").await, Begun::New);
        let (print, hold) = (SAME, Hold::Perhaps);
        first.owned.take(mark(&key("k")), Taken { print, hold });
        assert_eq!(first.intend("k", "gw-1").await, Intended::Unsafe);
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_freed_late_is_not_freed_of_what_is_sent_under_it_since() {
    each("outages_freed", async |first, second| {
        assert_eq!(first.begin("k").await, Begun::New);
        first.cut_off(true);
        first.end("k", None).await;
        first.cut_off(false);
        assert_eq!(first.begin("k").await, Begun::New);
        assert_eq!(first.intend("k", "gw-1").await, Intended::Kept);
        first.owned.catch_up().await.unwrap();
        assert_eq!(second.begin("k").await, Begun::Running);
        // Whose free is told, and who did not hear so, has it all the same.
        assert_eq!(first.begin("l").await, Begun::New);
        first.owned.memory.end(key("l"), None).await;
        assert_eq!(first.begin("l").await, Begun::New);
    })
    .await;
}

#[tokio::test]
async fn two_gateways_do_not_write_one_cluster_at_the_same_time() {
    each("outages_busy", async |first, second| {
        for number in 0..20 {
            let intents = [1, 2].map(|one| record(&format!("gw-{number}-{one}"), 10, Stage::Asked));
            let both = join(
                first.owned.intend(&intents[0], None),
                second.owned.intend(&intents[1], None),
            );
            let both: [Intended; 2] = both.await.into();
            assert!(both.contains(&Intended::Kept), "{both:?}");
            assert!(both.contains(&Intended::Busy), "{both:?}");
            for intent in &intents {
                first.owned.withdraw(&intent.known.id).await.unwrap();
            }
        }
        // What the vendor works on is no longer being sent.
        let sent = record("gw-9", 10, Stage::Asked);
        assert_eq!(first.owned.intend(&sent, None).await, Intended::Kept);
        let next = record("gw-10", 10, Stage::Asked);
        assert_eq!(second.owned.intend(&next, None).await, Intended::Busy);
        let settled = first.owned.settle(&id("gw-9"), &shown("gw-9", 11)).await;
        settled.unwrap();
        assert_eq!(second.owned.intend(&next, None).await, Intended::Kept);
        // Neither is what a gateway sent that is no more.
        let values = vec![Value::text(second.owned.owner.clone())];
        let died = second.owned.with(|store| {
            const DIE: &str = "UPDATE live_owner SET until = 0 WHERE id = $1";
            Box::pin(store.pool.execute_shared(DIE, values))
        });
        assert_eq!(died.await, Some(1));
        let last = record("gw-11", 10, Stage::Asked);
        assert_eq!(first.owned.intend(&last, None).await, Intended::Kept);
    })
    .await;
}

#[tokio::test]
async fn what_nobody_can_read_hides_nothing_after_it() {
    each("outages_unreadable", async |first, _| {
        for (name, second) in [("a", 1), ("b", 2), ("c", 3)] {
            first.owned.put(&shown(name, second)).await.unwrap();
        }
        first
            .execute("UPDATE operation SET body = '{' WHERE id = 's:b'")
            .await;
        let all = Selection::default();
        let mut names = Vec::new();
        let mut after = None;
        loop {
            let part = first.owned.list(&all, after.as_ref(), 2).await.unwrap();
            names.extend((part.known.into_iter()).map(|known| known.operation.native_id));
            after = part.until;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(names, ["c", "a"]);
    })
    .await;
}
