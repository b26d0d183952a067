//! The keys file: JSON, readable by its owner, replaced as a whole.
//!
//! It holds hashes of keys and never a key. Whoever changes it holds the lock of the file beside it, so that the command
//! line can add a key while a running gateway notes when keys were used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use blake3::Hash;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::key::KeyId;
use super::scope::Scopes;
use crate::domain::{Reach, SourceName};

/// A larger file is some other file.
const MAX_BYTES: u64 = 16 << 20;
const VERSION: u32 = 1;

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
    /// The key is revoked or has expired.
    #[error("the key {0} is {1}; make a new one with `clustergate keys new`")]
    Dead(KeyId, &'static str),
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

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: Option<std::time::SystemTime>,
    length: u64,
    node: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            node: node(metadata),
        }
    }

    /// The file's state now; `None` when it cannot be looked at.
    pub(super) fn now(path: &Path) -> Option<Self> {
        std::fs::metadata(path).ok().as_ref().map(Self::of)
    }
}

/// Reads the file, unless others could have written it.
pub(super) fn read(path: &Path) -> Result<(Document, Stamp), KeysError> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeysError::Missing,
        _ => KeysError::Read(error),
    })?;
    let metadata = file.metadata().map_err(KeysError::Read)?;
    check(&metadata)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(KeysError::Read)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > MAX_BYTES) {
        return Err(KeysError::TooLarge);
    }
    Ok((parse(&bytes)?, Stamp::of(&metadata)))
}

fn parse(bytes: &[u8]) -> Result<Document, KeysError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let malformed = |error: serde_json::Error| KeysError::Malformed {
        line: error.line(),
        column: error.column(),
    };
    // Looked at first: a newer file may have another shape.
    let versioned: Versioned = serde_json::from_slice(bytes).map_err(malformed)?;
    if versioned.version > VERSION {
        return Err(KeysError::Version);
    }
    let document: Document = serde_json::from_slice(bytes).map_err(malformed)?;
    let ids: BTreeSet<&KeyId> = document.keys.iter().map(|entry| &entry.id).collect();
    if ids.len() < document.keys.len() {
        return Err(KeysError::Duplicate);
    }
    Ok(document)
}

/// Changes the file under its lock. With `create` a missing one begins empty.
pub(super) fn update<T>(
    path: &Path,
    create: bool,
    change: impl FnOnce(&mut Document) -> Result<T, KeysError>,
) -> Result<T, KeysError> {
    // Behind a link the file is replaced, not the link.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if create && let Some(folder) = path.parent() {
        make_folder(folder).map_err(KeysError::Write)?;
    }
    let _lock = Lock::take(&path)?;
    let mut document = match read(&path) {
        Ok((document, _)) => document,
        Err(KeysError::Missing) if create => Document::default(),
        Err(error) => return Err(error),
    };
    let result = change(&mut document)?;
    write(&path, &document).map_err(KeysError::Write)?;
    Ok(result)
}

/// Notes when keys were used; a later note of somebody else stays.
pub(super) fn note_used(path: &Path, used: &BTreeMap<KeyId, Timestamp>) -> Result<(), KeysError> {
    update(path, false, |document| {
        for entry in &mut document.keys {
            entry.last_used_at = entry.last_used_at.max(used.get(&entry.id).copied());
        }
        Ok(())
    })
}

/// The lock of a keys file: a file beside it, since the file itself is replaced.
struct Lock(#[expect(dead_code, reason = "held open, since closing it lets go")] File);

impl Lock {
    fn take(path: &Path) -> Result<Self, KeysError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        owner_only(&mut options);
        let file = options
            .open(beside(path, "lock"))
            .map_err(KeysError::Write)?;
        // A change takes a few milliseconds: whoever meets another one tries again for a moment, and is never stuck.
        for _ in 0..50 {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                Err(TryLockError::Error(error)) => return Err(KeysError::Write(error)),
            }
        }
        Err(KeysError::Busy)
    }
}

fn write(path: &Path, document: &Document) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    let draft = beside(path, "new");
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    owner_only(&mut options);
    // Under the lock nobody else writes a draft: this one was left by a program that was stopped.
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let replaced = options.open(&draft).and_then(|mut file| {
        file.write_all(&text)?;
        if let Ok(before) = std::fs::metadata(path) {
            keep_owner(&file, &before)?;
        }
        file.sync_all()?;
        std::fs::rename(&draft, path)
    });
    if replaced.is_err() {
        // What went wrong first is told; the draft holds hashes alone.
        let _ = std::fs::remove_file(&draft);
    }
    replaced
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(unix)]
fn check(metadata: &Metadata) -> Result<(), KeysError> {
    use std::os::unix::fs::MetadataExt as _;

    if !metadata.is_file() {
        return Err(KeysError::NotAFile);
    }
    let mode = metadata.mode();
    if mode & 0o007 != 0 {
        return Err(KeysError::Exposed("everybody may read or change it"));
    }
    if mode & 0o020 != 0 {
        return Err(KeysError::Exposed("its group may change it"));
    }
    let owner = metadata.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        // Root may act for whoever owns the file.
        let is_root = rustix::process::geteuid().is_root();
        if !is_root {
            return Err(KeysError::Owner);
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn check(metadata: &Metadata) -> Result<(), KeysError> {
    if metadata.is_file() {
        Ok(())
    } else {
        Err(KeysError::NotAFile)
    }
}

#[cfg(unix)]
fn node(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn node(_: &Metadata) -> u64 {
    0
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

/// Root, who adds a key, must not take the file away from the user that runs the gateway.
#[cfg(unix)]
fn keep_owner(file: &File, before: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};

    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        fchown(file, Some(before.uid()), Some(before.gid()))?;
    }
    let mode = 0o600 | (before.mode() & 0o040);
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) -> io::Result<()> {
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
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
