//! Opening a store: its connection, its version, its tables.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Database, PgConnection, SqlStr};

use super::StoreError;
use super::files::{self, Held};
use super::pool::Pool;
use super::settings::Address;

/// How long a statement waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// The first SQLite that does not damage a file whose log is begun anew while it is read.
const SOUND: [u32; 3] = [3, 51, 3];
/// Bytes of SQLite's log that stay on disk when it is done.
const LOG: &str = "67108864";

/// An open store.
#[derive(Debug)]
pub struct Store {
    pub(super) pool: Pool,
    _held: Option<Held>,
}

impl Store {
    /// Opens a store, and makes it where there is none. A store of a later version is left as it is.
    pub async fn open(address: &Address) -> Result<Self, StoreError> {
        match address {
            Address::File(file) => Self::open_file(file).await,
            Address::Server(options) => Self::open_server(options).await,
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
        let pool = one(SqlitePoolOptions::new()).connect_with(options).await?;
        let store = Self {
            pool: Pool::Sqlite(pool.clone()),
            _held: Some(held),
        };
        let version: Vec<(String,)> = store.pool.fetch("SELECT sqlite_version()", vec![]).await?;
        let version = version.into_iter().next().map(|row| row.0);
        if !version.as_deref().is_some_and(is_sound) {
            return Err(StoreError::Unsound(version.unwrap_or_default()));
        }
        let first = include_str!("sqlite/0001_inventory.sql");
        migrator(first).run(&pool).await?;
        Ok(store)
    }

    async fn open_server(options: &PgConnectOptions) -> Result<Self, StoreError> {
        let options = options.clone().disable_statement_logging();
        // Says at once that nobody answers, and why: a pool would ask again and again until its time is over.
        PgConnection::connect_with(&options).await?.close().await?;
        let pool = one(PgPoolOptions::new()).connect_with(options).await?;
        let first = include_str!("postgres/0001_inventory.sql");
        migrator(first).run(&pool).await?;
        let store = Self {
            pool: Pool::Postgres(pool),
            _held: None,
        };
        // Says at once where another gateway has it.
        store.pool.begin().await?.commit().await?;
        Ok(store)
    }

    /// Lets go of the store.
    pub async fn close(&self) {
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

fn migrator(first: &'static str) -> Migrator {
    let first = Migration::new(
        1,
        "inventory".into(),
        MigrationType::Simple,
        SqlStr::from_static(first),
        false,
    );
    Migrator::with_migrations(vec![first])
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
