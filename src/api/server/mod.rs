//! The listener: HTTP/1.1 over plain TCP or over TLS, with a bound on everything a client can hold on to.
//!
//! This is a loop of its own because the framework's has no time limit on headers, none on idle connections, no cap on
//! connections and no limit on shutdown. A connection costs two buffers of 8 KiB at most until it sends a larger head; a head
//! larger than [`Limits::max_head_bytes`] is answered with 431, one that is not HTTP with 400.

mod certificate;
mod connections;
mod lag;
mod phase;
mod refusal;
mod timed;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::tls::Served;

use connections::Connections;
use phase::{Answering, Phase, Underway};
use timed::Timed;

pub use certificate::CertificateWatch;
pub use lag::LagWatch;

/// What one client, and all of them together, can hold on to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; for one more the one that has been idle longest is closed. Where each has a request under way, one more
    /// is answered with 503 and closed.
    pub max_connections: usize,
    /// Largest request line and headers together; at least 8 KiB.
    pub max_head_bytes: usize,
    /// Time from the first byte of a request to the end of its headers; over TLS also for the handshake before.
    pub head_timeout: Duration,
    /// Time without a request after which a connection is closed.
    pub idle_timeout: Duration,
    /// Time without progress after which an answer that is not read is given up.
    pub write_timeout: Duration,
    /// Time for requests in flight when the server stops; then they are cut off.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_head_bytes: 16 << 10,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            write_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// Smallest buffer the protocol implementation accepts.
const SMALLEST_HEAD: usize = 8 << 10;

/// How long the loop waits after an accept failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Serves until `shutdown` completes, then lets requests in flight finish within the grace period.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    serve_with(listener, None, router, limits, shutdown).await
}

/// Does the same over TLS where there is a certificate to show. What is not TLS is closed then.
pub async fn serve_with(
    listener: TcpListener,
    tls: Option<Arc<Served>>,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut builder = Builder::new();
    builder
        .max_buf_size(limits.max_head_bytes.max(SMALLEST_HEAD))
        // The limits on time are kept by `Timed`, which tells an idle connection from a slow one and allocates no timer
        // for each request.
        .header_read_timeout(None)
        // Who has said everything and only listens gets its answer; what it does not read is given up after the write time.
        .half_close(true)
        .keep_alive(true);
    let server = Arc::new(Server {
        builder,
        router,
        tls,
        limits,
        stop: CancellationToken::new(),
    });
    let began = Instant::now();
    let mut connections = Connections::new(limits.max_connections);
    let mut shutdown = pin!(shutdown);
    let over_the_cap = refusal::over_the_cap();
    let mut failing = false;
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(()) = connections.ended() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if !connections.have_room() => {
                    // Without a task and without waiting; the client may already be gone, and there is nobody to tell. One
                    // that waits for a handshake would not understand.
                    if server.tls.is_none() {
                        let _ = stream.try_write(&over_the_cap);
                    }
                }
                Ok((stream, peer)) => {
                    failing = false;
                    let phase = Arc::new(Phase::new(began));
                    let serving = Arc::clone(&server).connection(stream, Peer(peer), Arc::clone(&phase));
                    connections.spawn(phase, serving);
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    // Once for each bout: without descriptors every accept fails, ten times a second.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(%error, connections = connections.len(), "accept failed");
                    }
                    sleep(BACK_OFF).await;
                }
            },
        }
    }
    drop(listener);
    server.stop.cancel();
    connections.drain(limits.grace).await;
    Ok(())
}

/// Whether only this one connection failed, before it was accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// The other end of a request's connection, which may be a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

struct Server {
    builder: Builder,
    router: Router,
    tls: Option<Arc<Served>>,
    limits: Limits,
    stop: CancellationToken,
}

impl Server {
    async fn connection(self: Arc<Self>, stream: TcpStream, peer: Peer, phase: Arc<Phase>) {
        // Answers are written whole; waiting to join small ones would only delay them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.speak(stream, peer, phase).await;
        };
        // On the heap, since a plain connection must not be as large as one with a session.
        Box::pin(async {
            let shaken = tokio::select! {
                shaken = timeout(self.limits.head_timeout, shake_hands(tls, stream)) => shaken,
                () = self.stop.cancelled() => return,
                () = phase.asked_to_leave() => return,
            };
            match shaken {
                Ok(Ok(stream)) => self.speak(stream, peer, phase).await,
                Ok(Err(error)) => tracing::debug!(%error, "handshake failed"),
                Err(_) => tracing::debug!("handshake took too long"),
            }
        })
        .await;
    }

    /// Answers requests until either side has had enough.
    async fn speak<S>(&self, stream: S, peer: Peer, phase: Arc<Phase>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(Timed::new(stream, Arc::clone(&phase), self.limits));
        let service = Handler {
            router: self.router.clone(),
            phase: Arc::clone(&phase),
            peer,
        };
        let mut connection = pin!(self.builder.serve_connection(io, service));
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = phase.asked_to_leave() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// A client that says nothing costs no session.
async fn shake_hands(tls: &Served, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    stream.readable().await?;
    TlsAcceptor::from(tls.config()).accept(stream).await
}

/// The router as this protocol implementation wants it.
struct Handler {
    router: Router,
    phase: Arc<Phase>,
    peer: Peer,
}

impl hyper::service::Service<Request<Incoming>> for Handler {
    type Response = Response<Underway>;
    type Error = std::convert::Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.phase.head_complete();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.peer);
        Answering::new(self.router.clone().call(request), Arc::clone(&self.phase))
    }
}

#[cfg(test)]
mod tests;
