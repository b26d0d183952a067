//! Counts what there is, now and then.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use super::{Hour, Hours};
use crate::inventory::shelf::Content;
use crate::inventory::{Freshness, Inventory, Snapshot};

/// How often it is looked whether there is something to count.
const PERIOD: Duration = Duration::from_secs(30);

/// Counts the inventory and has the counts kept, as long as it lives: what is kept of an hour is what there was within half a
/// minute of its end, or when the program ended.
pub struct HourWatch {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What was counted of a source last.
struct Counted {
    hour: Hour,
    state: Freshness,
    whole: bool,
    content: Weak<Content>,
}

impl HourWatch {
    /// Begins to count on the given runtime.
    pub fn start(inventory: Arc<Inventory>, hours: Arc<dyn Hours>, runtime: &Handle) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn_on(watch(inventory, hours, stop.clone()), runtime);
        tasks.close();
        Self { stop, tasks }
    }

    /// Counts once more and ends; waits for it at most so long.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            error!(
                grace_ms = grace.as_millis(),
                "the last hour could not be counted in time"
            );
        }
    }
}

impl Drop for HourWatch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn watch(inventory: Arc<Inventory>, hours: Arc<dyn Hours>, stop: CancellationToken) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Vec<Option<Counted>> = Vec::new();
    let mut is_failing = false;
    loop {
        let is_last = tokio::select! {
            () = stop.cancelled() => true,
            _ = ticks.tick() => false,
        };
        let snapshot = inventory.current();
        let hour = Hour::of(crate::inventory::now());
        let (counts, next) = {
            // A large fleet takes milliseconds to count, so it happens on a thread that serves nothing.
            let counted = tokio::task::spawn_blocking(move || {
                let counts = snapshot.counts(hour, |at| is_counted(&snapshot, at, hour, &known));
                let next = counted(&snapshot, hour);
                (counts, next, known)
            });
            match counted.await {
                Ok((counts, next, last)) => {
                    known = last;
                    (counts, next)
                }
                Err(failure) => {
                    error!(error = %failure, "the inventory could not be counted");
                    return;
                }
            }
        };
        if !counts.is_empty() {
            match hours.note(counts).await {
                Ok(()) => {
                    known = next;
                    is_failing = false;
                }
                // They are counted again next time.
                Err(error) if !is_failing => {
                    is_failing = true;
                    warn!(%error, "the counts of this hour could not be kept");
                }
                Err(_) => {}
            }
        }
        if is_last {
            return;
        }
    }
}

fn is_counted(snapshot: &Snapshot, at: usize, hour: Hour, known: &[Option<Counted>]) -> bool {
    let shelf = &snapshot.shelves[at];
    known.get(at).and_then(Option::as_ref).is_some_and(|last| {
        last.hour == hour
            && last.state == shelf.report.state
            && last.whole == (shelf.report.omitted == 0)
            && Weak::as_ptr(&last.content) == Arc::as_ptr(&shelf.content)
    })
}

fn counted(snapshot: &Snapshot, hour: Hour) -> Vec<Option<Counted>> {
    let shelves = snapshot.shelves.iter();
    shelves
        .map(|shelf| {
            let counted = || Counted {
                hour,
                state: shelf.report.state,
                whole: shelf.report.omitted == 0,
                content: Arc::downgrade(&shelf.content),
            };
            shelf.fetched_at.is_some().then(counted)
        })
        .collect()
}
