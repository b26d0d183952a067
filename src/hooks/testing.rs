//! An outbox in memory, and a server that answers as told; for tests in which time is paused.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::outbox::Answer;
use super::webhooks::Clock;
use super::*;
use crate::inventory::{Inventory, Mark};

/// A clock that goes as the paused time of a test does.
pub(super) fn clock() -> Clock {
    let began = Instant::now();
    Arc::new(move || {
        let first = Timestamp::from_second(1_800_100_000).unwrap();
        first + jiff::SignedDuration::try_from(began.elapsed()).unwrap()
    })
}

#[derive(Debug, Clone)]
struct Row {
    hook: HookName,
    listed: Listed,
    give_up_at: Timestamp,
    body: Vec<u8>,
    claim: Option<(String, Timestamp)>,
}

impl Row {
    fn is_due(&self, now: Timestamp) -> bool {
        self.listed.next_attempt_at.is_some_and(|at| at <= now)
    }

    fn is_claimed(&self, now: Timestamp) -> bool {
        self.claim.as_ref().is_some_and(|(_, until)| *until > now)
    }
}

#[derive(Default)]
struct Kept {
    rows: Vec<Row>,
    cursors: BTreeMap<HookName, Mark>,
    seen: BTreeMap<HookName, Timestamp>,
    gone: BTreeMap<HookName, Timestamp>,
    broken: bool,
}

/// Keeps deliveries in memory, as a store would.
pub(super) struct Memory {
    kept: Mutex<Kept>,
    inventory: Arc<Inventory>,
}

impl Memory {
    pub(super) fn over(inventory: &Arc<Inventory>) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::default(),
            inventory: Arc::clone(inventory),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    pub(super) fn set_broken(&self, broken: bool) {
        self.kept().broken = broken;
    }

    pub(super) fn rows(&self) -> Vec<Listed> {
        let kept = self.kept();
        kept.rows.iter().map(|row| row.listed.clone()).collect()
    }

    /// When a webhook was last said to have been looked at.
    pub(super) fn seen_at(&self, hook: &HookName) -> Option<Timestamp> {
        self.kept().seen.get(hook).copied()
    }

    pub(super) fn is(&self, state: DeliveryState, count: usize) -> bool {
        let rows = self.rows();
        rows.iter().filter(|row| row.state == state).count() == count
    }

    fn tell<T: Send + 'static>(&self, tell: impl FnOnce(&mut Kept) -> T) -> Answer<'_, T> {
        let mut kept = self.kept();
        let told = if kept.broken {
            Err(OutboxError("STORE_LATE"))
        } else {
            Ok(tell(&mut kept))
        };
        Box::pin(std::future::ready(told))
    }
}

impl Kept {
    fn insert(&mut self, hook: &HookName, event: &NewEvent, give_up_at: Timestamp, now: Timestamp) {
        let is_new = (self.rows.iter()).all(|row| row.hook != *hook || row.listed.id != event.id);
        if is_new {
            let number = i64::try_from(self.rows.len()).unwrap() + 1;
            self.rows.push(Row {
                hook: hook.clone(),
                listed: Listed {
                    number,
                    id: event.id.clone(),
                    kind: event.kind.as_str().to_owned(),
                    subject: event.subject.clone(),
                    generation: event.generation,
                    state: DeliveryState::Pending,
                    attempts: 0,
                    created_at: now,
                    next_attempt_at: Some(now),
                    last_attempt_at: None,
                    status: None,
                    code: None,
                    ended_at: None,
                },
                give_up_at,
                body: event.body.clone(),
                claim: None,
            });
        }
    }

    fn of<'a>(&'a mut self, hook: &'a HookName) -> impl Iterator<Item = &'a mut Row> {
        self.rows.iter_mut().filter(move |row| row.hook == *hook)
    }
}

impl Outbox for Memory {
    fn known(&self) -> Answer<'_, u64> {
        let generation = self.inventory.current().generation;
        self.tell(|_| generation)
    }

    fn begin<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        self.tell(|_| ())
    }

    fn cursor<'a>(&'a self, hook: &'a HookName, first: Mark, _: Timestamp) -> Answer<'a, Mark> {
        self.tell(|kept| *kept.cursors.entry(hook.clone()).or_insert(first))
    }

    fn put<'a>(&'a self, hook: &'a HookName, put: &'a Put) -> Answer<'a, bool> {
        self.tell(|kept| {
            if kept.cursors.get(hook) != Some(&put.from) {
                return false;
            }
            kept.cursors.insert(hook.clone(), put.to);
            for event in &put.events {
                kept.insert(hook, event, put.give_up_at, put.now);
            }
            true
        })
    }

    fn seen<'a>(&'a self, hook: &'a HookName, now: Timestamp) -> Answer<'a, ()> {
        self.tell(|kept| {
            kept.seen.insert(hook.clone(), now);
        })
    }

    fn add<'a>(
        &'a self,
        hook: &'a HookName,
        event: &'a NewEvent,
        asked: Asked,
    ) -> Answer<'a, Listed> {
        self.tell(|kept| {
            kept.gone.remove(hook);
            kept.insert(hook, event, asked.give_up_at, asked.now);
            kept.rows.last().unwrap().listed.clone()
        })
    }

    fn claim<'a>(
        &'a self,
        hook: &'a HookName,
        owner: &'a str,
        most: usize,
        until: Timestamp,
        now: Timestamp,
    ) -> Answer<'a, Claims> {
        self.tell(|kept| {
            if kept.gone.contains_key(hook) {
                return Claims {
                    is_gone: true,
                    ..Claims::default()
                };
            }
            let (mut taken, mut busy) = (Vec::new(), Vec::new());
            for row in kept.of(hook) {
                let subject = row.listed.subject.clone();
                let is_blocked = subject.is_some() && busy.contains(&subject);
                if row.is_due(now) || row.is_claimed(now) {
                    busy.push(subject);
                }
                if is_blocked || !row.is_due(now) || row.is_claimed(now) || taken.len() == most {
                    continue;
                }
                row.claim = Some((owner.to_owned(), until));
                taken.push(Claimed {
                    number: row.listed.number,
                    id: row.listed.id.clone(),
                    attempts: row.listed.attempts,
                    created_at: row.listed.created_at,
                    give_up_at: row.give_up_at,
                    body: row.body.clone(),
                });
            }
            let later = kept.of(hook).filter(|row| !row.is_claimed(now));
            let later = later.filter_map(|row| row.listed.next_attempt_at.filter(|at| *at > now));
            let next = later.min();
            Claims {
                taken,
                next,
                is_gone: false,
            }
        })
    }

    fn settle<'a>(
        &'a self,
        hook: &'a HookName,
        number: i64,
        owner: &'a str,
        settled: &'a Settled,
        now: Timestamp,
    ) -> Answer<'a, bool> {
        self.tell(|kept| {
            if settled.ended.is_gone() {
                kept.gone.insert(hook.clone(), now);
            }
            let mut rows = kept.rows.iter_mut();
            let row = rows.find(|row| row.listed.number == number).unwrap();
            if row.claim.as_ref().is_none_or(|(by, _)| by != owner) {
                return false;
            }
            row.claim = None;
            let listed = &mut row.listed;
            listed.state = settled.state();
            listed.attempts += 1;
            listed.next_attempt_at = settled.again_at;
            listed.last_attempt_at = Some(now);
            listed.status = settled.ended.status;
            listed.code = settled.ended.code.map(str::to_owned);
            listed.ended_at = (listed.state != DeliveryState::Pending).then_some(now);
            true
        })
    }

    fn tidy(&self, now: Timestamp) -> Answer<'_, bool> {
        self.tell(|kept| {
            for row in &mut kept.rows {
                let is_over = row.give_up_at <= now && !row.is_claimed(now);
                if row.listed.state == DeliveryState::Pending && is_over {
                    row.listed.state = DeliveryState::Dead;
                    row.listed.next_attempt_at = None;
                    row.listed.code.get_or_insert(EXPIRED.to_owned());
                }
            }
            false
        })
    }

    fn account<'a>(&'a self, hook: &'a HookName) -> Answer<'a, Option<Account>> {
        self.tell(|kept| {
            let cursor = *kept.cursors.get(hook)?;
            let rows: Vec<Listed> = kept.of(hook).map(|row| row.listed.clone()).collect();
            let count = |state| rows.iter().filter(|row| row.state == state).count() as u64;
            let last = |is_well: bool| {
                let tried = rows.iter().filter(|row| row.code.is_none() == is_well);
                tried.filter_map(|row| row.last_attempt_at).max()
            };
            Some(Account {
                cursor,
                pending: count(DeliveryState::Pending),
                delivered: count(DeliveryState::Delivered),
                dead: count(DeliveryState::Dead),
                oldest_pending: None,
                success_at: last(true),
                failure_at: last(false),
                failure_status: None,
                failure_code: None,
                gone_at: kept.gone.get(hook).copied(),
            })
        })
    }

    fn list<'a>(&'a self, hook: &'a HookName, page: &'a Page) -> Answer<'a, Vec<Listed>> {
        self.tell(|kept| {
            let rows = kept.of(hook).map(|row| row.listed.clone());
            let rows = rows.filter(|row| page.before.is_none_or(|before| row.number < before));
            let rows = rows.filter(|row| page.state.is_none_or(|state| row.state == state));
            let mut rows: Vec<Listed> = rows.collect();
            rows.reverse();
            rows.truncate(page.most);
            rows
        })
    }

    fn redeliver<'a>(
        &'a self,
        hook: &'a HookName,
        id: &'a str,
        asked: Asked,
    ) -> Answer<'a, Option<Listed>> {
        self.tell(|kept| {
            let row = kept.of(hook).find(|row| row.listed.id == id)?;
            row.listed.state = DeliveryState::Pending;
            row.listed.attempts = 0;
            row.listed.next_attempt_at = Some(asked.now);
            row.listed.ended_at = None;
            row.give_up_at = asked.give_up_at;
            let listed = row.listed.clone();
            kept.gone.remove(hook);
            Some(listed)
        })
    }
}

/// What a server was handed.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) at: Duration,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Sent {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(super) fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A server that answers as told, and well when it was told nothing.
pub(super) struct Server {
    answers: Mutex<VecDeque<Result<Posted, PostError>>>,
    /// What it answers when it was told nothing else.
    pub(super) usual: Mutex<Result<Posted, PostError>>,
    pub(super) sent: Mutex<Vec<Sent>>,
    /// How long each answer takes.
    pub(super) takes: Mutex<Duration>,
    open: Mutex<usize>,
    /// How many requests were open at once.
    pub(super) most_open: Mutex<usize>,
    began: Instant,
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands beside answers that are none"
)]
pub(super) fn answer(status: u16, retry_after: Option<u64>) -> Result<Posted, PostError> {
    Ok(Posted {
        status: StatusCode::from_u16(status).unwrap(),
        retry_after: retry_after.map(Duration::from_secs),
    })
}

impl Server {
    pub(super) fn new(answers: Vec<Result<Posted, PostError>>) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.into()),
            usual: Mutex::new(answer(204, None)),
            sent: Mutex::default(),
            takes: Mutex::default(),
            open: Mutex::default(),
            most_open: Mutex::default(),
            began: Instant::now(),
        })
    }

    pub(super) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap().clone()
    }

    /// The ids of the events that it was handed, once each.
    pub(super) fn ids(&self) -> BTreeSet<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|sent| sent.id().to_owned()).collect()
    }
}

impl Way for Server {
    fn post(&self, headers: HeaderMap, body: Bytes) -> BoxFuture<'_, Result<Posted, PostError>> {
        Box::pin(async move {
            self.sent.lock().unwrap().push(Sent {
                at: self.began.elapsed(),
                headers,
                body,
            });
            {
                let mut open = self.open.lock().unwrap();
                *open += 1;
                let mut most = self.most_open.lock().unwrap();
                *most = (*most).max(*open);
            }
            let takes = *self.takes.lock().unwrap();
            sleep(takes).await;
            *self.open.lock().unwrap() -= 1;
            let next = self.answers.lock().unwrap().pop_front();
            next.unwrap_or(*self.usual.lock().unwrap())
        })
    }
}
