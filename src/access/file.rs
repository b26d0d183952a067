//! The keys file: JSON, readable by its owner, replaced as a whole.
//!
//! It holds hashes of keys and never a key. Whoever changes it holds the lock of the file beside it, so that the command
//! line can add a key while a running gateway notes when keys were used.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::entry::{Document, KeysError, VERSION};
use super::key::KeyId;

/// A larger file is some other file.
const MAX_BYTES: u64 = 16 << 20;

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
