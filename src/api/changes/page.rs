//! Changes as answers: a page of them, the last of them, and all of them.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{CONTENT_DISPOSITION, LINK};
use jiff::Timestamp;

use crate::inventory::query::Position;
use crate::inventory::token::PageToken;
use crate::inventory::{Mark, Moment, Selection};

use super::super::clusters::X_INVENTORY_GENERATION;
use super::super::code::Code;
use super::super::problem::Problem;
use super::super::respond;
use super::question::complete_since;
use super::walk::{GENERATIONS, LOOKED_AT, Piece, Walk, off_the_road};

/// For what a caller may keep, if it asks each time whether it is still so.
const CACHING: &str = "private, no-cache";
/// Changes in one piece of a streamed answer.
const PIECE: usize = 500;

/// A place as a page token.
pub(super) fn token(at: Mark, generation: u64, canonical: &str) -> String {
    let position = Position {
        values: Vec::new(),
        id: at.to_string(),
    };
    PageToken {
        generation,
        position,
    }
    .encode(canonical, Timestamp::now())
}

/// Answers with a page.
pub(super) async fn answer(
    walk: &Walk,
    piece: &Piece,
    since: u64,
    canonical: &str,
    raw: &str,
) -> Result<Response, Problem> {
    let complete_since = complete_since(&walk.state, walk.interest.noise).await;
    let next = (!walk.is_done()).then(|| token(walk.at, walk.until, canonical));
    let mut body = begin(piece, next.as_deref());
    let generation = walk.at.known();
    body.extend_from_slice(
        format!(
            ",\"generation\":{generation},\"since\":{since},\"complete_since\":{complete_since}}}"
        )
        .as_bytes(),
    );
    let link = link("/changes", raw, next.as_deref())?;
    Ok(finish(body, walk.until, link))
}

/// The beginning of a page's JSON: its items, and where the next page begins.
pub(super) fn begin(piece: &Piece, next: Option<&str>) -> Vec<u8> {
    let mut body = Vec::with_capacity(piece.body.len() + 256);
    body.extend_from_slice(b"{\"items\":[");
    body.extend_from_slice(&piece.body);
    body.push(b']');
    if let Some(next) = next {
        // A token has no letter that JSON would escape.
        body.extend_from_slice(format!(",\"next_cursor\":\"{next}\"").as_bytes());
    }
    body
}

/// A page as an answer.
pub(super) fn finish(body: Vec<u8>, generation: u64, link: Option<HeaderValue>) -> Response {
    let mut response = respond::bytes(Bytes::from(body), "application/json", CACHING);
    let headers = response.headers_mut();
    headers.insert(X_INVENTORY_GENERATION, HeaderValue::from(generation));
    if let Some(link) = link {
        headers.insert(LINK, link);
    }
    response
}

/// The next page as a link: the same query with another cursor.
pub(in crate::api) fn link(
    path: &str,
    raw: &str,
    next: Option<&str>,
) -> Result<Option<HeaderValue>, Problem> {
    let Some(next) = next else { return Ok(None) };
    let others = raw
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"));
    let pairs: Vec<&str> = others.chain([""]).collect();
    let text = format!("<{path}?{}cursor={next}>; rel=\"next\"", pairs.join("&"));
    let value = HeaderValue::try_from(text).map_err(|_| Problem::new(Code::Internal))?;
    Ok(Some(value))
}

/// The last changes, at most so many, and the generation after which they are; the walk is at its end then.
pub(super) async fn last(walk: &mut Walk, most: usize) -> Result<(Piece, u64), Problem> {
    let noise = walk.interest.noise;
    let floor = walk.state.feed().floor(noise);
    let (mut until, mut found, mut looked_at) = (walk.until, 0, 0);
    let mut selections: Vec<Selection> = Vec::new();
    while found < most && looked_at < LOOKED_AT && until > floor {
        let moments = walk.state.feed().back(until, GENERATIONS, noise);
        let Some(first) = moments.last() else {
            until = floor;
            break;
        };
        until = first.generation().saturating_sub(1);
        let size = moments.iter().map(Moment::len).sum();
        looked_at += size;
        let (viewer, interest) = (walk.viewer.clone(), Arc::clone(&walk.interest));
        let wanted = most - found;
        let looked = off_the_road(size, move || {
            let mut some = Vec::new();
            let mut count = 0;
            for moment in &moments {
                if count >= wanted {
                    break;
                }
                let selection = viewer.select(moment, &interest);
                count += selection.len();
                some.push(selection);
            }
            (some, count)
        });
        let (some, count) = looked.await?;
        if let Some(last) = some.last() {
            until = last.moment().generation().saturating_sub(1);
        }
        found += count;
        selections.extend(some);
    }
    let mut piece = Piece::default();
    // What is too much is the oldest of the oldest generation.
    let mut skipped = found.saturating_sub(most);
    for selection in selections.iter().rev() {
        for place in selection.places(0..usize::MAX) {
            if skipped > 0 {
                skipped -= 1;
                continue;
            }
            piece.add(&selection.tell(place), b',');
        }
    }
    walk.at = Mark::after(walk.until);
    Ok((piece, until.max(floor)))
}

/// Answers with everything, streamed.
pub(super) async fn whole(mut walk: Walk, most: Option<usize>) -> Result<Response, Problem> {
    let generation = walk.until;
    let mut left = most.unwrap_or(usize::MAX);
    // What is refused is refused before the answer begins.
    let first = lines(&mut walk, &mut left).await?;
    let begun = (Some(first), walk, left);
    let pieces = stream::unfold(begun, |(first, mut walk, mut left)| async move {
        if let Some(first) = first {
            return Some((Ok(first), (None, walk, left)));
        }
        if walk.is_done() || left == 0 {
            return None;
        }
        let piece = lines(&mut walk, &mut left).await;
        // An answer that cannot be finished is cut off, so that nobody takes it for a whole one.
        let piece = piece.map_err(|problem| io::Error::other(problem.code().as_str()));
        Some((piece, (None, walk, left)))
    });
    let mut response = respond::bytes(Bytes::new(), "application/x-ndjson", CACHING);
    *response.body_mut() = Body::from_stream(pieces);
    let headers = response.headers_mut();
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    headers.insert(X_INVENTORY_GENERATION, HeaderValue::from(generation));
    Ok(response)
}

async fn lines(walk: &mut Walk, left: &mut usize) -> Result<Bytes, Problem> {
    let mut piece = walk.next(PIECE.min(*left), b'\n').await?;
    *left -= piece.count;
    if piece.count > 0 {
        piece.body.push(b'\n');
    }
    Ok(piece.body.into())
}
