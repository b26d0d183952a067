//! JSON answers.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use super::code::Code;
use super::problem::Problem;

/// For what is true only now.
pub const NO_STORE: &str = "no-store";
/// For what changes rarely and may depend on who asks.
pub const BRIEF: &str = "private, max-age=5";

/// Renders a value as JSON.
pub fn json(value: &impl Serialize, caching: &'static str) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "answer could not be serialized");
        Problem::new(Code::Internal)
    })?;
    Ok(bytes(Bytes::from(body), "application/json", caching))
}

/// Answers with a prepared body.
pub fn bytes(body: Bytes, content_type: &'static str, caching: &'static str) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
    if caching.starts_with("private") {
        // One client may show one token after the other, and its cache must not mix up what each of them sees.
        headers.insert(VARY, HeaderValue::from_static("authorization"));
    }
    response
}

/// A body that never changes while the process runs, with its strong tag.
#[derive(Debug)]
pub struct Fixed {
    body: Bytes,
    etag: HeaderValue,
}

impl Fixed {
    /// Tags a body.
    pub fn new(body: Vec<u8>) -> Self {
        let hash = blake3::hash(&body).to_hex();
        Self {
            etag: HeaderValue::try_from(format!("\"{}\"", &hash[..32]))
                .unwrap_or(HeaderValue::from_static("\"0\"")),
            body: Bytes::from(body),
        }
    }

    /// Answers with the body, or with 304 when the caller has it.
    pub fn answer(&self, request: &HeaderMap, content_type: &'static str) -> Response {
        let mut response = if has(request, &self.etag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
                .headers_mut()
                .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            response
        } else {
            bytes(self.body.clone(), content_type, "no-cache")
        };
        response.headers_mut().insert(ETAG, self.etag.clone());
        response
    }
}

/// Whether `If-None-Match` names this tag; the comparison is weak, as RFC 9110 asks.
pub fn has(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let Ok(etag) = etag.to_str() else {
        return false;
    };
    let bare = etag.strip_prefix("W/").unwrap_or(etag);
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_has_the_body_gets_304() {
        let fixed = Fixed::new(b"{}".to_vec());
        let first = fixed.answer(&HeaderMap::new(), "application/json");
        assert_eq!(first.status(), StatusCode::OK);
        let etag = first.headers()[ETAG].to_str().unwrap().to_owned();
        for tag in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"x\", {etag}"),
            "*".into(),
        ] {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, tag.parse().unwrap());
            let again = fixed.answer(&request, "application/json");
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{tag}");
            assert_eq!(again.headers()[ETAG].to_str().unwrap(), etag);
        }
    }
}
