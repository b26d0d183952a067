//! `/providers`: what this server can read.

use clustergate::adapters::CATALOG;
use serde_json::json;

use super::{get, items, quiet, snapshot};

#[tokio::test]
async fn every_provider_of_the_catalog_is_shown() {
    let rig = quiet().await;
    let answer = get(&rig, "/providers", &[]).await;
    let list = answer.json();
    let kinds: Vec<&str> = CATALOG.iter().map(|entry| entry.kind.as_str()).collect();
    let shown = items(&list);
    let names: Vec<&str> = shown
        .iter()
        .map(|item| item["provider"].as_str().unwrap())
        .collect();
    assert_eq!(names, kinds);
    for item in &shown {
        let name = item["provider"].as_str().unwrap();
        assert_eq!(item["sources"], json!([name]));
        assert_eq!(
            &get(&rig, &format!("/providers/{name}"), &[]).await.json(),
            item
        );
    }
    snapshot(
        "providers",
        &json!({"headers": answer.stable_headers(), "body": list}),
    );
    let (status, code, _) = get(&rig, "/providers/nobody", &[]).await.refusal();
    assert_eq!((status, code.as_str()), (404, "PROVIDER_NOT_FOUND"));
}

#[tokio::test]
async fn a_provider_reports_what_it_claims_to_report() {
    let rig = quiet().await;
    for item in items(&rig.get("/providers").await.json()) {
        let name = item["provider"].as_str().unwrap();
        let list = rig
            .get(&format!("/clusters?provider={name}&limit=1000"))
            .await
            .json();
        for field in item["capabilities"]["reports"].as_array().unwrap() {
            // Terminated clusters are not listed, so this one shows only if a cluster ends between listing and detail.
            if (name, field.as_str().unwrap()) == ("prime-intellect", "terminated_at") {
                continue;
            }
            let path = format!("/{}", field.as_str().unwrap().replace('.', "/"));
            let is_said = items(&list).iter().any(|cluster| {
                cluster.pointer(&path).is_some_and(|value| {
                    !value.is_null() && *value != json!([]) && *value != json!({})
                })
            });
            assert!(is_said, "{name} never reports {field}");
        }
    }
}
