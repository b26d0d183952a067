//! The list of operations, and what is no operation.

use clustergate::domain::State;
use serde_json::{Value, json};

use super::toy::Toy;
use super::{Rig, post};
use crate::api::{ids, items};

async fn rig() -> Rig {
    let rig = Rig::start(Toy::new(&[("a", State::Running), ("b", State::Pending)])).await;
    let built = rig
        .with(post("/clusters/toy:b/provision", "1"), &json!({}))
        .await;
    assert_eq!(built.status, 202);
    let destroyed = rig
        .with(post("/clusters/toy:a/destroy", "2"), &json!({"name": "a"}))
        .await;
    assert_eq!(destroyed.status, 202);
    rig
}

#[tokio::test]
async fn what_was_started_here_is_listed_newest_first_and_page_by_page() {
    let rig = rig().await;
    let all = rig.get("/operations").await.json();
    assert_eq!(ids(&items(&all)), ["toy:op-2", "toy:op-1"]);
    assert!(all.get("next_cursor").is_none());
    let first = rig.get("/operations?limit=1").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = rig
        .get(&format!("/operations?limit=1&cursor={cursor}"))
        .await
        .json();
    assert_eq!(
        (ids(&items(&first)), ids(&items(&second))),
        (vec!["toy:op-2".to_owned()], vec!["toy:op-1".to_owned()])
    );
    assert!(second.get("next_cursor").is_none());
    for (query, expected) in [
        ("cluster=toy:b", 1),
        ("cluster=toy:none", 0),
        ("source=toy", 2),
        ("state=pending,running", 2),
        ("state=failed", 0),
    ] {
        let list = rig.get(&format!("/operations?{query}")).await.json();
        assert_eq!(items(&list).len(), expected, "{query}");
    }
    for (query, code) in [
        ("source=nobody", "INVALID_PARAMETER"),
        ("state=done", "INVALID_PARAMETER"),
        ("cluster=x", "INVALID_PARAMETER"),
        ("cursor=x", "INVALID_CURSOR"),
        ("limit=0", "INVALID_PARAMETER"),
        ("x=1", "UNKNOWN_PARAMETER"),
    ] {
        let answer = rig.get(&format!("/operations?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (400, code),
            "{query}"
        );
    }
}

#[tokio::test]
async fn an_operation_says_what_of_whom_and_since_when() {
    let rig = rig().await;
    let mut body = rig.get("/operations/toy:op-2").await.json();
    for time in ["created_at", "fetched_at"] {
        assert!(body[time].is_string(), "{body}");
        body[time] = "[time]".into();
    }
    crate::api::snapshot("operation", &body);
    let of_cluster = rig.get("/clusters/toy:a/operations").await.json();
    assert_eq!(ids(&items(&of_cluster)), ["toy:op-2"]);
    assert_eq!(
        (&of_cluster["cluster"], &of_cluster["stale"]),
        (&json!("toy:a"), &Value::Bool(false))
    );
}

#[tokio::test]
async fn what_is_no_operation_is_not_found() {
    let rig = rig().await;
    for id in [
        "x",
        "toy:none",
        "nobody:1",
        "toy:gw-000000",
        "toy%3Anone",
        "%FF",
    ] {
        let answer = rig.get(&format!("/operations/{id}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (404, "OPERATION_NOT_FOUND".to_owned()),
            "{id}"
        );
    }
    assert_eq!(rig.get("/operations/toy%3Aop-1").await.status, 200);
}
