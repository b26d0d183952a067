//! The audit in a store: one row for each event, for all gateways that share it, any of which can read all of it.

use std::fmt::Write as _;
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

/// The place that a page begins behind is one bound of the index, so that a late page costs no more than the first one.
const READ: &str = "SELECT id, at, action, actor, target, status, request, line FROM audit \
    WHERE at >= $1 AND at <= $2 AND (at < $2 OR id < $3)";
const NEWEST: &str = " ORDER BY at DESC, id DESC LIMIT $4";

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
        let (sql, values) = statement(wanted);
        let store = self.durable.store()?;
        within(PATIENCE, store.reads.fetch(sql, values)).await
    }
}

/// The statement for what is wanted, which names no filter but those that there are: each has an index. SQLite, which knows no
/// numbers, prefers the narrowest one that fits, so that of the action alone is the widest.
pub(super) fn statement(wanted: Wanted) -> (String, Vec<Value>) {
    let since = wanted.since.map_or(i64::MIN, Timestamp::as_microsecond);
    let until = wanted.until.map_or(i64::MAX, Timestamp::as_microsecond);
    // Before a time is behind the last place of the one before it.
    let until = Place {
        at: until.saturating_sub(1),
        id: i64::MAX,
    };
    let before = wanted.before.map_or(until, |before| before.min(until));
    let mut sql = READ.to_owned();
    let mut values = vec![
        Value::Number(Some(since)),
        Value::Number(Some(before.at)),
        Value::Number(Some(before.id)),
        Value::count(wanted.most),
    ];
    let action = wanted.action.map(|action| action.as_str().to_owned());
    for (column, value) in [
        ("actor", wanted.actor),
        ("action", action),
        ("target", wanted.target),
    ] {
        if value.is_some() {
            values.push(Value::Text(value));
            // Writing to a string cannot fail.
            let _ = write!(sql, " AND {column} = ${}", values.len());
        }
    }
    (sql + NEWEST, values)
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
