//! What the command line does with the keys file. A key's text is given back once, when it is made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blake3::Hash;
use jiff::Timestamp;
use secrecy::SecretString;

use super::entry::{Entry, KeysError, Previous};
use super::file;
use super::key::{KeyId, hash_of, new_id, new_text};
use super::scope::Scopes;
use crate::domain::SourceName;

/// What a new key is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Sources that it sees; `None` is all of them.
    pub sources: Option<BTreeSet<SourceName>>,
    /// Projects that it sees; `None` is all of them.
    pub projects: Option<BTreeSet<String>>,
    /// From when on it opens nothing.
    pub expires_at: Option<Timestamp>,
}

/// A key that was just made, with its text.
#[derive(Debug)]
pub struct Made {
    /// What is kept of it.
    pub entry: Entry,
    /// What its holder shows.
    pub text: SecretString,
    /// What counted before; `None` of a new key.
    before: Option<(Hash, Option<Previous>)>,
}

impl Made {
    /// Makes a key that nobody has yet.
    pub(super) fn new(new: NewKey, now: Timestamp) -> Result<Self, KeysError> {
        let id = new_id().map_err(KeysError::Randomness)?;
        let text = new_text(&id).map_err(KeysError::Randomness)?;
        let entry = Entry {
            id,
            name: new.name,
            hash: hash_of(&text),
            scopes: new.scopes,
            sources: new.sources,
            projects: new.projects,
            created_at: now,
            expires_at: new.expires_at,
            last_used_at: None,
            revoked_at: None,
            previous: None,
        };
        Ok(Self {
            entry,
            text,
            before: None,
        })
    }

    /// Gives a key another text; the one it has counts until the overlap ends.
    pub(super) fn rotated(
        entry: &mut Entry,
        overlap: Duration,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let text = new_text(&entry.id).map_err(KeysError::Randomness)?;
        let until = now.checked_add(overlap).unwrap_or(Timestamp::MAX);
        if entry.revoked_at.is_some() {
            return Err(KeysError::Dead(entry.id.clone(), "revoked"));
        }
        if entry.expires_at.is_some_and(|end| end <= now) {
            return Err(KeysError::Dead(entry.id.clone(), "expired"));
        }
        let before = (entry.hash, entry.previous.clone());
        let hash = std::mem::replace(&mut entry.hash, hash_of(&text));
        entry.previous = (until > now).then_some(Previous { hash, until });
        Ok(Self {
            entry: entry.clone(),
            text,
            before: Some(before),
        })
    }

    /// Undoes the making of a key, unless somebody else gave it another text since; says whether there is anything left of it.
    pub(super) fn take_back_from(&self, entry: &mut Entry) -> bool {
        if entry.hash != self.entry.hash {
            return true;
        }
        let Some((hash, previous)) = &self.before else {
            return false;
        };
        entry.hash = *hash;
        entry.previous.clone_from(previous);
        true
    }
}

/// The keys file as something that can be changed.
#[derive(Debug, Clone)]
pub struct KeysFile(PathBuf);

impl KeysFile {
    /// The keys file at a path; nothing is read yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Says why a gateway could not use it.
    pub fn check(&self) -> Result<(), KeysError> {
        file::read(&self.0).map(drop)
    }

    /// Every key, also the revoked and expired ones.
    pub fn list(&self) -> Result<Vec<Entry>, KeysError> {
        file::read(&self.0).map(|(document, _)| document.keys)
    }

    /// Makes a key, and the file where there is none.
    pub fn create(&self, new: NewKey, now: Timestamp) -> Result<Made, KeysError> {
        let made = Made::new(new, now)?;
        file::update(&self.0, true, |document| {
            if document.keys.iter().any(|other| other.id == made.entry.id) {
                return Err(KeysError::Duplicate);
            }
            document.keys.push(made.entry.clone());
            Ok(())
        })?;
        Ok(made)
    }

    /// Gives a key another text; the one it has counts until the overlap ends.
    pub fn rotate(&self, id: &KeyId, overlap: Duration, now: Timestamp) -> Result<Made, KeysError> {
        file::update(&self.0, false, |document| {
            Made::rotated(document.find(id)?, overlap, now)
        })
    }

    /// Undoes the making of a key whose text reached nobody: a new one is gone, and a rotated one has the texts from before.
    pub fn take_back(&self, made: &Made) -> Result<(), KeysError> {
        file::update(&self.0, false, |document| {
            if !made.take_back_from(document.find(&made.entry.id)?) {
                document.keys.retain(|key| key.id != made.entry.id);
            }
            Ok(())
        })
    }

    /// Makes a key open nothing any more; says since when that is so.
    pub fn revoke(&self, id: &KeyId, now: Timestamp) -> Result<Entry, KeysError> {
        file::update(&self.0, false, |document| {
            let entry = document.find(id)?;
            entry.revoke(now);
            Ok(entry.clone())
        })
    }
}
