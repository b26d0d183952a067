//! Pages: joined from prepared rows, remembered with their headers, also compressed.

use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LINK, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::domain::SourceName;
use crate::inventory::query::Query;
use crate::inventory::token::{PageToken, fingerprint};
use crate::inventory::{Place, Snapshot};

use super::super::code::Code;
use super::super::params::Shape;
use super::super::problem::Problem;
use super::super::respond;
use super::super::sources::statuses;
use super::super::state::ApiState;
use super::shape::keep_fields;
use super::{X_INVENTORY_COMPLETE, X_INVENTORY_GENERATION};

/// Bytes of bodies that are remembered at most.
const REMEMBERED_BYTES: u64 = 16 << 20;
/// A body larger than this is made on a thread that serves nothing.
const LARGE: usize = 256;
/// A body smaller than this is not compressed.
const WORTH_COMPRESSING: usize = 1_024;

const CACHING: HeaderValue =
    HeaderValue::from_static("private, max-age=1, stale-while-revalidate=30");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const VARYING: HeaderValue = HeaderValue::from_static("accept, accept-encoding");

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Coding {
    /// The best coding that a caller accepts.
    pub fn accepted(header: Option<&HeaderValue>) -> Self {
        let Some(text) = header.and_then(|value| value.to_str().ok()) else {
            return Self::Identity;
        };
        let takes = |coding: &str| {
            text.split(',').any(|part| {
                let (name, quality) = part.split_once(';').unwrap_or((part, ""));
                let is_refused = quality
                    .trim()
                    .strip_prefix("q=")
                    .is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
                name.trim().eq_ignore_ascii_case(coding) && !is_refused
            })
        };
        if takes("zstd") {
            Self::Zstd
        } else if takes("gzip") {
            Self::Gzip
        } else {
            Self::Identity
        }
    }

    fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => "-gz",
            Self::Zstd => "-zs",
        }
    }

    fn code(self, body: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Identity => Some(body),
            Self::Gzip => {
                let mut coder = flate2::write::GzEncoder::new(
                    Vec::with_capacity(body.len() / 6),
                    flate2::Compression::new(4),
                );
                coder.write_all(&body).ok()?;
                coder.finish().ok()
            }
            Self::Zstd => zstd::bulk::compress(&body, 3).ok(),
        }
    }
}

/// A page ready to be sent, as often as it is asked for.
#[derive(Debug)]
pub struct Page {
    body: Bytes,
    headers: HeaderMap,
    etag: HeaderValue,
    as_of: Timestamp,
}

impl Page {
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
pub(super) fn age(since: Timestamp, now: Timestamp) -> HeaderValue {
    HeaderValue::from(u64::try_from(now.as_second() - since.as_second()).unwrap_or(0))
}

/// Pages that were asked for before, within a bound of bytes.
#[derive(Debug)]
pub struct Pages(Cache<Key, Arc<Page>, Weight>);

impl Default for Pages {
    fn default() -> Self {
        Self(Cache::with_weighter(4_096, REMEMBERED_BYTES, Weight))
    }
}

impl Pages {
    /// A page of a generation, under the query as it was sent.
    pub fn get(&self, generation: u64, query: &str, coding: Coding) -> Option<Arc<Page>> {
        self.0.get(&Asked {
            generation,
            query,
            coding,
        })
    }

    fn insert(&self, generation: u64, query: String, coding: Coding, page: &Arc<Page>) {
        self.0.insert(
            Key {
                generation,
                query: query.into(),
                coding,
            },
            Arc::clone(page),
        );
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    generation: u64,
    query: Box<str>,
    coding: Coding,
}

struct Asked<'a> {
    generation: u64,
    query: &'a str,
    coding: Coding,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.generation, &*self.query, self.coding).hash(state);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.generation, self.query, self.coding).hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.generation == key.generation && self.coding == key.coding && self.query == &*key.query
    }
}

#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<Key, Arc<Page>> for Weight {
    fn weight(&self, key: &Key, page: &Arc<Page>) -> u64 {
        (key.query.len() + page.body.len() + 1_024) as u64
    }
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

/// Makes a page of a snapshot and remembers it.
pub(super) async fn build(
    state: &ApiState,
    snapshot: Arc<Snapshot>,
    wanted: Wanted,
) -> Result<Arc<Page>, Problem> {
    // The walk goes on in this generation, if its order can change meanwhile.
    let is_walk_pinned = !wanted.query.sort.is_immutable();
    let (raw, coding) = (wanted.raw.clone(), wanted.coding);
    let is_large =
        wanted.query.limit > LARGE || coding != Coding::Identity || wanted.shape.fields.is_some();
    let made = if is_large {
        let snapshot = Arc::clone(&snapshot);
        tokio::task::spawn_blocking(move || make(&snapshot, wanted))
            .await
            .map_err(|error| {
                tracing::error!(%error, "a page could not be made");
                Problem::new(Code::Internal)
            })?
    } else {
        make(&snapshot, wanted)
    };
    let (page, more) = made?;
    if more && is_walk_pinned {
        state.inventory.retain(&snapshot);
    }
    let page = Arc::new(page);
    // A page of an older generation belongs to a walk and is hardly asked for twice.
    let current = state.inventory.current().generation;
    if snapshot.generation == current {
        state.pages.insert(current, raw, coding, &page);
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

    let coding = if body.len() < WORTH_COMPRESSING {
        Coding::Identity
    } else {
        coding
    };
    let body = coding
        .code(body)
        .ok_or_else(|| Problem::new(Code::Internal))?;
    let place = query
        .after
        .as_ref()
        .map(|after| format!("{after:?}"))
        .unwrap_or_default();
    let tag = fingerprint(&format!(
        "{canonical}|{place}|{}|{}|{with_total}",
        query.limit,
        shape.canonical()
    ));
    let etag = header(&format!(
        "\"{}-{tag}{}\"",
        snapshot.generation,
        coding.suffix()
    ))?;
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ETAG, etag.clone());
    headers.insert(CACHE_CONTROL, CACHING);
    headers.insert(VARY, VARYING);
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
    if let Some(next) = &next {
        headers.insert(LINK, header(&link(&raw, next))?);
    }
    Ok((
        Page {
            body: body.into(),
            headers,
            etag,
            as_of: snapshot.as_of,
        },
        found.more,
    ))
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
    let etag = header(&snapshot.tag(place, shown.as_deref()))?;
    let mut response = if request.contains_key(IF_NONE_MATCH) && respond::has(request, &etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        let mut body = Vec::with_capacity(snapshot.row(place).json_len() + 256);
        append(snapshot, &[place], shape, &mut body)?;
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(CACHE_CONTROL, CACHING);
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
    fn the_best_accepted_coding_is_taken() {
        let coding = |text: &'static str| Coding::accepted(Some(&HeaderValue::from_static(text)));
        assert_eq!(Coding::accepted(None), Coding::Identity);
        assert_eq!(coding("gzip, deflate, br, zstd"), Coding::Zstd);
        assert_eq!(coding("GZIP;q=0.5, zstd;q=0"), Coding::Gzip);
        assert_eq!(coding("br, *"), Coding::Identity);
    }

    #[test]
    fn the_next_link_repeats_the_query_with_another_cursor() {
        assert_eq!(link("", "n"), "</clusters?cursor=n>; rel=\"next\"");
        assert_eq!(
            link("state=running&cursor=old&limit=2", "n"),
            "</clusters?state=running&limit=2&cursor=n>; rel=\"next\""
        );
    }
}
