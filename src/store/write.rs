//! One commit: what a store is told, and how it is written. To write the same once more changes nothing.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;

use super::StoreError;
use super::pool::{Pool, Transaction, Value};
use crate::domain::{ClusterId, SourceName};
use crate::inventory::journal::Delta;
use crate::inventory::{Attempt, Batch, Change};

/// Rows of one statement, at most.
const ROWS: usize = 256;
/// Bytes of one statement, about, at most.
const BYTES: usize = 4 << 20;
/// How documents are compressed.
const LEVEL: i32 = 1;

/// What is written together.
#[derive(Debug, Clone, Default)]
pub(super) struct Commit {
    /// The last generation that it is of.
    pub(super) generation: u64,
    /// The sources of which something is different.
    pub(super) sources: Vec<Written>,
    /// Changes, the oldest first.
    pub(super) batches: Vec<Arc<Batch>>,
    /// Attempts to read sources.
    pub(super) attempts: Vec<(SourceName, Attempt)>,
    /// Changes before this generation are not all there, since some could not be kept.
    pub(super) whole_from: Option<u64>,
    /// When what is not there was published, at the latest.
    pub(super) whole_at: Option<Timestamp>,
    /// The process that writes, where nothing of it is durable yet.
    pub(super) begun: Option<Begun>,
}

/// How a process begins to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// Its first generation.
    pub(super) first: u64,
    /// The generation that it goes on from: what may have been shown between the two was never kept. `None` where it does not
    /// know what there was.
    pub(super) after: Option<u64>,
    /// When.
    pub(super) at: Timestamp,
}

/// One source as it is written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) delta: Delta,
    /// Whether what is kept of it may be something else than what it was before this publication: then all of it is written.
    pub(super) is_whole: bool,
}

impl Written {
    /// Whether nothing is written: what was kept of a source that nothing is known of yet is more than nothing.
    pub(super) fn is_skipped(&self) -> bool {
        self.is_whole && self.delta.report.fetched_at.is_none()
    }
}

/// A statement for many rows.
pub(super) struct Insert {
    pub(super) head: &'static str,
    pub(super) columns: usize,
    pub(super) tail: &'static str,
}

const CLUSTERS: Insert = Insert {
    head: "INSERT INTO cluster (source, id, generation, record) VALUES ",
    columns: 4,
    tail: " ON CONFLICT (source, id) DO UPDATE SET generation = excluded.generation, record = excluded.record",
};

const CHANGES: Insert = Insert {
    head: "INSERT INTO change (generation, number, at, source, cluster, kind, body, document, was) VALUES ",
    columns: 9,
    tail: " ON CONFLICT (generation, number) DO NOTHING",
};

const ATTEMPTS: Insert = Insert {
    head: "INSERT INTO sync (source, started_at, took_ms, error, pages, clusters, rejected) VALUES ",
    columns: 7,
    tail: " ON CONFLICT (source, started_at) DO NOTHING",
};

const TOMBSTONES: Insert = Insert {
    head: "INSERT INTO gone (source, id, generation) VALUES ",
    columns: 3,
    tail: " ON CONFLICT (source, id) DO UPDATE SET generation = excluded.generation",
};

const GONE: &str = "DELETE FROM cluster WHERE source = $1 AND id IN (";
const NOT_WRITTEN: &str = "DELETE FROM cluster WHERE source = $1 AND generation <> $2";
const SOURCE: &str = "INSERT INTO source (name, provider, account, clusters, generation, print) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (name) DO UPDATE SET provider = excluded.provider, account = excluded.account, clusters = excluded.clusters, \
    generation = excluded.generation, print = excluded.print";
pub(super) const RESTART: &str =
    "INSERT INTO restart (first, after) VALUES ($1, $2) ON CONFLICT (first) DO NOTHING";
const UNSEEN: &str = "INSERT INTO unseen (source, since) SELECT name, $1 FROM source WHERE generation < $2 \
    ON CONFLICT (source) DO NOTHING";
pub(super) const SEEN: &str =
    "DELETE FROM unseen WHERE source IN (SELECT name FROM source WHERE generation >= $1)";
const SHOWN: &str = "DELETE FROM unseen WHERE source IN (";
const NOT_SHOWN: &str =
    "INSERT INTO unseen (source, since) VALUES ($1, $2) ON CONFLICT (source) DO NOTHING";
const META: &str = "INSERT INTO meta (name, value) VALUES ($1, $2) \
    ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE excluded.value > meta.value";

/// Writes all of a commit or nothing.
pub(super) async fn write(pool: &Pool, commit: &Commit) -> Result<(), StoreError> {
    let mut transaction = pool.begin().await?;
    write_in(&mut transaction, commit).await?;
    transaction.commit().await
}

/// Does so within a transaction.
pub(super) async fn write_in(
    transaction: &mut Transaction,
    commit: &Commit,
) -> Result<(), StoreError> {
    for written in &commit.sources {
        source(transaction, written, commit.generation).await?;
    }
    seen(transaction, commit).await?;
    let mut changes = Rows::of(&CHANGES);
    for batch in &commit.batches {
        for (place, one) in batch.changes().enumerate() {
            changes.add(transaction, change(batch, place, one)).await?;
        }
    }
    changes.end(transaction).await?;
    let mut attempts = Rows::of(&ATTEMPTS);
    for (source, one) in &commit.attempts {
        attempts.add(transaction, attempt(source, one)).await?;
    }
    attempts.end(transaction).await?;
    meta(transaction, "generation", commit.generation).await?;
    if let Some(from) = commit.whole_from {
        let at = commit.whole_at;
        whole_from(transaction, from, at.map(Timestamp::as_microsecond)).await?;
    }
    if let Some(begun) = &commit.begun {
        begin(transaction, begun).await?;
    }
    Ok(())
}

/// Takes note that changes before a generation are not all there, and of the last time that any of these is of.
pub(super) async fn whole_from(
    transaction: &mut Transaction,
    generation: u64,
    at: Option<i64>,
) -> Result<(), StoreError> {
    meta(transaction, "changes_whole_from", generation).await?;
    let at = at.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
    meta(transaction, "changes_whole_at", at).await
}

/// What is written is shown, whatever it was before.
async fn seen(transaction: &mut Transaction, commit: &Commit) -> Result<(), StoreError> {
    let written = commit.sources.iter().filter(|one| !one.is_skipped());
    let names: Vec<Value> = written
        .map(|one| Value::text(one.delta.source().as_str()))
        .collect();
    in_parts(transaction, SHOWN, Vec::new(), names).await
}

/// Takes note of sources that are kept and not shown any more.
pub(super) async fn unseen(
    transaction: &mut Transaction,
    sources: &[SourceName],
    at: Timestamp,
) -> Result<(), StoreError> {
    for source in sources {
        let values = vec![
            Value::text(source.as_str()),
            Value::Number(Some(at.as_microsecond())),
        ];
        transaction.execute(NOT_SHOWN, values).await?;
    }
    Ok(())
}

/// Carries out a statement that ends with a list of names, for a few names at a time.
async fn in_parts(
    transaction: &mut Transaction,
    head: &str,
    first: Vec<Value>,
    names: Vec<Value>,
) -> Result<(), StoreError> {
    for part in names.chunks(ROWS) {
        let mut sql = String::from(head);
        let mut values = first.clone();
        for (at, name) in part.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            values.push(name.clone());
            // Writing to a string cannot fail.
            let _ = write!(sql, "{comma}${}", values.len());
        }
        sql.push(')');
        transaction.execute(sql, values).await?;
    }
    Ok(())
}

/// Takes note of who writes from now on, and of what is there and not shown by it.
async fn begin(transaction: &mut Transaction, begun: &Begun) -> Result<(), StoreError> {
    meta(transaction, "begun", begun.first).await?;
    if let Some(after) = begun.after {
        let values = vec![Value::count(begun.first), Value::count(after)];
        transaction.execute(RESTART, values).await?;
    }
    let values = vec![
        Value::Number(Some(begun.at.as_microsecond())),
        Value::count(begun.first),
    ];
    transaction.execute(UNSEEN, values).await?;
    let values = vec![Value::count(begun.first)];
    transaction.execute(SEEN, values).await.map(|_| ())
}

/// Writes down which clusters a commit removes, for gateways that have them still.
pub(super) async fn tombstones(
    transaction: &mut Transaction,
    commit: &Commit,
) -> Result<(), StoreError> {
    let mut rows = Rows::of(&TOMBSTONES);
    for written in commit.sources.iter().filter(|one| !one.is_skipped()) {
        let removed = written.delta.removed().iter().map(ClusterId::as_str);
        // All that there was of a source is gone, and what there is follows.
        let all = written.is_whole.then_some("");
        let ids = all.into_iter().chain(removed.filter(|_| !written.is_whole));
        for id in ids {
            let row = vec![
                Value::text(written.delta.source().as_str()),
                Value::text(id),
                Value::count(commit.generation),
            ];
            rows.add(transaction, row).await?;
        }
    }
    rows.end(transaction).await
}

/// Raises a number.
pub(super) async fn meta(
    transaction: &mut Transaction,
    name: &str,
    value: u64,
) -> Result<(), StoreError> {
    let values = vec![Value::text(name), Value::count(value)];
    transaction.execute(META, values).await.map(|_| ())
}

async fn source(
    transaction: &mut Transaction,
    written: &Written,
    generation: u64,
) -> Result<(), StoreError> {
    if written.is_skipped() {
        return Ok(());
    }
    let Written { delta, is_whole } = written;
    let name = delta.source();
    let mut clusters = Rows::of(&CLUSTERS);
    if *is_whole {
        for (id, record) in delta.all() {
            let row = cluster(name, id, generation, record);
            clusters.add(transaction, row).await?;
        }
        clusters.end(transaction).await?;
        let values = vec![Value::text(name.as_str()), Value::count(generation)];
        transaction.execute(NOT_WRITTEN, values).await?;
    } else {
        for (id, record) in delta.upserts() {
            let row = cluster(name, id, generation, record);
            clusters.add(transaction, row).await?;
        }
        clusters.end(transaction).await?;
        let of_source = vec![Value::text(name.as_str())];
        let gone = delta.removed().iter();
        let gone = gone.map(|id| Value::text(id.as_str())).collect();
        in_parts(transaction, GONE, of_source, gone).await?;
    }
    let (provider, account) = (delta.report.provider.as_str(), delta.account());
    let clusters = delta.all().len();
    let print = print(name, provider, &account, clusters as u64);
    let values = vec![
        Value::text(name.as_str()),
        Value::text(provider),
        Value::text(account),
        Value::count(clusters),
        Value::count(generation),
        Value::Bytes(Some(print.to_vec())),
    ];
    transaction.execute(SOURCE, values).await.map(|_| ())
}

fn cluster(source: &SourceName, id: &ClusterId, generation: u64, record: Vec<u8>) -> Vec<Value> {
    vec![
        Value::text(source.as_str()),
        Value::text(id.as_str()),
        Value::count(generation),
        Value::Bytes(Some(record)),
    ]
}

/// Tells whether a source's own row is what was written.
pub(super) fn print(name: &SourceName, provider: &str, account: &str, clusters: u64) -> [u8; 16] {
    let mut print = [0; 16];
    let mut hasher = blake3::Hasher::new();
    for part in [name.as_str(), provider, account] {
        hasher.update(part.as_bytes()).update(&[0]);
    }
    hasher.update(&clusters.to_le_bytes());
    hasher.finalize_xof().fill(&mut print);
    print
}

fn change(batch: &Batch, place: usize, change: &Change) -> Vec<Value> {
    let document = change.document();
    let document = document.and_then(|text| zstd::bulk::compress(text.as_bytes(), LEVEL).ok());
    vec![
        Value::count(batch.generation),
        Value::count(place),
        Value::Number(Some(batch.at.as_microsecond())),
        Value::text(change.source.as_str()),
        Value::Text(change.cluster.as_ref().map(|id| id.as_str().to_owned())),
        Value::text(change.kind.as_str()),
        Value::text(String::from_utf8_lossy(batch.told(place))),
        Value::Bytes(document),
        Value::Number(change.was().map(|was| i64::from(was.code()))),
    ]
}

fn attempt(source: &SourceName, attempt: &Attempt) -> Vec<Value> {
    let clusters = attempt
        .clusters
        .map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    vec![
        Value::text(source.as_str()),
        Value::Number(Some(attempt.started_at.as_microsecond())),
        Value::count(attempt.took.as_millis()),
        Value::Text(attempt.error.map(|error| error.code().to_owned())),
        Value::count(attempt.pages),
        Value::Number(clusters),
        Value::count(attempt.rejected),
    ]
}

impl Insert {
    fn sql(&self, rows: usize) -> String {
        let mut sql = String::from(self.head);
        for at in 0..rows * self.columns {
            let before = match (at, at % self.columns) {
                (0, _) => "(",
                (_, 0) => "),(",
                _ => ",",
            };
            // Writing to a string cannot fail.
            let _ = write!(sql, "{before}${}", at + 1);
        }
        sql.push(')');
        sql.push_str(self.tail);
        sql
    }
}

/// Rows on their way, in as few statements as their bounds allow.
pub(super) struct Rows {
    insert: &'static Insert,
    values: Vec<Value>,
    count: usize,
    weight: usize,
}

impl Rows {
    pub(super) const fn of(insert: &'static Insert) -> Self {
        Self {
            insert,
            values: Vec::new(),
            count: 0,
            weight: 0,
        }
    }

    pub(super) async fn add(
        &mut self,
        transaction: &mut Transaction,
        row: Vec<Value>,
    ) -> Result<(), StoreError> {
        self.weight += row.iter().map(Value::weight).sum::<usize>();
        self.values.extend(row);
        self.count += 1;
        if self.count == ROWS || self.weight >= BYTES {
            self.end(transaction).await?;
        }
        Ok(())
    }

    pub(super) async fn end(&mut self, transaction: &mut Transaction) -> Result<(), StoreError> {
        if self.count > 0 {
            let sql = self.insert.sql(self.count);
            let values = std::mem::take(&mut self.values);
            (self.count, self.weight) = (0, 0);
            transaction.execute(sql, values).await?;
        }
        Ok(())
    }
}
