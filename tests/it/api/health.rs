//! The entry points, health, metrics and the description of the API.

use std::collections::BTreeSet;

use clustergate::api::Code;
use serde_json::json;

use super::{get, quiet, snapshot};

#[tokio::test]
async fn the_entry_points_lead_somewhere() {
    let rig = quiet().await;
    let index = get(&rig, "/", &[]).await;
    snapshot(
        "index",
        &json!({"headers": index.stable_headers(), "body": index.json()}),
    );
    for (name, path) in index.json()["links"].as_object().unwrap() {
        let answer = get(&rig, path.as_str().unwrap(), &[]).await;
        assert_eq!(answer.status, 200, "{name}");
    }
}

#[tokio::test]
async fn health_is_told_with_and_without_its_reasons() {
    let rig = quiet().await;
    assert_eq!(
        get(&rig, "/livez", &[]).await.json(),
        json!({"status": "ok"})
    );
    assert_eq!(
        get(&rig, "/readyz", &[]).await.json(),
        json!({"status": "ok"})
    );
    let verbose = get(&rig, "/readyz?verbose", &[]).await.json();
    assert_eq!(verbose["checks"].as_array().unwrap().len(), 5);
    assert!(
        verbose["checks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|check| check["attempted"] == true)
    );
    rig.gateway.state.drain();
    let (status, code, _) = get(&rig, "/readyz", &[]).await.refusal();
    assert_eq!((status, code.as_str()), (503, "SHUTTING_DOWN"));
    assert_eq!(get(&rig, "/clusters?limit=1", &[]).await.status, 200);
}

#[tokio::test]
async fn the_metrics_name_every_source_and_end_as_the_format_asks() {
    let rig = quiet().await;
    let answer = get(&rig, "/metrics", &[]).await;
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    for source in [
        "latitude",
        "kubeadapt",
        "lakesail",
        "runtime",
        "prime-intellect",
    ] {
        assert!(text.contains(&format!("source=\"{source}\"")), "{source}");
    }
    let described: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# HELP "))
        .filter_map(|line| line.split(' ').next())
        .collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(described.contains(name), "{name} has no help");
    }
}

#[tokio::test]
async fn every_kind_of_problem_is_explained_where_its_type_leads() {
    let rig = quiet().await;
    for code in Code::ALL {
        let answer = get(&rig, &code.type_reference(), &[]).await;
        assert_eq!(answer.status, 200, "{code:?}");
        assert_eq!(answer.json()["code"], code.as_str());
    }
}
