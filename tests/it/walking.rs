//! Walking pages while every vendor changes its data between them.

use std::collections::BTreeSet;

use clustergate::sandbox::Vendor;
use futures_util::future::join_all;

use crate::support::{Plan, Rig};

/// Clusters at each vendor.
const CLUSTERS: usize = 400;
/// Clusters on one page.
const LIMIT: usize = 450;

/// Moves every cluster on, takes some away and adds some, at every vendor, and reads all of it.
async fn change(rig: &Rig, round: usize) {
    for vendor in Vendor::ALL {
        let vendor = rig.sandbox.vendor(vendor);
        vendor.touch();
        let truth = vendor.truth();
        for step in 1..=3 {
            let place = (round * 131 + step * 57) % truth.len();
            assert!(vendor.remove(&truth[place].id));
            vendor.add();
        }
    }
    join_all(Vendor::ALL.map(|vendor| rig.refresh(vendor.name()))).await;
}

async fn ids(rig: &Rig) -> BTreeSet<String> {
    let whole = rig.get("/clusters?format=ndjson").await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    whole.text.lines().map(id_of).collect()
}

fn id_of(line: &str) -> String {
    let cluster: serde_json::Value = serde_json::from_str(line).unwrap();
    cluster["id"].as_str().unwrap().to_owned()
}

/// Walks to the end while everything changes; says how many pages there were.
async fn walk(rig: &Rig, sort: &str) -> usize {
    let before = ids(rig).await;
    let base = format!("/clusters?sort={sort}&limit={LIMIT}&fields=name,cost");
    let mut target = base.clone();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut pages = 0;
    loop {
        let page = rig.get(&target).await;
        assert_eq!(page.status, 200, "{sort}, page {pages}: {}", page.text);
        let page = page.json();
        pages += 1;
        for item in page["items"].as_array().unwrap() {
            let id = item["id"].as_str().unwrap().to_owned();
            assert!(seen.insert(id.clone()), "{sort}: {id} came twice");
        }
        change(rig, pages).await;
        let Some(cursor) = page.get("next_cursor") else {
            break;
        };
        target = format!("{base}&cursor={}", cursor.as_str().unwrap());
    }
    let after = ids(rig).await;
    let missed: Vec<&String> = before
        .intersection(&after)
        .filter(|id| !seen.contains(*id))
        .collect();
    assert!(missed.is_empty(), "{sort} missed {missed:?}");
    pages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_cluster_comes_twice_and_none_that_stayed_is_missed() {
    let plan = Plan {
        clusters: CLUSTERS,
        quirks: false,
        ..Plan::default()
    };
    let rig = Rig::start(plan).await;
    assert_eq!(rig.snapshot().len(), CLUSTERS * Vendor::ALL.len());
    for sort in ["id", "name", "-cost"] {
        assert!(walk(&rig, sort).await >= 5, "{sort}");
    }
}

#[tokio::test]
async fn a_walk_by_what_changes_is_of_one_generation_or_over() {
    let rig = Rig::start(Plan::default()).await;
    let first = rig.get("/clusters?sort=-cost&limit=10").await.json();
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let target = format!("/clusters?sort=-cost&limit=10&cursor={cursor}");
    rig.vendor("kubeadapt").touch();
    rig.refresh("kubeadapt").await;
    let second = rig.get(&target).await.json();
    assert_eq!(second["generation"], first["generation"]);
    assert!(rig.snapshot().generation > first["generation"].as_u64().unwrap());
    // Walks begun later make room for themselves: the oldest one is told to start again.
    for _ in 0..20 {
        rig.vendor("kubeadapt").touch();
        rig.refresh("kubeadapt").await;
        assert_eq!(rig.get("/clusters?sort=-cost&limit=10").await.status, 200);
    }
    let gone = rig.get(&target).await;
    assert_eq!(gone.status, 410, "{}", gone.text);
    assert_eq!(gone.json()["code"], "CURSOR_EXPIRED");
    // Ids do not change, so their walks never have to.
    let first = rig.get("/clusters?sort=id&limit=10").await.json();
    for _ in 0..20 {
        rig.refresh("kubeadapt").await;
    }
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = rig
        .get(&format!("/clusters?sort=id&limit=10&cursor={cursor}"))
        .await;
    assert_eq!(second.status, 200);
}
