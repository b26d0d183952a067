//! What is done for operations beside answering: saying that this process is alive, adopting what another one left, looking how
//! far they are, and keeping what could not be kept before.
//!
//! This process says that it is alive in time, whatever else there is to do: who is silent for too long is taken for dead, and its
//! writes are looked for by another one while they are being sent.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::book::{Known, Origin, Place, Selection};
use super::follow::Follow;
use super::intent::Intent;
use super::keep::{Part, Record, Stage};
use super::lookback::{Sent, Since};
use super::owed::Word;
use super::write::WriteFailure;
use super::{Failure, Inner, Live};
use crate::domain::{ClusterId, OperationId, OperationState};
use crate::provider::{ErrorKind, Written};

/// How often this process says that it is alive.
pub(super) const BEAT: Duration = Duration::from_secs(5);
/// Operations that are adopted at once.
const ADOPTED: usize = 8;
/// Operations that are looked at between two beats, so that vendors are asked little.
const LOOKED_AT: usize = 2;
/// How long what became of a write is looked for where nothing can be read.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);
/// What is read at once for a list.
pub(super) const PART: usize = 500;
/// Parts of one list, at most: a page may be shorter than wanted, and has one after it then.
pub(super) const PARTS: usize = 20;

/// Tends operations until their calls have ended, and leaves them to others then.
pub(super) async fn tend(live: Weak<Inner>, ended: CancellationToken) {
    let (said, heard) = watch::channel(());
    join(
        beat(Weak::clone(&live), ended.clone(), said),
        do_chores(Weak::clone(&live), ended, heard),
    )
    .await;
    if let Some(inner) = live.upgrade() {
        let live = Live(inner);
        // Nobody here tells it later.
        live.tell_owed().await;
        live.0.keep.release().await;
    }
}

/// Says again and again that this process is alive, and each time that it could be said.
async fn beat(live: Weak<Inner>, ended: CancellationToken, said: watch::Sender<()>) {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = ended.cancelled() => return,
            _ = beats.tick() => {}
        }
        let Some(inner) = live.upgrade() else { return };
        if inner.keep.beat().await.is_ok() {
            said.send_replace(());
        }
    }
}

/// Does what there is to do after each beat. Whoever cannot say that it is alive learns of nobody else.
async fn do_chores(live: Weak<Inner>, ended: CancellationToken, mut heard: watch::Receiver<()>) {
    while heard.changed().await.is_ok() {
        let Some(inner) = live.upgrade() else { return };
        let live = Live(inner);
        tokio::select! {
            // What is left is told at the end.
            () = ended.cancelled() => return,
            () = live.tend_once() => {}
        }
    }
}

impl Live {
    async fn tend_once(&self) {
        self.tell_owed().await;
        // What failed is told again; the rest can wait until the next time.
        let _ = self.0.keep.catch_up().await;
        let (due, running) = self.0.book.chores();
        for id in due {
            if !self.keep_up(&id).await {
                break;
            }
        }
        if self.0.stop.is_cancelled() {
            return;
        }
        if let Ok(adopted) = self.0.keep.adopt(&self.sources(), ADOPTED).await {
            for record in adopted {
                let (live, stop) = (self.clone(), self.0.stop.clone());
                // What is given up here is looked at by whoever adopts it next.
                let task = async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = live.adopt(record) => {}
                    }
                };
                self.0.reads.spawn_on(task, &self.0.runtime);
            }
        }
        for id in running.into_iter().take(LOOKED_AT) {
            let live = self.clone();
            let task = async move { live.look_after(&id).await };
            self.0.reads.spawn_on(task, &self.0.runtime);
        }
    }

    /// Looks how far an operation is of which nobody may be asking.
    async fn look_after(&self, id: &OperationId) {
        let Err(Failure::Provider(error)) = self.operation(id, false).await else {
            return;
        };
        let Some((mut known, _)) = self.0.book.find(id) else {
            return;
        };
        if error.kind == ErrorKind::NotFound && !known.operation.done {
            let text = "the vendor has no record of it any longer, so nothing is known of its end";
            known.operation.state = OperationState::Unknown;
            known.operation.done = true;
            known.operation.completed_at = Some(super::now());
            let error = known.operation.error.get_or_insert_default();
            error.message = Some(text.to_owned());
            self.0.book.note(known, None);
            self.keep_up(id).await;
        }
    }

    /// Goes on with what another process left. Nothing is sent again.
    async fn adopt(&self, mut record: Record) {
        record.known.durable = true;
        let id = record.known.id.clone();
        if record.stage == Stage::Settled {
            info!(operation.id = %id, "operation adopted");
            let follow = record.task.map(|task| Arc::new(Follow::new(*task)));
            if record.known.origin == Origin::Gateway && follow.is_none() {
                return;
            }
            self.0.book.note(record.known, follow);
            self.0.book.keep(&id, true);
            return;
        }
        let source = record.known.source.clone();
        let Ok(connected) = self.connected(&source) else {
            return;
        };
        let task = record.task.clone();
        let Some((task, write)) = task.and_then(|task| task.write(&source).map(|w| (task, w)))
        else {
            return;
        };
        let since = Since {
            at: task.began,
            // What is in the book may be of this write: somebody may have seen it since.
            mark: 0,
            earlier: task.earlier.clone(),
        };
        let stage = record.stage.clone();
        let intent = Intent::left(record);
        let native_id = intent.native_id.clone();
        let sent = Sent {
            connected,
            write: &write,
            since: &since,
            native_id: Some(&native_id),
        };
        let outcome = match stage {
            Stage::Accepted {
                operation,
                is_pending,
            } => {
                let written = Written {
                    cluster: None,
                    operation: operation.map(|operation| *operation),
                    is_pending,
                };
                Ok(self.carried_out(sent, written).await)
            }
            Stage::Asked | Stage::Settled => self.look_back(sent, "GATEWAY_STOPPED", false).await,
        };
        let cluster = write.target().map(|target| &target.id);
        let ended = match outcome {
            Ok(mut done) => {
                self.settled(Some(intent), &mut done).await;
                "seen"
            }
            Err(WriteFailure::Unknown(lookback)) => {
                let age = super::now().duration_since(since.at);
                if !lookback.was_read && age < PATIENCE {
                    // Nobody has it in the meantime, so that it is adopted again.
                    self.tell(intent.id(), Word::Abandoned).await;
                    return;
                }
                self.unknown(Some(intent), &lookback, true).await;
                "not known"
            }
            Err(_) => return,
        };
        warn!(
            operation.id = %id,
            source.name = %source,
            cluster.id = cluster.map(ClusterId::as_str),
            write.effect = ended,
            "a write that another process left was looked for; it was not sent again"
        );
    }

    /// Operations that were started or seen by a process of this gateway, as far as they are seen, and the place after which there
    /// may be more. No place names an operation that is not seen: at most it tells of a time at which something was not.
    ///
    /// # Errors
    ///
    /// [`Failure::Away`] where what is kept cannot be read: a list that leaves it out would look like a whole one.
    pub async fn known_operations(
        &self,
        selection: &Selection,
        sees: &(dyn Fn(&Known) -> bool + Sync),
    ) -> Result<(Vec<Known>, Option<Place>), Failure> {
        let wanted = selection.limit + 1;
        let mut found = self.0.book.select(selection, wanted, sees);
        let mut after = selection.after.clone();
        // Where what is kept was read to, if not to its end.
        let mut until = None;
        let (mut parts, mut count) = (0, 0);
        loop {
            let kept = self.0.keep.list(selection, after.as_ref(), PART).await;
            let Part { known, until: end } = kept.map_err(|_| Failure::Away)?;
            parts += 1;
            for one in known {
                count += usize::from(self.join(&mut found, one, selection, sees));
            }
            let Some(end) = end else { break };
            after = Some(end.clone());
            if count < wanted && parts < PARTS {
                continue;
            }
            let place = told(&end, &found);
            // However much there is of one moment, a page comes further than the one before.
            if selection.after.as_ref().is_none_or(|begun| place < *begun) {
                until = Some(place);
                break;
            }
        }
        found.sort_by_key(|known| std::cmp::Reverse(known.place()));
        if let Some(until) = &until {
            found.retain(|known| known.place() >= *until);
        }
        let has_more = found.len() > selection.limit;
        found.truncate(selection.limit);
        let last = || found.last().map(Known::place);
        let next = if has_more { last() } else { until };
        Ok((found, next))
    }

    /// Adds what is kept to what is in memory; says whether it is another one.
    fn join(
        &self,
        found: &mut Vec<Known>,
        kept: Known,
        selection: &Selection,
        sees: &(dyn Fn(&Known) -> bool + Sync),
    ) -> bool {
        let here = self.0.book.find(&kept.id).map(|(known, _)| known);
        if here.is_some_and(|here| here.operation.done || here.at >= kept.at) {
            return false;
        }
        found.retain(|known| known.id != kept.id);
        let is_wanted = kept.is_one_of(selection) && sees(&kept);
        if is_wanted {
            found.push(kept);
        }
        is_wanted
    }

    /// Adds what is kept of a cluster to what is known here.
    pub(super) async fn join_kept(&self, cluster: &ClusterId, known: &mut Vec<Known>) {
        let selection = Selection {
            cluster: Some(cluster.clone()),
            ..Selection::default()
        };
        // Where it cannot be read, what is known here is what is known.
        let kept = self.0.keep.list(&selection, None, PART).await;
        for one in kept.map(|part| part.known).unwrap_or_default() {
            let is_here = known.iter().any(|here| here.id == one.id);
            if !is_here {
                known.push(one);
            }
        }
    }
}

/// What to say of the place up to which was read: what comes after it, and maybe a little before, is not among what was found.
fn told(end: &Place, found: &[Known]) -> Place {
    let places = found.iter().map(Known::place);
    let last = places
        .filter(|place| place >= end && place.0 == end.0)
        .min();
    last.unwrap_or_else(|| (end.0.saturating_add(1), String::new()))
}
