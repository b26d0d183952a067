//! The whole list in one answer, streamed: NDJSON and CSV.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use crate::export::csv::Table;
use crate::inventory::query::Query;
use crate::inventory::token::fingerprint;
use crate::inventory::{Place, Snapshot};

use super::super::code::Code;
use super::super::params::Shape;
use super::super::problem::Problem;
use super::super::respond;
use super::page::{age, header};
use super::{X_INVENTORY_COMPLETE, X_INVENTORY_GENERATION};

/// Clusters in one piece of a streamed answer.
const PIECE: usize = 200;

/// What form the list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Format {
    Json,
    Ndjson,
    Csv,
}

/// Every form.
pub(super) const ALL: [Format; 3] = [Format::Json, Format::Ndjson, Format::Csv];

const TYPES: [(&str, Format); 6] = [
    ("application/json", Format::Json),
    ("application/x-ndjson", Format::Ndjson),
    ("application/ndjson", Format::Ndjson),
    ("text/csv", Format::Csv),
    ("application/*", Format::Json),
    ("*/*", Format::Json),
];

/// Whether a request wants JSON without having to be read closely.
pub(super) fn is_plain_json(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .is_none_or(|accept| matches!(accept.as_bytes(), b"*/*" | b"application/json"))
}

impl Format {
    /// The word used in `format`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// What `Accept` calls it.
    const fn essence(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }

    /// What a request wants of what there is: `format` goes before `Accept`.
    pub(in super::super) fn wanted(
        offered: &[Self],
        parameter: Option<&str>,
        accept: Option<&HeaderValue>,
    ) -> Result<Self, Problem> {
        if let Some(word) = parameter {
            let known = offered.iter().find(|format| format.as_str() == word);
            return known.copied().ok_or_else(|| {
                let words: Vec<&str> = offered.iter().map(|format| format.as_str()).collect();
                Problem::not_one_of("format", word, &words)
            });
        }
        let Some(accept) = accept else {
            return Ok(Self::Json);
        };
        let text = accept.to_str().unwrap_or_default();
        let mut wanted: Vec<(f32, Self)> = Vec::new();
        for part in text.split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let essence = pieces.next().unwrap_or_default();
            let quality = pieces
                .find_map(|piece| piece.strip_prefix("q="))
                .and_then(|q| q.parse().ok())
                .unwrap_or(1.0);
            let known = TYPES.into_iter().find(|(name, format)| {
                name.eq_ignore_ascii_case(essence) && offered.contains(format)
            });
            if let Some((_, format)) = known.filter(|_| quality > 0.0) {
                wanted.push((quality, format));
            }
        }
        // The first of the most wanted ones.
        let best = wanted
            .into_iter()
            .reduce(|best, next| if next.0 > best.0 { next } else { best });
        best.map(|(_, format)| format).ok_or_else(|| {
            let types: Vec<&str> = offered.iter().map(|format| format.essence()).collect();
            let types = types.join(", ");
            Problem::new(Code::NotAcceptable).with_detail(format!("only these can be had: {types}"))
        })
    }
}

/// Answers with everything that a query selects, in its order, or with 304 when the caller has it.
pub(super) fn whole(
    snapshot: &Arc<Snapshot>,
    mut query: Query,
    shape: &Shape,
    format: Format,
    limit: Option<usize>,
    request: &HeaderMap,
) -> Result<Response, Problem> {
    let tag = fingerprint(&format!(
        "{}|{limit:?}|{}|{format:?}",
        snapshot.canonical(&query),
        shape.canonical()
    ));
    let etag = header(&format!("\"{}-{tag}\"", snapshot.edition()))?;
    query.limit = snapshot.len().clamp(1, limit.unwrap_or(usize::MAX));
    let complete = snapshot.coverage(&query.filter).is_complete();
    let mut response = if respond::has(request, &etag) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        stream_of(snapshot, &query, shape, format)
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, etag);
    headers.insert(AGE, age(snapshot.as_of, Timestamp::now()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(VARY, HeaderValue::from_static("accept, authorization"));
    headers.insert(
        X_INVENTORY_COMPLETE,
        HeaderValue::from_static(if complete { "true" } else { "false" }),
    );
    headers.insert(
        X_INVENTORY_GENERATION,
        HeaderValue::from(snapshot.generation),
    );
    Ok(response)
}

/// The clusters as a body that is written while it is sent.
fn stream_of(snapshot: &Arc<Snapshot>, query: &Query, shape: &Shape, format: Format) -> Response {
    let places = snapshot.select(query).places;
    let table = Table;
    let head = (format == Format::Csv).then(|| Bytes::from(table.head()));
    let walk = Walk {
        snapshot: Arc::clone(snapshot),
        places,
        at: 0,
        shape: shape.clone(),
        format,
        table,
    };
    let pieces = stream::unfold(walk, |mut walk| async move {
        walk.next().map(|piece| (Ok::<_, Infallible>(piece), walk))
    });
    let head = stream::iter(head.map(Ok));
    let mut response = Response::new(Body::from_stream(futures_util::StreamExt::chain(
        head, pieces,
    )));
    let headers = response.headers_mut();
    let (content_type, file) = match format {
        Format::Csv => (
            "text/csv; charset=utf-8; header=present",
            "attachment; filename=\"clusters.csv\"",
        ),
        Format::Ndjson | Format::Json => ("application/x-ndjson", "inline"),
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(file));
    response
}

/// How far a streamed answer has come. The snapshot stays the same to the end, whatever is published meanwhile.
struct Walk {
    snapshot: Arc<Snapshot>,
    places: Vec<Place>,
    at: usize,
    shape: Shape,
    format: Format,
    table: Table,
}

impl Walk {
    fn next(&mut self) -> Option<Bytes> {
        let piece = self
            .places
            .get(self.at..(self.at + PIECE).min(self.places.len()))?;
        if piece.is_empty() {
            return None;
        }
        self.at += piece.len();
        let mut body = Vec::with_capacity(piece.len() * 1_600);
        let mut row = Vec::new();
        for place in piece {
            row.clear();
            self.snapshot.append(
                std::slice::from_ref(place),
                self.shape.raw,
                self.shape.nodes,
                &mut row,
            );
            match self.format {
                Format::Csv => self.table.append(&row, &mut body),
                Format::Ndjson | Format::Json => {
                    body.extend_from_slice(&row);
                    body.push(b'\n');
                }
            }
        }
        Some(body.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_goes_before_accept_and_the_most_wanted_type_wins() {
        let wanted = |parameter, accept: Option<&'static str>| {
            Format::wanted(
                &ALL,
                parameter,
                accept.map(HeaderValue::from_static).as_ref(),
            )
        };
        assert_eq!(wanted(None, None).unwrap(), Format::Json);
        assert_eq!(
            wanted(Some("csv"), Some("application/json")).unwrap(),
            Format::Csv
        );
        assert_eq!(
            wanted(
                None,
                Some("text/html, application/x-ndjson;q=0.5, */*;q=0.1")
            )
            .unwrap(),
            Format::Ndjson
        );
        assert_eq!(wanted(None, Some("text/csv")).unwrap(), Format::Csv);
        assert_eq!(
            wanted(None, Some("text/html")).unwrap_err().code(),
            Code::NotAcceptable
        );
        let lines = [Format::Json, Format::Ndjson];
        let csv = HeaderValue::from_static("text/csv, application/x-ndjson;q=0.5");
        assert_eq!(
            Format::wanted(&lines, None, Some(&csv)).unwrap(),
            Format::Ndjson
        );
        assert!(Format::wanted(&lines, Some("csv"), None).is_err());
        assert_eq!(
            wanted(Some("xml"), None).unwrap_err().code(),
            Code::InvalidParameter
        );
    }
}
