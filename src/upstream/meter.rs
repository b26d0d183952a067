//! Counts what is really sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use tower::{Service, ServiceExt};

use super::{Answer, UpstreamError};

/// Marks a request that repeats an earlier one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repeated;

/// Counters of one source.
#[derive(Debug, Default)]
pub(super) struct Meter {
    requests: AtomicU64,
    retries: AtomicU64,
    in_flight: AtomicUsize,
}

impl Meter {
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub(super) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    fn begin(self: &Arc<Self>, repeated: bool) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        self.retries.fetch_add(u64::from(repeated), Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }
}

/// Ends on drop, so that an abandoned call is not in flight for ever.
struct InFlight(Arc<Meter>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// The layer around the transport.
#[derive(Clone)]
pub(super) struct Metered<S> {
    inner: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, meter: Arc<Meter>) -> Self {
        Self { inner, meter }
    }
}

impl<S> Service<Request<Bytes>> for Metered<S>
where
    S: Service<Request<Bytes>, Response = Answer, Error = UpstreamError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Answer;
    type Error = UpstreamError;
    type Future = BoxFuture<'static, Result<Answer, UpstreamError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (inner, meter) = (self.inner.clone(), Arc::clone(&self.meter));
        Box::pin(async move {
            let _in_flight = meter.begin(request.extensions().get::<Repeated>().is_some());
            inner.oneshot(request).await
        })
    }
}
