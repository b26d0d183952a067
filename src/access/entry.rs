//! What the keys file holds of each key, and why it cannot be used.

use std::collections::BTreeSet;
use std::io;

use blake3::Hash;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::key::KeyId;
use super::scope::Scopes;
use crate::domain::{Reach, SourceName};

/// The form of the file; another number is of another program.
pub(super) const VERSION: u32 = 1;

/// Why the keys file cannot be used. No message holds anything of its content.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is none.
    #[error("there is no such file; make the first key with `clustergate keys new`")]
    Missing,
    /// It cannot be read.
    #[error("it cannot be read by the user that runs this program: {0}")]
    Read(io::Error),
    /// It is a folder, a pipe or a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// Others may read or change it.
    #[error("{0}; take that right away: chmod 600, or 640 where the program reads it by its group")]
    Exposed(&'static str),
    /// Somebody else could change it.
    #[error(
        "it belongs to another user, who could add keys; give it to the user that runs this program, or to root: chown"
    )]
    Owner,
    /// It is too large to be one.
    #[error("it is too large for a keys file")]
    TooLarge,
    /// It is not what this program writes.
    #[error("it is not a keys file: line {line}, column {column}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A newer program wrote it.
    #[error("it was written by a newer version of this program")]
    Version,
    /// Two keys have one id.
    #[error("two of its keys have one id")]
    Duplicate,
    /// It cannot be written.
    #[error("it cannot be written: {0}")]
    Write(io::Error),
    /// Somebody else changes it right now.
    #[error("another program changes it right now")]
    Busy,
    /// It has no such key.
    #[error("there is no key {0}")]
    Unknown(KeyId),
    /// It has such a key, of which nobody here can say what it is.
    #[error(
        "the key {0} cannot be read: it is damaged, or was written by a newer version of this program; it opens nothing here"
    )]
    Unreadable(KeyId),
    /// The key is revoked or has expired.
    #[error("the key {0} is {1}; make a new one with `clustergate keys new`")]
    Dead(KeyId, &'static str),
    /// The store that keeps them cannot be used now; the code says why.
    #[error("the store that keeps them cannot be used now: {0}")]
    Away(&'static str),
    /// The system gives no random numbers.
    #[error("no random numbers are to be had")]
    Randomness(#[source] getrandom::Error),
}

/// One key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// By which it is looked up.
    #[serde(serialize_with = "write_id", deserialize_with = "read_id")]
    pub id: KeyId,
    /// What people call it.
    pub name: String,
    /// Of the whole text of the key.
    #[serde(serialize_with = "write_hash", deserialize_with = "read_hash")]
    pub(super) hash: Hash,
    /// What it may do.
    pub scopes: Scopes,
    /// Sources that it sees; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sources: Option<BTreeSet<SourceName>>,
    /// Projects that it sees; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projects: Option<BTreeSet<String>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it opens nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// The text that it had before it was rotated, while that still counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<Previous>,
}

/// A replaced text of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Previous {
    #[serde(serialize_with = "write_hash", deserialize_with = "read_hash")]
    pub(super) hash: Hash,
    pub(super) until: Timestamp,
}

impl Entry {
    /// How far it sees.
    pub fn reach(&self) -> Reach {
        Reach {
            sources: self.sources.clone(),
            projects: self.projects.clone(),
        }
    }

    /// Makes it open nothing any more.
    pub(super) fn revoke(&mut self, now: Timestamp) {
        self.revoked_at.get_or_insert(now);
        self.previous = None;
    }

    /// Until when the text counts that it had before it was rotated.
    pub fn overlaps_until(&self, now: Timestamp) -> Option<Timestamp> {
        let until = self.previous.as_ref()?.until;
        (until > now).then_some(until)
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    version: u32,
    pub(super) keys: Vec<Entry>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            version: VERSION,
            keys: Vec::new(),
        }
    }
}

impl Document {
    pub(super) fn find(&mut self, id: &KeyId) -> Result<&mut Entry, KeysError> {
        self.keys
            .iter_mut()
            .find(|entry| entry.id == *id)
            .ok_or_else(|| KeysError::Unknown(id.clone()))
    }
}

fn write_hash<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(hash.to_hex().as_str())
}

fn read_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    let text = String::deserialize(deserializer)?;
    Hash::from_hex(text).map_err(|_| de::Error::custom("not a hash"))
}

fn write_id<S: Serializer>(id: &KeyId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

fn read_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<KeyId, D::Error> {
    let text = String::deserialize(deserializer)?;
    KeyId::new(&text).ok_or_else(|| de::Error::custom("not an id"))
}
