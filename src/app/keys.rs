//! Keys for the command line: those of a file, or those of a store that a gateway may have open.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::{Builder, Runtime};

use crate::access::{Entry, KeyId, KeysError, KeysFile, Made, NewKey, SharedKeys};
use crate::config::KeysPlace;
use crate::store::ApiKeys;

/// Keys as something that can be changed, wherever they are.
pub struct KeptKeys {
    place: Place,
    /// What people call the place.
    shown: String,
}

enum Place {
    File(KeysFile),
    Store(SharedKeys, Runtime),
}

impl KeptKeys {
    /// The keys of a place. A file is not read yet; a store is opened.
    pub fn at(place: KeysPlace) -> Result<Self, (String, KeysError)> {
        let settings = match place {
            KeysPlace::File(file) => return Ok(Self::of_file(&file)),
            KeysPlace::Store(settings) => settings,
        };
        let shown = "the store".to_owned();
        let opened = || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(KeysError::Read)?;
            let opened = runtime.block_on(ApiKeys::beside(&settings));
            let keys = opened.map_err(|error| KeysError::Away(error.code()))?;
            Ok((SharedKeys::over(Arc::new(keys)), runtime))
        };
        match opened() {
            Ok((keys, runtime)) => Ok(Self {
                place: Place::Store(keys, runtime),
                shown,
            }),
            Err(error) => Err((shown, error)),
        }
    }

    /// The keys of a file.
    pub fn of_file(file: &Path) -> Self {
        Self {
            place: Place::File(KeysFile::at(file)),
            shown: file.display().to_string(),
        }
    }

    /// What people call the place.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Every key, also the revoked and expired ones.
    pub fn list(&self) -> Result<Vec<Entry>, KeysError> {
        self.do_one(KeysFile::list, |keys| async move { keys.list().await })
    }

    /// Makes a key.
    pub fn create(&self, new: NewKey, now: Timestamp) -> Result<Made, KeysError> {
        let wish = new.clone();
        self.do_one(
            |file| file.create(new, now),
            |keys| async move { keys.create(wish, now).await },
        )
    }

    /// Gives a key another text; the one it has counts until the overlap ends.
    pub fn rotate(&self, id: &KeyId, overlap: Duration, now: Timestamp) -> Result<Made, KeysError> {
        self.do_one(
            |file| file.rotate(id, overlap, now),
            |keys| async move { keys.rotate(id, overlap, now).await },
        )
    }

    /// Makes a key open nothing any more.
    pub fn revoke(&self, id: &KeyId, now: Timestamp) -> Result<Entry, KeysError> {
        self.do_one(
            |file| file.revoke(id, now),
            |keys| async move { keys.revoke(id, now).await },
        )
    }

    /// Undoes the making of a key whose text reached nobody.
    pub fn take_back(&self, made: &Made) -> Result<(), KeysError> {
        self.do_one(
            |file| file.take_back(made),
            |keys| async move { keys.take_back(made).await },
        )
    }

    /// Takes over keys that another place has, but for those that are there; says how many. `None` where this is a file.
    pub fn import(&self, entries: &[Entry]) -> Option<Result<usize, KeysError>> {
        match &self.place {
            Place::File(_) => None,
            Place::Store(keys, runtime) => Some(runtime.block_on(keys.import(entries))),
        }
    }

    fn do_one<T, F>(
        &self,
        of_file: impl FnOnce(&KeysFile) -> Result<T, KeysError>,
        of_store: impl FnOnce(SharedKeys) -> F,
    ) -> Result<T, KeysError>
    where
        F: Future<Output = Result<T, KeysError>>,
    {
        match &self.place {
            Place::File(file) => of_file(file),
            Place::Store(keys, runtime) => runtime.block_on(of_store(keys.clone())),
        }
    }
}
