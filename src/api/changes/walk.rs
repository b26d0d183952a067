//! A walk through changes, the oldest first, from memory and from what is older.

use std::sync::Arc;
use std::time::Duration;

use crate::inventory::past::{self, Past, PastError};
use crate::inventory::{Interest, Mark, Moment};

use super::super::code::Code;
use super::super::problem::Problem;
use super::super::state::ApiState;
use super::super::viewer::Viewer;
use super::question::expired;

/// Generations that are looked at in one go.
pub(super) const GENERATIONS: usize = 256;
/// Changes that are read of the past in one go.
const KEPT: usize = 1_000;
/// Changes that are looked at for one piece; then it ends, however few of them were wanted.
pub(super) const LOOKED_AT: usize = 50_000;
/// More changes than this are looked at on a thread that serves nobody.
const LARGE: usize = 1_000;

/// A walk through changes up to a generation.
pub(super) struct Walk {
    pub(super) state: ApiState,
    pub(super) viewer: Viewer,
    pub(super) interest: Arc<Interest>,
    /// Where it goes on.
    pub(super) at: Mark,
    /// The generation that it goes up to.
    pub(super) until: u64,
}

/// Changes that were told, joined to one text.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) body: Vec<u8>,
    pub(super) count: usize,
}

impl Piece {
    /// Adds a change.
    pub(super) fn add(&mut self, change: &[u8], separator: u8) {
        if self.count > 0 {
            self.body.push(separator);
        }
        self.body.extend_from_slice(change);
        self.count += 1;
    }
}

impl Walk {
    /// Whether it is at its end.
    pub(super) fn is_done(&self) -> bool {
        self.at >= Mark::after(self.until)
    }

    /// The next changes, at most so many. There may be none, though it is not at its end.
    pub(super) async fn next(&mut self, most: usize, separator: u8) -> Result<Piece, Problem> {
        let mut piece = Piece::default();
        let mut looked_at = 0;
        while piece.count < most && looked_at < LOOKED_AT && !self.is_done() {
            let (moments, end) = self.moments().await?;
            looked_at += moments.iter().map(Moment::len).sum::<usize>().max(1);
            let (made, at) = self.look(moments, piece, most, separator).await?;
            piece = made;
            // Behind the last of them nothing is left where the piece is not full.
            self.at = at.unwrap_or(end);
        }
        Ok(piece)
    }

    /// The next generations in which anything changed, and the place after them.
    async fn moments(&self) -> Result<(Vec<Moment>, Mark), Problem> {
        let noise = self.interest.noise;
        let feed = self.state.feed();
        if let Some(moments) = feed.since(self.at, self.until, GENERATIONS, noise) {
            let is_last = moments.len() < GENERATIONS;
            let end = moments.last().filter(|_| !is_last).map(Moment::end);
            return Ok((moments, end.unwrap_or(Mark::after(self.until))));
        }
        let Some(past) = self.state.past.as_ref().filter(|_| !noise) else {
            return Err(expired(&self.state, noise).await);
        };
        if !past.reaches(self.at).await.map_err(unavailable)? {
            return Err(expired(&self.state, noise).await);
        }
        let until = feed.floor(false).min(self.until);
        match older(past.as_ref(), self.at, until, KEPT).await {
            Err(PastError::Unknown) => Err(expired(&self.state, noise).await),
            read => read.map_err(unavailable),
        }
    }

    /// Adds what is wanted of some generations, and says where to go on where the piece became full.
    async fn look(
        &self,
        moments: Vec<Moment>,
        piece: Piece,
        most: usize,
        separator: u8,
    ) -> Result<(Piece, Option<Mark>), Problem> {
        let looking = Looking {
            viewer: self.viewer.clone(),
            interest: Arc::clone(&self.interest),
            at: self.at,
            most,
            separator,
        };
        off_the_road(moments.iter().map(Moment::len).sum(), move || {
            looking.look(&moments, piece)
        })
        .await
    }
}

/// The next changes from a place on, up to a generation, as they were kept, and the place after them.
pub(super) async fn older(
    past: &dyn Past,
    from: Mark,
    until: u64,
    most: usize,
) -> Result<(Vec<Moment>, Mark), PastError> {
    let kept = past.changes(from, until, most).await?;
    let end = kept.last().map(|last| Mark {
        generation: last.generation,
        place: last.place + 1,
    });
    let end = end.unwrap_or(Mark::after(until));
    if kept.is_empty() {
        return Ok((Vec::new(), end));
    }
    // To read changes back takes longer than others would wait.
    let moments = tokio::task::spawn_blocking(move || past::moments(kept)).await;
    let moments = moments.map_err(|_| PastError::Unavailable)?;
    Ok((moments, end))
}

/// Does work of some size: what takes long on a thread that serves nobody.
pub(super) async fn off_the_road<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if size <= LARGE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "changes could not be looked at");
        Problem::new(Code::Internal)
    })
}

struct Looking {
    viewer: Viewer,
    interest: Arc<Interest>,
    at: Mark,
    most: usize,
    separator: u8,
}

impl Looking {
    fn look(&self, moments: &[Moment], mut piece: Piece) -> (Piece, Option<Mark>) {
        for moment in moments {
            let selection = self.viewer.select(moment, &self.interest);
            let first = if moment.generation() == self.at.generation {
                self.at.place
            } else {
                0
            };
            for place in selection.places(first..usize::MAX) {
                if piece.count == self.most {
                    let at = Mark {
                        generation: moment.generation(),
                        place,
                    };
                    return (piece, Some(at));
                }
                piece.add(&selection.tell(place), self.separator);
            }
            if piece.count == self.most {
                return (piece, Some(moment.end()));
            }
        }
        (piece, None)
    }
}

/// What is said where the past cannot be read.
pub(in crate::api) fn unavailable(error: PastError) -> Problem {
    tracing::warn!(%error, "older changes could not be read");
    Problem::new(Code::HistoryUnavailable).with_retry_after(Duration::from_secs(5))
}
