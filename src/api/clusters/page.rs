//! Pages and single clusters: joined from prepared rows, with their headers, also compressed.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use crate::domain::SourceName;
use crate::inventory::query::Query;
use crate::inventory::token::{PageToken, fingerprint};
use crate::inventory::{Place, Snapshot, View};

use super::super::code::Code;
use super::super::params::Shape;
use super::super::problem::Problem;
use super::super::respond;
use super::super::sources::statuses;
use super::super::state::ApiState;
use super::coding::Coding;
use super::shape::keep_fields;
use super::{X_INVENTORY_COMPLETE, X_INVENTORY_GENERATION};

/// A body larger than this is made on a thread that serves nothing.
const LARGE: usize = 256;
/// A body smaller than this is not compressed.
const WORTH_COMPRESSING: usize = 1_024;

const CACHING: HeaderValue =
    HeaderValue::from_static("private, max-age=1, stale-while-revalidate=30");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Bytes of a cluster that no row holds: its links, and how fresh it is.
const BESIDES: usize = 768;
const VARYING: HeaderValue = HeaderValue::from_static("accept, accept-encoding, authorization");

/// A page ready to be sent, as often as it is asked for.
#[derive(Debug)]
pub struct Page {
    body: Bytes,
    headers: HeaderMap,
    etag: HeaderValue,
    as_of: Timestamp,
}

/// What the headers of a page say.
pub(in super::super) struct About<'a> {
    /// What the page shows a part of.
    pub snapshot: &'a Snapshot,
    /// What it shows of its generation: the entity tag is of nothing else.
    pub what: &'a str,
    pub complete: bool,
    pub varying: HeaderValue,
}

impl Page {
    /// Codes a body, where that is worth it, and tags it.
    pub(in super::super) fn new(
        body: Vec<u8>,
        coding: Coding,
        about: About<'_>,
    ) -> Result<Self, Problem> {
        let coding = if body.len() < WORTH_COMPRESSING {
            Coding::Identity
        } else {
            coding
        };
        let body = coding
            .code(body)
            .ok_or_else(|| Problem::new(Code::Internal))?;
        let About {
            snapshot,
            what,
            complete,
            varying,
        } = about;
        let etag = header(&format!(
            "\"{}-{}{}\"",
            snapshot.edition(),
            fingerprint(what),
            coding.suffix()
        ))?;
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(ETAG, etag.clone());
        headers.insert(CACHE_CONTROL, CACHING);
        headers.insert(VARY, varying);
        headers.insert(
            X_INVENTORY_COMPLETE,
            HeaderValue::from_static(if complete { "true" } else { "false" }),
        );
        headers.insert(
            X_INVENTORY_GENERATION,
            HeaderValue::from(snapshot.generation),
        );
        if let Some(coding) = coding.header() {
            headers.insert(CONTENT_ENCODING, coding);
        }
        Ok(Self {
            body: body.into(),
            headers,
            etag,
            as_of: snapshot.as_of,
        })
    }

    /// Bytes of its body.
    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    /// Answers with the page, or with 304 when the caller has it.
    pub fn answer(&self, request: &HeaderMap, now: Timestamp) -> Response {
        let mut response =
            if request.contains_key(IF_NONE_MATCH) && respond::has(request, &self.etag) {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            } else {
                Response::new(Body::from(self.body.clone()))
            };
        let is_whole = response.status() == StatusCode::OK;
        *response.headers_mut() = self.headers.clone();
        if !is_whole {
            response.headers_mut().remove(CONTENT_TYPE);
            response.headers_mut().remove(CONTENT_ENCODING);
        }
        response.headers_mut().insert(AGE, age(self.as_of, now));
        response
    }
}

/// The `Age` of an answer, in whole seconds.
pub(in super::super) fn age(since: Timestamp, now: Timestamp) -> HeaderValue {
    HeaderValue::from(u64::try_from(now.as_second() - since.as_second()).unwrap_or(0))
}

/// A page that is to be made.
pub(super) struct Wanted {
    pub query: Query,
    pub shape: Shape,
    pub canonical: String,
    pub with_total: bool,
    /// The query as it was sent: the page is remembered under it.
    pub raw: String,
    pub coding: Coding,
}

/// Makes a page of what the caller sees and remembers it.
pub(super) async fn build(
    state: &ApiState,
    view: View,
    wanted: Wanted,
) -> Result<Arc<Page>, Problem> {
    // The walk goes on in this generation, if its order can change meanwhile.
    let is_walk_pinned = !wanted.query.sort.is_immutable();
    let (raw, coding) = (wanted.raw.clone(), wanted.coding);
    let is_large =
        wanted.query.limit > LARGE || coding != Coding::Identity || wanted.shape.fields.is_some();
    let made = if is_large {
        let snapshot = Arc::clone(view.seen());
        tokio::task::spawn_blocking(move || make(&snapshot, wanted))
            .await
            .map_err(|error| {
                tracing::error!(%error, "a page could not be made");
                Problem::new(Code::Internal)
            })?
    } else {
        make(&view, wanted)
    };
    let (page, more) = made?;
    if more && is_walk_pinned && !view.is_of_then() {
        state.retain(&view);
    }
    let page = Arc::new(page);
    // A page of an older generation belongs to a walk and is hardly asked for twice.
    if view.generation == state.generation() {
        state.pages.insert(&view, raw, coding, &page);
    }
    Ok(page)
}

fn make(snapshot: &Snapshot, wanted: Wanted) -> Result<(Page, bool), Problem> {
    let Wanted {
        query,
        shape,
        canonical,
        with_total,
        raw,
        coding,
    } = wanted;
    let found = snapshot.select(&query);
    let next = found
        .more
        .then(|| found.places.last())
        .flatten()
        .map(|last| {
            let position = snapshot.position(&query.sort, *last);
            PageToken {
                generation: snapshot.generation,
                position,
            }
            .encode(&canonical, snapshot.as_of)
        });
    let coverage = snapshot.coverage(&query.filter);
    let complete = coverage.is_complete();
    let sources = statuses(&coverage, snapshot.as_of);
    let unreachable: Vec<&SourceName> = coverage.unreachable().collect();

    let mut body = Vec::with_capacity(found.places.len() * 1_600 + 1_024);
    body.extend_from_slice(b"{\"items\":[");
    append(snapshot, &found.places, &shape, &mut body)?;
    body.push(b']');
    if let Some(next) = &next {
        member(&mut body, "next_cursor", &next);
    }
    if with_total {
        member(&mut body, "total", &found.total);
    }
    member(&mut body, "complete", &complete);
    member(&mut body, "unreachable", &unreachable);
    member(&mut body, "sources", &sources);
    member(&mut body, "generation", &snapshot.generation);
    member(&mut body, "as_of", &snapshot.as_of);
    body.push(b'}');

    let place = query
        .after
        .as_ref()
        .map(|after| format!("{after:?}"))
        .unwrap_or_default();
    let what = format!(
        "{canonical}|{place}|{}|{}|{with_total}",
        query.limit,
        shape.canonical()
    );
    let about = About {
        snapshot,
        what: &what,
        complete,
        varying: VARYING,
    };
    let mut page = Page::new(body, coding, about)?;
    if let Some(next) = &next {
        page.headers.insert(LINK, header(&link(&raw, next))?);
    }
    Ok((page, found.more))
}

/// The next page as a link: the same query with another cursor.
fn link(raw: &str, next: &str) -> String {
    let others = raw
        .split('&')
        .filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("cursor"));
    let pairs: Vec<&str> = others.collect();
    let query = if pairs.is_empty() {
        String::new()
    } else {
        format!("{}&", pairs.join("&"))
    };
    format!("</clusters?{query}cursor={next}>; rel=\"next\"")
}

/// A header's value.
pub(super) fn header(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(text).map_err(|_| Problem::new(Code::Internal))
}

fn member(body: &mut Vec<u8>, name: &str, value: &impl serde::Serialize) {
    // Texts, numbers and lists of them always serialize.
    let value = serde_json::to_vec(value).unwrap_or_default();
    body.extend_from_slice(format!(",\"{name}\":").as_bytes());
    body.extend_from_slice(&value);
}

fn append(
    snapshot: &Snapshot,
    places: &[Place],
    shape: &Shape,
    body: &mut Vec<u8>,
) -> Result<(), Problem> {
    match &shape.fields {
        None => snapshot.append(places, shape.raw, shape.nodes, body),
        Some(fields) => {
            let mut row = Vec::new();
            for (at, place) in places.iter().enumerate() {
                if at > 0 {
                    body.push(b',');
                }
                row.clear();
                snapshot.append(
                    std::slice::from_ref(place),
                    shape.raw,
                    shape.nodes,
                    &mut row,
                );
                keep_fields(&row, fields, body)?;
            }
        }
    }
    Ok(())
}

/// Answers with one cluster.
pub(super) fn one(
    snapshot: &Snapshot,
    place: Place,
    shape: &Shape,
    request: &HeaderMap,
) -> Result<Response, Problem> {
    let shown = (*shape != Shape::default()).then(|| shape.canonical());
    let etag = HeaderValue::try_from(snapshot.tag(place, shown.as_deref()))
        .map_err(|_| Problem::new(Code::Internal))?;
    let mut response = if request.contains_key(IF_NONE_MATCH) && respond::has(request, &etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut body = Vec::with_capacity(snapshot.row(place).json_len() + BESIDES);
        append(snapshot, &[place], shape, &mut body)?;
        let mut response = Response::new(Body::from(body));
        // What each answer has, so that the map of them is made once.
        response.headers_mut().reserve(12);
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(CACHE_CONTROL, CACHING);
    headers.insert(VARY, HeaderValue::from_static("authorization"));
    headers.insert(
        X_INVENTORY_GENERATION,
        HeaderValue::from(snapshot.generation),
    );
    if let Some(fetched_at) = snapshot.fetched_at(place) {
        headers.insert(AGE, age(fetched_at, Timestamp::now()));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_repeats_the_query_with_another_cursor() {
        assert_eq!(link("", "n"), "</clusters?cursor=n>; rel=\"next\"");
        assert_eq!(
            link("state=running&cursor=old&limit=2", "n"),
            "</clusters?state=running&limit=2&cursor=n>; rel=\"next\""
        );
    }
}
