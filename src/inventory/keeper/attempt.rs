//! One attempt of a gateway to publish, on top of what others have published.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::sleep;
use tracing::warn;

use super::super::replicas::{Away, Begun, Census, Newer, Turn};
use super::super::shelf::Shelf;
use super::hall::Hall;
use super::{Event, Making, Ready, Writer};
use crate::domain::SourceName;

/// How often who has a turn says that it is still at it, while it works.
const ALIVE: Duration = Duration::from_secs(1);

/// What waits to be published.
pub(super) struct Waiting {
    pub(super) source: usize,
    pub(super) event: Event,
    pub(super) fence: Option<u64>,
    pub(super) published: Option<oneshot::Sender<()>>,
    /// The last generation that was tried with it, of which nobody knows whether it is durable.
    pub(super) tried: Option<u64>,
}

/// Why the writer cannot go on.
pub(super) struct Broken(pub(super) tokio::task::JoinError);

/// One attempt to publish what waits, or else to take over what others have published.
pub(super) struct Attempt {
    pub(super) hall: Arc<Hall>,
    pub(super) is_joined: bool,
    pub(super) writer: Writer,
    pub(super) waiting: Vec<Waiting>,
    /// Sources whose age is to be looked at, and their leases.
    pub(super) ages: Vec<(usize, u64)>,
    /// The shelves as they are shown, where that is not as they were published.
    pub(super) local: Option<Vec<Arc<Shelf>>>,
}

impl Attempt {
    pub(super) async fn run(mut self) -> Result<(Self, Result<(), Away>), Broken> {
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
        if self.waiting.is_empty() && self.ages.is_empty() && !commons.is_census_due() {
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
        self.local = shown.await?.show(&self.writer);
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
            census,
        } = begun;
        if let Some(newer) = newer {
            while_held(turn.as_mut(), self.take_over(newer)).await?;
        }
        // What seemed to fail may have been done.
        for one in self
            .waiting
            .extract_if(.., |one| one.tried.is_some_and(|tried| own >= tried))
        {
            one.tell();
        }
        // What was not done by now never is: the turn waits for what was under way. A later generation may be of something else.
        for one in &mut self.waiting {
            one.tried = None;
        }
        if let Some(census) = census {
            return self.count(turn, census).await;
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
        let Some(ready) = while_held(turn.as_mut(), made).await? else {
            return Ok(Ok(()));
        };
        let generation = ready.publication.generation;
        if let Err(away) = self.commit(turn, ready, before).await {
            for one in &mut self.waiting {
                one.tried = Some(generation);
            }
            return Ok(Err(away));
        }
        self.waiting.drain(..).for_each(Waiting::tell);
        Ok(Ok(()))
    }

    /// Publishes what nobody did; what waits is for the next turn.
    async fn count(
        &mut self,
        mut turn: Box<dyn Turn>,
        census: Census,
    ) -> Result<Result<(), Away>, Broken> {
        let before = self.writer.clone();
        let hall = Arc::clone(&self.hall);
        let is_whole = census.is_whole;
        let made = self.blocking(move |writer| writer.make_census(census, &hall.places));
        let ready = while_held(turn.as_mut(), made).await?;
        let (generation, at) = (ready.publication.generation, ready.publication.at);
        let committed = self.commit(turn, ready, before).await;
        if committed.is_ok() && !is_whole {
            // Nobody knows what was shown before, so nothing goes on from there.
            self.writer.inventory.feed().begin(generation, at);
        }
        Ok(committed)
    }

    /// Has a generation be durable and shows it; where that fails the writer is what it was before.
    async fn commit(
        &mut self,
        turn: Box<dyn Turn>,
        ready: Ready,
        before: Writer,
    ) -> Result<(), Away> {
        let Ready {
            publication,
            noise,
            snapshot,
        } = ready;
        let batch = publication.batch.clone();
        if let Err(away) = turn.commit(publication).await {
            self.writer = before;
            return Err(away);
        }
        self.writer.inventory.feed().push(batch, noise);
        self.writer.inventory.publish(snapshot);
        self.local = None;
        Ok(())
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

/// Works while a turn lasts, in which the others wait: they go on without one that does not say that it is still there.
async fn while_held<T>(turn: &mut dyn Turn, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(ALIVE) => if turn.stay().await.is_err() {
                // What comes of it is refused.
                return work.await;
            },
        }
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
    /// Has the next generation tell of its time: they count up no faster than milliseconds do.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
        self.generation = self.generation.max(millis.saturating_sub(1));
    }

    /// Makes one generation of what was found and of what became old; `None` where nothing is different.
    fn make_of(&mut self, events: Vec<(usize, Event)>, ages: &[usize]) -> Option<Ready> {
        let now = super::super::now();
        let last = self.generation;
        self.hurry(now);
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
