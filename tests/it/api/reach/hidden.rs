//! Every route of the contract as a limited caller: no answer names anything that is not seen.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clustergate::adapters::CATALOG;
use clustergate::api::openapi;
use clustergate::domain::{Reach, SourceName};
use http::Method;
use serde_json::Value;

use super::super::Answer;
use super::{OURS, all_projects, ask_with, everything, mixed, reach, sees, source};
use crate::support::Rig;

/// Everything that a caller could read in an answer, also inside of a page token.
fn readable(answer: &Answer) -> String {
    let mut text = format!("{:?}\n{}", answer.headers, answer.text());
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if let Some(cursor) = body["next_cursor"].as_str() {
        let token = URL_SAFE_NO_PAD.decode(cursor).unwrap();
        text.push_str(std::str::from_utf8(&token).unwrap());
    }
    text
}

/// What a reach hides: sources, ids, and names that nothing bears that is seen.
fn hidden(reach: &Reach, clusters: &[Value]) -> BTreeSet<String> {
    let (seen, foreign): (Vec<&Value>, Vec<&Value>) =
        clusters.iter().partition(|cluster| sees(reach, cluster));
    let seen = serde_json::to_string(&seen).unwrap();
    let mut texts: BTreeSet<String> = ["id", "name", "native_id"]
        .into_iter()
        .flat_map(|key| foreign.iter().map(move |cluster| &cluster[key]))
        .map(|text| text.as_str().unwrap().to_owned())
        // A short text can stand anywhere by chance.
        .filter(|text| text.len() >= 8 && !seen.contains(text.as_str()))
        .collect();
    assert!(texts.len() > 10);
    for vendor in CATALOG.iter().map(|entry| entry.kind.as_str()) {
        let name = source(vendor);
        if !reach.sees(&SourceName::new(name.as_str()).unwrap()) {
            texts.insert(name);
        }
    }
    texts
}

/// Values for a parameter of a path that a caller could think of without knowing what is hidden.
fn values(name: &str, path: &str, reach: &Reach, clusters: &[Value]) -> Vec<String> {
    match name {
        "id" => clusters
            .iter()
            .filter(|cluster| sees(reach, cluster))
            .map(|cluster| cluster["id"].as_str().unwrap().to_owned())
            .step_by(7)
            .chain(["nobody:x".to_owned()])
            .collect(),
        "name" if path.starts_with("/sources") => {
            let seen = reach.sources.iter().flatten().map(ToString::to_string);
            seen.chain(["nobody".to_owned()]).collect()
        }
        "name" if path.starts_with("/providers") => CATALOG
            .iter()
            .map(|entry| entry.kind.as_str().to_owned())
            .collect(),
        // Whether there is one is nothing that such a caller learns.
        "name" if path.starts_with("/webhooks") => vec!["nobody".to_owned()],
        "code" => vec!["internal".to_owned()],
        other => panic!("say what {other} of {path} can be"),
    }
}

/// Queries that are worth asking of an operation, beside none.
fn queries(path: &str) -> &'static [&'static str] {
    match path {
        "/clusters" => &[
            "",
            "?limit=1000&include=raw,nodes",
            "?limit=1&sort=-name",
            "?limit=1&sort=source,-cost",
            "?format=ndjson&include=raw,nodes",
            "?format=csv",
            "?source=nobody",
            "?provider=nobody",
            "?require=complete",
            "?q=a",
            "?presence=missing,suspect,stale",
            "?cursor=x",
            "?unknown=1",
        ],
        "/changes" => &[
            "",
            "?limit=1000&noise=true",
            "?limit=1",
            "?format=ndjson&noise=true",
            "?kind=source_state,missing",
            "?source=nobody",
            "?since=1",
            "?unknown=1",
        ],
        "/events" => &["", "?since=1", "?source=nobody", "?unknown=1"],
        "/clusters/{id}/history" => &["", "?limit=1", "?unknown=1"],
        "/summary" => &["", "?source=nobody", "?require=complete", "?unknown=1"],
        "/clusters/{id}" => &["", "?include=raw,nodes", "?fields=nothing"],
        "/readyz" | "/livez" => &["", "?verbose"],
        _ => &["", "?unknown=1"],
    }
}

/// Every request that the contract describes.
fn requests(reach: &Reach, clusters: &[Value]) -> Vec<(Method, String)> {
    let document = openapi::document();
    let mut requests = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let mut targets = vec![path.clone()];
        while let Some(at) = targets.iter().position(|target| target.contains('{')) {
            let target = targets.swap_remove(at);
            let (before, rest) = target.split_once('{').unwrap();
            let (name, after) = rest.split_once('}').unwrap();
            let values = values(name, path, reach, clusters);
            targets.extend(values.iter().map(|value| format!("{before}{value}{after}")));
        }
        for method in operations.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            for target in &targets {
                let with = queries(path).iter();
                requests.extend(with.map(|query| (method.clone(), format!("{target}{query}"))));
            }
        }
    }
    requests
}

async fn walk(rig: &Rig, reach: &Reach, clusters: &[Value]) {
    let hidden = hidden(reach, clusters);
    let mut answered = BTreeSet::new();
    for (method, target) in requests(reach, clusters) {
        let answer = ask_with(rig, reach, method.clone(), &target, &[]).await;
        answered.insert(answer.status.as_u16());
        let text = readable(&answer);
        for secret in &hidden {
            assert!(
                !text.contains(secret.as_str()),
                "{method} {target} shows {secret} to {reach:?}"
            );
        }
    }
    assert!(
        answered.is_superset(&[200, 400, 404].into()),
        "{answered:?}"
    );
}

#[tokio::test]
async fn no_answer_names_what_is_not_seen() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let all = all_projects(&clusters);
    for reach in [
        reach(Some(&["lakesail"]), None),
        reach(Some(&["latitude", "runtime"]), None),
        reach(Some(&["latitude"]), Some(&all[..2])),
        reach(None, Some(&all[..1])),
        Reach::NOTHING,
    ] {
        walk(&rig, &reach, &clusters).await;
    }
}

#[tokio::test]
async fn the_walk_would_find_what_is_shown() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let secrets = hidden(&Reach::NOTHING, &clusters);
    let mut found = BTreeSet::new();
    for (method, target) in requests(&Reach::ALL, &clusters) {
        let answer = ask_with(&rig, &Reach::ALL, method, &target, &[]).await;
        let text = readable(&answer);
        found.extend(secrets.iter().filter(|secret| text.contains(*secret)));
    }
    assert_eq!(found.len(), secrets.len());
}

#[tokio::test]
async fn metrics_count_what_is_seen() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let all = all_projects(&clusters);
    let one = reach(Some(&["latitude"]), None);
    let text = metrics(&rig, &one).await;
    let count = clusters
        .iter()
        .filter(|cluster| sees(&one, cluster))
        .count();
    assert!(text.contains(&format!("clustergate_inventory_clusters {count}\n")));
    assert_eq!(text.matches("clustergate_source_clusters{").count(), 1);
    assert!(text.contains("clustergate_source_upstream_requests_total{source=\"acct-latitude\""));

    let some = reach(Some(&["latitude"]), Some(&all[..1]));
    let text = metrics(&rig, &some).await;
    let seen = clusters
        .iter()
        .filter(|cluster| sees(&some, cluster))
        .count();
    assert!(0 < seen && seen < count);
    assert!(text.contains(&format!("clustergate_inventory_clusters {seen}\n")));
    let series = format!(
        "clustergate_source_clusters{{source=\"{OURS}latitude\",provider=\"latitude\"}} {seen}\n"
    );
    assert!(text.contains(&series), "{text}");
    // Calls and unreadable items are those of the whole source.
    for name in [
        "upstream_requests_total",
        "upstream_in_flight",
        "rejected_items",
        "quota_remaining",
    ] {
        assert!(
            !text.contains(&format!("clustergate_source_{name}{{")),
            "{name}"
        );
    }
    assert!(text.ends_with("# EOF\n"));
}

async fn metrics(rig: &Rig, reach: &Reach) -> String {
    ask_with(rig, reach, Method::GET, "/metrics", &[])
        .await
        .text()
}
