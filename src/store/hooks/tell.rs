//! How webhooks stand, and their deliveries as they are listed.

use super::{StoreError, at, count};
use crate::hooks::{Account, DeliveryState, HookName, Listed, Page};
use crate::inventory::Mark;
use crate::store::open::Store;
use crate::store::pool::Value;

const HOOK: &str = "SELECT place, success_at, failure_at, failure_status, failure_code, gone_at FROM hook WHERE name = $1";
const COUNTS: &str = "SELECT state, COUNT(*) FROM delivery WHERE hook = $1 GROUP BY state";
/// Their order is the one in which they were added.
pub(super) const OLDEST: &str =
    "SELECT created_at FROM delivery WHERE hook = $1 AND state = 'pending' ORDER BY number LIMIT 1";
const ALL: &str = "SELECT number, id, kind, subject, generation, state, attempts, created_at, next_at, last_at, status, code, \
    ended_at FROM delivery WHERE hook = $1 AND number < $2 ORDER BY number DESC LIMIT $3";
const OF_STATE: &str = "SELECT number, id, kind, subject, generation, state, attempts, created_at, next_at, last_at, status, \
    code, ended_at FROM delivery WHERE hook = $1 AND number < $2 AND state = $4 ORDER BY number DESC LIMIT $3";
const ONE: &str = "SELECT number, id, kind, subject, generation, state, attempts, created_at, next_at, last_at, status, code, \
    ended_at FROM delivery WHERE hook = $1 AND id = $2";

type HookRow = (
    String,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
);
type Row = (
    i64,
    String,
    String,
    Option<String>,
    i64,
    String,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

pub(super) async fn account(store: &Store, hook: &HookName) -> Result<Option<Account>, StoreError> {
    let name = || vec![Value::text(hook.as_str())];
    let rows: Vec<HookRow> = store.reads.fetch(HOOK, name()).await?;
    let Some((place, success_at, failure_at, failure_status, failure_code, gone_at)) =
        rows.into_iter().next()
    else {
        return Ok(None);
    };
    let counts: Vec<(String, i64)> = store.reads.fetch(COUNTS, name()).await?;
    let oldest: Vec<(i64,)> = store.reads.fetch(OLDEST, name()).await?;
    let of = |state: DeliveryState| {
        let found = counts.iter().find(|(word, _)| word == state.as_str());
        found.map_or(0, |(_, number)| count(*number))
    };
    Ok(Some(Account {
        cursor: Mark::parse(&place).unwrap_or(Mark::after(0)),
        pending: of(DeliveryState::Pending),
        delivered: of(DeliveryState::Delivered),
        dead: of(DeliveryState::Dead),
        oldest_pending: oldest.first().map(|row| at(row.0)),
        success_at: success_at.map(at),
        failure_at: failure_at.map(at),
        failure_status: failure_status.map(count),
        failure_code,
        gone_at: gone_at.map(at),
    }))
}

pub(super) async fn list(
    store: &Store,
    hook: &HookName,
    page: &Page,
) -> Result<Vec<Listed>, StoreError> {
    let mut values = vec![
        Value::text(hook.as_str()),
        Value::Number(Some(page.before.unwrap_or(i64::MAX))),
        Value::count(page.most),
    ];
    let sql = match page.state {
        None => ALL,
        Some(state) => {
            values.push(Value::text(state.as_str()));
            OF_STATE
        }
    };
    let rows: Vec<Row> = store.reads.fetch(sql, values).await?;
    Ok(rows.into_iter().map(listed).collect())
}

pub(super) async fn find(
    store: &Store,
    hook: &HookName,
    id: &str,
) -> Result<Option<Listed>, StoreError> {
    let values = vec![Value::text(hook.as_str()), Value::text(id)];
    let rows: Vec<Row> = store.reads.fetch(ONE, values).await?;
    Ok(rows.into_iter().next().map(listed))
}

fn listed(row: Row) -> Listed {
    let (number, id, kind, subject, generation, state, attempts, created_at, next_at, ..) = &row;
    let state = DeliveryState::parse(state).unwrap_or(DeliveryState::Dead);
    Listed {
        number: *number,
        id: id.clone(),
        kind: kind.clone(),
        subject: subject.clone(),
        generation: count(*generation),
        state,
        attempts: count(*attempts),
        created_at: at(*created_at),
        next_attempt_at: (state == DeliveryState::Pending).then(|| at(*next_at)),
        last_attempt_at: row.9.map(at),
        status: row.10.map(count),
        code: row.11,
        ended_at: row.12.map(at),
    }
}
