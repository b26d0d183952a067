//! One task for each source: woken by its period or an activation, under a deadline. No retry happens here: the next period
//! is the retry.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::facts::Interner;
use super::keeper::{Activation, Event, Message, Source};
use super::prepare::{Prepared, Preparing};
use super::replicas::{Desk, Sitting};
use super::shelf::{Detailed, Outcome};
use super::{Inventory, SourceReport};
use crate::domain::ClusterId;
use crate::provider::{Capability, ErrorKind, Listing, Locator, ProviderError, walk_into};
use crate::upstream::FailureKind;

const CIRCUIT_OPEN: ErrorKind = ErrorKind::Call(FailureKind::CircuitOpen);

/// Details are published together, at most so many and not sooner than this.
const BATCH: usize = 500;
const BATCH_TIME: Duration = Duration::from_secs(1);

/// Publishing builds a source's indexes again, so it waits this many times as long as it took the last time.
const BATCH_REST: u32 = 20;

/// How long a source that was taken over may have to wait for its turn.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// How a refresh ended, for the rhythm of the next.
struct Ended {
    /// When the next one is due.
    due: Instant,
    /// The vendor asked not to be called before.
    not_before: Instant,
    /// Whether the listing was read to its end.
    was_read: bool,
}

/// A detail that could not be read.
struct Failed {
    at: Instant,
    /// Whether the vendor failed, not the cluster.
    is_passing: bool,
}

/// What one round of details leaves for the next.
#[derive(Default)]
struct Details {
    failed: HashMap<ClusterId, Failed>,
    /// Read and not published yet.
    read: Vec<Detailed>,
}

/// Whether details of a source are read in the background: only where they say what the listing does not.
pub(super) fn has_details(source: &Source) -> bool {
    let capabilities = source.provider.capabilities();
    source.schedule.detail_interval.is_some()
        && capabilities.supports(Capability::Describe)
        && !capabilities.detail_only.is_empty()
}

/// The refresh task of one source.
pub(super) struct Task {
    pub(super) at: usize,
    pub(super) source: Source,
    pub(super) inventory: Arc<Inventory>,
    pub(super) mail: mpsc::Sender<Message>,
    pub(super) activation: Arc<Activation>,
    pub(super) texts: Arc<Mutex<Interner>>,
    /// Where other gateways may read the source as well: the place from which one of them does.
    pub(super) desk: Option<Arc<Desk>>,
}

impl Task {
    /// Refreshes until it is stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.refresh_for_ever() => {}
        }
    }

    async fn refresh_for_ever(self) {
        let Some(desk) = &self.desk else {
            return self.refresh_soundly(None).await;
        };
        loop {
            let sitting = desk.sit().await;
            tokio::select! {
                biased;
                // What is under way ends where it is: another gateway may be reading the source by now.
                () = sitting.ended() => {}
                () = self.refresh_soundly(Some(&sitting)) => {}
            }
            // What was asked for meanwhile and not begun is for whoever reads the source next.
            if self.activation.pending.load(Ordering::Acquire) {
                desk.want();
            }
        }
    }

    /// Refreshes for ever, or until the lease is to be given back; also where it fails in a way that nobody has thought of. A source
    /// whose answers have it fail is not left to the other gateways, one after the other.
    async fn refresh_soundly(&self, sitting: Option<&Sitting>) {
        loop {
            let refreshing = AssertUnwindSafe(self.refresh_while(sitting));
            if refreshing.catch_unwind().await.is_ok() {
                return;
            }
            error!(source.name = %self.source.name, "the task that reads a source failed; it begins anew");
            let closing = async {
                match sitting {
                    None => std::future::pending().await,
                    Some(sitting) => sitting.closing().await,
                }
            };
            tokio::select! {
                () = sleep(self.source.schedule.refresh_interval) => {}
                () = closing => return,
            }
        }
    }

    /// Refreshes for ever, or until the lease is to be given back.
    async fn refresh_while(&self, sitting: Option<&Sitting>) {
        let mut wanted = self.activation.wanted.subscribe();
        let mut memory = Details::default();
        let (mut last, mut spent) = (None, 0);
        if let Some(sitting) = sitting {
            last = Some(self.taken_over(sitting).await);
        }
        loop {
            if let Some(ended) = last.take()
                && self
                    .rest(&ended, spent, &mut memory, &mut wanted, sitting)
                    .await
            {
                self.publish(Event::Detailed(std::mem::take(&mut memory.read)), sitting)
                    .await;
                return;
            }
            // A due refresh interrupts the details; what was read of them is not lost.
            self.publish(Event::Detailed(std::mem::take(&mut memory.read)), sitting)
                .await;
            wanted.mark_unchanged();
            self.activation.pending.store(false, Ordering::Release);
            let before = self.source.stack.vitals().requests;
            last = Some(self.refresh(sitting).await);
            spent = self.source.stack.vitals().requests.saturating_sub(before);
        }
    }

    /// Goes on where the gateway that had the source before has stopped: to take over costs the vendor no call.
    async fn taken_over(&self, sitting: &Sitting) -> Ended {
        let mut generations = self.inventory.subscribe();
        // The sender lives as long as the inventory.
        let _ = generations
            .wait_for(|generation| *generation >= sitting.lease.from)
            .await;
        let report = SourceReport::clone(&self.inventory.current().shelf(&self.source.name).report);
        let now = Instant::now();
        let wait = report
            .next_attempt_at
            .map(|at| at.duration_since(super::now()))
            .and_then(|wait| Duration::try_from(wait).ok());
        let is_wanted = self.activation.pending.load(Ordering::Acquire);
        // A clock that was set must not keep a source from being read for ever.
        let wait = wait.filter(|_| !is_wanted).unwrap_or_default();
        Ended {
            due: now + wait.min(LONGEST_WAIT),
            not_before: now,
            was_read: report.error.is_none() && report.fetched_at.is_some(),
        }
    }

    /// Waits until the next refresh is due, and reads details meanwhile; `true` where the lease is to be given back before.
    async fn rest(
        &self,
        ended: &Ended,
        spent: u64,
        memory: &mut Details,
        wanted: &mut watch::Receiver<()>,
        sitting: Option<&Sitting>,
    ) -> bool {
        let details = async {
            if ended.was_read && has_details(&self.source) {
                self.describe(spent, memory, sitting).await;
            }
            match sitting {
                None => std::future::pending().await,
                Some(sitting) => sitting.closing().await,
            }
        };
        let activated = async {
            // The sender lives as long as this task.
            let _ = wanted.changed().await;
            sleep_until(ended.not_before).await;
        };
        tokio::select! {
            biased;
            () = sleep_until(ended.due) => false,
            () = activated => false,
            () = details => true,
        }
    }

    /// Reads the listing once and has it published.
    async fn refresh(&self, sitting: Option<&Sitting>) -> Ended {
        let schedule = &self.source.schedule;
        let (started, started_at) = (Instant::now(), super::now());
        // What others learn of this source's clusters while its list is read is held against the list.
        let snapshot = self.inventory.current();
        let based_on = snapshot.generation;
        let mut preparing = Preparing {
            shelf: snapshot.shelf(&self.source.name),
            texts: Arc::clone(&self.texts),
            now: started_at,
        };
        drop(snapshot);
        let walked = timeout(
            schedule.refresh_deadline,
            walk_into(
                self.source.provider.as_ref(),
                schedule.limits,
                &mut preparing,
            ),
        )
        .await;
        let took = started.elapsed();
        let (result, wait) = match walked {
            Ok(Ok(listing)) => (Ok(listing), None),
            Ok(Err(failure)) => {
                let wait = failure.error.wait();
                self.log_failure(&failure.error, took);
                (Err((failure.error.kind, failure.pages)), wait)
            }
            Err(_) => {
                let error = ProviderError::new(ErrorKind::Deadline, "refresh");
                self.log_failure(&error, took);
                (Err((ErrorKind::Deadline, 0)), None)
            }
        };
        if let Ok(listing) = &result {
            self.log_success(listing, took);
        }
        let was_read = result.is_ok();
        // A vendor that asks to wait is not asked before; otherwise the rhythm is the same in good and bad times.
        let not_before = Instant::now() + wait.unwrap_or_default();
        let is_refused = matches!(&result, Err((kind, _)) if *kind == CIRCUIT_OPEN);
        let due = match wait {
            // Nobody was asked: the rhythm begins with the first call that is let through.
            Some(_) if is_refused => not_before,
            Some(_) | None => not_before.max(started + schedule.refresh_interval),
        };
        let until_due = due.saturating_duration_since(Instant::now());
        let next_attempt_at = super::now().checked_add(until_due).ok();
        let outcome = Outcome {
            started_at,
            based_on,
            took,
            result,
            next_attempt_at,
        };
        self.publish(Event::Refreshed(outcome), sitting).await;
        Ended {
            due,
            not_before,
            was_read,
        }
    }

    /// Describes clusters, the most urgent first, as far as the source's rate leaves room beside the next listing.
    async fn describe(
        &self,
        spent_on_listing: u64,
        memory: &mut Details,
        sitting: Option<&Sitting>,
    ) {
        let Some(detail_interval) = self.source.schedule.detail_interval else {
            return;
        };
        let budget = self.detail_budget(spent_on_listing);
        let before = self.source.stack.vitals().requests;
        let Details { failed, read } = memory;
        failed.retain(|_, failed| failed.at.elapsed() < detail_interval);
        let older_than = super::now()
            .checked_sub(detail_interval)
            .unwrap_or(Timestamp::MIN);
        let wanting = self
            .inventory
            .current()
            .wanting_detail(&self.source.name, older_than);
        // What the vendor could not read lately comes last, so that it does not keep the others from being read.
        let (again, mut wanting): (Vec<_>, Vec<_>) = wanting
            .into_iter()
            .filter(|(id, _)| failed.get(id).is_none_or(|failed| failed.is_passing))
            .partition(|(id, _)| failed.contains_key(id));
        wanting.extend(again);
        let mut since = Instant::now();
        let mut rest = BATCH_TIME;
        for (id, locator) in wanting {
            if self.source.stack.vitals().requests.saturating_sub(before) >= budget
                || sitting.is_some_and(Sitting::is_closing)
            {
                break;
            }
            match self.describe_one(&id, &locator).await {
                Ok(detailed) => {
                    failed.remove(&id);
                    read.push(detailed);
                }
                Err(error) => {
                    let is_passing = error.kind.is_retryable();
                    let at = Instant::now();
                    failed.insert(id, Failed { at, is_passing });
                    if is_passing {
                        // The vendor fails, not the cluster: the next listing tells whether it is back.
                        break;
                    }
                }
            }
            if read.len() >= BATCH || since.elapsed() >= rest {
                let began = Instant::now();
                self.publish(Event::Detailed(std::mem::take(read)), sitting)
                    .await;
                since = Instant::now();
                rest = BATCH_TIME.max((since - began) * BATCH_REST);
            }
        }
        self.publish(Event::Detailed(std::mem::take(read)), sitting)
            .await;
    }

    async fn describe_one(
        &self,
        id: &ClusterId,
        locator: &Locator,
    ) -> Result<Detailed, ProviderError> {
        let based_on = self.inventory.current().generation;
        match self.source.provider.describe(locator).await {
            Ok(described) => Ok(Detailed {
                id: id.clone(),
                described,
                at: super::now(),
                based_on,
            }),
            Err(error) => {
                debug!(source.name = %self.source.name, cluster.id = %id, error.code = error.kind.code(), "detail not read");
                Err(error)
            }
        }
    }

    /// Requests that details may cost until the next listing, which needs about as many as the last one did.
    fn detail_budget(&self, spent_on_listing: u64) -> u64 {
        let schedule = &self.source.schedule;
        let Some(rate) = schedule.rate else {
            return u64::MAX;
        };
        let periods = schedule.refresh_interval.as_secs_f64() / rate.per.as_secs_f64().max(0.001);
        let allowed = (f64::from(rate.calls) * periods * 0.9).clamp(0.0, 1e9);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to a range that fits"
        )]
        let allowed = allowed as u64;
        allowed.saturating_sub(spent_on_listing).max(1)
    }

    async fn publish(&self, event: Event, sitting: Option<&Sitting>) {
        if matches!(&event, Event::Detailed(batch) if batch.is_empty()) {
            return;
        }
        let (published, told) = oneshot::channel();
        if self
            .mail
            .send(Message {
                source: self.at,
                event,
                fence: sitting.map(|sitting| sitting.lease.token),
                published,
            })
            .await
            .is_ok()
        {
            // The writer drops the sender only when it stops, and then this task stops too.
            let _ = told.await;
        }
    }

    fn log_success(&self, listing: &Listing<Prepared>, took: Duration) {
        info!(
            source.name = %self.source.name,
            clusters.count = listing.clusters.len(),
            items.rejected = listing.rejected.len(),
            values.nulled = listing.warnings.total(),
            pages.count = listing.pages,
            duration_ms = took.as_millis(),
            "source refreshed"
        );
    }

    fn log_failure(&self, error: &ProviderError, took: Duration) {
        let upstream = error.source.as_ref();
        warn!(
            source.name = %self.source.name,
            error.code = error.kind.code(),
            error.operation = error.operation,
            error.detail = error.detail.as_deref(),
            upstream.status = upstream.and_then(|upstream| upstream.status).map(|status| status.as_u16()),
            upstream.code = upstream.and_then(|upstream| upstream.code.as_deref()),
            upstream.text = upstream.and_then(|upstream| upstream.text.as_deref()),
            upstream.attempts = upstream.map(|upstream| upstream.attempts),
            duration_ms = took.as_millis(),
            "source not refreshed"
        );
    }
}
