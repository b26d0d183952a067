//! What writes have changed at LakeSail: clusters that were made, what became of others, and the work on them.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::fleet::{Style, stamp};
use super::LakeSail;

/// Steps of any work; after the last it has ended.
const STEPS: u32 = 4;

/// What work goes through, by its step.
const STAGES: [&str; 5] = [
    "queued",
    "network",
    "control-plane",
    "node-groups",
    "finished",
];

/// Pieces of infrastructure: type, name, and whether a change leaves it alone.
const PIECES: [(&str, &str, bool); 6] = [
    ("aws:ec2/securityGroup:SecurityGroup", "nodes", true),
    ("aws:iam/role:Role", "cluster", true),
    ("aws:eks/cluster:Cluster", "cluster", false),
    ("aws:eks/nodeGroup:NodeGroup", "system", false),
    (
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        "oidc",
        false,
    ),
    ("kubernetes:core/v1:Namespace", "lakesail", false),
];

/// Everything that was written.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) lives: HashMap<u64, Life>,
    works: Vec<Work>,
}

/// What writes made of one cluster; what is none is as it was drawn.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    pub(super) birth: Option<Birth>,
    pub(super) name: Option<String>,
    pub(super) config: Option<Value>,
    pub(super) status: Option<&'static str>,
    pub(super) message: Option<String>,
    pub(super) changed: Option<Timestamp>,
}

/// What a cluster was made with and keeps.
#[derive(Debug, Clone)]
pub(super) struct Birth {
    pub(super) connection: u64,
    pub(super) network: u64,
    pub(super) region: String,
    pub(super) at: Timestamp,
}

/// What is done to the infrastructure of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Provision,
    Update,
    Destroy,
}

impl Task {
    const fn word(self) -> &'static str {
        match self {
            Self::Provision => "provision",
            Self::Update => "update",
            Self::Destroy => "destroy",
        }
    }

    /// What is done to each piece.
    const fn action(self) -> &'static str {
        match self {
            Self::Provision => "create",
            Self::Update => "update",
            Self::Destroy => "delete",
        }
    }

    /// The cluster's status while it goes on.
    pub(super) const fn meanwhile(self) -> &'static str {
        match self {
            Self::Provision => "provisioning",
            Self::Update => "updating",
            Self::Destroy => "destroying",
        }
    }

    const fn afterwards(self) -> &'static str {
        match self {
            Self::Provision | Self::Update => "active",
            Self::Destroy => "destroyed",
        }
    }
}

/// Work on one cluster.
#[derive(Debug)]
struct Work {
    id: String,
    task: Task,
    serial: u64,
    external: String,
    fails: bool,
    pace: Option<Duration>,
    began: Instant,
    /// Steps that were taken by hand.
    steps: u32,
    asked: Timestamp,
    ended: Option<Timestamp>,
}

impl Work {
    fn step(&self, now: Instant) -> u32 {
        let by_time = self.pace.map_or(0, |pace| {
            let part = now.duration_since(self.began).as_nanos() * u128::from(STEPS);
            part.checked_div(pace.as_nanos())
                .and_then(|step| u32::try_from(step).ok())
                .unwrap_or(STEPS)
        });
        by_time.max(self.steps).min(STEPS)
    }

    fn status(&self, step: u32) -> &'static str {
        match step {
            STEPS if self.fails => "failed",
            STEPS => "succeeded",
            0 => "pending",
            _ => "running",
        }
    }

    /// How far each piece is at a step; of work that fails, the last one does.
    fn pieces(&self, step: u32) -> Vec<(&'static str, Value)> {
        let count = PIECES.len();
        let finished = count * usize::try_from(step).unwrap_or(0) / STEPS as usize;
        let piece = |(at, (kind, name, is_kept)): (usize, (&str, &str, bool))| {
            let status = if is_kept && self.task == Task::Update {
                "unchanged"
            } else if at + 1 == count && step == STEPS && self.fails {
                "failed"
            } else if at < finished {
                "succeeded"
            } else if at == finished && step > 0 {
                "running"
            } else {
                "pending"
            };
            let urn = format!(
                "urn:pulumi:{}::lakesail-byoc-cluster::{kind}::{name}",
                self.external
            );
            let duration = (status == "succeeded").then_some(12.5);
            let row = json!({"urn": urn, "type": kind, "name": name, "operation": self.task.action(),
                "status": status, "duration": duration});
            (status, row)
        };
        PIECES.into_iter().enumerate().map(piece).collect()
    }
}

impl Ledger {
    /// Ends the work whose time has come, and puts down what became of its clusters.
    fn settle(&mut self, now: Instant, clock: Timestamp) {
        for work in &mut self.works {
            if work.ended.is_some() || work.step(now) < STEPS {
                continue;
            }
            work.ended = Some(clock);
            let life = self.lives.entry(work.serial).or_default();
            life.changed = Some(clock);
            life.status = Some(if work.fails {
                "failed"
            } else {
                work.task.afterwards()
            });
            life.message = work.fails.then(|| "quota reached".to_owned());
        }
    }
}

impl LakeSail {
    /// The vendor's clock.
    pub(super) fn clock(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap_or_default();
        let anchor = self.context.anchor;
        anchor.checked_add(passed).unwrap_or(anchor)
    }

    /// All that was written, as it is at this moment.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.settle(Instant::now(), self.clock());
        ledger
    }

    pub(super) fn life(&self, serial: u64) -> Option<Life> {
        self.ledger().lives.get(&serial).cloned()
    }

    /// The connection of a cluster that was made; drawn ones have theirs by their number.
    pub(super) fn birth(&self, serial: u64) -> Option<Birth> {
        self.life(serial)?.birth
    }

    /// Begins work on a cluster, in a ledger that says that it may begin.
    pub(super) fn begin(
        &self,
        ledger: &mut Ledger,
        task: Task,
        (serial, external): (u64, &str),
        (pace, fails): (Option<Duration>, bool),
    ) -> Value {
        let number = ledger.works.len() as u64;
        let asked = self.clock();
        let life = ledger.lives.entry(serial).or_default();
        life.status = Some(task.meanwhile());
        life.message = None;
        life.changed = Some(asked);
        let work = Work {
            id: self.named("OP", number, 35),
            task,
            serial,
            external: external.to_owned(),
            fails,
            pace,
            began: Instant::now(),
            steps: 0,
            asked,
            ended: None,
        };
        let row = self.work(&work);
        ledger.works.push(work);
        row
    }

    /// Moves all work on by one step, and tells how much of it goes on.
    pub(super) fn step(&self) -> usize {
        let now = Instant::now();
        let mut ledger = self.ledger();
        for work in ledger.works.iter_mut().filter(|work| work.ended.is_none()) {
            work.steps = work.step(now) + 1;
        }
        ledger.settle(now, self.clock());
        ledger
            .works
            .iter()
            .filter(|work| work.ended.is_none())
            .count()
    }

    /// The operations of a cluster that writes began, the oldest first.
    pub(super) fn works_of(&self, serial: u64) -> Vec<Value> {
        let ledger = self.ledger();
        let works = ledger.works.iter().filter(|work| work.serial == serial);
        works.map(|work| self.work(work)).collect()
    }

    pub(super) fn latest_work_of(&self, serial: u64) -> Option<String> {
        let ledger = self.ledger();
        let mut works = ledger.works.iter().rev();
        let work = works.find(|work| work.serial == serial)?;
        Some(work.id.clone())
    }

    /// An operation that a write began.
    pub(super) fn work_by_id(&self, id: &str) -> Option<Value> {
        let ledger = self.ledger();
        let work = ledger.works.iter().find(|work| work.id == id)?;
        Some(self.work(work))
    }

    fn work(&self, work: &Work) -> Value {
        let step = if work.ended.is_some() {
            STEPS
        } else {
            work.step(Instant::now())
        };
        let pieces = work.pieces(step);
        let count = |wanted: &str| {
            pieces
                .iter()
                .filter(|(status, _)| *status == wanted)
                .count()
        };
        let error = (work.ended.is_some() && work.fails).then(|| {
            json!({"code": "quota_exceeded", "message": "quota reached", "errorType": "provider",
                "details": {"retryable": true, "retryAfter": 30, "requestId": "r-1", "causedBy": "provider",
                    "fieldErrors": {"config.systemNodeGroup.maxSize": "exceeds the quota of the account"}}})
        });
        let time = |at: Timestamp| stamp(at, Style::Micros);
        let moved = work.ended.unwrap_or_else(|| self.clock());
        json!({"id": work.id, "organizationId": self.organization, "memberId": self.named("MB", 1, 33),
            "operation": work.task.word(), "status": work.status(step), "resourceType": "cluster",
            "resourceId": work.external, "result": Value::Null, "error": error,
            "progress": {"stage": STAGES[step as usize], "message": format!("step {step} of {STEPS}"),
                "summary": {"total": pieces.len(), "pending": count("pending"), "running": count("running"),
                    "succeeded": count("succeeded"), "failed": count("failed"), "unchanged": count("unchanged")},
                "resources": pieces.into_iter().map(|(_, row)| row).collect::<Vec<_>>()},
            "createdAt": time(work.asked), "updatedAt": time(moved),
            "startedAt": (step > 0).then(|| time(work.asked)), "completedAt": work.ended.map(time)})
    }
}
