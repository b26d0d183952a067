//! `GET /summary` against sums over the JSON of the list.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::listing::timeless;
use super::naive::values;
use super::{all, get, items, quiet, snapshot};

#[tokio::test]
async fn a_summary_counts_what_the_list_shows() {
    let rig = quiet().await;
    for query in [
        "",
        "state=running",
        "source=kubeadapt",
        "provider=!latitude&q=a",
        "q=no-such-cluster",
    ] {
        let list = rig
            .get(&format!("/clusters?limit=1000&{query}"))
            .await
            .json();
        let clusters = items(&list);
        let summary = rig.get(&format!("/summary?{query}")).await.json();
        assert_eq!(summary["generation"], list["generation"]);
        assert_eq!(summary["complete"], list["complete"]);
        assert_eq!(summary["sources"], list["sources"], "{query}");
        counts(&clusters, &summary, query);
    }
}

/// Holds every count and sum of a summary against the clusters that it is of.
pub(super) fn counts(clusters: &[Value], summary: &Value, what: &str) {
    assert_eq!(summary["clusters"], clusters.len(), "{what}");
    for dimension in ["provider", "source"] {
        let (counts, _) = by(clusters, dimension);
        let found = &summary[format!("by_{dimension}")];
        assert_eq!(*found, json!(counts), "{dimension} of {what}");
    }
    for dimension in [
        "state",
        "cloud",
        "region",
        "environment",
        "orchestrator",
        "distribution",
        "vantage",
        "team",
        "presence",
    ] {
        let (counts, unknown) = by(clusters, dimension);
        let breakdown = &summary[format!("by_{dimension}")];
        assert_eq!(breakdown["values"], json!(counts), "{dimension} of {what}");
        assert_eq!(breakdown["unknown"], unknown, "{dimension} of {what}");
    }
    covered(clusters, &summary["nodes"], "/nodes/total");
    covered(clusters, &summary["nodes_ready"], "/nodes/ready");
    models(clusters, &summary["accelerators"], what);
    costs(clusters, &summary["cost"]);
}

/// Clusters by the values of one dimension, and those without a value.
fn by(clusters: &[Value], dimension: &str) -> (BTreeMap<String, u64>, u64) {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut unknown = 0;
    for cluster in clusters {
        let mut own = values(cluster, dimension);
        own.sort();
        own.dedup();
        unknown += u64::from(own.is_empty());
        for value in own {
            *counts.entry(value).or_default() += 1;
        }
    }
    (counts, unknown)
}

fn models(clusters: &[Value], found: &Value, what: &str) {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    let mut unknown = 0;
    for cluster in clusters {
        let Some(accelerators) = cluster["accelerators"].as_array() else {
            unknown += 1;
            continue;
        };
        unknown += u64::from(accelerators.iter().any(|one| one["count"].is_null()));
        for one in accelerators {
            let text = |key: &str| one[key].as_str();
            let model = text("model").or_else(|| text("native"));
            let sum = sums
                .entry(model.unwrap_or("unknown").to_owned())
                .or_default();
            *sum += one["count"].as_u64().unwrap_or(0);
        }
    }
    assert_eq!(found["unknown"], unknown, "{what}");
    let rows = found["models"].as_array().unwrap().iter();
    let rows: BTreeMap<String, u64> = rows
        .map(|row| {
            let model = row["model"].as_str().unwrap().to_owned();
            (model, row["count"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(rows, sums, "{what}");
}

fn covered(clusters: &[Value], found: &Value, pointer: &str) {
    let known: Vec<u64> = clusters
        .iter()
        .filter_map(|cluster| cluster.pointer(pointer).and_then(Value::as_u64))
        .collect();
    assert_eq!(found["sum"], known.iter().sum::<u64>(), "{pointer}");
    assert_eq!(found["clusters"], known.len(), "{pointer}");
    assert_eq!(found["unknown"], clusters.len() - known.len(), "{pointer}");
}

fn costs(clusters: &[Value], found: &Value) {
    let mut sums: BTreeMap<String, (rust_decimal::Decimal, u64)> = BTreeMap::new();
    let mut unknown = 0_u64;
    for cluster in clusters {
        let hourly = &cluster["cost"]["hourly"];
        match (hourly["amount"].as_str(), hourly["currency"].as_str()) {
            (Some(amount), Some(currency)) => {
                let sum = sums.entry(currency.to_owned()).or_default();
                sum.0 += amount.parse::<rust_decimal::Decimal>().unwrap();
                sum.1 += 1;
            }
            _ => unknown += 1,
        }
    }
    assert_eq!(found["unknown"], unknown);
    let rows = found["currencies"].as_array().unwrap();
    assert_eq!(rows.len(), sums.len());
    for row in rows {
        let (sum, count) = sums[row["hourly"]["currency"].as_str().unwrap()];
        let amount: rust_decimal::Decimal =
            row["hourly"]["amount"].as_str().unwrap().parse().unwrap();
        assert_eq!((amount, row["clusters"].as_u64().unwrap()), (sum, count));
    }
}

#[tokio::test]
async fn the_summary_of_everything() {
    let rig = quiet().await;
    assert_eq!(all(&rig).await.len(), 100);
    let answer = get(&rig, "/summary", &[]).await;
    snapshot(
        "summary",
        &json!({"headers": answer.stable_headers(), "body": timeless(answer.json())}),
    );
}

#[tokio::test]
async fn a_summary_takes_filters_and_nothing_else() {
    let rig = quiet().await;
    for name in ["sort", "fields", "limit", "cursor", "include", "format"] {
        let answer = get(&rig, &format!("/summary?{name}=1"), &[]).await;
        assert_eq!(
            answer.refusal(),
            (400, "UNKNOWN_PARAMETER".to_owned(), vec![name.to_owned()])
        );
    }
    let answer = get(&rig, "/summary?state=rnning", &[]).await;
    assert_eq!(
        answer.refusal(),
        (
            400,
            "INVALID_PARAMETER".to_owned(),
            vec!["state".to_owned()]
        )
    );
}
