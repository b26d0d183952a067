//! What is kept long enough goes, a little at a time, so that who writes waits for little.

use std::time::Duration;

use jiff::Timestamp;

use super::StoreError;
use super::claims::CLAIMED;
use super::open::Store;
use super::pool::Value;
use super::settings::Settings;

/// Rows that go at once.
const ROWS: u64 = 500;

const OLD_CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN \
    (SELECT generation, number FROM change WHERE at < $1 ORDER BY at LIMIT $2)";
const OLD_ATTEMPTS: &str = "DELETE FROM sync WHERE (source, started_at) IN \
    (SELECT source, started_at FROM sync WHERE started_at < $1 ORDER BY started_at LIMIT $2)";
const FIRST_CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN \
    (SELECT generation, number FROM change ORDER BY generation, number LIMIT $1)";
const OLD_OPERATIONS: &str = "DELETE FROM operation WHERE id IN \
    (SELECT id FROM operation WHERE at < $1 ORDER BY at LIMIT $2)";
const OLD_AUDIT: &str = "DELETE FROM audit WHERE id IN \
    (SELECT id FROM audit WHERE at < $1 ORDER BY at LIMIT $2)";
const OLD_CLAIMS: &str = "DELETE FROM claim WHERE key IN \
    (SELECT key FROM claim WHERE since < $1 ORDER BY since LIMIT $2)";
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
        let millis = |keep: Duration| {
            let first = now.checked_sub(keep).unwrap_or(Timestamp::MIN);
            vec![
                Value::Number(Some(first.as_millisecond())),
                Value::count(ROWS),
            ]
        };
        let old = self
            .pool
            .execute(OLD_CHANGES, before(settings.keep_changes))
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
            self.pool.execute(FIRST_CHANGES, values).await?;
        }
        let operations = self
            .pool
            .execute(OLD_OPERATIONS, millis(settings.keep_operations))
            .await?;
        let claims = self.pool.execute(OLD_CLAIMS, millis(CLAIMED)).await?;
        let audit = (self.pool)
            .execute(OLD_AUDIT, before(settings.keep_audit))
            .await?;
        Ok([old, attempts, operations, claims, audit].contains(&ROWS) || excess > ROWS)
    }
}
