//! One write, however often it is sent.

use std::sync::Arc;

use axum::body::Body;
use clustergate::api::Viewer;
use clustergate::domain::{Reach, SourceName, State};
use clustergate::provider::ErrorKind;
use http::Request;
use http::request::Builder;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::toy::{Toy, Trouble};
use super::{Rig, post};
use crate::api::send;

fn toy() -> Toy {
    Toy::new(&[("a", State::Running), ("c", State::Deleted)])
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer() {
    let rig = Rig::start(toy()).await;
    let body = json!({"source": "toy", "name": "x"});
    let first = rig.with(post("/clusters", "k"), &body).await;
    let again = rig.with(post("/clusters", "\"k\""), &body).await;
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    for header in ["location", "etag", "content-type", "cache-control"] {
        assert_eq!(first.header(header), again.header(header), "{header}");
    }
    assert_eq!(
        (
            first.header("idempotency-replayed"),
            again.header("idempotency-replayed")
        ),
        ("", "true")
    );
    assert_eq!(rig.toy.writes(), 1);
    let other = rig
        .with(
            post("/clusters", "k"),
            &json!({"source": "toy", "name": "y"}),
        )
        .await;
    assert_eq!(
        (other.status.as_u16(), other.problem()),
        (422, "IDEMPOTENCY_KEY_REUSED".to_owned())
    );
    // Another key is another write, and so is the same key elsewhere.
    assert_eq!(rig.with(post("/clusters", "k2"), &body).await.status, 201);
    assert_eq!(
        rig.with(post("/clusters/toy:a/destroy", "k"), &json!({"name": "a"}))
            .await
            .status,
        202
    );
    assert_eq!(rig.toy.writes(), 3);
}

#[tokio::test]
async fn what_the_first_request_has_changed_does_not_refuse_the_second() {
    let rig = Rig::start(toy()).await;
    let etag = rig.get("/clusters/toy:c").await.header("etag").to_owned();
    for replayed in ["", "true"] {
        let request = Request::delete("/clusters/toy:c")
            .header("idempotency-key", "k")
            .header("if-match", &etag);
        let answer = rig.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.header("idempotency-replayed")
            ),
            (204, replayed),
            "{}",
            answer.text()
        );
    }
    assert_eq!(rig.toy.writes(), 1);
}

#[tokio::test]
async fn a_key_is_given_for_a_cluster_however_its_id_is_written() {
    let rig = Rig::start(toy()).await;
    for (target, replayed) in [
        ("/clusters/toy:a/destroy", ""),
        ("/clusters/toy%3Aa/destroy", "true"),
        ("/clusters/toy:%61/destroy", "true"),
    ] {
        let answer = rig.with(post(target, "k"), &json!({"name": "a"})).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.header("idempotency-replayed")
            ),
            (202, replayed),
            "{target}"
        );
    }
    assert_eq!(rig.toy.writes(), 1);
}

#[tokio::test]
async fn an_earlier_answer_is_not_given_to_who_sees_less_now() {
    let rig = Rig::start(toy()).await;
    let seeing = |sources: Option<&str>, projects: Option<&str>| Reach {
        sources: sources.map(|name| [SourceName::new(name).unwrap()].into()),
        projects: projects.map(|project| [project.to_owned()].into()),
    };
    let destroy = || (post("/clusters/toy:a/destroy", "k"), json!({"name": "a"}));
    let create = || {
        (
            post("/clusters", "k"),
            json!({"source": "toy", "name": "x"}),
        )
    };
    let forget = || (post("/clusters/toy:c", "k").method("DELETE"), json!({}));
    for (asked, narrowed) in [
        (&destroy as &dyn Fn() -> _, [404, 404]),
        (&create, [404, 403]),
        (&forget, [404, 404]),
    ] {
        let ask = async |reach: Reach| {
            let (request, body): (Builder, Value) = asked();
            let viewer = Viewer::new(Arc::new(reach));
            let request = request
                .extension(viewer)
                .header("content-type", "application/json");
            let request = request.body(Body::from(body.to_string())).unwrap();
            send(&rig.gateway.router, request).await
        };
        let first = ask(Reach::ALL).await;
        assert!(first.status.is_success(), "{}", first.text());
        let elsewhere = ask(seeing(Some("other"), None)).await;
        let within = ask(seeing(None, Some("p"))).await;
        let statuses = [elsewhere.status.as_u16(), within.status.as_u16()];
        assert_eq!(statuses, narrowed, "{}", within.text());
        // Who sees all of it still gets the answer, also to what is gone.
        let again = ask(seeing(Some("toy"), None)).await;
        assert_eq!(again.status, first.status);
        assert_eq!(again.header("idempotency-replayed"), "true");
    }
    assert_eq!(rig.toy.writes(), 3);
}

#[tokio::test]
async fn writes_that_must_not_happen_twice_want_a_key() {
    let rig = Rig::start(toy()).await;
    for (target, body) in [
        ("/clusters", json!({"source": "toy", "name": "x"})),
        ("/clusters/toy:a/provision", json!({})),
        ("/clusters/toy:a/destroy", json!({"name": "a"})),
    ] {
        let answer = rig.with(Request::post(target), &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (400, "IDEMPOTENCY_KEY_REQUIRED".to_owned()),
            "{target}"
        );
        let answer = rig.with(post(target, "a b"), &body).await;
        assert_eq!(
            answer.refusal(),
            (
                400,
                "INVALID_PARAMETER".to_owned(),
                vec!["Idempotency-Key".to_owned()]
            )
        );
    }
    assert_eq!(rig.toy.writes(), 0);
}

#[tokio::test]
async fn a_request_that_did_nothing_may_be_corrected_under_its_key() {
    let rig = Rig::start(toy()).await;
    let destroy = |name: &str| (post("/clusters/toy:a/destroy", "k"), json!({"name": name}));
    let (request, body) = destroy("wrong");
    assert_eq!(rig.with(request, &body).await.problem(), "NAME_MISMATCH");
    rig.toy.make(Some(Trouble::Refused(ErrorKind::NotReady)));
    let (request, body) = destroy("a");
    assert_eq!(
        rig.with(request, &body).await.problem(),
        "UPSTREAM_NOT_READY"
    );
    let (request, body) = destroy("a");
    assert_eq!(rig.with(request, &body).await.status, 202);
    assert_eq!(rig.toy.writes(), 1);
}

#[tokio::test]
async fn a_request_that_still_runs_is_not_begun_again_and_its_callers_leaving_does_not_end_it() {
    let gate = Arc::new(Notify::new());
    let rig = Arc::new(Rig::start(toy().gated(&gate)).await);
    let body = json!({"source": "toy", "name": "x"});
    let mut caller = Box::pin(rig.with(post("/clusters", "k"), &body));
    // The caller waits at the vendor, then goes away.
    let running = loop {
        assert!(futures_util::poll!(&mut caller).is_pending());
        let again = rig.with(post("/clusters", "k"), &body).await;
        if again.status == 409 {
            break again;
        }
    };
    assert_eq!(
        (running.problem().as_str(), running.header("retry-after")),
        ("IDEMPOTENCY_IN_PROGRESS", "2")
    );
    drop(caller);
    gate.notify_one();
    let replayed = loop {
        let again = rig.with(post("/clusters", "k"), &body).await;
        if again.status == 201 {
            break again;
        }
        assert_eq!(again.problem(), "IDEMPOTENCY_IN_PROGRESS");
        tokio::task::yield_now().await;
    };
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    assert_eq!(rig.toy.writes(), 1);
}
