//! Every order against the JSON values of the whole list.

use clustergate::inventory::query::SortKey;
use serde_json::Value;

use super::naive::compare;
use super::{all, ids, items, quiet};

/// The whole list in a naive order.
pub(super) fn sorted(clusters: &[Value], words: &[&str]) -> Vec<String> {
    let mut clusters: Vec<&Value> = clusters.iter().collect();
    clusters.sort_by(|a, b| {
        words
            .iter()
            .map(|word| compare(a, b, word))
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| a["id"].as_str().cmp(&b["id"].as_str()))
    });
    ids(clusters)
}

#[tokio::test]
async fn every_key_orders_both_ways_with_unknown_values_last_and_ties_by_id() {
    let rig = quiet().await;
    let clusters = all(&rig).await;
    for key in SortKey::ALL.map(SortKey::as_str) {
        for word in [key.to_owned(), format!("-{key}")] {
            let list = rig.get(&format!("/clusters?limit=1000&sort={word}")).await;
            assert_eq!(list.status, 200, "{word}: {}", list.text);
            assert_eq!(
                ids(&items(&list.json())),
                sorted(&clusters, &[&word]),
                "{word}"
            );
        }
    }
}

#[tokio::test]
async fn several_keys_order_together() {
    let rig = quiet().await;
    let clusters = all(&rig).await;
    for words in [
        vec!["-provider", "name"],
        vec!["state", "-cost"],
        vec!["cloud", "-version", "region"],
        vec!["-source", "-nodes", "created_at", "name"],
        vec!["environment", "id"],
    ] {
        let sort = words.join(",");
        let list = rig.get(&format!("/clusters?limit=1000&sort={sort}")).await;
        assert_eq!(list.status, 200, "{sort}: {}", list.text);
        assert_eq!(
            ids(&items(&list.json())),
            sorted(&clusters, &words),
            "{sort}"
        );
    }
}

#[tokio::test]
async fn an_order_and_filters_go_together() {
    let rig = quiet().await;
    let clusters = all(&rig).await;
    let running: Vec<Value> = clusters
        .into_iter()
        .filter(|cluster| cluster["status"]["state"] == "running")
        .collect();
    for word in ["-cost", "name", "version", "-id"] {
        let list = rig
            .get(&format!("/clusters?limit=1000&state=running&sort={word}"))
            .await
            .json();
        assert_eq!(ids(&items(&list)), sorted(&running, &[word]), "{word}");
    }
}
