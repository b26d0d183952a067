//! The files of an SQLite store: who may write them, and what becomes of damaged ones.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::StoreError;

/// The right to write a store's file, for as long as it is held.
#[derive(Debug)]
pub(super) struct Held {
    lock: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing it is not enough: a child of this process has the file open as well, until it has become another program.
        let _ = self.lock.unlock();
    }
}

/// Makes the file and its folder where they are not there yet, for their owner alone, and takes the right to write it.
pub(super) fn hold(file: &Path) -> Result<Held, StoreError> {
    if let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let lock = open(&file.with_extension("lock"))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // To open and close a file that is in use would take away the locks that this process has on it.
    if !file.try_exists()? {
        open(file)?;
    }
    Ok(Held { lock })
}

fn open(file: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)
}

/// Moves a damaged file away together with what belongs to it; answers with its new name.
pub(super) fn move_aside(file: &Path, now: Timestamp) -> io::Result<PathBuf> {
    let moved = named(file, &format!(".corrupt-{}", now.as_millisecond()));
    for part in ["-wal", "-shm"] {
        match std::fs::rename(named(file, part), named(&moved, part)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::rename(file, &moved)?;
    Ok(moved)
}

fn named(file: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(end);
    name.into()
}
