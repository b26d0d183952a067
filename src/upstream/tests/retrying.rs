use super::*;

#[tokio::test(start_paused = true)]
async fn a_503_then_a_200_is_retried_once() {
    let (stack, witness) = stack(settings(), |n| {
        Reply::status(if n == 0 { 503 } else { 200 })
    });
    let answer = stack.send(read()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(witness.count(), 2);
    let vitals = stack.vitals();
    assert_eq!(
        (vitals.requests, vitals.retries, vitals.in_flight),
        (2, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_is_never_repeated() {
    for reply in [
        Reply::status(503),
        Reply::status(429).header("retry-after", "1"),
        Reply::status(429),
        Reply::fails(FailureKind::Interrupted),
        Reply::fails(FailureKind::Unreachable),
        Reply::never(),
    ] {
        let (stack, witness) = stack(settings(), move |_| reply.clone());
        let error = stack.send(write()).await.unwrap_err();
        assert_eq!((error.attempts, witness.count()), (1, 1), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_by_itself_is_repeated() {
    for status in [301, 400, 401, 403, 404, 410, 422] {
        let (stack, witness) = stack(settings(), move |_| Reply::status(status));
        let error = stack.send(read()).await.unwrap_err();
        assert_eq!(error.status.unwrap().as_u16(), status);
        assert_eq!(witness.count(), 1, "{status}");
    }
    for kind in [
        FailureKind::TooLarge,
        FailureKind::ContentType,
        FailureKind::Redirected,
    ] {
        let (stack, witness) = stack(settings(), move |_| Reply::fails(kind));
        assert_eq!(stack.send(read()).await.unwrap_err().kind, kind);
        assert_eq!(witness.count(), 1, "{kind:?}");
    }
    for kind in [
        FailureKind::Unavailable,
        FailureKind::Unreachable,
        FailureKind::Interrupted,
        FailureKind::Garbled,
    ] {
        let (stack, witness) = stack(settings(), move |_| Reply::fails(kind));
        let error = stack.send(read()).await.unwrap_err();
        assert_eq!((error.kind, error.attempts), (kind, 2));
        assert_eq!(witness.count(), 2, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_at_most_its_attempts() {
    // Earlier successes fill the budget.
    let (stack, witness) = stack(settings(), |n| {
        Reply::status(if n < 100 { 200 } else { 500 })
    });
    for _ in 0..100 {
        stack.send(read()).await.unwrap();
    }
    let error = stack.send(read()).await.unwrap_err();
    assert_eq!(error.attempts, 3);
    assert_eq!(witness.count(), 103);
}

#[tokio::test(start_paused = true)]
async fn retries_add_at_most_a_tenth() {
    let (stack, witness) = stack(settings(), |_| Reply::status(503));
    for _ in 0..1000 {
        stack.send(read()).await.unwrap_err();
    }
    assert!(
        (1050..=1101).contains(&witness.count()),
        "{}",
        witness.count()
    );
    assert_eq!(stack.vitals().retries, witness.count() as u64 - 1000);
}

#[tokio::test(start_paused = true)]
async fn three_failures_in_ten_add_at_most_a_tenth() {
    let (stack, witness) = stack(settings(), |n| {
        Reply::status(if n % 10 < 3 { 503 } else { 200 })
    });
    for _ in 0..1000 {
        let _ = stack.send(read()).await;
    }
    assert!(witness.count() <= 1101, "{}", witness.count());
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_abandoned() {
    let (stack, witness) = stack(settings(), |_| Reply::never());
    let begin = Instant::now();
    let error = stack.send(write()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Timeout);
    assert_eq!(begin.elapsed(), Duration::from_secs(30));
    assert_eq!(witness.abandoned(), 1);
    assert_eq!(stack.vitals().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_not_in_flight() {
    let (stack, witness) = stack(settings(), |_| Reply::never());
    let calls: Vec<_> = (0..3).map(|_| stack.send(read())).collect();
    let all = futures_util::future::join_all(calls);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), all)
            .await
            .is_err()
    );
    assert_eq!((witness.count(), witness.abandoned()), (3, 3));
    assert_eq!(stack.vitals().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_what_every_vendor_wants() {
    let (stack, witness) = stack(settings(), |_| Reply::ok());
    let call = Call::reading_post(
        "list",
        Target::new("/v1/list"),
        &serde_json::json!({"a": 1}),
    )
    .header(HeaderName::from_static("x-own"), "1".parse().unwrap());
    stack.send(call).await.unwrap();
    let request = witness.request(0);
    assert_eq!(request.uri(), "https://api.example/base/v1/list");
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.body().as_ref(), br#"{"a":1}"#);
    for (name, value) in [
        ("accept", "application/json"),
        ("content-type", "application/json"),
        ("authorization", "Bearer token-1"),
        ("x-own", "1"),
    ] {
        assert_eq!(request.headers()[name], value);
    }
    assert!(
        request.headers()["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("clustergate/")
    );
    assert!(request.headers().contains_key("accept-encoding"));
}
