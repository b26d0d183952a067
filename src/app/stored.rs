//! What can be done with a store while no gateway has it.

use std::io::{self, BufRead};
use std::path::Path;

use crate::store::{Address, CopyError, Store, StoreError};

pub use crate::store::Verified;

/// Why a store could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The text is the address of no store. It is not shown.
    #[error("the address of the store {0}")]
    Address(#[from] crate::store::NoAddress),
    /// There is no store.
    #[error("there is no store at this place")]
    None,
    /// A gateway has it.
    #[error("a gateway has the store open: stop it first")]
    Locked,
    /// The store cannot be used.
    #[error("the store cannot be used")]
    Store(#[source] StoreError),
    /// It could not be copied.
    #[error(transparent)]
    Copy(CopyError),
}

impl From<StoreError> for StoredError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Locked => Self::Locked,
            error => Self::Store(error),
        }
    }
}

impl From<CopyError> for StoredError {
    fn from(error: CopyError) -> Self {
        match error {
            CopyError::Store(error) => error.into(),
            error => Self::Copy(error),
        }
    }
}

/// A store that no gateway has.
#[derive(Debug, Clone)]
pub struct Stored(Address);

impl Stored {
    /// The store at an address, as the configuration has it; names of files begin in this folder.
    pub fn parse(address: &str, folder: &Path) -> Result<Self, StoredError> {
        Ok(Self(Address::parse(address, folder)?))
    }

    /// The store at a place.
    pub const fn at(address: Address) -> Self {
        Self(address)
    }

    /// Brings its tables up to date, and makes it where there is none; answers with their version before and after.
    pub async fn migrate(&self) -> Result<(i64, i64), StoredError> {
        Ok(Store::migrate(&self.0).await?)
    }

    /// Looks at everything in it, and changes nothing.
    pub async fn check(&self) -> Result<Verified, StoredError> {
        let store = Store::look_at(&self.0).await?.ok_or(StoredError::None)?;
        let found = store.verify().await;
        store.close().await;
        Ok(found?)
    }

    /// Writes everything in it as lines; answers with how many rows there were.
    pub async fn export(
        &self,
        write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<u64, StoredError> {
        let there = Store::look_at(&self.0).await?.ok_or(StoredError::None)?;
        there.close().await;
        drop(there);
        // Lines are of the newest tables.
        let store = Store::open(&self.0).await?;
        let count = store.export(write).await;
        store.close().await;
        Ok(count?)
    }

    /// Reads lines into it, which must be empty or not there; answers with how many rows there were.
    pub async fn import(&self, lines: impl BufRead) -> Result<u64, StoredError> {
        let store = Store::open(&self.0).await?;
        let count = store.import(lines).await;
        store.close().await;
        Ok(count?)
    }
}
