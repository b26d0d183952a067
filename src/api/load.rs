//! How late requests are, and how many are refused for it.
//!
//! Answers come from memory, so too many requests show themselves by how long one that has come waits for its turn, long before
//! too many are in flight. A server that goes on taking all of them answers each one too late.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

/// All of the requests, as a share.
const ALL: u32 = 1 << 16;

/// The most that is refused: the rest shows when it is over, and answers those who ask again.
const MOST: f64 = 0.9;

/// 2³² by the golden ratio: multiples of it are spread evenly over the numbers, however few are drawn.
const STRIDE: u32 = 0x9E37_79B9;

/// How late requests are, and how many are refused for it.
pub struct Load {
    limit: Duration,
    lag: Gauge<f64, AtomicU64>,
    /// Requests refused, of [`ALL`].
    refused: AtomicU32,
    turn: AtomicU32,
}

impl Load {
    /// Refuses requests while the lag is above the limit, none when it is zero; `lag` shows it.
    pub(super) fn new(limit: Duration, lag: Gauge<f64, AtomicU64>) -> Self {
        Self {
            limit,
            lag,
            refused: AtomicU32::new(0),
            turn: AtomicU32::new(0),
        }
    }

    /// Takes note of how long what is ready waits for its turn.
    pub(super) fn report(&self, lag: Duration) {
        self.lag.set(lag.as_secs_f64());
        self.refused
            .store(refused(lag, self.limit), Ordering::Relaxed);
    }

    /// Whether the next request is one of those that are refused.
    pub(super) fn refuses_next(&self) -> bool {
        let refused = self.refused.load(Ordering::Relaxed);
        // Only a server in trouble goes on from here.
        refused > 0 && self.turn.fetch_add(STRIDE, Ordering::Relaxed) >> 16 < refused
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").finish_non_exhaustive()
    }
}

/// How many requests are refused, of [`ALL`]: none up to the limit, then more and more, the most from twice the limit on.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a small number"
)]
fn refused(lag: Duration, limit: Duration) -> u32 {
    if limit.is_zero() || lag <= limit {
        return 0;
    }
    let over = lag.div_duration_f64(limit) - 1.0;
    (over.min(1.0) * MOST * f64::from(ALL)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    fn share(lag: u64) -> f64 {
        f64::from(refused(Duration::from_millis(lag), LIMIT)) / f64::from(ALL)
    }

    #[test]
    fn the_later_the_more_are_refused_and_never_all() {
        for (lag, expected) in [
            (0, 0.0),
            (99, 0.0),
            (100, 0.0),
            (110, 0.09),
            (150, 0.45),
            (200, 0.9),
            (10_000, 0.9),
        ] {
            assert!((share(lag) - expected).abs() < 0.001, "{lag} ms");
        }
        assert!((0..300).is_sorted_by_key(share_of_millis));
        assert_eq!(refused(Duration::MAX, LIMIT), refused(2 * LIMIT, LIMIT));
    }

    fn share_of_millis(lag: u64) -> u32 {
        refused(Duration::from_millis(lag), LIMIT)
    }

    #[test]
    fn without_a_limit_none_are_refused() {
        assert_eq!(refused(Duration::MAX, Duration::ZERO), 0);
    }

    #[test]
    fn the_share_is_spread_evenly() {
        let load = Load::new(LIMIT, Gauge::default());
        assert!(!load.refuses_next());
        for (lag, least, most) in [(110, 7, 11), (150, 43, 47), (400, 88, 92)] {
            load.report(Duration::from_millis(lag));
            for _ in 0..10 {
                let refused = (0..100).filter(|_| load.refuses_next()).count();
                assert!((least..=most).contains(&refused), "{refused} at {lag} ms");
            }
        }
        load.report(LIMIT);
        assert!((0..1_000).all(|_| !load.refuses_next()));
    }
}
