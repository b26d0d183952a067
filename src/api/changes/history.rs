//! The changes of one cluster, also of one that is gone.

use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ClusterId;
use crate::inventory::past;
use crate::inventory::token::{PageToken, TokenError};
use crate::inventory::{Interest, Mark, Moment};

use super::super::clusters::{known, refuse};
use super::super::params;
use super::super::path::Segments;
use super::super::problem::{Document, Problem};
use super::super::query::Params;
use super::super::state::ApiState;
use super::super::viewer::Viewer;
use super::walk::{GENERATIONS, LOOKED_AT, Piece, off_the_road, unavailable};
use super::{ChangeItem, page, question};

/// Changes that are read of the past in one go.
const KEPT: usize = 256;
/// How often more is read for one page.
const ROUNDS: usize = 8;

/// The changes of one cluster, the newest first.
#[derive(Serialize, ToSchema)]
#[schema(as = ClusterHistory)]
struct ClusterHistory {
    /// The changes.
    items: Vec<ChangeItem>,
    /// Where the next page begins; absent on the last one, and nothing else is a sign of the end.
    #[schema(required = false, nullable = false)]
    next_cursor: Option<String>,
    /// The cluster.
    cluster: String,
    /// All of its changes after this generation are known.
    complete_since: u64,
}

/// Reads the changes of one cluster
///
/// The newest first, as far back as they are known; also of a cluster that is gone. What changes by itself all the time is no part
/// of it.
#[utoipa::path(
    get,
    path = "/clusters/{id}/history",
    tag = "changes",
    operation_id = "read_cluster_history",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("kind" = Option<Vec<crate::inventory::ChangeKind>>, Query, description = "What happened", explode = false),
        ("limit" = Option<u64>, Query, description = "Changes on a page; more than 1000 is taken as 1000", minimum = 1, example = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page of its changes", body = ClusterHistory,
            headers(
                ("X-Inventory-Generation" = u64, description = "The generation that was current"),
                ("Link" = String, description = "The next page, as `rel=\"next\"`"),
            )),
        (status = 404, description = "CLUSTER_NOT_FOUND: neither the cluster nor a change of it is known", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "CURSOR_EXPIRED: start again from the first page", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "SOURCE_UNAVAILABLE: the cluster's source could never be read", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "NOTHING_KNOWN, SOURCE_UNAVAILABLE, HISTORY_UNAVAILABLE or OVERLOADED", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "SOURCE_UNAVAILABLE: the cluster's source never answered in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub async fn read_history(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let raw = request.uri().query().unwrap_or_default();
    let params = Params::read_only(Some(raw), &["kind", "limit", "cursor"])?;
    let viewer = Viewer::of(request.extensions(), &state);
    let snapshot = viewer.current(&state);
    let path = Segments::from(request.uri().clone());
    let (id, problem) = known(&path, &snapshot)?;
    let interest = Interest {
        kinds: question::kinds(&params)?,
        ..Interest::default()
    };
    let canonical = format!(
        "history;{id};{:?};{:032x}",
        interest.kinds,
        snapshot.reach()
    );
    let cursor = params.one("cursor")?;
    let before = match cursor {
        None => Mark::after(snapshot.generation),
        Some(cursor) => {
            let token =
                PageToken::decode(cursor, &canonical, 0, Timestamp::now()).map_err(refuse)?;
            let mark = Mark::parse(&token.position.id);
            mark.ok_or_else(|| refuse(TokenError::Invalid))?
        }
    };
    let mut looking = Looking {
        state: state.clone(),
        viewer,
        id: id.clone(),
        interest,
        before: Some(before),
        piece: Piece::default(),
        most: params::limit(&params)?,
    };
    looking.look().await?;
    if let Some(problem) = problem
        && cursor.is_none()
        && looking.piece.count == 0
    {
        // What is not seen is missing like what never was.
        return Err(problem);
    }
    let next = looking
        .before
        .map(|before| page::token(before, snapshot.generation, &canonical));
    let mut body = page::begin(&looking.piece, next.as_deref());
    let complete_since = question::complete_since(&state, false).await;
    // An id has no letter that JSON would escape.
    body.extend_from_slice(
        format!(",\"cluster\":\"{id}\",\"complete_since\":{complete_since}}}").as_bytes(),
    );
    let link = page::link(request.uri().path(), raw, next.as_deref())?;
    Ok(page::finish(body, snapshot.generation, link))
}

struct Looking {
    state: ApiState,
    viewer: Viewer,
    id: ClusterId,
    interest: Interest,
    /// What is left lies before this place; `None` where nothing is.
    before: Option<Mark>,
    piece: Piece,
    most: usize,
}

impl Looking {
    /// Looks through memory, then through what is older.
    async fn look(&mut self) -> Result<(), Problem> {
        let mut floor = self.state.feed().floor(false);
        for _ in 0..ROUNDS {
            let Some(before) = self.before else {
                return Ok(());
            };
            if before > Mark::after(floor) {
                let (state, id, until) = (self.state.clone(), self.id.clone(), before.generation);
                let moments;
                // What the memory lets go of meanwhile is read where it is kept.
                (moments, floor) = off_the_road(LOOKED_AT, move || {
                    state.feed().of_cluster(&id, until, GENERATIONS)
                })
                .await?;
                let is_last = moments.len() < GENERATIONS;
                let end = moments.last().map(Moment::generation);
                self.take(&moments, before);
                if self.piece.count < self.most {
                    let end = end.filter(|_| !is_last).unwrap_or(floor.saturating_add(1));
                    let end = Mark {
                        generation: end,
                        place: 0,
                    };
                    self.before = Some(end.min(before));
                    if is_last && self.state.past.is_none() {
                        self.before = None;
                    }
                }
            } else if let Some(past) = self.state.past.clone() {
                let kept = past.of_cluster(&self.id, before, KEPT).await;
                let mut kept = kept.map_err(unavailable)?;
                let end = kept.last().map(|last| Mark {
                    generation: last.generation,
                    place: last.place,
                });
                // Each is a moment of its own, so that their order stays as it is.
                let each = kept.drain(..).flat_map(|one| past::moments(vec![one]));
                self.take(&each.collect::<Vec<Moment>>(), before);
                if self.piece.count < self.most {
                    self.before = end;
                }
            } else {
                self.before = None;
            }
            if self.piece.count >= self.most {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tells what the caller learns of some moments, the newest of which comes first, and goes on behind it.
    fn take(&mut self, moments: &[Moment], before: Mark) {
        for moment in moments {
            let selection = self.viewer.select(moment, &self.interest).of(&self.id);
            let end = if moment.generation() == before.generation {
                before.place
            } else {
                usize::MAX
            };
            for place in selection.places(0..end).rev() {
                if self.piece.count == self.most {
                    return;
                }
                self.piece.add(&selection.tell(place), b',');
                self.before = Some(Mark {
                    generation: moment.generation(),
                    place,
                });
            }
        }
    }
}
