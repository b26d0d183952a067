//! One client's bucket, as a single number: the moment at which it is full again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::upstream::Rate;

/// How fast a bucket fills, and how much is in a full one; in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// What one token takes to come back.
    token: u64,
    /// What an empty bucket takes to be full.
    whole: u64,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        let calls = u64::from(rate.calls.max(1));
        let token = (nanoseconds(rate.per) / calls).max(1);
        Self {
            token,
            whole: token.saturating_mul(calls),
        }
    }
}

/// How a client stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Tokens that are left.
    pub remaining: u64,
    /// Time until all of them are there again.
    pub full_in: Duration,
    /// Time until there is one, where there is none.
    pub wait: Option<Duration>,
}

/// When the bucket is full again, in nanoseconds since the limiter was made; a moment that is over means now.
#[derive(Debug, Default)]
pub(super) struct Bucket(AtomicU64);

impl Bucket {
    /// Takes a token, if there is one.
    pub(super) fn draw(&self, pace: Pace, now: Duration) -> Standing {
        let now = nanoseconds(now);
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let (standing, next) = draw(full_at, pace, now);
            // A refusal writes nothing: who goes on asking does not have to wait longer for it.
            let Some(next) = next else {
                return standing;
            };
            match self
                .0
                .compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return standing,
                Err(other) => full_at = other,
            }
        }
    }

    /// How it stands now.
    pub(super) fn look(&self, pace: Pace, now: Duration) -> Standing {
        let now = nanoseconds(now);
        standing(self.0.load(Ordering::Relaxed).saturating_sub(now), pace)
    }
}

/// What becomes of a bucket of which a token is wanted; no next moment where there is none.
fn draw(full_at: u64, pace: Pace, now: u64) -> (Standing, Option<u64>) {
    let before = standing(full_at.saturating_sub(now), pace);
    if before.wait.is_some() {
        return (before, None);
    }
    let next = full_at.max(now).saturating_add(pace.token);
    let after = Standing {
        wait: None,
        ..standing(next - now, pace)
    };
    (after, Some(next))
}

/// How a bucket stands to which so much is missing.
fn standing(missing: u64, pace: Pace) -> Standing {
    let over = (missing.saturating_add(pace.token)).saturating_sub(pace.whole);
    Standing {
        remaining: pace.whole.saturating_sub(missing) / pace.token,
        full_in: Duration::from_nanos(missing),
        wait: (over > 0).then(|| Duration::from_nanos(over)),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn pace(calls: u32, seconds: u64) -> Pace {
        Pace::new(Rate {
            calls,
            per: Duration::from_secs(seconds),
        })
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let pace = pace(3, 60);
        let mut full_at = 0;
        // When; what is left, seconds until it is full, seconds to wait.
        for (at, remaining, full_in, wait) in [
            (0, 2, 20, None),
            (0, 1, 40, None),
            (5, 0, 55, None),
            (5, 0, 55, Some(15)),
            (19, 0, 41, Some(1)),
            (20, 0, 60, None),
            (20, 0, 60, Some(20)),
            (79, 1, 21, None),
            (79, 0, 41, None),
            (1_000_000, 2, 20, None),
        ] {
            let (standing, next) = draw(full_at, pace, at * SECOND);
            let expected = Standing {
                remaining,
                full_in: Duration::from_secs(full_in),
                wait: wait.map(Duration::from_secs),
            };
            assert_eq!(standing, expected, "at {at}");
            assert_eq!(next.is_none(), wait.is_some());
            full_at = next.unwrap_or(full_at);
        }
    }

    #[test]
    fn a_look_takes_nothing() {
        let (bucket, pace) = (Bucket::default(), pace(1, 60));
        let at = Duration::from_secs(5);
        for _ in 0..3 {
            assert_eq!(bucket.look(pace, at).wait, None);
        }
        assert_eq!(bucket.draw(pace, at).remaining, 0);
        assert_eq!(bucket.look(pace, at).wait, Some(Duration::from_mins(1)));
    }

    proptest! {
        /// Whatever the moments: no stretch of time sees more than a full bucket and what came back meanwhile.
        #[test]
        fn the_rate_is_never_exceeded(
            calls in 1_u32..50,
            window in 1_u64..100,
            steps in proptest::collection::vec(0_u64..5 * SECOND, 1..300),
        ) {
            let pace = pace(calls, window);
            let (mut now, mut full_at) = (0, 0);
            let mut taken = Vec::new();
            for step in steps {
                now += step;
                let (standing, next) = draw(full_at, pace, now);
                prop_assert!(standing.remaining <= u64::from(calls));
                if let Some(next) = next {
                    taken.push(now);
                    full_at = next;
                } else {
                    // Having waited as told there is one.
                    let wait = nanoseconds(standing.wait.unwrap());
                    prop_assert!(draw(full_at, pace, now + wait).1.is_some());
                    prop_assert!(draw(full_at, pace, now + wait - 1).1.is_none());
                }
            }
            for (at, first) in taken.iter().enumerate() {
                for (count, last) in taken[at..].iter().enumerate() {
                    let allowed = u64::from(calls) + (last - first) / pace.token;
                    prop_assert!((count as u64) < allowed);
                }
            }
        }
    }
}
