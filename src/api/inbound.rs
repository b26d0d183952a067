//! What every request passes: one hand-written layer, since each generic one costs as much as an answer from memory.
//!
//! It gives the request an id, refuses what is too long, too large, too many or for somebody else, reads the body of what asks for
//! a change, turns a panic into a problem, completes problems with path and id, counts, and writes the one event of the access log.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, HeaderName, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Uri};
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::telemetry::metrics::RouteMetrics;

use super::body::{read_to_end, too_large};
use super::code::Code;
use super::problem::Problem;
use super::query::escapes_are_whole;
use super::site::{Authority, is_safe, refuse_foreign};
use super::state::ApiState;

/// The header that carries a request's id, in both directions.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the gates of all routes, which share what they know of the server's load.
#[derive(Clone)]
pub(super) struct Inbound(Arc<Shared>);

struct Shared {
    state: ApiState,
    ids: Ids,
}

impl Inbound {
    pub(super) fn new(state: ApiState) -> Self {
        Self(Arc::new(Shared {
            state,
            ids: Ids::new(),
        }))
    }

    /// The gate of a route.
    pub(super) fn gate(&self, template: &'static str, door: Door) -> Gate {
        Gate(Arc::new(Route {
            metrics: self.0.state.metrics.route(template),
            door,
            shared: Arc::clone(&self.0),
        }))
    }
}

/// How far a route is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Closed while the server is too busy, and to requests for other hosts.
    Guarded,
    /// Closed to requests for other hosts alone.
    Uncapped,
    /// Never closed.
    Open,
}

struct Route {
    metrics: RouteMetrics,
    door: Door,
    shared: Arc<Shared>,
}

impl Route {
    /// Counts the request in, unless there are too many.
    fn enter(self: &Arc<Self>) -> Result<Permit, Problem> {
        let state = &self.shared.state;
        let before = state.metrics.in_flight().inc();
        let permit = Permit(Arc::clone(&self.shared));
        let is_full = usize::try_from(before).is_ok_and(|n| n >= state.settings.max_in_flight);
        if self.door == Door::Guarded && (is_full || state.load.refuses_next()) {
            state.metrics.shed().inc();
            return Err(Problem::new(Code::Overloaded).with_retry_after(Duration::from_secs(1)));
        }
        Ok(permit)
    }

    /// Refuses what no handler should see.
    fn check(&self, request: &Request) -> Result<(), Problem> {
        let settings = &self.shared.state.settings;
        let host = Authority::of(request)?;
        if self.door != Door::Open
            && let Some(host) = host
        {
            settings.hosts.admit(host)?;
        }
        refuse_foreign(request, host)?;
        let uri = request.uri();
        let length = uri.path_and_query().map_or(0, |text| text.as_str().len());
        if length > settings.max_uri_bytes {
            return Err(Problem::new(Code::UriTooLong).with_detail(format!(
                "the path and query have {length} bytes, {} are allowed",
                settings.max_uri_bytes
            )));
        }
        if !escapes_are_whole(uri.path()) {
            return Err(Problem::invalid_parameter(
                "path",
                "`%` must be followed by two hexadecimal digits",
            ));
        }
        if let Some(announced) = request.headers().get(CONTENT_LENGTH) {
            let announced = announced.to_str().ok().and_then(|text| text.parse().ok());
            if announced.is_none_or(|bytes: u64| bytes > settings.max_body_bytes) {
                return Err(too_large(settings.max_body_bytes));
            }
        }
        Ok(())
    }

    /// Reads a request to its end, then hands it on without its body.
    ///
    /// Only then it is counted in: who sends a body slowly must not keep others out.
    async fn take<S>(
        self: &Arc<Self>,
        mut inner: S,
        request: Request,
        id: &HeaderValue,
    ) -> Result<Response, Problem>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let settings = &self.shared.state.settings;
        let (parts, body) = request.into_parts();
        read_to_end(body, settings.max_body_bytes, settings.body_timeout).await?;
        let permit = self.enter()?;
        let request = Request::from_parts(parts, Body::empty());
        Ok(self.run(inner.call(request), permit, id).await)
    }

    /// Awaits an answer, and makes one of a panic.
    async fn run(
        &self,
        answer: impl Future<Output = Result<Response, Infallible>>,
        permit: Permit,
        id: &HeaderValue,
    ) -> Response {
        let answer = AssertUnwindSafe(answer).catch_unwind().await;
        drop(permit);
        match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_panic) => {
                // The panic hook has already written what and where; this joins it to the request.
                tracing::error!(
                    request.id = id.to_str().unwrap_or_default(),
                    http.route = self.metrics.template(),
                    "request panicked"
                );
                Problem::new(Code::Internal).into_response()
            }
        }
    }

    /// Completes and accounts for a handler's answer.
    fn leave(&self, mut response: Response, id: &HeaderValue, seen: &Seen) -> Response {
        if response.status().as_u16() >= 400
            && let Some(problem) = response.extensions_mut().remove::<Problem>()
        {
            let problem = problem.at(seen.uri.path(), id.to_str().unwrap_or_default());
            *response.body_mut() = problem.render().into_body();
            // The inner route may have counted the body that was replaced.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        self.account(response, id, seen)
    }

    /// Says no in place of a handler, for little: what is refused most often is what there is no time for.
    fn refuse(&self, problem: Problem, id: &HeaderValue, seen: &Seen) -> Response {
        let problem = problem.at(seen.uri.path(), id.to_str().unwrap_or_default());
        self.account(problem.render(), id, seen)
    }

    /// Counts and logs an answer, and gives it the headers that all have.
    fn account(&self, mut response: Response, id: &HeaderValue, seen: &Seen) -> Response {
        let took = seen.started.elapsed();
        let status = response.status();
        self.metrics.record(&seen.method, status, took);
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, id.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if tracing::enabled!(target: "access", tracing::Level::INFO) {
            tracing::info!(
                target: "access",
                {
                    request.id = id.to_str().unwrap_or_default(),
                    http.method = %seen.method,
                    http.route = self.metrics.template(),
                    http.path = seen.uri.path(),
                    http.query = seen.uri.query(),
                    http.status = status.as_u16(),
                    duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                },
                "request answered"
            );
        }
        response
    }
}

/// What is remembered of a request until its answer.
struct Seen {
    method: Method,
    uri: Uri,
    started: Instant,
}

/// Counts a request out again, however it ends.
struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state.metrics.in_flight().dec();
    }
}

/// The layer of one route.
#[derive(Clone)]
pub(super) struct Gate(Arc<Route>);

impl<S> Layer<S> for Gate {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Gated<S> {
        Gated {
            inner,
            route: Arc::clone(&self.0),
        }
    }
}

/// A route's service behind its gate.
#[derive(Clone)]
pub(super) struct Gated<S> {
    inner: S,
    route: Arc<Route>,
}

impl<S> Service<Request> for Gated<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let route = Arc::clone(&self.route);
        let id = route.shared.ids.of(&request);
        let seen = Seen {
            method: request.method().clone(),
            uri: request.uri().clone(),
            started: Instant::now(),
        };
        if let Err(problem) = route.check(&request) {
            let response = route.refuse(problem, &id, &seen);
            return Box::pin(std::future::ready(Ok(response)));
        }
        if !is_safe(&seen.method) {
            // The one that is ready is used, its clone waits for the next request.
            let next = self.inner.clone();
            let inner = std::mem::replace(&mut self.inner, next);
            return Box::pin(async move {
                Ok(match route.take(inner, request, &id).await {
                    Ok(response) => route.leave(response, &id, &seen),
                    Err(problem) => route.refuse(problem, &id, &seen),
                })
            });
        }
        match route.enter() {
            Ok(permit) => {
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let response = route.run(answer, permit, &id).await;
                    Ok(route.leave(response, &id, &seen))
                })
            }
            Err(problem) => {
                let response = route.refuse(problem, &id, &seen);
                Box::pin(std::future::ready(Ok(response)))
            }
        }
    }
}

/// Makes request ids: a random start, then a counter, since uniqueness is wanted and secrecy is not.
struct Ids(AtomicU64);

impl Ids {
    fn new() -> Self {
        let mut seed = [0; 8];
        // Without randomness ids start at 0: still unique within the process.
        let _ = getrandom::fill(&mut seed);
        Self(AtomicU64::new(u64::from_le_bytes(seed)))
    }

    /// The caller's id when it is well-formed, else a new one.
    fn of(&self, request: &Request) -> HeaderValue {
        if let Some(given) = request.headers().get(X_REQUEST_ID)
            && is_well_formed(given.as_bytes())
        {
            return given.clone();
        }
        let mut text = String::with_capacity(16);
        // Writing to a string cannot fail.
        let _ = write!(text, "{:016x}", self.0.fetch_add(1, Ordering::Relaxed));
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("0"))
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    (1..=64).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}
