//! Deliveries of webhooks, and how far each webhook was told, kept beside the changes that they are made of.

mod claim;
mod tell;
mod tidy;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::StoreError;
use super::durable::Durable;
use super::error::within;
use super::open::Store;
use super::pool::{Transaction, Value};
use super::recorder::Recorder;
use super::write::{Insert, Rows};
use crate::hooks::{
    Account, Asked, Claims, HookName, Listed, NewEvent, Outbox, OutboxError, Page, Put, Settled,
};
use crate::inventory::Mark;
use futures_util::future::BoxFuture;

/// The last generation, once it is known from where on changes are all kept: gateways that begin a database count before that.
const KNOWN: &str = "SELECT value FROM meta WHERE name = 'generation' \
    AND EXISTS (SELECT 1 FROM meta WHERE name = 'changes_whole_from')";
const PLACE: &str = "SELECT place FROM hook WHERE name = $1";
const FIRST: &str =
    "INSERT INTO hook (name, place, seen_at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING";
const MOVE: &str = "UPDATE hook SET place = $3, seen_at = $4 WHERE name = $1 AND place = $2";
const SEEN: &str = "UPDATE hook SET seen_at = $2 WHERE name = $1 AND seen_at < $2";
const OVERFLOW: &str = "UPDATE delivery SET state = 'dead', code = $4, ended_at = $2 \
    WHERE hook = $1 AND claimed_until <= $2 AND number IN (SELECT number FROM delivery \
    WHERE hook = $1 AND state = 'pending' AND number <> $6 ORDER BY number DESC LIMIT $5 OFFSET $3)";

/// How long one thing may take: a database that says nothing any more must not stop what could go on without it.
const PATIENCE: Duration = Duration::from_secs(10);

const DELIVERIES: Insert = Insert {
    head: "INSERT INTO delivery (hook, number, id, kind, subject, generation, state, attempts, created_at, give_up_at, next_at, \
        claimed_until, body) VALUES ",
    columns: 13,
    tail: " ON CONFLICT DO NOTHING",
};

/// The outbox of a store.
struct Deliveries(Arc<Durable>);

impl Recorder {
    /// Where deliveries of webhooks are kept.
    pub fn outbox(&self) -> Option<Arc<dyn Outbox>> {
        let durable = Arc::clone(self.durable()?);
        Some(Arc::new(Deliveries(durable)))
    }
}

/// A time as it is kept.
fn time(at: Timestamp) -> Value {
    Value::Number(Some(at.as_microsecond()))
}

/// A time that was kept.
fn at(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::MIN)
}

/// A count that was kept.
fn count<T: TryFrom<i64> + Default>(number: i64) -> T {
    T::try_from(number).unwrap_or_default()
}

impl Deliveries {
    /// An answer of the store, where it is open.
    fn ask<'a, T, F>(
        &'a self,
        ask: impl FnOnce(Arc<Store>) -> F + Send + 'a,
    ) -> BoxFuture<'a, Result<T, OutboxError>>
    where
        F: Future<Output = Result<T, StoreError>> + Send + 'a,
    {
        Box::pin(async move {
            let store = self.0.store().map_err(|error| OutboxError(error.code()))?;
            within(PATIENCE, ask(store)).await.map_err(|error| {
                tracing::debug!(error.code = error.code(), error = %error.told(), "the outbox cannot be used");
                OutboxError(error.code())
            })
        })
    }
}

async fn known(store: &Store) -> Result<u64, StoreError> {
    let rows: Vec<(i64,)> = store.reads.fetch(KNOWN, vec![]).await?;
    Ok(rows.first().map_or(0, |row| count(row.0)))
}

async fn place(store: &Store, hook: &HookName) -> Result<Option<Mark>, StoreError> {
    let values = vec![Value::text(hook.as_str())];
    let rows: Vec<(String,)> = store.reads.fetch(PLACE, values).await?;
    // What nobody could have written is as good as nothing known.
    Ok(rows
        .first()
        .map(|row| Mark::parse(&row.0).unwrap_or(Mark::after(0))))
}

async fn cursor(
    store: &Store,
    hook: &HookName,
    first: Mark,
    now: Timestamp,
) -> Result<Mark, StoreError> {
    if let Some(mark) = place(store, hook).await? {
        return Ok(mark);
    }
    let values = vec![
        Value::text(hook.as_str()),
        Value::text(first.to_string()),
        time(now),
    ];
    store.pool.execute(FIRST, values).await?;
    Ok(place(store, hook).await?.unwrap_or(first))
}

async fn put(store: &Store, hook: &HookName, put: &Put) -> Result<bool, StoreError> {
    let mut transaction = store.pool.begin().await?;
    let values = vec![
        Value::text(hook.as_str()),
        Value::text(put.from.to_string()),
        Value::text(put.to.to_string()),
        time(put.now),
    ];
    // First, so that whoever does the same at the same time waits here and then finds it done.
    if transaction.execute(MOVE, values).await? == 0 {
        return Ok(false);
    }
    insert(&mut transaction, hook, &put.events, put.give_up_at, put.now).await?;
    if !put.events.is_empty() {
        overflow(&mut transaction, hook, put.max_pending, None, put.now).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

async fn add(
    store: &Store,
    hook: &HookName,
    event: &NewEvent,
    asked: Asked,
) -> Result<Listed, StoreError> {
    let Asked {
        max_pending,
        give_up_at,
        now,
    } = asked;
    let mut transaction = store.pool.begin().await?;
    // First, as whoever moves the place of the webhook begins there as well.
    claim::revive(&mut transaction, hook).await?;
    let events = std::slice::from_ref(event);
    insert(&mut transaction, hook, events, give_up_at, now).await?;
    overflow(&mut transaction, hook, max_pending, Some(event.number), now).await?;
    transaction.commit().await?;
    let found = tell::find(store, hook, &event.id).await?;
    found.ok_or(StoreError::Late)
}

/// Makes dead letters of the oldest that wait where there are too many; one of them stays, whatever its place is.
async fn overflow(
    transaction: &mut Transaction,
    hook: &HookName,
    max_pending: u64,
    stays: Option<i64>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let others = max_pending.saturating_sub(u64::from(stays.is_some()));
    let values = vec![
        Value::text(hook.as_str()),
        time(now),
        Value::count(others),
        Value::text(crate::hooks::OVERFLOW),
        Value::Number(Some(i64::MAX)),
        // No delivery has this place.
        Value::Number(Some(stays.unwrap_or(i64::MIN))),
    ];
    let dead = transaction.execute(OVERFLOW, values).await?;
    if dead > 0 {
        tracing::warn!(webhook.name = %hook, events.dead = dead, "too many events wait for the server of a webhook; the oldest are dead letters");
    }
    Ok(())
}

async fn insert(
    transaction: &mut Transaction,
    hook: &HookName,
    events: &[NewEvent],
    give_up_at: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut rows = Rows::of(&DELIVERIES);
    for event in events {
        let row = vec![
            Value::text(hook.as_str()),
            Value::Number(Some(event.number)),
            Value::text(event.id.as_str()),
            Value::text(event.kind.as_str()),
            Value::Text(event.subject.clone()),
            Value::count(event.generation),
            Value::text("pending"),
            Value::count(0),
            time(now),
            time(give_up_at),
            time(now),
            Value::count(0),
            Value::Bytes(Some(event.body.clone())),
        ];
        rows.add(transaction, row).await?;
    }
    rows.end(transaction).await
}

impl Outbox for Deliveries {
    fn known(&self) -> BoxFuture<'_, Result<u64, OutboxError>> {
        self.ask(async |store| known(&store).await)
    }

    fn begin<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<(), OutboxError>> {
        self.ask(async move |store| claim::begin(&store, owner).await)
    }

    fn cursor<'a>(
        &'a self,
        hook: &'a HookName,
        first: Mark,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Mark, OutboxError>> {
        self.ask(async move |store| cursor(&store, hook, first, now).await)
    }

    fn put<'a>(
        &'a self,
        hook: &'a HookName,
        wanted: &'a Put,
    ) -> BoxFuture<'a, Result<bool, OutboxError>> {
        self.ask(async move |store| put(&store, hook, wanted).await)
    }

    fn seen<'a>(
        &'a self,
        hook: &'a HookName,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), OutboxError>> {
        self.ask(async move |store| {
            let values = vec![Value::text(hook.as_str()), time(now)];
            store.pool.execute(SEEN, values).await.map(drop)
        })
    }

    fn add<'a>(
        &'a self,
        hook: &'a HookName,
        event: &'a NewEvent,
        asked: Asked,
    ) -> BoxFuture<'a, Result<Listed, OutboxError>> {
        self.ask(async move |store| add(&store, hook, event, asked).await)
    }

    fn claim<'a>(
        &'a self,
        hook: &'a HookName,
        owner: &'a str,
        most: usize,
        until: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Claims, OutboxError>> {
        self.ask(async move |store| claim::claim(&store, hook, owner, most, until, now).await)
    }

    fn settle<'a>(
        &'a self,
        hook: &'a HookName,
        number: i64,
        owner: &'a str,
        settled: &'a Settled,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, OutboxError>> {
        self.ask(async move |store| claim::settle(&store, hook, number, owner, settled, now).await)
    }

    fn tidy(&self, now: Timestamp) -> BoxFuture<'_, Result<bool, OutboxError>> {
        self.ask(async move |store| tidy::tidy(&store, now).await)
    }

    fn account<'a>(
        &'a self,
        hook: &'a HookName,
    ) -> BoxFuture<'a, Result<Option<Account>, OutboxError>> {
        self.ask(async move |store| tell::account(&store, hook).await)
    }

    fn list<'a>(
        &'a self,
        hook: &'a HookName,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Vec<Listed>, OutboxError>> {
        self.ask(async move |store| tell::list(&store, hook, page).await)
    }

    fn redeliver<'a>(
        &'a self,
        hook: &'a HookName,
        id: &'a str,
        asked: Asked,
    ) -> BoxFuture<'a, Result<Option<Listed>, OutboxError>> {
        self.ask(async move |store| {
            claim::again(&store, hook, id, asked).await?;
            tell::find(&store, hook, id).await
        })
    }
}

#[cfg(test)]
mod tests;
