//! Idempotency keys in a store: one gateway of several takes a key, and each of them gives the answer that is kept under it.
//!
//! Kept are hashes of keys and requests, and the answer as it was given. What a process that is no more had taken is freed where
//! nothing was sent, and answered by what came of it where something may have been.
//!
//! # What holds
//!
//! A claim says whether its write was `asked`: whether its intent is kept, in one transaction with that word. So of two gateways
//! over one store that are given the same key, at once or after each other, one sends the write, and whoever dies where leaves this:
//!
//! | dies | is kept | the other one |
//! | --- | --- | --- |
//! | before the claim is kept | nothing | takes the key and sends |
//! | before the intent is kept | a claim, not asked | takes the claim over once the dead one's time is over, and sends: nothing was |
//! | before the vendor answers, or before its yes is kept | an intent | refuses as running until somebody has looked at the vendor, then tells what was found; never sends |
//! | after the yes is kept | an accepted intent | the same, and goes on from the vendor's yes |
//! | after what came of it is kept | a settled operation | makes the answer from it |
//! | after the answer is kept | the answer | gives it |
//! | after a refusal is withdrawn | a claim, not asked | takes the claim over, and sends: nothing was carried out |
//!
//! A gateway that is not dead but slow has lost its claim by the time its intent would be kept, and sends nothing. Whoever frees a
//! key frees none under which something is asked: it may have taken one over without hearing so. What was asked and not carried out
//! is withdrawn first.
//!
//! A store that does not answer is asked twice, with a rest between. Where it is away for longer, two things differ:
//!
//! - It has no claim of this process for sure: the write is sent from memory, and what is answered is kept once that can be done. Who
//!   shows the key to another gateway meanwhile, or after a death, is not recognised. This is the price of acting in an outage.
//! - It has one, or may have one since it was lost sight of while that was written: then the intent has to be kept as well, or
//!   nothing is sent. A claim that is not asked promises to others that they may send. The caller is told to ask again, which is
//!   better than a claim that is asked from the start: that would leave a key of which nobody ever knows whenever a
//!   process dies before it has sent anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::StoreError;
use super::open::Store;
use super::operations::find;
use super::owned::{Hold, Mark, Owned, Taken, Word};
use super::pool::{Transaction, Value};
use crate::live::{Begun, Key, Keys, Outcome, Print, Stage};

/// How long an answer is kept.
pub(super) const CLAIMED: Duration = Duration::from_hours(24);

/// Takes a key that nobody has, that is old, or that its owner has and never used.
const CLAIM: &str = "INSERT INTO claim (key, print, since, owner, asked) SELECT $1, $2, ms, $3, $4 FROM live_clock WHERE true \
    ON CONFLICT (key) DO UPDATE SET print = excluded.print, since = excluded.since, owner = excluded.owner, asked = excluded.asked, \
    answer = NULL WHERE claim.since < excluded.since - $5 \
    OR (claim.owner = excluded.owner AND claim.asked = 0 AND claim.answer IS NULL)";
/// What was sent under a key when it was last taken is nothing to who takes it now.
const UNTIE: &str = "UPDATE operation SET claim = NULL WHERE claim = $1";
const FIND: &str = "SELECT print, owner, asked, answer, \
    (SELECT COUNT(*) FROM live_owner, live_clock WHERE live_owner.id = claim.owner AND live_owner.until > live_clock.ms) \
    FROM claim WHERE key = $1";
const LEFT: &str = "SELECT id FROM operation WHERE claim = $1";
/// Takes a key over from one who is no more; where something was sent under it by then, that is looked at first.
const TAKE_OVER: &str =
    "UPDATE claim SET owner = $1 WHERE key = $2 AND owner = $3 AND asked = $4 AND answer IS NULL";
/// Keeps an answer, also one to what was sent while the key could not be taken.
const ANSWER: &str = "INSERT INTO claim (key, print, since, owner, asked, answer) SELECT $1, $2, ms, $3, 1, $4 FROM live_clock WHERE true \
    ON CONFLICT (key) DO UPDATE SET answer = excluded.answer WHERE claim.owner = excluded.owner AND claim.answer IS NULL";
const FREE: &str =
    "DELETE FROM claim WHERE key = $1 AND owner = $2 AND asked = 0 AND answer IS NULL";

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

/// Takes a key; says whether it is its owner's now. `asked` where something is sent under it from now on.
pub(super) async fn claim(
    transaction: &mut Transaction,
    owner: &str,
    mark: Mark,
    print: Print,
    asked: bool,
) -> Result<bool, StoreError> {
    let key = || Value::Bytes(Some(mark.to_vec()));
    let values = vec![
        key(),
        Value::Bytes(Some(print.to_vec())),
        Value::text(owner),
        Value::Number(Some(i64::from(asked))),
        Value::count(CLAIMED.as_millis()),
    ];
    if transaction.execute(CLAIM, values).await? == 0 {
        return Ok(false);
    }
    transaction.execute(UNTIE, vec![key()]).await?;
    Ok(true)
}

/// Takes a key, or says what it is taken for; `told` once it may be this process's whether or not it is heard of again.
async fn begin(
    store: &Store,
    owner: String,
    mark: Mark,
    print: Print,
    told: &AtomicBool,
) -> Result<Begun, StoreError> {
    let key = || Value::Bytes(Some(mark.to_vec()));
    let mut transaction = store.pool.begin_shared().await?;
    if claim(&mut transaction, &owner, mark, print, false).await? {
        told.store(true, Ordering::Relaxed);
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
    // What this process has under way itself its memory knows: what is its own here was taken over, and not heard of.
    if answer.is_some() || (holder != owner && alive > 0) {
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
    told.store(true, Ordering::Relaxed);
    if store.pool.execute_shared(TAKE_OVER, values).await? == 0 {
        return Ok(Begun::Running);
    }
    Ok(left.map_or(Begun::New, |record| Begun::Left(Box::new(record))))
}

impl Owned {
    /// Keeps what became of a key that this process has.
    pub(super) async fn answer(&self, mark: Mark, word: Word) -> Option<()> {
        let key = Value::Bytes(Some(mark.to_vec()));
        let owner = Value::text(self.owner.clone());
        let (sql, values) = match word.answer {
            Some(answer) => {
                let print = Value::Bytes(Some(word.print.to_vec()));
                (ANSWER, vec![key, print, owner, Value::text(answer)])
            }
            None => (FREE, vec![key, owner]),
        };
        self.with(|store| Box::pin(async move { store.pool.execute_shared(sql, values).await }))
            .await
            .map(|_| ())
    }

    /// Frees a key under which nothing is asked any longer, where who had it here has ended: it could not be freed then.
    pub(super) async fn free_late(&self, key: Mark) {
        let word = Word {
            print: Print::default(),
            answer: None,
        };
        if self.wait_where_idle(key, word) {
            self.tell(&key).await;
        }
    }

    /// Takes a key in the store, or says what it is taken for there; `None` where it cannot be asked.
    async fn begin_kept(&self, mark: Mark, print: Print) -> Option<Begun> {
        // What an earlier request has left undone under the key is done first.
        let mut is_free = self.tell(&mark).await;
        if !is_free {
            self.rested().await;
            is_free = self.tell(&mark).await;
        }
        let hold = if is_free { Hold::No } else { Hold::Perhaps };
        self.take(mark, Taken { print, hold });
        if !is_free {
            return None;
        }
        self.live().await?;
        let told = Arc::new(AtomicBool::new(false));
        let begun = self
            .surely(|store| {
                let (owner, told) = (self.owner.clone(), Arc::clone(&told));
                Box::pin(async move { begin(store, owner, mark, print, &told).await })
            })
            .await;
        let hold = match &begun {
            Some(Begun::New | Begun::Left(_)) => Hold::Yes,
            None if told.load(Ordering::Relaxed) => Hold::Perhaps,
            Some(_) | None => Hold::No,
        };
        self.take(mark, Taken { print, hold });
        begun
    }
}

impl Keys for Owned {
    fn begin(&self, key: Key, print: Print) -> BoxFuture<'_, Begun> {
        Box::pin(async move {
            let here = self.memory.begin(key.clone(), print).await;
            if here != Begun::New {
                return here;
            }
            let mark = mark(&key);
            // Without the store this process answers for its own keys alone.
            let begun = self.begin_kept(mark, print).await.unwrap_or(Begun::New);
            let met = match &begun {
                Begun::New | Begun::Left(_) => return begun,
                Begun::Ended(outcome) => Some(outcome.clone()),
                Begun::Running | Begun::OtherRequest | Begun::Full => None,
            };
            self.let_go(&mark);
            self.memory.end(key, met).await;
            begun
        })
    }

    fn end(&self, key: Key, outcome: Option<Outcome>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mark = mark(&key);
            let answer = outcome.as_ref().and_then(write);
            // What cannot be written is made again from its operation by whoever asks elsewhere.
            let is_told = answer.is_some() || outcome.is_none();
            let taken = self.let_go(&mark);
            if let Some(Taken { print, hold }) = taken
                && is_told
                && (answer.is_some() || hold != Hold::No)
            {
                let word = Word { print, answer };
                // It waits before anybody here can begin anew.
                let waits = self.wait(mark, word.clone());
                self.memory.end(key, outcome).await;
                if waits {
                    self.tell(&mark).await;
                } else if self.answer(mark, word).await.is_none() {
                    warn!(
                        "too many answers wait for the store; one is known to this process alone"
                    );
                }
            } else {
                self.memory.end(key, outcome).await;
            }
        })
    }
}
