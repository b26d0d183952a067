//! The pair that is shown now.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;

use super::files::{Fault, Files, Stamp};

/// The pair that is shown now. Connections that are open keep the one that they began with.
pub struct Served {
    files: Files,
    config: ArcSwap<ServerConfig>,
    /// In seconds since 1970; 0 where it is not known.
    not_after: AtomicU64,
    /// What the files looked like when they were last read.
    seen: Mutex<[Option<Stamp>; 2]>,
}

impl Served {
    /// Reads the pair; says everything that is wrong with it otherwise.
    pub fn load(files: Files) -> Result<Self, Vec<Fault>> {
        // Before they are read: what changes meanwhile is seen to have changed.
        let seen = files.stamps();
        let pair = files.read()?;
        Ok(Self {
            files,
            config: ArcSwap::new(pair.config),
            not_after: AtomicU64::new(pair.not_after.unwrap_or_default()),
            seen: Mutex::new(seen),
        })
    }

    /// What a new connection is greeted with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// When the certificate ends, in seconds since 1970.
    pub fn not_after(&self) -> Option<u64> {
        match self.not_after.load(Ordering::Relaxed) {
            0 => None,
            seconds => Some(seconds),
        }
    }

    /// Looks whether the files have changed since they were last read, and shows what is in them now; `None` when they have not.
    ///
    /// With a pair that cannot be used the one before stays. This reads files: it is not for a thread that serves.
    pub fn refresh(&self) -> Option<Result<(), Vec<Fault>>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.files.stamps();
        if *seen == now {
            return None;
        }
        *seen = now;
        Some(self.files.read().map(|pair| {
            self.config.store(pair.config);
            let not_after = pair.not_after.unwrap_or_default();
            self.not_after.store(not_after, Ordering::Relaxed);
        }))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::files::tests::{folder, write};
    use super::*;

    #[test]
    fn a_pair_is_taken_up_when_both_files_have_changed_and_kept_until_then() {
        let (_folder, files) = folder(2040);
        let (_next, next) = folder(2041);
        let served = Served::load(files.clone()).unwrap();
        let first = (served.not_after(), served.config());
        assert!(served.refresh().is_none());

        fs::copy(&next.cert, &files.cert).unwrap();
        assert!(served.refresh().unwrap().is_err(), "half of the change");
        assert!(served.refresh().is_none(), "it is said once");
        assert_eq!(served.not_after(), first.0);
        assert!(Arc::ptr_eq(&served.config(), &first.1));

        fs::copy(&next.key, &files.key).unwrap();
        assert!(served.refresh().unwrap().is_ok());
        assert!(served.not_after() > first.0);
        assert!(!Arc::ptr_eq(&served.config(), &first.1));
    }

    #[test]
    fn files_that_are_gone_change_nothing_and_come_back() {
        let (_folder, files) = folder(2040);
        let served = Served::load(files.clone()).unwrap();
        fs::remove_file(&files.key).unwrap();
        assert!(served.refresh().unwrap().is_err());
        assert!(served.not_after().is_some());
        write(&files, 2042);
        assert!(served.refresh().unwrap().is_ok());
    }
}
