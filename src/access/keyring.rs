//! The keys of the keys file in memory: telling one is a hash and two comparisons.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use blake3::Hash;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::entry::{Document, Entry, KeysError};
use super::file::{self, Stamp};
use super::key::{KeyId, Shown};
use super::principal::{Denied, Principal, PrincipalKind};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is written down when keys were used, and how finely.
const NOTE: Duration = Duration::from_mins(1);
/// Stands for a use that never was.
const NEVER: i64 = i64::MIN;
/// Compared with where there is no key, so that an unknown id takes as long as a wrong secret.
const NO_HASH: [u8; 32] = [0; 32];

/// The keys of one file.
pub(super) struct Keyring {
    path: PathBuf,
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

struct Table {
    stamp: Stamp,
    records: HashMap<String, Record>,
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
    noted: i64,
}

impl Keyring {
    /// Reads the file.
    pub(super) fn open(path: PathBuf) -> Result<Self, KeysError> {
        let (document, stamp) = file::read(&path)?;
        Ok(Self {
            path,
            table: ArcSwap::from_pointee(Table::of(document, stamp, None)),
            complaint: Mutex::new(Complaint::Nothing),
            is_read_only: AtomicBool::new(false),
            refusals: AtomicU64::new(0),
        })
    }

    /// How often the file had changed and could not be used.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
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
        let stamp = Stamp::now(&self.path);
        let before = self.table.load_full();
        if stamp == Some(before.stamp) {
            return;
        }
        let mut complaint = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *complaint == Complaint::Unusable(stamp) {
            return;
        }
        match file::read(&self.path) {
            Ok((document, stamp)) => {
                let table = Table::of(document, stamp, Some(&before));
                if !before.has_same_keys(&table) {
                    tracing::info!(keys.count = table.records.len(), "keys file read anew");
                }
                self.table.store(Arc::new(table));
                *complaint = Complaint::Nothing;
            }
            Err(error) => {
                tracing::error!(%error, keys.file = %self.path.display(), "keys file cannot be used; the keys read before stay");
                self.refusals.fetch_add(1, Ordering::Relaxed);
                *complaint = Complaint::Unusable(stamp);
            }
        }
    }

    /// Writes down when keys were used since the last time.
    pub(super) fn note_uses(&self) {
        let used: BTreeMap<KeyId, Timestamp> = (self.table.load().records.values())
            .filter_map(|record| {
                let used = record.used.load(Ordering::Relaxed);
                let at = Timestamp::from_second(used).ok()?;
                (used > record.noted).then(|| (record.id.clone(), at))
            })
            .collect();
        if used.is_empty() {
            return;
        }
        match file::note_used(&self.path, &used) {
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
    fn of(document: Document, stamp: Stamp, before: Option<&Self>) -> Self {
        let records = document
            .keys
            .into_iter()
            .map(|entry| (entry.id.as_str().to_owned(), record(entry, before)))
            .collect();
        Self { stamp, records }
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
        noted,
    }
}
