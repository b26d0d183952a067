//! Operations in a store: written before a vendor is asked, and followed by one gateway at a time.

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tracing::warn;

use super::StoreError;
use super::claims::mark;
use super::open::Store;
use super::owned::Owned;
use super::pool::Value;
use crate::domain::{ClusterId, OperationId, SourceName};
use crate::live::{Away, Keep, Key, Known, Place, Record, Selection, Standing};

/// Operations that are looked through for one to adopt.
const LOOKED_THROUGH: i64 = 200;

const ASKED: &str = "UPDATE claim SET asked = 1 WHERE key = $1 AND owner = $2 AND answer IS NULL";
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
const WITHDRAWN: &str = "DELETE FROM operation WHERE id = $1 AND done = 0";
const FIND: &str = "SELECT body, created, shown, became FROM operation WHERE id = $1";
const LIST: &str = "SELECT body, created FROM operation WHERE shown = 1 \
    AND (CAST($1 AS TEXT) IS NULL OR source = $1) AND (CAST($2 AS TEXT) IS NULL OR cluster = $2) \
    AND (created < $3 OR (created = $3 AND id < $4)) ORDER BY created DESC, id DESC LIMIT $5";
const LEFT: &str = "SELECT id, source, owner FROM operation WHERE done = 0 AND owner <> $1 AND NOT EXISTS \
    (SELECT 1 FROM live_owner, live_clock WHERE live_owner.id = operation.owner AND live_owner.until > live_clock.ms) \
    ORDER BY created LIMIT $2";
const TAKE: &str =
    "UPDATE operation SET owner = $1, shown = 1 WHERE id = $2 AND owner = $3 AND done = 0";
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

impl Owned {
    async fn take(&self, sources: &[SourceName], most: usize) -> Option<Vec<Record>> {
        let owner = self.owner.clone();
        let sources = sources.to_vec();
        self.with(move |store| {
            Box::pin(async move {
                let values = vec![Value::text(owner.clone()), Value::count(LOOKED_THROUGH)];
                let left: Vec<(String, String, String)> = store.reads.fetch(LEFT, values).await?;
                let mut taken = Vec::new();
                for (id, source, other) in left {
                    let is_ours = sources.iter().any(|name| name.as_str() == source);
                    if !is_ours || taken.len() == most {
                        continue;
                    }
                    let values = vec![
                        Value::text(owner.clone()),
                        Value::text(id.clone()),
                        Value::text(other),
                    ];
                    if store.pool.execute_shared(TAKE, values).await? == 1 {
                        taken.extend(find(store, &id).await?);
                    }
                }
                Ok(taken)
            })
        })
        .await
    }
}

impl Keep for Owned {
    fn intend<'a>(
        &'a self,
        intent: &'a Record,
        key: Option<&'a Key>,
    ) -> BoxFuture<'a, Result<bool, Away>> {
        Box::pin(async move {
            self.live().await.ok_or(Away)?;
            let body = serde_json::to_string(intent).map_err(|_| Away)?;
            let mut values = values(intent, &self.owner, body);
            let claimed = key.map(mark);
            let must_be_ours = claimed.is_some_and(|mark| self.has_claimed(&mark));
            let claimed = claimed.map(|mark| (mark, Value::text(self.owner.clone())));
            let mark = claimed.as_ref().map(|(mark, _)| mark.to_vec());
            values.push(Value::Bytes(mark));
            self.with(|store| {
                Box::pin(async move {
                    let mut transaction = store.pool.begin_shared().await?;
                    if let Some((mark, owner)) = claimed {
                        let values = vec![Value::Bytes(Some(mark.to_vec())), owner];
                        // Where the store did not answer in time it may have given the key, or not.
                        let is_ours = transaction.execute(ASKED, values).await? > 0;
                        if must_be_ours && !is_ours {
                            return Ok(false);
                        }
                    }
                    transaction.execute(INTENT, values).await?;
                    transaction.commit().await?;
                    Ok(true)
                })
            })
            .await
            .ok_or(Away)
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
            let id = intent.as_str().to_owned();
            self.with(|store| {
                Box::pin(async move {
                    let mut transaction = store.pool.begin_shared().await?;
                    let values = vec![Value::text(id)];
                    transaction.execute(NOT_ASKED, values.clone()).await?;
                    transaction.execute(WITHDRAWN, values).await?;
                    transaction.commit().await
                })
            })
            .await
            .ok_or(Away)
        })
    }

    fn find<'a>(&'a self, id: &'a OperationId) -> BoxFuture<'a, Result<Option<Record>, Away>> {
        Box::pin(async move {
            let id = id.as_str().to_owned();
            self.with(|store| Box::pin(async move { find(store, &id).await }))
                .await
                .ok_or(Away)
        })
    }

    fn list<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<&'a Place>,
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Known>, Away>> {
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
            let rows: Vec<(String, i64)> = self
                .with(|store| Box::pin(async move { store.reads.fetch(LIST, values).await }))
                .await
                .ok_or(Away)?;
            let records = rows.iter().filter_map(|row| read(&row.0, row.1, true));
            Ok(records.map(|record| record.known).collect())
        })
    }

    fn beat(&self) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(async move { self.say_alive().await.ok_or(Away) })
    }

    fn adopt<'a>(
        &'a self,
        sources: &'a [SourceName],
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, Away>> {
        Box::pin(async move { self.take(sources, most).await.ok_or(Away) })
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
