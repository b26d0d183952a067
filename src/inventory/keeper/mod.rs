//! The one writer: takes outcomes, publishes generations, owns the tasks and stops them in order.

mod attempt;
mod census;
mod hall;
mod making;
mod together;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

use super::batch::Batch;
use super::begin::{Begin, begin};
use super::change::Cause;
use super::facts::Interner;
use super::journal::{Forgetful, Journal, Publication, Restored};
use super::links::Links;
use super::refresh;
use super::replicas::{Commons, Desk, Newer};
use super::shelf::{Detailed, Outcome, Shelf};
use super::shown::Shown;
use super::{Inventory, Requested, Snapshot, SourceReport};
use crate::domain::SourceName;
use crate::provider::{Limits, Provider};
use crate::upstream::{Rate, Stack, Vitals};
use hall::Seat;
use making::{Making, Step};
use together::Together;

/// When and how far a source is read.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// From the start of one refresh to the start of the next.
    pub refresh_interval: Duration,
    /// Longest time for one refresh.
    pub refresh_deadline: Duration,
    /// Age after which clusters count as stale even if nothing failed.
    pub staleness_limit: Duration,
    /// Age after which a cluster's detail is read again; `None` reads no details.
    pub detail_interval: Option<Duration>,
    /// Bounds of one listing.
    pub limits: Limits,
    /// The source's rate, of which details take what the listing leaves.
    pub rate: Option<Rate>,
}

/// One source, ready to be read.
#[derive(Clone)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// What reads it.
    pub provider: Arc<dyn Provider>,
    /// The provider's way to its vendor, for its vitals.
    pub stack: Stack,
    /// When it is read.
    pub schedule: Schedule,
}

/// How long a call waits for what it has shown to be published, where several gateways share the inventory.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a refresh task has found, or another call.
#[derive(Clone)]
pub(super) enum Event {
    Refreshed(Outcome),
    Detailed(Vec<Detailed>),
    Changed(Shown),
}

/// An event and whom to tell when it is published.
pub(super) struct Message {
    pub(super) source: usize,
    pub(super) event: Event,
    /// The lease under which it was found, where it has to hold still.
    pub(super) fence: Option<u64>,
    pub(super) published: oneshot::Sender<()>,
}

/// What the keeper and one refresh task share.
#[derive(Debug)]
pub(super) struct Activation {
    pub(super) wanted: watch::Sender<()>,
    pub(super) pending: AtomicBool,
}

/// Owns the writer and the refresh tasks.
pub struct Keeper {
    sources: HashMap<SourceName, Known>,
    mail: mpsc::Sender<Message>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// How long a call waits for what it has shown to be published; `None` where the journal decides.
    patience: Option<Duration>,
    /// Whether the writer ended before it was asked to.
    has_failed: Arc<AtomicBool>,
}

/// Says so when the writer ends before it was asked to.
struct Ending {
    has_failed: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.stop.is_cancelled() {
            error!(
                "nothing is published any more; the gateway is not ready, and has to be started anew"
            );
            self.has_failed.store(true, Ordering::Release);
        }
    }
}

struct Known {
    at: usize,
    source: Source,
    activation: Arc<Activation>,
    /// The place from which it is read, where other gateways may read it as well.
    desk: Option<Arc<Desk>>,
}

/// A source of which nothing is known yet.
fn empty(source: &Source, next_attempt_at: Option<Timestamp>) -> Shelf {
    let report = SourceReport {
        next_attempt_at,
        ..SourceReport::new(
            source.name.clone(),
            source.provider.kind(),
            source.schedule.refresh_interval,
        )
    };
    let links = Links::of(source.provider.capabilities());
    Shelf::new(report, source.schedule.staleness_limit).with_links(links)
}

impl Keeper {
    /// Publishes the first, empty generation and starts a task for each source on the given runtime. Every source is asked
    /// for its listing at once.
    pub fn start(sources: Vec<Source>, runtime: &Handle) -> (Arc<Inventory>, Self) {
        Self::resume(sources, Restored::default(), Arc::new(Forgetful), runtime)
    }

    /// Does the same with what an earlier process has left, and hands each publication to a journal before readers see it.
    pub fn resume(
        sources: Vec<Source>,
        restored: Restored,
        journal: Arc<dyn Journal>,
        runtime: &Handle,
    ) -> (Arc<Inventory>, Self) {
        let now = super::now();
        let empty = sources.iter().map(|source| empty(source, Some(now)));
        // Milliseconds since 1970 count up faster than publications do, so generations grow across restarts.
        let generation = u64::try_from(now.as_millisecond())
            .unwrap_or_default()
            .max(restored.generation + 1);
        let Begin {
            shelves,
            texts,
            first,
        } = begin(empty.collect(), restored, generation, now);
        let inventory = Arc::new(Inventory::new(Snapshot::new(
            generation,
            now,
            shelves.clone(),
        )));

        let has_details = sources.iter().map(refresh::has_details).collect();
        let (mut keeper, inbox) = Self::over(sources, &inventory, &texts, None, runtime);
        let writer = Writer {
            has_details,
            texts,
            shelves,
            generation,
            as_of: now,
            journal,
            inventory: Arc::clone(&inventory),
        };
        keeper.begin(writer.run(first, inbox, keeper.stop.clone()), runtime);
        (inventory, keeper)
    }

    /// Does so as one of several gateways that share an inventory. Given is what there was when it joined them; where it could not
    /// yet, nothing is known and nothing read before it can.
    pub fn join(
        sources: Vec<Source>,
        first: Option<Newer>,
        commons: Arc<dyn Commons>,
        runtime: &Handle,
    ) -> (Arc<Inventory>, Self) {
        let shelves: Vec<_> = sources
            .iter()
            .map(|source| Arc::new(empty(source, None)))
            .collect();
        let texts: Vec<Arc<Mutex<Interner>>> = sources.iter().map(|_| Arc::default()).collect();
        let now = super::now();
        let inventory = Arc::new(Inventory::new(Snapshot::new(0, now, shelves.clone())));
        let has_details = sources.iter().map(refresh::has_details).collect();
        let names: Vec<SourceName> = sources.iter().map(|source| source.name.clone()).collect();
        let (mut keeper, inbox) = Self::over(sources, &inventory, &texts, Some(&commons), runtime);
        keeper.patience = Some(PATIENCE);
        let writer = Writer {
            has_details,
            texts,
            shelves,
            generation: 0,
            as_of: now,
            journal: Arc::new(Forgetful),
            inventory: Arc::clone(&inventory),
        };
        let seats = names.into_iter().filter_map(|name| {
            let known = keeper.sources.get(&name)?;
            Some(Seat {
                name,
                desk: Arc::clone(known.desk.as_ref()?),
                activation: Arc::clone(&known.activation),
            })
        });
        let together = Together::new(commons, seats.collect(), writer, first);
        keeper.begin(together.run(inbox, keeper.stop.clone()), runtime);
        (inventory, keeper)
    }

    /// Starts a task for each source.
    fn over(
        sources: Vec<Source>,
        inventory: &Arc<Inventory>,
        texts: &[Arc<Mutex<Interner>>],
        commons: Option<&Arc<dyn Commons>>,
        runtime: &Handle,
    ) -> (Self, mpsc::Receiver<Message>) {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (mail, inbox) = mpsc::channel(64);
        let mut known = HashMap::new();
        for (at, source) in sources.into_iter().enumerate() {
            let desk = commons.and_then(|commons| commons.desk(&source.name));
            let activation = Arc::new(Activation {
                wanted: watch::Sender::new(()),
                // A source that others may have read is read when it is due.
                pending: AtomicBool::new(desk.is_none()),
            });
            if let Some(desk) = &desk {
                desk.equip(source.stack.clone(), Arc::clone(&activation));
            }
            known.insert(
                source.name.clone(),
                Known {
                    at,
                    source: source.clone(),
                    activation: Arc::clone(&activation),
                    desk: desk.clone(),
                },
            );
            let task = refresh::Task {
                at,
                source,
                inventory: Arc::clone(inventory),
                mail: mail.clone(),
                activation,
                texts: Arc::clone(&texts[at]),
                desk,
            };
            tasks.spawn_on(task.run(stop.clone()), runtime);
        }
        let keeper = Self {
            sources: known,
            mail,
            stop,
            tasks,
            patience: None,
            has_failed: Arc::default(),
        };
        (keeper, inbox)
    }

    /// Starts the writer.
    fn begin(&mut self, writer: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        let ending = Ending {
            has_failed: Arc::clone(&self.has_failed),
            stop: self.stop.clone(),
        };
        let writer = async move {
            let _ending = ending;
            writer.await;
        };
        self.tasks.spawn_on(writer, runtime);
        self.tasks.close();
    }

    /// Takes what a call has shown of one cluster. Done when readers see it, or when nobody publishes any more.
    pub fn record(
        &self,
        source: &SourceName,
        change: Shown,
    ) -> impl Future<Output = ()> + Send + use<> {
        let message = self.sources.get(source).map(|known| {
            let (published, told) = oneshot::channel();
            let message = Message {
                source: known.at,
                event: Event::Changed(change),
                fence: None,
                published,
            };
            (message, told)
        });
        let (mail, patience) = (self.mail.clone(), self.patience);
        async move {
            let Some((message, told)) = message else {
                return;
            };
            let publishing = async {
                if mail.send(message).await.is_ok() {
                    // The writer drops the sender only when it stops.
                    let _ = told.await;
                }
            };
            match patience {
                None => publishing.await,
                // It goes on waiting; whoever has shown it does not.
                Some(patience) => {
                    let _ = tokio::time::timeout(patience, publishing).await;
                }
            }
        }
    }

    /// Hands a message to the writer, as a task does.
    #[cfg(test)]
    pub(super) async fn hand(&self, message: Message) {
        assert!(self.mail.send(message).await.is_ok());
    }

    /// Asks every task to end and waits for it, at most so long.
    pub async fn stop(&self, grace: Duration) {
        self.stop.cancel();
        if tokio::time::timeout(grace, self.tasks.wait())
            .await
            .is_err()
        {
            error!(
                grace_ms = grace.as_millis(),
                "refresh tasks did not end in time"
            );
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl super::Control for Keeper {
    fn refresh(&self, source: &SourceName) -> Option<Requested> {
        let Known {
            source,
            activation,
            desk,
            ..
        } = self.sources.get(source)?;
        let joined = activation.pending.swap(true, Ordering::AcqRel);
        if let Some(desk) = desk.as_ref().filter(|desk| !desk.is_at_work()) {
            // Another gateway reads it or is about to, and learns of it.
            desk.want();
            let not_before = desk.told().and_then(|vitals| vitals.not_before);
            return Some(Requested { joined, not_before });
        }
        activation.wanted.send_replace(());
        Some(Requested {
            joined,
            not_before: source.stack.vitals().not_before,
        })
    }

    fn vitals(&self, source: &SourceName) -> Option<Vitals> {
        let Known { source, desk, .. } = self.sources.get(source)?;
        match desk {
            Some(desk) if desk.lease().is_none() => desk.told(),
            _ => Some(source.stack.vitals()),
        }
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    fn own_vitals(&self, source: &SourceName) -> Option<Vitals> {
        let known = self.sources.get(source)?;
        Some(known.source.stack.vitals())
    }
}

/// The state of the one writer.
#[derive(Clone)]
struct Writer {
    shelves: Vec<Arc<Shelf>>,
    /// One for each source, shared with its task, which prepares rows.
    texts: Vec<Arc<Mutex<Interner>>>,
    has_details: Vec<bool>,
    generation: u64,
    /// When that was published.
    as_of: Timestamp,
    journal: Arc<dyn Journal>,
    inventory: Arc<Inventory>,
}

/// A generation that is ready to be published.
struct Ready {
    publication: Publication,
    noise: Option<Arc<Batch>>,
    snapshot: Snapshot,
}

impl Writer {
    async fn run(
        mut self,
        first: Publication,
        mut inbox: mpsc::Receiver<Message>,
        stop: CancellationToken,
    ) {
        let mut ages = tokio::time::interval(Duration::from_secs(1));
        ages.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.journal.publish(first).await;
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                message = inbox.recv() => message,
                _ = ages.tick() => {
                    if let Some(ready) = self.look_at_ages() {
                        self.publish(ready).await;
                    }
                    continue;
                }
            };
            let Some(first) = first else { return };
            let mut messages = vec![first];
            while let Ok(message) = inbox.try_recv() {
                messages.push(message);
            }
            // Building orders and filters takes long for large sources, so it happens on a thread that serves nothing.
            let built = tokio::task::spawn_blocking(move || {
                let (ready, told) = self.take(messages);
                (self, ready, told)
            });
            match built.await {
                Ok((writer, ready, told)) => {
                    self = writer;
                    self.publish(ready).await;
                    for published in told {
                        // A task that no longer waits has been stopped.
                        let _ = published.send(());
                    }
                }
                Err(failure) => {
                    error!(error = %failure, "the writer failed; the inventory stays as it is");
                    return;
                }
            }
        }
    }

    /// Makes one generation of messages.
    fn take(&mut self, messages: Vec<Message>) -> (Ready, Vec<oneshot::Sender<()>>) {
        let mut told = Vec::with_capacity(messages.len());
        let mut making = Making::default();
        for message in messages {
            self.add(&mut making, message.source, message.event);
            told.push(message.published);
        }
        self.inventory.sweep();
        (self.make(making, super::now()), told)
    }

    fn add(&mut self, making: &mut Making, source: usize, event: Event) {
        let step = self.step(source, event);
        making.add(&mut self.shelves, step);
        texts(&self.texts[source]).sweep();
    }

    fn step(&self, source: usize, event: Event) -> Step {
        let shelf = &self.shelves[source];
        let mut texts = texts(&self.texts[source]);
        let (cause, attempted, next) = match event {
            Event::Refreshed(outcome) => {
                let cause = if outcome.result.is_ok() {
                    Cause::Vendor
                } else {
                    Cause::Outage
                };
                let next = shelf.after(outcome, self.has_details[source]);
                (cause, true, next)
            }
            Event::Detailed(details) => (Cause::Vendor, false, shelf.detailed(details, &mut texts)),
            Event::Changed(shown) => {
                let cause = shown.cause();
                let next = shelf.changed(
                    shown,
                    super::now(),
                    self.generation + 1,
                    self.has_details[source],
                    &mut texts,
                );
                (cause, false, next)
            }
        };
        Step {
            source,
            cause,
            attempted,
            next,
        }
    }

    fn look_at_ages(&mut self) -> Option<Ready> {
        self.inventory.sweep();
        let now = super::now();
        let mut making = Making::default();
        let all: Vec<usize> = (0..self.shelves.len()).collect();
        self.age(&mut making, &all, now);
        (!making.deltas.is_empty()).then(|| self.make(making, now))
    }

    /// Looks at the ages of some sources again.
    fn age(&mut self, making: &mut Making, sources: &[usize], now: Timestamp) {
        for &source in sources {
            if let Some(next) = self.shelves[source].aged(now) {
                info!(source.name = %next.report.name, overdue = next.overdue, "the age of a source's clusters changed its state");
                let step = Step {
                    source,
                    cause: Cause::Outage,
                    attempted: false,
                    next,
                };
                making.add(&mut self.shelves, step);
            }
        }
    }

    fn make(&mut self, making: Making, at: Timestamp) -> Ready {
        self.generation += 1;
        self.as_of = at;
        let generation = self.generation;
        let batch = |changes| Batch::new(generation, at, changes).map(Arc::new);
        Ready {
            publication: Publication {
                generation,
                at,
                deltas: making.deltas.into_values().collect(),
                batch: batch(making.changes),
            },
            noise: batch(making.noise),
            snapshot: Snapshot::new(generation, at, self.shelves.clone()),
        }
    }

    /// Has a generation kept, then shows it. Whoever hears of it finds its changes.
    async fn publish(&self, ready: Ready) {
        let batch = ready.publication.batch.clone();
        self.journal.publish(ready.publication).await;
        self.inventory.feed().push(batch, ready.noise);
        self.inventory.publish(ready.snapshot);
    }
}

fn texts(shared: &Mutex<Interner>) -> MutexGuard<'_, Interner> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod testing;
