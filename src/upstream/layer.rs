//! What the layers around a transport have in common: each lets a request through to what lies within it, in its own way.

use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use tower::Service;

use super::{Answer, UpstreamError};

/// What lies within a layer.
pub(super) trait Within:
    Service<Request<Bytes>, Response = Answer, Error = UpstreamError, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S> Within for S where
    S: Service<Request<Bytes>, Response = Answer, Error = UpstreamError, Future: Send>
        + Clone
        + Send
        + 'static
{
}

/// What a layer does with one request.
pub(super) trait Pass<S>: Clone + Send + 'static {
    /// Answers the request, as a rule by sending it to what lies within, which is still to be waited for until it is ready.
    fn pass(
        self,
        within: S,
        request: Request<Bytes>,
    ) -> impl Future<Output = Result<Answer, UpstreamError>> + Send;
}

/// A layer around a service. It is always ready: what it has to wait for, it waits for within the call.
#[derive(Clone)]
pub(super) struct Layered<S, P> {
    within: S,
    pass: P,
}

impl<S, P> Layered<S, P> {
    pub(super) fn new(within: S, pass: P) -> Self {
        Self { within, pass }
    }
}

impl<S: Within, P: Pass<S>> Service<Request<Bytes>> for Layered<S, P> {
    type Response = Answer;
    type Error = UpstreamError;
    type Future = BoxFuture<'static, Result<Answer, UpstreamError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), UpstreamError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        Box::pin(self.pass.clone().pass(self.within.clone(), request))
    }
}
