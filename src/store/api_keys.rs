//! API keys in a store, for all gateways that share it: hashes, never keys. A count of changes tells each of them when to read anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::StoreError;
use super::durable::Durable;
use super::error::within;
use super::open::Store;
use super::pool::Value;
use crate::access::{Entry, Held, KeyId, KeysError, Vault};

/// How long one thing may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a key was used that was never used.
const NEVER: i64 = i64::MIN;

const COUNT: &str = "SELECT value FROM meta WHERE name = 'keys'";
const COUNTED: &str = "INSERT INTO meta (name, value) VALUES ('keys', 1) \
    ON CONFLICT (name) DO UPDATE SET value = meta.value + 1";
const READ: &str = "SELECT id, entry, used FROM api_key ORDER BY made, id";
const ADD: &str = "INSERT INTO api_key (id, made, used, entry) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING";
const CHANGE: &str = "UPDATE api_key SET entry = $1 WHERE id = $2 AND entry = $3";
const REMOVE: &str = "DELETE FROM api_key WHERE id = $1 AND entry = $2";
const USED: &str = "UPDATE api_key SET used = $1 WHERE id = $2 AND used < $1";

/// A key as it is read: its id, the key, and when it was used.
type Row = (String, String, i64);

enum Place {
    /// The store of this gateway.
    Own(Arc<Durable>),
    /// A store that a gateway may have open.
    Beside(Store),
}

/// API keys in a store.
pub struct ApiKeys(Place);

fn away(error: &StoreError) -> KeysError {
    KeysError::Away(error.code())
}

/// A key as it is kept: when it was used stands beside it, so that it is no change.
fn text(entry: &Entry) -> Result<String, KeysError> {
    let mut entry = entry.clone();
    entry.last_used_at = None;
    serde_json::to_string(&entry).map_err(|_| KeysError::Away("STORE_FAILED"))
}

async fn read(store: &Store) -> Result<(Vec<Row>, u64), StoreError> {
    // Counted first: keys that are newer than their count are read once more, older ones would stay.
    let count = count(store).await?;
    Ok((store.reads.fetch(READ, vec![]).await?, count))
}

async fn count(store: &Store) -> Result<u64, StoreError> {
    let rows: Vec<(i64,)> = store.reads.fetch(COUNT, vec![]).await?;
    let count = rows.first().map_or(0, |row| row.0);
    Ok(u64::try_from(count).unwrap_or(0))
}

impl ApiKeys {
    pub(super) fn of(durable: Arc<Durable>) -> Self {
        Self(Place::Own(durable))
    }

    /// The keys of a store that a gateway may have open; it is left as it is where there is none yet.
    pub async fn beside(settings: &super::Settings) -> Result<Self, StoreError> {
        let store = Store::beside(&settings.address).await?;
        Ok(Self(Place::Beside(store)))
    }

    async fn with<T>(
        &self,
        work: impl for<'a> FnOnce(&'a Store) -> BoxFuture<'a, Result<T, StoreError>> + Send,
    ) -> Result<T, KeysError> {
        let asked = async {
            match &self.0 {
                Place::Own(durable) => work(durable.store()?.as_ref()).await,
                Place::Beside(store) => work(store).await,
            }
        };
        within(PATIENCE, asked).await.map_err(|error| away(&error))
    }
}

impl Vault for ApiKeys {
    fn count(&self) -> BoxFuture<'_, Result<u64, KeysError>> {
        Box::pin(self.with(|store| Box::pin(count(store))))
    }

    fn read(&self) -> BoxFuture<'_, Result<Held, KeysError>> {
        Box::pin(async {
            let (rows, count) = self.with(|store| Box::pin(read(store))).await?;
            let mut held = Held {
                count,
                ..Held::default()
            };
            for (id, text, used) in rows {
                // One that cannot be read must not keep the others from being read: they may be new, or revoked.
                let entry = serde_json::from_str::<Entry>(&text).ok();
                match entry.filter(|entry| entry.id.as_str() == id) {
                    Some(mut entry) => {
                        entry.last_used_at = Timestamp::from_second(used).ok();
                        held.entries.push(entry);
                    }
                    None => drop(held.unreadable.insert(id)),
                }
            }
            Ok(held)
        })
    }

    fn swap<'a>(
        &'a self,
        before: Option<&'a Entry>,
        after: Option<&'a Entry>,
    ) -> BoxFuture<'a, Result<bool, KeysError>> {
        Box::pin(async move {
            let (sql, values) = match (before, after) {
                (None, None) => return Ok(true),
                (None, Some(after)) => {
                    let used = after.last_used_at.map_or(NEVER, Timestamp::as_second);
                    let values = vec![
                        Value::text(after.id.as_str()),
                        Value::Number(Some(after.created_at.as_millisecond())),
                        Value::Number(Some(used)),
                        Value::text(text(after)?),
                    ];
                    (ADD, values)
                }
                (Some(before), Some(after)) => {
                    let values = vec![
                        Value::text(text(after)?),
                        Value::text(after.id.as_str()),
                        Value::text(text(before)?),
                    ];
                    (CHANGE, values)
                }
                (Some(before), None) => {
                    let values = vec![Value::text(before.id.as_str()), Value::text(text(before)?)];
                    (REMOVE, values)
                }
            };
            self.with(|store| {
                Box::pin(async move {
                    let mut transaction = store.pool.begin_shared().await?;
                    let is_done = transaction.execute(sql, values).await? == 1;
                    if is_done {
                        transaction.execute(COUNTED, vec![]).await?;
                    }
                    transaction.commit().await?;
                    Ok(is_done)
                })
            })
            .await
        })
    }

    fn note_used<'a>(
        &'a self,
        used: &'a BTreeMap<KeyId, Timestamp>,
    ) -> BoxFuture<'a, Result<(), KeysError>> {
        let used: Vec<(String, i64)> = (used.iter())
            .map(|(id, at)| (id.as_str().to_owned(), at.as_second()))
            .collect();
        Box::pin(self.with(|store| {
            Box::pin(async move {
                let mut transaction = store.pool.begin_shared().await?;
                for (id, at) in used {
                    let values = vec![Value::Number(Some(at)), Value::text(id)];
                    transaction.execute(USED, values).await?;
                }
                transaction.commit().await
            })
        }))
    }
}
