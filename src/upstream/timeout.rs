//! The time one attempt may take, from its first byte to the last byte of the answer.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tower::ServiceExt as _;

use super::layer::{Pass, Within};
use super::{Answer, FailureKind, UpstreamError};

/// Drops an attempt that takes too long; the vendor sees its connection closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeout(pub(super) Duration);

impl<S: Within> Pass<S> for Timeout {
    async fn pass(self, within: S, request: Request<Bytes>) -> Result<Answer, UpstreamError> {
        let Self(limit) = self;
        match tokio::time::timeout(limit, within.oneshot(request)).await {
            Ok(result) => result,
            Err(_) => Err(UpstreamError::new(FailureKind::Timeout)
                .with_text(format!("no complete answer in {} ms", limit.as_millis()))),
        }
    }
}
