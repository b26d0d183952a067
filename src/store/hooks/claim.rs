//! Who delivers what: claims that end by themselves, so that a gateway that dies takes nothing with it.

use jiff::Timestamp;

use super::{StoreError, at, count, overflow, time};
use crate::hooks::{Asked, Claimed, Claims, DeliveryState, HookName, Settled};
use crate::store::open::Store;
use crate::store::pool::{Pool, Transaction, Value};

/// Nobody else has a file open, so what others claimed was claimed by the dead.
const FREE: &str = "UPDATE delivery SET claimed_by = NULL, claimed_until = 0 \
    WHERE state = 'pending' AND claimed_until > 0 AND claimed_by <> $1";
/// Whether nothing is to be sent to it.
pub(super) const GONE: &str = "SELECT name FROM hook WHERE name = $1 AND gone_at IS NOT NULL";
/// Of each subject of those that became due first the earliest that is due, unless it is under way: those about the same wait for it,
/// and not for one that waits to be tried again. It is found whenever one that waits for it is, so that however many do they do not
/// hide it. Only so many are looked at, so that a cluster of which much is to be told costs little.
pub(super) const DUE: &str = "SELECT head.number FROM (SELECT COALESCE((SELECT earliest.number FROM delivery AS earliest \
    WHERE earliest.hook = $1 AND earliest.subject = about.subject AND earliest.state = 'pending' \
    AND (earliest.next_at <= $2 OR earliest.claimed_until > $2) ORDER BY earliest.number LIMIT 1), about.number) AS number, \
    about.next_at FROM (SELECT one.subject, MIN(one.number) AS number, MIN(one.next_at) AS next_at FROM \
    (SELECT number, subject, next_at FROM delivery WHERE hook = $1 AND state = 'pending' AND next_at <= $2 AND claimed_until <= $2 \
    ORDER BY next_at, number LIMIT $4) AS one GROUP BY one.subject, CASE WHEN one.subject IS NULL THEN one.number END) AS about) AS head \
    JOIN delivery AS free ON free.hook = $1 AND free.number = head.number AND free.claimed_until <= $2 \
    ORDER BY head.next_at, head.number LIMIT $3";
pub(super) const CLAIM: &str = "UPDATE delivery SET claimed_by = $1, claimed_until = $2 \
    WHERE hook = $5 AND number = $3 AND state = 'pending' AND next_at <= $4 AND claimed_until <= $4 \
    RETURNING id, attempts, created_at, give_up_at, body";
pub(super) const NEXT: &str = "SELECT next_at FROM delivery WHERE hook = $1 AND state = 'pending' AND next_at > $2 AND claimed_until <= $2 \
    ORDER BY next_at LIMIT 1";
pub(super) const SETTLE: &str = "UPDATE delivery SET state = $3, attempts = attempts + 1, next_at = $4, last_at = $5, status = $6, \
    code = $7, ended_at = $8, claimed_by = NULL, claimed_until = 0 \
    WHERE hook = $9 AND number = $1 AND claimed_by = $2 AND state = 'pending'";
const WELL: &str = "UPDATE hook SET success_at = $2 WHERE name = $1";
const BADLY: &str =
    "UPDATE hook SET failure_at = $2, failure_status = $3, failure_code = $4 WHERE name = $1";
/// Its server said that it is gone.
const END: &str = "UPDATE hook SET gone_at = $2 WHERE name = $1 AND gone_at IS NULL";
/// Somebody asked for a delivery.
const REVIVE: &str = "UPDATE hook SET gone_at = NULL WHERE name = $1 AND gone_at IS NOT NULL";
pub(super) const AGAIN: &str = "UPDATE delivery SET state = 'pending', attempts = 0, next_at = $3, give_up_at = $4, ended_at = NULL, \
    claimed_by = NULL, claimed_until = 0 \
    WHERE hook = $1 AND id = $2 AND (state <> 'pending' OR claimed_until <= $3) RETURNING number";

/// Deliveries that are looked at for some that may be sent.
pub(super) const LOOKED_AT: usize = 1_000;

type Taken = (String, i64, i64, i64, Vec<u8>);

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
    let name = || Value::text(hook.as_str());
    let gone: Vec<(String,)> = store.reads.fetch(GONE, vec![name()]).await?;
    if !gone.is_empty() {
        return Ok(Claims {
            is_gone: true,
            ..Claims::default()
        });
    }
    let values = vec![
        name(),
        time(now),
        Value::count(most),
        Value::count(LOOKED_AT),
    ];
    let mut due: Vec<(i64,)> = store.reads.fetch(DUE, values).await?;
    // Two gateways that want the same ones must not wait for each other.
    due.sort_unstable();
    let mut taken = Vec::with_capacity(due.len());
    if !due.is_empty() {
        let mut transaction = store.pool.begin().await?;
        for (number,) in due {
            let values = vec![
                Value::text(owner),
                time(until),
                Value::Number(Some(number)),
                time(now),
                name(),
            ];
            // Another gateway may have been faster.
            let rows: Vec<Taken> = transaction.fetch(CLAIM, values).await?;
            taken.extend(
                rows.into_iter()
                    .map(|(id, attempts, created_at, give_up_at, body)| Claimed {
                        number,
                        id,
                        attempts: count(attempts),
                        created_at: at(created_at),
                        give_up_at: at(give_up_at),
                        body,
                    }),
            );
        }
        transaction.commit().await?;
    }
    let next: Vec<(i64,)> = store.reads.fetch(NEXT, vec![name(), time(now)]).await?;
    let next = next.first().map(|row| at(row.0));
    Ok(Claims {
        taken,
        next,
        is_gone: false,
    })
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
    if settled.ended.is_gone() {
        let values = vec![Value::text(hook.as_str()), time(now)];
        transaction.execute(END, values).await?;
    }
    transaction.commit().await?;
    Ok(is_held)
}

/// Has a delivery be tried anew, in the place of the oldest one where too many wait.
pub(super) async fn again(
    store: &Store,
    hook: &HookName,
    id: &str,
    asked: Asked,
) -> Result<(), StoreError> {
    let values = vec![
        Value::text(hook.as_str()),
        Value::text(id),
        time(asked.now),
        time(asked.give_up_at),
    ];
    let mut transaction = store.pool.begin().await?;
    let rows: Vec<(i64,)> = transaction.fetch(AGAIN, values).await?;
    // There is none of this id, or it is under way.
    for (number,) in rows {
        overflow(
            &mut transaction,
            hook,
            asked.max_pending,
            Some(number),
            asked.now,
        )
        .await?;
        revive(&mut transaction, hook).await?;
    }
    transaction.commit().await
}

/// Has events be sent to a server again that said that it is gone.
pub(super) async fn revive(
    transaction: &mut Transaction,
    hook: &HookName,
) -> Result<(), StoreError> {
    let values = vec![Value::text(hook.as_str())];
    transaction.execute(REVIVE, values).await.map(drop)
}
