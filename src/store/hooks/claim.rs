//! Who delivers what: claims that end by themselves, so that a gateway that dies takes nothing with it.

use jiff::Timestamp;

use super::{StoreError, at, count, time};
use crate::hooks::{Claimed, Claims, DeliveryState, HookName, Settled};
use crate::store::open::Store;
use crate::store::pool::{Pool, Value};

/// Nobody else has a file open, so what others claimed was claimed by the dead.
const FREE: &str = "UPDATE delivery SET claimed_by = NULL, claimed_until = 0 \
    WHERE state = 'pending' AND claimed_until > 0 AND claimed_by <> $1";
/// An earlier one about the same that is due, or under way, goes first; one that waits to be tried again does not.
const DUE: &str = "SELECT number, id, attempts, created_at, give_up_at, body FROM delivery AS one \
    WHERE hook = $1 AND state = 'pending' AND next_at <= $2 AND claimed_until <= $2 AND NOT EXISTS \
    (SELECT 1 FROM delivery AS other WHERE other.hook = one.hook AND other.subject = one.subject \
    AND other.state = 'pending' AND other.number < one.number AND (other.next_at <= $2 OR other.claimed_until > $2)) \
    ORDER BY number LIMIT $3";
const CLAIM: &str = "UPDATE delivery SET claimed_by = $1, claimed_until = $2 \
    WHERE hook = $5 AND number = $3 AND state = 'pending' AND next_at <= $4 AND claimed_until <= $4";
const NEXT: &str = "SELECT MIN(next_at) FROM delivery \
    WHERE hook = $1 AND state = 'pending' AND next_at > $2 AND claimed_until <= $2";
const SETTLE: &str = "UPDATE delivery SET state = $3, attempts = attempts + 1, next_at = $4, last_at = $5, status = $6, \
    code = $7, ended_at = $8, claimed_by = NULL, claimed_until = 0 \
    WHERE hook = $9 AND number = $1 AND claimed_by = $2 AND state = 'pending'";
const WELL: &str = "UPDATE hook SET success_at = $2 WHERE name = $1";
const BADLY: &str =
    "UPDATE hook SET failure_at = $2, failure_status = $3, failure_code = $4 WHERE name = $1";
const AGAIN: &str = "UPDATE delivery SET state = 'pending', attempts = 0, next_at = $3, give_up_at = $4, ended_at = NULL, \
    claimed_by = NULL, claimed_until = 0 \
    WHERE hook = $1 AND id = $2 AND (state <> 'pending' OR claimed_until <= $3)";

type Due = (i64, String, i64, i64, i64, Vec<u8>);

pub(super) async fn begin(store: &Store, owner: &str) -> Result<(), StoreError> {
    if matches!(store.pool, Pool::Sqlite(_)) {
        store.pool.execute(FREE, vec![Value::text(owner)]).await?;
    }
    Ok(())
}

pub(super) async fn claim(
    store: &Store,
    hook: &HookName,
    owner: &str,
    most: usize,
    until: Timestamp,
    now: Timestamp,
) -> Result<Claims, StoreError> {
    let values = vec![Value::text(hook.as_str()), time(now), Value::count(most)];
    let due: Vec<Due> = store.reads.fetch(DUE, values).await?;
    let mut taken = Vec::with_capacity(due.len());
    if !due.is_empty() {
        let mut transaction = store.pool.begin().await?;
        for (number, id, attempts, created_at, give_up_at, body) in due {
            let values = vec![
                Value::text(owner),
                time(until),
                Value::Number(Some(number)),
                time(now),
                Value::text(hook.as_str()),
            ];
            // Another gateway may have been faster.
            if transaction.execute(CLAIM, values).await? == 1 {
                taken.push(Claimed {
                    number,
                    id,
                    attempts: count(attempts),
                    created_at: at(created_at),
                    give_up_at: at(give_up_at),
                    body,
                });
            }
        }
        transaction.commit().await?;
    }
    let values = vec![Value::text(hook.as_str()), time(now)];
    let next: Vec<(Option<i64>,)> = store.reads.fetch(NEXT, values).await?;
    let next = next.first().and_then(|row| row.0).map(at);
    Ok(Claims { taken, next })
}

pub(super) async fn settle(
    store: &Store,
    hook: &HookName,
    number: i64,
    owner: &str,
    settled: &Settled,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let state = settled.state();
    let ended = (state != DeliveryState::Pending).then(|| now.as_microsecond());
    let status = Value::Number(settled.ended.status.map(i64::from));
    let code = Value::Text(settled.ended.code.map(str::to_owned));
    let mut transaction = store.pool.begin().await?;
    let values = vec![
        Value::Number(Some(number)),
        Value::text(owner),
        Value::text(state.as_str()),
        time(settled.again_at.unwrap_or(now)),
        time(now),
        status.clone(),
        code.clone(),
        Value::Number(ended),
        Value::text(hook.as_str()),
    ];
    let is_held = transaction.execute(SETTLE, values).await? == 1;
    let mut values = vec![Value::text(hook.as_str()), time(now)];
    let sql = if settled.ended.code.is_none() {
        WELL
    } else {
        values.extend([status, code]);
        BADLY
    };
    transaction.execute(sql, values).await?;
    transaction.commit().await?;
    Ok(is_held)
}

pub(super) async fn again(
    store: &Store,
    hook: &HookName,
    id: &str,
    give_up_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let values = vec![
        Value::text(hook.as_str()),
        Value::text(id),
        time(now),
        time(give_up_at),
    ];
    store.pool.execute(AGAIN, values).await.map(|_| ())
}
