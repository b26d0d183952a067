//! The counts of earlier hours over a restart.

use std::sync::Arc;

use clustergate::domain::{Kind, SourceName};
use clustergate::inventory::Freshness;
use clustergate::inventory::hours::{Account, Count, Group, Hour, Tally};
use clustergate::store::{Recorder, Settings};
use jiff::Timestamp;
use serde_json::json;
use tokio::runtime::Handle;

use super::{store_in, whole};
use crate::support::{PATIENCE, Plan, Rig};

/// Has something counted in an hour that is over.
async fn count(store: &Settings, source: &str, hour: Hour, clusters: u64) {
    let (recorder, _) = Recorder::open(store.clone(), Vec::new(), &Handle::current()).await;
    let tally = Tally {
        clusters,
        ..Tally::default()
    };
    let account = Account {
        provider: Kind::new("latitude"),
        state: Freshness::Fresh,
        whole: true,
        told_apart: true,
        groups: vec![Group {
            projects: Vec::new(),
            tally,
        }],
    };
    let count = Count {
        source: SourceName::new(source).unwrap(),
        hour,
        generation: 1,
        account,
    };
    let hours = recorder.hours().unwrap();
    hours.note(vec![count]).await.unwrap();
    recorder.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_summary_tells_how_it_came_to_this() {
    let folder = tempfile::tempdir().unwrap();
    let store = store_in(folder.path());
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let first = whole(&sandbox, &plan, &store).await;
    let sources = first.get("/sources").await.json();
    let name = sources["items"][0]["source"].as_str().unwrap().to_owned();
    first.stop().await;
    let now = Hour::of(Timestamp::now());
    count(&store, &name, Hour(now.0 - 20), 12_345).await;

    let second = Rig::remembering(&Arc::clone(&sandbox), &plan, &store).await;
    second.settled().await;
    let body = second.get("/summary?over=24h").await.json();
    let points = body["series"]["points"].as_array().unwrap();
    assert_eq!(points[0]["at"], json!(Hour(now.0 - 20).start()));
    assert_eq!(points[0]["clusters"], 12_345);
    assert_eq!(
        points[0]["complete"], false,
        "the other sources were not counted"
    );
    let last = points.last().unwrap();
    assert_eq!(last["clusters"], body["clusters"]);
    assert_eq!(last["nodes"], body["nodes"]);
    assert_eq!(last["accelerators"], body["accelerators"]);
    assert_eq!(last["cost"], body["cost"]);
    assert_eq!(last["by_state"], body["by_state"]);
    second.stop().await;

    // Each run left the hour behind in which it ended.
    let (recorder, _) = Recorder::open(store, Vec::new(), &Handle::current()).await;
    let hours = recorder.hours().unwrap();
    let kept = hours.between(now, Hour(now.0 + 2), 1).await.unwrap();
    let counted: u64 = kept
        .iter()
        .flat_map(|count| &count.account.groups)
        .map(|group| group.tally.clusters)
        .sum();
    assert!(counted >= body["clusters"].as_u64().unwrap(), "{counted}");
    recorder.stop(PATIENCE).await;
}
