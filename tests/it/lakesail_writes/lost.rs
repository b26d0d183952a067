//! What is known of a write whose answer was lost, or that was refused.

use super::*;

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_sent_once_and_found_by_reading() {
    let rig = Rig::start().await;
    for (at, (fault, late, is_made)) in [
        (Fault::Http500, false, false),
        (Fault::Http500, true, true),
        (Fault::Reset, false, false),
        (Fault::Reset, true, true),
        (Fault::Hang, true, true),
        (Fault::ResetBody, false, true),
        (Fault::CloseEarly, false, true),
        (Fault::TruncatedJson, false, true),
        (Fault::WrongTypes, false, true),
        (Fault::NullData, false, true),
        (Fault::Html200, true, true),
        (Fault::Http502Html, true, true),
    ]
    .into_iter()
    .enumerate()
    {
        let provider = rig.provider(|config| {
            config.stack.attempt_timeout = Duration::from_millis(500);
        });
        let spec = rig.spec(&format!("lake-{at}"));
        rig.vendor().reset_stats();
        rig.break_calls("create", fault, late);
        let outcome = provider.create(&spec).await;
        rig.vendor().set_fault(None);
        // Nothing in the place of the cluster is an acceptance without a body.
        let is_accepted = fault == Fault::NullData;
        match outcome {
            Ok(written) => assert!(is_accepted && written.cluster.is_none(), "{fault}"),
            Err(error) => assert!(
                !is_accepted && error.may_have_happened(),
                "{fault}: {error:?}"
            ),
        }
        assert_eq!(rig.writes(), 1, "{fault}");
        let found = provider.find_created(&spec).await.unwrap();
        assert_eq!(found.is_some(), is_made, "{fault}");
    }
}

#[tokio::test]
async fn a_refusal_is_known_not_to_have_happened() {
    let rig = Rig::start().await;
    let spec = rig.spec("lake-new");
    for (fault, kind) in [
        (Fault::Http400, ErrorKind::Call(FailureKind::Rejected)),
        (Fault::Http401, ErrorKind::Call(FailureKind::Unauthorized)),
        (Fault::Http403, ErrorKind::Call(FailureKind::Forbidden)),
        (Fault::Http404, ErrorKind::InvalidValues),
        (Fault::Http429, ErrorKind::Call(FailureKind::RateLimited)),
    ] {
        let provider = rig.provider(|_| {});
        rig.vendor().reset_stats();
        rig.break_calls("create", fault, false);
        let error = provider.create(&spec).await.unwrap_err();
        assert_eq!(
            (error.kind, error.may_have_happened()),
            (kind, false),
            "{fault}"
        );
        assert_eq!(rig.writes(), 1, "{fault}");
    }
    rig.vendor().set_fault(None);
    let provider = rig.provider(|config| {
        config.stack.base_url = "http://127.0.0.1:1/".parse().unwrap();
    });
    let error = provider.create(&spec).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Call(FailureKind::Unreachable));
    assert!(!error.may_have_happened());
    assert_eq!(rig.vendor().len(), rig.plan.clusters);
}

#[tokio::test]
async fn every_other_write_is_sent_once_too() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    let made = created(&provider, &rig.spec("lake-new")).await;
    let locator = &made.locator;
    let mut lost = Vec::new();
    let mut check = |what: &'static str, outcome: Result<Written, ProviderError>| {
        rig.vendor().set_fault(None);
        rig.vendor().finish();
        let sent = rig.writes();
        rig.vendor().reset_stats();
        assert!(outcome.unwrap_err().may_have_happened(), "{what}");
        lost.push((what, sent));
    };
    rig.vendor().reset_stats();
    rig.break_calls("provision", Fault::Reset, true);
    check("provision", rig.provider(|_| {}).provision(locator).await);
    assert_eq!(state(&provider, locator).await, State::Running);
    rig.vendor().reset_stats();
    rig.break_calls("update", Fault::Http500, true);
    check(
        "update",
        rig.provider(|_| {}).update(locator, &patch(8)).await,
    );
    let operations = provider.operations(locator).await.unwrap();
    assert_eq!(operations[0].kind, OperationKind::Update);
    rig.vendor().reset_stats();
    rig.break_calls("destroy", Fault::ResetBody, false);
    check("destroy", rig.provider(|_| {}).destroy(locator).await);
    assert_eq!(state(&provider, locator).await, State::Deleted);
    rig.vendor().reset_stats();
    rig.break_calls("forget", Fault::Http503, true);
    check("forget", rig.provider(|_| {}).forget(locator).await);
    let error = provider.describe(locator).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(
        lost,
        [
            ("provision", 1),
            ("update", 1),
            ("destroy", 1),
            ("forget", 1)
        ]
    );
}

#[tokio::test]
async fn a_read_that_fails_before_an_update_is_no_lost_write() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    let made = created(&provider, &rig.spec("lake-new")).await;
    rig.vendor().reset_stats();
    for fault in [
        Fault::Http503,
        Fault::Reset,
        Fault::TruncatedJson,
        Fault::WrongTypes,
        Fault::NullData,
    ] {
        let provider = rig.provider(|_| {});
        rig.break_calls("connection-detail", fault, false);
        let error = provider.update(&made.locator, &patch(8)).await.unwrap_err();
        assert!(!error.may_have_happened(), "{fault}: {error:?}");
    }
    assert_eq!(rig.writes(), 0);
}

#[tokio::test]
async fn an_update_stands_though_its_operation_cannot_be_looked_for() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    let made = created(&provider, &rig.spec("lake-new")).await;
    provider.provision(&made.locator).await.unwrap();
    rig.vendor().finish();
    rig.vendor().set_fault_aim(Aim {
        kinds: vec!["connection-detail".to_owned()],
        skip: 1,
        ..Aim::default()
    });
    rig.vendor().set_fault(Some(Fault::Http403));
    let changed = provider.update(&made.locator, &patch(9)).await.unwrap();
    assert!(changed.is_pending && changed.operation.is_none());
    assert_eq!(
        changed.cluster.unwrap().cluster.status.state,
        State::Updating
    );
}

#[tokio::test]
async fn answers_without_a_body_are_acceptances() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    rig.vendor().set_feature("empty-answers", true);
    let spec = rig.spec("lake-new");
    let written = provider.create(&spec).await.unwrap();
    assert!(written.cluster.is_none());
    let made = provider.find_created(&spec).await.unwrap().unwrap();
    let begun = provider.provision(&made.locator).await.unwrap();
    assert!(begun.is_pending && begun.operation.is_none());
    rig.vendor().finish();
    let changed = provider.update(&made.locator, &patch(9)).await.unwrap();
    assert_eq!(changed.operation.unwrap().kind, OperationKind::Update);
    rig.vendor().finish();
    assert!(provider.destroy(&made.locator).await.unwrap().is_pending);
    rig.vendor().finish();
    provider.forget(&made.locator).await.unwrap();
}
