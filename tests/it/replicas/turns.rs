//! What the database itself sees to: one turn at a time, tokens, and who may write at all.

use std::sync::Arc;
use std::time::Duration;

use clustergate::domain::{Kind, SourceName};
use clustergate::inventory::journal::{Journal as _, Publication};
use clustergate::inventory::replicas::{Commons, Newer};
use clustergate::store::{Address, Recorder, Settings, Sharing};
use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::{PATIENCE, database, until};

/// A gateway's part in a database.
struct Part {
    recorder: Arc<Recorder>,
    commons: Arc<dyn Commons>,
    first: Newer,
}

fn settings(address: &str, shared: Option<Sharing>) -> Settings {
    Settings {
        shared,
        ..Settings::at(Address::parse(address, std::path::Path::new("")).unwrap())
    }
}

async fn open(address: &str, lease: Duration) -> Part {
    let settings = settings(address, Some(Sharing { lease }));
    let sources = vec![(source(), Kind::new("latitude"))];
    let (recorder, _) = Recorder::open(settings, sources, &Handle::current()).await;
    let (commons, first) = recorder.commons().unwrap();
    Part {
        recorder,
        commons,
        first: first.unwrap(),
    }
}

fn source() -> SourceName {
    SourceName::new("s").unwrap()
}

fn nothing_new(generation: u64) -> Publication {
    Publication {
        generation,
        at: Timestamp::now(),
        deltas: Vec::new(),
        batch: None,
    }
}

#[tokio::test]
async fn turns_follow_each_other_and_a_lease_that_was_taken_over_is_refused() {
    let Some(address) = database("clustergate_turns").await else {
        return;
    };
    let one = open(&address, Duration::from_secs(2)).await;
    let desk = one.commons.desk(&source()).unwrap();
    until("there is a lease", async || desk.lease().is_some()).await;
    let token = desk.lease().unwrap().token;
    let other = open(&address, Duration::from_secs(2)).await;
    let last = other.first.generation;
    assert!(last > 0);
    // Nobody has come first since.
    assert_eq!(last, one.first.generation);

    // Whoever comes second waits, and begins with what the first one has published.
    let begun = one.commons.begin(last).await.unwrap();
    assert!(begun.newer.is_none());
    let waiting = timeout(Duration::from_millis(300), other.commons.begin(last));
    assert!(waiting.await.is_err(), "two turns at once");
    let mut turn = begun.turn;
    assert_eq!(turn.lost(&[(source(), token)]).await, Ok(Vec::new()));
    let wrong = vec![(source(), token + 1)];
    assert_eq!(turn.lost(&wrong).await, Ok(wrong.clone()));
    turn.commit(nothing_new(last + 5)).await.unwrap();
    let begun = other.commons.begin(last).await.unwrap();
    let newer = begun.newer.unwrap();
    assert_eq!((newer.previous, newer.generation), (last, last + 5));
    assert_eq!(begun.own, 0, "it has made none");
    // The other has not the lease, whatever its number.
    let mut turn = begun.turn;
    let lease = vec![(source(), token)];
    assert_eq!(turn.lost(&lease).await, Ok(lease.clone()));
    drop(turn);
    let begun = one.commons.begin(last + 5).await.unwrap();
    assert_eq!(begun.own, last + 5);
    drop(begun);

    // Without a word of its holder another one takes it, under another token.
    let mut connection = PgConnection::connect(&address).await.unwrap();
    sqlx::raw_sql("UPDATE lease SET holder = 'somebody', token = token + 1")
        .execute(&mut connection)
        .await
        .unwrap();
    let mut turn = one.commons.begin(last + 5).await.unwrap().turn;
    assert_eq!(turn.lost(&lease).await, Ok(lease.clone()));
    drop(turn);
    until("the holder knows", async || {
        desk.lease().is_none_or(|now| now.token != token)
    })
    .await;
    one.recorder.stop(PATIENCE).await;
    other.recorder.stop(PATIENCE).await;
}

#[tokio::test]
async fn who_is_stopped_in_its_turn_does_not_hold_up_the_others_for_long() {
    let Some(address) = database("clustergate_held_up").await else {
        return;
    };
    let one = open(&address, Duration::from_secs(15)).await;
    let other = open(&address, Duration::from_secs(15)).await;
    let last = one.first.generation;
    let stopped = one.commons.begin(last).await.unwrap().turn;
    let begun = Instant::now();
    let turn = other.commons.begin(last).await.unwrap().turn;
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "{:?}",
        begun.elapsed()
    );
    turn.commit(nothing_new(last + 1)).await.unwrap();
    assert!(stopped.commit(nothing_new(last + 2)).await.is_err());
    let newer = one.commons.newer(last).await.unwrap().unwrap();
    assert_eq!(newer.generation, last + 1);
    one.recorder.stop(PATIENCE).await;
    other.recorder.stop(PATIENCE).await;
}

#[tokio::test]
async fn who_shares_a_database_and_who_has_it_alone_refuse_each_other() {
    let Some(address) = database("clustergate_mixed").await else {
        return;
    };
    let code = |recorder: &Recorder| {
        let standing = recorder.standing().unwrap();
        standing.behind.map(|behind| behind.code)
    };
    let shared = open(&address, Duration::from_secs(2)).await;
    let runtime = Handle::current();
    let (alone, _) = Recorder::open(settings(&address, None), Vec::new(), &runtime).await;
    assert_eq!(code(&alone), Some("STORE_LOCKED"));
    shared.recorder.stop(PATIENCE).await;
    alone.stop(PATIENCE).await;
    let (alone, _) = Recorder::open(settings(&address, None), Vec::new(), &runtime).await;
    assert_eq!(code(&alone), None);
    let sharing = settings(&address, Some(Sharing::default()));
    let (shared, _) = Recorder::open(sharing, Vec::new(), &runtime).await;
    assert_eq!(code(&shared), Some("STORE_LOCKED"));
    assert!(shared.is_waiting());
    assert!(shared.commons().unwrap().1.is_none());
    shared.stop(PATIENCE).await;
    alone.stop(PATIENCE).await;
}
