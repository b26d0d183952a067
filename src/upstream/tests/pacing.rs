use futures_util::future::join_all;
use jiff::Timestamp;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_vendors_wait_is_kept_by_all_calls() {
    let (stack, witness) = stack(settings(), |n| match n {
        0 => Reply::status(429).header("retry-after", "2"),
        _ => Reply::ok(),
    });
    let begin = Instant::now();
    let first = stack.send(read());
    let others = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        join_all((0..8).map(|_| stack.send(read()))).await
    };
    let (first, others) = tokio::join!(first, others);
    first.unwrap();
    assert!(others.iter().all(Result::is_ok));
    let times = witness.times();
    assert_eq!(times.len(), 10);
    for time in &times[1..] {
        let waited = *time - begin;
        assert!(waited >= 2 * SECOND && waited < 3 * SECOND, "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn asked_waits_cost_no_budget_and_have_an_end() {
    let (stack, witness) = stack(settings(), |_| {
        Reply::status(429).header("retry-after", "1")
    });
    let error = stack.send(read()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (FailureKind::RateLimited, 11));
    assert!(error.wait.unwrap() >= SECOND);
    assert_eq!(witness.count(), 11);
}

#[tokio::test(start_paused = true)]
async fn waits_together_stay_within_the_longest_wait() {
    let (stack, witness) = stack(settings(), |_| {
        Reply::status(429).header("retry-after", "50")
    });
    let begin = Instant::now();
    let error = stack.send(read()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::RateLimited);
    assert_eq!(witness.count(), 3);
    assert!(begin.elapsed() <= 120 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_429_without_a_hint_backs_off_further_each_time() {
    let (stack, witness) = stack(settings(), |n| Reply::status(if n < 5 { 429 } else { 200 }));
    stack.send(read()).await.unwrap();
    let times = witness.times();
    let gaps: Vec<_> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs())
        .collect();
    assert_eq!(gaps, [1, 2, 4, 8, 10]);
}

#[tokio::test(start_paused = true)]
async fn calls_refused_together_back_off_once() {
    let (stack, _) = stack(settings(), |n| {
        Reply::status(if n < 4 { 429 } else { 200 }).after(Duration::from_millis(50))
    });
    let begin = Instant::now();
    let results = join_all((0..4).map(|_| stack.send(read()))).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(begin.elapsed() < 2 * SECOND, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_fails_at_once_and_says_how_long() {
    let (stack, witness) = stack(settings(), |_| {
        Reply::status(429).header("retry-after", "300")
    });
    let begin = Instant::now();
    for attempts in [1, 0, 0] {
        let error = stack.send(read()).await.unwrap_err();
        assert_eq!(
            (error.kind, error.attempts),
            (FailureKind::RateLimited, attempts)
        );
        assert!(error.wait.unwrap() >= 300 * SECOND);
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(witness.count(), 1);
    assert!(stack.vitals().not_before.unwrap() > Timestamp::now());
    tokio::time::sleep(301 * SECOND).await;
    assert_eq!(stack.vitals().not_before, None);
}

#[tokio::test(start_paused = true)]
async fn a_503_with_a_hint_is_waited_for_and_paid_for() {
    let (stack, witness) = stack(settings(), |n| match n {
        0 => Reply::status(503).header("retry-after", "5"),
        _ => Reply::ok(),
    });
    let begin = Instant::now();
    stack.send(read()).await.unwrap();
    assert_eq!(witness.count(), 2);
    assert!(begin.elapsed() >= 5 * SECOND);
}

/// The most calls that fall into any window of the length.
fn busiest(times: &[Instant], window: Duration) -> usize {
    let from = |first: usize| {
        times[first..]
            .iter()
            .take_while(|time| **time - times[first] < window)
            .count()
    };
    (0..times.len()).map(from).max().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_in_every_window() {
    for (calls, per) in [(1, 1), (2, 1), (7, 3), (60, 60)] {
        let mut settings = settings();
        settings.rate = Some(Rate {
            calls,
            per: Duration::from_secs(per),
        });
        settings.max_wait = 10_000 * SECOND;
        // Slow and fast answers in turn make calls pile up behind the ones in flight.
        let (stack, witness) = stack(settings, |n| {
            let slow = (n / 50) % 2 == 0;
            Reply::ok().after(Duration::from_millis(if slow { 2_900 } else { 3 }))
        });
        let callers = (0..9_u64).map(|caller| {
            let stack = stack.clone();
            async move {
                for n in 0..25_u64 {
                    tokio::time::sleep(Duration::from_millis(caller * 37 * (n % 5))).await;
                    stack.send(read()).await.unwrap();
                }
            }
        });
        join_all(callers).await;
        let times = witness.times();
        assert_eq!(times.len(), 225);
        let busiest = busiest(&times, Duration::from_secs(per));
        assert!(busiest <= calls as usize, "{busiest} of {calls}");
        let needed = Duration::from_secs(per) * (225 / calls);
        assert!(times[224] - times[0] < needed.mul_f64(1.1).max(400 * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_longer_than_the_longest_wait_is_refused_at_once() {
    let mut settings = settings();
    settings.rate = Some(Rate {
        calls: 1,
        per: SECOND,
    });
    settings.max_wait = 5 * SECOND;
    let (stack, witness) = stack(settings, |_| Reply::ok());
    let begin = Instant::now();
    let calls = (0..10).map(|_| async {
        let result = stack.send(read()).await;
        (result.map_err(|error| error.kind).err(), begin.elapsed())
    });
    let results = join_all(calls).await;
    let refused: Vec<_> = results
        .iter()
        .filter(|(error, _)| error.is_some())
        .collect();
    assert_eq!(witness.count(), 5);
    assert_eq!(refused.len(), 5);
    for (error, elapsed) in refused {
        assert_eq!(
            (*error, *elapsed),
            (Some(FailureKind::RateLimited), Duration::ZERO)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_gives_its_turn_to_the_next() {
    let mut settings = settings();
    settings.rate = Some(Rate {
        calls: 1,
        per: 10 * SECOND,
    });
    let (stack, witness) = stack(settings, |_| Reply::ok());
    stack.send(read()).await.unwrap();
    let dropped = tokio::time::timeout(SECOND, stack.send(read()));
    let (dropped, kept) = tokio::join!(dropped, stack.send(read()));
    assert!(dropped.is_err());
    kept.unwrap();
    let times = witness.times();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] < 11 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_in_flight_than_allowed() {
    let (stack, witness) = stack(settings(), |_| Reply::ok().after(SECOND));
    let probe = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        (witness.count(), stack.vitals().in_flight)
    };
    let begin = Instant::now();
    let (results, seen) = tokio::join!(join_all((0..12).map(|_| stack.send(read()))), probe);
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(seen, (4, 4));
    assert_eq!(begin.elapsed(), 3 * SECOND);
    assert_eq!(stack.vitals().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_used_up_quota_is_waited_for() {
    #[expect(clippy::unnecessary_wraps, reason = "a dialect may say nothing")]
    fn quota(headers: &HeaderMap) -> Option<Quota> {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
        Some(Quota {
            limit: None,
            remaining: number("x-left").and_then(|left| left.try_into().ok()),
            resets_at: number("x-reset").and_then(|time| Timestamp::from_millisecond(time).ok()),
        })
    }
    let dialect = Dialect {
        quota,
        ..Dialect::PLAIN
    };
    let reset = Timestamp::now().as_millisecond() + 20_000;
    let (stack, witness) = stack_with(settings(), credential("t"), dialect, move |n| {
        // Two left after the first call; the fourth is in the next window and tells nothing.
        let left = if n < 3 { 2 - n } else { 50 };
        Reply::ok()
            .header("x-left", &left.to_string())
            .header("x-reset", &reset.to_string())
    });
    let begin = Instant::now();
    for _ in 0..3 {
        stack.send(read()).await.unwrap();
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(stack.vitals().quota.unwrap().remaining, Some(0));
    assert!(stack.vitals().not_before.is_some());
    stack.send(read()).await.unwrap();
    let waited = witness.times()[3] - begin;
    assert!(waited > 15 * SECOND && waited <= 21 * SECOND, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn absurd_settings_do_not_panic() {
    let mut settings = settings();
    settings.max_wait = Duration::MAX;
    settings.attempt_timeout = Duration::MAX;
    settings.breaker_cooldown = Duration::MAX;
    settings.breaker_failures = 0;
    settings.max_in_flight = 0;
    settings.max_attempts = 0;
    settings.rate = Some(Rate {
        calls: 1,
        per: Duration::MAX,
    });
    let (stack, _) = stack(settings, |_| Reply::status(503));
    assert_eq!(
        stack.send(read()).await.unwrap_err().kind,
        FailureKind::Unavailable
    );
    assert_eq!(
        stack.send(read()).await.unwrap_err().kind,
        FailureKind::CircuitOpen
    );
    let _ = stack.vitals();
}
