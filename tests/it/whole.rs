//! The main job: every cluster of every vendor, in one list.

use std::collections::BTreeSet;

use clustergate::adapters::CATALOG;

use crate::support::{Plan, Rig};

#[tokio::test]
async fn every_cluster_of_every_vendor_is_listed_once() {
    let rig = Rig::start(Plan::default()).await;
    for entry in CATALOG {
        let source = entry.kind.as_str();
        let expected: BTreeSet<String> = rig
            .vendor(source)
            .truth()
            .into_iter()
            .map(|truth| truth.id)
            .collect();
        let list = rig
            .get(&format!(
                "/clusters?source={source}&limit=1000&fields=native_id"
            ))
            .await
            .json();
        let listed: BTreeSet<String> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["native_id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(listed, expected, "{source}");
        assert_eq!(list["total"], expected.len());
        assert_eq!(list["complete"], true);
    }
}
