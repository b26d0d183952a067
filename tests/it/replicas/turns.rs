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
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use super::proxy::Proxy;
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

async fn carry_out(address: &str, sql: &'static str) {
    let mut connection = PgConnection::connect(address).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn count(address: &str, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(address).await.unwrap();
    let row: (i64,) = sqlx::query_as(sql)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    row.0
}

#[tokio::test]
async fn a_turn_lasts_as_long_as_somebody_is_at_it() {
    let Some(address) = database("clustergate_at_it").await else {
        return;
    };
    let one = open(&address, Duration::from_secs(15)).await;
    let last = one.first.generation;
    let mut turn = one.commons.begin(last).await.unwrap().turn;
    let begun = Instant::now();
    // Longer than one in which nothing happens.
    while begun.elapsed() < Duration::from_secs(6) {
        turn.stay().await.unwrap();
        sleep(Duration::from_millis(500)).await;
    }
    turn.commit(nothing_new(last + 1)).await.unwrap();
    one.recorder.stop(PATIENCE).await;
}

#[tokio::test]
async fn who_follows_learns_where_changes_were_deleted_before_it_had_them() {
    let Some(address) = database("clustergate_deleted").await else {
        return;
    };
    let one = open(&address, Duration::from_secs(15)).await;
    let other = open(&address, Duration::from_secs(15)).await;
    let last = one.first.generation;
    let publish = async |after: u64, generation: u64| {
        let turn = one.commons.begin(after).await.unwrap().turn;
        turn.commit(nothing_new(generation)).await.unwrap();
    };
    // With the first publication begins what is known.
    publish(last, last + 1).await;
    publish(last + 1, last + 2).await;
    let newer = other.commons.newer(last + 1).await.unwrap().unwrap();
    assert_eq!(newer.anew, None, "everything is there");
    publish(last + 2, last + 5).await;
    carry_out(
        &address,
        "UPDATE meta SET value = (SELECT value FROM meta WHERE name = 'generation') - 1 WHERE name = 'changes_whole_from'",
    )
    .await;
    let newer = other.commons.newer(last + 2).await.unwrap().unwrap();
    assert_eq!(newer.anew.map(|floor| floor.0), Some(last + 3));
    one.recorder.stop(PATIENCE).await;
    other.recorder.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_database_that_was_put_back_is_taken_over_anew() {
    let Some(address) = database("clustergate_put_back").await else {
        return;
    };
    let one = open(&address, Duration::from_secs(15)).await;
    let last = one.first.generation;
    for step in 0..3 {
        let turn = one.commons.begin(last + step).await.unwrap().turn;
        turn.commit(nothing_new(last + step + 1)).await.unwrap();
    }
    let applied = last + 3;
    // Older than what is shown here.
    carry_out(
        &address,
        "UPDATE meta SET value = value - 2 WHERE name IN ('generation', 'previous'); UPDATE turn SET generation = generation - 2",
    )
    .await;
    let newer = one.commons.newer(applied).await.unwrap().unwrap();
    assert_eq!(newer.generation, last + 1);
    let floor = newer.anew.unwrap().0;
    assert!(
        floor >= applied,
        "{floor}: nobody goes on from what never was"
    );
    assert_eq!(newer.left, [source()]);
    let restarts = "SELECT COUNT(*) FROM restart";
    assert_eq!(count(&address, restarts).await, 1);

    // Somebody else has gone on from there: what is shown here is no part of it.
    let other = open(&address, Duration::from_secs(15)).await;
    let turn = other.commons.begin(last + 1).await.unwrap().turn;
    turn.commit(nothing_new(applied + 1)).await.unwrap();
    let newer = one.commons.newer(applied).await.unwrap().unwrap();
    assert_eq!((newer.previous, newer.generation), (last + 1, applied + 1));
    assert!(newer.anew.is_some());
    // Who follows step by step does not begin anew.
    let turn = other.commons.begin(applied + 1).await.unwrap().turn;
    turn.commit(nothing_new(applied + 2)).await.unwrap();
    let newer = one.commons.newer(applied + 1).await.unwrap().unwrap();
    assert_eq!(newer.anew, None);
    one.recorder.stop(PATIENCE).await;
    other.recorder.stop(PATIENCE).await;
}

#[tokio::test]
async fn who_gives_a_source_back_leaves_wishes_to_whoever_reads_it_next() {
    let Some(address) = database("clustergate_wishes").await else {
        return;
    };
    let one = open(&address, Duration::from_secs(4)).await;
    let desk = one.commons.desk(&source()).unwrap();
    until("there is a lease", async || desk.lease().is_some()).await;
    carry_out(
        &address,
        "CREATE TABLE served (token BIGINT); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO served VALUES (NEW.token); RETURN NEW; END $$; \
         CREATE TRIGGER note BEFORE UPDATE ON lease FOR EACH ROW \
         WHEN (OLD.wanted AND NOT NEW.wanted) EXECUTE FUNCTION note()",
    )
    .await;
    let token = desk.lease().unwrap().token;
    let mut connection = PgConnection::connect(&address).await.unwrap();
    desk.close();
    sqlx::raw_sql("UPDATE lease SET wanted = TRUE; NOTIFY clustergate, 'wanted'")
        .execute(&mut connection)
        .await
        .unwrap();
    until("it is read again", async || {
        desk.lease().is_some_and(|lease| lease.token > token)
    })
    .await;
    until("the wish is served", async || {
        count(&address, "SELECT COUNT(*) FROM served").await > 0
    })
    .await;
    let served = count(&address, "SELECT MIN(token) FROM served").await;
    assert!(served > i64::try_from(token).unwrap());
    one.recorder.stop(PATIENCE).await;
}

#[tokio::test]
async fn who_is_about_to_end_leaves_its_sources_before_it_does() {
    let Some(address) = database("clustergate_retiring").await else {
        return;
    };
    let one = open(&address, Duration::from_mins(5)).await;
    let desk = one.commons.desk(&source()).unwrap();
    until("there is a lease", async || desk.lease().is_some()).await;
    let other = open(&address, Duration::from_mins(5)).await;
    let next = other.commons.desk(&source()).unwrap();
    one.recorder.retire();
    until("the other reads it", async || next.lease().is_some()).await;
    assert!(desk.lease().is_none());
    until("it takes no part", async || {
        count(&address, "SELECT COUNT(*) FROM replica").await == 1
    })
    .await;
    // What it has to publish still is.
    let last = one.first.generation;
    let turn = one.commons.begin(last).await.unwrap().turn;
    turn.commit(nothing_new(last + 1)).await.unwrap();
    one.recorder.stop(PATIENCE).await;
    other.recorder.stop(PATIENCE).await;
}

#[tokio::test]
async fn who_was_cut_off_hears_of_the_others_again() {
    let Some(address) = database("clustergate_unheard").await else {
        return;
    };
    let mut through = Url::parse(&address).unwrap();
    let server = through.socket_addrs(|| Some(5432)).unwrap()[0];
    let way = Proxy::to(server).await;
    through.set_ip_host(way.address.ip()).unwrap();
    through.set_port(Some(way.address.port())).unwrap();
    let one = open(through.as_str(), Duration::from_secs(2)).await;
    let mut news = one.commons.news();
    until("it listens", async || *news.borrow_and_update() > 0).await;
    way.cut();
    // Whoever listens is told that it may have missed something as soon as it does so again.
    let heard = timeout(Duration::from_secs(25), news.changed()).await;
    assert!(heard.is_ok(), "it listens to nobody");
    one.recorder.stop(Duration::from_secs(2)).await;
}
