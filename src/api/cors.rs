//! Which pages of other sites may ask, and read the answers: those of the origins that are named, and no others.
//!
//! A browser asks first before it sends anything that a plain form could not (a preflight), and keeps an answer from the page
//! unless it names the page's origin. No cookie is ever used, so credentials of the browser's own are never allowed for.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// What a page may send beside what needs no asking.
const SENT: HeaderValue = HeaderValue::from_static(
    "authorization, cache-control, content-type, idempotency-key, if-match, if-none-match, last-event-id, x-request-id",
);

/// What a page may read beside what needs no allowing.
const READ: HeaderValue = HeaderValue::from_static(
    "age, etag, idempotency-replayed, link, location, ratelimit, ratelimit-policy, retry-after, www-authenticate, x-inventory-complete, x-inventory-generation, x-kubeconfig-missing, x-request-id, x-source-error",
);

/// How long a browser need not ask again, in seconds.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");

/// Origins of other sites whose pages may ask.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(Vec<HeaderValue>);

impl Origins {
    /// Origins as browsers write them, such as `https://dash.example.com`; what cannot stand in a header is no origin.
    pub fn new<S: AsRef<str>>(origins: &[S]) -> Self {
        let values = origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin.as_ref()).ok());
        Self(values.collect())
    }

    /// Whether an origin is one of them.
    pub(super) fn include(&self, origin: &HeaderValue) -> bool {
        self.0.contains(origin)
    }

    /// The origin that a request comes from, where it is one of them.
    pub(super) fn of(&self, request: &Request) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let mut origins = request.headers().get_all(ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(only), None) if self.include(only) => Some(only.clone()),
            _ => None,
        }
    }

    /// Tells the browser whether the page may read an answer; and others that it depends on who asks.
    pub(super) fn tell(&self, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        if self.0.is_empty() {
            return;
        }
        headers.append(VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = origin {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, READ);
        }
    }
}

/// Whether a browser asks on behalf of a page what the page may ask.
pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What a page may ask. Whether it may is told like on every answer.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, SENT);
    headers.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    response
}

#[cfg(test)]
mod tests {
    use super::super::testing::{reports, send_request, state_of};
    use super::super::{Settings, router};
    use super::*;

    const OWN: &str = "https://dash.example.com";

    fn app(origins: &[&str]) -> axum::Router {
        let settings = Settings {
            cors: Origins::new(origins),
            ..Settings::default()
        };
        router(state_of(reports(), settings))
    }

    async fn ask(
        app: &axum::Router,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Response {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send_request(app, request.body(Body::empty()).unwrap()).await
    }

    fn told<'a>(response: &'a Response, name: &str) -> &'a str {
        let value = response.headers().get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    fn varies(response: &Response) -> bool {
        let mut values = response.headers().get_all(VARY).iter();
        values.any(|value| value == "origin")
    }

    #[tokio::test]
    async fn a_page_reads_if_its_origin_is_named_exactly() {
        let app = app(&["http://localhost:3000", OWN]);
        for (origin, expected) in [
            (OWN, true),
            ("http://localhost:3000", true),
            ("http://dash.example.com", false),
            ("https://dash.example.com:8443", false),
            ("https://DASH.example.com", false),
            ("https://dash.example.com.evil.example", false),
            ("https://example.com", false),
            ("null", false),
            ("", false),
        ] {
            for target in ["/sources", "/livez", "/nothing", "/sources?x=1"] {
                let response = ask(&app, "GET", target, &[("origin", origin)]).await;
                let allowed = told(&response, "access-control-allow-origin");
                assert_eq!(allowed, if expected { origin } else { "" }, "{target}");
                let exposed = told(&response, "access-control-expose-headers");
                for name in [
                    "idempotency-replayed",
                    "x-kubeconfig-missing",
                    "x-request-id",
                    "x-source-error",
                ] {
                    assert_eq!(exposed.contains(name), expected, "{name}");
                }
                assert_eq!(told(&response, "access-control-allow-credentials"), "");
                assert!(varies(&response), "{target} {origin}");
            }
        }
        let plain = ask(&app, "GET", "/sources", &[]).await;
        assert!(varies(&plain) && told(&plain, "access-control-allow-origin").is_empty());
        let two = [("origin", OWN), ("origin", OWN)];
        let twofold = ask(&app, "GET", "/sources", &two).await;
        assert_eq!(told(&twofold, "access-control-allow-origin"), "");
    }

    #[tokio::test]
    async fn a_browser_is_told_before_what_a_page_may_send() {
        let app = app(&[OWN]);
        let asking = [("access-control-request-method", "POST")];
        for target in ["/clusters", "/sources/main/refresh", "/nothing"] {
            let from_page = [asking.as_slice(), &[("origin", OWN)]].concat();
            let response = ask(&app, "OPTIONS", target, &from_page).await;
            assert_eq!(response.status(), 204, "{target}");
            assert_eq!(told(&response, "access-control-allow-origin"), OWN);
            assert!(told(&response, "access-control-allow-methods").contains("POST"));
            let sent = told(&response, "access-control-allow-headers");
            assert!(sent.contains("authorization") && sent.contains("cache-control"));
            assert_eq!(told(&response, "access-control-max-age"), "600");
            assert!(varies(&response));
        }
        for headers in [
            &[asking.as_slice(), &[("origin", "https://evil.example")]].concat(),
            &asking.to_vec(),
            &vec![("origin", OWN)],
        ] {
            let response = ask(&app, "OPTIONS", "/sources", headers).await;
            assert_eq!(response.status(), 405, "{headers:?}");
            assert_eq!(told(&response, "access-control-allow-methods"), "");
        }
    }

    #[tokio::test]
    async fn a_page_of_a_named_origin_may_ask_for_a_change() {
        let app = app(&[OWN]);
        for (origin, status) in [(OWN, 202), ("https://evil.example", 403)] {
            let headers = [("origin", origin), ("sec-fetch-site", "cross-site")];
            let response = ask(&app, "POST", "/sources/main/refresh", &headers).await;
            assert_eq!(response.status(), status, "{origin}");
        }
        let unnamed = [("sec-fetch-site", "cross-site")];
        let response = ask(&app, "POST", "/sources/main/refresh", &unnamed).await;
        assert_eq!(response.status(), 403);
    }

    #[tokio::test]
    async fn without_origins_nothing_is_told() {
        let app = app(&[]);
        let headers = [("origin", OWN), ("access-control-request-method", "GET")];
        for (method, status) in [("GET", 200), ("OPTIONS", 405)] {
            let response = ask(&app, method, "/sources", &headers).await;
            assert_eq!(response.status(), status);
            assert!(!varies(&response));
            let names = response.headers().keys();
            assert!(
                !names
                    .map(http::HeaderName::as_str)
                    .any(|name| name.starts_with("access-control"))
            );
        }
    }
}
