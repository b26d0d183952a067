//! The audit in a store: one row for each event, for all gateways that share it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use super::StoreError;
use super::durable::Durable;
use super::pool::Value;
use crate::access::audit::{Event, Shelf};

/// How long it may take to keep what waits.
const PATIENCE: Duration = Duration::from_secs(5);

const ADD: &str = "INSERT INTO audit (at, action, actor, target, status, request, line) \
    VALUES ($1, $2, $3, $4, $5, $6, $7)";

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
}

fn row(event: &Event) -> Option<Vec<Value>> {
    let line = serde_json::to_string(event).ok()?;
    let action = serde_json::to_value(event.action).ok()?;
    let status = event.outcome.map(|outcome| i64::from(outcome.status));
    let text = |text: &str| Value::Text((!text.is_empty()).then(|| text.to_owned()));
    Some(vec![
        Value::Number(Some(event.time.as_microsecond())),
        Value::text(action.as_str().unwrap_or_default()),
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
        let kept = async { timeout(PATIENCE, self.add(rows)).await };
        // The thread that writes the audit is no thread of a runtime.
        let kept = self.runtime.block_on(kept);
        kept.unwrap_or(Err(StoreError::Late))
            .map_err(|error| io::Error::other(error.code()))
    }
}
