//! `as_of`: the inventory as it was shown at an earlier time or generation.
//!
//! It is the current snapshot with every change since undone, which is heavy work: only so much of it is done, only so often at
//! once, and what was made last is kept for a while, so that pages of one walk are of one account.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::inventory::past::{self, PastError};
use crate::inventory::{Mark, Moment, Snapshot, Undo, View};

use super::changes::{expired, unavailable};
use super::code::Code;
use super::generation::is_possible;
use super::problem::Problem;
use super::query::Params;
use super::state::ApiState;
use super::viewer::Viewer;

/// The parameter.
pub(super) const AS_OF: &str = "as_of";

/// Accounts that are kept, and clusters in all of them; the last one is kept however many it has.
const KEPT: usize = 3;
const CLUSTERS: usize = 200_000;
/// Accounts that are made at once.
const AT_ONCE: usize = 2;
/// How long a request waits for its turn.
const TURN: Duration = Duration::from_secs(2);
/// How long it may take to read what changed since.
const READING: Duration = Duration::from_secs(20);
/// Changes that are undone for one answer, unless told otherwise.
pub(super) const MOST: usize = 500_000;
/// Bytes of clusters as they were, at most.
const MOST_BYTES: usize = 256 << 20;
/// Generations, and kept changes, that are read in one go.
const GENERATIONS: usize = 256;
const CHANGES: usize = 1_000;

/// Accounts of earlier generations.
pub struct Then {
    turns: Semaphore,
    kept: Mutex<VecDeque<Arc<Snapshot>>>,
}

impl Default for Then {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(AT_ONCE),
            kept: Mutex::default(),
        }
    }
}

impl Then {
    fn of(&self, generation: u64) -> Option<Arc<Snapshot>> {
        let kept = self.lock();
        let mut kept = kept.iter();
        kept.find(|kept| kept.generation == generation).cloned()
    }

    /// Keeps an account; answers with those that made room for it.
    fn keep(&self, made: &Arc<Snapshot>) -> Vec<Arc<Snapshot>> {
        let mut kept = self.lock();
        let mut outgoing = Vec::new();
        kept.push_back(Arc::clone(made));
        let clusters =
            |kept: &VecDeque<Arc<Snapshot>>| -> usize { kept.iter().map(|kept| kept.len()).sum() };
        while kept.len() > KEPT || (kept.len() > 1 && clusters(&kept) > CLUSTERS) {
            outgoing.extend(kept.pop_front());
        }
        outgoing
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Snapshot>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the caller saw when a request wants to see it; `None` where it wants to see what is now.
pub(super) async fn wanted(
    state: &ApiState,
    viewer: &Viewer,
    params: &Params<'_>,
) -> Result<Option<View>, Problem> {
    let Some(text) = params.one(AS_OF)? else {
        return Ok(None);
    };
    let generation = find(state, text).await?;
    at(state, viewer, generation).await.map(Some)
}

/// What the caller saw of a generation.
pub(super) async fn at(
    state: &ApiState,
    viewer: &Viewer,
    generation: u64,
) -> Result<View, Problem> {
    if let Some(kept) = state.then.of(generation) {
        return Ok(viewer.view(kept));
    }
    let Ok(Ok(_turn)) = timeout(TURN, state.then.turns.acquire()).await else {
        return Err(Problem::new(Code::Overloaded)
            .with_detail("as many earlier accounts are being made as may be at once")
            .with_retry_after(TURN));
    };
    // Others may have wanted the same.
    if let Some(kept) = state.then.of(generation) {
        return Ok(viewer.view(kept));
    }
    let made = Arc::new(make(state, generation).await?);
    let outgoing = state.then.keep(&made);
    // To free a large one takes a while.
    tokio::task::spawn_blocking(move || drop(outgoing));
    Ok(viewer.view(made))
}

/// The generation that a text means.
async fn find(state: &ApiState, text: &str) -> Result<u64, Problem> {
    let refused = |why: &str| Problem::invalid_parameter(AS_OF, why);
    let future = "lies in the future: leave it out to see what is now";
    let current = state.generation();
    if let Some(mark) = Mark::parse(text).filter(|mark| mark.place == 0) {
        let generation = mark.known();
        if generation > current {
            let is_named = is_possible(generation, state);
            return Err(refused(if is_named {
                future
            } else {
                "must be the generation of an answer, or an RFC 3339 time"
            }));
        }
        return Ok(generation);
    }
    let time: Timestamp = text
        .parse()
        .map_err(|_| refused("must be the generation of an answer, or an RFC 3339 time"))?;
    // Clocks are set: what is shown already is no future.
    if time > Timestamp::now().max(state.to_be_undone().as_of) {
        return Err(refused(future));
    }
    let known = match state.feed().generation_at(time, current, false) {
        Some(generation) => Some(generation),
        None => match &state.past {
            Some(past) => past.generation_at(time).await.map_err(unavailable)?,
            None => None,
        },
    };
    let Some(generation) = known else {
        return Err(expired(state, false).await);
    };
    // The same time means the same generation, however many pass in which nothing changes.
    Ok(last_change(state, generation)
        .await?
        .map_or(generation, |(last, _)| last))
}

/// The last generation up to one in which anything changed, and when that was, as far as it is known.
async fn last_change(
    state: &ApiState,
    generation: u64,
) -> Result<Option<(u64, Timestamp)>, Problem> {
    if let Some(known) = state.feed().last_change(generation) {
        return Ok(Some(known));
    }
    match &state.past {
        Some(past) => past.last_change(generation).await.map_err(unavailable),
        None => Ok(None),
    }
}

async fn make(state: &ApiState, generation: u64) -> Result<Snapshot, Problem> {
    let current = state.to_be_undone();
    let reading = undo(state, generation, current.generation);
    let (undo, first) = match timeout(READING, reading).await {
        Ok(read) => read?,
        Err(_) => return Err(unavailable(PastError::Unavailable)),
    };
    let last = last_change(state, generation).await?;
    let at = last.map(|last| last.1).or(first).unwrap_or(current.as_of);
    let made = tokio::task::spawn_blocking(move || undo.apply(&current, generation, at)).await;
    made.map_err(|error| {
        tracing::error!(%error, "an earlier account could not be made");
        Problem::new(Code::Internal)
    })
}

/// All that changed after a generation up to another one, and when the first of it did.
async fn undo(
    state: &ApiState,
    after: u64,
    until: u64,
) -> Result<(Undo, Option<Timestamp>), Problem> {
    let (mut undo, mut count, mut first) = (Undo::default(), 0, None);
    let mut from = Mark::after(after);
    while from < Mark::after(until) {
        let feed = state.feed();
        if let Some(moments) = feed.since(from, until, GENERATIONS, false) {
            from = moments
                .last()
                .filter(|_| moments.len() == GENERATIONS)
                .map_or(Mark::after(until), Moment::end);
            first = first.or(moments.first().map(Moment::at));
            count += moments.iter().map(Moment::len).sum::<usize>();
            for moment in &moments {
                undo.take(moment);
            }
        } else {
            let Some(past) = &state.past else {
                return Err(expired(state, false).await);
            };
            let end = feed.floor(false).min(until);
            let kept = match past.changes(from, end, CHANGES).await {
                Err(PastError::Unknown) => return Err(expired(state, false).await),
                kept => kept.map_err(unavailable)?,
            };
            from = kept.last().map_or(Mark::after(end), |last| Mark {
                generation: last.generation,
                place: last.place + 1,
            });
            first = first.or(kept.first().map(|kept| kept.at));
            count += kept.len();
            // To read changes back takes a while, on a thread that serves nobody.
            let read = tokio::task::spawn_blocking(move || {
                for moment in &past::moments(kept) {
                    undo.take(moment);
                }
                undo
            });
            undo = read.await.map_err(|_| Problem::new(Code::Internal))?;
        }
        if count > state.settings.max_undone || undo.weight() > MOST_BYTES {
            return Err(Problem::new(Code::AsOfTooFar).with_detail(format!(
                "more than {count} changes lie between then and now, which are more than can be undone"
            )));
        }
        tokio::task::yield_now().await;
    }
    Ok((undo, first))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use http::Request;
    use serde_json::Value;

    use super::super::testing::{json, send_request, state_over};
    use super::super::{Settings, router};
    use crate::inventory::testing::{Stage, cluster};

    /// Ten generations, each with one change of one cluster.
    fn stage() -> Stage {
        let mut stage = Stage::new(&["a"]);
        for round in 0..10 {
            let state = ["running", "failed"][round % 2];
            stage.list("a", vec![cluster("a", "1", state, None)]);
        }
        stage
    }

    async fn get(app: &Router, target: &str) -> (u16, Value) {
        let request = Request::get(target).body(Body::empty()).unwrap();
        let response = send_request(app, request).await;
        (response.status().as_u16(), json(response).await)
    }

    #[tokio::test]
    async fn more_than_can_be_undone_is_refused() {
        let settings = Settings {
            max_undone: 4,
            ..Settings::default()
        };
        let stage = stage();
        let app = router(state_over(&stage.inventory, None, settings));
        let (status, body) = get(&app, "/clusters?as_of=1002").await;
        assert_eq!(
            (status, &body["code"]),
            (422, &"AS_OF_TOO_FAR".into()),
            "{body}"
        );
        let (status, body) = get(&app, "/clusters?as_of=1006").await;
        assert_eq!(status, 200, "{body}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_made_is_kept_for_a_while_and_only_so_much_is_made_at_once() {
        let stage = stage();
        let state = state_over(&stage.inventory, None, Settings::default());
        let app = router(state.clone());
        for generation in 1002..1006 {
            assert_eq!(
                get(&app, &format!("/clusters?as_of={generation}")).await.0,
                200
            );
        }
        let busy = state.then.turns.acquire_many(2).await.unwrap();
        // The first made room for the last.
        let (status, body) = get(&app, "/clusters?as_of=1002").await;
        assert_eq!(
            (status, &body["code"]),
            (503, &"OVERLOADED".into()),
            "{body}"
        );
        for generation in 1003..1006 {
            assert_eq!(
                get(&app, &format!("/clusters?as_of={generation}")).await.0,
                200
            );
        }
        drop(busy);
        assert_eq!(get(&app, "/clusters?as_of=1002").await.0, 200);
    }
}
