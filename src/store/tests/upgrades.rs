//! Tables of an earlier version, and steps that take long: on a server, where somebody else can be in their way.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection as _, PgConnection};
use tokio::time::{pause, resume, sleep, timeout};

use super::files::{Place, places};
use crate::store::durable::Durable;
use crate::store::open::newest;
use crate::store::pool::Transaction;
use crate::store::{Address, StoreError};

const PATIENCE: Duration = Duration::from_mins(1);
/// Undoes the step that adds a column.
const UNDO: &str =
    "ALTER TABLE replica DROP COLUMN sources; DELETE FROM _sqlx_migrations WHERE version = 8";
const WAITING: &str = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()";

/// A database whose tables are those of an earlier version, and somebody who is in the way of the step from there.
async fn blocked(place: &Place) -> (Transaction, PgConnection) {
    let Address::Server(options) = &place.address else {
        panic!("not a server");
    };
    let store = place.open().await;
    store.close().await;
    let mut connection = PgConnection::connect_with(options).await.unwrap();
    sqlx::raw_sql(UNDO).execute(&mut connection).await.unwrap();
    let pool = sqlx::PgPool::connect_with((**options).clone())
        .await
        .unwrap();
    let mut transaction = pool.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE replica IN ACCESS SHARE MODE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    (Transaction::Postgres(transaction), connection)
}

async fn waiting(connection: &mut PgConnection) -> i64 {
    let count: (i64,) = sqlx::query_as(WAITING).fetch_one(connection).await.unwrap();
    count.0
}

async fn until(connection: &mut PgConnection, count: i64) {
    let counted = async {
        while waiting(connection).await != count {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, counted).await.unwrap();
}

#[tokio::test]
async fn a_step_that_takes_long_goes_on_while_nobody_waits_for_it_and_is_begun_once() {
    for place in places("upgrades_long").await {
        if matches!(place.address, Address::File(_)) {
            continue;
        }
        let (lock, mut connection) = blocked(&place).await;
        let durable = Arc::new(Durable::new(place.settings()));
        let opened = Arc::clone(&durable);
        let opening = tokio::spawn(async move { opened.restore(&[]).await.error });
        until(&mut connection, 1).await;
        // Whoever wants it is told that it is late, as often as it is asked.
        pause();
        assert!(matches!(opening.await.unwrap(), Some(StoreError::Late)));
        for _ in 0..3 {
            assert!(matches!(durable.connect().await, Err(StoreError::Late)));
        }
        resume();
        assert_eq!(waiting(&mut connection).await, 1);
        lock.commit().await.unwrap();
        let store = timeout(PATIENCE, durable.connect()).await.unwrap().unwrap();
        assert_eq!(store.version().await.unwrap(), newest());
        durable.close().await;
    }
}

#[tokio::test]
async fn a_step_that_nobody_wants_any_more_does_not_go_on() {
    for place in places("upgrades_ended").await {
        if matches!(place.address, Address::File(_)) {
            continue;
        }
        let (lock, mut connection) = blocked(&place).await;
        let durable = Arc::new(Durable::new(place.settings()));
        let opened = Arc::clone(&durable);
        let opening = tokio::spawn(async move { opened.restore(&[]).await.error });
        until(&mut connection, 1).await;
        opening.abort();
        assert!(opening.await.unwrap_err().is_cancelled());
        // Who waited for it is not who began it.
        assert_eq!(waiting(&mut connection).await, 1);
        durable.close().await;
        until(&mut connection, 0).await;
        lock.commit().await.unwrap();
        let store = place.open().await;
        assert_eq!(store.version().await.unwrap(), newest());
        store.close().await;
    }
}
