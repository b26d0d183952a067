//! Where a store is, and how long it keeps what.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

const DAY: Duration = Duration::from_hours(24);

/// How a store is kept.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub address: Address,
    /// How long changes are kept.
    pub keep_changes: Duration,
    /// How long attempts to read sources are kept.
    pub keep_attempts: Duration,
    /// How long the counts of hours are kept.
    pub keep_hours: Duration,
    /// Changes that are kept, at most.
    pub most_changes: u64,
    /// Bytes that may be in use, about; the oldest changes and attempts go where it is more.
    pub most_bytes: u64,
    /// How long operations are kept after they were last looked at.
    pub keep_operations: Duration,
    /// How long the audit is kept, where it is in the store.
    pub keep_audit: Duration,
    /// How several gateways share it; `None` has one gateway alone.
    pub shared: Option<Sharing>,
}

/// How several gateways share a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sharing {
    /// How long a source is read by nobody, at most, when the gateway that read it has ended without a word.
    pub lease: Duration,
}

impl Sharing {
    /// The time of a lease unless told otherwise.
    pub const LEASE: Duration = Duration::from_secs(15);
}

impl Default for Sharing {
    fn default() -> Self {
        Self { lease: Self::LEASE }
    }
}

impl Settings {
    /// How long changes are kept unless told otherwise.
    pub const KEEP_CHANGES: Duration = DAY.saturating_mul(90);
    /// How long attempts are kept unless told otherwise.
    pub const KEEP_ATTEMPTS: Duration = DAY.saturating_mul(30);
    /// How long the counts of hours are kept unless told otherwise: a year and a month.
    pub const KEEP_HOURS: Duration = DAY.saturating_mul(400);
    /// How long operations are kept unless told otherwise.
    pub const KEEP_OPERATIONS: Duration = DAY.saturating_mul(30);
    /// How long the audit is kept unless told otherwise.
    pub const KEEP_AUDIT: Duration = DAY.saturating_mul(365);
    /// Changes that are kept at most, unless told otherwise.
    pub const MOST_CHANGES: u64 = 1_000_000;

    /// Bytes that may be in use, unless told otherwise.
    pub const MOST_BYTES: u64 = 2 << 30;

    /// The defaults for a place.
    pub fn at(address: Address) -> Self {
        let shared = matches!(address, Address::Server(_)).then(Sharing::default);
        Self {
            address,
            shared,
            keep_changes: Self::KEEP_CHANGES,
            keep_attempts: Self::KEEP_ATTEMPTS,
            keep_hours: Self::KEEP_HOURS,
            most_changes: Self::MOST_CHANGES,
            most_bytes: Self::MOST_BYTES,
            keep_operations: Self::KEEP_OPERATIONS,
            keep_audit: Self::KEEP_AUDIT,
        }
    }
}

/// Where a store is. Its `Debug` shows no address of a server: there may be a password in it.
#[derive(Clone)]
pub enum Address {
    /// A file, written by SQLite.
    File(PathBuf),
    /// A database of a PostgreSQL server.
    Server(Box<PgConnectOptions>),
}

/// A text is not the address of a store. The text is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be sqlite: and the name of a file, or postgres://user:password@host/database, percent-encoded where it must be"
)]
pub struct NoAddress;

impl Address {
    /// The file's name in the folder of data.
    const FILE: &str = "clustergate.db";

    /// The default place in a folder of data.
    pub fn within(folder: &Path) -> Self {
        Self::File(folder.join(Self::FILE))
    }

    /// Reads an address; relative names of files begin at `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, NoAddress> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_file = !path.is_empty() && !path.ends_with('/') && path != ":memory:";
            let file = is_file.then(|| Self::File(folder.join(path)));
            return file.ok_or(NoAddress);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = text.parse().map_err(|_| NoAddress)?;
            return Ok(Self::Server(Box::new(options)));
        }
        Err(NoAddress)
    }

    /// What kind of store it is, in one word.
    pub const fn engine(&self) -> &'static str {
        match self {
            Self::File(_) => "sqlite",
            Self::Server(_) => "postgres",
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Server(_) => f.debug_struct("Server").finish_non_exhaustive(),
        }
    }
}
