//! The bodies of requests.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::code::Code;
use super::problem::Problem;

/// Reads a body to its end: what was cut short was not asked for.
///
/// `most` bytes are read, within so much time.
pub(super) async fn read_to_end(body: Body, most: u64, within: Duration) -> Result<Bytes, Problem> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let reading = async {
        let whole = Limited::new(body, most).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                too_large(most)
            } else {
                Problem::new(Code::InvalidBody)
            }
        })?;
        Ok(whole.to_bytes())
    };
    match timeout(within, reading).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(Code::BodyTimeout)),
    }
}

/// The body is larger than is read here, announced or not.
pub(super) fn too_large(most: impl std::fmt::Display) -> Problem {
    Problem::new(Code::PayloadTooLarge).with_detail(format!("at most {most} bytes are read here"))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;

    use futures_util::{StreamExt as _, stream};
    use tokio::time::Instant;

    use super::*;

    const MOST: u64 = 10;
    const WITHIN: Duration = Duration::from_secs(3);

    async fn outcome(body: Body) -> Result<usize, Code> {
        let read = read_to_end(body, MOST, WITHIN).await;
        read.map(|bytes| bytes.len())
            .map_err(|problem| problem.code())
    }

    fn pieces(sizes: &'static [usize]) -> Body {
        let pieces = sizes.iter().map(|size| Ok(Bytes::from(vec![0; *size])));
        Body::from_stream(stream::iter(pieces.collect::<Vec<Result<_, Infallible>>>()))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_cap() {
        assert_eq!(outcome(Body::empty()).await, Ok(0));
        assert_eq!(outcome(pieces(&[4, 0, 6])).await, Ok(10));
        assert_eq!(outcome(pieces(&[4, 7])).await, Err(Code::PayloadTooLarge));
        assert_eq!(outcome(pieces(&[11])).await, Err(Code::PayloadTooLarge));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_none() {
        let broken = stream::iter([
            Ok(Bytes::from_static(b"{")),
            Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        ]);
        assert_eq!(
            outcome(Body::from_stream(broken)).await,
            Err(Code::InvalidBody)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_waited_for_only_so_long() {
        let began = Instant::now();
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        let endless = Body::from_stream(first.chain(stream::pending()));
        assert_eq!(outcome(endless).await, Err(Code::BodyTimeout));
        assert_eq!(began.elapsed(), WITHIN);
    }
}
