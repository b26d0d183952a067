//! `GET /clusters`: what a page holds, how much of it, and conditional requests.

use std::collections::BTreeSet;

use axum::body::Body;
use clustergate::api::params::FIELDS;
use http::{Method, Request};
use serde_json::{Value, json};

use super::{all, get, items, quiet, send, snapshot};

/// Puts fixed words in place of what the clock decides.
pub(super) fn timeless(mut value: Value) -> Value {
    fix(&mut value);
    value
}

fn fix(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let by_clock = matches!(
                    name.as_str(),
                    "fetched_at"
                        | "detailed_at"
                        | "as_of"
                        | "generation"
                        | "age_seconds"
                        | "started_at"
                        | "duration_ms"
                        | "next_attempt_at"
                        | "next_cursor"
                        | "request_id"
                        | "pages"
                        | "requests"
                        | "resets_at"
                );
                if by_clock && !value.is_null() {
                    *value = json!(format!("[{name}]"));
                } else {
                    fix(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(fix),
        _ => {}
    }
}

#[tokio::test]
async fn a_page_says_what_it_holds_and_how_far_to_trust_it() {
    let rig = quiet().await;
    for source in [
        "latitude",
        "kubeadapt",
        "lakesail",
        "runtime",
        "prime-intellect",
    ] {
        let answer = get(&rig, &format!("/clusters?source={source}&limit=2"), &[]).await;
        snapshot(
            &format!("page_{source}"),
            &json!({"headers": answer.stable_headers(), "body": timeless(answer.json())}),
        );
    }
}

#[tokio::test]
async fn the_limit_is_brought_down_and_never_guessed() {
    let rig = quiet().await;
    for (limit, rows) in [
        ("1", 1),
        ("99", 99),
        ("100", 100),
        ("1000", 100),
        ("1001", 100),
    ] {
        let list = rig.get(&format!("/clusters?limit={limit}")).await.json();
        assert_eq!(items(&list).len(), rows, "{limit}");
    }
    let huge = rig
        .get("/clusters?limit=99999999999999999999999999999999")
        .await;
    assert_eq!(items(&huge.json()).len(), 100);
}

#[tokio::test]
async fn the_total_can_be_left_out() {
    let rig = quiet().await;
    let list = rig.get("/clusters?limit=1&total=false").await.json();
    assert!(list.get("total").is_none());
    for query in ["", "&total=true"] {
        let list = rig.get(&format!("/clusters?limit=1{query}")).await.json();
        assert_eq!(list["total"], 100, "{query}");
    }
}

#[tokio::test]
async fn only_the_wanted_fields_come_and_always_the_id() {
    let rig = quiet().await;
    let clusters = all(&rig).await;
    let names =
        |item: &Value| -> Vec<String> { item.as_object().unwrap().keys().cloned().collect() };
    for (query, expected) in [
        ("fields=name", vec!["id", "name"]),
        (
            "fields=name&fields=cost,stale",
            vec!["id", "name", "cost", "stale"],
        ),
        ("fields=id", vec!["id"]),
        ("fields=name&include=nodes", vec!["id", "name", "node_list"]),
        ("fields=raw", vec!["id", "raw"]),
    ] {
        let list = rig
            .get(&format!("/clusters?limit=1000&{query}"))
            .await
            .json();
        for (shown, whole) in items(&list).iter().zip(&clusters) {
            let shown_names: BTreeSet<String> = names(shown).into_iter().collect();
            let expected: BTreeSet<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(shown_names, expected, "{query}");
            for name in shown_names
                .iter()
                .filter(|name| whole.get(name.as_str()).is_some())
            {
                assert_eq!(shown[name], whole[name], "{query}");
            }
        }
    }
    for field in FIELDS {
        let list = rig.get(&format!("/clusters?limit=3&fields={field}")).await;
        assert_eq!(list.status, 200, "{field}");
        assert!(
            items(&list.json())
                .iter()
                .all(|item| item.get(field).is_some()),
            "{field}"
        );
    }
}

#[tokio::test]
async fn what_is_included_is_added_and_nothing_else_changes() {
    let rig = quiet().await;
    let plain = all(&rig).await;
    assert!(
        plain
            .iter()
            .all(|item| item.get("raw").is_none() && item.get("node_list").is_none())
    );
    let full = rig
        .get("/clusters?limit=1000&include=raw,nodes")
        .await
        .json();
    let mut with_nodes = BTreeSet::new();
    for (mut full, plain) in items(&full).into_iter().zip(plain) {
        let members = full.as_object_mut().unwrap();
        let raw = members.remove("raw").unwrap();
        assert!(
            raw["listing"].is_object() || raw["detail"].is_object(),
            "{raw}"
        );
        if members.remove("node_list").unwrap().is_array() {
            with_nodes.insert(plain["provider"].as_str().unwrap().to_owned());
        }
        assert_eq!(full, plain);
    }
    assert!(!with_nodes.is_empty());
}

#[tokio::test]
async fn a_caller_that_has_the_page_is_told_so() {
    let rig = quiet().await;
    for target in [
        "/clusters",
        "/clusters?limit=3&sort=name",
        "/clusters?state=running&fields=name",
        "/summary",
        "/summary?state=running",
    ] {
        let first = get(&rig, target, &[]).await;
        let etag = first.header("etag").to_owned();
        assert!(etag.starts_with('"'), "{etag} is strong");
        let generation = first.header("x-inventory-generation").to_owned();
        assert_eq!(generation, first.json()["generation"].to_string());
        let age: u64 = first.header("age").parse().unwrap();
        assert!(age < 60);
        for held in [
            etag.clone(),
            format!("W/{etag}"),
            format!("\"x\", {etag}"),
            "*".to_owned(),
        ] {
            let again = get(&rig, target, &[("if-none-match", &held)]).await;
            assert_eq!(again.status, 304, "{target} {held}");
            assert!(again.body.is_empty());
            assert_eq!(again.header("etag"), etag);
            assert_eq!(again.header("cache-control"), first.header("cache-control"));
            assert_eq!(again.header("vary"), first.header("vary"));
            assert_eq!(again.header("content-type"), "");
            assert_eq!(again.header("x-inventory-generation"), generation);
        }
        let other = get(&rig, target, &[("if-none-match", "\"other\"")]).await;
        assert_eq!(other.status, 200);
    }
    for target in ["/clusters", "/summary"] {
        let first = get(&rig, target, &[]).await;
        let etag = first.header("etag");
        rig.vendor("kubeadapt").touch();
        rig.refresh("kubeadapt").await;
        let changed = get(&rig, target, &[("if-none-match", etag)]).await;
        assert_eq!(changed.status, 200, "{target}");
        assert_ne!(changed.header("etag"), etag, "{target}");
        assert_ne!(changed.json()["generation"], first.json()["generation"]);
    }
}

#[tokio::test]
async fn different_questions_have_different_tags() {
    let rig = quiet().await;
    let mut tags = BTreeSet::new();
    let targets = [
        "",
        "?limit=99",
        "?sort=name",
        "?sort=-name",
        "?state=running",
        "?state=!running",
        "?fields=name",
        "?include=raw",
        "?include=nodes",
        "?total=false",
        "?q=a",
        "?source=latitude",
    ];
    for target in targets {
        let answer = get(&rig, &format!("/clusters{target}"), &[]).await;
        assert!(tags.insert(answer.header("etag").to_owned()), "{target}");
    }
    for target in ["", "?state=running", "?state=!running", "?source=latitude"] {
        let answer = get(&rig, &format!("/summary{target}"), &[]).await;
        assert!(tags.insert(answer.header("etag").to_owned()), "{target}");
    }
    let first = rig.get("/clusters?limit=3").await.json();
    let second = format!(
        "/clusters?limit=3&cursor={}",
        first["next_cursor"].as_str().unwrap()
    );
    assert!(tags.insert(get(&rig, &second, &[]).await.header("etag").to_owned()));
    assert!(
        tags.insert(
            get(&rig, "/clusters?limit=3", &[])
                .await
                .header("etag")
                .to_owned()
        )
    );
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let rig = quiet().await;
    let id = all(&rig).await[0]["id"].as_str().unwrap().to_owned();
    for target in ["/clusters?limit=3", &format!("/clusters/{id}"), "/summary"] {
        let full = get(&rig, target, &[]).await;
        let request = Request::builder()
            .method(Method::HEAD)
            .uri(target)
            .body(Body::empty())
            .unwrap();
        let head = send(&rig.gateway.router, request).await;
        assert_eq!(head.status, 200, "{target}");
        assert!(head.body.is_empty(), "{target}");
        assert_eq!(head.stable_headers(), full.stable_headers(), "{target}");
    }
}
