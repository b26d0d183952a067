//! How large a store is, and what goes where that is too large.

use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

use super::StoreError;
use super::open::Store;
use super::pool::{Pool, Value};
use super::retention::ROWS;

// 250 and 150 bytes are about what the other columns of a row and its places in the indexes take.

const SQLITE: &str = "SELECT (page_count - freelist_count) * page_size \
    FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()";
const TOTAL: &str = "SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::BIGINT FROM pg_class c \
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'";
/// What the rows themselves take: a server gives no space back that it will use again.
const HELD: &str = "SELECT ((SELECT COALESCE(SUM(octet_length(body) + COALESCE(octet_length(document), 0) + 250), 0) FROM change) \
    + (SELECT COALESCE(SUM(octet_length(record) + 150), 0) FROM cluster) \
    + (SELECT COUNT(*) * 150 FROM sync))::BIGINT";
/// The first change behind the oldest ones that take so many bytes together.
const CUT: &str = "SELECT generation, at FROM (SELECT generation, number, at, \
    SUM(weight) OVER (ORDER BY generation, number) AS held FROM (SELECT generation, number, at, \
    length(body) + COALESCE(length(document), 0) + 250 AS weight FROM change) AS weighed) AS summed \
    WHERE held >= $1 ORDER BY generation, number LIMIT 1";
const LAST: &str =
    "SELECT generation, at FROM change ORDER BY generation DESC, number DESC LIMIT 1";
const CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN (SELECT generation, number FROM change \
    WHERE generation <= $1 ORDER BY generation, number LIMIT $2) RETURNING generation, at";
const ATTEMPTS: &str = "DELETE FROM sync WHERE (source, started_at) IN (SELECT source, started_at FROM sync \
    WHERE started_at <= $1 ORDER BY started_at LIMIT $2)";

/// What is to go since the store is too large.
#[derive(Debug, Default)]
pub(super) struct Shrinking(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    /// Changes up to this generation, and attempts up to this time, are to go.
    cut: Option<(i64, i64)>,
    is_told: bool,
}

impl Shrinking {
    fn get(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

impl Store {
    /// Bytes that are in use. What was deleted is not, also where the file does not become smaller.
    pub(super) async fn size(&self, most: u64) -> Result<u64, StoreError> {
        let read = async |sql| -> Result<u64, StoreError> {
            let rows: Vec<(i64,)> = self.reads.fetch(sql, vec![]).await?;
            let bytes = rows.first().map_or(0, |row| row.0);
            Ok(u64::try_from(bytes).unwrap_or(0))
        };
        match &self.reads {
            Pool::Sqlite(_) => read(SQLITE).await,
            Pool::Postgres(..) => {
                let total = read(TOTAL).await?;
                if total <= most {
                    return Ok(total);
                }
                Ok(total.min(read(HELD).await?))
            }
        }
    }

    /// Deletes a few of the oldest changes and attempts where the store is larger than it may be; answers with whether there may
    /// be more of it.
    pub(super) async fn shrink(&self, most: u64) -> Result<bool, StoreError> {
        let mut state = self.shrinking.get();
        let Some((generation, at)) = state.cut else {
            return self.begin_to_shrink(most).await;
        };
        let values = vec![Value::Number(Some(generation)), Value::count(ROWS)];
        let changes = self.forget(CHANGES, values).await?;
        let values = vec![Value::Number(Some(at)), Value::count(ROWS)];
        let attempts = self.pool.execute(ATTEMPTS, values).await?;
        if changes < ROWS && attempts < ROWS {
            state.cut = None;
            self.shrinking.set(state);
        }
        // What is left is measured again.
        Ok(true)
    }

    async fn begin_to_shrink(&self, most: u64) -> Result<bool, StoreError> {
        let mut state = self.shrinking.get();
        let size = self.size(most).await?;
        let Some(excess) = size.checked_sub(most).filter(|excess| *excess > 0) else {
            if state.is_told {
                info!(store.bytes = size, "the store is as small as it is to be");
            }
            self.shrinking.set(State::default());
            return Ok(false);
        };
        // A little more, so that the next commit is no reason to begin again.
        let wanted = excess.saturating_add(most / 50);
        let mut cut: Vec<(i64, i64)> = self.reads.fetch(CUT, vec![Value::count(wanted)]).await?;
        if cut.is_empty() {
            cut = self.reads.fetch(LAST, vec![]).await?;
        }
        let is_new = !state.is_told;
        state.is_told = true;
        state.cut = cut.first().copied();
        self.shrinking.set(state);
        match state.cut {
            Some(_) if is_new => {
                info!(
                    store.bytes = size,
                    store.most_bytes = most,
                    "the store is larger than it may be; the oldest changes go"
                );
            }
            None if is_new => {
                warn!(
                    store.bytes = size,
                    store.most_bytes = most,
                    "the store is larger than it may be, and holds nothing that can go"
                );
            }
            _ => {}
        }
        Ok(state.cut.is_some())
    }
}
