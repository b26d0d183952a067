//! What keeps operations and keys, as several processes share it: in memory, for tests.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::{BoxFuture, ready};

use super::keep::{Away, Keep, Record, Stage, Standing};
use super::{Begun, Key, Keys, Known, Outcome, Place, Print, Selection};
use crate::domain::{OperationId, SourceName};

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

/// One process.
#[derive(Clone)]
pub(crate) struct Process {
    table: Arc<Mutex<Table>>,
    owner: usize,
    /// Whether everything fails.
    pub(crate) is_away: Arc<Mutex<bool>>,
}

impl Process {
    /// The process of a number. Nobody alive may have it.
    pub(crate) fn new(table: &Arc<Mutex<Table>>, owner: usize) -> Self {
        table.lock().unwrap().alive.insert(owner);
        Self {
            table: Arc::clone(table),
            owner,
            is_away: Arc::default(),
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
    fn intend<'a>(
        &'a self,
        intent: &'a Record,
        key: Option<&'a Key>,
    ) -> BoxFuture<'a, Result<bool, Away>> {
        now(self.reached().map(|mut table| {
            if let Some(key) = key {
                let claim = table.claims.get_mut(key);
                match claim.filter(|claim| claim.owner == self.owner && claim.answer.is_none()) {
                    Some(claim) => claim.asked = true,
                    None => return false,
                }
            }
            self.put_into(&mut table, intent, false);
            let row = table.rows.get_mut(&intent.known.id).unwrap();
            row.key = key.cloned();
            true
        }))
    }

    fn put<'a>(&'a self, record: &'a Record) -> BoxFuture<'a, Result<(), Away>> {
        now(self
            .reached()
            .map(|mut table| self.put_into(&mut table, record, false)))
    }

    fn settle<'a>(
        &'a self,
        intent: &'a OperationId,
        record: &'a Record,
    ) -> BoxFuture<'a, Result<(), Away>> {
        now(self.reached().map(|mut table| {
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
        now(self.reached().map(|mut table| {
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
    ) -> BoxFuture<'a, Result<Vec<Known>, Away>> {
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
            found
        }))
    }

    fn beat(&self) -> BoxFuture<'_, Result<(), Away>> {
        now(self.reached().map(|mut table| {
            table.alive.insert(self.owner);
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
        now(self.reached().map(|mut table| {
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
        let mut table = self.table();
        match outcome {
            None => {
                table.claims.remove(&key);
            }
            Some(outcome) => {
                if let Some(claim) = table.claims.get_mut(&key) {
                    claim.answer.get_or_insert(outcome);
                }
            }
        }
        now(())
    }
}
