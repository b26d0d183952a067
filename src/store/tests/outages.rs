//! Keys and intents while the store fails for a moment, at the worst moment, or for long: no key is used twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join};

use super::files::places;
use super::owned::{id, key, outcome, record, shown};
use super::source;
use crate::live::{Begun, Intended, Keep, Keys, Selection, Stage};
use crate::store::StoreError;
use crate::store::claims::mark;
use crate::store::durable::Durable;
use crate::store::open::Store;
use crate::store::owned::{Hold, Owned, Reach, Taken};
use crate::store::pool::Value;
use crate::store::settings::{Address, Settings};

const SAME: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];
const TAKE_OVER: &str = "UPDATE claim SET owner = $1 WHERE key = $2";
const TAKEN: &str = "UPDATE operation SET owner = $1 WHERE id = 's:c'";
const INTENT: &str = "INSERT INTO operation (id, source, created, at, done, shown, owner, body) \
    VALUES ('s:gw-1', 's', 0, 0, 0, 0, 'me', '{}')";
const LEFT: &str = "SELECT COUNT(*) FROM operation";

/// A way to the store that fails as told.
struct Way {
    durable: Arc<Durable>,
    is_away: AtomicBool,
    /// How many calls go well before some fail.
    passing: AtomicUsize,
    /// How many calls fail, though the store is not away.
    failing: AtomicUsize,
}

impl Reach for Way {
    fn store(&self) -> BoxFuture<'_, Result<Arc<Store>, StoreError>> {
        Box::pin(async {
            let counts = |left: &AtomicUsize| {
                let less = |left: usize| left.checked_sub(1);
                let counted = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
                counted.is_ok()
            };
            let is_failing = !counts(&self.passing) && counts(&self.failing);
            if is_failing || self.is_away.load(Ordering::Relaxed) {
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
            passing: AtomicUsize::new(0),
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

    /// Has one call fail, after some that go well.
    fn fails_after(&self, count: usize) {
        self.way.passing.store(count, Ordering::Relaxed);
        self.fails_once();
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
        self.execute_with(sql, Vec::new()).await;
    }

    async fn execute_with(&self, sql: &'static str, values: Vec<Value>) {
        let done = self
            .owned
            .with(|store| Box::pin(store.pool.execute_shared(sql, values)));
        assert_eq!(done.await, Some(1), "{sql}");
    }

    /// What it said last of its being alive is over.
    async fn die(&self) {
        const DIE: &str = "UPDATE live_owner SET until = 0 WHERE id = $1";
        let owner = Value::text(self.owned.owner.clone());
        self.execute_with(DIE, vec![owner]).await;
    }

    async fn adopted(&self) -> Vec<String> {
        let records = self.owned.adopt(&[source("s")], 8).await.unwrap();
        let known = records.into_iter().map(|record| record.known);
        known.map(|known| known.operation.native_id).collect()
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
async fn a_key_that_was_taken_over_unheard_is_not_freed_of_what_was_sent_under_it() {
    each("outages_left", async |first, second| {
        let names = ["heard of later", "away for longer", "once"];
        for name in names {
            assert_eq!(first.begin(name).await, Begun::New);
            assert_eq!(first.intend(name, name).await, Intended::Kept);
            let settled = first.owned.settle(&id(name), &shown(name, 11)).await;
            settled.unwrap();
        }
        first.die().await;
        for name in names {
            // It takes the key over, and hears nothing of that for so long that it goes on from memory.
            second.cut_off(true);
            assert_eq!(second.begin(name).await, Begun::New, "{name}");
            let (print, hold) = (SAME, Hold::Perhaps);
            second.owned.take(mark(&key(name)), Taken { print, hold });
            let is_away = name == "away for longer";
            second.cut_off(is_away);
            let owner = Value::text(second.owned.owner.clone());
            let values = vec![owner, Value::Bytes(Some(mark(&key(name)).to_vec()))];
            first.execute_with(TAKE_OVER, values).await;
            if name == "once" {
                // It is heard of at the second try.
                second.owned.let_go(&mark(&key(name)));
                second.owned.memory.end(key(name), None).await;
            } else {
                let refused = if is_away {
                    Intended::Unsafe
                } else {
                    Intended::Taken
                };
                let mut intent = record("gw-again", 12, Stage::Asked);
                intent.task = None;
                let intended = second.owned.intend(&intent, Some(&key(name))).await;
                assert_eq!(intended, refused, "{name}");
                second.end(name, None).await;
                second.cut_off(false);
                second.owned.rested().await;
                second.owned.catch_up().await.unwrap();
            }
            let Begun::Left(record) = second.begin(name).await else {
                panic!("{name} is sent again");
            };
            assert_eq!(record.known.operation.native_id, name);
            assert_eq!(second.begin(name).await, Begun::Running, "{name}");
            second.end(name, Some(202)).await;
            assert_eq!(second.begin(name).await, Begun::Ended(outcome(202)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_is_free_once_what_was_asked_under_it_is_withdrawn_however_late() {
    each("outages_withdrawn", async |first, second| {
        // Freed before it is withdrawn, and the other way round.
        for is_freed_first in [true, false] {
            let name = if is_freed_first { "freed" } else { "withdrawn" };
            assert_eq!(first.begin(name).await, Begun::New);
            assert_eq!(first.intend(name, name).await, Intended::Kept);
            first.cut_off(!is_freed_first);
            first.end(name, None).await;
            assert_eq!(second.begin(name).await, Begun::Running);
            first.cut_off(false);
            first.owned.rested().await;
            first.owned.withdraw(&id(name)).await.unwrap();
            first.owned.catch_up().await.unwrap();
            assert_eq!(second.begin(name).await, Begun::New, "{name}");
        }
        // Not while its request goes on: that may have an answer for it.
        assert_eq!(first.begin("refused").await, Begun::New);
        let mut intent = record("gw-1", 10, Stage::Asked);
        intent.task = None;
        let intended = first.owned.intend(&intent, Some(&key("refused"))).await;
        assert_eq!(intended, Intended::Kept);
        first.owned.withdraw(&id("gw-1")).await.unwrap();
        assert_eq!(second.begin("refused").await, Begun::Running);
        first.end("refused", Some(422)).await;
        assert_eq!(second.begin("refused").await, Begun::Ended(outcome(422)));
    })
    .await;
}

#[tokio::test]
async fn what_is_taken_over_unheard_is_taken_over_again() {
    each("outages_adopted", async |first, second| {
        for (name, at) in [("a", 1), ("b", 2), ("c", 3), ("d", 4)] {
            first.owned.put(&shown(name, at)).await.unwrap();
        }
        first.die().await;
        // One is of a version that this one cannot read; the one after it is not heard of.
        first
            .execute("UPDATE operation SET body = '{' || body WHERE id = 's:b'")
            .await;
        second.fails_after(2);
        assert_eq!(second.adopted().await, ["a"]);
        // It was taken over all the same.
        let owner = Value::text(second.owned.owner.clone());
        first.execute_with(TAKEN, vec![owner]).await;
        second.owned.rested().await;
        assert_eq!(second.adopted().await, ["c", "d"]);
        assert!(second.adopted().await.is_empty());
        first
            .execute("UPDATE operation SET body = substr(body, 2) WHERE id = 's:b'")
            .await;
        assert_eq!(second.adopted().await, ["b"]);
    })
    .await;
}

#[tokio::test]
async fn what_is_withdrawn_is_not_kept_afterwards() {
    for place in places("outages_hanging").await {
        if matches!(place.address, Address::File(_)) {
            // Who writes a file is alone.
            continue;
        }
        let [durable, hanging] =
            [(); 2].map(|()| Arc::new(Durable::new(Settings::at(place.address.clone()))));
        let gateway = Gateway::over(&durable).await;
        let store = hanging.connect().await.unwrap();
        let mut intent = store.pool.begin_shared().await.unwrap();
        intent.execute(INTENT, Vec::new()).await.unwrap();
        let is_over = AtomicBool::new(false);
        let withdrawn = async {
            let withdrawn = gateway.owned.withdraw(&id("gw-1")).await;
            is_over.store(true, Ordering::Relaxed);
            withdrawn
        };
        let committed = async {
            const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity \
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            while !is_over.load(Ordering::Relaxed) {
                let waiting: Vec<(i64,)> = store.reads.fetch(WAITING, Vec::new()).await.unwrap();
                if waiting[0].0 > 0 {
                    break;
                }
            }
            intent.commit().await.unwrap();
        };
        let (withdrawn, ()) = join(withdrawn, committed).await;
        assert_eq!(withdrawn, Ok(()));
        let left: Vec<(i64,)> = store.reads.fetch(LEFT, Vec::new()).await.unwrap();
        assert_eq!(left, [(0,)]);
        durable.close().await;
        hanging.close().await;
    }
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
        second.die().await;
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
