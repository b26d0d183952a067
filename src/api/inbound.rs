//! What every request passes: one hand-written layer, since each generic one costs as much as an answer from memory.
//!
//! It gives the request an id, refuses what is too long, too large, too many, too often or for somebody else, finds out who asks, reads
//! the body of what asks for a change, turns a panic into a problem, completes problems with path and id, counts, and writes the one
//! event of the access log. What asks for a change runs on in a task of its own when the caller hangs up.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderValue, Method, Uri};
use jiff::Timestamp;
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::access::{Access, Authentication, Denied, Principal, Question, Scope};
use crate::telemetry::metrics::RouteMetrics;

use super::armor::Armor;
use super::body::{read_to_end, too_large};
use super::code::Code;
use super::cors::{is_preflight, preflight};
use super::guard::{Audited, Needs, Refused};
use super::problem::Problem;
use super::query::escapes_are_whole;
use super::rate::{self, Client, Limiter, Standing};
use super::route::Rules;
use super::scrub;
use super::server::Peer;
use super::site::{Authority, is_safe, refuse_foreign};
use super::state::ApiState;
use super::viewer::Viewer;

/// The header that carries a request's id, in both directions.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// When to ask again where the audit cannot be written.
const AUDIT_RETRY: Duration = Duration::from_secs(5);

/// Makes the gates of all routes, which share what they know of the server's load.
#[derive(Clone)]
pub(super) struct Inbound(Arc<Shared>);

struct Shared {
    state: ApiState,
    armor: Armor,
    limiter: Option<Limiter>,
    ids: Ids,
}

impl Inbound {
    pub(super) fn new(state: ApiState) -> Self {
        Self(Arc::new(Shared {
            armor: Armor::new(state.settings.hsts),
            limiter: state.settings.rate_limit.map(Limiter::new),
            state,
            ids: Ids::new(),
        }))
    }

    /// The gate of a route.
    pub(super) fn gate(&self, template: &'static str, rules: Rules, door: Door) -> Gate {
        self.make(template, Some(rules), door)
    }

    /// The gate of what is no route.
    pub(super) fn gate_of_nothing(&self, template: &'static str) -> Gate {
        self.make(template, None, Door::Guarded)
    }

    fn make(&self, template: &'static str, rules: Option<Rules>, door: Door) -> Gate {
        Gate(Arc::new(Route {
            metrics: self.0.state.metrics.route(template),
            rules,
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
    /// What each method needs; `None` where there is nothing behind the gate.
    rules: Option<Rules>,
    door: Door,
    shared: Arc<Shared>,
}

impl Route {
    /// Counts the request in, unless there are too many.
    fn enter(self: &Arc<Self>, method: &Method) -> Result<Permit, Problem> {
        let state = &self.shared.state;
        self.can_be_audited(method)?;
        let before = state.metrics.in_flight().inc();
        let permit = Permit(Arc::clone(&self.shared));
        let is_full = usize::try_from(before).is_ok_and(|n| n >= state.settings.max_in_flight);
        if self.door == Door::Guarded && (is_full || state.load.refuses_next()) {
            state.metrics.shed().inc();
            return Err(Problem::new(Code::Overloaded).with_retry_after(state.load.retry_after()));
        }
        Ok(permit)
    }

    /// Refuses what must be written down while that is not possible.
    fn can_be_audited(&self, method: &Method) -> Result<(), Problem> {
        let access = self.shared.state.access.as_ref();
        if !access.is_some_and(|access| access.lacks_audit()) {
            return Ok(());
        }
        let needs = self.rules.as_ref().and_then(|rules| rules.of(method));
        if needs.is_some_and(Needs::wants_audit) {
            return Err(Problem::new(Code::AuditUnavailable).with_retry_after(AUDIT_RETRY));
        }
        Ok(())
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
        refuse_foreign(request, host, settings)?;
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

    /// Finds out who asks and whether that is enough; where nothing controls access there is nothing to find out.
    fn admit(&self, request: &Request) -> Admission {
        let Some(access) = &self.shared.state.access else {
            return Admission::Pass(None);
        };
        let needs = self
            .rules
            .as_ref()
            .and_then(|rules| rules.of(request.method()));
        let Some(Needs::Scope(scope)) = needs else {
            return Admission::Pass(None);
        };
        match access.authenticate(request.headers(), Timestamp::now()) {
            Authentication::Done(told) => match allowed(told, scope) {
                Ok(caller) => Admission::Pass(Some(caller)),
                Err(refused) => Admission::Refused(refused),
            },
            Authentication::Ask(question) => Admission::Ask(Arc::clone(access), question, scope),
        }
    }

    /// Takes a request out of what the client may ask for.
    fn draw(&self, request: &Request, seen: &mut Seen) -> Result<(), Problem> {
        let state = &self.shared.state;
        let Some(limiter) = &self.shared.limiter else {
            return Ok(());
        };
        // Who watches the process asks as often as it likes, and what came over no connection is this program itself.
        let Some(address) = state.settings.proxies.origin(request) else {
            return Ok(());
        };
        if self.door == Door::Open {
            return Ok(());
        }
        let client = Client::of(seen.caller.as_deref(), address);
        let standing = limiter.draw(&client, seen.started);
        seen.standing = Some(standing);
        match standing.wait {
            None => Ok(()),
            Some(wait) => {
                state.metrics.limited().inc();
                Err(rate::refusal(wait))
            }
        }
    }

    /// Reads a change's request to its end, then hands it on whole.
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
        let request = if is_safe(request.method()) {
            request
        } else {
            let (parts, body) = request.into_parts();
            let body = read_to_end(body, settings.max_body_bytes, settings.body_timeout).await?;
            Request::from_parts(parts, Body::from(body))
        };
        let permit = self.enter(request.method())?;
        Ok(self.run(inner.call(request), permit, id).await)
    }

    /// Hands a request on that may have to be read first, and completes its answer.
    async fn conduct<S>(
        self: &Arc<Self>,
        inner: S,
        request: Request,
        id: &HeaderValue,
        seen: &Seen,
    ) -> Response
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        match self.take(inner, request, id).await {
            Ok(response) => self.leave(response, id, seen),
            Err(problem) => self.refuse(problem, id, seen),
        }
    }

    /// Answers in a task that goes on when its caller hangs up: what is changed all the same is counted in, logged and told to
    /// the audit, however few wait for it. Who stops the server awaits it.
    fn outlast(
        &self,
        work: impl Future<Output = Response> + Send + 'static,
    ) -> BoxFuture<'static, Result<Response, Infallible>> {
        let task = self.shared.state.outlasting.spawn(work);
        Box::pin(async move {
            // Handlers' panics are caught within; only a runtime that ends cuts the task off.
            Ok(task
                .await
                .unwrap_or_else(|_| Problem::new(Code::Internal).into_response()))
        })
    }

    /// Awaits an answer, and makes one of a panic.
    async fn run(
        &self,
        answer: impl Future<Output = Result<Response, Infallible>>,
        permit: Permit,
        id: &HeaderValue,
    ) -> Response {
        let load = &self.shared.state.load;
        let turn = if self.door == Door::Guarded {
            Some(load.turn().await)
        } else {
            None
        };
        let began = Instant::now();
        let mut answer = pin!(AssertUnwindSafe(answer).catch_unwind());
        let at_once = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        load.spent(began.elapsed());
        // What waits for somebody else keeps no thread busy.
        drop(turn);
        let answer = match at_once {
            Poll::Ready(answer) => answer,
            Poll::Pending => answer.await,
        };
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
        let mut code = None;
        if response.status().as_u16() >= 400
            && let Some(problem) = response.extensions_mut().remove::<Problem>()
        {
            code = Some(problem.code());
            let problem = problem.at(seen.uri.path(), id.to_str().unwrap_or_default());
            *response.body_mut() = problem.render().into_body();
            // The inner route may have counted the body that was replaced.
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        self.account(response, code, id, seen)
    }

    /// Says no in place of a handler, for little: what is refused most often is what there is no time for.
    fn refuse(&self, problem: Problem, id: &HeaderValue, seen: &Seen) -> Response {
        let code = problem.code();
        let problem = problem.at(seen.uri.path(), id.to_str().unwrap_or_default());
        self.account(problem.render(), Some(code), id, seen)
    }

    /// Counts and logs an answer, and gives it the headers that all have.
    fn account(
        &self,
        mut response: Response,
        code: Option<Code>,
        id: &HeaderValue,
        seen: &Seen,
    ) -> Response {
        let took = seen.started.elapsed();
        let status = response.status();
        self.metrics.record(&seen.method, status, took);
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, id.clone());
        self.shared.armor.put_on(headers);
        let settings = &self.shared.state.settings;
        settings.cors.tell(headers, seen.origin.as_ref());
        if let (Some(limiter), Some(standing)) = (&self.shared.limiter, seen.standing) {
            limiter.tell(headers, standing);
        }
        if tracing::enabled!(target: "access", tracing::Level::INFO) {
            tracing::info!(
                target: "access",
                {
                    request.id = id.to_str().unwrap_or_default(),
                    http.method = %seen.method,
                    http.route = self.metrics.template(),
                    http.path = &*scrub::path(seen.uri.path()),
                    http.query = seen.uri.query().map(scrub::query).as_deref(),
                    http.status = status.as_u16(),
                    principal.id = seen.caller.as_ref().map(|caller| caller.id.as_str()),
                    duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
                },
                "request answered"
            );
        }
        if let Some(audit) = (self.shared.state.access.as_ref()).and_then(|access| access.audit()) {
            let audited = Audited {
                needs: self.rules.as_ref().and_then(|rules| rules.of(&seen.method)),
                caller: seen.caller.as_deref(),
                refused: seen.refused.as_ref(),
                remote: seen.remote,
                request_id: id.to_str().unwrap_or_default(),
                method: &seen.method,
                template: self.metrics.template(),
                path: seen.uri.path(),
                status,
                code,
            };
            audited.record(audit);
        }
        response
    }
}

/// Whether a request goes on.
enum Admission {
    /// It does, for this caller where one was told.
    Pass(Option<Arc<Principal>>),
    /// It does not.
    Refused(Refused),
    /// An issuer has to be asked first.
    Ask(Arc<Access>, Question, Scope),
}

/// Whether a caller that was told, or not, may do something.
fn allowed(told: Result<Arc<Principal>, Denied>, scope: Scope) -> Result<Arc<Principal>, Refused> {
    match told {
        Ok(caller) if caller.may(scope) => Ok(caller),
        Ok(caller) => Err(Refused::Forbidden(caller, scope)),
        Err(denied) => Err(Refused::Denied(denied)),
    }
}

/// What is remembered of a request until its answer.
struct Seen {
    method: Method,
    uri: Uri,
    started: Instant,
    remote: Option<IpAddr>,
    caller: Option<Arc<Principal>>,
    refused: Option<Refused>,
    /// The site that the page is of which asks, where its pages may.
    origin: Option<HeaderValue>,
    /// What the client may still ask for.
    standing: Option<Standing>,
}

impl Seen {
    /// Remembers who asks, and lets handlers know.
    fn pass(&mut self, caller: Option<Arc<Principal>>, request: &mut Request) {
        if let Some(caller) = caller {
            let extensions = request.extensions_mut();
            extensions.insert(Viewer::new(Arc::clone(&caller.reach)));
            extensions.insert(Arc::clone(&caller));
            self.caller = Some(caller);
        }
    }

    /// Remembers why a request goes no further, and makes the answer.
    fn refuse(&mut self, refused: Refused) -> Response {
        let response = refused.response();
        if let Refused::Forbidden(caller, _) = &refused {
            self.caller = Some(Arc::clone(caller));
        }
        self.refused = Some(refused);
        response
    }
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

    fn call(&mut self, mut request: Request) -> Self::Future {
        let route = Arc::clone(&self.route);
        let id = route.shared.ids.of(&request);
        let mut seen = Seen {
            method: request.method().clone(),
            uri: request.uri().clone(),
            started: Instant::now(),
            remote: request.extensions().get::<Peer>().map(|peer| peer.0.ip()),
            caller: None,
            refused: None,
            origin: route.shared.state.settings.cors.of(&request),
            standing: None,
        };
        if let Err(problem) = route.check(&request) {
            // Nobody asks for nothing, whatever is wrong with it.
            let problem = route.draw(&request, &mut seen).err().unwrap_or(problem);
            let response = route.refuse(problem, &id, &seen);
            return Box::pin(std::future::ready(Ok(response)));
        }
        if seen.origin.is_some() && is_preflight(&request) {
            let response = route.account(preflight(), None, &id, &seen);
            return Box::pin(std::future::ready(Ok(response)));
        }
        let caller = match route.admit(&request) {
            Admission::Pass(caller) => caller,
            Admission::Refused(refused) => {
                // Who guesses at keys is held to a rate as well.
                let response = match route.draw(&request, &mut seen) {
                    Ok(()) => {
                        let response = seen.refuse(refused);
                        route.leave(response, &id, &seen)
                    }
                    Err(problem) => route.refuse(problem, &id, &seen),
                };
                return Box::pin(std::future::ready(Ok(response)));
            }
            Admission::Ask(access, question, scope) => {
                // Until the issuer has answered only the address is known, and whoever makes up keys must not ask for nothing.
                if let Err(problem) = route.draw(&request, &mut seen) {
                    let response = route.refuse(problem, &id, &seen);
                    return Box::pin(std::future::ready(Ok(response)));
                }
                let inner = self.take_ready();
                let outlasting = Arc::clone(&route);
                let is_read = is_safe(&seen.method);
                let work = async move {
                    let told = access.ask(question, Timestamp::now()).await;
                    match allowed(told, scope) {
                        Ok(caller) => {
                            seen.pass(Some(caller), &mut request);
                            match route.draw(&request, &mut seen) {
                                Ok(()) => route.conduct(inner, request, &id, &seen).await,
                                Err(problem) => route.refuse(problem, &id, &seen),
                            }
                        }
                        Err(refused) => {
                            let response = seen.refuse(refused);
                            route.leave(response, &id, &seen)
                        }
                    }
                };
                if is_read {
                    return Box::pin(work.map(Ok));
                }
                return outlasting.outlast(work);
            }
        };
        seen.pass(caller, &mut request);
        if let Err(problem) = route.draw(&request, &mut seen) {
            let response = route.refuse(problem, &id, &seen);
            return Box::pin(std::future::ready(Ok(response)));
        }
        if !is_safe(&seen.method) {
            let inner = self.take_ready();
            let outlasting = Arc::clone(&route);
            let work = async move { route.conduct(inner, request, &id, &seen).await };
            return outlasting.outlast(work);
        }
        match route.enter(&seen.method) {
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

impl<S: Clone> Gated<S> {
    /// The service that said it is ready; its clone waits for the next request.
    fn take_ready(&mut self) -> S {
        let next = self.inner.clone();
        std::mem::replace(&mut self.inner, next)
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

    /// The caller's id when it is well-formed and no credential, else a new one.
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
        && !str::from_utf8(id).is_ok_and(scrub::looks_secret)
}
