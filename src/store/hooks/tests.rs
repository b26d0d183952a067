//! How long statements may take: the time that is waited for, and the rows that are looked at where many deliveries wait.

use std::sync::Arc;

use tokio::time::{pause, timeout};

use super::super::settings::Settings;
use super::super::tests::{Place, Steps, places, plan};
use super::*;
use crate::hooks::EXPIRED;

/// Deliveries that wait, and as many that have ended.
const MANY: i64 = 100_000;

#[tokio::test]
async fn a_store_that_says_nothing_is_not_waited_for() {
    let place = places("hooks_silent").await.remove(0);
    let durable = Arc::new(Durable::new(Settings::at(place.address.clone())));
    assert!(durable.restore(&[]).await.error.is_none());
    let outbox = Deliveries(Arc::clone(&durable));
    pause();
    let asked = outbox.ask(async |_| std::future::pending::<Result<(), StoreError>>().await);
    let answer = timeout(Duration::from_hours(1), asked).await;
    assert_eq!(answer.unwrap(), Err(OutboxError("STORE_LATE")));
}

#[tokio::test]
async fn nobody_begins_to_be_told_before_changes_are_kept() {
    for place in places("hooks_early").await {
        let durable = Arc::new(Durable::new(place.settings()));
        assert!(durable.restore(&[]).await.error.is_none());
        let outbox = Deliveries(Arc::clone(&durable));
        let store = durable.store().unwrap();
        store
            .pool
            .execute("DELETE FROM meta", vec![])
            .await
            .unwrap();
        let set = "INSERT INTO meta (name, value) VALUES ($1, 7)";
        // The first of several that share a database counts before it keeps anything.
        for (name, known) in [("generation", 0), ("changes_whole_from", 7)] {
            let values = vec![Value::text(name)];
            store.pool.execute(set, values).await.unwrap();
            assert_eq!(outbox.known().await, Ok(known), "{name}");
        }
        durable.close().await;
    }
}

const BACKLOG: &str = "INSERT INTO delivery (hook, number, id, kind, subject, generation, state, attempts, created_at, give_up_at, \
    next_at, claimed_until, ended_at, body) WITH RECURSIVE counted(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < $1) \
    SELECT 'ops', i * 2 + $2, 'evt_' || (i * 2 + $2), 'cluster.updated', 's:' || i, i, $3, 0, 0, 1000000 + i, i, 0, $4, $5 \
    FROM counted WHERE i > 0";

/// A store in which many deliveries of one webhook wait, between as many that the server took.
async fn backlog(place: &Place) -> Store {
    let store = place.open().await;
    store
        .pool
        .execute(
            FIRST,
            vec![Value::text("ops"), Value::text("1"), time(Timestamp::MIN)],
        )
        .await
        .unwrap();
    for (odd, state, ended) in [(0, "pending", None), (1, "delivered", Some(1))] {
        let values = vec![
            Value::Number(Some(MANY)),
            Value::Number(Some(odd)),
            Value::text(state),
            Value::Number(ended),
            Value::Bytes(Some(vec![b'x'; 200])),
        ];
        let added = store.pool.execute(BACKLOG, values).await.unwrap();
        assert_eq!(added, u64::try_from(MANY).unwrap());
    }
    store
}

fn micros(at: i64) -> Timestamp {
    Timestamp::from_microsecond(at).unwrap()
}

#[tokio::test]
async fn what_waits_in_great_numbers_costs_little_where_little_of_it_is_wanted() {
    let place = Place::file();
    let store = backlog(&place).await;
    let hook = HookName::new("ops").unwrap();
    let steps = Steps::of(&store).await;
    let set = async |sql: &'static str| {
        store.pool.execute(sql, vec![]).await.unwrap();
        steps.take();
    };

    // All are due.
    let claim = async |now| {
        claim::claim(&store, &hook, "me", 4, micros(now + 1), micros(now))
            .await
            .unwrap()
    };
    let claims = claim(MANY).await;
    assert_eq!((claims.taken.len(), claims.next), (4, None));
    let taken = steps.take();
    assert!((1..150_000).contains(&taken), "{taken}");
    // None is; the next one is known.
    let claims = claim(0).await;
    assert_eq!((claims.taken.len(), claims.next), (0, Some(micros(5))));
    let taken = steps.take();
    assert!(taken < 5_000, "{taken}");
    // All wait for the first one, which is about the same and under way.
    set("UPDATE delivery SET subject = 's' WHERE state = 'pending'").await;
    let claims = claim(MANY + 2).await;
    assert_eq!(
        (claims.taken.len(), claims.next),
        (1, None),
        "the claims of before are over"
    );
    steps.take();
    let claims = claim(MANY + 2).await;
    assert!(claims.taken.is_empty());
    let taken = steps.take();
    assert!(taken < 100_000, "{taken}");

    // Nothing waited too long; of those that have ended as many as may be kept are counted, in the index alone.
    tidy::tidy(&store, micros(2)).await.unwrap();
    let taken = steps.take();
    assert!(taken < 400_000, "{taken}");
    // Some of many that waited too long.
    let values = vec![
        time(micros(i64::from(i32::MAX))),
        Value::text(EXPIRED),
        Value::count(500),
    ];
    assert_eq!(store.pool.execute(tidy::EXPIRE, values).await.unwrap(), 500);
    let taken = steps.take();
    assert!(taken < 250_000, "{taken}");

    // How many wait is counted in the index alone.
    let mut transaction = store.pool.begin().await.unwrap();
    overflow(&mut transaction, &hook, 50_000, None, micros(3))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    steps.take();
    let mut transaction = store.pool.begin().await.unwrap();
    overflow(&mut transaction, &hook, 50_000, None, micros(3))
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let taken = steps.take();
    assert!(taken < 500_000, "{taken}");
    tell::account(&store, &hook).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn what_waits_behind_what_failed_does_not_hide_it() {
    for place in places("hooks_hidden").await {
        let store = backlog(&place).await;
        let hook = HookName::new("ops").unwrap();
        // Ten clusters, whose first events failed and are due again after all that came later became due; and three tests.
        let last = i64::try_from(claim::LOOKED_AT).unwrap() * 5;
        for sql in [
            "DELETE FROM delivery WHERE state <> 'pending' OR next_at > $1",
            "UPDATE delivery SET subject = 's' || (number / 2 % 10), next_at = CASE WHEN next_at <= 10 THEN $1 + next_at ELSE next_at END \
            WHERE next_at <= $1",
            "UPDATE delivery SET subject = NULL WHERE next_at > $1 - 3 AND next_at <= $1",
        ] {
            let values = vec![Value::Number(Some(last))];
            store.pool.execute(sql, values).await.unwrap();
        }
        let claim = async |most, until, now| {
            let claims = claim::claim(&store, &hook, "me", most, micros(until), micros(now));
            let claims = claims.await.unwrap();
            let numbers = claims.taken.into_iter().map(|one| one.number);
            numbers.collect::<Vec<_>>()
        };
        // While they wait to be tried again, those that follow are sent.
        let numbers = claim(3, last, last - 1).await;
        assert_eq!(numbers, [22, 24, 26]);
        // When they are due they are found behind more than are looked at.
        let now = last + 10;
        let numbers = claim(4, now + 1, now).await;
        assert_eq!(numbers, [2, 4, 6, 8]);
        let numbers = claim(99, now + 1, now).await;
        assert_eq!(numbers, [10, 12, 14, 16, 18, 20], "one of each");
        assert!(claim(99, now + 1, now).await.is_empty());
        // What is about nothing waits for nothing.
        let sql = "DELETE FROM delivery WHERE subject IS NOT NULL AND $1 > 0";
        store
            .pool
            .execute(sql, vec![Value::Number(Some(1))])
            .await
            .unwrap();
        assert_eq!(claim(99, now + 1, now).await.len(), 3);
        store.close().await;
    }
}

#[tokio::test]
async fn statements_about_deliveries_go_by_an_index() {
    let place = Place::file();
    let store = place.open().await;
    for (sql, expected) in [
        (
            claim::DUE,
            "delivery USING INDEX delivery_next (hook=? AND next_at<?)",
        ),
        (
            claim::DUE,
            "earliest USING INDEX delivery_about (hook=? AND subject=? AND state=?)",
        ),
        (
            claim::DUE,
            "free USING INDEX sqlite_autoindex_delivery_1 (hook=? AND number=?)",
        ),
        (
            claim::NEXT,
            "delivery USING INDEX delivery_next (hook=? AND next_at>?)",
        ),
        (
            claim::CLAIM,
            "delivery USING INDEX sqlite_autoindex_delivery_1 (hook=? AND number=?)",
        ),
        (
            claim::SETTLE,
            "delivery USING INDEX sqlite_autoindex_delivery_1 (hook=? AND number=?)",
        ),
        (
            claim::AGAIN,
            "delivery USING INDEX sqlite_autoindex_delivery_2 (hook=? AND id=?)",
        ),
        (
            OVERFLOW,
            "delivery USING COVERING INDEX delivery_state (hook=? AND state=?)",
        ),
        (
            tidy::EXPIRE,
            "delivery USING INDEX delivery_give_up (give_up_at<?)",
        ),
        (
            tidy::OLD,
            "delivery USING INDEX delivery_ended (state=? AND ended_at",
        ),
        (
            tidy::EXCESS,
            "delivery USING COVERING INDEX delivery_state (hook=? AND state=?)",
        ),
        (
            tell::OLDEST,
            "delivery USING INDEX delivery_state (hook=? AND state=?)",
        ),
    ] {
        let plan = plan(&store, sql, vec![]).await;
        assert!(
            plan.contains(&format!("SEARCH {expected}")),
            "{sql}\n{plan}"
        );
        assert!(!plan.contains("SCAN delivery"), "{sql}\n{plan}");
    }
    store.close().await;
}
