//! What writes have changed at Latitude.sh: clusters that were made, what became of others, and the work on them.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Latitude;
use super::record::Record;

/// Steps of any work; after the last it has ended.
pub(super) const STEPS: u32 = 3;

/// Everything that was written.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) lives: HashMap<u64, Life>,
    gone: Vec<u64>,
}

/// What writes made of one cluster; what is none is as it was drawn.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    pub(super) birth: Option<Birth>,
    pub(super) name: Option<String>,
    pub(super) description: Option<String>,
    /// Minor version and patch.
    pub(super) version: Option<(u64, u64)>,
    pub(super) planes: Option<u64>,
    pub(super) workers: Option<u64>,
    work: Option<Work>,
    /// The state that the last work left it in.
    status: Option<&'static str>,
    pub(super) changed: Option<Timestamp>,
}

/// What a cluster was made with and keeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Birth {
    pub(super) legacy: bool,
    pub(super) project: u64,
    pub(super) site: &'static str,
    pub(super) plan: &'static str,
    pub(super) at: Timestamp,
}

/// What is done to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Provision,
    ScaleWorkers,
    ScalePlanes,
    Upgrade,
    Destroy,
}

impl Task {
    /// `phase` of a legacy cluster, `status` of an LKS one, while it goes on. A legacy cluster stays provisioned while it is
    /// scaled: its components say so.
    const fn meanwhile(self, legacy: bool, step: u32) -> &'static str {
        match (self, legacy) {
            (Self::Provision, true) if step == 0 => "Pending",
            (Self::Provision, true) => "Provisioning",
            (Self::Provision, false) => "provisioning",
            (Self::ScaleWorkers | Self::ScalePlanes, true) => "Provisioned",
            (Self::ScaleWorkers | Self::ScalePlanes, false) => "scaling",
            (Self::Upgrade, true) => "Upgrading",
            (Self::Upgrade, false) => "upgrading",
            (Self::Destroy, true) => "Deleting",
            (Self::Destroy, false) => "deleting",
        }
    }
}

/// Work on one cluster.
#[derive(Debug, Clone)]
struct Work {
    task: Task,
    pace: Option<Duration>,
    began: Instant,
    /// Steps that were taken by hand.
    steps: u32,
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
}

impl Life {
    /// A drawn cluster as writes left it.
    pub(super) fn apply(self, record: &mut Record) {
        let step = self.work.as_ref().map(|work| work.step(Instant::now()));
        if let Some(birth) = self.birth {
            record.is_made = true;
            record.odd = false;
            record.project = birth.project;
            record.site = birth.site;
            record.plan = birth.plan;
            record.created = birth.at;
            record.nodes = 0;
        }
        if let Some(name) = self.name {
            record.name = name;
        }
        record.description = self.description;
        if let Some((minor, patch)) = self.version {
            (record.minor, record.patch) = (minor, patch);
        }
        if self.planes.is_some() || self.workers.is_some() {
            let (planes, workers) = (record.control_planes(), record.workers());
            let planes = self.planes.unwrap_or(planes);
            record.planes = Some(planes);
            record.nodes = planes + self.workers.unwrap_or(workers);
        }
        if self.status.is_some() {
            record.status = self.status;
        }
        if let (Some(work), Some(step)) = (self.work, step) {
            record.busy = Some((work.task, step));
            record.status = Some(work.task.meanwhile(record.legacy, step));
        }
        if let Some(changed) = self.changed {
            record.updated = changed;
        }
    }
}

impl Ledger {
    /// Ends the work whose time has come.
    fn settle(&mut self, clock: Timestamp, is_legacy: impl Fn(u64, &Life) -> bool) {
        let now = Instant::now();
        for (serial, life) in &mut self.lives {
            let Some(task) = life
                .work
                .as_ref()
                .filter(|work| work.step(now) == STEPS)
                .map(|work| work.task)
            else {
                continue;
            };
            life.work = None;
            life.changed = Some(clock);
            life.status = Some(match (task, is_legacy(*serial, life)) {
                // It is gone with the next call; whoever asked before sees it as it was.
                (Task::Destroy, true) => "Deleting",
                (Task::Destroy, false) => "deleting",
                (_, true) => "Provisioned",
                (_, false) => "ready",
            });
            if task == Task::Destroy {
                self.gone.push(*serial);
            }
        }
    }
}

impl Latitude {
    /// The vendor's clock.
    pub(super) fn clock(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap_or_default();
        let anchor = self.context.anchor;
        anchor.checked_add(passed).unwrap_or(anchor)
    }

    /// All that was written, as it is at this moment.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.settle(self.clock(), |serial, life| {
            let drawn = || self.drawn_legacy(serial);
            life.birth.as_ref().map_or_else(drawn, |birth| birth.legacy)
        });
        ledger
    }

    pub(super) fn life(&self, serial: u64) -> Option<Life> {
        self.ledger().lives.get(&serial).cloned()
    }

    /// What a cluster that was made is and keeps; drawn ones have it by their number.
    pub(super) fn birth(&self, serial: u64) -> Option<Birth> {
        self.ledger().lives.get(&serial)?.birth
    }

    /// Begins work on a cluster after `change` was put down.
    pub(super) fn begin(
        &self,
        serial: u64,
        task: Task,
        pace: Option<Duration>,
        change: impl FnOnce(&mut Life),
    ) {
        let clock = self.clock();
        let mut ledger = self.ledger();
        let life = ledger.lives.entry(serial).or_default();
        change(life);
        life.changed = Some(clock);
        life.work = Some(Work {
            task,
            pace,
            began: Instant::now(),
            steps: 0,
        });
    }

    /// Puts down a change that takes no work.
    pub(super) fn put_down(&self, serial: u64, change: impl FnOnce(&mut Life)) {
        let clock = self.clock();
        let mut ledger = self.ledger();
        let life = ledger.lives.entry(serial).or_default();
        change(life);
        life.changed = Some(clock);
    }

    /// Moves all work on by one step, and tells how much of it goes on.
    pub(super) fn step(&self) -> usize {
        let now = Instant::now();
        let mut ledger = self.ledger();
        for work in ledger
            .lives
            .values_mut()
            .filter_map(|life| life.work.as_mut())
        {
            work.steps = work.step(now) + 1;
        }
        drop(ledger);
        let ledger = self.ledger();
        ledger
            .lives
            .values()
            .filter(|life| life.work.is_some())
            .count()
    }

    /// Clusters that were destroyed since this was last asked.
    pub(super) fn take_gone(&self) -> Vec<u64> {
        std::mem::take(&mut self.ledger().gone)
    }
}
