//! `/docs/`: the contract as a page. Everything it loads is inside the program, and nothing it does leaves this server.

use std::io::Read;
use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    LOCATION, VARY,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use utoipa_swagger_ui::Config;

use super::code::Code;
use super::path::Segments;
use super::problem::Problem;

/// The page may load and call this server only.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    // Without this the page shows the document's address to a validator on the Internet.
    Arc::new(Config::from("/openapi.json").validator_url("none"))
});

/// Leads `/docs` to `/docs/`, since the page's own links are relative.
pub(super) async fn redirect() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static("/docs/"));
    response
}

/// The page.
pub(super) async fn page(headers: HeaderMap) -> Result<Response, Problem> {
    asset("index.html", &headers)
}

/// One of the files that the page loads.
pub(super) async fn file(path: Segments, headers: HeaderMap) -> Result<Response, Problem> {
    asset(path.raw(1), &headers)
}

fn asset(name: &str, request: &HeaderMap) -> Result<Response, Problem> {
    let file = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG))
        .map_err(|error| {
            tracing::error!(%error, "documentation page could not be rendered");
            Problem::new(Code::Internal)
        })?
        .ok_or_else(|| Problem::new(Code::NotFound))?;
    // The files are kept compressed; nearly every caller takes them so.
    let compressed = file.gzpipped && accepts_gzip(request);
    let body = if file.gzpipped && !compressed {
        inflate(&file.bytes)?
    } else {
        file.bytes.into_owned()
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::try_from(file.content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts.any(|weight| weight.trim_end_matches(['0', '.']) == "q=");
            name.eq_ignore_ascii_case("gzip") && !refused
        })
}

fn inflate(compressed: &[u8]) -> Result<Vec<u8>, Problem> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(compressed)
        .read_to_end(&mut plain)
        .map_err(|error| {
            tracing::error!(%error, "documentation page could not be read");
            Problem::new(Code::Internal)
        })?;
    Ok(plain)
}
