//! A restart takes over what there was, and says how old it is.

use std::time::Duration;

use clustergate::sandbox::{Fault, Simulated};
use clustergate::store::Settings;
use serde_json::json;
use tokio::time::Instant;

use super::{everything, set_faults, standing, store_in, unmarked, whole};
use crate::support::{Plan, Rig};

/// Two gateways, one after the other, over one store.
pub(super) async fn survives(store: &Settings) -> Vec<String> {
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let first = whole(&sandbox, &plan, store).await;
    let before = everything(&first).await;
    let sources = first.get("/sources").await.json();
    assert_eq!(standing(&first).await, ("ok".to_owned(), None));
    let metrics = first.get("/metrics").await.text;
    for line in [
        "clustergate_store_up 1\n",
        "clustergate_store_behind_publications 0\n",
        "clustergate_store_lost_changes_total 0\n",
        "clustergate_store_commit_seconds_bucket{le=\"+Inf\"} ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    first.stop().await;
    set_faults(&sandbox, Some(Fault::Http503));

    let begun = Instant::now();
    let second = Rig::remembering(&sandbox, &plan, store).await;
    let after = everything(&second).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(before["generation"].as_u64() < after["generation"].as_u64());
    assert_eq!(before["total"], after["total"]);
    assert!(unmarked(before.clone()).len() >= 90);
    assert_eq!(unmarked(before), unmarked(after.clone()));
    for source in after["sources"].as_array().unwrap() {
        assert_eq!(source["restored"], true, "{source}");
        assert_ne!(source["state"], "fresh", "{source}");
        let known = sources["items"].as_array().unwrap().iter();
        let mut known = known.filter(|known| known["source"] == source["source"]);
        assert_eq!(source["fetched_at"], known.next().unwrap()["fetched_at"]);
    }
    for item in after["items"].as_array().unwrap() {
        assert_eq!(item["presence"], "stale", "{}", item["id"]);
    }

    // The vendors come back: what they list is fresh again, and nothing was lost on the way.
    second.settled().await;
    set_faults(&sandbox, None);
    for source in sources["items"].as_array().unwrap() {
        let name = source["source"].as_str().unwrap();
        second.refresh(name).await;
    }
    let last = everything(&second).await;
    assert_eq!(last["complete"], true);
    assert_eq!(last["total"], after["total"]);
    for source in last["sources"].as_array().unwrap() {
        assert_eq!(source["restored"], json!(false), "{source}");
    }
    second.stop().await;
    sandbox.vendors().map(Simulated::token).collect()
}

#[tokio::test]
async fn a_restart_with_every_vendor_down_shows_all_there_was() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = survives(&store_in(folder.path())).await;
    let mut looked_at = 0;
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap().path();
        let bytes = std::fs::read(&file).unwrap();
        looked_at += bytes.len();
        for token in &tokens {
            let is_there = bytes
                .windows(token.len())
                .any(|part| part == token.as_bytes());
            assert!(!is_there, "{} holds a token", file.display());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;

            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{} is its owner's alone", file.display());
        }
    }
    assert!(looked_at > 100_000, "{looked_at}");
}
