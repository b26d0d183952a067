//! Idempotency keys: a write that is asked for twice under one key is carried out once.
//!
//! Kept are the answers of writes that were carried out, that may have been, or that the vendor refused for good. An answer
//! that says that nothing was sent, or that the vendor could not take it now, frees its key, so that the same request may be
//! tried again under it.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::intent::outcome;
use super::keep::Record;
use super::{Done, Live, WriteFailure};
use crate::domain::{Kind, SourceName};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_hours(24);
/// Keys at most.
const MOST: usize = 10_000;
/// Bytes of answers at most.
const MOST_BYTES: usize = 32 << 20;
/// Writes of one caller under way at once, answered or not waited for.
pub const MOST_OF_ONE: usize = 64;

/// A key in the scope in which it means something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Who asks; empty where nobody is told from anybody.
    pub caller: String,
    /// What was asked for: the method, and what it is about however its path was written.
    pub target: String,
    /// The caller's key.
    pub key: String,
}

/// An answer in the form in which it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The status.
    pub status: u16,
    /// Headers that belong to the answer itself.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The fingerprint of how far the caller saw: who sees otherwise now may not see this answer.
    pub reach: u128,
}

/// A write that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its answer.
    pub outcome: Outcome,
    /// What that means for its key.
    pub ending: Ending,
}

/// What the end of a write means for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The answer stays what it is, however often it is asked for.
    Final,
    /// Nothing was sent, or it may go better the next time: the key is free.
    Free,
    /// Nothing was sent, since the key belongs to another request: what is told of that one is the answer, where it is told.
    Taken,
}

impl Finished {
    /// What is kept under its key.
    fn kept(&self) -> Option<Outcome> {
        (self.ending == Ending::Final).then(|| self.outcome.clone())
    }
}

/// What beginning under a key meets.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// Nothing: the key is now taken.
    New,
    /// The same request, still running.
    Running,
    /// The same request, which has ended so.
    Ended(Outcome),
    /// The same request, sent by a process that is no more, and what came of it. Its answer is this process's to give now.
    Left(Box<Record>),
    /// Another request.
    OtherRequest,
    /// No room for one more.
    Full,
}

/// A print of a request, to tell the same one from another one.
pub type Print = [u8; 32];

/// Where keys are kept.
pub trait Keys: Send + Sync {
    /// Takes a key for a request, or says what it is taken for.
    fn begin(&self, key: Key, print: Print) -> BoxFuture<'_, Begun>;
    /// Keeps the answer under a key that was taken, or frees the key.
    fn end(&self, key: Key, outcome: Option<Outcome>) -> BoxFuture<'_, ()>;
}

/// An answer, and whether it was given before.
#[derive(Debug, Clone)]
pub struct Once {
    /// The answer.
    pub outcome: Outcome,
    /// Whether it is of an earlier request under the same key.
    pub is_replayed: bool,
}

/// Why a write is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The same request is still running.
    Running,
    /// The key belongs to another request.
    OtherRequest,
    /// Too many keys are taken.
    Full,
    /// The caller has too many writes under way.
    Crowded,
    /// The program is stopping.
    Stopping,
    /// The work ended without an answer.
    Broken,
}

impl Live {
    /// Carries out a caller's write once for each key, in a task that outlives the caller. One caller has at most
    /// [`MOST_OF_ONE`] under way. `recall` gives the answer to a write that a process sent which is no more.
    pub async fn once<F>(
        &self,
        caller: &str,
        key: Option<(Key, Print)>,
        work: F,
        recall: impl FnOnce(Result<Done, WriteFailure>, &SourceName, &Kind) -> Finished + Send + 'static,
    ) -> Result<Once, Refusal>
    where
        F: Future<Output = Finished> + Send + 'static,
    {
        if self.0.stop.is_cancelled() {
            return Err(Refusal::Stopping);
        }
        let place = self.0.running.take(caller).ok_or(Refusal::Crowded)?;
        let (told, ended) = oneshot::channel();
        let keys = Arc::clone(&self.0.keys);
        let task = async move {
            let answer = under_key(keys.as_ref(), key, work, recall).await;
            drop(place);
            // The caller may be gone; the key knows the answer.
            let _ = told.send(answer);
        };
        self.0.writes.spawn_on(task, &self.0.runtime);
        ended.await.unwrap_or(Err(Refusal::Broken))
    }
}

/// How many writes each caller has under way.
#[derive(Default)]
pub(super) struct Running(Arc<Mutex<HashMap<String, usize>>>);

/// One write of a caller that is under way.
struct Taken {
    running: Arc<Mutex<HashMap<String, usize>>>,
    caller: String,
}

impl Running {
    /// A place for one more write of a caller, unless it has as many as it may.
    fn take(&self, caller: &str) -> Option<Taken> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = running.entry(caller.to_owned()).or_default();
        if *count >= MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Taken {
            running: Arc::clone(&self.0),
            caller: caller.to_owned(),
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut running = (self.running.lock()).unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.caller);
            }
        }
    }
}

async fn under_key<F>(
    keys: &dyn Keys,
    key: Option<(Key, Print)>,
    work: F,
    recall: impl FnOnce(Result<Done, WriteFailure>, &SourceName, &Kind) -> Finished + Send,
) -> Result<Once, Refusal>
where
    F: Future<Output = Finished> + Send,
{
    let Some((key, print)) = key else {
        let finished = work.await;
        return Ok(Once {
            outcome: finished.outcome,
            is_replayed: false,
        });
    };
    let mut begun = keys.begin(key.clone(), print).await;
    if begun == Begun::New {
        // Work that breaks leaves its key taken: what became of the write is not known.
        let finished = work.await;
        keys.end(key.clone(), finished.kept()).await;
        let own = Once {
            outcome: finished.outcome,
            is_replayed: false,
        };
        if finished.ending != Ending::Taken {
            return Ok(own);
        }
        begun = keys.begin(key.clone(), print).await;
        if begun == Begun::New {
            // Nobody has it any longer, or nobody can be asked. The work is done with, so that the caller is to ask again.
            keys.end(key, None).await;
            return Ok(own);
        }
    }
    match begun {
        Begun::Ended(outcome) => Ok(Once {
            outcome,
            is_replayed: true,
        }),
        Begun::Left(record) => {
            let (source, provider) = (record.known.source.clone(), record.known.provider.clone());
            let finished = recall(outcome(*record), &source, &provider);
            keys.end(key, finished.kept()).await;
            Ok(Once {
                outcome: finished.outcome,
                is_replayed: true,
            })
        }
        Begun::New | Begun::Running => Err(Refusal::Running),
        Begun::OtherRequest => Err(Refusal::OtherRequest),
        Begun::Full => Err(Refusal::Full),
    }
}

/// Keys in the memory of this process: a restart forgets them.
#[derive(Default)]
pub struct InMemory(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<Key, Entry>,
    bytes: usize,
}

struct Entry {
    print: Print,
    since: Instant,
    outcome: Option<Outcome>,
}

impl Outcome {
    fn weight(&self) -> usize {
        let headers = self.headers.iter();
        let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
        self.body.len() + headers
    }
}

impl InMemory {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.outcome.as_ref().map_or(0, Outcome::weight);
        }
    }

    /// Drops what is too old, then answers until the rest fits, each the oldest of who holds most: nobody's writes cost the
    /// answers of those who write less. What still runs stays.
    fn make_room(&mut self) {
        if self.entries.len() < MOST && self.bytes <= MOST_BYTES {
            return;
        }
        let old: Vec<Key> = (self.entries.iter())
            .filter(|(_, entry)| entry.since.elapsed() > KEPT)
            .map(|(key, _)| key.clone())
            .collect();
        for key in &old {
            self.remove(key);
        }
        while self.entries.len() >= MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.first_to_go() else {
                return;
            };
            self.remove(&oldest);
        }
    }

    /// The oldest answer of the caller whose answers take most of what is short.
    fn first_to_go(&self) -> Option<Key> {
        let is_heavy = self.bytes > MOST_BYTES;
        let ended = || {
            (self.entries.iter()).filter_map(|(key, entry)| {
                let outcome = entry.outcome.as_ref()?;
                Some((key, entry, outcome))
            })
        };
        let mut held: HashMap<&str, usize> = HashMap::new();
        for (key, _, outcome) in ended() {
            *held.entry(&key.caller).or_default() += if is_heavy { outcome.weight() } else { 1 };
        }
        // Where several hold as much, one that holds the oldest answer of theirs gives it up.
        let most = held.values().copied().max()?;
        ended()
            .filter(|(key, ..)| held.get(key.caller.as_str()) == Some(&most))
            .min_by_key(|(_, entry, _)| entry.since)
            .map(|(key, ..)| key.clone())
    }

    fn begin(&mut self, key: Key, print: Print) -> Begun {
        if let Some(entry) = self.entries.get(&key) {
            let is_old = entry.since.elapsed() > KEPT;
            match &entry.outcome {
                _ if is_old => self.remove(&key),
                _ if entry.print != print => return Begun::OtherRequest,
                Some(outcome) => return Begun::Ended(outcome.clone()),
                None => return Begun::Running,
            }
        }
        self.make_room();
        if self.entries.len() >= MOST {
            return Begun::Full;
        }
        self.entries.insert(
            key,
            Entry {
                print,
                since: Instant::now(),
                outcome: None,
            },
        );
        Begun::New
    }

    fn end(&mut self, key: &Key, outcome: Option<Outcome>) {
        let Some(outcome) = outcome else {
            self.remove(key);
            return;
        };
        if let Some(entry) = self.entries.get_mut(key) {
            self.bytes += outcome.weight();
            entry.outcome = Some(outcome);
        }
        self.make_room();
    }
}

impl Keys for InMemory {
    fn begin(&self, key: Key, print: Print) -> BoxFuture<'_, Begun> {
        let begun = self.table().begin(key, print);
        Box::pin(std::future::ready(begun))
    }

    fn end(&self, key: Key, outcome: Option<Outcome>) -> BoxFuture<'_, ()> {
        self.table().end(&key, outcome);
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(caller: &str, target: &str, key: &str) -> Key {
        Key {
            caller: caller.to_owned(),
            target: target.to_owned(),
            key: key.to_owned(),
        }
    }

    fn outcome(bytes: usize) -> Outcome {
        Outcome {
            status: 201,
            headers: Vec::new(),
            body: vec![b'x'; bytes],
            reach: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_one_request_until_it_is_a_day_old() {
        let mut table = Table::default();
        let own = key("me", "POST /clusters", "1");
        assert_eq!(table.begin(own.clone(), [1; 32]), Begun::New);
        assert_eq!(table.begin(own.clone(), [1; 32]), Begun::Running);
        assert_eq!(table.begin(own.clone(), [2; 32]), Begun::OtherRequest);
        table.end(&own, Some(outcome(3)));
        assert_eq!(table.begin(own.clone(), [1; 32]), Begun::Ended(outcome(3)));
        assert_eq!(table.begin(own.clone(), [2; 32]), Begun::OtherRequest);
        for other in [
            key("you", "POST /clusters", "1"),
            key("me", "PATCH /clusters/a:1", "1"),
        ] {
            assert_eq!(table.begin(other, [2; 32]), Begun::New);
        }
        tokio::time::advance(KEPT + Duration::from_secs(1)).await;
        assert_eq!(table.begin(own, [2; 32]), Begun::New);
        assert_eq!(table.bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_did_nothing_frees_its_key() {
        let mut table = Table::default();
        let own = key("", "t", "1");
        table.begin(own.clone(), [1; 32]);
        table.end(&own, None);
        assert_eq!(table.begin(own, [2; 32]), Begun::New);
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_answers_make_room_and_what_runs_stays() {
        let mut table = Table::default();
        let running = key("", "t", "running");
        table.begin(running.clone(), [0; 32]);
        for number in 0..40 {
            let own = key("", "t", &number.to_string());
            tokio::time::advance(Duration::from_millis(1)).await;
            table.begin(own.clone(), [0; 32]);
            table.end(&own, Some(outcome(1 << 20)));
            assert!(table.bytes <= MOST_BYTES);
        }
        assert_eq!(table.begin(running, [0; 32]), Begun::Running);
        assert_eq!(
            table.begin(key("", "t", "39"), [0; 32]),
            Begun::Ended(outcome(1 << 20))
        );
        assert_eq!(table.begin(key("", "t", "0"), [0; 32]), Begun::New);
    }

    #[tokio::test(start_paused = true)]
    async fn who_writes_much_makes_room_from_its_own() {
        let mut table = Table::default();
        let quiet = key("quiet", "t", "1");
        table.begin(quiet.clone(), [0; 32]);
        table.end(&quiet, Some(outcome(3)));
        for number in 0..MOST + 10 {
            tokio::time::advance(Duration::from_millis(1)).await;
            let own = key("loud", "t", &number.to_string());
            assert_eq!(table.begin(own.clone(), [0; 32]), Begun::New);
            table.end(&own, Some(outcome(1)));
        }
        assert_eq!(
            table.begin(quiet.clone(), [0; 32]),
            Begun::Ended(outcome(3))
        );
        for number in 0..40 {
            tokio::time::advance(Duration::from_millis(1)).await;
            let own = key("heavy", "t", &number.to_string());
            table.begin(own.clone(), [0; 32]);
            table.end(&own, Some(outcome(1 << 20)));
        }
        assert_eq!(table.begin(quiet, [0; 32]), Begun::Ended(outcome(3)));
        assert!(table.bytes <= MOST_BYTES && table.entries.len() <= MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn one_caller_has_so_many_writes_under_way_and_no_more() {
        let running = Running::default();
        let mut taken: Vec<Taken> = (0..MOST_OF_ONE)
            .map(|_| running.take("loud").unwrap())
            .collect();
        assert!(running.take("loud").is_none());
        assert!(running.take("quiet").is_some());
        taken.pop();
        assert!(running.take("loud").is_some());
        drop(taken);
        assert!(running.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_runs_is_never_dropped_for_what_wants_to_run() {
        let mut table = Table::default();
        for number in 0..MOST {
            assert_eq!(
                table.begin(key("", "t", &number.to_string()), [0; 32]),
                Begun::New
            );
        }
        assert_eq!(table.begin(key("", "t", "more"), [0; 32]), Begun::Full);
    }
}
