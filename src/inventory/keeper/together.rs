//! The writer of one of several gateways that share an inventory: what others publish it takes over, and what it publishes itself
//! is made on top of that.
//!
//! Where what they share is away, readers are served what there is, and no generation is made by anybody. Only the age of what is
//! shown goes on: a source that gets too old meanwhile is shown as stale here, without another generation.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Interval, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::super::batch::Batch;
use super::super::change::Change;
use super::super::diff::difference;
use super::super::past;
use super::super::replicas::{Away, Begun, Commons, Desk, Newer, Turn};
use super::super::shelf::Shelf;
use super::{Activation, Event, Making, Message, Ready, Snapshot, Writer, texts};
use crate::domain::{ClusterId, SourceName};

/// How often it is looked whether there is something newer, or whether what is shared is back, where nobody tells.
const LOOK: Duration = Duration::from_secs(2);
/// What calls have shown and could not be published yet, at most.
const MOST: usize = 1_000;
/// How long an attempt that is under way may take at the end.
const LAST: Duration = Duration::from_secs(2);

/// A source as this gateway takes part in it.
pub(super) struct Seat {
    pub(super) name: SourceName,
    pub(super) desk: Arc<Desk>,
    pub(super) activation: Arc<Activation>,
}

/// What waits to be published.
struct Waiting {
    source: usize,
    event: Event,
    fence: Option<u64>,
    published: Option<oneshot::Sender<()>>,
    /// The last generation that was tried with it, of which nobody knows whether it is durable.
    tried: Option<u64>,
}

/// The writer of one of several gateways.
pub(super) struct Together {
    hall: Arc<Hall>,
    waiting: VecDeque<Waiting>,
    writer: Option<Writer>,
    is_joined: bool,
    is_away: bool,
    /// The shelves as they are shown, where that is not as they were published.
    local: Option<Vec<Arc<Shelf>>>,
    is_loss_told: bool,
}

/// What does not change.
struct Hall {
    commons: Arc<dyn Commons>,
    seats: Vec<Seat>,
    places: HashMap<SourceName, usize>,
}

/// Why the writer cannot go on.
struct Broken(tokio::task::JoinError);

impl Together {
    pub(super) fn new(
        commons: Arc<dyn Commons>,
        seats: Vec<Seat>,
        mut writer: Writer,
        first: Option<Newer>,
    ) -> Self {
        let places = seats.iter().enumerate();
        let places = places.map(|(at, seat)| (seat.name.clone(), at)).collect();
        let hall = Hall {
            commons,
            seats,
            places,
        };
        let is_joined = first.is_some();
        if let Some(first) = first {
            hall.take_over(&mut writer, first).show(&writer);
            hall.commons.note(writer.generation, 0);
        }
        Self {
            hall: Arc::new(hall),
            waiting: VecDeque::new(),
            writer: Some(writer),
            is_joined,
            is_away: false,
            local: None,
            is_loss_told: false,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>, stop: CancellationToken) {
        let mut ages = every(Duration::from_secs(1));
        let mut looks = every(LOOK);
        let mut news = self.hall.commons.news();
        let walked = self
            .writer
            .as_ref()
            .map(|writer| writer.inventory.walked.subscribe());
        let Some(mut walked) = walked else { return };
        loop {
            let mut is_due = true;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                message = inbox.recv() => {
                    let Some(message) = message else { return };
                    self.wait(message);
                    while let Ok(message) = inbox.try_recv() {
                        self.wait(message);
                    }
                    // What is away is asked when it is looked for, not whenever something happens.
                    is_due = !self.is_away;
                }
                // The sender lives as long as what is shared.
                _ = news.changed() => {
                    for generation in self.hall.commons.kept() {
                        if let Some(writer) = &self.writer {
                            writer.inventory.retain_at(generation);
                        }
                    }
                }
                // The sender lives as long as the inventory.
                _ = walked.changed() => {
                    self.hall.commons.keep(*walked.borrow_and_update());
                    is_due = false;
                }
                _ = looks.tick() => {}
                _ = ages.tick() => {
                    self.look_at_ages();
                    is_due = !self.is_away && !self.aging().is_empty();
                }
            }
            if !is_due {
                continue;
            }
            if let Err(Broken(failure)) = self.step(&mut inbox, &stop).await {
                error!(error = %failure, "the writer failed; the inventory stays as it is");
                return;
            }
            if stop.is_cancelled() {
                return;
            }
        }
    }

    fn wait(&mut self, message: Message) {
        // What was found under an earlier lease is refused anyway.
        if message.fence.is_some() {
            self.waiting.retain(|known| {
                known.source != message.source
                    || known.fence.is_none()
                    || known.fence == message.fence
            });
        }
        self.waiting.push_back(Waiting {
            source: message.source,
            event: message.event,
            fence: message.fence,
            published: Some(message.published),
            tried: None,
        });
        while self.waiting.len() > MOST {
            self.waiting.pop_front();
            if !std::mem::replace(&mut self.is_loss_told, true) {
                error!(
                    "too much waits to be published; the oldest of it is forgotten, and the next listing shows it"
                );
            }
        }
    }

    /// Sources that are read from here whose age changes their state.
    fn aging(&self) -> Vec<(usize, u64)> {
        let Some(writer) = self.writer.as_ref().filter(|_| self.is_joined) else {
            return Vec::new();
        };
        let now = super::super::now();
        let seats = self.hall.seats.iter().enumerate();
        seats
            .filter_map(|(at, seat)| Some((at, seat.desk.lease()?.token)))
            .filter(|(at, _)| writer.shelves[*at].aged(now).is_some())
            .collect()
    }

    /// Does what there is to be done, and takes in what comes meanwhile.
    async fn step(
        &mut self,
        inbox: &mut mpsc::Receiver<Message>,
        stop: &CancellationToken,
    ) -> Result<(), Broken> {
        // Looked at before it is known what others have published; a source that was read since is not aged.
        let ages = self.aging();
        let Some(writer) = self.writer.take() else {
            return Ok(());
        };
        let generation = writer.generation;
        let attempt = Attempt {
            hall: Arc::clone(&self.hall),
            is_joined: self.is_joined,
            writer,
            waiting: std::mem::take(&mut self.waiting).into(),
            ages,
        };
        let making = attempt.run();
        tokio::pin!(making);
        let (attempt, result) = loop {
            tokio::select! {
                biased;
                made = &mut making => break made?,
                message = inbox.recv(), if self.waiting.len() < MOST => match message {
                    Some(message) => self.wait(message),
                    None => break making.await?,
                },
                () = stop.cancelled() => match timeout(LAST, &mut making).await {
                    Ok(made) => break made?,
                    Err(_) => return Ok(()),
                },
            }
        };
        let Attempt {
            writer,
            waiting,
            is_joined,
            ..
        } = attempt;
        for one in waiting.into_iter().rev() {
            self.waiting.push_front(one);
        }
        self.is_joined = is_joined;
        self.is_away = result.is_err();
        if result.is_ok() {
            self.is_loss_told = false;
            if self.local.take().is_some() && writer.generation == generation {
                let (at, shelves) = (writer.as_of, writer.shelves.clone());
                let shown = Snapshot::new(writer.generation, at, shelves);
                writer.inventory.publish(shown);
            }
        }
        self.hall
            .commons
            .note(writer.generation, self.waiting.len());
        writer.inventory.sweep();
        self.writer = Some(writer);
        Ok(())
    }

    /// Shows the age of what is shown while no generation can be made.
    fn look_at_ages(&mut self) {
        let Some(writer) = self
            .writer
            .as_ref()
            .filter(|_| self.is_away && self.is_joined)
        else {
            return;
        };
        let now = super::super::now();
        let mut shelves = self.local.clone().unwrap_or_else(|| writer.shelves.clone());
        let mut is_other = false;
        for shelf in &mut shelves {
            if let Some(aged) = shelf.aged(now) {
                warn!(source.name = %aged.report.name, overdue = aged.overdue, "the age of a source's clusters changed its state, which nobody can publish");
                *shelf = Arc::new(aged);
                is_other = true;
            }
        }
        if is_other {
            let mut shown = Snapshot::new(writer.generation, now, shelves.clone());
            shown.variant = u64::try_from(now.as_millisecond()).unwrap_or(1);
            writer.inventory.publish(shown);
            self.local = Some(shelves);
        }
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

/// One attempt to publish what waits, or else to take over what others have published.
struct Attempt {
    hall: Arc<Hall>,
    is_joined: bool,
    writer: Writer,
    waiting: Vec<Waiting>,
    /// Sources whose age is to be looked at, and their leases.
    ages: Vec<(usize, u64)>,
}

impl Attempt {
    async fn run(mut self) -> Result<(Self, Result<(), Away>), Broken> {
        let commons = Arc::clone(&self.hall.commons);
        if !self.is_joined {
            match commons.join().await {
                Ok(first) => {
                    self.take_over(first).await?;
                    self.is_joined = true;
                }
                Err(away) => return Ok((self, Err(away))),
            }
        }
        if self.waiting.is_empty() && self.ages.is_empty() {
            return match commons.newer(self.writer.generation).await {
                Ok(None) => Ok((self, Ok(()))),
                Ok(Some(newer)) => {
                    self.take_over(newer).await?;
                    Ok((self, Ok(())))
                }
                Err(away) => Ok((self, Err(away))),
            };
        }
        let begun = match commons.begin(self.writer.generation).await {
            Ok(begun) => begun,
            Err(away) => return Ok((self, Err(away))),
        };
        let result = self.turn(begun).await?;
        Ok((self, result))
    }

    /// Takes over what others have published.
    async fn take_over(&mut self, newer: Newer) -> Result<(), Broken> {
        let hall = Arc::clone(&self.hall);
        let shown = self.blocking(move |writer| hall.take_over(writer, newer));
        shown.await?.show(&self.writer);
        Ok(())
    }

    /// Works on the writer on a thread that serves nothing: to build orders and filters takes long for large sources.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<T, Broken> {
        let mut writer = self.writer.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut writer);
            (writer, done)
        });
        let (writer, done) = done.await.map_err(Broken)?;
        self.writer = writer;
        Ok(done)
    }

    async fn turn(&mut self, begun: Begun) -> Result<Result<(), Away>, Broken> {
        let Begun {
            mut turn,
            newer,
            own,
        } = begun;
        if let Some(newer) = newer {
            self.take_over(newer).await?;
        }
        // What seemed to fail may have been done.
        for one in self
            .waiting
            .extract_if(.., |one| one.tried.is_some_and(|tried| own >= tried))
        {
            one.tell();
        }
        if let Err(away) = self.refuse(turn.as_mut()).await {
            return Ok(Err(away));
        }
        let before = self.writer.clone();
        let events: Vec<(usize, Event)> = (self.waiting.iter())
            .map(|one| (one.source, one.event.clone()))
            .collect();
        let ages: Vec<usize> = self.ages.iter().map(|(source, _)| *source).collect();
        let made = self.blocking(move |writer| writer.make_of(events, &ages));
        let Some(ready) = made.await? else {
            return Ok(Ok(()));
        };
        let Ready {
            publication,
            noise,
            snapshot,
        } = ready;
        let (generation, batch) = (publication.generation, publication.batch.clone());
        if let Err(away) = turn.commit(publication).await {
            self.writer = before;
            for one in &mut self.waiting {
                one.tried = Some(generation);
            }
            return Ok(Err(away));
        }
        self.writer.inventory.feed().push(batch, noise);
        self.writer.inventory.publish(snapshot);
        self.waiting.drain(..).for_each(Waiting::tell);
        Ok(Ok(()))
    }

    /// Leaves out what came of leases that do not hold any more.
    async fn refuse(&mut self, turn: &mut dyn Turn) -> Result<(), Away> {
        let name = |source: usize| self.hall.seats[source].name.clone();
        let waiting = self.waiting.iter();
        let mut leases: Vec<(SourceName, u64)> = waiting
            .filter_map(|one| Some((name(one.source), one.fence?)))
            .chain(
                self.ages
                    .iter()
                    .map(|&(source, token)| (name(source), token)),
            )
            .collect();
        leases.sort();
        leases.dedup();
        if leases.is_empty() {
            return Ok(());
        }
        let mut lost = Vec::new();
        for (source, token) in turn.lost(&leases).await? {
            let Some(&place) = self.hall.places.get(&source) else {
                continue;
            };
            warn!(source.name = %source, "what was read of a source is refused, since another gateway reads it by now");
            self.hall.commons.fenced(&source);
            self.hall.seats[place].desk.forfeit(token);
            lost.push((place, token));
        }
        self.ages.retain(|age| !lost.contains(age));
        let is_lost = |one: &mut Waiting| {
            one.fence
                .is_some_and(|token| lost.contains(&(one.source, token)))
        };
        for one in self.waiting.extract_if(.., is_lost) {
            one.tell();
        }
        Ok(())
    }
}

impl Waiting {
    fn tell(self) {
        if let Some(published) = self.published {
            // Who no longer waits does not have to know.
            let _ = published.send(());
        }
    }
}

impl Writer {
    /// Makes one generation of what was found and of what became old; `None` where nothing is different.
    fn make_of(&mut self, events: Vec<(usize, Event)>, ages: &[usize]) -> Option<Ready> {
        let now = super::super::now();
        let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let last = self.generation;
        // Generations count up no faster than milliseconds do, so that a late one tells of its time.
        self.generation = last.max(millis.saturating_sub(1));
        let mut making = Making::default();
        for (source, event) in events {
            self.add(&mut making, source, event);
        }
        self.age(&mut making, ages, now);
        if making.deltas.is_empty() {
            self.generation = last;
            return None;
        }
        // Clocks of gateways differ; what was published later is not shown as older.
        let at = now.max(self.as_of);
        Some(self.make(making, at))
    }
}

/// What changes by itself all the time.
enum Noise {
    Known(Option<Arc<Batch>>),
    /// Of several generations at once nobody knows it.
    Unknown,
}

/// What was taken over, ready to be shown.
struct Shown {
    /// Where the memory begins, where it begins anew.
    floor: Option<(u64, Timestamp)>,
    told: Vec<Arc<Batch>>,
    /// What changes by itself all the time, where that is known.
    noise: Noise,
}

impl Shown {
    /// Whoever hears of the generation finds its changes.
    fn show(self, writer: &Writer) {
        let (generation, at) = (writer.generation, writer.as_of);
        let feed = writer.inventory.feed();
        if let Some((floor, at)) = self.floor {
            feed.begin(floor, at);
        }
        let Noise::Known(noise) = self.noise else {
            for batch in self.told {
                feed.push(Some(batch), None);
            }
            feed.skip_noise(generation, at);
            let shown = Snapshot::new(generation, at, writer.shelves.clone());
            writer.inventory.publish(shown);
            return;
        };
        let mut told = self.told;
        feed.push(told.pop(), noise);
        let shown = Snapshot::new(generation, at, writer.shelves.clone());
        writer.inventory.publish(shown);
    }
}

impl Hall {
    /// Takes over what others have published.
    fn take_over(&self, writer: &mut Writer, newer: Newer) -> Shown {
        let is_next = newer.anew.is_none() && newer.previous == writer.generation;
        let mut known: HashMap<(SourceName, Option<ClusterId>), Change> = HashMap::new();
        let mut noise = Vec::new();
        for source in newer.sources {
            let Some(&place) = self.places.get(&source.name) else {
                continue;
            };
            let before = Arc::clone(&writer.shelves[place]);
            let followed = {
                let mut texts = texts(&writer.texts[place]);
                let followed = before.followed(source, &mut texts);
                texts.sweep();
                followed
            };
            if followed.refused > 0 {
                error!(source.name = %before.report.name, records.refused = followed.refused, "records of the store are not what was written; the source is incomplete");
            }
            let seat = &self.seats[place];
            if followed.is_attempted && seat.desk.lease().is_none() {
                seat.activation.pending.store(false, Ordering::Release);
            }
            let shelf = Arc::new(followed.shelf);
            if is_next {
                let found = difference(&before, &shelf, followed.cause);
                noise.extend(found.noise);
                let changes = found.changes.into_iter();
                known.extend(
                    changes.map(|change| ((change.source.clone(), change.cluster.clone()), change)),
                );
            }
            writer.shelves[place] = shelf;
        }
        writer.generation = newer.generation;
        writer.as_of = newer.at;
        let (generation, at) = (newer.generation, newer.at);
        let mut floor = newer.anew;
        let told = past::batches(newer.changes, known).unwrap_or_else(|| {
            // Whoever watches has to begin anew.
            floor = Some((generation, at));
            Vec::new()
        });
        let noise = if is_next {
            Noise::Known(Batch::new(generation, at, noise).map(Arc::new))
        } else {
            Noise::Unknown
        };
        Shown { floor, told, noise }
    }
}
