//! Operations in a store: written before a vendor is asked, and followed by one gateway at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::warn;

use super::StoreError;
use super::claims::{claim, mark};
use super::open::Store;
use super::owned::{Hold, Mark, Owned, Taken};
use super::pool::{Transaction, Value};
use crate::domain::{ClusterId, OperationId, SourceName};
use crate::live::{Away, Intended, Keep, Key, Part, Place, Record, Selection, Standing};

/// Operations that are looked through for one to adopt.
const LOOKED_THROUGH: i64 = 200;

/// Whether an intent is kept that was not heard of again.
const IS_KEPT: &str = "SELECT done FROM operation WHERE id = $1 AND owner = $2";
/// Writes that others are sending to the same cluster, or creations that they are sending to the same source. What a vendor works
/// on is no longer being sent: then lists show it, or it has ended.
const SENDING: &str = "SELECT body, created FROM operation WHERE done = 0 AND shown = 0 AND source = $1 \
    AND cluster IS NOT DISTINCT FROM CAST($2 AS TEXT) AND owner IN \
    (SELECT live_owner.id FROM live_owner, live_clock WHERE live_owner.until > live_clock.ms AND live_owner.id <> $3)";
const NOT_ASKED: &str = "UPDATE claim SET asked = 0 WHERE answer IS NULL AND key IN \
    (SELECT claim FROM operation WHERE id = $1 AND done = 0)";
const INTENT: &str = "INSERT INTO operation (id, source, cluster, created, at, done, shown, owner, body, claim) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const PUT: &str = "INSERT INTO operation (id, source, cluster, created, at, done, shown, owner, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
    ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster, at = excluded.at, done = excluded.done, body = excluded.body \
    WHERE operation.done = 0 AND operation.at <= excluded.at";
const SETTLED: &str = "INSERT INTO operation (id, source, cluster, created, at, done, shown, owner, body) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
    ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster, at = excluded.at, done = excluded.done, shown = excluded.shown, \
    owner = excluded.owner, body = excluded.body";
const BECAME: &str = "UPDATE operation SET became = $2, done = 1, shown = 0 WHERE id = $1";
/// Whoever commits an intent of that id meanwhile is waited for, so that it is not kept after it was withdrawn.
const HOLD_BACK: &str = "INSERT INTO operation (id, source, created, at, done, shown, owner, body) \
    VALUES ($1, '', 0, 0, 0, 0, '', '') ON CONFLICT (id) DO NOTHING";
const ITS_KEY: &str =
    "SELECT claim FROM operation WHERE id = $1 AND done = 0 AND claim IS NOT NULL";
const WITHDRAWN: &str = "DELETE FROM operation WHERE id = $1 AND done = 0";
const FIND: &str = "SELECT body, created, shown, became FROM operation WHERE id = $1";
const LIST: &str = "SELECT body, created, id FROM operation WHERE shown = 1 \
    AND (CAST($1 AS TEXT) IS NULL OR source = $1) AND (CAST($2 AS TEXT) IS NULL OR cluster = $2) \
    AND (created < $3 OR (created = $3 AND id < $4)) ORDER BY created DESC, id DESC LIMIT $5";
const LEFT: &str = "SELECT id, source, owner, body FROM operation WHERE done = 0 AND owner <> $1 AND NOT EXISTS \
    (SELECT 1 FROM live_owner, live_clock WHERE live_owner.id = operation.owner AND live_owner.until > live_clock.ms) \
    ORDER BY created LIMIT $2";
const TAKE: &str = "UPDATE operation SET owner = $1, shown = 1 WHERE id = $2 AND owner = $3 AND done = 0 RETURNING body, created";
/// Leaves what may have been taken; also where that is being kept just now, which is waited for.
const LEAVE_AGAIN: &str = "UPDATE operation SET owner = CASE owner WHEN $2 THEN '' ELSE owner END WHERE id = $1 AND done = 0";
const ABANDON: &str = "UPDATE operation SET owner = '' WHERE id = $1 AND owner = $2 AND done = 0";

type Row = (String, i64, i64, Option<String>);

fn values(record: &Record, owner: &str, body: String) -> Vec<Value> {
    let known = &record.known;
    vec![
        Value::text(known.id.as_str()),
        Value::text(known.source.as_str()),
        Value::Text(known.cluster.as_ref().map(|id| id.as_str().to_owned())),
        Value::Number(Some(known.since.as_millisecond())),
        Value::Number(Some(known.at.as_millisecond())),
        Value::Number(Some(i64::from(known.operation.done))),
        Value::Number(Some(i64::from(record.is_shown))),
        Value::text(owner),
        Value::text(body),
    ]
}

/// What a row says; `None` of one that nobody can read, which is told and passed over.
fn read(body: &str, created: i64, is_shown: bool) -> Option<Record> {
    match serde_json::from_str::<Record>(body) {
        Ok(mut record) => {
            record.is_shown = is_shown;
            record.known.durable = true;
            // Others may have seen it first at another time; its place is one.
            if let Ok(since) = Timestamp::from_millisecond(created) {
                record.known.since = since;
            }
            Some(record)
        }
        Err(error) => {
            // The text of the error names fields of ours, and no value that is kept.
            warn!(
                error.line = error.line(),
                error.column = error.column(),
                "an operation of the store cannot be read"
            );
            None
        }
    }
}

/// What is kept under an id, or under what it became.
pub(super) async fn find(store: &Store, id: &str) -> Result<Option<Record>, StoreError> {
    let mut id = id.to_owned();
    // What an intent became is no intent.
    for _ in 0..2 {
        let rows: Vec<Row> = store.reads.fetch(FIND, vec![Value::text(id)]).await?;
        let Some((body, created, shown, became)) = rows.into_iter().next() else {
            return Ok(None);
        };
        match became {
            Some(became) => id = became,
            None => return Ok(read(&body, created, shown != 0)),
        }
    }
    Ok(None)
}

/// A write that is about to be sent, and what must be so for that.
#[derive(Clone)]
struct Intending {
    owner: String,
    id: String,
    source: String,
    cluster: Option<String>,
    /// What no second write may touch meanwhile; none where nobody else can have the store.
    subject: Option<String>,
    claim: Option<(Mark, Taken)>,
    values: Vec<Value>,
    /// Set once it may be kept whether or not it is heard of again.
    told: Arc<AtomicBool>,
}

impl Intending {
    async fn keep(self, store: &Store) -> Result<Intended, StoreError> {
        let mut transaction = store.pool.begin_shared().await?;
        if self.told.load(Ordering::Relaxed) {
            let values = vec![
                Value::text(self.id.clone()),
                Value::text(self.owner.clone()),
            ];
            let kept: Vec<(i64,)> = transaction.fetch(IS_KEPT, values).await?;
            if !kept.is_empty() {
                return Ok(Intended::Kept);
            }
        }
        if self.is_being_written(&mut transaction).await? {
            return Ok(Intended::Busy);
        }
        if let Some((mark, taken)) = self.claim
            && !claim(&mut transaction, &self.owner, mark, taken.print, true).await?
        {
            return Ok(Intended::Taken);
        }
        transaction.execute(INTENT, self.values).await?;
        self.told.store(true, Ordering::Relaxed);
        transaction.commit().await?;
        Ok(Intended::Kept)
    }

    /// Whether somebody else is sending a write of the same thing. Until the transaction ends nobody else finds that nobody is.
    async fn is_being_written(&self, transaction: &mut Transaction) -> Result<bool, StoreError> {
        let Some(subject) = &self.subject else {
            return Ok(false);
        };
        let hash = blake3::hash(subject.as_bytes());
        let turn = hash.as_bytes().first_chunk();
        let turn = turn.map(|part| i64::from_le_bytes(*part));
        // Who has it is about to send, and is not waited for: it may have been stopped.
        if !transaction.turn(turn.unwrap_or_default()).await? {
            return Ok(true);
        }
        let values = vec![
            Value::text(self.source.clone()),
            Value::Text(self.cluster.clone()),
            Value::text(self.owner.clone()),
        ];
        let others: Vec<(String, i64)> = transaction.fetch(SENDING, values).await?;
        let mut others = others.iter().filter_map(|row| read(&row.0, row.1, false));
        Ok(others.any(|other| other.subject().as_ref() == Some(subject)))
    }
}

impl Owned {
    async fn take_over(&self, sources: &[SourceName], most: usize) -> Option<Vec<Record>> {
        for id in self.untended() {
            let values = vec![Value::text(id.clone()), Value::text(self.owner.clone())];
            self.with(|store| Box::pin(store.pool.execute_shared(LEAVE_AGAIN, values)))
                .await?;
            self.is_tended(&id);
        }
        let values = vec![
            Value::text(self.owner.clone()),
            Value::count(LOOKED_THROUGH),
        ];
        let left: Vec<(String, String, String, String)> = self
            .with(|store| Box::pin(store.reads.fetch(LEFT, values)))
            .await?;
        // What another version wrote is left to who can read it.
        let is_ours = |source: &str, body: &str| {
            sources.iter().any(|name| name.as_str() == source)
                && serde_json::from_str::<Record>(body).is_ok()
        };
        let left = left
            .into_iter()
            .filter(|(_, source, _, body)| is_ours(source, body));
        let mut taken = Vec::new();
        for (id, _, other, _) in left.take(most) {
            // It may be taken though that is not heard of.
            self.is_untended(id.clone());
            let values = vec![
                Value::text(self.owner.clone()),
                Value::text(id.clone()),
                Value::text(other),
            ];
            let rows = self
                .with(|store| Box::pin(async move { take(store, values).await }))
                .await;
            // What was taken so far is looked after; the rest is there the next time.
            let Some(rows) = rows else { break };
            let record = rows.first().and_then(|row| read(&row.0, row.1, true));
            if rows.is_empty() || record.is_some() {
                self.is_tended(&id);
            }
            taken.extend(record);
        }
        Some(taken)
    }
}

async fn take(store: &Store, values: Vec<Value>) -> Result<Vec<(String, i64)>, StoreError> {
    let mut transaction = store.pool.begin_shared().await?;
    let rows = transaction.fetch(TAKE, values).await?;
    transaction.commit().await?;
    Ok(rows)
}

impl Keep for Owned {
    fn intend<'a>(&'a self, intent: &'a Record, key: Option<&'a Key>) -> BoxFuture<'a, Intended> {
        Box::pin(async move {
            let mark = key.map(mark);
            let taken = mark.and_then(|mark| self.taken(&mark));
            let claim = mark.zip(taken);
            // What is not asked yet, as far as others know, must not be sent without their knowing.
            let away = |may_be_kept: bool| match claim {
                Some((_, taken)) if taken.hold != Hold::No => Intended::Unsafe,
                _ => Intended::Away { may_be_kept },
            };
            if let Some(mark) = &mark
                && !self.tell(mark).await
            {
                return Intended::Unsafe;
            }
            let body = serde_json::to_string(intent);
            let (Ok(body), Some(())) = (body, self.live().await) else {
                return away(false);
            };
            let mut values = values(intent, &self.owner, body);
            values.push(Value::Bytes(mark.map(|mark| mark.to_vec())));
            let told = Arc::new(AtomicBool::new(false));
            let intending = Intending {
                owner: self.owner.clone(),
                id: intent.known.id.as_str().to_owned(),
                source: intent.known.source.as_str().to_owned(),
                cluster: (intent.known.cluster.as_ref()).map(|id| id.as_str().to_owned()),
                subject: intent.subject().filter(|_| !self.is_alone),
                claim,
                values,
                told: Arc::clone(&told),
            };
            let intended = self
                .surely(|store| Box::pin(intending.clone().keep(store)))
                .await;
            let may_be_kept = told.load(Ordering::Relaxed);
            if let Some((mark, taken)) = claim
                && (intended == Some(Intended::Kept) || may_be_kept)
            {
                let hold = Hold::Yes;
                self.take(mark, Taken { hold, ..taken });
            }
            intended.unwrap_or_else(|| away(may_be_kept))
        })
    }

    fn put<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move {
            let body = serde_json::to_string(record).map_err(|_| Away)?;
            let values = values(record, &self.owner, body);
            self.with(|store| Box::pin(async move { store.pool.execute_shared(PUT, values).await }))
                .await
                .map(|_| ())
                .ok_or(Away)
        })
    }

    fn settle<'a>(
        &'a self,
        intent: &'a OperationId,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move {
            let body = serde_json::to_string(record).map_err(|_| Away)?;
            let values = values(record, &self.owner, body);
            let (intent, id) = (
                intent.as_str().to_owned(),
                record.known.id.as_str().to_owned(),
            );
            self.with(|store| {
                Box::pin(async move {
                    let mut transaction = store.pool.begin_shared().await?;
                    transaction.execute(SETTLED, values).await?;
                    if intent != id {
                        let values = vec![Value::text(intent), Value::text(id)];
                        transaction.execute(BECAME, values).await?;
                    }
                    transaction.commit().await
                })
            })
            .await
            .ok_or(Away)
        })
    }

    fn withdraw<'a>(&'a self, intent: &'a OperationId) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move {
            let id = vec![Value::text(intent.as_str())];
            let keys: Vec<(Vec<u8>,)> = self
                .with(|store| {
                    Box::pin(async move {
                        let mut transaction = store.pool.begin_shared().await?;
                        transaction.execute(HOLD_BACK, id.clone()).await?;
                        let keys = transaction.fetch(ITS_KEY, id.clone()).await?;
                        transaction.execute(NOT_ASKED, id.clone()).await?;
                        transaction.execute(WITHDRAWN, id).await?;
                        transaction.commit().await?;
                        Ok(keys)
                    })
                })
                .await
                .ok_or(Away)?;
            for (key,) in keys {
                if let Ok(key) = Mark::try_from(key) {
                    self.free_late(key).await;
                }
            }
            Ok(())
        })
    }

    fn find<'a>(&'a self, id: &'a OperationId) -> BoxFuture<'a, Result<Option<Record>, Away>> {
        Box::pin(async move {
            let id = id.as_str().to_owned();
            self.surely(|store| {
                let id = id.clone();
                Box::pin(async move { find(store, &id).await })
            })
            .await
            .ok_or(Away)
        })
    }

    fn list<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<&'a Place>,
        most: usize,
    ) -> BoxFuture<'a, Result<Part, Away>> {
        Box::pin(async move {
            let text = |text: Option<&str>| Value::Text(text.map(str::to_owned));
            let (created, id) = after.map_or((i64::MAX, ""), |(at, id)| (*at, id.as_str()));
            let values = vec![
                text(selection.source.as_ref().map(SourceName::as_str)),
                text(selection.cluster.as_ref().map(ClusterId::as_str)),
                Value::Number(Some(created)),
                Value::text(id),
                Value::count(most),
            ];
            let rows: Vec<(String, i64, String)> = self
                .surely(|store| Box::pin(store.reads.fetch(LIST, values.clone())))
                .await
                .ok_or(Away)?;
            let records = rows.iter().filter_map(|row| read(&row.0, row.1, true));
            let known = records.map(|record| record.known).collect();
            // Also where the last one is none that anybody can read.
            let last = rows.last().filter(|_| rows.len() == most);
            let until = last.map(|row| (row.1, row.2.clone()));
            Ok(Part { known, until })
        })
    }

    fn beat(&self) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(async move { self.say_alive().await.ok_or(Away) })
    }

    fn catch_up(&self) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(async move { self.tell_all().await.ok_or(Away) })
    }

    fn adopt<'a>(
        &'a self,
        sources: &'a [SourceName],
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, Away>> {
        Box::pin(async move { self.take_over(sources, most).await.ok_or(Away) })
    }

    fn abandon<'a>(&'a self, id: &'a OperationId) -> BoxFuture<'a, Result<(), Away>> {
        Box::pin(async move {
            let values = vec![Value::text(id.as_str()), Value::text(self.owner.clone())];
            self.with(|store| {
                Box::pin(async move { store.pool.execute_shared(ABANDON, values).await })
            })
            .await
            .map(|_| ())
            .ok_or(Away)
        })
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.leave())
    }

    fn standing(&self) -> Option<Standing> {
        Some(Self::standing(self))
    }
}
