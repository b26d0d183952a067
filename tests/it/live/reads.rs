//! Nodes, health, metrics, and a cluster asked for anew.

use clustergate::domain::State;
use serde_json::json;

use super::Rig;
use super::toy::{LIST_ONLY, Toy, Trouble};
use crate::api::snapshot;

fn toy() -> Toy {
    Toy::new(&[("a", State::Running), ("b", State::Pending)])
}

fn timeless(mut body: serde_json::Value) -> serde_json::Value {
    assert!(body["fetched_at"].is_string(), "{body}");
    body["fetched_at"] = "[time]".into();
    body
}

#[tokio::test]
async fn each_resource_is_linked_and_answers_in_one_shape() {
    let rig = Rig::start(toy()).await;
    let cluster = rig.get("/clusters/toy:a").await.json();
    let links = cluster["links"].as_object().unwrap();
    let names: Vec<&str> = links.keys().map(String::as_str).collect();
    let expected = [
        "self",
        "source",
        "nodes",
        "health",
        "kubeconfig",
        "metrics",
        "operations",
    ];
    assert_eq!(names.len(), expected.len());
    let mut seen = serde_json::Map::new();
    for name in ["nodes", "health", "metrics", "operations"] {
        let answer = rig.get(links[name].as_str().unwrap()).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.header("age").parse::<u64>().unwrap() < 60);
        assert!(answer.header("cache-control").starts_with("private"));
        seen.insert(name.to_owned(), timeless(answer.json()));
    }
    snapshot("live_reads", &seen.into());
}

#[tokio::test]
async fn many_readers_are_one_call() {
    let rig = Rig::start(toy()).await;
    for _ in 0..20 {
        assert_eq!(rig.get("/clusters/toy:a/nodes").await.status, 200);
    }
    assert_eq!(rig.toy.reads(), 1);
    for period in ["1h", "60m", "", "0h", "8d"] {
        let answer = rig
            .get(&format!("/clusters/toy:a/metrics?period={period}"))
            .await;
        let expected = match period {
            "1h" => (200, String::new()),
            "8d" => (422, "INVALID_VALUES".to_owned()),
            _ => (400, "INVALID_PARAMETER".to_owned()),
        };
        let code = if answer.status == 200 {
            String::new()
        } else {
            answer.problem()
        };
        assert_eq!((answer.status.as_u16(), code), expected, "{period}");
    }
}

#[tokio::test]
async fn what_is_asked_for_anew_is_in_the_inventory_from_then_on() {
    let rig = Rig::start(toy()).await;
    rig.toy.put("a", State::Updating);
    assert_eq!(rig.state("a").await, "running");
    let before = rig.get("/clusters/toy:a").await;
    let fresh = rig.get_fresh("/clusters/toy:a").await;
    assert_eq!(fresh.json()["status"]["state"], "updating");
    assert!(fresh.json()["detailed_at"].is_string());
    assert_ne!(fresh.header("etag"), before.header("etag"));
    assert_eq!(rig.state("a").await, "updating");
    let listed = rig.get("/clusters?state=updating").await.json();
    assert_eq!(listed["items"][0]["id"], "toy:a");
    // Nobody makes us ask more often than once a second.
    for _ in 0..20 {
        rig.get_fresh("/clusters/toy:a").await;
    }
    assert!(rig.toy.reads() <= 3, "{}", rig.toy.reads());
}

#[tokio::test]
async fn a_vendor_that_is_down_leaves_what_is_known_and_it_is_said() {
    let rig = Rig::start(toy()).await;
    rig.get_fresh("/clusters/toy:a").await;
    let nodes = rig.get("/clusters/toy:a/nodes").await.json();
    rig.toy.make(Some(Trouble::Down));
    let stale = rig.get_fresh("/clusters/toy:a/nodes").await;
    assert_eq!(stale.status, 200);
    assert_eq!(stale.header("cache-control"), "private, no-cache");
    let stale = stale.json();
    assert_eq!(
        (&stale["stale"], &stale["source_error"]),
        (&json!(true), &json!("UPSTREAM_TIMEOUT"))
    );
    assert_eq!(
        (&stale["items"], &stale["fetched_at"]),
        (&nodes["items"], &nodes["fetched_at"])
    );
    // What was never read live follows from the inventory.
    let health = rig.get("/clusters/toy:a/health").await.json();
    assert_eq!(
        (&health["origin"], &health["status"], &health["stale"]),
        (&json!("derived"), &json!("healthy"), &json!(true))
    );
    let cluster = rig.get_fresh("/clusters/toy:b").await;
    assert_eq!(
        (cluster.status.as_u16(), cluster.header("x-source-error")),
        (200, "UPSTREAM_TIMEOUT")
    );
    // Where nothing is known, the failure is the answer, in our words.
    let never = rig.get("/clusters/toy:b/nodes").await;
    assert_eq!(
        (never.status.as_u16(), never.problem()),
        (504, "UPSTREAM_FAILED".to_owned())
    );
    let body = never.json();
    assert_eq!(
        (&body["source_error"], &body["retryable"], &body["source"]),
        (&json!("UPSTREAM_TIMEOUT"), &json!(true), &json!("toy"))
    );
    assert!(!never.text().contains("secret"), "{}", never.text());
}

#[tokio::test]
async fn a_cluster_that_the_vendor_no_longer_has_is_not_found_and_its_list_is_read() {
    let rig = Rig::start(toy()).await;
    rig.toy.remove("a");
    for target in ["/clusters/toy:a/nodes", "/clusters/toy:a/health"] {
        let answer = rig.get(target).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (404, "CLUSTER_NOT_FOUND".to_owned())
        );
    }
    rig.until(|rig| rig.toy.lists() > 1).await;
    let fresh = rig.get_fresh("/clusters/toy:a").await;
    assert_eq!(fresh.problem(), "CLUSTER_NOT_FOUND");
}

#[tokio::test]
async fn what_a_provider_cannot_do_is_refused_and_says_who_can() {
    let rig = Rig::start(toy().with(&LIST_ONLY)).await;
    let links = rig.get("/clusters/toy:a").await.json()["links"].clone();
    assert_eq!(links.as_object().unwrap().len(), 2, "{links}");
    for name in ["nodes", "health", "metrics", "operations"] {
        let answer = rig.get(&format!("/clusters/toy:a/{name}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (501, "CAPABILITY_NOT_SUPPORTED".to_owned()),
            "{name}"
        );
    }
    let nodes = rig.get("/clusters/toy:a/nodes").await.json();
    let providers = nodes["providers"].as_array().unwrap();
    assert!(providers.contains(&json!("runtime")), "{nodes}");
    // Asked for anew, the cluster is what the list says.
    assert_eq!(rig.get_fresh("/clusters/toy:a").await.status, 200);
    assert_eq!(rig.toy.reads(), 0);
}

#[tokio::test]
async fn ids_and_parameters_are_checked_as_everywhere() {
    let rig = Rig::start(toy()).await;
    for (target, status, code) in [
        ("/clusters/x/nodes", 400, "INVALID_ID"),
        ("/clusters/toy:none/nodes", 404, "CLUSTER_NOT_FOUND"),
        ("/clusters/toy:a/nodes?x=1", 400, "UNKNOWN_PARAMETER"),
        (
            "/clusters/toy:a/metrics?period=1h&period=2h",
            400,
            "INVALID_PARAMETER",
        ),
        ("/clusters/toy:a/nothing", 404, "NOT_FOUND"),
    ] {
        let answer = rig.get(target).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (status, code),
            "{target}"
        );
    }
    assert_eq!(rig.get("/clusters/toy%3Aa/nodes").await.status, 200);
}
