//! Every filter against a naive one over the JSON of the whole list.

use std::collections::BTreeSet;

use clustergate::api::params::FILTERS;
use clustergate::sandbox::Fault;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::naive::{Terms, passes, values};
use super::{all, encoded, ids, items, quiet};
use crate::support::Rig;

/// Values of one filter that are tried.
const TRIED: usize = 12;

/// A rig in which some clusters are stale, some missing and some suspect.
async fn mixed() -> Rig {
    let rig = quiet().await;
    let lakesail = rig.vendor("lakesail");
    for truth in lakesail.truth().iter().take(2) {
        assert!(lakesail.remove(&truth.id));
    }
    rig.vendor("kubeadapt").set_fault(Some(Fault::Http401));
    rig.vendor("prime-intellect")
        .set_fault(Some(Fault::SuddenlyEmpty));
    for source in ["lakesail", "kubeadapt", "prime-intellect"] {
        rig.refresh(source).await;
    }
    rig
}

/// The values of a filter that some cluster has and that a query can say: a comma separates, `!` excludes.
fn known(clusters: &[Value], dimension: &str) -> Vec<String> {
    let all: BTreeSet<String> = clusters
        .iter()
        .flat_map(|cluster| values(cluster, dimension))
        .filter(|value| !value.contains(',') && !value.starts_with('!') && value.trim() == value)
        .collect();
    all.into_iter().collect()
}

async fn check(rig: &Rig, clusters: &[Value], query: &str, terms: &Terms, text: Option<&str>) {
    let list = rig.get(&format!("/clusters?limit=1000&{query}")).await;
    assert_eq!(list.status, 200, "{query}: {}", list.text);
    let list = list.json();
    let expected = ids(clusters
        .iter()
        .filter(|cluster| passes(cluster, terms, text)));
    assert_eq!(ids(&items(&list)), expected, "{query}");
    assert_eq!(list["total"], expected.len(), "{query}");
}

#[tokio::test]
async fn each_filter_selects_what_a_naive_one_selects() {
    let rig = mixed().await;
    let clusters = all(&rig).await;
    for dimension in FILTERS.into_iter().filter(|name| *name != "q") {
        let known = known(&clusters, dimension);
        if dimension == "label" {
            // No vendor of today has labels on its clusters.
            assert!(known.is_empty());
            continue;
        }
        assert!(!known.is_empty(), "no cluster has a {dimension}");
        for value in known.iter().take(TRIED) {
            let word = encoded(value);
            let one: Terms = vec![(dimension, vec![value.clone()])];
            check(&rig, &clusters, &format!("{dimension}={word}"), &one, None).await;
            let loud = encoded(&value.to_uppercase());
            if value.to_uppercase().to_lowercase() == *value {
                check(&rig, &clusters, &format!("{dimension}={loud}"), &one, None).await;
            }
            let not: Terms = vec![(dimension, vec![format!("!{value}")])];
            check(&rig, &clusters, &format!("{dimension}=!{word}"), &not, None).await;
        }
        let (first, last) = (&known[0], &known[known.len() - 1]);
        let either: Terms = vec![(dimension, vec![first.clone(), last.clone()])];
        let (a, b) = (encoded(first), encoded(last));
        for query in [
            format!("{dimension}={a},{b}"),
            format!("{dimension}={a}&{dimension}={b}"),
            format!("{dimension}={a}%2C{b}"),
        ] {
            check(&rig, &clusters, &query, &either, None).await;
        }
        let without: Terms = vec![(dimension, vec![first.clone(), format!("!{last}")])];
        check(
            &rig,
            &clusters,
            &format!("{dimension}={a},!{b}"),
            &without,
            None,
        )
        .await;
    }
}

#[tokio::test]
async fn the_mixed_rig_has_every_presence() {
    let rig = mixed().await;
    let clusters = all(&rig).await;
    assert_eq!(
        known(&clusters, "presence"),
        ["missing", "present", "stale", "suspect"]
    );
    assert_eq!(known(&clusters, "stale"), ["false", "true"]);
}

#[tokio::test]
async fn a_value_that_nothing_has_selects_nothing_and_excludes_nothing() {
    let rig = quiet().await;
    let all = rig.get("/clusters").await.json()["total"].clone();
    for dimension in [
        "cloud",
        "region",
        "environment",
        "distribution",
        "version",
        "accelerator",
        "label",
        "project",
        "team",
    ] {
        let none = rig
            .get(&format!("/clusters?{dimension}=no-such"))
            .await
            .json();
        assert_eq!(none["total"], 0, "{dimension}");
        assert_eq!(items(&none).len(), 0, "{dimension}");
        let rest = rig
            .get(&format!("/clusters?{dimension}=!no-such"))
            .await
            .json();
        assert_eq!(rest["total"], all, "{dimension}");
    }
}

#[tokio::test]
async fn a_text_is_searched_in_names_and_ids_without_regard_to_case() {
    let rig = quiet().await;
    let clusters = all(&rig).await;
    let mut tried = BTreeSet::new();
    for cluster in clusters.iter().step_by(7) {
        let name: Vec<char> = cluster["name"].as_str().unwrap().chars().collect();
        tried.insert(name.iter().take(5).collect::<String>());
        tried.insert(
            name.iter()
                .skip(2)
                .take(4)
                .collect::<String>()
                .to_uppercase(),
        );
        let id = cluster["id"].as_str().unwrap();
        tried.insert(id.to_owned());
        tried.insert(id[id.len() - 4..].to_owned());
    }
    for text in tried.iter().filter(|text| !text.trim().is_empty()) {
        check(
            &rig,
            &clusters,
            &format!("q={}", encoded(text)),
            &Vec::new(),
            Some(text),
        )
        .await;
    }
    check(
        &rig,
        &clusters,
        "q=no-such-cluster",
        &Vec::new(),
        Some("no-such-cluster"),
    )
    .await;
}

/// Up to three filters of up to three values, by their places among the known ones.
fn drawn() -> impl Strategy<Value = Vec<(usize, Vec<(usize, bool)>)>> {
    let values = prop::collection::vec((any::<usize>(), prop::bool::weighted(0.3)), 1..4);
    prop::collection::vec((0..FILTERS.len() - 1, values), 1..4)
}

#[test]
fn filters_together_select_what_naive_ones_select() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(mixed());
    let clusters = runtime.block_on(all(&rig));
    let known: Vec<Vec<String>> = FILTERS[..16]
        .iter()
        .map(|dimension| known(&clusters, dimension))
        .collect();
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&drawn(), |drawn| {
            let mut terms: Terms = Vec::new();
            for (dimension, places) in drawn {
                if known[dimension].is_empty() {
                    continue;
                }
                let words = places.iter().map(|(place, negated)| {
                    let value = &known[dimension][place % known[dimension].len()];
                    format!("{}{value}", if *negated { "!" } else { "" })
                });
                match terms.iter_mut().find(|term| term.0 == FILTERS[dimension]) {
                    Some(term) => term.1.extend(words),
                    None => terms.push((FILTERS[dimension], words.collect())),
                }
            }
            let pairs: Vec<String> = terms
                .iter()
                .map(|(dimension, words)| {
                    let words: Vec<String> = words.iter().map(|word| encoded(word)).collect();
                    format!("{dimension}={}", words.join(","))
                })
                .collect();
            let query = pairs.join("&");
            let expected = ids(clusters
                .iter()
                .filter(|cluster| passes(cluster, &terms, None)));
            let list = runtime.block_on(rig.get(&format!("/clusters?limit=1000&{query}")));
            prop_assert_eq!(list.status.as_u16(), 200, "{}: {}", query, list.text);
            prop_assert_eq!(ids(&items(&list.json())), expected, "{}", query);
            Ok(())
        })
        .unwrap();
}
