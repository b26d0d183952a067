//! What is said while sources could not be read: never an empty list that looks like an answer.

use std::time::Duration;

use clustergate::app::Gateway;
use clustergate::config::SourceConfig;
use clustergate::sandbox::{Fault, Sandbox};
use serde_json::Value;
use tokio::runtime::Handle;

use super::listing::timeless;
use super::{Answer, get, items, send, snapshot};
use crate::support::{Plan, Rig};

fn hasty() -> Plan {
    Plan {
        clusters: 5,
        attempt_timeout: Duration::from_millis(300),
        ..Plan::default()
    }
}

/// Four sources that were never read, each for another reason, and a good one.
async fn mostly_unread() -> Rig {
    let faults = |sandbox: &Sandbox| {
        for (vendor, fault) in [
            ("latitude", Fault::Http500),
            ("kubeadapt", Fault::Http401),
            ("lakesail", Fault::Http429),
            ("runtime", Fault::Hang),
        ] {
            sandbox
                .vendor(vendor.parse().unwrap())
                .set_fault(Some(fault));
        }
    };
    let impatient = |configs: &mut Vec<SourceConfig>| {
        for config in configs {
            config.stack.max_wait = Duration::from_secs(1);
        }
    };
    let rig = Rig::begin(hasty(), faults, impatient).await;
    rig.settled().await;
    rig
}

fn waits(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().unwrap()
}

#[tokio::test]
async fn a_source_that_was_never_read_answers_with_its_own_error() {
    let rig = mostly_unread().await;
    for (source, status, error, retryable) in [
        ("latitude", 502, "UPSTREAM_UNAVAILABLE", true),
        ("kubeadapt", 502, "UPSTREAM_UNAUTHORIZED", false),
        ("lakesail", 503, "UPSTREAM_RATE_LIMITED", true),
        ("runtime", 504, "UPSTREAM_TIMEOUT", true),
    ] {
        for target in [
            format!("/clusters?source={source}"),
            format!("/clusters?source={source}&state=running&sort=name"),
            format!("/clusters?source={source}&format=csv"),
            format!("/summary?source={source}"),
            format!("/clusters/{source}:some-id"),
        ] {
            let answer = get(&rig, &target, &[]).await;
            assert_eq!(answer.problem(), "SOURCE_UNAVAILABLE", "{target}");
            let body = answer.json();
            assert_eq!(
                (
                    answer.status.as_u16(),
                    &body["source_error"],
                    &body["source"]
                ),
                (status, &Value::from(error), &Value::from(source)),
                "{target}: {body}"
            );
            assert!(waits(&answer) >= 1, "{target}");
            if !retryable {
                let report = rig.get(&format!("/sources/{source}")).await.json();
                assert_eq!(report["error"]["retryable"], false, "{report}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_over_some_unread_sources_says_that_it_is_not_everything() {
    let rig = mostly_unread().await;
    let answer = get(&rig, "/clusters", &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-inventory-complete"), "false");
    let list = answer.json();
    assert_eq!(list["complete"], false);
    assert_eq!(
        list["unreachable"],
        serde_json::json!(["kubeadapt", "lakesail", "latitude", "runtime"])
    );
    assert!(
        items(&list)
            .iter()
            .all(|item| item["source"] == "prime-intellect")
    );
    let mut sources = timeless(list["sources"].clone());
    for source in sources.as_array_mut().unwrap() {
        source["clusters"] = Value::Null;
    }
    snapshot("sources_mostly_unread", &sources);

    let good = get(
        &rig,
        "/clusters?source=prime-intellect&require=complete",
        &[],
    )
    .await;
    assert_eq!(good.status, 200);
    assert_eq!(good.header("x-inventory-complete"), "true");
    let ndjson = get(&rig, "/clusters?format=ndjson", &[]).await;
    assert_eq!(ndjson.header("x-inventory-complete"), "false");

    for target in [
        "/clusters?require=complete",
        "/clusters?require=complete&format=csv",
    ] {
        let answer = get(&rig, target, &[]).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.problem(), "INVENTORY_INCOMPLETE");
        assert!(waits(&answer) >= 1);
    }
    let some = get(&rig, "/clusters?source=latitude,kubeadapt", &[]).await;
    assert_eq!(
        (some.status.as_u16(), some.problem().as_str()),
        (503, "NOTHING_KNOWN")
    );
    assert!(waits(&some) >= 1);
    let summary = rig.get("/summary").await.json();
    assert_eq!(summary["complete"], false);
    assert_eq!(summary["unreachable"], list["unreachable"]);
    assert_eq!(get(&rig, "/clusters/nobody:1", &[]).await.status, 404);
}

#[tokio::test]
async fn nothing_known_is_not_an_empty_list() {
    let faults = |sandbox: &Sandbox| {
        for vendor in sandbox.vendors() {
            vendor.set_fault(Some(Fault::Http403));
        }
    };
    let rig = Rig::begin(hasty(), faults, |_| {}).await;
    rig.settled().await;
    for target in [
        "/clusters",
        "/clusters?q=a&sort=-cost",
        "/clusters?format=ndjson",
        "/summary",
        "/clusters?require=complete",
    ] {
        let answer = get(&rig, target, &[]).await;
        assert_eq!(answer.status, 503, "{target}");
        assert_eq!(answer.problem(), "NOTHING_KNOWN", "{target}");
        assert!(waits(&answer) >= 1, "{target}");
    }
    for target in ["/sources", "/providers", "/livez", "/readyz", "/metrics"] {
        assert_eq!(get(&rig, target, &[]).await.status, 200, "{target}");
    }
    for vendor in rig.sandbox.vendors() {
        vendor.set_fault(None);
    }
    for source in [
        "latitude",
        "kubeadapt",
        "lakesail",
        "runtime",
        "prime-intellect",
    ] {
        rig.refresh(source).await;
    }
    assert_eq!(rig.get("/clusters").await.json()["complete"], true);
}

#[tokio::test]
async fn a_source_that_fails_later_keeps_its_clusters_for_readers_that_need_them_all() {
    let rig = Rig::start(hasty()).await;
    let before = rig.get("/clusters").await.json()["total"].clone();
    rig.vendor("latitude").set_fault(Some(Fault::Http500));
    rig.refresh("latitude").await;
    let answer = get(&rig, "/clusters?require=complete", &[]).await;
    assert_eq!(answer.status, 200, "membership is known: {}", answer.text());
    let list = answer.json();
    assert_eq!(list["total"], before);
    assert_eq!(list["complete"], false);
    assert_eq!(list["unreachable"], serde_json::json!(["latitude"]));
    let stale = rig
        .get("/clusters?source=latitude&presence=stale")
        .await
        .json();
    assert_eq!(stale["total"], 5);
}

#[tokio::test]
async fn no_sources_have_no_clusters_and_nothing_is_hidden() {
    let gateway = Gateway::over(Vec::new(), &Handle::current());
    let ask = async |target: &str| {
        let request = http::Request::get(target)
            .body(axum::body::Body::empty())
            .unwrap();
        send(&gateway.router, request).await
    };
    let list = ask("/clusters?require=complete").await;
    assert_eq!(list.status, 200);
    assert_eq!(list.header("x-inventory-complete"), "true");
    snapshot("no_sources", &timeless(list.json()));
    assert_eq!(ask("/clusters?format=ndjson").await.body.len(), 0);
    assert_eq!(ask("/clusters?format=csv").await.text().lines().count(), 1);
    for target in ["/summary", "/sources", "/providers", "/readyz"] {
        assert_eq!(ask(target).await.status, 200, "{target}");
    }
}
