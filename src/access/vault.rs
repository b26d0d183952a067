//! Keys that several gateways share: where they are kept, and what is done with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::entry::{Entry, KeysError};
use super::key::KeyId;
use super::manage::{Made, NewKey};

/// How often a change is tried that meets another one.
const TRIES: usize = 5;

/// What there is of keys.
#[derive(Debug, Default)]
pub struct Held {
    /// Every key that can be read, also the revoked and expired ones.
    pub entries: Vec<Entry>,
    /// The ids of those that cannot: they are damaged, or of a newer version. They open nothing, and keep no other key from doing so.
    pub unreadable: BTreeSet<String>,
    /// The count of changes that they are at least of.
    pub count: u64,
}

/// Where keys are kept that several gateways share. It holds hashes of keys and never a key.
pub trait Vault: Send + Sync {
    /// Counts changes of keys; another number stands for other keys.
    fn count(&self) -> BoxFuture<'_, Result<u64, KeysError>>;

    /// Every key.
    fn read(&self) -> BoxFuture<'_, Result<Held, KeysError>>;

    /// Puts a key in the place of what was there; `None` is no key. `false` where something else is there by now.
    fn swap<'a>(
        &'a self,
        before: Option<&'a Entry>,
        after: Option<&'a Entry>,
    ) -> BoxFuture<'a, Result<bool, KeysError>>;

    /// Notes when keys were used; a later note of somebody else stays.
    fn note_used<'a>(
        &'a self,
        used: &'a BTreeMap<KeyId, Timestamp>,
    ) -> BoxFuture<'a, Result<(), KeysError>>;
}

/// What the command line does with keys that several gateways share.
#[derive(Clone)]
pub struct SharedKeys(Arc<dyn Vault>);

impl SharedKeys {
    /// The keys that are kept there; nothing is read yet.
    pub fn over(vault: Arc<dyn Vault>) -> Self {
        Self(vault)
    }

    /// Every key.
    pub async fn list(&self) -> Result<Held, KeysError> {
        self.0.read().await
    }

    /// Makes a key.
    pub async fn create(&self, new: NewKey, now: Timestamp) -> Result<Made, KeysError> {
        let made = Made::new(new, now)?;
        if self.0.swap(None, Some(&made.entry)).await? {
            Ok(made)
        } else {
            Err(KeysError::Duplicate)
        }
    }

    /// Gives a key another text; the one it has counts until the overlap ends.
    pub async fn rotate(
        &self,
        id: &KeyId,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Made, KeysError> {
        self.change(id, |entry| Made::rotated(entry, overlap, now))
            .await
    }

    /// Makes a key open nothing any more; says since when that is so.
    pub async fn revoke(&self, id: &KeyId, now: Timestamp) -> Result<Entry, KeysError> {
        self.change(id, |entry| {
            entry.revoke(now);
            Ok(entry.clone())
        })
        .await
    }

    /// Undoes the making of a key whose text reached nobody: a new one is gone, and a rotated one has the texts from before.
    pub async fn take_back(&self, made: &Made) -> Result<(), KeysError> {
        for _ in 0..TRIES {
            let entry = self.find(&made.entry.id).await?;
            let mut after = entry.clone();
            let is_left = made.take_back_from(&mut after);
            if self.0.swap(Some(&entry), is_left.then_some(&after)).await? {
                return Ok(());
            }
        }
        Err(KeysError::Busy)
    }

    /// Takes over keys of a file, but for those that are there; says how many.
    pub async fn import(&self, entries: &[Entry]) -> Result<usize, KeysError> {
        let mut count = 0;
        for entry in entries {
            count += usize::from(self.0.swap(None, Some(entry)).await?);
        }
        Ok(count)
    }

    async fn find(&self, id: &KeyId) -> Result<Entry, KeysError> {
        let held = self.list().await?;
        if held.unreadable.contains(id.as_str()) {
            return Err(KeysError::Unreadable(id.clone()));
        }
        let found = held.entries.into_iter().find(|entry| entry.id == *id);
        found.ok_or_else(|| KeysError::Unknown(id.clone()))
    }

    async fn change<T>(
        &self,
        id: &KeyId,
        change: impl Fn(&mut Entry) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        for _ in 0..TRIES {
            let before = self.find(id).await?;
            let mut after = before.clone();
            let result = change(&mut after)?;
            if self.0.swap(Some(&before), Some(&after)).await? {
                return Ok(result);
            }
        }
        Err(KeysError::Busy)
    }
}
