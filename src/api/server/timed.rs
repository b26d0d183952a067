//! A connection that does not wait for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::phase::Phase;
use super::{Limits, refusal};

/// A stream whose reads and writes fail when the client takes too long.
///
/// Between requests a read may take the idle time. Once a byte of a request has come, its head may take the head time, however
/// slowly the rest drips in. While a handler works on it a read has no limit, until the first byte of the answer. A write may
/// go without progress for the write time.
///
/// It also completes the refusals that the protocol implementation writes by itself.
#[derive(Debug)]
pub(super) struct Timed<S> {
    stream: S,
    phase: Arc<Phase>,
    limits: Limits,
    /// When the connection was opened, or an answer last made progress.
    idle_since: Instant,
    /// When the first byte of a head that is not complete came.
    head_since: Option<Instant>,
    /// When the write that waits now began to wait.
    blocked_since: Option<Instant>,
    refusal: Option<Box<Refusal>>,
    read_timer: Option<Pin<Box<Sleep>>>,
    write_timer: Option<Pin<Box<Sleep>>>,
}

/// A whole refusal, on its way out in place of a bare one.
#[derive(Debug)]
struct Refusal {
    bytes: Vec<u8>,
    written: usize,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, phase: Arc<Phase>, limits: Limits) -> Self {
        Self {
            stream,
            phase,
            limits,
            idle_since: Instant::now(),
            head_since: None,
            blocked_since: None,
            refusal: None,
            read_timer: None,
            write_timer: None,
        }
    }

    fn read_deadline(&self) -> Option<Instant> {
        if self.phase.is_answering() {
            return None;
        }
        Some(match self.head_since {
            Some(since) => since + self.limits.head_timeout,
            None => self.idle_since + self.limits.idle_timeout,
        })
    }

    /// Called when a read has to wait.
    fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.phase.is_over() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let Some(deadline) = self.read_deadline() else {
            return Poll::Pending;
        };
        ready!(wait(&mut self.read_timer, deadline, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Called with the outcome of what hands on bytes that count as written, which has to wait where a layer below has kept some.
    fn handed_on(
        &mut self,
        outcome: Poll<io::Result<()>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if outcome.is_ready() {
            self.blocked_since = None;
            return outcome;
        }
        self.wait_to_write(cx)
    }

    /// Called when a write has to wait.
    fn wait_to_write<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        self.phase.blocked();
        let since = *self.blocked_since.get_or_insert_with(Instant::now);
        let deadline = since + self.limits.write_timeout;
        ready!(wait(&mut self.write_timer, deadline, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Called with the outcome of each write.
    fn wrote<T>(
        &mut self,
        outcome: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.blocked_since = None;
            self.idle_since = Instant::now();
            self.head_since = None;
            self.phase.answered(self.idle_since);
            // The read that waits for the next request may have begun before this write, when it had no limit.
            let idle = self.idle_since + self.limits.idle_timeout;
            let _ = wait(&mut self.read_timer, idle, cx);
            return outcome;
        }
        self.wait_to_write(cx)
    }
}

/// Waits for a deadline that may move while it is waited for.
///
/// A later deadline is noticed only when the timer fires, so that the usual case of one that moves with each request does not
/// touch the timer at all.
fn wait(timer: &mut Option<Pin<Box<Sleep>>>, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
    if deadline < timer.deadline() {
        timer.as_mut().reset(deadline);
    }
    loop {
        ready!(timer.as_mut().poll(cx));
        if deadline <= timer.deadline() || deadline <= Instant::now() {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline);
    }
}

impl<S: AsyncWrite + Unpin> Timed<S> {
    /// Whether these bytes are a refusal that is not a handler's, of which a whole one is written instead.
    fn is_refusal(&mut self, bytes: &[u8]) -> bool {
        if self.refusal.is_none() && !self.phase.is_answering() {
            self.refusal =
                refusal::complete(bytes).map(|bytes| Box::new(Refusal { bytes, written: 0 }));
        }
        self.refusal.is_some()
    }

    /// Writes the whole refusal; then the bare one counts as written.
    fn refuse(&mut self, bare: &[u8], cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(refusal) = &mut self.refusal {
            let rest = refusal.bytes.get(refusal.written..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let outcome = Pin::new(&mut self.stream).poll_write(cx, rest);
            if let Poll::Ready(Ok(written)) = outcome {
                refusal.written += written;
            }
            if ready!(self.wrote(outcome, cx))? == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        self.refusal = None;
        Poll::Ready(Ok(bare.len()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            Poll::Ready(outcome) => {
                if buffer.filled().len() > before
                    && !this.phase.is_answering()
                    && this.head_since.is_none()
                {
                    let now = Instant::now();
                    this.head_since = Some(now);
                    this.phase.moved_at(now);
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => this.wait_to_read(cx),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_refusal(bytes) {
            return this.refuse(bytes, cx);
        }
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let [only] = slices
            && this.is_refusal(only)
        {
            return this.refuse(only, cx);
        }
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_flush(cx);
        this.handed_on(outcome, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.handed_on(outcome, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn timed() -> (DuplexStream, Timed<DuplexStream>, Arc<Phase>) {
        let (client, server) = duplex(16);
        let phase = Arc::new(Phase::new(Instant::now()));
        let timed = Timed::new(server, Arc::clone(&phase), Limits::default());
        (client, timed, phase)
    }

    async fn fails_after(timed: &mut Timed<DuplexStream>) -> Duration {
        let began = Instant::now();
        let error = timed.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_sends_nothing_is_idle() {
        let (_client, mut timed, _) = timed();
        assert_eq!(fails_after(&mut timed).await.as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_in_is_cut_off_ten_seconds_after_its_first_byte() {
        let (mut client, mut timed, _) = timed();
        let dripping = async {
            while client.write_u8(b'x').await.is_ok() {
                tokio::time::sleep(Duration::from_secs(3)).await;
            }
        };
        let reading = async {
            let began = Instant::now();
            while timed.read_u8().await.is_ok() {}
            began.elapsed()
        };
        tokio::select! {
            () = dripping => panic!("the client was not cut off"),
            took = reading => assert_eq!(took.as_secs(), 10),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_may_take_its_time_and_then_the_connection_is_idle_again() {
        let (mut client, mut timed, phase) = timed();
        client.write_u8(b'x').await.unwrap();
        timed.read_u8().await.unwrap();
        phase.head_complete();
        let waited = tokio::time::timeout(Duration::from_mins(5), timed.read_u8()).await;
        assert!(waited.is_err(), "no limit while a handler works");
        timed.write_u8(b'y').await.unwrap();
        assert_eq!(fails_after(&mut timed).await.as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_not_read_is_given_up() {
        let (client, mut timed, _) = timed();
        let began = Instant::now();
        let error = timed.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 30);
        drop(client);
    }

    /// Takes what is written, and hands nothing on.
    struct Hoard;

    impl AsyncWrite for Hoard {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_layer_below_keeps_is_not_waited_for_for_ever() {
        let phase = Arc::new(Phase::new(Instant::now()));
        let mut timed = Timed::new(Hoard, phase, Limits::default());
        timed.write_all(&[0; 64]).await.unwrap();
        for _ in 0..2 {
            let began = Instant::now();
            let error = timed.flush().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(began.elapsed().as_secs() <= 30);
            let error = timed.shutdown().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    }

    const BARE: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test]
    async fn a_bare_refusal_is_written_whole_in_as_many_pieces_as_it_takes() {
        let (mut client, mut timed, _) = timed();
        let writing = async {
            timed.write_all(BARE).await.unwrap();
            timed.write_all(b"after").await.unwrap();
            drop(timed);
        };
        let mut text = String::new();
        let (read, ()) = tokio::join!(client.read_to_string(&mut text), writing);
        read.unwrap();
        assert!(text.contains("\"code\":\"MALFORMED_REQUEST\""), "{text}");
        assert!(text.ends_with("}after"), "{text}");
    }

    #[tokio::test]
    async fn a_handler_may_answer_what_it_likes() {
        let (mut client, mut timed, phase) = timed();
        phase.head_complete();
        let mut text = vec![0; BARE.len()];
        let (read, wrote) = tokio::join!(client.read_exact(&mut text), timed.write_all(BARE));
        read.unwrap();
        wrote.unwrap();
        assert_eq!(text, BARE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_that_makes_progress_is_served() {
        let (mut client, mut timed, _) = timed();
        let reading = async {
            let mut read = 0;
            while read < 64 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                read += client.read(&mut [0; 8]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(timed.write_all(&[0; 64]), reading);
        written.unwrap();
    }
}
