//! The counts of each hour.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tracing::warn;

use super::StoreError;
use super::durable::Durable;
use super::error::within;
use super::open::Store;
use super::pool::Value;
use crate::domain::SourceName;
use crate::inventory::hours::{Account, Count, Hour, Hours};
use crate::inventory::past::PastError;

/// How long it may take to write or read counts.
const PATIENCE: Duration = Duration::from_secs(5);
/// How accounts are compressed, and bytes that one may unfold to.
const LEVEL: i32 = 1;
const MOST: usize = 16 << 20;

type Row = (String, i64, i64, Vec<u8>);

const NOTE: &str = "INSERT INTO hour (source, hour, generation, account) VALUES ($1, $2, $3, $4) \
    ON CONFLICT (source, hour) DO UPDATE SET generation = excluded.generation, account = excluded.account \
    WHERE excluded.generation >= hour.generation";
const BETWEEN: &str = "SELECT h.source, h.hour, h.generation, h.account FROM hour h JOIN \
    (SELECT source, MAX(hour) AS last FROM hour WHERE hour >= $1 AND hour < $2 GROUP BY source, hour / $3) l \
    ON h.source = l.source AND h.hour = l.last ORDER BY h.hour, h.source";

impl Store {
    pub(super) async fn note_hours(&self, counts: &[Count]) -> Result<(), StoreError> {
        // Gateways that note the same rows take them in the same order, so that none waits for another in a circle.
        let mut counts: Vec<&Count> = counts.iter().collect();
        counts.sort_by_key(|count| (&count.source, count.hour.0));
        let mut transaction = self.pool.begin().await?;
        for count in counts {
            let account = serde_json::to_vec(&count.account).unwrap_or_default();
            let account = zstd::bulk::compress(&account, LEVEL)?;
            let values = vec![
                Value::text(count.source.as_str()),
                Value::Number(Some(count.hour.0)),
                Value::count(count.generation),
                Value::Bytes(Some(account)),
            ];
            transaction.execute(NOTE, values).await?;
        }
        transaction.commit().await
    }

    pub(super) async fn hours(
        &self,
        from: Hour,
        until: Hour,
        step: i64,
    ) -> Result<Vec<Count>, StoreError> {
        let values = [from.0, until.0, step.max(1)].map(|number| Value::Number(Some(number)));
        let rows: Vec<Row> = self.reads.fetch(BETWEEN, values.into()).await?;
        // What cannot be read back is as if it had never been counted.
        let counts =
            tokio::task::spawn_blocking(move || rows.into_iter().filter_map(read).collect());
        counts.await.map_err(|_| StoreError::Late)
    }
}

fn read((source, hour, generation, account): Row) -> Option<Count> {
    let account = zstd::bulk::decompress(&account, MOST).ok()?;
    let account: Account = serde_json::from_slice(&account).ok()?;
    Some(Count {
        source: SourceName::new(&source).ok()?,
        hour: Hour(hour),
        generation: u64::try_from(generation).ok()?,
        account,
    })
}

impl Hours for Durable {
    fn note(&self, counts: Vec<Count>) -> BoxFuture<'_, Result<(), PastError>> {
        Box::pin(async move {
            let noted = async { self.store()?.note_hours(&counts).await };
            told(within(PATIENCE, noted).await)
        })
    }

    fn between(
        &self,
        from: Hour,
        until: Hour,
        step: i64,
    ) -> BoxFuture<'_, Result<Vec<Count>, PastError>> {
        Box::pin(async move {
            let read = async { self.store()?.hours(from, until, step).await };
            told(within(PATIENCE, read).await)
        })
    }
}

fn told<T>(result: Result<T, StoreError>) -> Result<T, PastError> {
    result.map_err(|error| {
        warn!(error.code = error.code(), error = %error.told(), "the counts of hours cannot be kept or read");
        PastError::Unavailable
    })
}
