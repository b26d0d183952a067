//! Makes deliveries of what changed: reads the log from where each webhook is, and moves it on.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::event::NewEvent;
use super::outbox::{Outbox, OutboxError, Put};
use super::webhooks::{Clock, Hook, later};
use crate::inventory::Mark;
use crate::inventory::past::{self, Kept, Past, PastError};

/// Changes that are read at once.
const READ: usize = 500;
/// How often the log is looked at where nobody tells that there is something new: another gateway may have written it.
const LOOK: Duration = Duration::from_secs(5);
/// How often it is noted that a webhook was looked at, and its place moved on, where nothing changed: so that neither the place is
/// taken for one that nobody has any more, nor falls behind what is kept.
const IDLE: SignedDuration = SignedDuration::from_mins(1);
/// How often what is kept long enough is looked for, and the pause between two small deletions.
const TIDYING: SignedDuration = SignedDuration::from_mins(1);
const PAUSE: SignedDuration = SignedDuration::from_millis(200);

/// Why nothing could be made of the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum PumpError {
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error(transparent)]
    Past(#[from] PastError),
}

/// The one task that does so, for all webhooks.
pub(super) struct Pump {
    pub(super) hooks: Vec<Arc<Hook>>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) past: Arc<dyn Past>,
    pub(super) clock: Clock,
}

impl Pump {
    /// Makes deliveries whenever a generation is published, and now and then.
    pub(super) async fn run(
        self,
        owner: Arc<str>,
        mut generations: watch::Receiver<u64>,
        stop: CancellationToken,
    ) {
        let (mut is_begun, mut is_failing) = (false, false);
        let mut tidy_at = Timestamp::MIN;
        let mut noted_at = vec![Timestamp::MIN; self.hooks.len()];
        while !stop.is_cancelled() {
            generations.borrow_and_update();
            let mut failed: Option<PumpError> = None;
            if !is_begun {
                match self.outbox.begin(&owner).await {
                    Ok(()) => is_begun = true,
                    Err(error) => failed = Some(error.into()),
                }
            }
            if is_begun {
                for (hook, noted_at) in self.hooks.iter().zip(&mut noted_at) {
                    // One that wants to know much must not keep the others from what they want.
                    if let Err(error) = self.feed(hook, noted_at).await {
                        failed = Some(error);
                    }
                }
                let now = (self.clock)();
                if now >= tidy_at {
                    let pause = match self.outbox.tidy(now).await {
                        Ok(true) => PAUSE,
                        Ok(false) | Err(_) => TIDYING,
                    };
                    tidy_at = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
                }
            }
            match &failed {
                Some(error) if !is_failing => {
                    warn!(%error, "webhooks do not learn of changes for now; nothing is missed by it");
                }
                Some(error) => debug!(%error, "webhooks still do not learn of changes"),
                None => {}
            }
            is_failing = failed.is_some();
            tokio::select! {
                () = stop.cancelled() => {}
                changed = generations.changed(), if !is_failing => if changed.is_err() {
                    // Nobody publishes any more.
                    stop.cancelled().await;
                },
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Makes deliveries for one webhook of all that is new to it.
    async fn feed(&self, hook: &Hook, noted_at: &mut Timestamp) -> Result<(), PumpError> {
        let name = &hook.settings.name;
        loop {
            // Before the changes: what is published meanwhile is for the next time.
            let known = self.outbox.known().await?;
            if known == 0 {
                // Nothing is kept yet that a webhook could begin at.
                return Ok(());
            }
            let now = (self.clock)();
            let end = Mark::after(known);
            let from = self.outbox.cursor(name, end, now).await?;
            let is_recent = now.duration_since(*noted_at) < IDLE;
            if from >= end {
                if !is_recent {
                    self.outbox.seen(name, now).await?;
                    *noted_at = now;
                }
                return Ok(());
            }
            let (to, events) = match self.read(from, known).await? {
                Read::Kept(kept, _) if kept.is_empty() && is_recent => return Ok(()),
                Read::Kept(kept, to) => (to, events(hook, kept)),
                Read::Lost(until) => {
                    warn!(webhook.name = %name, from = %from, until, "changes are not known any more that a webhook was not told of");
                    let event = NewEvent::lost(name, from, until, now);
                    (Mark::after(until), vec![event])
                }
            };
            let is_any = !events.is_empty();
            let put = Put {
                from,
                to,
                events,
                max_pending: hook.settings.max_pending,
                give_up_at: later(now, hook.settings.give_up_after),
                now,
            };
            // Where it was moved meanwhile, another gateway did what this one was about to do.
            if self.outbox.put(name, &put).await? && is_any {
                hook.wake.notify_one();
            }
            *noted_at = now;
            // Whoever is far behind must not keep this thread from others.
            tokio::task::yield_now().await;
        }
    }
}

/// What is in the log from a place on.
enum Read {
    /// These changes, up to a place.
    Kept(Vec<Kept>, Mark),
    /// Not all changes up to this generation.
    Lost(u64),
}

impl Pump {
    /// Reads the log from a place on, up to a generation; not all of it at once.
    async fn read(&self, from: Mark, known: u64) -> Result<Read, PumpError> {
        let (mut kept, mut at) = (Vec::new(), from);
        while kept.len() < READ {
            let read = match self.past.changes(at, known, READ).await {
                Ok(read) => read,
                Err(error) if error == PastError::Unavailable => return Err(error.into()),
                Err(_) => {
                    // Where the floor does not tell from where on all is kept, it is from what is known now.
                    let floor = self.past.floor().await?;
                    let is_below = from < Mark::after(floor);
                    return Ok(Read::Lost(if is_below { floor } else { known }));
                }
            };
            // An answer may be short; nothing but an empty one is the end.
            let Some(last) = read.last() else {
                at = Mark::after(known);
                break;
            };
            at = Mark {
                generation: last.generation,
                place: last.place + 1,
            };
            kept.extend(read);
        }
        // After them: what goes meanwhile would be missing among them.
        let floor = self.past.floor().await?;
        if from < Mark::after(floor) {
            return Ok(Read::Lost(floor));
        }
        Ok(Read::Kept(kept, at))
    }
}

/// What a webhook learns of some changes.
fn events(hook: &Hook, kept: Vec<Kept>) -> Vec<NewEvent> {
    let mut events = Vec::new();
    for moment in past::moments(kept) {
        let selection = moment.select(&hook.interest, &hook.reach);
        let (generation, at) = (moment.generation(), moment.at());
        events.extend(selection.places(0..usize::MAX).filter_map(|place| {
            let told = selection.tell(place);
            NewEvent::change(&hook.settings.name, generation, place, at, &told)
        }));
    }
    events
}
