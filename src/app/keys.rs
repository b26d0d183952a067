//! Keys for the command line: those of a file, or those of a store that a gateway may have open.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::access::{Entry, Held, KeyId, KeysError, KeysFile, Made, NewKey, SharedKeys};
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
    Store(SharedKeys),
}

impl KeptKeys {
    /// The keys of a place. A file is not read yet; a store is opened.
    pub async fn at(place: KeysPlace) -> Result<Self, (String, KeysError)> {
        let settings = match place {
            KeysPlace::File(file) => return Ok(Self::of_file(&file)),
            KeysPlace::Store(settings) => settings,
        };
        let shown = "the store".to_owned();
        match ApiKeys::beside(&settings).await {
            Ok(keys) => Ok(Self {
                place: Place::Store(SharedKeys::over(Arc::new(keys))),
                shown,
            }),
            Err(error) => Err((shown, KeysError::Away(error.code()))),
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
    pub async fn list(&self) -> Result<Held, KeysError> {
        let of_file = |file: &KeysFile| {
            file.list().map(|entries| Held {
                entries,
                ..Held::default()
            })
        };
        self.do_one(of_file, |keys| async move { keys.list().await })
            .await
    }

    /// Makes a key.
    pub async fn create(&self, new: NewKey, now: Timestamp) -> Result<Made, KeysError> {
        let wish = new.clone();
        self.do_one(
            |file| file.create(new, now),
            |keys| async move { keys.create(wish, now).await },
        )
        .await
    }

    /// Gives a key another text; the one it has counts until the overlap ends.
    pub async fn rotate(
        &self,
        id: &KeyId,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Made, KeysError> {
        self.do_one(
            |file| file.rotate(id, overlap, now),
            |keys| async move { keys.rotate(id, overlap, now).await },
        )
        .await
    }

    /// Makes a key open nothing any more.
    pub async fn revoke(&self, id: &KeyId, now: Timestamp) -> Result<Entry, KeysError> {
        self.do_one(
            |file| file.revoke(id, now),
            |keys| async move { keys.revoke(id, now).await },
        )
        .await
    }

    /// Undoes the making of a key whose text reached nobody.
    pub async fn take_back(&self, made: &Made) -> Result<(), KeysError> {
        self.do_one(
            |file| file.take_back(made),
            |keys| async move { keys.take_back(made).await },
        )
        .await
    }

    /// Takes over keys that another place has, but for those that are there; says how many. `None` where this is a file.
    pub async fn import(&self, entries: &[Entry]) -> Option<Result<usize, KeysError>> {
        match &self.place {
            Place::File(_) => None,
            Place::Store(keys) => Some(keys.import(entries).await),
        }
    }

    async fn do_one<T, F>(
        &self,
        of_file: impl FnOnce(&KeysFile) -> Result<T, KeysError>,
        of_store: impl FnOnce(SharedKeys) -> F,
    ) -> Result<T, KeysError>
    where
        F: Future<Output = Result<T, KeysError>>,
    {
        match &self.place {
            Place::File(file) => of_file(file),
            Place::Store(keys) => of_store(keys.clone()).await,
        }
    }
}
