//! What is kept long enough goes, a little at a time, so that who writes waits for little.

use std::time::Duration;

use jiff::Timestamp;

use super::StoreError;
use super::open::Store;
use super::pool::Value;
use super::settings::Settings;
use crate::inventory::hours::Hour;

/// Rows that go at once.
const ROWS: u64 = 500;

const OLD_CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN \
    (SELECT generation, number FROM change WHERE at < $1 ORDER BY at LIMIT $2)";
const OLD_ATTEMPTS: &str = "DELETE FROM sync WHERE (source, started_at) IN \
    (SELECT source, started_at FROM sync WHERE started_at < $1 ORDER BY started_at LIMIT $2)";
const OLD_HOURS: &str = "DELETE FROM hour WHERE (source, hour) IN \
    (SELECT source, hour FROM hour WHERE hour < $1 ORDER BY hour LIMIT $2)";
const FIRST_CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN \
    (SELECT generation, number FROM change ORDER BY generation, number LIMIT $1)";
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
            .pool
            .execute(OLD_CHANGES, before(settings.keep_changes))
            .await?;
        let attempts = self
            .pool
            .execute(OLD_ATTEMPTS, before(settings.keep_attempts))
            .await?;
        let first_hour = now.checked_sub(settings.keep_hours);
        let values = vec![
            Value::Number(Some(first_hour.map_or(i64::MIN, |at| Hour::of(at).0))),
            Value::count(ROWS),
        ];
        let hours = self.pool.execute(OLD_HOURS, values).await?;
        let counted: Vec<(i64,)> = self.pool.fetch(COUNT, vec![]).await?;
        let count = counted.first().and_then(|row| u64::try_from(row.0).ok());
        let excess = count.unwrap_or(0).saturating_sub(settings.most_changes);
        if excess > 0 {
            let values = vec![Value::count(excess.min(ROWS))];
            self.pool.execute(FIRST_CHANGES, values).await?;
        }
        Ok([old, attempts, hours].contains(&ROWS) || excess > ROWS)
    }
}
