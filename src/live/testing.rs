//! What keeps operations and keys, as several processes share it: in memory, for tests.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::{BoxFuture, ready};

use super::keep::{Away, Intended, Keep, Part, Record, Stage, Standing};
use super::{Begun, Key, Keys, Known, Outcome, Place, Print, Selection};
use crate::domain::{OperationId, SourceName};

/// The vendor's id of an operation that nobody can read.
pub(crate) const UNREADABLE: &str = "unreadable";

/// What several processes share.
#[derive(Default)]
pub(crate) struct Table {
    alive: HashSet<usize>,
    rows: HashMap<OperationId, Row>,
    claims: HashMap<Key, Claim>,
}

struct Row {
    record: Record,
    owner: usize,
    key: Option<Key>,
    became: Option<OperationId>,
}

struct Claim {
    print: Print,
    owner: usize,
    asked: bool,
    answer: Option<Outcome>,
}

/// What a key is for, and what it came to.
type Unasked = (Print, Option<Outcome>);

/// One process.
#[derive(Clone)]
pub(crate) struct Process {
    table: Arc<Mutex<Table>>,
    owner: usize,
    /// Whether everything fails.
    pub(crate) is_away: Arc<Mutex<bool>>,
    /// How many words are refused though the rest goes well.
    pub(crate) refuses: Arc<Mutex<usize>>,
    /// How long it takes to keep what is new of an operation.
    pub(crate) slow: Arc<Mutex<Duration>>,
    /// What is told of the next intent, though it is kept.
    pub(crate) mistaken: Arc<Mutex<Option<Intended>>>,
    /// How often it said that it is alive.
    pub(crate) beats: Arc<Mutex<usize>>,
    /// Keys that were begun while everything failed, and what they came to.
    unasked: Arc<Mutex<HashMap<Key, Unasked>>>,
}

impl Process {
    /// The process of a number. Nobody alive may have it.
    pub(crate) fn new(table: &Arc<Mutex<Table>>, owner: usize) -> Self {
        table.lock().unwrap().alive.insert(owner);
        Self {
            table: Arc::clone(table),
            owner,
            is_away: Arc::default(),
            refuses: Arc::default(),
            slow: Arc::default(),
            mistaken: Arc::default(),
            beats: Arc::default(),
            unasked: Arc::default(),
        }
    }

    /// Ends without a word.
    pub(crate) fn die(&self) {
        self.table().alive.remove(&self.owner);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap()
    }

    fn reached(&self) -> Result<MutexGuard<'_, Table>, Away> {
        if *self.is_away.lock().unwrap() {
            return Err(Away);
        }
        Ok(self.table())
    }

    /// The same, for words of writes.
    fn heard(&self) -> Result<MutexGuard<'_, Table>, Away> {
        let mut refuses = self.refuses.lock().unwrap();
        if *refuses > 0 {
            *refuses -= 1;
            return Err(Away);
        }
        self.reached()
    }

    fn put_into(&self, table: &mut Table, record: &Record, is_settled: bool) {
        let id = &record.known.id;
        match table.rows.get_mut(id) {
            Some(row) if is_settled => {
                let since = row.record.known.since;
                row.record = record.clone();
                row.record.known.since = since;
                row.owner = self.owner;
            }
            Some(row) => {
                let is_open = !row.record.known.operation.done;
                if is_open && row.record.known.at <= record.known.at {
                    let (is_shown, since) = (row.record.is_shown, row.record.known.since);
                    row.record = record.clone();
                    row.record.known.since = since;
                    row.record.is_shown = is_shown;
                }
            }
            None => {
                let row = Row {
                    record: record.clone(),
                    owner: self.owner,
                    key: None,
                    became: None,
                };
                table.rows.insert(id.clone(), row);
            }
        }
    }
}

fn now<'a, T: Send + 'a>(value: T) -> BoxFuture<'a, T> {
    Box::pin(ready(value))
}

fn found(table: &Table, id: &OperationId) -> Option<Record> {
    let row = table.rows.get(id)?;
    let row = match &row.became {
        Some(became) => table.rows.get(became)?,
        None => row,
    };
    let mut record = row.record.clone();
    record.known.durable = true;
    Some(record)
}

impl Keep for Process {
    fn intend<'a>(&'a self, intent: &'a Record, key: Option<&'a Key>) -> BoxFuture<'a, Intended> {
        let is_away = *self.is_away.lock().unwrap();
        let mut table = self.table();
        let claim = key.and_then(|key| table.claims.get(key));
        let is_own = |claim: &Claim| claim.owner == self.owner && claim.answer.is_none();
        if is_away {
            return now(match claim.filter(|claim| is_own(claim)) {
                Some(_) => Intended::Unsafe,
                None => Intended::Away { may_be_kept: false },
            });
        }
        if claim.is_some_and(|claim| !is_own(claim)) {
            return now(Intended::Taken);
        }
        let is_sent = |row: &Row| {
            row.owner != self.owner
                && table.alive.contains(&row.owner)
                && !row.record.is_shown
                && !row.record.known.operation.done
                && row.record.subject() == intent.subject()
        };
        if table.rows.values().any(is_sent) {
            return now(Intended::Busy);
        }
        if let Some(key) = key {
            let unasked = self.unasked.lock().unwrap();
            let print = unasked.get(key).map(|unasked| unasked.0);
            let claim = table.claims.entry(key.clone()).or_insert(Claim {
                print: print.unwrap_or_default(),
                owner: self.owner,
                asked: true,
                answer: None,
            });
            claim.asked = true;
        }
        self.put_into(&mut table, intent, false);
        let row = table.rows.get_mut(&intent.known.id).unwrap();
        row.key = key.cloned();
        let mistaken = self.mistaken.lock().unwrap().take();
        now(mistaken.unwrap_or(Intended::Kept))
    }

    fn put<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), Away>> {
        let slow = *self.slow.lock().unwrap();
        Box::pin(async move {
            tokio::time::sleep(slow).await;
            let mut table = self.heard()?;
            self.put_into(&mut table, record, false);
            Ok(())
        })
    }

    fn settle<'a>(
        &'a self,
        intent: &'a OperationId,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<(), Away>> {
        now(self.heard().map(|mut table| {
            self.put_into(&mut table, record, true);
            if *intent != record.known.id
                && let Some(row) = table.rows.get_mut(intent)
            {
                row.became = Some(record.known.id.clone());
                row.record.known.operation.done = true;
                row.record.is_shown = false;
            }
        }))
    }

    fn withdraw<'a>(&'a self, intent: &'a OperationId) -> BoxFuture<'a, Result<(), Away>> {
        now(self.heard().map(|mut table| {
            let row = table.rows.remove(intent);
            if let Some(key) = row.and_then(|row| row.key)
                && let Some(claim) = table.claims.get_mut(&key)
            {
                claim.asked = false;
            }
        }))
    }

    fn find<'a>(&'a self, id: &'a OperationId) -> BoxFuture<'a, Result<Option<Record>, Away>> {
        now(self.reached().map(|table| found(&table, id)))
    }

    fn list<'a>(
        &'a self,
        selection: &'a Selection,
        after: Option<&'a Place>,
        most: usize,
    ) -> BoxFuture<'a, Result<Part, Away>> {
        now(self.reached().map(|table| {
            let wanted = Selection {
                states: Vec::new(),
                after: after.cloned(),
                ..selection.clone()
            };
            let shown = table.rows.values().filter(|row| row.record.is_shown);
            let known = shown.map(|row| row.record.known.clone());
            let mut found: Vec<Known> = known.filter(|known| known.is_one_of(&wanted)).collect();
            found.sort_by_key(|known| std::cmp::Reverse(known.place()));
            found.truncate(most);
            for known in &mut found {
                known.durable = true;
            }
            let last = found.last().filter(|_| found.len() == most);
            let until = last.map(Known::place);
            // Some cannot be read by anybody.
            found.retain(|known| known.operation.native_id != UNREADABLE);
            Part {
                known: found,
                until,
            }
        }))
    }

    fn beat(&self) -> BoxFuture<'_, Result<(), Away>> {
        now(self.reached().map(|mut table| {
            *self.beats.lock().unwrap() += 1;
            table.alive.insert(self.owner);
        }))
    }

    fn catch_up(&self) -> BoxFuture<'_, Result<(), Away>> {
        now(self.reached().map(|mut table| {
            for (key, (print, answer)) in self.unasked.lock().unwrap().drain() {
                table.claims.entry(key).or_insert(Claim {
                    print,
                    owner: self.owner,
                    asked: true,
                    answer,
                });
            }
        }))
    }

    fn adopt<'a>(
        &'a self,
        sources: &'a [SourceName],
        most: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, Away>> {
        now(self.reached().map(|mut table| {
            let Table { alive, rows, .. } = &mut *table;
            let is_left = |row: &&mut Row| {
                !row.record.known.operation.done
                    && row.owner != self.owner
                    && !alive.contains(&row.owner)
                    && sources.contains(&row.record.known.source)
            };
            let left = rows.values_mut().filter(is_left).take(most);
            let taken = left.map(|row| {
                row.owner = self.owner;
                row.record.is_shown = true;
                row.record.clone()
            });
            taken.collect()
        }))
    }

    fn abandon<'a>(&'a self, id: &'a OperationId) -> BoxFuture<'a, Result<(), Away>> {
        now(self.heard().map(|mut table| {
            if let Some(row) = table.rows.get_mut(id) {
                row.owner = usize::MAX;
            }
        }))
    }

    fn release(&self) -> BoxFuture<'_, ()> {
        self.die();
        now(())
    }

    fn standing(&self) -> Option<Standing> {
        Some(Standing {
            behind: None,
            unkept: 0,
        })
    }
}

impl Keys for Process {
    fn begin(&self, key: Key, print: Print) -> BoxFuture<'_, Begun> {
        if *self.is_away.lock().unwrap() {
            let mut unasked = self.unasked.lock().unwrap();
            return now(match unasked.get(&key) {
                None => {
                    unasked.insert(key, (print, None));
                    Begun::New
                }
                Some((other, _)) if *other != print => Begun::OtherRequest,
                Some((_, None)) => Begun::Running,
                Some((_, Some(answer))) => Begun::Ended(answer.clone()),
            });
        }
        let mut table = self.table();
        let Some(claim) = table.claims.get(&key) else {
            let claim = Claim {
                print,
                owner: self.owner,
                asked: false,
                answer: None,
            };
            table.claims.insert(key, claim);
            return now(Begun::New);
        };
        if claim.print != print {
            return now(Begun::OtherRequest);
        }
        if let Some(answer) = &claim.answer {
            return now(Begun::Ended(answer.clone()));
        }
        if table.alive.contains(&claim.owner) {
            return now(Begun::Running);
        }
        let mut begun = Begun::New;
        if claim.asked {
            let row = table
                .rows
                .iter()
                .find(|(_, row)| row.key.as_ref() == Some(&key));
            let record = row.and_then(|(id, _)| found(&table, id));
            match record {
                Some(record) if record.stage == Stage::Settled => {
                    begun = Begun::Left(Box::new(record));
                }
                _ => return now(Begun::Running),
            }
        }
        table.claims.get_mut(&key).unwrap().owner = self.owner;
        now(begun)
    }

    fn end(&self, key: Key, outcome: Option<Outcome>) -> BoxFuture<'_, ()> {
        let mut unasked = self.unasked.lock().unwrap();
        if outcome.is_none() {
            unasked.remove(&key);
        } else if let Some(unasked) = unasked.get_mut(&key) {
            unasked.1.clone_from(&outcome);
        }
        let mut table = self.table();
        let is_own = |claim: &Claim| claim.owner == self.owner && claim.answer.is_none();
        match outcome {
            None if table.claims.get(&key).is_some_and(is_own) => {
                table.claims.remove(&key);
            }
            None => {}
            Some(outcome) => {
                if let Some(claim) = table.claims.get_mut(&key) {
                    claim.answer.get_or_insert(outcome);
                }
            }
        }
        now(())
    }
}
