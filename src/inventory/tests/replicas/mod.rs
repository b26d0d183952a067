//! Several gateways over one inventory, which a double keeps in memory.

mod following;
mod together;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::sync::{Mutex as Turns, Notify, OwnedMutexGuard, watch};
use tokio::time::Instant;

use super::*;
use crate::inventory::journal::Publication;
use crate::inventory::past::Kept;
use crate::inventory::replicas::{
    Away, Begun, Census, Commons, Desk, Lease, Newer, NewerSource, Record, Turn,
};

/// What is kept of one source.
#[derive(Debug, Default)]
struct Rows {
    written: u64,
    account: String,
    records: BTreeMap<String, (u64, Vec<u8>)>,
    gone: BTreeMap<String, u64>,
    lease: Option<(usize, u64)>,
}

/// How one commit ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// Not durable, and said so.
    Refused,
    /// The same, and by the next time it is to be told that the source `s` was left.
    RefusedAndLeft,
    /// Durable, though it seems not to be.
    Unsure,
}

/// What gateways share.
#[derive(Debug, Default)]
struct Tables {
    generation: u64,
    previous: u64,
    at: Timestamp,
    sources: BTreeMap<SourceName, Rows>,
    changes: Vec<Kept>,
    own: HashMap<usize, u64>,
    /// How the next commits end.
    ends: VecDeque<End>,
    commits: usize,
    fenced: usize,
    /// Sources that nobody has looked at since somebody was there, until a turn has said so.
    left: Vec<SourceName>,
    is_away: bool,
}

impl Tables {
    /// Keeps a publication as a store does.
    fn write(&mut self, publication: &Publication) {
        assert!(publication.generation > self.generation);
        self.previous = std::mem::replace(&mut self.generation, publication.generation);
        self.at = publication.at;
        for delta in &publication.deltas {
            let rows = self.sources.entry(delta.source().clone()).or_default();
            rows.written = publication.generation;
            rows.account = delta.account();
            for (id, bytes) in delta.upserts() {
                let row = (publication.generation, bytes);
                rows.records.insert(id.as_str().to_owned(), row);
            }
            for id in delta.removed() {
                rows.records.remove(id.as_str());
                rows.gone
                    .insert(id.as_str().to_owned(), publication.generation);
            }
        }
        let batch = publication.batch.iter();
        self.changes.extend(batch.flat_map(|batch| {
            let changes = batch.changes().enumerate();
            let kept = changes.map(|(place, change)| Kept {
                generation: batch.generation,
                place,
                at: batch.at,
                body: batch.told(place).into(),
                document: change.document().map(Into::into),
                was: change.was(),
            });
            kept.collect::<Vec<_>>()
        }));
    }

    fn newer(&self, applied: u64) -> Newer {
        let is_anew = applied == 0;
        let sources = self
            .sources
            .iter()
            .filter(|(_, rows)| rows.written > applied);
        let sources = sources.map(|(name, rows)| NewerSource {
            name: name.clone(),
            account: rows.account.clone(),
            records: (rows.records.iter())
                .filter(|(_, (generation, _))| *generation > applied)
                .map(|(id, (generation, bytes))| Record {
                    id: id.clone(),
                    generation: *generation,
                    bytes: bytes.clone(),
                })
                .collect(),
            gone: (rows.gone.iter())
                .filter(|(_, generation)| **generation > applied && !is_anew)
                .map(|(id, generation)| (id.clone(), *generation))
                .collect(),
            is_whole: is_anew,
            clusters: Some(rows.records.len()),
        });
        let changes = self.changes.iter();
        Newer {
            generation: self.generation,
            previous: self.previous,
            at: self.at,
            sources: sources.collect(),
            changes: changes
                .filter(|one| one.generation > applied && !is_anew)
                .cloned()
                .collect(),
            anew: is_anew.then_some((self.generation, self.at)),
            left: self.left.clone(),
        }
    }
}

/// What gateways share, and whose turn it is.
#[derive(Clone, Default)]
struct Shared {
    tables: Arc<Mutex<Tables>>,
    turns: Arc<Turns<()>>,
    news: Arc<watch::Sender<u64>>,
}

/// One of the gateways.
struct Member {
    id: usize,
    shared: Shared,
    desks: HashMap<SourceName, Arc<Desk>>,
}

impl Member {
    fn new(id: usize, shared: &Shared, sources: &[&str]) -> Arc<Self> {
        let wanted: Arc<Notify> = Arc::default();
        let desks = sources.iter();
        let desks = desks.map(|name| (source(name), Arc::new(Desk::new(Arc::clone(&wanted)))));
        Arc::new(Self {
            id,
            shared: shared.clone(),
            desks: desks.collect(),
        })
    }

    /// Gives it the lease of a source, for so many seconds.
    fn lend(&self, name: &str, seconds: u64) {
        let name = source(name);
        let mut tables = self.shared.tables.lock().unwrap();
        let from = tables.generation;
        let rows = tables.sources.entry(name.clone()).or_default();
        let token = rows.lease.map_or(1, |(_, token)| token + 1);
        rows.lease = Some((self.id, token));
        self.desks[&name].grant(Lease {
            token,
            until: Instant::now() + Duration::from_secs(seconds),
            from,
            is_closing: false,
        });
    }

    fn tables<T>(&self, ask: impl FnOnce(&mut Tables) -> T) -> Result<T, Away> {
        let mut tables = self.shared.tables.lock().unwrap();
        if tables.is_away {
            return Err(Away);
        }
        Ok(ask(&mut tables))
    }
}

struct Taken {
    member: usize,
    shared: Shared,
    _turn: OwnedMutexGuard<()>,
}

impl Commons for Member {
    fn desk(&self, source: &SourceName) -> Option<Arc<Desk>> {
        self.desks.get(source).cloned()
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.shared.news.subscribe()
    }

    fn join(&self) -> BoxFuture<'_, Result<Newer, Away>> {
        Box::pin(async move { self.tables(|tables| tables.newer(0)) })
    }

    fn newer(&self, applied: u64) -> BoxFuture<'_, Result<Option<Newer>, Away>> {
        Box::pin(async move {
            self.tables(|tables| (tables.generation > applied).then(|| tables.newer(applied)))
        })
    }

    fn begin(&self, applied: u64) -> BoxFuture<'_, Result<Begun, Away>> {
        Box::pin(async move {
            let turn = Arc::clone(&self.shared.turns).lock_owned().await;
            self.tables(|tables| Begun {
                turn: Box::new(Taken {
                    member: self.id,
                    shared: self.shared.clone(),
                    _turn: turn,
                }),
                newer: (tables.generation > applied).then(|| tables.newer(applied)),
                own: tables.own.get(&self.id).copied().unwrap_or_default(),
                census: (!tables.left.is_empty()).then(|| Census {
                    left: tables.left.clone(),
                    is_whole: true,
                    ..Census::default()
                }),
            })
        })
    }

    fn is_census_due(&self) -> bool {
        !self.shared.tables.lock().unwrap().left.is_empty()
    }

    fn note(&self, _: u64, _: usize) {}

    fn keep(&self, _: u64) {}

    fn kept(&self) -> Vec<u64> {
        Vec::new()
    }

    fn fenced(&self, _: &SourceName) {
        self.shared.tables.lock().unwrap().fenced += 1;
    }
}

impl Turn for Taken {
    fn stay(&mut self) -> BoxFuture<'_, Result<(), Away>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn lost<'a>(
        &'a mut self,
        leases: &'a [(SourceName, u64)],
    ) -> BoxFuture<'a, Result<Vec<(SourceName, u64)>, Away>> {
        let tables = self.shared.tables.lock().unwrap();
        let holds = |(name, token): &&(SourceName, u64)| {
            tables.sources[name].lease == Some((self.member, *token))
        };
        let lost = leases
            .iter()
            .filter(|lease| !holds(lease))
            .cloned()
            .collect();
        Box::pin(std::future::ready(Ok(lost)))
    }

    fn commit(self: Box<Self>, publication: Publication) -> BoxFuture<'static, Result<(), Away>> {
        Box::pin(async move {
            let mut tables = self.shared.tables.lock().unwrap();
            tables.commits += 1;
            let end = tables.ends.pop_front();
            if end == Some(End::RefusedAndLeft) {
                tables.left = vec![source("s")];
            }
            if tables.is_away || matches!(end, Some(End::Refused | End::RefusedAndLeft)) {
                return Err(Away);
            }
            tables.write(&publication);
            tables.left.clear();
            let generation = tables.generation;
            tables.own.insert(self.member, generation);
            drop(tables);
            self.shared.news.send_modify(|news| *news += 1);
            if end == Some(End::Unsure) {
                return Err(Away);
            }
            Ok(())
        })
    }
}
