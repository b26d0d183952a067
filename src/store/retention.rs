//! What is kept long enough goes, a little at a time, so that who writes waits for little.

use std::time::Duration;

use jiff::Timestamp;
use tracing::info;

use super::StoreError;
use super::claims::CLAIMED;
use super::open::Store;
use super::pool::Value;
use super::settings::Settings;
use super::write;
use crate::domain::SourceName;
use crate::inventory::hours::Hour;

/// Rows that go at once.
pub(super) const ROWS: u64 = 500;

const OLD_CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN \
    (SELECT generation, number FROM change WHERE at < $1 ORDER BY at LIMIT $2) RETURNING generation, at";
const OLD_ATTEMPTS: &str = "DELETE FROM sync WHERE (source, started_at) IN \
    (SELECT source, started_at FROM sync WHERE started_at < $1 ORDER BY started_at LIMIT $2)";
const OLD_HOURS: &str = "DELETE FROM hour WHERE (source, hour) IN \
    (SELECT source, hour FROM hour WHERE hour < $1 ORDER BY hour LIMIT $2)";
const FIRST_CHANGES: &str = "DELETE FROM change WHERE (generation, number) IN \
    (SELECT generation, number FROM change ORDER BY generation, number LIMIT $1) RETURNING generation, at";
const RESTARTS: &str = "DELETE FROM restart WHERE first < $1";
const SEEN: &str = "DELETE FROM unseen WHERE source IN (SELECT name FROM source \
    WHERE generation >= (SELECT value FROM meta WHERE name = 'begun'))";
const UNSEEN: &str = "SELECT source FROM unseen WHERE since < $1 ORDER BY since";
const SOURCE: &str = "DELETE FROM source WHERE name = $1 \
    AND generation < (SELECT value FROM meta WHERE name = 'begun')";
const CLUSTERS: &str = "DELETE FROM cluster WHERE (source, id) IN (SELECT source, id FROM cluster \
    WHERE source = $1 AND NOT EXISTS (SELECT 1 FROM source WHERE name = $1) LIMIT $2)";
const GONE: &str = "DELETE FROM unseen WHERE source = $1";
const OLD_OPERATIONS: &str = "DELETE FROM operation WHERE id IN \
    (SELECT id FROM operation WHERE at < $1 ORDER BY at LIMIT $2)";
pub(super) const OLD_AUDIT: &str = "DELETE FROM audit WHERE id IN \
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
            .forget(OLD_CHANGES, before(settings.keep_changes))
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
            self.forget(FIRST_CHANGES, values).await?;
        }
        let operations = self
            .pool
            .execute(OLD_OPERATIONS, millis(settings.keep_operations))
            .await?;
        let claims = self.pool.execute(OLD_CLAIMS, millis(CLAIMED)).await?;
        let audit = (self.pool)
            .execute(OLD_AUDIT, before(settings.keep_audit))
            .await?;
        let is_large = self.shrink(settings.most_bytes).await?;
        Ok(
            [old, attempts, hours, operations, claims, audit].contains(&ROWS)
                || excess > ROWS
                || is_large,
        )
    }

    /// Deletes a little of the sources that are no longer configured, once nobody has seen them for as long as changes are kept;
    /// answers with whether there may be more of it.
    pub(super) async fn tidy_sources(
        &self,
        settings: &Settings,
        configured: &[SourceName],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.pool.execute(SEEN, vec![]).await?;
        let first = now.checked_sub(settings.keep_changes);
        let values = vec![Value::Number(Some(
            first.unwrap_or(Timestamp::MIN).as_microsecond(),
        ))];
        let unseen: Vec<(String,)> = self.pool.fetch(UNSEEN, values).await?;
        let mut unseen = unseen.into_iter().map(|row| row.0);
        let Some(name) = unseen.find(|name| !configured.iter().any(|known| known.as_str() == name))
        else {
            return Ok(false);
        };
        let of_it = || Value::text(name.as_str());
        let mut transaction = self.pool.begin().await?;
        // The source itself goes first: what is left of its clusters belongs to nobody then, and never comes back.
        if transaction.execute(SOURCE, vec![of_it()]).await? > 0 {
            info!(
                source.name = name,
                "what the store has of a source that is not configured any more goes"
            );
        }
        let values = vec![of_it(), Value::count(ROWS)];
        let clusters = transaction.execute(CLUSTERS, values).await?;
        if clusters < ROWS {
            transaction.execute(GONE, vec![of_it()]).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Deletes changes, and takes note that they are not there any more; answers with how many they were.
    pub(super) async fn forget(
        &self,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, StoreError> {
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
