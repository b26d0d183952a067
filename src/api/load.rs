//! How late requests are, and which are refused for it.
//!
//! Most answers are looked up in memory and cost less than to refuse them. Where handlers take most of a serving thread's time it is
//! otherwise: then each request, once it has been read, waits in a line of its own for its turn, so that it is known how many stand
//! there and how long the last of them will wait, and one that would wait too long is told so at once. Without the line, requests
//! would wait unread in their sockets, and nobody would know of them.

use std::fmt;
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, SemaphorePermit};

/// The share of their time that serving threads spend in handlers, from which on requests stand in line, and below which not.
const BUSY: f64 = 0.5;
const IDLE: f64 = 0.3;

/// How long the past counts for that share.
const MEMORY: Duration = Duration::from_millis(50);

/// How many requests the past counts for what one takes, as a power of two.
const REQUESTS: u32 = 4;

/// How late requests are, and which are refused for it.
pub struct Load {
    limit: Duration,
    lag: Gauge<f64, AtomicU64>,
    /// Nanoseconds that handlers have taken.
    spent: AtomicU64,
    /// Nanoseconds that one takes, lately.
    each: AtomicU64,
    is_in_line: AtomicBool,
    line: Line,
    look: Mutex<Look>,
    refused: AtomicU64,
}

/// Requests that wait for their turn.
struct Line {
    turns: Semaphore,
    threads: AtomicUsize,
    waiting: AtomicUsize,
}

/// What the last look at the load has shown.
#[derive(Debug, Default)]
struct Look {
    spent: u64,
    busy: f64,
}

/// The right to keep a serving thread busy.
pub(super) struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

/// Counts a request out of the line, however that ends.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Load {
    /// Refuses requests that would wait longer than the limit, none when it is zero; `lag` shows how long what is ready waits for a
    /// thread.
    pub(super) fn new(limit: Duration, lag: Gauge<f64, AtomicU64>) -> Self {
        Self {
            limit,
            lag,
            spent: AtomicU64::new(0),
            each: AtomicU64::new(0),
            is_in_line: AtomicBool::new(false),
            line: Line {
                turns: Semaphore::new(1),
                threads: AtomicUsize::new(1),
                waiting: AtomicUsize::new(0),
            },
            look: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// Says how many threads serve.
    pub(super) fn serve_on(&self, threads: usize) {
        let threads = threads.max(1);
        let before = self.line.threads.swap(threads, Ordering::Relaxed);
        self.line.turns.add_permits(threads.saturating_sub(before));
    }

    /// Takes note of how long what is ready waits for a thread, so long after the last note, and looks how busy handlers are.
    pub(super) fn report(&self, lag: Duration, since: Duration) {
        self.lag.set(lag.as_secs_f64());
        if self.limit.is_zero() || since.is_zero() {
            return;
        }
        let spent = self.spent.load(Ordering::Relaxed);
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Duration::from_nanos(spent - look.spent).div_duration_f64(since);
        look.spent = spent;
        #[expect(clippy::cast_precision_loss, reason = "a number of threads")]
        let now = now / self.threads() as f64;
        look.busy += (now - look.busy) * since.div_duration_f64(since + MEMORY);
        let bound = if self.is_in_line() { IDLE } else { BUSY };
        self.is_in_line.store(look.busy > bound, Ordering::Relaxed);
    }

    fn threads(&self) -> usize {
        self.line.threads.load(Ordering::Relaxed)
    }

    fn is_in_line(&self) -> bool {
        self.is_in_line.load(Ordering::Relaxed)
    }

    /// Whether a request that comes now would wait too long for its turn.
    pub(super) fn refuses_next(&self) -> bool {
        if !self.is_in_line() {
            return false;
        }
        let before = self.line.waiting.load(Ordering::Relaxed) / self.threads();
        let each = self.each.load(Ordering::Relaxed);
        let wait = u64::try_from(before)
            .unwrap_or(u64::MAX)
            .saturating_mul(each);
        let is_refused = Duration::from_nanos(wait) > self.limit;
        if is_refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        is_refused
    }

    /// When those may come back that are refused now: not all at once.
    pub(super) fn retry_after(&self) -> Duration {
        Duration::from_secs(1 + self.refused.load(Ordering::Relaxed) % 2)
    }

    /// Waits for a turn, where there is a line.
    pub(super) async fn turn(&self) -> Turn<'_> {
        if !self.is_in_line() {
            return Turn { _permit: None };
        }
        self.line.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.line.waiting);
        let permit = self.line.turns.acquire().await.ok();
        // Whoever has come in the meantime is read first, and stands in line or is refused.
        pass_the_queue().await;
        drop(waiting);
        Turn { _permit: permit }
    }

    /// Takes note of how long a handler has kept a thread busy.
    pub(super) fn spent(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.spent.fetch_add(time, Ordering::Relaxed);
        if self.is_in_line() {
            // Two at once may lose one of many.
            let each = self.each.load(Ordering::Relaxed);
            let next = each - (each >> REQUESTS) + (time >> REQUESTS);
            self.each.store(next, Ordering::Relaxed);
        }
    }
}

/// Goes to the end of the thread's queue. A task that wakes itself while it runs is put there; one that yields by the runtime's own
/// function comes back like a timer does.
pub(super) async fn pass_the_queue() {
    let mut is_behind = false;
    poll_fn(|cx| {
        if is_behind {
            return Poll::Ready(());
        }
        is_behind = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::task::JoinSet;
    use tokio::time::{Instant, advance};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);
    const LOOK: Duration = Duration::from_millis(10);
    const EACH: Duration = Duration::from_millis(2);

    /// What a look finds after handlers have taken this share of the time.
    fn after(load: &Load, share: f64, looks: usize) {
        for _ in 0..looks {
            load.spent(LOOK.mul_f64(share));
            load.report(Duration::ZERO, LOOK);
        }
    }

    #[test]
    fn there_is_a_line_while_handlers_take_most_of_the_time() {
        let load = Load::new(LIMIT, Gauge::default());
        load.serve_on(2);
        after(&load, 0.9, 100);
        assert!(!load.is_in_line(), "of two threads that is less than half");
        after(&load, 1.9, 100);
        assert!(load.is_in_line());
        after(&load, 0.9, 100);
        assert!(load.is_in_line(), "it does not come and go");
        after(&load, 0.1, 100);
        assert!(!load.is_in_line());
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_refused_before_waiting() {
        let load = Arc::new(Load::new(LIMIT, Gauge::default()));
        after(&load, 0.9, 100);
        for _ in 0..200 {
            load.spent(EACH);
        }
        let first = load.turn().await;
        let mut line = JoinSet::new();
        let mut refused = 0;
        for _ in 0..1_000 {
            if load.refuses_next() {
                refused += 1;
                continue;
            }
            let load = Arc::clone(&load);
            line.spawn(async move {
                let turn = load.turn().await;
                advance(EACH).await;
                drop(turn);
                Instant::now()
            });
            // It reads its request and stands in line.
            tokio::task::yield_now().await;
        }
        let began = Instant::now();
        drop(first);
        let ended = line.join_all().await;
        let longest = ended.iter().max().map(|end| *end - began).unwrap();
        // As many as fit into the limit.
        assert_eq!((ended.len(), refused), (50, 950));
        assert!(longest <= LIMIT + EACH, "{longest:?}");
        assert_eq!(load.line.waiting.load(Ordering::Relaxed), 0);
        assert!(!load.refuses_next());
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_line() {
        let load = Load::new(LIMIT, Gauge::default());
        after(&load, 0.9, 100);
        let turn = load.turn().await;
        {
            let mut second = std::pin::pin!(load.turn());
            assert!(futures_util::poll!(second.as_mut()).is_pending());
            assert_eq!(load.line.waiting.load(Ordering::Relaxed), 1);
        }
        assert_eq!(load.line.waiting.load(Ordering::Relaxed), 0);
        drop(turn);
        drop(load.turn().await);
    }

    #[test]
    fn without_a_limit_none_are_refused_and_none_stand_in_line() {
        let load = Load::new(Duration::ZERO, Gauge::default());
        after(&load, 1.0, 100);
        assert!(!load.is_in_line());
        assert!(!load.refuses_next());
    }
}
