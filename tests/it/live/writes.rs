//! Writes as callers see them: what they come to, what is shown at once, and what is refused before anything is sent.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use clustergate::domain::State;
use clustergate::provider::ErrorKind;
use clustergate::upstream::FailureKind;
use futures_util::stream;
use http::Request;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::toy::{LIST_ONLY, Toy, Trouble};
use super::{Rig, post};

fn toy() -> Toy {
    Toy::new(&[
        ("a", State::Running),
        ("b", State::Pending),
        ("c", State::Deleted),
    ])
}

fn new() -> Value {
    json!({"source": "toy", "name": "fresh", "version": "1.35"})
}

#[tokio::test]
async fn a_cluster_lives_from_its_making_to_its_forgetting() {
    let rig = Rig::start(toy()).await;
    let made = rig.with(post("/clusters", "k1"), &new()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let at = made.header("location").to_owned();
    assert_eq!(at, "/clusters/toy:new-4");
    let body = made.json();
    assert_eq!(
        (&body["cluster"], &body["pending"], &body["read_back"]),
        (&json!("toy:new-4"), &json!(false), &json!(false))
    );
    // It is there at once, in lists as well.
    assert_eq!(rig.state("new-4").await, "pending");
    assert_eq!(rig.get("/clusters?q=fresh").await.json()["total"], 1);
    // The tag is of this content, however often it is read meanwhile.
    let content = |tag: &str| tag.split('-').next().unwrap().to_owned();
    let read = rig.get(&at).await;
    assert_eq!(content(read.header("etag")), content(made.header("etag")));

    let building = rig
        .with(post(&format!("{at}/provision"), "k2"), &json!({}))
        .await;
    assert_eq!(building.status, 202, "{}", building.text());
    assert_eq!(building.header("retry-after"), "5");
    let operation = building.header("location").to_owned();
    assert_eq!(operation, "/operations/toy:op-1");
    assert_eq!(rig.state("new-4").await, "provisioning");
    let running = rig.get(&operation).await;
    assert_eq!(
        (
            running.json()["state"].as_str(),
            running.header("retry-after")
        ),
        (Some("running"), "5")
    );
    assert_eq!(running.json()["cluster"], "toy:new-4");
    rig.toy.finish("new-4", State::Running);
    let ended = rig.get_fresh(&operation).await;
    assert_eq!(
        (&ended.json()["state"], &ended.json()["done"]),
        (&json!("succeeded"), &json!(true))
    );
    assert_eq!(ended.header("retry-after"), "");
    // Its end makes the list be read.
    rig.until(|rig| {
        let snapshot = rig.gateway.inventory.current();
        let place = snapshot.find_text("toy:new-4").unwrap();
        snapshot.row(place).cluster().unwrap().status.state == State::Running
    })
    .await;

    let patch = Request::patch(&at).header("content-type", "application/merge-patch+json");
    let changed = rig
        .send(
            patch
                .body(json!({"version": "1.36"}).to_string().into())
                .unwrap(),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let cluster = rig.get(&at).await.json();
    assert_eq!(cluster["orchestrator"]["version"], "1.36");

    let destroying = rig
        .with(
            post(&format!("{at}/destroy"), "k3"),
            &json!({"name": "fresh"}),
        )
        .await;
    assert_eq!(destroying.status, 202, "{}", destroying.text());
    assert_eq!(rig.state("new-4").await, "deleting");
    let refused = rig
        .send(Request::delete(&at).body(Body::empty()).unwrap())
        .await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (409, "INFRASTRUCTURE_MAY_EXIST".to_owned())
    );
    assert_eq!(refused.json()["cluster_state"], "deleting");
    // The record is looked at anew, not as the inventory has it.
    rig.toy.finish("new-4", State::Deleted);
    let forgotten = rig
        .send(Request::delete(&at).body(Body::empty()).unwrap())
        .await;
    assert_eq!((forgotten.status.as_u16(), forgotten.body.len()), (204, 0));
    assert_eq!(rig.state("new-4").await, "none");
    assert_eq!(rig.toy.writes(), 5);
}

#[tokio::test]
async fn force_forgets_what_may_go_on_running() {
    let rig = Rig::start(toy()).await;
    let plain = rig
        .send(
            Request::delete("/clusters/toy:a")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(plain.problem(), "INFRASTRUCTURE_MAY_EXIST");
    let forced = rig
        .send(
            Request::delete("/clusters/toy:a?force=true")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(forced.status, 204, "{}", forced.text());
    assert_eq!(rig.state("a").await, "none");
}

/// Method and path, body, and the refusal: status, code and the field that it names.
type Case = (&'static str, &'static str, u16, &'static str, &'static str);

const MAKE: &str = "POST /clusters";
const CHANGE: &str = "PATCH /clusters/toy:a";
const DESTROY: &str = "POST /clusters/toy:a/destroy";

#[rustfmt::skip]
const MEANINGLESS: [Case; 20] = [
    (MAKE, r#"{"source":"toy","name":"x","nmae":1}"#, 422, "INVALID_VALUES", "nmae"),
    (MAKE, r#"{"source":"toy","name":"x","node_groups":[{},{"min_size":"2"}]}"#, 422, "INVALID_VALUES", "node_groups[1].min_size"),
    (MAKE, r#"{"source":"toy"}"#, 422, "INVALID_VALUES", "name"),
    (MAKE, r#"{"source":"toy","name":"  "}"#, 422, "INVALID_VALUES", "name"),
    (MAKE, r#"{"source":"toy","name":" x"}"#, 422, "INVALID_VALUES", "name"),
    (MAKE, r#"{"source":"toy","name":"x\u00a0"}"#, 422, "INVALID_VALUES", "name"),
    (MAKE, r#"{"source":"A B","name":"x"}"#, 422, "INVALID_VALUES", "source"),
    (MAKE, r#"{"source":"nobody","name":"x"}"#, 404, "SOURCE_NOT_FOUND", ""),
    (MAKE, r#"{"source":"toy","name":"x""#, 400, "INVALID_BODY", ""),
    (MAKE, "", 400, "INVALID_BODY", ""),
    ("POST /clusters?x=1", r#"{"source":"toy","name":"x"}"#, 400, "UNKNOWN_PARAMETER", "x"),
    (DESTROY, r#"{"name":"b"}"#, 422, "NAME_MISMATCH", "name"),
    (DESTROY, "{}", 422, "INVALID_VALUES", "name"),
    ("POST /clusters/toy:none/destroy", r#"{"name":"b"}"#, 404, "CLUSTER_NOT_FOUND", ""),
    ("POST /clusters/toy:b/provision", r#"{"name":"b"}"#, 422, "INVALID_VALUES", "name"),
    ("DELETE /clusters/toy:c?force=maybe", "", 400, "INVALID_PARAMETER", "force"),
    (CHANGE, "{}", 422, "INVALID_VALUES", "body"),
    (CHANGE, r#"{"name":null}"#, 422, "INVALID_VALUES", "name"),
    (CHANGE, r#"{"name":"a "}"#, 422, "INVALID_VALUES", "name"),
    (CHANGE, r#"{"name":"a\nb"}"#, 422, "INVALID_VALUES", "name"),
];

#[tokio::test]
async fn what_cannot_be_meant_is_refused_and_nothing_is_sent() {
    let rig = Rig::start(toy()).await;
    for (request, body, status, code, field) in MEANINGLESS {
        let (method, target) = request.split_once(' ').unwrap();
        let asked = post(target, "k").method(method);
        let asked = asked.header("content-type", "application/json");
        let answer = rig.send(asked.body(body.into()).unwrap()).await;
        let (is_status, is_code, fields) = answer.refusal();
        assert_eq!(
            (is_status, is_code.as_str()),
            (status, code),
            "{request} {body}"
        );
        let named = fields.first().map_or("", String::as_str);
        assert_eq!(named, field, "{request} {body}");
    }
    let deep = "[".repeat(5_000);
    let deep = format!("{{\"source\":\"toy\",\"name\":\"x\",\"options\":{{\"a\":{deep}");
    let long = format!("\"{}\"", "x".repeat(70_000));
    for (media_type, body, status, code) in [
        ("", "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("text/plain", "{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("application/json", &deep, 400, "INVALID_BODY"),
        ("application/json", &long, 413, "PAYLOAD_TOO_LARGE"),
    ] {
        let asked = post("/clusters", "k").header("content-type", media_type);
        let answer = rig.send(asked.body(body.to_owned().into()).unwrap()).await;
        let (is_status, is_code, _) = answer.refusal();
        assert_eq!(
            (is_status, is_code.as_str()),
            (status, code),
            "{media_type}"
        );
    }
    assert_eq!((rig.toy.writes(), rig.toy.reads()), (0, 0));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let rig = Rig::start(toy()).await;
    let pieces = stream::iter([
        Ok(Bytes::from_static(b"{\"source\"")),
        Err(std::io::Error::other("gone")),
    ]);
    let request = post("/clusters", "k").header("content-type", "application/json");
    let answer = rig
        .send(request.body(Body::from_stream(pieces)).unwrap())
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (400, "INVALID_BODY".to_owned())
    );
    let endless =
        stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1_000])));
    let request = post("/clusters", "k").header("content-type", "application/json");
    let answer = rig
        .send(request.body(Body::from_stream(endless)).unwrap())
        .await;
    assert_eq!(answer.problem(), "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn a_change_of_what_has_changed_since_is_refused() {
    let rig = Rig::start(toy()).await;
    let etag = rig.get("/clusters/toy:a").await.header("etag").to_owned();
    let change = |tag: &str, version: &str| {
        let request = Request::patch("/clusters/toy:a").header("if-match", tag);
        (request, json!({"version": version}))
    };
    for (tag, version, status) in [
        ("\"0-0-0\"", "1.35", 412),
        ("W/\"x\"", "1.35", 412),
        ("", "1.35", 412),
        (etag.as_str(), "1.35", 200),
        // It is no longer the one that was read.
        (etag.as_str(), "1.36", 412),
        ("*", "1.36", 200),
    ] {
        let (request, body) = change(tag, version);
        let answer = rig.with(request, &body).await;
        assert_eq!(answer.status, status, "{tag}: {}", answer.text());
        if status == 412 {
            assert_eq!(answer.problem(), "PRECONDITION_FAILED");
        }
    }
    assert_eq!(rig.toy.writes(), 2);
    // What was only read again is the same.
    let etag = rig.get("/clusters/toy:a").await.header("etag").to_owned();
    let lists = rig.toy.lists();
    rig.send(
        Request::post("/sources/toy/refresh")
            .body(Body::empty())
            .unwrap(),
    )
    .await;
    rig.until(|rig| rig.toy.lists() > lists).await;
    let (request, body) = change(&etag, "1.37");
    assert_eq!(rig.with(request, &body).await.status, 200);
    let request = post("/clusters/toy:a/destroy", "k").header("if-match", &etag);
    assert_eq!(rig.with(request, &json!({"name": "a"})).await.status, 412);
}

#[tokio::test]
async fn a_vendors_refusal_is_told_in_our_words() {
    for (kind, status, code) in [
        (ErrorKind::Conflict, 409, "UPSTREAM_CONFLICT"),
        (ErrorKind::NotReady, 409, "UPSTREAM_NOT_READY"),
        (ErrorKind::InvalidValues, 422, "INVALID_VALUES"),
        (
            ErrorKind::Call(FailureKind::Rejected),
            422,
            "UPSTREAM_REFUSED",
        ),
        (
            ErrorKind::Call(FailureKind::Forbidden),
            502,
            "UPSTREAM_FAILED",
        ),
        (
            ErrorKind::Call(FailureKind::RateLimited),
            503,
            "UPSTREAM_FAILED",
        ),
        (
            ErrorKind::Call(FailureKind::Unreachable),
            502,
            "UPSTREAM_FAILED",
        ),
    ] {
        let rig = Rig::start(toy()).await;
        rig.toy.make(Some(Trouble::Refused(kind)));
        let answer = rig.with(post("/clusters", "k"), &new()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (status, code),
            "{kind:?}"
        );
        let body = answer.json();
        if kind == ErrorKind::InvalidValues {
            assert_eq!(body["errors"][0]["parameter"], "options.size");
        } else {
            assert_eq!(body["detail"], "the vendor's documented reason", "{kind:?}");
        }
        assert_eq!(rig.state("new-4").await, "none");
    }
}

#[tokio::test]
async fn a_lost_answer_is_read_back_and_never_repeated() {
    let rig = Rig::start(toy()).await;
    rig.toy.make(Some(Trouble::AnswerLost));
    let made = rig.with(post("/clusters", "k1"), &new()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(
        (&made.json()["read_back"], made.header("location")),
        (&json!(true), "/clusters/toy:new-4")
    );
    rig.toy.make(Some(Trouble::AnswerLost));
    let building = rig
        .with(post("/clusters/toy:b/provision", "k2"), &json!({}))
        .await;
    assert_eq!(
        (building.status.as_u16(), &building.json()["read_back"]),
        (202, &json!(true))
    );
    assert_eq!(building.header("location"), "/operations/toy:op-1");
    rig.toy.make(Some(Trouble::AnswerLost));
    let forgotten = rig
        .send(
            Request::delete("/clusters/toy:c")
                .body(Body::empty())
                .unwrap(),
        )
        .await;
    assert_eq!(forgotten.status, 204, "{}", forgotten.text());
    assert_eq!(rig.state("c").await, "none");
    assert_eq!(rig.toy.writes(), 3);
}

#[tokio::test]
async fn what_may_have_happened_is_not_called_a_failure_nor_a_success() {
    let rig = Rig::start(toy()).await;
    rig.toy.make(Some(Trouble::RequestLost));
    let answer = rig
        .with(post("/clusters/toy:a/destroy", "k"), &json!({"name": "a"}))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem()),
        (504, "WRITE_OUTCOME_UNKNOWN".to_owned())
    );
    let body = answer.json();
    assert_eq!(
        (&body["cluster_state"], &body["source_error"]),
        (&json!("running"), &json!("UPSTREAM_TIMEOUT"))
    );
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains("its state is running"),
        "{body}"
    );
    assert!(
        body.get("retryable")
            .is_none_or(|retryable| retryable != true),
        "{body}"
    );
    assert!(!answer.text().contains("secret"));
    // The same request gives the same answer and sends nothing.
    let again = rig
        .with(post("/clusters/toy:a/destroy", "k"), &json!({"name": "a"}))
        .await;
    assert_eq!(
        (
            again.problem().as_str(),
            again.header("idempotency-replayed")
        ),
        ("WRITE_OUTCOME_UNKNOWN", "true")
    );
    assert_eq!(again.json()["detail"], body["detail"]);
    assert_eq!(rig.toy.writes(), 0);
}

#[tokio::test]
async fn one_write_of_a_cluster_at_a_time() {
    let gate = Arc::new(Notify::new());
    let rig = Arc::new(Rig::start(toy().gated(&gate)).await);
    let first = {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move {
            rig.with(post("/clusters/toy:b/provision", "k1"), &json!({}))
                .await
        })
    };
    while rig.toy.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let change = Request::patch("/clusters/toy:b");
    let busy = rig.with(change, &json!({"version": "1.35"})).await;
    assert_eq!(
        (busy.status.as_u16(), busy.problem()),
        (409, "CLUSTER_BUSY".to_owned())
    );
    assert_eq!(busy.header("retry-after"), "2");
    gate.notify_one();
    assert_eq!(first.await.unwrap().status, 202);
}

#[tokio::test]
async fn what_a_provider_cannot_write_is_refused() {
    let rig = Rig::start(toy().with(&LIST_ONLY)).await;
    let requests = [
        (post("/clusters", "k"), new()),
        (Request::patch("/clusters/toy:a"), json!({"version": "1"})),
        (post("/clusters/toy:a/provision", "k"), json!({})),
        (post("/clusters/toy:a/destroy", "k"), json!({"name": "a"})),
        (Request::delete("/clusters/toy:a"), json!({})),
    ];
    for (request, body) in requests {
        let answer = rig.with(request, &body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (501, "CAPABILITY_NOT_SUPPORTED".to_owned())
        );
    }
    assert_eq!(rig.toy.writes(), 0);
}
