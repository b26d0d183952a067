//! The log of changes, read from a place on.

use std::io::Read as _;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{at, count};
use crate::domain::ClusterId;
use crate::inventory::Mark;
use crate::inventory::past::{Kept, Past, PastError};
use crate::store::StoreError;
use crate::store::durable::Durable;
use crate::store::pool::Value;

/// No document is longer.
const LARGEST: u64 = 64 << 20;

const WHOLE_FROM: &str = "SELECT value FROM meta WHERE name = 'changes_whole_from'";
const CHANGES: &str = "SELECT generation, number, at, body, document FROM change \
    WHERE (generation > $1 OR (generation = $1 AND number >= $2)) AND generation <= $3 \
    ORDER BY generation, number LIMIT $4";

type Row = (i64, i64, i64, String, Option<Vec<u8>>);

/// The log of a store.
pub(super) struct Log(pub(super) Arc<Durable>);

impl Log {
    async fn read_floor(&self) -> Result<u64, StoreError> {
        let store = self.0.store()?;
        let rows: Vec<(i64,)> = store.reads.fetch(WHOLE_FROM, vec![]).await?;
        let from: u64 = rows.first().map_or(0, |row| count(row.0));
        Ok(from.saturating_sub(1))
    }

    async fn read(&self, from: Mark, until: u64, most: usize) -> Result<Vec<Kept>, StoreError> {
        let store = self.0.store()?;
        let values = vec![
            Value::count(from.generation),
            Value::count(from.place),
            Value::count(until),
            Value::count(most),
        ];
        let rows: Vec<Row> = store.reads.fetch(CHANGES, values).await?;
        Ok(rows.into_iter().map(kept).collect())
    }
}

fn kept((generation, place, published, body, document): Row) -> Kept {
    let text = document.and_then(|bytes| {
        let mut text = String::new();
        let decoder = zstd::stream::read::Decoder::new(bytes.as_slice()).ok()?;
        decoder.take(LARGEST).read_to_string(&mut text).ok()?;
        Some(text)
    });
    Kept {
        generation: count(generation),
        place: count(place),
        at: at(published),
        body: body.into_bytes().into(),
        document: text.map(Into::into),
    }
}

impl Past for Log {
    fn floor(&self) -> BoxFuture<'_, Result<u64, PastError>> {
        Box::pin(async { self.read_floor().await.map_err(|_| PastError::Unavailable) })
    }

    fn generation_at(&self, _: Timestamp) -> BoxFuture<'_, Result<Option<u64>, PastError>> {
        Box::pin(std::future::ready(Err(PastError::Unavailable)))
    }

    fn changes(
        &self,
        from: Mark,
        until: u64,
        most: usize,
    ) -> BoxFuture<'_, Result<Vec<Kept>, PastError>> {
        Box::pin(async move {
            let read = self.read(from, until, most).await;
            read.map_err(|_| PastError::Unavailable)
        })
    }

    fn of_cluster<'a>(
        &'a self,
        _: &'a ClusterId,
        _: Mark,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Kept>, PastError>> {
        Box::pin(std::future::ready(Err(PastError::Unavailable)))
    }
}
