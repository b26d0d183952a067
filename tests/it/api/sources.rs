//! `/sources`: what is known of each account, and asking for a refresh.

use axum::body::Body;
use clustergate::sandbox::Fault;
use http::Request;
use serde_json::json;

use super::listing::timeless;
use super::{get, items, quiet, send, snapshot};

#[tokio::test]
async fn every_source_says_how_well_it_can_be_read() {
    let rig = quiet().await;
    let answer = get(&rig, "/sources", &[]).await;
    let list = answer.json();
    for source in items(&list) {
        assert_eq!(source["state"], "fresh", "{source}");
        assert_eq!(source["error"], json!(null), "{source}");
        assert_eq!(source["attempts"][0]["outcome"], "OK", "{source}");
        assert_eq!(source["details_pending"], 0, "{source}");
        let name = source["source"].as_str().unwrap();
        let requests = source["upstream"]["requests"].as_u64().unwrap();
        assert!(
            requests >= source["attempts"][0]["pages"].as_u64().unwrap(),
            "{source}"
        );
        let one = get(&rig, &format!("/sources/{name}"), &[]).await.json();
        assert_eq!(timeless(one), timeless(source.clone()));
    }
    snapshot(
        "sources",
        &json!({"headers": answer.stable_headers(), "body": timeless(list)}),
    );
}

#[tokio::test]
async fn a_failing_source_says_why_and_since_when() {
    let rig = quiet().await;
    rig.vendor("kubeadapt").set_fault(Some(Fault::Http401));
    rig.refresh("kubeadapt").await;
    let source = rig.get("/sources/kubeadapt").await.json();
    assert_eq!(source["state"], "stale");
    assert_eq!(source["failures"], 1);
    assert_eq!(source["error"]["code"], "UPSTREAM_UNAUTHORIZED");
    assert_eq!(source["error"]["retryable"], false);
    assert!(source["error"]["hint"].as_str().unwrap().len() > 10);
    assert!(source["error"]["since"].is_string());
    assert_eq!(source["clusters"], 20);
    assert_eq!(source["attempts"][0]["outcome"], "UPSTREAM_UNAUTHORIZED");
    assert_eq!(source["attempts"][1]["outcome"], "OK");
    rig.vendor("kubeadapt").set_fault(None);
    rig.refresh("kubeadapt").await;
    let source = rig.get("/sources/kubeadapt").await.json();
    assert_eq!(
        (&source["state"], &source["error"]),
        (&json!("fresh"), &json!(null))
    );
    assert_eq!(source["failures"], 0);
}

#[tokio::test]
async fn a_refresh_is_accepted_and_seen_in_the_attempts() {
    let rig = quiet().await;
    let request = Request::post("/sources/lakesail/refresh")
        .body(Body::empty())
        .unwrap();
    let answer = send(&rig.gateway.router, request).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("location"), "/sources/lakesail");
    assert_eq!(
        answer.json(),
        json!({"source": "lakesail", "joined": false, "not_before": null})
    );
    rig.until("the second attempt", |snapshot| {
        snapshot.source("lakesail").unwrap().attempts.len() == 2
    })
    .await;
}

#[tokio::test]
async fn an_unknown_source_is_not_found() {
    let rig = quiet().await;
    for target in [
        "/sources/nobody",
        "/sources/LATITUDE",
        "/sources/%2e%2e",
        "/sources/a%00b",
    ] {
        let (status, code, _) = get(&rig, target, &[]).await.refusal();
        assert_eq!(
            (status, code.as_str()),
            (404, "SOURCE_NOT_FOUND"),
            "{target}"
        );
    }
    let request = Request::post("/sources/nobody/refresh")
        .body(Body::empty())
        .unwrap();
    let (status, code, _) = send(&rig.gateway.router, request).await.refusal();
    assert_eq!((status, code.as_str()), (404, "SOURCE_NOT_FOUND"));
}
