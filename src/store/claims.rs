//! Idempotency keys in a store: one gateway of several takes a key, and each of them gives the answer that is kept under it.
//!
//! Kept are hashes of keys and requests, and the answer as it was given. What a process that is no more had taken is freed where
//! nothing was sent, and answered by what came of it where something may have been.

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::open::Store;
use super::operations::find;
use super::owned::{Mark, Owned};
use super::pool::Value;
use crate::live::{Begun, Key, Keys, Outcome, Print, Stage};

/// How long an answer is kept.
pub(super) const CLAIMED: Duration = Duration::from_hours(24);

/// Takes a key that nobody has, or that is old.
const CLAIM: &str = "INSERT INTO claim (key, print, since, owner, asked) SELECT $1, $2, ms, $3, 0 FROM live_clock WHERE true \
    ON CONFLICT (key) DO UPDATE SET print = excluded.print, since = excluded.since, owner = excluded.owner, asked = 0, answer = NULL \
    WHERE claim.since < excluded.since - $4";
/// What was sent under a key when it was last taken is nothing to who takes it now.
const UNTIE: &str = "UPDATE operation SET claim = NULL WHERE claim = $1";
const FIND: &str = "SELECT print, owner, asked, answer, \
    (SELECT COUNT(*) FROM live_owner, live_clock WHERE live_owner.id = claim.owner AND live_owner.until > live_clock.ms) \
    FROM claim WHERE key = $1";
const LEFT: &str = "SELECT id FROM operation WHERE claim = $1";
/// Takes a key over from one who is no more; where something was sent under it by then, that is looked at first.
const TAKE_OVER: &str =
    "UPDATE claim SET owner = $1 WHERE key = $2 AND owner = $3 AND asked = $4 AND answer IS NULL";
const ANSWER: &str =
    "UPDATE claim SET answer = $1 WHERE key = $2 AND owner = $3 AND answer IS NULL";
const FREE: &str = "DELETE FROM claim WHERE key = $1 AND owner = $2 AND answer IS NULL";

type Row = (Vec<u8>, String, i64, Option<String>, i64);

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
    reach: String,
}

/// Stands for a key.
pub(super) fn mark(key: &Key) -> Mark {
    let mut hasher = blake3::Hasher::new();
    for part in [&key.caller, &key.target, &key.key] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn write(outcome: &Outcome) -> Option<String> {
    let answer = Answer {
        status: outcome.status,
        headers: outcome.headers.clone(),
        body: String::from_utf8(outcome.body.clone()).ok()?,
        reach: format!("{:032x}", outcome.reach),
    };
    serde_json::to_string(&answer).ok()
}

fn read(text: &str) -> Option<Outcome> {
    let answer: Answer = serde_json::from_str(text).ok()?;
    Some(Outcome {
        status: answer.status,
        headers: answer.headers,
        body: answer.body.into_bytes(),
        reach: u128::from_str_radix(&answer.reach, 16).ok()?,
    })
}

async fn begin(
    store: &Store,
    owner: String,
    mark: Mark,
    print: Print,
) -> Result<Begun, StoreError> {
    let key = || Value::Bytes(Some(mark.to_vec()));
    let mut transaction = store.pool.begin_shared().await?;
    let values = vec![
        key(),
        Value::Bytes(Some(print.to_vec())),
        Value::text(owner.clone()),
        Value::count(CLAIMED.as_millis()),
    ];
    if transaction.execute(CLAIM, values).await? == 1 {
        transaction.execute(UNTIE, vec![key()]).await?;
        transaction.commit().await?;
        return Ok(Begun::New);
    }
    transaction.commit().await?;
    let rows: Vec<Row> = store.reads.fetch(FIND, vec![key()]).await?;
    let Some((other, holder, asked, answer, alive)) = rows.into_iter().next() else {
        // Freed a moment ago: whoever asks once more gets it.
        return Ok(Begun::Running);
    };
    if other != print {
        return Ok(Begun::OtherRequest);
    }
    if let Some(outcome) = answer.as_deref().and_then(read) {
        return Ok(Begun::Ended(outcome));
    }
    if answer.is_some() || holder == owner || alive > 0 {
        return Ok(Begun::Running);
    }
    let left = if asked == 0 {
        None
    } else {
        let rows: Vec<(String,)> = store.reads.fetch(LEFT, vec![key()]).await?;
        let found = match rows.first() {
            Some((id,)) => find(store, id).await?,
            None => None,
        };
        match found {
            Some(record) if record.stage == Stage::Settled => Some(record),
            // Somebody is about to look what came of it.
            Some(_) | None => return Ok(Begun::Running),
        }
    };
    let values = vec![
        Value::text(owner),
        key(),
        Value::text(holder),
        Value::Number(Some(asked)),
    ];
    if store.pool.execute_shared(TAKE_OVER, values).await? == 0 {
        return Ok(Begun::Running);
    }
    Ok(left.map_or(Begun::New, |record| Begun::Left(Box::new(record))))
}

impl Owned {
    /// Keeps an answer under a key that this process has, or frees the key.
    pub(super) async fn answer(&self, mark: Mark, answer: Option<String>) -> Option<()> {
        let (owner, key) = (self.owner.clone(), Value::Bytes(Some(mark.to_vec())));
        self.with(|store| {
            Box::pin(async move {
                match answer {
                    Some(answer) => {
                        let values = vec![Value::text(answer), key, Value::text(owner)];
                        store.pool.execute_shared(ANSWER, values).await
                    }
                    None => {
                        store
                            .pool
                            .execute(FREE, vec![key, Value::text(owner)])
                            .await
                    }
                }
            })
        })
        .await
        .map(|_| ())
    }
}

impl Keys for Owned {
    fn begin(&self, key: Key, print: Print) -> BoxFuture<'_, Begun> {
        Box::pin(async move {
            let here = self.memory.begin(key.clone(), print).await;
            if here != Begun::New {
                return here;
            }
            let (owner, mark) = (self.owner.clone(), mark(&key));
            let alive = self.live().await;
            let asked = match alive {
                Some(()) => {
                    self.with(|store| Box::pin(begin(store, owner, mark, print)))
                        .await
                }
                None => None,
            };
            if matches!(asked, Some(Begun::New | Begun::Left(_))) {
                self.claim(mark, true);
            }
            // Without the store this process answers for its own keys alone.
            let begun = asked.unwrap_or(Begun::New);
            match &begun {
                Begun::New | Begun::Left(_) => {}
                Begun::Ended(outcome) => self.memory.end(key, Some(outcome.clone())).await,
                Begun::Running | Begun::OtherRequest | Begun::Full => {
                    self.memory.end(key, None).await;
                }
            }
            begun
        })
    }

    fn end(&self, key: Key, outcome: Option<Outcome>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mark = mark(&key);
            let answer = outcome.as_ref().and_then(write);
            self.memory.end(key, outcome).await;
            let must_be_kept = self.has_claimed(&mark);
            self.claim(mark, false);
            if self.answer(mark, answer.clone()).await.is_none() && must_be_kept {
                self.wait(mark, answer);
            }
        })
    }
}
