//! What a connection is at: what its stream, its service and the loop that accepts others know of each other.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What only the service knows: whether the bytes read so far were a whole head, and whether the answer to it is over.
#[derive(Debug)]
pub(super) struct Phase {
    /// When the server began.
    began: Instant,
    /// A handler has a request, and nothing of its answer was written yet.
    answering: AtomicBool,
    /// A request is under way: from the end of its head to the end of its answer's body.
    busy: AtomicBool,
    /// The client does not read what is written.
    blocked: AtomicBool,
    /// Nanoseconds from the beginning to the last thing that happened: it was opened, a head began, something was written.
    moved: AtomicU64,
    /// It has to make room for another.
    leaving: AtomicBool,
    leave: Notify,
}

impl Phase {
    /// A connection that is opened now, of a server that began then.
    pub(super) fn new(began: Instant) -> Self {
        let phase = Self {
            began,
            answering: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            moved: AtomicU64::new(0),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
        };
        phase.moved_at(Instant::now());
        phase
    }

    /// The head is complete and a handler has it; from here on its own limits count.
    pub(super) fn head_complete(&self) {
        self.answering.store(true, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_answering(&self) -> bool {
        self.answering.load(Ordering::Relaxed)
    }

    /// Something of an answer was written.
    pub(super) fn answered(&self, now: Instant) {
        self.answering.store(false, Ordering::Relaxed);
        self.blocked.store(false, Ordering::Relaxed);
        self.moved_at(now);
    }

    /// What is to be written has to wait.
    pub(super) fn blocked(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    /// Something happened that no request is needed for.
    pub(super) fn moved_at(&self, now: Instant) {
        let since = now.saturating_duration_since(self.began).as_nanos();
        let since = u64::try_from(since).unwrap_or(u64::MAX);
        self.moved.store(since, Ordering::Relaxed);
    }

    /// Since when nothing has happened; `None` while a request is under way, or where it has to go anyway.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let is_idle = !self.busy.load(Ordering::Relaxed)
            && !self.blocked.load(Ordering::Relaxed)
            && !self.leaving.load(Ordering::Relaxed);
        is_idle.then(|| self.moved.load(Ordering::Relaxed))
    }

    /// Asks the connection to make room. A request that has come in the meantime is answered before.
    pub(super) fn ask_to_leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
        self.leave.notify_one();
    }

    /// Ends when it has to make room.
    pub(super) async fn asked_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Whether nothing more is to be waited for.
    pub(super) fn is_over(&self) -> bool {
        self.leaving.load(Ordering::Relaxed) && !self.busy.load(Ordering::Relaxed)
    }
}

/// An answer that is being made.
pub(super) struct Answering {
    answer: RouteFuture<Infallible>,
    phase: Arc<Phase>,
}

impl Answering {
    pub(super) fn new(answer: RouteFuture<Infallible>, phase: Arc<Phase>) -> Self {
        Self { answer, phase }
    }
}

impl Future for Answering {
    type Output = Result<Response<Underway>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match ready!(Pin::new(&mut self.answer).poll(cx)) {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let phase = Arc::clone(&self.phase);
        Poll::Ready(Ok(answer.map(|body| Underway { body, phase })))
    }
}

/// The body of an answer. While it is there, the request is under way.
pub(super) struct Underway {
    body: Body,
    phase: Arc<Phase>,
}

impl HttpBody for Underway {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.phase.busy.store(false, Ordering::Relaxed);
    }
}
