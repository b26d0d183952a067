//! What is written to real files, and read back.

use std::collections::BTreeMap;
use std::path::Path;

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::scripted::all;
use super::{clusters, source};
use crate::domain::Kind;
use crate::inventory::authoring::Author;
use crate::inventory::journal::Publication;
use crate::store::write::{Begun, Commit, Written, write};
use crate::store::{Address, Settings, Store, StoreError};

async fn open(folder: &Path) -> Store {
    Store::open(&Address::within(folder)).await.unwrap()
}

/// A new store of each engine that there is to test with.
pub(in crate::store) async fn places(name: &str) -> Vec<Place> {
    let mut places = vec![Place::file()];
    if let Some(address) = database(name).await {
        places.push(Place {
            address,
            _folder: None,
        });
    }
    places
}

pub(in crate::store) struct Place {
    pub(in crate::store) address: Address,
    _folder: Option<TempDir>,
}

impl Place {
    /// Of one gateway alone.
    pub(in crate::store) fn settings(&self) -> Settings {
        Settings {
            shared: None,
            ..Settings::at(self.address.clone())
        }
    }

    /// A new file.
    pub(in crate::store) fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            address: Address::within(folder.path()),
            _folder: Some(folder),
        }
    }

    pub(in crate::store) async fn open(&self) -> Store {
        Store::open(&self.address).await.unwrap()
    }
}

/// A database of its own at the server that the environment names, or nothing where it names none and none is required.
async fn database(name: &str) -> Option<Address> {
    let Ok(server) = std::env::var("CLUSTERGATE_TEST_POSTGRES") else {
        assert!(
            std::env::var_os("CLUSTERGATE_REQUIRE_POSTGRES").is_none(),
            "a PostgreSQL server is required: CLUSTERGATE_TEST_POSTGRES names none"
        );
        #[expect(clippy::print_stderr, reason = "a test that was skipped must say so")]
        {
            eprintln!("SKIPPED for PostgreSQL: CLUSTERGATE_TEST_POSTGRES names no server");
        }
        return None;
    };
    let mut connection = PgConnection::connect(&server).await.unwrap();
    for sql in [
        format!("DROP DATABASE IF EXISTS clustergate_{name} WITH (FORCE)"),
        format!("CREATE DATABASE clustergate_{name}"),
    ] {
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let (server, _) = server.rsplit_once('/').unwrap();
    Address::parse(&format!("{server}/clustergate_{name}"), Path::new("")).ok()
}

pub(super) fn commit(publication: &Publication, is_whole: bool) -> Commit {
    let written = |delta: &crate::inventory::journal::Delta| Written {
        delta: delta.clone(),
        is_whole,
    };
    let attempts = publication.deltas.iter();
    let attempts =
        attempts.filter_map(|delta| Some((delta.source().clone(), delta.attempt.clone()?)));
    Commit {
        generation: publication.generation,
        sources: publication.deltas.iter().map(written).collect(),
        batches: publication.batch.iter().cloned().collect(),
        attempts: attempts.collect(),
        ..Commit::default()
    }
}

/// Every record of every source.
async fn records(store: &Store) -> BTreeMap<String, Vec<u8>> {
    let sql = "SELECT id, record FROM cluster";
    let rows: Vec<(String, Vec<u8>)> = store.pool.fetch(sql, vec![]).await.unwrap();
    rows.into_iter().collect()
}

pub(super) async fn count(store: &Store, sql: &'static str) -> i64 {
    let rows: Vec<(i64,)> = store.pool.fetch(sql, vec![]).await.unwrap();
    rows[0].0
}

#[tokio::test]
async fn what_is_written_twice_is_there_once() {
    for place in places("twice").await {
        twice(&place).await;
    }
}

async fn twice(place: &Place) {
    let store = place.open().await;
    let mut author = Author::new("s");
    // More than one statement holds.
    let ids: Vec<String> = (0..700).map(|number| format!("{number:03}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let first = author.list(10, &clusters(&ids));
    for is_whole in [true, false, true] {
        write(&store.pool, &commit(&first, is_whole)).await.unwrap();
        assert_eq!(records(&store).await, all(&first.deltas[0]));
    }
    let changes = count(&store, "SELECT COUNT(*) FROM change").await;
    assert_eq!(
        changes,
        i64::try_from(first.batch.as_ref().unwrap().len()).unwrap()
    );
    assert_eq!(count(&store, "SELECT COUNT(*) FROM sync").await, 1);
    // Half of them go: missing, then gone.
    author.list(11, &clusters(&ids[300..]));
    let gone = author.list(12, &clusters(&ids[300..]));
    assert_eq!(gone.deltas[0].removed().len(), 300);
    for _ in 0..2 {
        write(&store.pool, &commit(&gone, false)).await.unwrap();
        assert_eq!(records(&store).await.len(), 400);
    }
    // An older generation does not put the number back.
    write(&store.pool, &commit(&first, true)).await.unwrap();
    let generation = "SELECT value FROM meta WHERE name = 'generation'";
    assert_eq!(count(&store, generation).await, 12);
}

#[tokio::test]
async fn sources_come_back_with_their_clusters_and_others_stay() {
    for place in places("back").await {
        back(&place).await;
    }
}

async fn back(place: &Place) {
    let store = place.open().await;
    let (mut one, mut other) = (Author::new("one"), Author::new("other"));
    let first = one.list(10, &clusters(&["a", "b"]));
    write(&store.pool, &commit(&first, true)).await.unwrap();
    let second = other.list(11, &clusters(&["c"]));
    write(&store.pool, &commit(&second, true)).await.unwrap();
    store.close().await;
    drop(store);

    let store = place.open().await;
    let wanted = [
        (source("one"), Kind::new("test")),
        // The name is the same, the account is not.
        (source("other"), Kind::new("another")),
        (source("third"), Kind::new("test")),
    ];
    let restored = store.restore(&wanted).await.unwrap();
    assert_eq!(restored.generation, 11);
    assert_eq!(restored.clusters(), 2);
    // Of the third there is nothing, and that is all there is of it.
    let whole = [&source("one"), &source("third")];
    assert_eq!(restored.whole().collect::<Vec<_>>(), whole);
    assert_eq!(records(&store).await.len(), 3);
}

#[tokio::test]
async fn what_is_not_what_was_written_is_counted() {
    for place in places("damaged").await {
        damaged(&place.open().await).await;
    }
}

async fn damaged(store: &Store) {
    for (damage, left, refused) in [
        (
            "UPDATE cluster SET record = substr(record, 1, 40) WHERE id = 's:a'",
            2,
            1,
        ),
        ("UPDATE cluster SET id = 's:z' WHERE id = 's:a'", 2, 1),
        ("DELETE FROM cluster WHERE id <> 's:a'", 1, 2),
        (
            "UPDATE source SET account = replace(account, 'fresh', 'never')",
            3,
            1,
        ),
        ("UPDATE source SET clusters = 2", 3, 1),
        ("UPDATE source SET provider = 'another'", 3, 1),
        ("UPDATE cluster SET generation = 0", 3, 0),
    ] {
        store
            .pool
            .execute("DELETE FROM cluster", vec![])
            .await
            .unwrap();
        let first = Author::new("s").list(10, &clusters(&["a", "b", "c"]));
        write(&store.pool, &commit(&first, true)).await.unwrap();
        assert!(
            store.pool.execute(damage, vec![]).await.unwrap() > 0,
            "{damage}"
        );
        let wanted = [(source("s"), Kind::new("test"))];
        let restored = store.restore(&wanted).await.unwrap();
        assert_eq!(
            (restored.clusters(), restored.refused()),
            (left, refused),
            "{damage}"
        );
        assert_eq!(
            restored.whole().count(),
            usize::from(refused == 0),
            "{damage}"
        );
    }
}

#[tokio::test]
async fn a_server_has_one_gateway() {
    let Some(address) = database("locked").await else {
        return;
    };
    let first = Store::open(&address).await.unwrap();
    let second = Store::open(&address).await;
    assert!(matches!(second, Err(StoreError::Locked)), "{second:?}");
    first.close().await;
    Store::open(&address).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_what_was_there() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut author = Author::new("s");
    let first = author.list(10, &clusters(&["a"]));
    write(&store.pool, &commit(&first, true)).await.unwrap();
    let pages: Vec<(i64,)> = store
        .pool
        .fetch("PRAGMA max_page_count = 1", vec![])
        .await
        .unwrap();
    assert!(pages[0].0 < 100, "it is as small as it can be: {pages:?}");
    let ids: Vec<String> = (0..500).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let large = author.list(11, &clusters(&ids));
    let full = write(&store.pool, &commit(&large, false)).await;
    assert!(matches!(full, Err(StoreError::Full(_))), "{full:?}");
    assert_eq!(records(&store).await, all(&first.deltas[0]));
    let more: Vec<(i64,)> = store
        .pool
        .fetch("PRAGMA max_page_count = 100000", vec![])
        .await
        .unwrap();
    assert_eq!(more[0].0, 100_000);
    write(&store.pool, &commit(&large, false)).await.unwrap();
    assert_eq!(records(&store).await, all(&large.deltas[0]));
}

#[tokio::test]
async fn a_store_has_one_gateway_and_no_reader_of_a_later_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let again = Store::open(&Address::within(folder.path())).await;
    assert!(matches!(again, Err(StoreError::Locked)), "{again:?}");
    let sql = "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
        VALUES (9999, 'later', 0, TRUE, x'00', 0)";
    store.pool.execute(sql, vec![]).await.unwrap();
    store.close().await;
    drop(store);
    let file = folder.path().join("clustergate.db");
    let before = std::fs::read(&file).unwrap();
    let later = Store::open(&Address::within(folder.path())).await;
    assert!(matches!(later, Err(StoreError::Newer)), "{later:?}");
    drop(later);
    assert_eq!(std::fs::read(&file).unwrap(), before, "it is left as it is");
}

#[tokio::test]
async fn what_is_kept_long_enough_goes_a_little_at_a_time() {
    for place in places("tidy").await {
        tidy(&place).await;
    }
}

async fn tidy(place: &Place) {
    let store = place.open().await;
    let mut author = Author::new("s");
    let ids: Vec<String> = (0..1_200).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let first = author.list(10, &clusters(&ids));
    write(&store.pool, &commit(&first, true)).await.unwrap();
    let changes = i64::try_from(first.batch.as_ref().unwrap().len()).unwrap();
    let mut settings = Settings::at(place.address.clone());
    let counted = "SELECT COUNT(*) FROM change";

    assert!(!store.tidy(&settings, first.at).await.unwrap());
    assert_eq!(count(&store, counted).await, changes);
    // Too many: the oldest go, and only so many.
    settings.most_changes = 1_000;
    assert!(!store.tidy(&settings, first.at).await.unwrap());
    assert_eq!(count(&store, counted).await, 1_000);
    let sql = "SELECT MIN(number) FROM change";
    assert_eq!(count(&store, sql).await, changes - 1_000);
    // Too old.
    let later = first.at.checked_add(settings.keep_changes).unwrap();
    let later = later
        .checked_add(std::time::Duration::from_secs(1))
        .unwrap();
    for (more, left) in [(true, 500), (true, 0), (false, 0)] {
        assert_eq!(store.tidy(&settings, later).await.unwrap(), more);
        assert_eq!(count(&store, counted).await, left);
    }
    assert_eq!(count(&store, "SELECT COUNT(*) FROM sync").await, 0);
    assert_eq!(
        records(&store).await.len(),
        1_200,
        "clusters are no history"
    );
}

#[test]
fn an_address_is_a_file_or_a_server_and_never_shown() {
    let folder = Path::new("/data");
    for (text, expected) in [
        ("sqlite:x.db", "/data/x.db"),
        ("sqlite://x.db", "/data/x.db"),
        ("sqlite:/elsewhere/x.db", "/elsewhere/x.db"),
        ("sqlite:///elsewhere/x.db", "/elsewhere/x.db"),
    ] {
        let Ok(Address::File(file)) = Address::parse(text, folder) else {
            panic!("{text}");
        };
        assert_eq!(file, Path::new(expected), "{text}");
    }
    for text in [
        "",
        "x.db",
        "sqlite:",
        "sqlite::memory:",
        "mysql://h/d",
        "postgres://h:port/d",
    ] {
        assert!(Address::parse(text, folder).is_err(), "{text}");
    }
    let secret = "postgres://user:hunter2@db.example/clusters";
    let address = Address::parse(secret, folder).unwrap();
    let shown = format!("{address:?} {:?}", Settings::at(address.clone()));
    for part in ["hunter2", "user", "db.example"] {
        assert!(!shown.contains(part), "{shown}");
    }
}

#[tokio::test]
async fn a_store_that_is_too_large_loses_its_oldest_changes() {
    for place in places("shrink").await {
        shrink(&place).await;
    }
}

async fn shrink(place: &Place) {
    let store = place.open().await;
    let mut author = Author::new("s");
    let ids: Vec<String> = (0..400).map(|number| number.to_string()).collect();
    let named = |round: u64| -> Vec<(String, String)> {
        let name = |id: &String| (id.clone(), format!("{id} in round {round}"));
        ids.iter().map(name).collect()
    };
    for round in 0..12 {
        let publication = author.list(10 + round, &named(round));
        write(&store.pool, &commit(&publication, true))
            .await
            .unwrap();
    }
    let counted = "SELECT COUNT(*) FROM change";
    let all = count(&store, counted).await;
    let held = store.size(0).await.unwrap();
    let mut settings = Settings::at(place.address.clone());
    settings.most_bytes = held;
    let now = jiff::Timestamp::from_second(1_800_000_100).unwrap();
    assert!(!store.tidy(&settings, now).await.unwrap());
    assert_eq!(
        count(&store, counted).await,
        all,
        "it is as large as it may be"
    );

    settings.most_bytes = held - held / 4;
    let mut rounds = 0;
    while store.tidy(&settings, now).await.unwrap() {
        rounds += 1;
        assert!(rounds < 100, "there is no end of it");
    }
    let left = count(&store, counted).await;
    assert!(left > 0 && left < all * 9 / 10, "{left} of {all}");
    assert!(store.size(0).await.unwrap() <= settings.most_bytes);
    // The oldest went, whole generations of them, and that is known.
    let first = count(&store, "SELECT MIN(generation) FROM change").await;
    let from = "SELECT value FROM meta WHERE name = 'changes_whole_from'";
    assert_eq!(count(&store, from).await, first);
    assert!(count(&store, "SELECT COUNT(*) FROM sync").await < 12);
    assert_eq!(records(&store).await.len(), 400, "clusters are no history");

    // Where nothing can go, it is left as it is.
    settings.most_bytes = 1;
    let mut rounds = 0;
    while store.tidy(&settings, now).await.unwrap() {
        rounds += 1;
        assert!(rounds < 100, "there is no end of it");
    }
    assert_eq!(count(&store, counted).await, 0);
    assert_eq!(records(&store).await.len(), 400);
}

#[tokio::test]
async fn what_is_no_longer_configured_goes_after_a_while_and_never_comes_back_in_part() {
    for place in places("unseen").await {
        unseen(&place).await;
    }
}

async fn unseen(place: &Place) {
    let store = place.open().await;
    let settings = Settings::at(place.address.clone());
    let (mut one, mut other) = (Author::new("one"), Author::new("other"));
    let ids: Vec<String> = (0..700).map(|number| number.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let first = one.list(10, &clusters(&ids));
    let second = other.list(11, &clusters(&["a"]));
    for publication in [&first, &second] {
        write(&store.pool, &commit(publication, true))
            .await
            .unwrap();
    }
    // The next process shows the other source only.
    let third = other.list(100, &clusters(&["a"]));
    let begun = Commit {
        begun: Some(Begun {
            first: 100,
            after: Some(11),
            at: third.at,
        }),
        ..commit(&third, true)
    };
    write(&store.pool, &begun).await.unwrap();
    let unseen = "SELECT COUNT(*) FROM unseen WHERE source = 'one'";
    assert_eq!(count(&store, unseen).await, 1);
    assert_eq!(count(&store, "SELECT COUNT(*) FROM unseen").await, 1);
    let only = [source("other")];
    let both = [source("one"), source("other")];
    let later = third.at.checked_add(settings.keep_changes).unwrap();
    let later = later
        .checked_add(std::time::Duration::from_secs(1))
        .unwrap();
    for (configured, at) in [(&only[..], third.at), (&both[..], later)] {
        assert!(!store.tidy_sources(&settings, configured, at).await.unwrap());
    }
    assert_eq!(records(&store).await.len(), 701);
    // A little at a time: after the first step the source is gone, and its rest is nobody's.
    assert!(store.tidy_sources(&settings, &only, later).await.unwrap());
    assert_eq!(records(&store).await.len(), 201);
    let wanted = [(source("one"), Kind::new("test"))];
    let restored = store.restore(&wanted).await.unwrap();
    assert_eq!((restored.clusters(), restored.whole().count()), (0, 0));
    assert!(store.tidy_sources(&settings, &only, later).await.unwrap());
    assert!(!store.tidy_sources(&settings, &only, later).await.unwrap());
    assert_eq!(records(&store).await.len(), 1);
    assert_eq!(count(&store, unseen).await, 0);
    let restored = store.restore(&wanted).await.unwrap();
    assert_eq!(restored.whole().collect::<Vec<_>>(), [&source("one")]);
}
