//! Live reads of the simulated vendors, over sockets: what each provider claims works, what it does not claim is refused.

use clustergate::adapters::CATALOG;
use clustergate::provider::Capability;
use serde_json::Value;

use crate::api::{ids, items};
use crate::support::{Plan, Rig};

const READS: [(Capability, &str); 3] = [
    (Capability::Nodes, "nodes"),
    (Capability::Health, "health"),
    (Capability::Metrics, "metrics"),
];

#[tokio::test]
async fn each_claimed_read_works_for_each_cluster_and_each_other_one_is_refused() {
    let plan = Plan {
        clusters: 6,
        quirks: false,
        details: false,
        ..Plan::default()
    };
    let rig = Rig::start(plan).await;
    for entry in CATALOG {
        let provider = entry.kind.as_str();
        let list = rig
            .get(&format!("/clusters?provider={provider}"))
            .await
            .json();
        let clusters = items(&list);
        assert_eq!(clusters.len(), 6, "{provider}");
        for (capability, name) in READS {
            let is_claimed = entry.capabilities.supports(capability);
            let mut filled = 0;
            for cluster in &clusters {
                let link = cluster["links"].get(name);
                assert_eq!(link.is_some(), is_claimed, "{provider} {name}");
                let id = cluster["id"].as_str().unwrap();
                let reply = rig.get(&format!("/clusters/{id}/{name}")).await;
                let body = reply.json();
                if !is_claimed {
                    assert_eq!(
                        (reply.status.as_u16(), &body["code"]),
                        (501, &"CAPABILITY_NOT_SUPPORTED".into()),
                        "{provider} {name}"
                    );
                    let named = body
                        .get("providers")
                        .map_or(&[][..], |named| named.as_array().unwrap());
                    assert!(!named.contains(&provider.into()));
                    continue;
                }
                if reply.status != 200 {
                    // A cluster that is not up yet may have none, and one that was only registered with its vendor never.
                    let code = body["code"].as_str().unwrap();
                    assert!(
                        ["UPSTREAM_NOT_READY", "CAPABILITY_NOT_SUPPORTED"].contains(&code),
                        "{provider} {name}: {body}"
                    );
                    continue;
                }
                assert_eq!(
                    (&body["cluster"], &body["stale"]),
                    (&cluster["id"], &Value::Bool(false)),
                    "{provider} {name}"
                );
                filled += usize::from(is_filled(name, &body));
            }
            assert_eq!(filled > 0, is_claimed, "{provider} {name}");
        }
    }
    assert_eq!(rig.sandbox.canary_hits().requests, 0);
    rig.stop().await;
}

fn is_filled(name: &str, body: &Value) -> bool {
    match name {
        "nodes" => !body["items"].as_array().unwrap().is_empty(),
        "health" => body["status"].is_string() && body["origin"].is_string(),
        _ => body["series"].is_array() && body["period"] == "24h",
    }
}

#[tokio::test]
async fn a_cluster_asked_for_anew_has_its_detail() {
    let plan = Plan {
        clusters: 4,
        details: false,
        ..Plan::default()
    };
    let rig = Rig::start(plan).await;
    for entry in CATALOG {
        let provider = entry.kind.as_str();
        let list = rig
            .get(&format!("/clusters?provider={provider}"))
            .await
            .json();
        let id = ids(&items(&list)).remove(0);
        let request = http::Request::get(format!("/clusters/{id}"));
        let request = request.header("cache-control", "no-cache");
        let reply = rig
            .send(request.body(axum::body::Body::empty()).unwrap())
            .await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("x-source-error")),
            (200, ""),
            "{provider}: {}",
            reply.text
        );
        assert!(reply.json()["detailed_at"].is_string(), "{provider}");
        assert_eq!(
            rig.get(&format!("/clusters/{id}")).await.json()["detailed_at"],
            reply.json()["detailed_at"]
        );
    }
    rig.stop().await;
}
