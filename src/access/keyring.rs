//! The keys of a file or a store in memory: telling one is a hash and two comparisons.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use blake3::Hash;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::entry::{Entry, KeysError};
use super::file::{self, Stamp};
use super::key::{KeyId, Shown};
use super::principal::{Denied, Principal, PrincipalKind};
use super::vault::Vault;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is written down when keys were used, and how finely.
const NOTE: Duration = Duration::from_mins(1);
/// Stands for a use that never was.
const NEVER: i64 = i64::MIN;
/// Compared with where there is no key, so that an unknown id takes as long as a wrong secret.
const NO_HASH: [u8; 32] = [0; 32];

/// Where keys are kept.
enum Place {
    File(PathBuf),
    Shared(Arc<dyn Vault>),
}

/// The keys of one place.
pub(super) struct Keyring {
    place: Place,
    /// Whether it is known that there may be keys which were not read: then none that is not known is told to be none.
    is_away: AtomicBool,
    table: ArcSwap<Table>,
    complaint: Mutex<Complaint>,
    is_read_only: AtomicBool,
    /// How often the file could not be used.
    refusals: AtomicU64,
}

/// What was said about the file, so that it is said once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Complaint {
    Nothing,
    /// That it cannot be used in this state; `None` is no file at all.
    Unusable(Option<Stamp>),
}

/// What tells one state of a place from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was read.
    Unread,
    File(Stamp),
    Count(u64),
}

struct Table {
    stamp: State,
    records: HashMap<String, Record>,
    /// Ids of keys that cannot be read.
    unreadable: BTreeSet<String>,
}

struct Record {
    id: KeyId,
    principal: Arc<Principal>,
    hash: Hash,
    previous: Option<(Hash, Timestamp)>,
    expires_at: Option<Timestamp>,
    is_revoked: bool,
    /// Seconds of the last use, and of the last one that the file knows.
    used: Arc<AtomicI64>,
    noted: AtomicI64,
}

impl Keyring {
    /// Reads the file.
    pub(super) fn open(path: PathBuf) -> Result<Self, KeysError> {
        let (document, stamp) = file::read(&path)?;
        Ok(Self {
            place: Place::File(path),
            is_away: AtomicBool::new(false),
            table: ArcSwap::from_pointee(Table::of(document.keys, State::File(stamp), None)),
            complaint: Mutex::new(Complaint::Nothing),
            is_read_only: AtomicBool::new(false),
            refusals: AtomicU64::new(0),
        })
    }

    /// The keys of a store; nothing is read yet.
    pub(super) fn shared(vault: Arc<dyn Vault>) -> Self {
        Self {
            place: Place::Shared(vault),
            is_away: AtomicBool::new(true),
            table: ArcSwap::from_pointee(Table::of(Vec::new(), State::Unread, None)),
            complaint: Mutex::new(Complaint::Nothing),
            is_read_only: AtomicBool::new(false),
            refusals: AtomicU64::new(0),
        }
    }

    /// How often the file had changed and could not be used.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Keys of a store that cannot be read.
    pub(super) fn unreadable(&self) -> Option<u64> {
        let is_shared = matches!(self.place, Place::Shared(_));
        is_shared.then(|| self.table.load().unreadable.len() as u64)
    }

    /// Keys that open something now.
    pub(super) fn usable(&self, now: Timestamp) -> usize {
        let table = self.table.load();
        table
            .records
            .values()
            .filter(|record| !record.is_revoked && record.expires_at.is_none_or(|end| end > now))
            .count()
    }

    /// Tells whose key a text is.
    pub(super) fn tell(&self, text: &str, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        let shown = Shown::read(text).ok_or(Denied::invalid("not a key"))?;
        let table = self.table.load();
        let record = table.records.get(shown.id);
        let none = Hash::from_bytes(NO_HASH);
        let current = record.map_or(none, |record| record.hash);
        let previous = record
            .and_then(|record| record.previous)
            .unwrap_or((none, Timestamp::MIN));
        // Both always, and each in constant time, as this type compares.
        let (is_current, is_previous) = (shown.hash == current, shown.hash == previous.0);
        let Some(record) = record else {
            if table.unreadable.contains(shown.id) {
                return Err(Denied::invalid("unreadable key"));
            }
            if self.is_away.load(Ordering::Relaxed) {
                return Err(Denied::unavailable("keys cannot be read"));
            }
            return Err(Denied::invalid("unknown key"));
        };
        if !is_current && !is_previous {
            return Err(Denied::invalid("wrong secret"));
        }
        if record.is_revoked {
            return Err(Denied::invalid("revoked key"));
        }
        if !is_current && previous.1 <= now {
            return Err(Denied::expired("rotated key"));
        }
        if record.expires_at.is_some_and(|end| end <= now) {
            return Err(Denied::expired("expired key"));
        }
        record.note_use(now);
        Ok(Arc::clone(&record.principal))
    }

    /// Reads the file again if it is another one than before; one that cannot be used changes nothing.
    pub(super) fn look(&self) {
        let Place::File(path) = &self.place else {
            return;
        };
        let stamp = Stamp::now(path);
        let before = self.table.load_full();
        if stamp.map(State::File) == Some(before.stamp) {
            return;
        }
        let mut complaint = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *complaint == Complaint::Unusable(stamp) {
            return;
        }
        match file::read(path) {
            Ok((document, stamp)) => {
                let table = Table::of(document.keys, State::File(stamp), Some(&before));
                if !before.has_same_keys(&table) {
                    tracing::info!(keys.count = table.records.len(), "keys file read anew");
                }
                self.table.store(Arc::new(table));
                *complaint = Complaint::Nothing;
            }
            Err(error) => {
                tracing::error!(%error, keys.file = %path.display(), "keys file cannot be used; the keys read before stay");
                self.refusals.fetch_add(1, Ordering::Relaxed);
                *complaint = Complaint::Unusable(stamp);
            }
        }
    }

    /// Reads the keys of a store again if they are others than before. While it is away the known ones go on opening what they did.
    pub(super) async fn look_into(&self, vault: &dyn Vault) {
        let before = self.table.load_full();
        let read = async {
            if State::Count(vault.count().await?) == before.stamp {
                return Ok(None);
            }
            vault.read().await.map(Some)
        };
        match read.await {
            Ok(read) => {
                if let Some(held) = read {
                    let mut table =
                        Table::of(held.entries, State::Count(held.count), Some(&before));
                    table.unreadable = held.unreadable;
                    table.complain(&before);
                    if !before.has_same_keys(&table) {
                        tracing::info!(
                            keys.count = table.records.len(),
                            "keys of the store read anew"
                        );
                    }
                    self.table.store(Arc::new(table));
                }
                self.is_away.store(false, Ordering::Relaxed);
            }
            Err(error) => {
                if !self.is_away.swap(true, Ordering::Relaxed) || before.stamp == State::Unread {
                    tracing::warn!(%error, "keys of the store cannot be read; the keys read before stay");
                }
            }
        }
    }

    /// Reads the keys of a store for the first time.
    pub(super) async fn load(&self) {
        if let Place::Shared(vault) = &self.place {
            self.look_into(vault.as_ref()).await;
        }
    }

    fn uses(&self) -> BTreeMap<KeyId, Timestamp> {
        (self.table.load().records.values())
            .filter_map(|record| {
                let used = record.used.load(Ordering::Relaxed);
                let at = Timestamp::from_second(used).ok()?;
                let last = record.noted.load(Ordering::Relaxed);
                (used > last).then(|| (record.id.clone(), at))
            })
            .collect()
    }

    async fn note_uses_in(&self, vault: &dyn Vault) {
        let used = self.uses();
        if used.is_empty() || vault.note_used(&used).await.is_err() {
            // Noted the next time; that the store is away is told elsewhere.
            return;
        }
        let table = self.table.load();
        for (id, at) in used {
            if let Some(record) = table.records.get(id.as_str()) {
                record.noted.fetch_max(at.as_second(), Ordering::Relaxed);
            }
        }
    }

    /// Writes down when keys were used since the last time.
    pub(super) fn note_uses(&self) {
        let Place::File(path) = &self.place else {
            return;
        };
        let used = self.uses();
        if used.is_empty() {
            return;
        }
        match file::note_used(path, &used) {
            Ok(()) => self.look(),
            // A mounted secret cannot be written: its keys work all the same.
            Err(error) => {
                if !self.is_read_only.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "when keys are used cannot be written down");
                }
            }
        }
    }

    /// Looks at the file and writes uses down until told to stop.
    pub(super) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut notes = interval(NOTE);
        notes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Place::Shared(vault) = &self.place {
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    _ = looks.tick() => self.look_into(vault.as_ref()).await,
                    _ = notes.tick() => self.note_uses_in(vault.as_ref()).await,
                }
            }
            self.note_uses_in(vault.as_ref()).await;
            return;
        }
        loop {
            let work: fn(&Self) = tokio::select! {
                () = stop.cancelled() => break,
                _ = looks.tick() => Self::look,
                _ = notes.tick() => Self::note_uses,
            };
            self.apart(work).await;
        }
        self.apart(Self::note_uses).await;
    }

    /// Files are touched where waiting for a disk stops no request.
    async fn apart(self: &Arc<Self>, work: fn(&Self)) {
        let ring = Arc::clone(self);
        // A panic there was already reported by its hook, and the next round is another chance.
        let _ = tokio::task::spawn_blocking(move || work(&ring)).await;
    }
}

impl Record {
    fn note_use(&self, now: Timestamp) {
        let now = now.as_second();
        let last = self.used.load(Ordering::Relaxed);
        let step = i64::try_from(NOTE.as_secs()).unwrap_or(i64::MAX);
        if last.saturating_add(step) <= now {
            self.used.fetch_max(now, Ordering::Relaxed);
        }
    }
}

impl Table {
    fn of(entries: Vec<Entry>, stamp: State, before: Option<&Self>) -> Self {
        let records = entries
            .into_iter()
            .map(|entry| (entry.id.as_str().to_owned(), record(entry, before)))
            .collect();
        Self {
            stamp,
            records,
            unreadable: BTreeSet::new(),
        }
    }

    /// Says which keys cannot be read, where they are others than before.
    fn complain(&self, before: &Self) {
        if self.unreadable == before.unreadable {
            return;
        }
        if self.unreadable.is_empty() {
            tracing::info!("all keys of the store can be read again");
        } else {
            let ids: Vec<&str> = self.unreadable.iter().map(String::as_str).collect();
            tracing::error!(keys.unreadable = ?ids, "keys of the store cannot be read and open nothing here: they are damaged, or of a newer version; all others are read");
        }
    }

    /// Whether only times of use are different.
    fn has_same_keys(&self, other: &Self) -> bool {
        self.records.len() == other.records.len()
            && self.records.iter().all(|(id, record)| {
                other.records.get(id).is_some_and(|other| {
                    record.hash == other.hash
                        && record.previous == other.previous
                        && record.expires_at == other.expires_at
                        && record.is_revoked == other.is_revoked
                        && record.principal == other.principal
                })
            })
    }
}

fn record(entry: Entry, before: Option<&Table>) -> Record {
    let noted = entry.last_used_at.map_or(NEVER, Timestamp::as_second);
    let used = before
        .and_then(|table| table.records.get(entry.id.as_str()))
        .map_or_else(
            || Arc::new(AtomicI64::new(NEVER)),
            |record| Arc::clone(&record.used),
        );
    used.fetch_max(noted, Ordering::Relaxed);
    let reach = Arc::new(entry.reach());
    Record {
        principal: Arc::new(Principal {
            kind: PrincipalKind::Key,
            id: entry.id.as_str().to_owned(),
            name: entry.name,
            scopes: entry.scopes,
            reach,
        }),
        id: entry.id,
        hash: entry.hash,
        previous: entry
            .previous
            .map(|previous| (previous.hash, previous.until)),
        expires_at: entry.expires_at,
        is_revoked: entry.revoked_at.is_some(),
        used,
        noted: AtomicI64::new(noted),
    }
}
