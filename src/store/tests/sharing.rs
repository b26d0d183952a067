//! What several gateways leave to each other in a database.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::Handle;

use super::files::{Place, places};
use super::source;
use crate::domain::Kind;
use crate::store::pool::Hold;
use crate::store::{Address, Recorder, Settings, Sharing, Store};

const GRACE: Duration = Duration::from_secs(20);
const LEASE: Duration = Duration::from_mins(1);

/// A database, where there is one to test with.
async fn shared(name: &str) -> Option<(Place, Settings, PgConnection)> {
    let mut places = places(name).await;
    let place = places.pop().unwrap();
    let Address::Server(options) = &place.address else {
        return None;
    };
    place.open().await.close().await;
    let connection = PgConnection::connect_with(options).await.unwrap();
    let settings = Settings {
        shared: Some(Sharing { lease: LEASE }),
        ..Settings::at(place.address.clone())
    };
    Some((place, settings, connection))
}

async fn carry_out(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

#[tokio::test]
async fn where_nothing_is_to_be_deleted_nobody_waits_for_a_turn() {
    let Some((place, settings, mut connection)) = shared("sharing_tidying").await else {
        return;
    };
    let store = Store::open_for(&place.address, Hold::Shared).await.unwrap();
    carry_out(
        &mut connection,
        "INSERT INTO meta (name, value) VALUES ('generation', 1)",
    )
    .await;
    carry_out(
        &mut connection,
        "BEGIN; SELECT value FROM meta WHERE name = 'generation' FOR UPDATE",
    )
    .await;
    let now = Timestamp::now();
    // Who waited for the turn would be late.
    assert!(!store.tidy_gone(&settings, now).await.unwrap());
    carry_out(
        &mut connection,
        "COMMIT; INSERT INTO unseen (source, since) VALUES ('s', 0)",
    )
    .await;
    assert!(store.tidy_gone(&settings, now).await.unwrap());
    assert!(!store.tidy_gone(&settings, now).await.unwrap());
    store.close().await;
}

#[tokio::test]
async fn who_could_not_say_lately_that_it_takes_part_is_not_taken_for_absent() {
    let Some((_place, settings, mut connection)) = shared("sharing_absent").await else {
        return;
    };
    let open = async || {
        let sources = vec![(source("s"), Kind::new("latitude"))];
        let (recorder, _) = Recorder::open(settings.clone(), sources, &Handle::current()).await;
        let (commons, first) = recorder.commons().unwrap();
        let recorder: Arc<Recorder> = recorder;
        (recorder, commons, first.unwrap().generation)
    };
    let (recorder, _, first) = open().await;
    recorder.stop(GRACE).await;
    // Another one, and its source; the database was away for a while.
    carry_out(
        &mut connection,
        "INSERT INTO replica (id, until, sources) VALUES ('other', clock_timestamp() - interval '5 seconds', '[[\"t\",\"latitude\"]]'); \
        INSERT INTO source (name, provider, account, clusters, print, generation) VALUES ('t', 'latitude', '', 0, '', 1)",
    )
    .await;
    let (recorder, commons, generation) = open().await;
    assert_eq!(generation, first, "nothing was left");
    let begun = commons.begin(generation).await.unwrap();
    let census = begun.census.unwrap();
    assert_eq!((census.come, census.gone.len()), (vec![source("s")], 0));
    drop(begun.turn);
    recorder.stop(GRACE).await;
    // It has died, and nobody was there for long.
    carry_out(
        &mut connection,
        "UPDATE replica SET until = until - interval '1 hour'",
    )
    .await;
    let (recorder, commons, generation) = open().await;
    assert!(generation > first);
    let begun = commons.begin(generation).await.unwrap();
    let gone = begun.census.unwrap().gone;
    assert_eq!(gone[0].0, source("t"));
    drop(begun.turn);
    recorder.stop(GRACE).await;
}
