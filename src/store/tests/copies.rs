//! A store as lines, back again, and looked at.

use std::collections::BTreeSet;

use super::files::{Place, commit, places};
use super::{clusters, source};
use crate::domain::Kind;
use crate::inventory::authoring::Author;
use crate::store::copy::CopyError;
use crate::store::open::newest;
use crate::store::pool::Pool;
use crate::store::tables::TABLES;
use crate::store::write::{Begun, Commit, write};
use crate::store::{Store, StoreError};

/// Tables that belong to one store and are not copied.
const LEFT: [&str; 7] = [
    "_sqlx_migrations",
    "live_owner",
    "live_clock",
    "replica",
    "lease",
    "turn",
    "gone",
];

/// Tables that the first version had.
const FIRST: usize = 5;

/// A store in which every table has rows.
async fn fill(store: &Store) {
    let (mut author, mut other) = (Author::new("s"), Author::new("gone"));
    let ids: Vec<String> = (0..450).map(|number| format!("{number:03}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let first = other.list(9, &clusters(&["z"]));
    write(&store.pool, &commit(&first, true)).await.unwrap();
    let second = author.list(10, &clusters(&ids));
    let commit_of = Commit {
        whole_from: Some(10),
        whole_at: Some(second.at),
        begun: Some(Begun {
            first: 10,
            after: Some(9),
            at: second.at,
        }),
        ..commit(&second, true)
    };
    write(&store.pool, &commit_of).await.unwrap();
    let third = author.fail(11);
    write(&store.pool, &commit(&third, false)).await.unwrap();
    for sql in [
        "INSERT INTO hour (source, hour, generation, account) SELECT name, 5, generation, print FROM source",
        "INSERT INTO hook (name, place, seen_at) VALUES ('h', '11', 5)",
        "INSERT INTO delivery (hook, number, id, kind, generation, state, attempts, created_at, give_up_at, next_at, claimed_until, body) \
            SELECT 'h', generation, name, 'k', generation, 'pending', 0, 1, 2, 3, 4, print FROM source",
        "INSERT INTO operation (id, source, created, at, done, shown, owner, body) VALUES ('o', 's', 1, 2, 0, 1, 'w', '{}')",
        "INSERT INTO claim (key, print, since, owner, asked) SELECT print, print, 1, 'w', 0 FROM source",
        "INSERT INTO api_key (id, made, used, entry) VALUES ('k', 1, 0, '{}')",
        "INSERT INTO audit (id, at, action, line) VALUES (1, 5, 'write', '{}')",
    ] {
        store.pool.execute(sql, vec![]).await.unwrap();
    }
}

async fn lines(store: &Store) -> Vec<u8> {
    let mut lines = Vec::new();
    let write = |line: &[u8]| {
        lines.extend_from_slice(line);
        Ok(())
    };
    store.export(write).await.unwrap();
    lines
}

#[tokio::test]
async fn every_table_is_copied_with_every_column() {
    for place in places("copy_tables").await {
        let store = place.open().await;
        let sql = match &store.pool {
            Pool::Sqlite(_) => {
                "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'"
            }
            Pool::Postgres(..) => {
                "SELECT table_name::text, column_name::text FROM information_schema.columns WHERE table_schema = 'public'"
            }
        };
        let there: Vec<(String, String)> = store.pool.fetch(sql, vec![]).await.unwrap();
        let there: BTreeSet<(String, String)> = there
            .into_iter()
            .filter(|(table, _)| !LEFT.contains(&table.as_str()))
            .collect();
        let copied = TABLES.iter().flat_map(|table| {
            let columns = table.columns.iter();
            columns.map(|column| (table.name.to_owned(), column.0.to_owned()))
        });
        assert_eq!(copied.collect::<BTreeSet<_>>(), there);
    }
}

#[tokio::test]
async fn what_is_exported_is_what_is_imported_whatever_the_engine() {
    let mut exports = Vec::new();
    for from in places("copy_from").await {
        let store = from.open().await;
        fill(&store).await;
        let exported = lines(&store).await;
        for table in TABLES {
            let name = format!("{{\"table\":\"{}\",", table.name);
            let is_there = String::from_utf8_lossy(&exported).contains(&name);
            assert!(is_there, "nothing of {}", table.name);
        }
        for to in places("copy_to").await {
            let store = to.open().await;
            let count = store.import(&exported[..]).await.unwrap();
            assert!(count > 900, "{count}");
            assert_eq!(lines(&store).await, exported);
            let wanted = [(source("s"), Kind::new("test"))];
            let restored = store.restore(&wanted).await.unwrap();
            assert_eq!((restored.generation, restored.clusters()), (11, 450));
            let found = store.verify().await.unwrap();
            assert_eq!(found.problems, [""; 0]);
            let again = store.import(&exported[..]).await;
            assert!(matches!(again, Err(CopyError::NotEmpty)), "{again:?}");
        }
        exports.push(exported);
    }
    exports.dedup();
    assert_eq!(exports.len(), 1, "both engines say the same");
}

#[tokio::test]
async fn half_an_export_is_imported_by_nobody() {
    for place in places("copy_half").await {
        half(&place).await;
    }
}

async fn half(place: &Place) {
    let source = tempfile::tempdir().unwrap();
    let address = crate::store::Address::within(source.path());
    let store = Store::open(&address).await.unwrap();
    fill(&store).await;
    let whole = String::from_utf8(lines(&store).await).unwrap();
    let rows: Vec<&str> = whole.lines().collect();
    let (head, end) = (rows[0], rows[rows.len() - 1]);
    let without_one = [&rows[..5], &rows[6..]].concat().join("\n");
    let later = head.replace(&format!("\"tables\":{}", newest()), "\"tables\":9999");
    let store = place.open().await;
    for (text, expected) in [
        (String::new(), "line 1 "),
        ("{}".to_owned(), "line 1 "),
        (rows[1..].join("\n"), "line 1 "),
        (rows[..rows.len() - 1].join("\n"), "it ends too early"),
        (whole[..whole.len() / 2].to_owned(), "it ends too early"),
        (without_one, "rows are missing"),
        (format!("{later}\n{end}"), "later version"),
        (
            format!("{head}\n{{\"table\":\"x\",\"row\":{{}}}}"),
            "not known",
        ),
        (
            format!("{head}\n{{\"table\":\"meta\",\"row\":{{\"x\":1}}}}"),
            "bad value",
        ),
        (
            format!("{head}\n{{\"table\":\"meta\",\"row\":{{\"name\":1,\"value\":1}}}}"),
            "bad value",
        ),
    ] {
        let error = store.import(text.as_bytes()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(store.is_empty().await.unwrap(), "{error}");
    }
    store.import(whole.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_is_found_and_nothing_else() {
    for place in places("verify").await {
        wrong(&place).await;
    }
}

async fn wrong(place: &Place) {
    let store = place.open().await;
    fill(&store).await;
    let whole = lines(&store).await;
    let found = store.verify().await.unwrap();
    assert_eq!(found.problems, [""; 0]);
    assert_eq!((found.sources, found.clusters), (2, 451));
    assert_eq!(
        (found.generation, found.complete_since),
        (Some(11), Some(9))
    );
    assert!(found.bytes > 10_000);
    for (damage, expected) in [
        (
            "UPDATE cluster SET record = substr(record, 1, 40) WHERE id = 's:007'",
            "s: 1 of 450 records",
        ),
        (
            "DELETE FROM cluster WHERE id = 's:007'",
            "s: 1 of 450 records",
        ),
        (
            "UPDATE source SET clusters = 1 WHERE name = 's'",
            "s: its own row",
        ),
        (
            "DELETE FROM source WHERE name = 's'",
            "450 clusters are of no source",
        ),
        (
            "UPDATE change SET document = substr(document, 1, 9) WHERE generation = 10 AND number = 3",
            "change 3 cannot",
        ),
        (
            "UPDATE change SET body = '{}' WHERE generation = 10 AND number = 4",
            "change 4 cannot",
        ),
        (
            "DELETE FROM change WHERE generation = 10 AND number = 5",
            "generation 10: only 450",
        ),
        (
            "UPDATE meta SET value = 3 WHERE name = 'generation'",
            "later than the last one",
        ),
    ] {
        assert_eq!(
            store.pool.execute(damage, vec![]).await.unwrap(),
            1,
            "{damage}"
        );
        let found = store.verify().await.unwrap();
        let told = found.problems.join("\n");
        assert!(told.contains(expected), "{damage}: {told}");
        let mut transaction = store.pool.begin().await.unwrap();
        for table in TABLES {
            let sql = format!("DELETE FROM {}", table.name);
            transaction.execute(sql, vec![]).await.unwrap();
        }
        transaction.commit().await.unwrap();
        store.import(&whole[..]).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_used_is_left_alone_and_an_old_one_is_brought_up_to_date() {
    for place in places("migrate").await {
        migrate(&place).await;
    }
}

async fn migrate(place: &Place) {
    assert!(
        Store::look_at(&place.address).await.unwrap().is_none(),
        "there is none yet"
    );
    assert_eq!(Store::migrate(&place.address).await.unwrap(), (0, newest()));
    assert_eq!(
        Store::migrate(&place.address).await.unwrap(),
        (newest(), newest())
    );
    let store = place.open().await;
    let used = Store::look_at(&place.address).await;
    assert!(matches!(used, Err(StoreError::Locked)), "{used:?}");
    let used = Store::migrate(&place.address).await;
    assert!(matches!(used, Err(StoreError::Locked)), "{used:?}");
    // As the first version left it.
    let mut transaction = store.pool.begin().await.unwrap();
    for table in TABLES.iter().skip(FIRST) {
        let sql = format!("DROP TABLE {}", table.name);
        transaction.execute(sql, vec![]).await.unwrap();
    }
    transaction.commit().await.unwrap();
    for sql in [
        "DROP TABLE live_owner",
        "DROP VIEW live_clock",
        "DROP TABLE IF EXISTS replica",
        "DROP TABLE IF EXISTS lease",
        "DROP TABLE IF EXISTS turn",
        "DROP TABLE IF EXISTS gone",
        "DROP INDEX IF EXISTS source_generation",
        "DROP INDEX change_time",
        "ALTER TABLE change DROP COLUMN was",
        "CREATE INDEX change_at ON change (at)",
        "DELETE FROM _sqlx_migrations WHERE version > 1",
    ] {
        store.pool.execute(sql, vec![]).await.unwrap();
    }
    store.close().await;
    drop(store);
    let old = Store::look_at(&place.address).await.unwrap().unwrap();
    let found = old.verify().await.unwrap();
    assert!(found.problems[0].contains("store migrate"), "{found:?}");
    old.close().await;
    drop(old);
    assert_eq!(Store::migrate(&place.address).await.unwrap(), (1, newest()));
    fill(&place.open().await).await;
}
