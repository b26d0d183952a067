//! Changes that are older than the memory, read from where they are kept.
//!
//! Each answer is of one moment of the store, which says with it how far it can be relied on: retention, a queue that was too
//! long and a process that was killed take changes away, and nobody is told of what is left as if it were all.

use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{error, warn};

use super::StoreError;
use super::durable::Durable;
use super::pool::{Transaction, Value};
use crate::domain::ClusterId;
use crate::inventory::past::{Kept, Past, PastError};
use crate::inventory::{Mark, Was};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Rows that are read at once.
const ROWS: usize = 100;
/// Bytes of one answer, about, at most.
const BYTES: usize = 8 << 20;
/// Bytes of one cluster's account of itself, at most.
const DOCUMENT: u64 = 64 << 20;

const META: &str = "SELECT name, value FROM meta WHERE name IN ('generation', 'changes_whole_from', 'changes_whole_at')";
const RESTART: &str = "SELECT after FROM restart WHERE first > $1 ORDER BY first LIMIT 1";
const CHANGES: &str = "SELECT generation, number, at, body, document, was FROM change \
    WHERE (generation, number) >= ($1, $2) AND generation <= $3 ORDER BY generation, number LIMIT $4";
const OF_CLUSTER: &str = "SELECT generation, number, at, body, document, was FROM change \
    WHERE cluster = $1 AND (generation, number) < ($2, $3) ORDER BY generation DESC, number DESC LIMIT $4";
const LATER: &str = "SELECT MIN(generation) FROM change WHERE at > $1";
const BEFORE: &str = "SELECT MAX(generation) FROM change WHERE generation < $1";
const LAST: &str = "SELECT generation, at FROM change WHERE generation <= $1 ORDER BY generation DESC, number DESC LIMIT 1";

pub(super) type Row = (i64, i64, i64, String, Option<Vec<u8>>, Option<i64>);

/// The changes that a store keeps.
pub(super) struct Changes {
    durable: Arc<Durable>,
    /// Changes before this generation are not all kept, and the store does not know it yet.
    unsaid: Box<dyn Fn() -> Option<u64> + Send + Sync>,
    /// The last generation of which a change was found that is not what was written, and when it was published.
    damage: Mutex<Option<(u64, Timestamp)>>,
}

/// How far a store can be relied on.
struct Standing {
    /// The last generation that is durable.
    generation: u64,
    /// All that changed after this generation is kept; `None` where that is not known of any.
    floor: Option<u64>,
    /// When the last change that is not there was published, in microseconds.
    floor_at: i64,
}

impl Changes {
    pub(super) fn new(
        durable: Arc<Durable>,
        unsaid: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self {
            durable,
            unsaid: Box::new(unsaid),
            damage: Mutex::default(),
        }
    }

    /// What is left of changes is not told as if it were all: of those up to one that cannot be read, nothing is known any more.
    fn note(&self, damaged: &Kept) {
        let found = (damaged.generation, damaged.at);
        let mut damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if damage.is_none_or(|known| known < found) {
            error!(
                change.generation = damaged.generation,
                change.place = damaged.place,
                "a change of the store is not what was written; of what changed up to it nothing is told any more"
            );
            *damage = Some(found);
        }
    }

    async fn begin(&self) -> Result<(Transaction, Standing), StoreError> {
        // What is lost before this moment is not in what is read from now on.
        let unsaid = (self.unsaid)();
        let mut transaction = self.durable.store()?.reads.look().await?;
        let rows: Vec<(String, i64)> = transaction.fetch(META, vec![]).await?;
        let of = |name: &str| rows.iter().find(|row| row.0 == name).map(|row| row.1);
        let number = |name: &str| of(name).and_then(|value| u64::try_from(value).ok());
        let from = number("changes_whole_from").max(unsaid);
        let mut standing = Standing {
            generation: number("generation").unwrap_or(0),
            floor: from.map(|from| from.saturating_sub(1)),
            floor_at: of("changes_whole_at").unwrap_or(i64::MAX),
        };
        let damage = *self.damage.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some((generation, at)), Some(floor)) = (damage, standing.floor)
            && generation > floor
        {
            standing.floor = Some(generation);
            standing.floor_at = standing.floor_at.max(at.as_microsecond());
        }
        Ok((transaction, standing))
    }

    async fn read_floor(&self) -> Result<u64, Failure> {
        let (_, standing) = self.begin().await?;
        Ok(standing.floor.unwrap_or(standing.generation))
    }

    async fn is_reached(&self, from: Mark) -> Result<bool, Failure> {
        let (mut transaction, standing) = self.begin().await?;
        Ok(standing.reaches(from, &mut transaction).await?)
    }

    async fn read(&self, from: Mark, until: u64, most: usize) -> Result<Vec<Kept>, Failure> {
        let (mut transaction, standing) = self.begin().await?;
        if !standing.reaches(from, &mut transaction).await? {
            return Err(Failure(PastError::Unknown));
        }
        standing.has(until)?;
        let place = |mark: Mark| vec![Value::count(mark.generation), Value::count(mark.place)];
        let mut from = from;
        let mut read = Reading::new(most);
        while let Some(rows) = read.wanted() {
            let mut values = place(from);
            values.extend([Value::count(until), Value::count(rows)]);
            read.take(transaction.fetch(CHANGES, values).await?, rows);
            if let Some(damaged) = read.damaged.take() {
                self.note(&damaged);
                return Err(Failure(PastError::Unknown));
            }
            if let Some(last) = read.kept.last() {
                (from.generation, from.place) = (last.generation, last.place + 1);
            }
        }
        Ok(read.kept)
    }

    async fn read_of(
        &self,
        id: &ClusterId,
        mut before: Mark,
        most: usize,
    ) -> Result<Vec<Kept>, Failure> {
        let (mut transaction, standing) = self.begin().await?;
        standing.has(before.known())?;
        let mut read = Reading::new(most);
        while let Some(rows) = read.wanted() {
            let values = vec![
                Value::text(id.as_str()),
                Value::count(before.generation),
                Value::count(before.place),
                Value::count(rows),
            ];
            read.take(transaction.fetch(OF_CLUSTER, values).await?, rows);
            if let Some(damaged) = read.damaged.take() {
                self.note(&damaged);
                read.is_done = true;
            }
            if let Some(last) = read.kept.last() {
                (before.generation, before.place) = (last.generation, last.place);
            }
        }
        Ok(read.kept)
    }

    /// Where the clock was set back, generations count as later that were published in between: nothing is missed.
    async fn find(&self, at: Timestamp) -> Result<Option<u64>, Failure> {
        let (mut transaction, standing) = self.begin().await?;
        let Some(floor) = standing.floor else {
            return Ok(None);
        };
        let at = at.as_microsecond();
        let values = vec![Value::Number(Some(at))];
        let later: Vec<(Option<i64>,)> = transaction.fetch(LATER, values).await?;
        let later = later.first().and_then(|row| row.0).unwrap_or(i64::MAX);
        let values = vec![Value::Number(Some(later))];
        let last: Vec<(Option<i64>,)> = transaction.fetch(BEFORE, values).await?;
        let last = last.first().and_then(|row| u64::try_from(row.0?).ok());
        Ok(match last {
            Some(last) if last >= floor => Some(last),
            _ if at >= standing.floor_at => Some(floor),
            _ => None,
        })
    }

    async fn read_last(&self, until: u64) -> Result<Option<(u64, Timestamp)>, Failure> {
        let (mut transaction, _) = self.begin().await?;
        let values = vec![Value::count(until)];
        let rows: Vec<(i64, i64)> = transaction.fetch(LAST, values).await?;
        let last = rows.first();
        Ok(last.and_then(|row| Some((u64::try_from(row.0).ok()?, time(row.1)?))))
    }
}

impl Standing {
    /// Whether all that changed after a place is kept: it lies after the floor, and its generation was kept as well.
    async fn reaches(&self, from: Mark, transaction: &mut Transaction) -> Result<bool, StoreError> {
        if self.floor.is_none_or(|floor| from < Mark::after(floor)) {
            return Ok(false);
        }
        let seen = if from.place > 0 {
            from.generation
        } else {
            from.known()
        };
        let rows: Vec<(i64,)> = transaction.fetch(RESTART, vec![Value::count(seen)]).await?;
        let after = rows.first().map(|row| u64::try_from(row.0).unwrap_or(0));
        Ok(after.is_none_or(|after| seen <= after))
    }

    /// Whether all generations up to one are here. Where the store is behind they are not, and nobody may take what is here for
    /// all there is.
    fn has(&self, generation: u64) -> Result<(), Failure> {
        if generation > self.generation {
            return Err(Failure(PastError::Unavailable));
        }
        Ok(())
    }
}

/// An answer in the making.
struct Reading {
    kept: Vec<Kept>,
    most: usize,
    weight: usize,
    is_done: bool,
    /// The first of the rows that is not what was written; nothing behind it was taken.
    damaged: Option<Kept>,
}

impl Reading {
    fn new(most: usize) -> Self {
        Self {
            kept: Vec::new(),
            most,
            weight: 0,
            is_done: false,
            damaged: None,
        }
    }

    /// How many rows to read next; `None` is the end.
    fn wanted(&self) -> Option<usize> {
        let left = self.most.saturating_sub(self.kept.len());
        (left > 0 && self.weight < BYTES && !self.is_done).then(|| left.min(ROWS))
    }

    fn take(&mut self, rows: Vec<Row>, wanted: usize) {
        self.is_done = rows.len() < wanted;
        for row in rows {
            if self.weight >= BYTES {
                return;
            }
            let kept = kept(row);
            if !kept.is_whole() {
                self.damaged = Some(kept);
                return;
            }
            self.weight += kept.body.len() + kept.document.as_ref().map_or(0, |text| text.len());
            self.kept.push(kept);
        }
    }
}

pub(super) fn kept((generation, number, at, body, document, was): Row) -> Kept {
    Kept {
        generation: u64::try_from(generation).unwrap_or(0),
        place: usize::try_from(number).unwrap_or(0),
        at: time(at).unwrap_or(Timestamp::UNIX_EPOCH),
        body: body.into_bytes().into(),
        document: document.and_then(|packed| unpacked(&packed)),
        was: was
            .and_then(|code| u8::try_from(code).ok())
            .and_then(Was::of_code),
    }
}

fn time(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

/// A document as it was before it was packed; `None` where it is not what was written, or larger than any that is.
fn unpacked(packed: &[u8]) -> Option<Box<str>> {
    let mut text = String::new();
    let unpacking = zstd::Decoder::new(packed).ok()?;
    unpacking
        .take(DOCUMENT + 1)
        .read_to_string(&mut text)
        .ok()?;
    (text.len() as u64 <= DOCUMENT).then(|| text.into())
}

/// Why there is no answer; what is wrong with the store is in the log.
struct Failure(PastError);

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        warn!(error.code = error.code(), error = %error.told(), "what the store keeps of changes could not be read");
        Self(PastError::Unavailable)
    }
}

/// An answer in time.
async fn soon<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, PastError> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|failure| failure.0),
        Err(_) => Err(Failure::from(StoreError::Late).0),
    }
}

impl Past for Changes {
    fn floor(&self) -> BoxFuture<'_, Result<u64, PastError>> {
        Box::pin(soon(self.read_floor()))
    }

    fn reaches(&self, from: Mark) -> BoxFuture<'_, Result<bool, PastError>> {
        Box::pin(soon(self.is_reached(from)))
    }

    fn generation_at(&self, at: Timestamp) -> BoxFuture<'_, Result<Option<u64>, PastError>> {
        Box::pin(soon(self.find(at)))
    }

    fn last_change(
        &self,
        until: u64,
    ) -> BoxFuture<'_, Result<Option<(u64, Timestamp)>, PastError>> {
        Box::pin(soon(self.read_last(until)))
    }

    fn changes(
        &self,
        from: Mark,
        until: u64,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Kept>, PastError>> {
        Box::pin(soon(self.read(from, until, most)))
    }

    fn of_cluster<'a>(
        &'a self,
        id: &'a ClusterId,
        before: Mark,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Kept>, PastError>> {
        Box::pin(soon(self.read_of(id, before, most)))
    }
}
