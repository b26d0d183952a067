//! `/docs/`: the contract as a page. Everything it loads is inside the program, and nothing it does leaves this server.

use std::sync::{Arc, LazyLock};

use axum::response::Response;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION,
};
use http::{HeaderValue, StatusCode};
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
pub(super) async fn page() -> Result<Response, Problem> {
    asset("index.html")
}

/// One of the files that the page loads.
pub(super) async fn file(path: Segments) -> Result<Response, Problem> {
    asset(path.raw(1))
}

fn asset(name: &str) -> Result<Response, Problem> {
    let file = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG))
        .map_err(|error| {
            tracing::error!(%error, "documentation page could not be rendered");
            Problem::new(Code::Internal)
        })?
        .ok_or_else(|| Problem::new(Code::NotFound))?;
    let mut response = Response::new(axum::body::Body::from(Bytes::from(file.bytes.into_owned())));
    let headers = response.headers_mut();
    if let Ok(content_type) = HeaderValue::try_from(file.content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if file.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=3600"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(response)
}
