//! What can go wrong with a store.

use std::io;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use tokio::time::timeout;

/// Why a store cannot be opened, read or written. Its text is for the log; clients see its code alone.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another gateway writes it.
    #[error("another gateway has it open")]
    Locked,
    /// A later version of the program has written it.
    #[error("a later version of clustergate wrote it")]
    Newer,
    /// What is there is not what was written.
    #[error("it is damaged")]
    Corrupt(#[source] sqlx::Error),
    /// A damaged one was moved away and a new one begun, in which nothing is kept yet.
    #[error("it was damaged and is begun anew")]
    Replaced,
    /// There is no space left.
    #[error("there is no space left")]
    Full(#[source] sqlx::Error),
    /// The folder or the file cannot be written.
    #[error("it cannot be written")]
    Unwritable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database does not answer, or not to this account.
    #[error("it cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// It takes longer than it may.
    #[error("it takes too long")]
    Late,
    /// The library in this program damages files.
    #[error("SQLite {0} has a fault that damages files")]
    Unsound(String),
    /// Anything else.
    #[error("it failed")]
    Failed(#[source] sqlx::Error),
}

impl StoreError {
    /// One of a closed list of codes.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Locked => "STORE_LOCKED",
            Self::Newer => "STORE_NEWER",
            Self::Corrupt(_) | Self::Replaced => "STORE_CORRUPT",
            Self::Full(_) => "STORE_FULL",
            Self::Unwritable(_) => "STORE_UNWRITABLE",
            Self::Unreachable(_) => "STORE_UNREACHABLE",
            Self::Late => "STORE_LATE",
            Self::Unsound(_) | Self::Failed(_) => "STORE_FAILED",
        }
    }

    /// The error and its causes in one line.
    pub(super) fn told(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

/// Bounds the time that something takes.
pub(super) async fn within<T>(
    bound: Duration,
    doing: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(bound, doing).await.unwrap_or(Err(StoreError::Late))
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Unwritable(error.into())
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let Some(database) = error.as_database_error() else {
            return match error {
                sqlx::Error::PoolTimedOut => Self::Late,
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) => Self::Unreachable(error),
                error => Self::Failed(error),
            };
        };
        let code = database.code().unwrap_or_default().into_owned();
        // Extended codes of SQLite hold the plain one in their last eight bits.
        let plain = code.parse::<u32>().map(|code| code & 0xff);
        let is_sqlite = database
            .try_downcast_ref::<sqlx::sqlite::SqliteError>()
            .is_some();
        match plain {
            Ok(11 | 26) if is_sqlite => Self::Corrupt(error),
            Ok(13) if is_sqlite => Self::Full(error),
            Ok(3 | 8 | 10 | 14) if is_sqlite => Self::Unwritable(error.into()),
            Ok(5 | 6) if is_sqlite => Self::Locked,
            _ if is_sqlite => Self::Failed(error),
            // Classes and codes of PostgreSQL: disk full, bad authorization, no such database, going down.
            _ if code == "53100" => Self::Full(error),
            // Somebody else has what is waited for, or the server gave up.
            _ if code == "55P03" || code == "57014" => Self::Late,
            _ if ["08", "28", "3D", "57"].contains(&code.get(..2).unwrap_or_default()) => {
                Self::Unreachable(error)
            }
            _ => Self::Failed(error),
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(_) => Self::Newer,
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            error => Self::Failed(sqlx::Error::Migrate(Box::new(error))),
        }
    }
}
