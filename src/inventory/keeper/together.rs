//! The writer of one of several gateways that share an inventory: what others publish it takes over, and what it publishes itself
//! is made on top of that.
//!
//! Where what they share is away, readers are served what there is, and no generation is made by anybody. Only the age of what is
//! shown goes on: a source that gets too old meanwhile is shown as stale here, without another generation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::super::replicas::{Commons, Newer};
use super::super::shelf::Shelf;
use super::attempt::{Attempt, Broken, Waiting};
use super::hall::{Hall, Seat};
use super::{Message, Writer};

/// How often it is looked whether there is something newer, or whether what is shared is back, where nobody tells.
const LOOK: Duration = Duration::from_secs(2);
/// What calls have shown and could not be published yet, at most.
const MOST: usize = 1_000;
/// How long an attempt that is under way may take at the end.
const LAST: Duration = Duration::from_secs(2);

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
        let mut local = None;
        if let Some(first) = first {
            local = hall.take_over(&mut writer, first).show(&writer);
            hall.commons.note(writer.generation, 0);
        }
        Self {
            hall: Arc::new(hall),
            waiting: VecDeque::new(),
            writer: Some(writer),
            is_joined,
            is_away: false,
            local,
            is_loss_told: false,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>, stop: CancellationToken) {
        let _leaving = Leaving(Arc::clone(&self.hall));
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
            loop {
                if let Err(Broken(failure)) = self.step(&mut inbox, &stop).await {
                    error!(error = %failure, "the writer failed; the inventory stays as it is");
                    return;
                }
                if stop.is_cancelled() {
                    return;
                }
                // What came meanwhile does not have to wait for something else to happen.
                if self.is_away || self.waiting.is_empty() {
                    break;
                }
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
            local: self.local.take(),
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
            local,
            ..
        } = attempt;
        for one in waiting.into_iter().rev() {
            self.waiting.push_front(one);
        }
        self.is_joined = is_joined;
        self.is_away = result.is_err();
        if result.is_ok() {
            self.is_loss_told = false;
        }
        // What was shown otherwise while nobody could publish is published by now, or not so any more.
        if result.is_ok() && writer.generation == generation && local.is_some() {
            writer.show(None);
        } else {
            self.local = local;
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
            writer.show(Some(&shelves));
            self.local = Some(shelves);
        }
    }
}

/// Leaves the sources to others when the writer ends, in whatever way: nobody publishes what is found from then on.
struct Leaving(Arc<Hall>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.seats.iter().for_each(|seat| seat.desk.abandon());
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
