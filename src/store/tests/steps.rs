//! What statements cost: the steps that SQLite takes for them, and the ways that both engines go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::store::Store;
use crate::store::pool::{Pool, Value};

/// Steps that are counted at once.
const STEP: i32 = 100;

/// Counts the steps of every statement of a file.
pub(in crate::store) struct Steps(Arc<AtomicUsize>);

impl Steps {
    pub(in crate::store) async fn of(store: &Store) -> Self {
        let steps = Self(Arc::default());
        for pool in [&store.pool, &store.reads] {
            let Pool::Sqlite(pool) = pool else {
                panic!("not a file");
            };
            let mut connection = pool.acquire().await.unwrap();
            let mut handle = connection.lock_handle().await.unwrap();
            let count = Arc::clone(&steps.0);
            handle.set_progress_handler(STEP, move || {
                count.fetch_add(usize::try_from(STEP).unwrap(), Ordering::Relaxed);
                true
            });
        }
        steps
    }

    /// The steps since this was last asked.
    pub(in crate::store) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

/// The way that a statement goes; values are of use to PostgreSQL alone, which goes it.
pub(in crate::store) async fn plan(store: &Store, sql: &str, values: Vec<Value>) -> String {
    let lines: Vec<String> = if let Pool::Sqlite(_) = store.reads {
        let sql = format!("EXPLAIN QUERY PLAN {sql}");
        let rows: Vec<(i64, i64, i64, String)> = store.reads.fetch(sql, vec![]).await.unwrap();
        rows.into_iter().map(|row| row.3).collect()
    } else {
        let sql = format!("EXPLAIN (ANALYZE) {sql}");
        let rows: Vec<(String,)> = store.pool.fetch(sql, values).await.unwrap();
        rows.into_iter().map(|row| row.0).collect()
    };
    lines.join("\n")
}
