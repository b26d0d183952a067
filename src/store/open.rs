//! Opening a store: its connection, its version, its tables.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Database, PgConnection, PgPool, SqlStr};
use tracing::{debug, info};

use super::StoreError;
use super::files::{self, Held};
use super::pool::{Hold, Pool};
use super::settings::Address;
use super::size::Shrinking;

/// How long a statement waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// The first SQLite that does not damage a file whose log is begun anew while it is read.
const SOUND: [u32; 3] = [3, 51, 3];
/// Bytes of SQLite's log that stay on disk when it is done.
const LOG: &str = "67108864";

/// Rows that SQLite's thread reads ahead of who takes them: to wait for each other costs both more than the reading does.
const ROWS: usize = 512;

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
        2,
        "past",
        include_str!("sqlite/0002_past.sql"),
        include_str!("postgres/0002_past.sql"),
    ),
    (
        3,
        "hooks",
        include_str!("sqlite/0003_hooks.sql"),
        include_str!("postgres/0003_hooks.sql"),
    ),
    (
        4,
        "hours",
        include_str!("sqlite/0004_hours.sql"),
        include_str!("postgres/0004_hours.sql"),
    ),
    (
        5,
        "operations",
        include_str!("sqlite/0005_operations.sql"),
        include_str!("postgres/0005_operations.sql"),
    ),
    (
        6,
        "replicas",
        include_str!("sqlite/0006_replicas.sql"),
        include_str!("postgres/0006_replicas.sql"),
    ),
    (
        7,
        "audit_index",
        include_str!("sqlite/0007_audit_index.sql"),
        include_str!("postgres/0007_audit_index.sql"),
    ),
    (
        8,
        "members",
        include_str!("sqlite/0008_members.sql"),
        include_str!("postgres/0008_members.sql"),
    ),
];

/// Connections of a gateway that shares its store: one for what is published, one for its leases, one to hear of the others.
const SHARING: u32 = 3;
/// What has the server end a session whose gateway is not there any more, and let go of what that held.
const ALIVE: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
];
/// The same for one that is there and does nothing: nobody needs as long as this between two statements.
const WRITING: [(&str, &str); 1] = [("idle_in_transaction_session_timeout", "60s")];
/// Has a server that can do so look whether a session is still there while it works for it.
const NOTICE: &str = "SELECT set_config(name, '2s', FALSE) FROM pg_settings WHERE name = 'client_connection_check_interval'";
/// Nobody waits as long as this for an answer.
const READING: [(&str, &str); 3] = [
    ("default_transaction_read_only", "on"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("statement_timeout", "60s"),
];
/// The same for a session that holds up others: a gateway that was stopped, or cut off, while its turn lasts.
const MANNERS: [(&str, &str); 3] = [
    ("idle_in_transaction_session_timeout", "5s"),
    ("lock_timeout", "7s"),
    ("statement_timeout", "30s"),
];

/// An open store.
#[derive(Debug)]
pub struct Store {
    /// One connection, since one writes.
    pub(super) pool: Pool,
    /// For what only reads, and must not wait for who writes.
    pub(super) reads: Pool,
    pub(super) shrinking: Shrinking,
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
        let store = Self::connect(address, hold).await?;
        store.bring_up().await?;
        Ok(store)
    }

    /// Opens a store whose tables may be those of an earlier version, or not there yet.
    pub(super) async fn connect(address: &Address, hold: Hold) -> Result<Self, StoreError> {
        match address {
            Address::File(file) => Self::open_file(file).await,
            Address::Server(options) => {
                let store = Self::over(options, hold).await?;
                // Says at once where another gateway has it, whose tables must stay as they are.
                store.pool.begin().await?.commit().await?;
                Ok(store)
            }
        }
    }

    /// Brings the tables up to date, which takes long where there is much in them.
    pub(super) async fn bring_up(&self) -> Result<(), StoreError> {
        let version = self.version().await?;
        let is_older = (1..newest()).contains(&version);
        if is_older {
            info!(
                store.version = version,
                "the tables of the store are brought up to date, which may take long where there is much in them"
            );
        }
        match &self.pool {
            Pool::Sqlite(pool) => {
                let steps = STEPS.iter();
                let steps = steps.map(|(number, name, text, _)| (*number, *name, *text));
                migrator(steps).run(pool).await?;
            }
            Pool::Postgres(pool, _) => {
                let steps = STEPS.iter();
                let steps = steps.map(|(number, name, _, text)| (*number, *name, *text));
                // A pool would wait for what nobody wants any more.
                let mut session = PgConnection::connect_with(&pool.connect_options()).await?;
                // Without it a step goes on to its end.
                if let Err(error) = sqlx::query(NOTICE).execute(&mut session).await {
                    debug!(error = %error, "the server does not look whether a session is still there");
                }
                migrator(steps)
                    .run_direct(None, &mut session, false)
                    .await?;
                session.close().await?;
            }
        }
        if is_older {
            info!(
                store.version = newest(),
                "the tables of the store are up to date"
            );
        }
        Ok(())
    }

    /// Opens a store that is there, to look at it: its tables stay as they are. `None` where there is none.
    pub async fn look_at(address: &Address) -> Result<Option<Self>, StoreError> {
        let store = match address {
            Address::File(file) if !file.try_exists()? => return Ok(None),
            Address::File(file) => {
                let held = files::hold(file)?;
                let reading = Self::file(file)
                    .create_if_missing(false)
                    .pragma("query_only", "ON");
                let pool =
                    Pool::Sqlite(some(SqlitePoolOptions::new()).connect_with(reading).await?);
                Self::of(pool.clone(), pool, Some(held))
            }
            Address::Server(options) => {
                let store = Self::over(options, Hold::Alone).await?;
                // Says where a gateway has it.
                store.pool.begin().await?.commit().await?;
                store
            }
        };
        Ok((store.version().await? > 0).then_some(store))
    }

    /// Brings the tables of a store up to date, and makes it where there is none; answers with their version before and after.
    pub async fn migrate(address: &Address) -> Result<(i64, i64), StoreError> {
        let before = match Self::look_at(address).await? {
            Some(store) => {
                let version = store.version().await?;
                store.close().await;
                version
            }
            None => 0,
        };
        let store = Self::open(address).await?;
        let after = store.version().await?;
        store.close().await;
        Ok((before, after))
    }

    /// The version of the tables; 0 where there are none.
    pub(super) async fn version(&self) -> Result<i64, StoreError> {
        let is_there = match &self.reads {
            Pool::Sqlite(_) => "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'",
            Pool::Postgres(..) => {
                "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema() \
                AND table_name = '_sqlx_migrations'"
            }
        };
        let count: Vec<(i64,)> = self.reads.fetch(is_there, vec![]).await?;
        if count.first().is_none_or(|row| row.0 == 0) {
            return Ok(0);
        }
        let version = "SELECT MAX(version) FROM _sqlx_migrations WHERE success";
        let version: Vec<(Option<i64>,)> = self.reads.fetch(version, vec![]).await?;
        Ok(version.first().and_then(|row| row.0).unwrap_or(0))
    }

    fn of(pool: Pool, reads: Pool, held: Option<Held>) -> Self {
        Self {
            pool,
            reads,
            shrinking: Shrinking::default(),
            shared: None,
            _held: held,
        }
    }

    fn file(file: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(file)
            .busy_timeout(TURN)
            .foreign_keys(false)
            .row_buffer_size(ROWS)
            .disable_statement_logging()
    }

    async fn open_file(file: &Path) -> Result<Self, StoreError> {
        let held = files::hold(file)?;
        let options = Self::file(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("journal_size_limit", LOG);
        let reading = options.clone().pragma("query_only", "ON");
        let pool = one(SqlitePoolOptions::new()).connect_with(options).await?;
        let reads = some(SqlitePoolOptions::new()).connect_lazy_with(reading);
        let store = Self::of(Pool::Sqlite(pool.clone()), Pool::Sqlite(reads), Some(held));
        let version: Vec<(String,)> = store.pool.fetch("SELECT sqlite_version()", vec![]).await?;
        let version = version.into_iter().next().map(|row| row.0);
        if !version.as_deref().is_some_and(is_sound) {
            return Err(StoreError::Unsound(version.unwrap_or_default()));
        }
        Ok(store)
    }

    /// The sessions of a database of a server, whatever there is in it.
    async fn over(options: &PgConnectOptions, hold: Hold) -> Result<Self, StoreError> {
        let options = options.clone().disable_statement_logging().options(ALIVE);
        // Says at once that nobody answers, and why: a pool would ask again and again until its time is over.
        PgConnection::connect_with(&options).await?.close().await?;
        let [writing, reading] = [&WRITING[..], &READING[..]]
            .map(|manners| options.clone().options(manners.iter().copied()));
        let pool = one(PgPoolOptions::new()).connect_with(writing).await?;
        let reads = some(PgPoolOptions::new()).connect_lazy_with(reading);
        let mut store = Self::of(
            Pool::Postgres(pool, hold),
            Pool::Postgres(reads, hold),
            None,
        );
        store.shared = (hold == Hold::Shared).then(|| {
            let sharing = one(PgPoolOptions::new()).max_connections(SHARING);
            sharing.connect_lazy_with(options.options(MANNERS))
        });
        Ok(store)
    }

    /// Opens a store that is there, beside a gateway that may have it open; its tables stay as they are.
    pub(super) async fn beside(address: &Address) -> Result<Self, StoreError> {
        match address {
            Address::File(file) => {
                let options = Self::file(file).synchronous(SqliteSynchronous::Full);
                let pool = one(SqlitePoolOptions::new()).connect_with(options).await?;
                let pool = Pool::Sqlite(pool);
                Ok(Self::of(pool.clone(), pool, None))
            }
            Address::Server(options) => Self::over(options, Hold::Alone).await,
        }
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

/// The newest version of the tables.
pub(super) fn newest() -> i64 {
    STEPS.iter().map(|step| step.0).max().unwrap_or(0)
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
