//! One event stream: what it says next follows from where it is.
//!
//! Nothing is kept for a client but its place, and which changes of the generation that it is being told are for it. What it is told
//! lies in the feed as it is told, and is read from there when the connection has room for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::inventory::past::PastError;
use crate::inventory::{Interest, Mark, Moment, Selection};

use super::super::code::Code;
use super::super::problem::Problem;
use super::super::state::ApiState;
use super::super::viewer::Viewer;
use super::credential::Credential;
use super::walk::{off_the_road, older, unavailable};

/// How long a stream waits for older changes that cannot be read, and how often it tries: less than what its heartbeat allows.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(250);
/// Streams at once; one more is refused with `OVERLOADED`.
pub(super) const MOST_STREAMS: i64 = 2_048;
/// How often at most a client is told how far it is, where nothing changed for it.
const BOOKMARK: Duration = Duration::from_secs(10);
/// How often a client is asked again who it is.
const CHECK: Duration = Duration::from_secs(15);
/// How long a client that was cut off is asked to wait.
const RETRY: Duration = Duration::from_secs(2);
/// Generations that are looked at in one go.
const GENERATIONS: usize = 16;
/// Changes that are read of the past in one go: few, since nothing of them is kept for the client but where it is.
const KEPT: usize = 100;

/// One of the streams that there may be.
pub(super) struct Place(ApiState);

impl Place {
    /// Takes one, unless all are taken.
    pub(super) fn take(state: &ApiState) -> Result<Self, Problem> {
        let before = state.metrics.event_streams().inc();
        let place = Self(state.clone());
        if before >= MOST_STREAMS {
            state.metrics.shed().inc();
            return Err(Problem::new(Code::Overloaded)
                .with_detail("as many clients watch as there may be")
                .with_retry_after(Duration::from_secs(5)));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.metrics.event_streams().dec();
    }
}

/// How a stream begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Begin {
    /// At a place.
    At(Mark),
    /// After a generation, since what was wanted is not known.
    Anew(u64),
}

/// One stream.
pub(super) struct Watch {
    state: ApiState,
    viewer: Viewer,
    interest: Arc<Interest>,
    generations: watch::Receiver<u64>,
    credential: Option<Credential>,
    /// What is said first.
    greeting: Option<Bytes>,
    /// Where it goes on.
    at: Mark,
    /// The place that the client knows, and since when.
    told: Mark,
    told_at: Instant,
    spoke_at: Instant,
    checked_at: Instant,
    /// The generation that is being told in parts.
    open: Option<Selection>,
    _place: Place,
}

impl Watch {
    pub(super) fn new(
        place: Place,
        state: ApiState,
        viewer: Viewer,
        interest: Interest,
        begin: Begin,
        credential: Option<Credential>,
    ) -> Self {
        let now = Instant::now();
        let (at, reset) = match begin {
            Begin::At(at) => (at, None),
            Begin::Anew(generation) => (Mark::after(generation), Some(Mark::after(generation))),
        };
        let mut watch = Self {
            generations: state.generations(),
            state,
            viewer,
            interest: Arc::new(interest),
            credential,
            greeting: None,
            at,
            told: at,
            told_at: now,
            spoke_at: now,
            checked_at: now,
            open: None,
            _place: place,
        };
        let mut greeting = format!("retry: {}\n\n", RETRY.as_millis()).into_bytes();
        greeting.extend(reset.into_iter().flat_map(self::reset));
        greeting.extend(watch.bookmark());
        watch.greeting = Some(greeting.into());
        watch
    }

    /// What is said next; `None` is the end.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        let said = loop {
            if self.state.is_draining() {
                return None;
            }
            let until = *self.generations.borrow_and_update();
            if let Some(event) = self.read(until).await.ok()? {
                self.told = self.at;
                self.told_at = Instant::now();
                break event;
            }
            if let Some(said) = self.wait().await? {
                break said;
            }
        };
        let now = Instant::now();
        self.spoke_at = now;
        if let Some(credential) = &self.credential
            && now.duration_since(self.checked_at) >= CHECK
        {
            self.checked_at = now;
            if !credential.is_good().await {
                return None;
            }
        }
        Some(said.into())
    }

    /// The next event up to a generation, where there is any.
    async fn read(&mut self, until: u64) -> Result<Option<Vec<u8>>, Problem> {
        while self.at < Mark::after(until) {
            if let Some(event) = self.part() {
                return Ok(Some(event));
            }
            let Some((moments, end)) = self.moments(until).await? else {
                self.at = Mark::after(until);
                return Ok(Some(reset(self.at)));
            };
            let place = self.at;
            let (viewer, interest) = (self.viewer.clone(), Arc::clone(&self.interest));
            let size = moments.iter().map(Moment::len).sum();
            let found = off_the_road(size, move || {
                let selections = moments
                    .iter()
                    .map(|moment| viewer.select(moment, &interest));
                selections.into_iter().find(|selection| {
                    let moment = selection.moment();
                    let is_begun = moment.generation() == place.generation;
                    let first = if is_begun { place.place } else { 0 };
                    selection.places(first..usize::MAX).next().is_some()
                })
            });
            match found.await? {
                None => self.at = end,
                Some(selection) => {
                    let first = Mark {
                        generation: selection.moment().generation(),
                        place: 0,
                    };
                    self.at = self.at.max(first);
                    self.open = Some(selection);
                }
            }
            // Whoever is far behind and wants little must not keep others waiting.
            tokio::task::yield_now().await;
        }
        Ok(None)
    }

    /// The next generations in which anything changed, and the place after them; `None` where not all of them are known.
    async fn moments(&self, until: u64) -> Result<Option<(Vec<Moment>, Mark)>, Problem> {
        let noise = self.interest.noise;
        let feed = self.state.feed();
        if let Some(moments) = feed.since(self.at, until, GENERATIONS, noise) {
            let is_last = moments.len() < GENERATIONS;
            let end = moments.last().filter(|_| !is_last).map(Moment::end);
            return Ok(Some((moments, end.unwrap_or(Mark::after(until)))));
        }
        let Some(past) = self.state.past.as_ref().filter(|_| !noise) else {
            return Ok(None);
        };
        let given_up_at = Instant::now() + PATIENCE;
        loop {
            // What the memory has let go of is kept, unless it never was.
            match older(past.as_ref(), self.at, feed.floor(false).min(until), KEPT).await {
                Err(PastError::Unknown) => return Ok(None),
                // At the start it may not be there yet what a process goes on from.
                Err(PastError::Unavailable)
                    if Instant::now() < given_up_at && !self.state.is_draining() =>
                {
                    sleep(AGAIN).await;
                }
                read => return read.map(Some).map_err(unavailable),
            }
        }
    }

    /// The next part of the generation that is being told.
    fn part(&mut self) -> Option<Vec<u8>> {
        let selection = self.open.as_ref()?;
        let moment = selection.moment();
        let mut places = selection.places(self.at.place..usize::MAX);
        let mut items = Vec::new();
        let mut last = 0;
        for place in places.by_ref().take(self.state.settings.max_event_items) {
            if !items.is_empty() {
                items.push(b',');
            }
            items.extend_from_slice(&selection.tell(place));
            last = place;
        }
        let (generation, at) = (moment.generation(), moment.at());
        let is_whole = places.next().is_none();
        self.at = if is_whole {
            moment.end()
        } else {
            Mark {
                generation,
                place: last + 1,
            }
        };
        drop(places);
        if is_whole {
            self.open = None;
        }
        let mut event = head("changes", self.at);
        event.extend_from_slice(
            format!("{{\"generation\":{generation},\"at\":\"{at}\",\"items\":[").as_bytes(),
        );
        event.extend_from_slice(&items);
        event.extend_from_slice(b"]}\n\n");
        Some(event)
    }

    /// Waits for something to happen: `None` is the end of the stream, `Some(None)` that there may be changes.
    async fn wait(&mut self) -> Option<Option<Vec<u8>>> {
        let heartbeat = self.spoke_at + self.state.settings.heartbeat;
        let bookmark = (self.at > self.told).then(|| self.told_at + BOOKMARK);
        let deadline = bookmark.map_or(heartbeat, |bookmark| bookmark.min(heartbeat));
        tokio::select! {
            biased;
            () = self.state.stopping().cancelled() => None,
            () = sleep_until(deadline) => Some(Some(if bookmark.is_some_and(|at| at <= Instant::now()) {
                self.told = self.at;
                self.told_at = Instant::now();
                self.bookmark()
            } else {
                b":\n\n".to_vec()
            })),
            changed = self.generations.changed() => changed.ok().map(|()| None),
        }
    }

    /// How far the client is, and whether what there is to know is all that there is.
    fn bookmark(&self) -> Vec<u8> {
        let snapshot = self.viewer.current(&self.state);
        let complete = snapshot.coverage(&self.interest.filter).is_complete();
        let mut event = head("generation", self.at);
        let generation = self.at.known();
        event.extend_from_slice(
            format!("{{\"generation\":{generation},\"complete\":{complete}}}\n\n").as_bytes(),
        );
        event
    }
}

/// That the client knows too little to go on from.
fn reset(at: Mark) -> Vec<u8> {
    let mut event = head("reset", at);
    event.extend_from_slice(format!("{{\"generation\":{}}}\n\n", at.known()).as_bytes());
    event
}

/// How an event begins. What follows is JSON on one line.
fn head(event: &str, id: Mark) -> Vec<u8> {
    format!("event: {event}\nid: {id}\ndata: ").into_bytes()
}
