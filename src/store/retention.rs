//! What is kept long enough goes, a little at a time, so that who writes waits for little.

use std::time::Duration;

use jiff::Timestamp;

use super::StoreError;
use super::open::Store;
use super::pool::Value;
use super::settings::Settings;
use super::write;

/// Rows that go at once.
const ROWS: u64 = 500;

const OLD_CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN \
    (SELECT generation, number FROM change WHERE at < $1 ORDER BY at LIMIT $2) RETURNING generation, at";
const OLD_ATTEMPTS: &str = "DELETE FROM sync WHERE (source, started_at) IN \
    (SELECT source, started_at FROM sync WHERE started_at < $1 ORDER BY started_at LIMIT $2)";
const FIRST_CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN \
    (SELECT generation, number FROM change ORDER BY generation, number LIMIT $1) RETURNING generation, at";
const RESTARTS: &str = "DELETE FROM restart WHERE first < $1";
const COUNT: &str = "SELECT COUNT(*) FROM change";

impl Store {
    /// Deletes a little of what is kept long enough, and of changes where there are too many; answers with whether there may be
    /// more of it.
    pub(super) async fn tidy(
        &self,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let before = |keep: Duration| {
            let first = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
            vec![
                Value::Number(Some(first.as_microsecond())),
                Value::count(ROWS),
            ]
        };
        let old = self
            .forget(OLD_CHANGES, before(settings.keep_changes))
            .await?;
        let attempts = self
            .pool
            .execute(OLD_ATTEMPTS, before(settings.keep_attempts))
            .await?;
        let counted: Vec<(i64,)> = self.pool.fetch(COUNT, vec![]).await?;
        let count = counted.first().and_then(|row| u64::try_from(row.0).ok());
        let excess = count.unwrap_or(0).saturating_sub(settings.most_changes);
        if excess > 0 {
            let values = vec![Value::count(excess.min(ROWS))];
            self.forget(FIRST_CHANGES, values).await?;
        }
        Ok(old == ROWS || attempts == ROWS || excess > ROWS)
    }

    /// Deletes changes, and takes note that they are not there any more; answers with how many they were.
    async fn forget(&self, sql: &'static str, values: Vec<Value>) -> Result<u64, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let gone: Vec<(i64, i64)> = transaction.fetch(sql, values).await?;
        let last = gone.iter().map(|row| row.0).max();
        if let Some(last) = last.and_then(|last| u64::try_from(last).ok()) {
            let at = gone.iter().map(|row| row.1).max();
            write::whole_from(&mut transaction, last.saturating_add(1), at).await?;
            let values = vec![Value::count(last)];
            transaction.execute(RESTARTS, values).await?;
        }
        transaction.commit().await?;
        Ok(gone.len() as u64)
    }
}
