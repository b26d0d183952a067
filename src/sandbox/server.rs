//! The transport of a simulated vendor: connections, quotas, and the faults that lie below what an answer says.

use std::convert::Infallible;
use std::future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::body::{Outgoing, Part, gzip_bomb, half, padding};
use super::distort::{HUGE_STRING, distort, write};
use super::fault::Fault;
use super::simulated::Inner;
use super::stats::{Counters, InFlight};
use super::world::{Answer, Call, Kind, Payload, Problem, Scope};

const REQUEST_BODY_MAX: usize = 64 << 10;
const SLOW: Duration = Duration::from_secs(3);
const HEAD_BYTE_EVERY: Duration = Duration::from_millis(200);
/// Time for what was sent to reach the client before the connection is cut.
const BEFORE_CUT: Duration = Duration::from_millis(20);
const HINT: Duration = Duration::from_secs(2);
const PROXY_PAGE: &str = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>";
const PORTAL_PAGE: &str = "<!doctype html><html><head><title>Sign in</title></head><body><form action=\"/login\" method=\"post\"></form></body></html>";

/// Serves a vendor until dropped; dropping it ends all its connections.
pub(super) async fn serve(listener: TcpListener, inner: Arc<Inner>) {
    accept(listener, |stream| {
        inner.counters.connected();
        connection(stream, Arc::clone(&inner))
    })
    .await;
}

/// Accepts connections and owns them.
pub(super) async fn accept<F, A>(listener: TcpListener, mut serve: F)
where
    F: FnMut(TcpStream) -> A,
    A: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream));
                }
                // Out of file handles: give those in use time to close.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn connection(stream: TcpStream, inner: Arc<Inner>) {
    let _ = stream.set_nodelay(true);
    let fate = Arc::new(Fate::default());
    let wire = Wire {
        stream,
        fate: Arc::clone(&fate),
        counters: Arc::clone(&inner.counters),
        pause: None,
    };
    let service =
        service_fn(move |request| respond(Arc::clone(&inner), Arc::clone(&fate), request));
    // How a connection ends is the client's affair or the fault's, and nobody's to report.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(wire), service)
        .await;
}

/// What a response asks of the connection it goes out on.
#[derive(Debug, Default)]
struct Fate {
    /// Close with a reset in place of an orderly end.
    reset: AtomicBool,
    /// Write single bytes with pauses.
    drip: AtomicBool,
}

/// A connection that counts what it sends and can be made to behave badly.
struct Wire {
    stream: TcpStream,
    fate: Arc<Fate>,
    counters: Arc<Counters>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.fate.reset.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let drip = self.fate.drip.load(Ordering::Relaxed);
        if drip {
            let pause = self
                .pause
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(HEAD_BYTE_EVERY)));
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        let bytes = if drip {
            &bytes[..bytes.len().min(1)]
        } else {
            bytes
        };
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.counters.sent(count);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fate.reset.load(Ordering::Relaxed) {
            // An orderly end first would hide the reset.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

async fn respond(
    inner: Arc<Inner>,
    fate: Arc<Fate>,
    request: Request<Incoming>,
) -> io::Result<Response<Outgoing>> {
    let guard = inner.counters.begin();
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, REQUEST_BODY_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(_) => return Ok(plain(413, Bytes::new(), guard)),
    };
    let mut call = Call::read(parts, body);
    inner.prepare(&mut call);
    let kind = inner.api.kind(&call);
    inner.counters.called(kind, call.is_injected());
    call.fault = inner
        .strike(&call, kind)
        .filter(|fault| concerns(*fault, kind));
    let latency = inner.latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if let Some(fault) = call.fault {
        inner.counters.faulted();
        if inner.is_late() {
            // What is asked for is done, and only then does the answer run into the fault.
            let done = answer(&inner, &call, kind);
            let told = before(&inner, &fate, &call, fault).await?.unwrap_or(done);
            return Ok(send(&inner, &fate, &call, told, guard));
        }
        if let Some(broken) = before(&inner, &fate, &call, fault).await? {
            return Ok(send(&inner, &fate, &call, broken, guard));
        }
    }
    let answer = answer(&inner, &call, kind);
    Ok(send(&inner, &fate, &call, answer, guard))
}

/// Whether a fault has anything to do with an endpoint.
fn concerns(fault: Fault, kind: Kind) -> bool {
    let lists_only = matches!(
        fault,
        Fault::CursorLoop
            | Fault::SamePage
            | Fault::MissingCursor
            | Fault::SuddenlyEmpty
            | Fault::BadRow
            | Fault::BareArray
            | Fault::DuplicateRows
            | Fault::TotalOverflow
            | Fault::PartialList
    );
    !lists_only || kind.scope == Scope::List
}

/// Faults that come before the vendor has a say.
async fn before(
    inner: &Inner,
    fate: &Fate,
    call: &Call,
    fault: Fault,
) -> io::Result<Option<Answer>> {
    let problem = |problem| Ok(Some(inner.api.problem(call, problem)));
    let target = call
        .parts
        .uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    match fault {
        Fault::Http400 => problem(Problem::BadRequest),
        Fault::Http401 => problem(Problem::Unauthorized),
        Fault::Http403 => problem(Problem::Forbidden),
        Fault::Http404 => problem(Problem::NotFound),
        Fault::Http429 => problem(Problem::TooMany(Some(HINT))),
        Fault::Http429NoHint => problem(Problem::TooMany(None)),
        Fault::Http500 => problem(Problem::Internal),
        Fault::Http502Html => Ok(Some(Answer::html(502, PROXY_PAGE))),
        Fault::Http503 => problem(Problem::Unavailable),
        Fault::Http503RetryAfter => Ok(Some(
            inner
                .api
                .problem(call, Problem::Unavailable)
                .header("retry-after", HINT.as_secs().to_string()),
        )),
        Fault::Flaky503 if inner.flips() => problem(Problem::Unavailable),
        Fault::ExpiredToken => problem(Problem::Expired),
        Fault::Html200 => Ok(Some(Answer::html(200, PORTAL_PAGE))),
        Fault::Redirect => Ok(Some(redirect(format!("{}{target}", call.canary)))),
        Fault::RedirectSelf => Ok(Some(redirect(format!("{}{target}", inner.base_url)))),
        Fault::Hang => future::pending().await,
        Fault::Reset => {
            fate.reset.store(true, Ordering::Relaxed);
            Err(io::ErrorKind::ConnectionReset.into())
        }
        Fault::Slow => {
            tokio::time::sleep(SLOW).await;
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn redirect(location: String) -> Answer {
    Answer::html(302, "<html><body>Found</body></html>").header("location", location)
}

/// The vendor's answer, with quota and credential checked and the fault worked in.
fn answer(inner: &Inner, call: &Call, kind: Kind) -> Answer {
    let open = kind.scope == Scope::Open;
    if !open && !inner.api.authorized(call) {
        inner.counters.unauthorized();
        return inner.api.problem(call, Problem::Unauthorized);
    }
    let (allowance, fits) = inner.spend();
    let mut answer = if (fits || open) && kind.scope == Scope::Write {
        inner.api.write(call, kind, inner)
    } else if fits || open {
        inner.api.answer(call, kind)
    } else {
        inner.counters.throttled();
        inner
            .api
            .problem(call, Problem::TooMany(Some(allowance.resets_in)))
    };
    if !open {
        answer.headers.extend(inner.api.allowance(allowance));
    }
    let Some(fault) = call.fault.filter(|_| (200..300).contains(&answer.status)) else {
        return answer;
    };
    if fault == Fault::LegacyGeneration && matches!(kind.scope, Scope::List | Scope::Detail) {
        return inner.api.legacy(call, answer);
    }
    distort(&mut answer, fault, &call.canary, call.number);
    answer
}

/// Puts an answer on the wire, as the fault has it.
fn send(
    inner: &Inner,
    fate: &Fate,
    call: &Call,
    answer: Answer,
    guard: InFlight,
) -> Response<Outgoing> {
    let fault = call.fault;
    let (bytes, media) = match &answer.payload {
        Payload::Json(body) => (Bytes::from(write(body, fault)), inner.api.content_type()),
        Payload::Html(page) => (
            Bytes::from_static(page.as_bytes()),
            "text/html; charset=utf-8",
        ),
        Payload::Nothing => (Bytes::new(), inner.api.content_type()),
    };
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    let good = response.status().is_success();
    let body = match fault.filter(|_| good) {
        Some(fault) => spoil(fault, bytes, &mut response, fate),
        None => Outgoing::whole(bytes),
    };
    response.map(|()| body.guarded(guard))
}

/// Faults of the body and of the head it comes with.
fn spoil(fault: Fault, bytes: Bytes, response: &mut Response<()>, fate: &Fate) -> Outgoing {
    let headers = response.headers_mut();
    match fault {
        Fault::HangBody => Outgoing::of(vec![Part::Silence]),
        Fault::SlowBody => Outgoing::of(vec![Part::Drip(bytes)]),
        Fault::SlowHeaders => {
            fate.drip.store(true, Ordering::Relaxed);
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            Outgoing::whole(bytes)
        }
        Fault::ResetBody => {
            fate.reset.store(true, Ordering::Relaxed);
            Outgoing::of(vec![
                Part::Send(half(&bytes)),
                Part::Wait(BEFORE_CUT),
                Part::Break,
            ])
        }
        Fault::CloseEarly => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
            Outgoing::of(vec![
                Part::Send(half(&bytes)),
                Part::Wait(BEFORE_CUT),
                Part::Break,
            ])
        }
        Fault::TruncatedJson => Outgoing::whole(half(&bytes)),
        Fault::EmptyBody => Outgoing::whole(Bytes::new()),
        Fault::NoContent => {
            *response.status_mut() = StatusCode::NO_CONTENT;
            Outgoing::whole(Bytes::new())
        }
        Fault::WrongContentType => {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            Outgoing::whole(bytes)
        }
        Fault::HugeBody => Outgoing::of(vec![padding(b' '), Part::Send(bytes)]),
        Fault::GzipBomb => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Outgoing::whole(gzip_bomb(&bytes).unwrap_or(bytes))
        }
        Fault::BadGzip => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            Outgoing::whole(bytes)
        }
        Fault::HugeString => huge_string(bytes),
        Fault::DeepNesting => {
            Outgoing::whole(["[".repeat(200_000), "]".repeat(200_000)].concat().into())
        }
        Fault::NotJson => Outgoing::whole(Bytes::from_static(
            b"upstream connect error or disconnect/reset before headers",
        )),
        Fault::HeaderFlood => {
            for number in 0..500 {
                if let (Ok(name), value) = (
                    HeaderName::try_from(format!("x-flood-{number}")),
                    HeaderValue::from(number),
                ) {
                    headers.insert(name, value);
                }
            }
            Outgoing::whole(bytes)
        }
        Fault::HugeHeader => {
            if let Ok(value) = HeaderValue::try_from("a".repeat(1 << 20)) {
                headers.insert("x-huge", value);
            }
            Outgoing::whole(bytes)
        }
        _ => Outgoing::whole(bytes),
    }
}

fn huge_string(bytes: Bytes) -> Outgoing {
    let mark = HUGE_STRING.as_bytes();
    match bytes.windows(mark.len()).position(|window| window == mark) {
        Some(at) => Outgoing::of(vec![
            Part::Send(bytes.slice(..at)),
            padding(b'a'),
            Part::Send(bytes.slice(at + mark.len()..)),
        ]),
        None => Outgoing::whole(bytes),
    }
}

fn plain(status: u16, bytes: Bytes, guard: InFlight) -> Response<Outgoing> {
    let mut response = Response::new(Outgoing::whole(bytes).guarded(guard));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Serves one connection for something simpler than a vendor.
pub(super) async fn simple<F, A>(stream: TcpStream, answer: F)
where
    F: Fn(http::request::Parts, Bytes) -> A,
    A: Future<Output = Response<Outgoing>>,
{
    let answer = &answer;
    let service = service_fn(move |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let body = Limited::new(body, REQUEST_BODY_MAX)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        Ok::<_, Infallible>(answer(parts, body.unwrap_or_default()).await)
    });
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
