//! Opening a store: its connection, its version, its tables.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Database, PgConnection, PgPool, SqlStr};

use super::StoreError;
use super::files::{self, Held};
use super::pool::{Hold, Pool};
use super::settings::Address;

/// How long a statement waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// The first SQLite that does not damage a file whose log is begun anew while it is read.
const SOUND: [u32; 3] = [3, 51, 3];
/// Bytes of SQLite's log that stay on disk when it is done.
const LOG: &str = "67108864";

/// Connections that only read, at most.
const READERS: u32 = 4;

/// How the tables came to be: number, name, and the text for SQLite and for PostgreSQL. What was once released is never changed.
const STEPS: &[(i64, &str, &str, &str)] = &[
    (
        1,
        "inventory",
        include_str!("sqlite/0001_inventory.sql"),
        include_str!("postgres/0001_inventory.sql"),
    ),
    (
        6,
        "replicas",
        include_str!("sqlite/0006_replicas.sql"),
        include_str!("postgres/0006_replicas.sql"),
    ),
];

/// Connections of a gateway that shares its store: one for what is published, one for its leases, one to hear of the others.
const SHARING: u32 = 3;
/// What has the server end a session that holds up others: a gateway that was stopped, or cut off, while its turn lasts.
const MANNERS: [(&str, &str); 6] = [
    ("idle_in_transaction_session_timeout", "5s"),
    ("lock_timeout", "7s"),
    ("statement_timeout", "30s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
];

/// An open store.
#[derive(Debug)]
pub struct Store {
    /// One connection, since one writes.
    pub(super) pool: Pool,
    /// For what only reads, and must not wait for who writes.
    pub(super) reads: Pool,
    /// For what gateways share, where several do.
    pub(super) shared: Option<PgPool>,
    _held: Option<Held>,
}

impl Store {
    /// Opens a store, and makes it where there is none. A store of a later version is left as it is.
    pub async fn open(address: &Address) -> Result<Self, StoreError> {
        Self::open_for(address, Hold::Alone).await
    }

    /// Does so for one gateway, or for several.
    pub(super) async fn open_for(address: &Address, hold: Hold) -> Result<Self, StoreError> {
        match address {
            Address::File(file) => Self::open_file(file).await,
            Address::Server(options) => Self::open_server(options, hold).await,
        }
    }

    async fn open_file(file: &Path) -> Result<Self, StoreError> {
        let held = files::hold(file)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(TURN)
            .foreign_keys(false)
            .pragma("journal_size_limit", LOG)
            .disable_statement_logging();
        let reading = options.clone().pragma("query_only", "ON");
        let pool = one(SqlitePoolOptions::new()).connect_with(options).await?;
        let store = Self {
            pool: Pool::Sqlite(pool.clone()),
            reads: Pool::Sqlite(some(SqlitePoolOptions::new()).connect_lazy_with(reading)),
            shared: None,
            _held: Some(held),
        };
        let version: Vec<(String,)> = store.pool.fetch("SELECT sqlite_version()", vec![]).await?;
        let version = version.into_iter().next().map(|row| row.0);
        if !version.as_deref().is_some_and(is_sound) {
            return Err(StoreError::Unsound(version.unwrap_or_default()));
        }
        let steps = STEPS
            .iter()
            .map(|(number, name, text, _)| (*number, *name, *text));
        migrator(steps).run(&pool).await?;
        Ok(store)
    }

    async fn open_server(options: &PgConnectOptions, hold: Hold) -> Result<Self, StoreError> {
        let options = options.clone().disable_statement_logging();
        // Says at once that nobody answers, and why: a pool would ask again and again until its time is over.
        PgConnection::connect_with(&options).await?.close().await?;
        let reading = options
            .clone()
            .options([("default_transaction_read_only", "on")]);
        let sharing = options.clone().options(MANNERS);
        let pool = one(PgPoolOptions::new()).connect_with(options).await?;
        let steps = STEPS
            .iter()
            .map(|(number, name, _, text)| (*number, *name, *text));
        migrator(steps).run(&pool).await?;
        let store = Self {
            pool: Pool::Postgres(pool, hold),
            reads: Pool::Postgres(some(PgPoolOptions::new()).connect_lazy_with(reading), hold),
            shared: (hold == Hold::Shared).then(|| {
                let options = one(PgPoolOptions::new()).max_connections(SHARING);
                options.connect_lazy_with(sharing)
            }),
            _held: None,
        };
        // Says at once where another gateway has it.
        store.pool.begin().await?.commit().await?;
        Ok(store)
    }

    /// Lets go of the store.
    pub async fn close(&self) {
        self.reads.close().await;
        if let Some(shared) = &self.shared {
            shared.close().await;
        }
        self.pool.close().await;
    }
}

fn one<DB: Database>(options: sqlx::pool::PoolOptions<DB>) -> sqlx::pool::PoolOptions<DB> {
    options
        .max_connections(1)
        .acquire_timeout(TURN)
        .idle_timeout(None)
        .max_lifetime(None)
}

fn some<DB: Database>(options: sqlx::pool::PoolOptions<DB>) -> sqlx::pool::PoolOptions<DB> {
    options
        .max_connections(READERS)
        .acquire_timeout(TURN)
        .idle_timeout(Duration::from_mins(5))
}

fn migrator(steps: impl Iterator<Item = (i64, &'static str, &'static str)>) -> Migrator {
    let steps = steps.map(|(number, name, text)| {
        Migration::new(
            number,
            name.into(),
            MigrationType::Simple,
            SqlStr::from_static(text),
            false,
        )
    });
    Migrator::with_migrations(steps.collect())
}

fn is_sound(version: &str) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let parts = [(); 3].map(|()| parts.next().unwrap_or(0));
    parts >= SOUND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, expected) in [
            ("3.51.3", true),
            ("3.100.0", true),
            ("4.0", true),
            ("3.51.2", false),
            ("3.9.9", false),
            ("", false),
        ] {
            assert_eq!(is_sound(version), expected, "{version}");
        }
    }
}
