//! What waited long enough becomes a dead letter, and what is kept long enough goes; a little at a time.

use std::time::Duration;

use jiff::Timestamp;

use super::{StoreError, time};
use crate::hooks::{EXPIRED, KEEP_CURSOR, KEEP_DEAD, KEEP_DELIVERED, MOST_ENDED};
use crate::store::open::Store;
use crate::store::pool::Value;

/// Rows that are changed at once.
const ROWS: u64 = 500;

pub(super) const EXPIRE: &str = "UPDATE delivery SET state = 'dead', code = COALESCE(code, $2), ended_at = $1 WHERE (hook, number) IN \
    (SELECT hook, number FROM delivery WHERE state = 'pending' AND give_up_at <= $1 AND claimed_until <= $1 LIMIT $3)";
pub(super) const OLD: &str = "DELETE FROM delivery WHERE (hook, number) IN \
    (SELECT hook, number FROM delivery WHERE state = $1 AND ended_at IS NOT NULL AND ended_at <= $2 LIMIT $3)";
const HOOKS: &str = "SELECT name FROM hook";
pub(super) const EXCESS: &str = "DELETE FROM delivery WHERE hook = $1 AND number IN (SELECT number FROM delivery \
    WHERE hook = $1 AND state = $2 ORDER BY number DESC LIMIT $3 OFFSET $4)";
const UNSEEN: &str = "DELETE FROM hook WHERE seen_at <= $1";

pub(super) async fn tidy(store: &Store, now: Timestamp) -> Result<bool, StoreError> {
    let before = |keep: Duration| time(now.checked_sub(keep).unwrap_or(Timestamp::MIN));
    let rows = || Value::count(ROWS);
    let mut most = 0;
    let values = vec![time(now), Value::text(EXPIRED), rows()];
    most = most.max(store.pool.execute(EXPIRE, values).await?);
    for (state, keep) in [("delivered", KEEP_DELIVERED), ("dead", KEEP_DEAD)] {
        let values = vec![Value::text(state), before(keep), rows()];
        most = most.max(store.pool.execute(OLD, values).await?);
    }
    let hooks: Vec<(String,)> = store.reads.fetch(HOOKS, vec![]).await?;
    for (hook,) in hooks {
        for state in ["delivered", "dead"] {
            let values = vec![
                Value::text(hook.as_str()),
                Value::text(state),
                rows(),
                Value::count(MOST_ENDED),
            ];
            most = most.max(store.pool.execute(EXCESS, values).await?);
        }
    }
    let values = vec![before(KEEP_CURSOR)];
    store.pool.execute(UNSEEN, values).await?;
    Ok(most >= ROWS)
}
