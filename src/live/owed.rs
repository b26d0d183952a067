//! What is known of writes and could not be kept yet: told again until it is kept, or until there is newer word of the same write.
//!
//! Without it a failed call would leave an intent of which the next process makes what it finds at the cluster, though it is known
//! what came of it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use super::keep::{Away, Record};
use super::{Live, OperationId};

/// Words at most.
const MOST: usize = 2_000;
/// How long a word is told again: whoever asks under the key of a write knows it no longer either.
const OLDEST: Duration = Duration::from_hours(24);

/// What is known of a write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// The vendor has said yes.
    Accepted(Box<Record>),
    /// What came of it.
    Settled(Box<Record>),
    /// Nothing was carried out.
    Withdrawn,
    /// Somebody else is to look what came of it.
    Abandoned,
}

#[derive(Debug, Clone)]
struct Debt {
    number: u64,
    since: Instant,
    intent: OperationId,
    word: Word,
}

/// Words that are not kept yet, the longest not told again first.
#[derive(Default)]
pub(super) struct Owed(Mutex<Debts>);

#[derive(Default)]
struct Debts {
    words: VecDeque<Debt>,
    count: u64,
}

impl Owed {
    fn debts(&self) -> MutexGuard<'_, Debts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was to be told of a write: there is newer word.
    fn replace(&self, intent: &OperationId) {
        self.debts().words.retain(|debt| debt.intent != *intent);
    }

    /// Takes a word that is to be told later. Where there are too many the oldest is lost.
    fn add(&self, intent: &OperationId, word: Word) {
        let lost = {
            let mut debts = self.debts();
            debts.count += 1;
            let debt = Debt {
                number: debts.count,
                since: Instant::now(),
                intent: intent.clone(),
                word,
            };
            debts.words.push_back(debt);
            let is_full = debts.words.len() > MOST;
            is_full.then(|| debts.words.pop_front()).flatten()
        };
        if let Some(lost) = lost {
            is_lost(&lost);
        }
    }

    /// What is to be told next, and what tells it from newer word.
    fn next(&self) -> Option<Debt> {
        loop {
            let old = {
                let mut debts = self.debts();
                let first = debts.words.front()?;
                if first.since.elapsed() <= OLDEST {
                    return Some(first.clone());
                }
                debts.words.pop_front()
            };
            if let Some(old) = old {
                is_lost(&old);
            }
        }
    }

    /// Takes note of a word that is kept.
    fn done(&self, number: u64) {
        self.debts().words.retain(|debt| debt.number != number);
    }

    /// Has a word be told again after all others: it may be the only one that cannot be kept.
    fn postpone(&self, number: u64) {
        let mut debts = self.debts();
        let place = debts.words.iter().position(|debt| debt.number == number);
        let debt = place.and_then(|place| debts.words.remove(place));
        debts.words.extend(debt);
    }

    fn len(&self) -> usize {
        self.debts().words.len()
    }

    /// How many words there are of what no list shows.
    pub(super) fn unseen(&self) -> usize {
        let debts = self.debts();
        let is_seen = |debt: &&Debt| matches!(&debt.word, Word::Settled(record) if record.is_shown);
        debts.words.iter().filter(|debt| !is_seen(debt)).count()
    }
}

fn is_lost(debt: &Debt) {
    warn!(
        operation.id = %debt.intent,
        "what is known of a write could not be kept for too long; a restart does not know it"
    );
}

impl Live {
    /// Keeps a word of a write; one that cannot be kept now is told again later. Says whether it is kept.
    pub(super) async fn tell(&self, intent: &OperationId, word: Word) -> bool {
        self.0.owed.replace(intent);
        let is_kept = self.tell_one(intent, &word).await.is_ok();
        if !is_kept {
            self.0.owed.add(intent, word);
        }
        is_kept
    }

    /// Tells what could not be kept before, until that fails.
    pub(super) async fn tell_owed(&self) {
        for _ in 0..self.0.owed.len() {
            let Some(debt) = self.0.owed.next() else {
                return;
            };
            if self.tell_one(&debt.intent, &debt.word).await.is_err() {
                self.0.owed.postpone(debt.number);
                return;
            }
            self.0.owed.done(debt.number);
        }
    }

    async fn tell_one(&self, intent: &OperationId, word: &Word) -> Result<(), Away> {
        let keep = &self.0.keep;
        match word {
            Word::Accepted(record) => keep.put(record).await,
            Word::Settled(record) => {
                // It may have gone on since.
                let newer = self.0.book.find(&record.known.id);
                let newer = newer.map(|(known, _)| self.record_of(&known));
                let record = newer.as_ref().unwrap_or(record);
                keep.settle(intent, record).await?;
                if keep.standing().is_some() {
                    self.0.book.kept(&record.known);
                }
                Ok(())
            }
            Word::Withdrawn => keep.withdraw(intent).await,
            Word::Abandoned => keep.abandon(intent).await,
        }
    }
}
