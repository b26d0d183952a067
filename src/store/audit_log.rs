//! The audit in a store: one row for each event, for all gateways that share it, any of which can read all of it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::runtime::Handle;

use super::StoreError;
use super::durable::Durable;
use super::error::within;
use super::pool::Value;
use crate::access::audit::{Event, Kept, Place, Shelf, Unreadable, Wanted};

/// How long it may take to keep what waits, and to read a page.
const PATIENCE: Duration = Duration::from_secs(5);

const ADD: &str = "INSERT INTO audit (at, action, actor, target, status, request, line) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

const READ: &str = "SELECT id, at, action, actor, target, status, request, line FROM audit \
    WHERE at >= $1 AND at < $2 AND at <= $3 AND (at, id) < ($3, $4) AND ($5 IS NULL OR actor = $5) \
    AND ($6 IS NULL OR action = $6) AND ($7 IS NULL OR target = $7) ORDER BY at DESC, id DESC LIMIT $8";

/// A row as it is read.
type Row = (
    i64,
    i64,
    String,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<String>,
    String,
);

/// The audit of one process, in a store that others may share.
pub struct AuditLog {
    durable: Arc<Durable>,
    runtime: Handle,
}

impl AuditLog {
    pub(super) fn of(durable: Arc<Durable>, runtime: &Handle) -> Self {
        Self {
            durable,
            runtime: runtime.clone(),
        }
    }

    async fn add(&self, rows: Vec<Vec<Value>>) -> Result<(), StoreError> {
        let store = self.durable.store()?;
        let mut transaction = store.pool.begin_shared().await?;
        for row in rows {
            transaction.execute(ADD, row).await?;
        }
        transaction.commit().await
    }

    async fn rows(&self, wanted: Wanted) -> Result<Vec<Row>, StoreError> {
        let before = wanted.before.unwrap_or(Place {
            at: i64::MAX,
            id: i64::MAX,
        });
        let since = wanted.since.map_or(i64::MIN, Timestamp::as_microsecond);
        let until = wanted.until.map_or(i64::MAX, Timestamp::as_microsecond);
        let values = vec![
            Value::Number(Some(since)),
            Value::Number(Some(until)),
            Value::Number(Some(before.at)),
            Value::Number(Some(before.id)),
            Value::Text(wanted.actor),
            Value::Text(wanted.action.map(|action| action.as_str().to_owned())),
            Value::Text(wanted.target),
            Value::count(wanted.most),
        ];
        let store = self.durable.store()?;
        // A filter that few events pass may look at all of them.
        within(PATIENCE, store.reads.fetch(READ, values)).await
    }
}

fn kept((id, at, action, actor, target, status, request_id, line): Row) -> Kept {
    Kept {
        place: Place { at, id },
        action,
        actor,
        target,
        status: status.and_then(|status| u16::try_from(status).ok()),
        request_id,
        line,
    }
}

fn row(event: &Event) -> Option<Vec<Value>> {
    let line = serde_json::to_string(event).ok()?;
    let status = event.outcome.map(|outcome| i64::from(outcome.status));
    let text = |text: &str| Value::Text((!text.is_empty()).then(|| text.to_owned()));
    Some(vec![
        Value::Number(Some(event.time.as_microsecond())),
        Value::text(event.action.as_str()),
        Value::Text(event.actor.as_ref().map(|actor| actor.id().to_owned())),
        Value::Text(event.target.clone()),
        Value::Number(status),
        text(&event.request_id),
        Value::text(line),
    ])
}

impl Shelf for AuditLog {
    fn keep(&self, events: &[Event]) -> io::Result<()> {
        let rows = events.iter().filter_map(row).collect();
        // The thread that writes the audit is no thread of a runtime.
        self.runtime
            .block_on(async { within(PATIENCE, self.add(rows)).await })
            .map_err(|error| io::Error::other(error.code()))
    }

    fn read(&self, wanted: Wanted) -> BoxFuture<'_, Result<Vec<Kept>, Unreadable>> {
        Box::pin(async move {
            let rows = self.rows(wanted).await.map_err(|error| {
                tracing::debug!(error.code = error.code(), error = %error.told(), "the audit cannot be read");
                Unreadable(error.code())
            })?;
            Ok(rows.into_iter().map(kept).collect())
        })
    }
}
