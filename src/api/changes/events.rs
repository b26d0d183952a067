//! What changes, as it happens.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, HeaderName};
use http::{HeaderMap, HeaderValue};
use std::convert::Infallible;
use std::time::Duration;

use crate::inventory::{ChangeKind, Mark};

use super::super::code::Code;
use super::super::filters::FiltersInShort;
use super::super::params::FILTERS;
use super::super::problem::{Document, Problem};
use super::super::query::Params;
use super::super::respond;
use super::super::state::ApiState;
use super::super::viewer::Viewer;
use super::credential::Credential;
use super::question::{self, CHOOSING, Since};
use super::stream::{Begin, Place, Watch};
use super::walk::unavailable;

/// The media type of an event stream.
const EVENT_STREAM: &str = "text/event-stream";
/// Where a client goes on that was cut off.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells proxies not to hold anything back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Watches changes
///
/// A stream of server-sent events that does not end by itself:
///
/// - `changes`: what changed in one generation, as `{"generation", "at", "items"}` with items as in `GET /changes`. More than 500
///   come in parts.
/// - `generation`: all changes up to this generation are told, as `{"generation", "complete"}`; at the start, and from time to time
///   where generations pass in which nothing changed that was asked for.
/// - `reset`: not all that changed is known any more. List the clusters anew; the stream goes on from the generation that it names.
///
/// The `id` of an event is a place to go on from, as `Last-Event-ID` or `since`: nothing is missed and nothing is told again. The
/// way from a list to a stream is `since=<generation of the list>`. A comment comes every 15 seconds, or more often, where there
/// is nothing else to say. A client that reads too slowly is cut off, and can go on where it was.
#[utoipa::path(
    get,
    path = "/events",
    tag = "changes",
    operation_id = "watch_changes",
    params(
        ("since" = Option<String>, Query, description = "A generation, as answers name it, the `id` of an event, or an RFC 3339 time; without it the stream begins now", example = "1800000000000"),
        ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was read; goes before `since`"),
        ("kind" = Option<Vec<ChangeKind>>, Query, description = "What happened", explode = false),
        ("noise" = Option<bool>, Query, description = "Also what changes by itself all the time: measurements, counters, clocks"),
        FiltersInShort,
    ),
    responses(
        (status = 200, description = "Events, until either side ends the stream", body = String, content_type = "text/event-stream"),
        (status = 406, description = "NOT_ACCEPTABLE: only an event stream can be had", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "HISTORY_UNAVAILABLE, OVERLOADED: there are as many streams as there may be, or SHUTTING_DOWN", body = Document, content_type = "application/problem+json"),
    )
)]
pub async fn watch_changes(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers();
    let params = Params::read(request.uri().query())?;
    let mut allowed = FILTERS.to_vec();
    allowed.extend(CHOOSING);
    params.only(&allowed)?;
    if !is_accepted(headers) {
        return Err(Problem::new(Code::NotAcceptable)
            .with_detail(format!("only this can be had: {EVENT_STREAM}")));
    }
    if state.is_draining() {
        return Err(Problem::new(Code::ShuttingDown).with_retry_after(Duration::from_secs(1)));
    }
    let viewer = Viewer::of(request.extensions(), &state);
    let snapshot = viewer.current(&state);
    let interest = question::interest(&params, &snapshot, &state)?;
    let last = headers.get(LAST_EVENT_ID).filter(|id| !id.is_empty());
    let wanted = match last {
        // What is no text is no id of ours either.
        Some(id) => Some(("Last-Event-ID", id.to_str().unwrap_or("?"))),
        None => params.one("since")?.map(|since| ("since", since)),
    };
    let until = snapshot.generation;
    let begin = match wanted {
        None => Begin::At(Mark::after(until)),
        Some((name, text)) => {
            match question::since(name, text, &state, until, interest.noise).await? {
                Since::Known(mark) if reaches(&state, mark, interest.noise).await? => {
                    Begin::At(mark)
                }
                Since::Known(_) | Since::Unknown => Begin::Anew(until),
            }
        }
    };
    let watch = Watch::new(
        Place::take(&state)?,
        state.clone(),
        viewer,
        interest,
        begin,
        Credential::of(&state, &request),
    );
    let events = stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await?;
        Some((Ok::<Bytes, Infallible>(event), watch))
    });
    let mut response = respond::bytes(Bytes::new(), EVENT_STREAM, respond::NO_STORE);
    *response.body_mut() = Body::from_stream(events);
    let headers = response.headers_mut();
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Whether all that changed after a place is known, here or where it is kept.
async fn reaches(state: &ApiState, from: Mark, noise: bool) -> Result<bool, Problem> {
    if from >= Mark::after(state.feed().floor(noise)) {
        return Ok(true);
    }
    match state.past.as_ref().filter(|_| !noise) {
        Some(past) => past.reaches(from).await.map_err(unavailable),
        None => Ok(false),
    }
}

fn is_accepted(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let mut accepted = accepted.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let takes = |part: &str| {
        let essence = part.split(';').next().unwrap_or_default().trim();
        [EVENT_STREAM, "text/*", "*/*"].contains(&essence.to_ascii_lowercase().as_str())
    };
    !headers.contains_key(ACCEPT) || accepted.any(takes)
}
