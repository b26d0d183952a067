//! Counts what is really sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use http::Request;
use tower::ServiceExt as _;

use super::layer::{Pass, Within};
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
impl<S: Within> Pass<S> for Arc<Meter> {
    async fn pass(self, within: S, request: Request<Bytes>) -> Result<Answer, UpstreamError> {
        let _in_flight = self.begin(request.extensions().get::<Repeated>().is_some());
        within.oneshot(request).await
    }
}
