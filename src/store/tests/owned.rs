//! What keeps operations and keys, as two processes share it: the same of memory, of a file and of a server.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use futures_util::future::{BoxFuture, join, join_all};
use jiff::Timestamp;

use super::files::places;
use super::source;
use crate::domain::{
    ClusterId, ClusterSpec, Kind, Operation, OperationId, OperationKind, OperationState, SourceName,
};
use crate::live::testing::{Process, Table};
use crate::live::{
    Begun, Intended, Keep, Key, Keys, Known, Origin, Outcome, Record, Selection, Stage, Subject,
    Task,
};
use crate::store::Settings;
use crate::store::durable::Durable;
use crate::store::owned::Owned;
use crate::store::pool::Value;

/// A process of which a test decides when it dies.
trait Mortal: Keep + Keys {
    fn die(&self) -> BoxFuture<'_, ()>;
}

impl Mortal for Process {
    fn die(&self) -> BoxFuture<'_, ()> {
        Self::die(self);
        Box::pin(std::future::ready(()))
    }
}

impl Mortal for Owned {
    /// What it said last of its being alive is over; nobody tells it.
    fn die(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            const DIE: &str = "UPDATE live_owner SET until = 0 WHERE id = $1";
            let values = vec![Value::text(self.owner.clone())];
            let died =
                self.with(|store| Box::pin(async { store.pool.execute_shared(DIE, values).await }));
            assert_eq!(died.await, Some(1));
        })
    }
}

pub(super) fn id(native: &str) -> OperationId {
    OperationId::new(&source("s"), native)
}

pub(super) fn record(native: &str, second: i64, stage: Stage) -> Record {
    let at = Timestamp::from_second(second).unwrap();
    Record {
        known: Known {
            id: id(native),
            source: source("s"),
            provider: Kind::new("test"),
            cluster: Some(ClusterId::new(&source("s"), "c")),
            origin: Origin::Vendor,
            operation: Operation {
                native_id: native.to_owned(),
                kind: OperationKind::Create,
                state: OperationState::Running,
                ..Operation::default()
            },
            since: at,
            at,
            durable: true,
        },
        stage,
        task: Some(Box::new(Task {
            kind: OperationKind::Create,
            began: at,
            subject: Subject::Creation {
                spec: Box::new(ClusterSpec::default()),
                namesakes: vec![ClusterId::new(&source("s"), "old")],
            },
            before: None,
            patch: None,
            earlier: vec![id("earlier")],
            has_worked: true,
        })),
        is_shown: false,
    }
}

pub(super) fn shown(native: &str, second: i64) -> Record {
    Record {
        is_shown: true,
        ..record(native, second, Stage::Settled)
    }
}

fn ended(native: &str, second: i64, state: OperationState) -> Record {
    let mut record = shown(native, second);
    record.known.operation.state = state;
    record.known.operation.done = true;
    record
}

pub(super) fn key(text: &str) -> Key {
    Key {
        caller: "me".to_owned(),
        target: "POST /clusters".to_owned(),
        key: text.to_owned(),
    }
}

pub(super) fn outcome(status: u16) -> Outcome {
    Outcome {
        status,
        headers: vec![("location".to_owned(), "/operations/s:1".to_owned())],
        body: "{\"é\": 1}".as_bytes().to_vec(),
        reach: u128::MAX - 7,
    }
}

async fn listed(keep: &dyn Mortal, selection: &Selection) -> Vec<String> {
    let part = keep.list(selection, selection.after.as_ref(), 10).await;
    let known = part.unwrap().known.into_iter();
    known.map(|known| known.operation.native_id).collect()
}

async fn adopted(keep: &dyn Mortal) -> Vec<String> {
    let mine: [SourceName; 1] = [source("s")];
    let records = keep.adopt(&mine, 10).await.unwrap().into_iter();
    let mut names: Vec<String> = records
        .map(|record| record.known.operation.native_id)
        .collect();
    names.sort();
    names
}

/// Everything that is promised of operations.
async fn operations_are_kept(first: &dyn Mortal, second: &dyn Mortal) {
    let all = Selection::default();
    let intent = record("gw-1", 10, Stage::Asked);
    assert_eq!(first.intend(&intent, None).await, Intended::Kept);
    assert_eq!(second.find(&id("gw-1")).await, Ok(Some(intent.clone())));
    assert_eq!(second.find(&id("gw-0")).await, Ok(None));
    assert!(listed(second, &all).await.is_empty());
    assert!(adopted(second).await.is_empty(), "its owner lives");

    // The vendor tells an operation of its own: the intent became that.
    let going = shown("op-1", 11);
    first.settle(&id("gw-1"), &going).await.unwrap();
    for name in ["gw-1", "op-1"] {
        assert_eq!(second.find(&id(name)).await, Ok(Some(going.clone())));
    }
    assert_eq!(listed(second, &all).await, ["op-1"]);

    // What is older changes nothing, and an end is an end.
    let mut newer = shown("op-1", 13);
    newer.known.since = going.known.since;
    newer.known.operation.native_status = Some("halfway".to_owned());
    second.put(&newer).await.unwrap();
    first.put(&shown("op-1", 12)).await.unwrap();
    assert_eq!(first.find(&id("op-1")).await, Ok(Some(newer)));
    let mut end = ended("op-1", 14, OperationState::Succeeded);
    first.put(&end).await.unwrap();
    second.put(&shown("op-1", 15)).await.unwrap();
    end.known.since = going.known.since;
    assert_eq!(second.find(&id("op-1")).await, Ok(Some(end)));

    // Nothing was carried out.
    let refused = record("gw-2", 20, Stage::Asked);
    assert_eq!(first.intend(&refused, None).await, Intended::Kept);
    first.withdraw(&id("gw-2")).await.unwrap();
    assert_eq!(second.find(&id("gw-2")).await, Ok(None));

    // Pages meet without a gap, also where times are the same.
    for name in ["a", "b", "c"] {
        first.put(&shown(name, 30)).await.unwrap();
    }
    let mut page = Selection::default();
    let mut names = Vec::new();
    loop {
        let part = second.list(&page, page.after.as_ref(), 2).await.unwrap();
        names.extend((part.known.iter()).map(|known| known.operation.native_id.clone()));
        page.after = part.until;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(names, ["c", "b", "a", "op-1"]);
    let elsewhere = Selection {
        source: Some(source("t")),
        ..Selection::default()
    };
    assert!(listed(first, &elsewhere).await.is_empty());

    // What was going on is another one's when its owner is no more, and each of it is one other's.
    let left = record("gw-3", 40, Stage::Asked);
    assert_eq!(first.intend(&left, None).await, Intended::Kept);
    first.die().await;
    let foreign: [SourceName; 1] = [source("t")];
    assert!(second.adopt(&foreign, 10).await.unwrap().is_empty());
    assert_eq!(adopted(second).await, ["a", "b", "c", "gw-3"]);
    assert!(adopted(second).await.is_empty());
    assert!(listed(second, &all).await.contains(&"gw-3".to_owned()));
    second.abandon(&id("gw-3")).await.unwrap();
    assert_eq!(adopted(second).await, ["gw-3"]);

    // Who sent it may know better after all.
    let unknown = ended("gw-3", 41, OperationState::Unknown);
    second.settle(&id("gw-3"), &unknown).await.unwrap();
    let mut known = ended("gw-3", 42, OperationState::Succeeded);
    first.settle(&id("gw-3"), &known).await.unwrap();
    known.known.since = left.known.since;
    assert_eq!(second.find(&id("gw-3")).await, Ok(Some(known)));
    first.beat().await.unwrap();
}

/// Everything that is promised of keys.
async fn keys_are_kept(first: &dyn Mortal, second: &dyn Mortal) {
    let (same, other) = ([1; 32], [2; 32]);
    assert_eq!(first.begin(key("1"), same).await, Begun::New);
    assert_eq!(second.begin(key("1"), same).await, Begun::Running);
    assert_eq!(second.begin(key("1"), other).await, Begun::OtherRequest);
    first.end(key("1"), Some(outcome(201))).await;
    for process in [first, second] {
        let again = process.begin(key("1"), same).await;
        assert_eq!(again, Begun::Ended(outcome(201)));
        assert_eq!(process.begin(key("1"), other).await, Begun::OtherRequest);
    }
    // What did nothing frees its key.
    assert_eq!(first.begin(key("2"), same).await, Begun::New);
    first.end(key("2"), None).await;
    assert_eq!(second.begin(key("2"), other).await, Begun::New);
    second.end(key("2"), Some(outcome(202))).await;

    // Under three keys: nothing was sent, something was, and something was that ended.
    for name in ["unsent", "sent", "ended"] {
        assert_eq!(first.begin(key(name), same).await, Begun::New);
    }
    for (name, native) in [("sent", "gw-5"), ("ended", "gw-6")] {
        let intent = record(native, 50, Stage::Asked);
        assert_eq!(
            first.intend(&intent, Some(&key(name))).await,
            Intended::Kept
        );
    }
    let going = shown("op-6", 51);
    first.settle(&id("gw-6"), &going).await.unwrap();
    first.die().await;
    assert_eq!(second.begin(key("unsent"), same).await, Begun::New);
    // Whose key it is no longer must not send.
    let late = record("gw-7", 52, Stage::Asked);
    assert_eq!(
        first.intend(&late, Some(&key("unsent"))).await,
        Intended::Taken
    );
    let recalled = second.begin(key("ended"), same).await;
    assert_eq!(recalled, Begun::Left(Box::new(going)));
    second.end(key("ended"), Some(outcome(202))).await;
    assert_eq!(second.begin(key("sent"), same).await, Begun::Running);
    assert_eq!(adopted(second).await, ["gw-5", "op-6"]);
    assert_eq!(second.begin(key("sent"), same).await, Begun::Running);
    let mut unknown = ended("gw-5", 53, OperationState::Unknown);
    second.settle(&id("gw-5"), &unknown).await.unwrap();
    unknown.known.since = Timestamp::from_second(50).unwrap();
    let recalled = second.begin(key("sent"), same).await;
    assert_eq!(recalled, Begun::Left(Box::new(unknown)));
    second.end(key("sent"), Some(outcome(502))).await;
    first.beat().await.unwrap();
}

/// Two who come at the same time are never both the first.
async fn one_of_two_is_first(first: &dyn Mortal, second: &dyn Mortal) {
    let names: Vec<String> = (0..30).map(|number| format!("race-{number}")).collect();
    let begun = join_all(names.iter().map(|name| {
        join(
            first.begin(key(name), [1; 32]),
            second.begin(key(name), [1; 32]),
        )
    }));
    for both in begun.await {
        assert!(
            matches!(
                both,
                (Begun::New, Begun::Running) | (Begun::Running, Begun::New)
            ),
            "{both:?}"
        );
    }
}

async fn holds(first: &dyn Mortal, second: &dyn Mortal) {
    operations_are_kept(first, second).await;
    keys_are_kept(first, second).await;
    one_of_two_is_first(first, second).await;
}

#[tokio::test]
async fn memory_keeps_operations_and_keys() {
    let table: Arc<Mutex<Table>> = Arc::default();
    holds(&Process::new(&table, 1), &Process::new(&table, 2)).await;
}

async fn process(durable: &Arc<Durable>) -> Owned {
    let mut owned = Owned::over(Arc::clone(durable));
    owned.is_alone = false;
    owned.beat().await.unwrap();
    owned
}

#[tokio::test]
async fn a_store_keeps_operations_and_keys() {
    for place in places("owned").await {
        let durable = Arc::new(Durable::new(Settings::at(place.address.clone())));
        assert!(durable.restore(&[]).await.error.is_none());
        let (first, second) = (process(&durable).await, process(&durable).await);
        holds(&first, &second).await;
        durable.close().await;
        // Nobody can be told from itself by a name that another one has.
        let owners: HashSet<&str> = [&first, &second].map(|owned| owned.owner.as_str()).into();
        assert_eq!(owners.len(), 2);
    }
}

#[tokio::test]
async fn who_has_the_file_alone_waits_for_nobody_and_who_is_away_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::at(crate::store::Address::within(folder.path()));
    let durable = Arc::new(Durable::new(settings.clone()));
    let early = Owned::over(Arc::clone(&durable));
    let intent = record("gw-1", 10, Stage::Asked);
    let away = Intended::Away { may_be_kept: false };
    assert_eq!(early.intend(&intent, None).await, away, "nothing is open");
    assert_eq!(early.begin(key("k"), [1; 32]).await, Begun::New);
    assert_eq!(early.begin(key("k"), [1; 32]).await, Begun::Running);
    let behind = Keep::standing(&early).unwrap().behind.unwrap();
    assert_eq!(behind.1, "STORE_LATE");

    assert!(durable.restore(&[]).await.error.is_none());
    let first = Owned::over(Arc::clone(&durable));
    assert_eq!(first.intend(&intent, None).await, Intended::Kept);
    durable.close().await;
    let durable = Arc::new(Durable::new(settings));
    assert!(durable.restore(&[]).await.error.is_none());
    // The one before said a moment ago that it lives.
    let second = Owned::over(Arc::clone(&durable));
    second.beat().await.unwrap();
    assert_eq!(adopted(&second).await, ["gw-1"]);
    assert_eq!(Keep::standing(&second).unwrap().behind, None);
    durable.close().await;
}
