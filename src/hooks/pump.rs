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
use crate::inventory::past::{self, Kept, Past};

/// Changes that are read at once.
const READ: usize = 500;
/// How often the log is looked at where nobody tells that there is something new: another gateway may have written it.
const LOOK: Duration = Duration::from_secs(5);
/// How often a place is moved on where nothing changed, so that it does not fall behind what is kept.
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
    Past(#[from] past::PastError),
}

/// The one task that does so, for all webhooks.
pub(super) struct Pump {
    pub(super) hooks: Vec<Arc<Hook>>,
    pub(super) outbox: Arc<dyn Outbox>,
    pub(super) past: Arc<dyn Past>,
    pub(super) clock: Clock,
    /// The generation at which a webhook begins that was never seen, at least.
    pub(super) begun_at: u64,
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
        let mut moved_at = vec![Timestamp::MIN; self.hooks.len()];
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
                for (hook, moved_at) in self.hooks.iter().zip(&mut moved_at) {
                    // One that wants to know much must not keep the others from what they want.
                    if let Err(error) = self.feed(hook, moved_at).await {
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
    async fn feed(&self, hook: &Hook, moved_at: &mut Timestamp) -> Result<(), PumpError> {
        let name = &hook.settings.name;
        loop {
            // Before the changes: what is published meanwhile is for the next time.
            let known = self.outbox.known().await?;
            let now = (self.clock)();
            let first = Mark::after(known.max(self.begun_at));
            let from = self.outbox.cursor(name, first, now).await?;
            let end = Mark::after(known);
            if from >= end {
                return Ok(());
            }
            let kept = self.past.changes(from, known, READ).await?;
            // After them: what goes meanwhile would be missing among them.
            let floor = self.past.floor().await?;
            let lost = from < Mark::after(floor);
            let (to, events) = if lost {
                let event = NewEvent::lost(name, from, floor, now);
                warn!(webhook.name = %name, from = %from, until = floor, "changes are not known any more that a webhook was not told of");
                (Mark::after(floor), vec![event])
            } else {
                let last = kept.last().filter(|_| kept.len() >= READ);
                let to = last.map_or(end, |last| Mark {
                    generation: last.generation,
                    place: last.place + 1,
                });
                if kept.is_empty() && now.duration_since(*moved_at) < IDLE {
                    return Ok(());
                }
                (to, events(hook, kept))
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
            *moved_at = now;
            // Whoever is far behind must not keep this thread from others.
            tokio::task::yield_now().await;
        }
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
