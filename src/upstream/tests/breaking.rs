use std::sync::atomic::AtomicBool;

use super::*;

fn breaking() -> StackSettings {
    let mut settings = settings();
    settings.breaker_failures = 3;
    settings.breaker_cooldown = Duration::from_secs(30);
    settings.max_attempts = 1;
    settings
}

async fn open(stack: &Stack) {
    for _ in 0..3 {
        stack.send(read()).await.unwrap_err();
    }
    assert!(matches!(stack.vitals().breaker, BreakerState::Open { .. }));
}

#[tokio::test(start_paused = true)]
async fn it_opens_refuses_probes_once_and_closes() {
    let healthy = Arc::new(AtomicBool::new(false));
    let health = Arc::clone(&healthy);
    let (stack, witness) = stack(breaking(), move |_| {
        Reply::status(if health.load(SeqCst) { 200 } else { 503 })
    });
    open(&stack).await;
    let error = stack.send(read()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (FailureKind::CircuitOpen, 0));
    let wait = error.wait.unwrap();
    assert!((27..=30).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(witness.count(), 3);

    tokio::time::sleep(wait).await;
    let probe = stack.send(read()).await.unwrap_err();
    assert_eq!(probe.kind, FailureKind::Unavailable);
    let refused = stack.send(read()).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::CircuitOpen);
    assert_eq!(witness.count(), 4);

    healthy.store(true, SeqCst);
    tokio::time::sleep(refused.wait.unwrap()).await;
    stack.send(read()).await.unwrap();
    assert_eq!(stack.vitals().breaker, BreakerState::Closed);
    stack.send(read()).await.unwrap();
    assert_eq!(witness.count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_costs_one_more_cooldown_only() {
    let (stack, witness) = stack(breaking(), |n| match n {
        0..3 => Reply::status(503),
        3 => Reply::never(),
        _ => Reply::ok(),
    });
    open(&stack).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let probe = tokio::time::timeout(Duration::from_secs(1), stack.send(read()));
    assert!(probe.await.is_err());
    assert_eq!(witness.count(), 4);
    assert_eq!(
        stack.send(read()).await.unwrap_err().kind,
        FailureKind::CircuitOpen
    );
    tokio::time::sleep(Duration::from_secs(30)).await;
    stack.send(read()).await.unwrap();
    assert_eq!(stack.vitals().breaker, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn many_calls_after_the_cooldown_are_one_probe() {
    let (stack, witness) = stack(breaking(), |_| {
        Reply::status(503).after(Duration::from_secs(1))
    });
    open(&stack).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let calls = (0..20).map(|_| stack.send(read()));
    futures_util::future::join_all(calls).await;
    assert_eq!(witness.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_refuses_is_not_down() {
    for status in [400, 401, 404] {
        let (stack, witness) = stack(breaking(), move |_| Reply::status(status));
        for _ in 0..10 {
            stack.send(read()).await.unwrap_err();
        }
        assert_eq!(witness.count(), 10);
        assert_eq!(stack.vitals().breaker, BreakerState::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_count_in_a_row_only() {
    let (stack, _) = stack(breaking(), |n| {
        Reply::status(if n % 3 == 2 { 200 } else { 503 })
    });
    for _ in 0..30 {
        let _ = stack.send(read()).await;
    }
    assert_eq!(stack.vitals().breaker, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_pace_holds_back_keeps_its_turn() {
    let mut settings = breaking();
    settings.max_wait = Duration::from_secs(10);
    let (stack, witness) = stack(settings, |n| match n {
        0..2 => Reply::status(503),
        2 => Reply::status(503).header("retry-after", "60"),
        _ => Reply::ok(),
    });
    open(&stack).await;
    tokio::time::sleep(Duration::from_secs(31)).await;
    let held = stack.send(read()).await.unwrap_err();
    assert_eq!((held.kind, held.attempts), (FailureKind::RateLimited, 0));
    tokio::time::sleep(held.wait.unwrap()).await;
    stack.send(read()).await.unwrap();
    assert_eq!(witness.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_not_retried_and_the_cause_is_kept() {
    let mut settings = breaking();
    settings.max_attempts = 3;
    settings.breaker_failures = 1;
    let (stack, witness) = stack(settings, |_| Reply::status(503));
    let error = stack.send(read()).await.unwrap_err();
    assert_eq!((error.kind, error.attempts), (FailureKind::Unavailable, 1));
    assert!(error.wait.is_some());
    assert_eq!(witness.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_thing_that_cannot_be_read_keeps_nobody_from_the_rest() {
    let one = || Call::get("find", Target::new("/v1/things").segment("broken"));
    let (stack, witness) = stack(breaking(), |n| Reply::status(if n < 6 { 503 } else { 200 }));
    for _ in 0..6 {
        stack.send(one()).await.unwrap_err();
    }
    assert_eq!(stack.vitals().breaker, BreakerState::Closed);
    stack.send(read()).await.unwrap();
    stack.send(write()).await.unwrap();
    assert_eq!(witness.count(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_read_of_one_thing_neither_delays_the_probe_nor_hides_failures() {
    let (stack, witness) = stack(breaking(), |n| {
        Reply::status(if matches!(n, 0 | 2 | 4) { 503 } else { 200 })
    });
    let one = || Call::get("find", Target::new("/v1/things").segment("fine"));
    for _ in 0..2 {
        stack.send(read()).await.unwrap_err();
        stack.send(one()).await.unwrap();
    }
    stack.send(read()).await.unwrap_err();
    let refused = stack.send(one()).await.unwrap_err();
    assert_eq!(refused.kind, FailureKind::CircuitOpen);
    assert_eq!(witness.count(), 5);
    // Whatever answers after the cool-down shows that the vendor is there.
    tokio::time::sleep(refused.wait.unwrap()).await;
    stack.send(one()).await.unwrap();
    assert_eq!(stack.vitals().breaker, BreakerState::Closed);
}
