//! The bytes of a page.

use serde_json::Value;

use super::*;
use crate::domain::Node;

fn page(bench: Bench, raw: bool, nodes: bool) -> Vec<Value> {
    let snapshot = snapshot(1, &[bench]);
    let found = snapshot.select(&crate::inventory::query::Query {
        limit: 10,
        ..Default::default()
    });
    let mut body = b"[".to_vec();
    snapshot.append(&found.places, raw, nodes, &mut body);
    body.push(b']');
    serde_json::from_slice(&body).unwrap()
}

fn bench() -> Bench {
    let mut bench = Bench::new("s", "k");
    let mut full = listed(cluster("s", "a \"\u{1}é"));
    full.cluster.name = "\"quoted\" \u{2028} \\ \u{0}".into();
    full.raw = Some(raw(r#"{"vendor":[1,2]}"#));
    full.nodes = Some(vec![Node::default()]);
    let mut lost = cluster("s", "b");
    lost.contact_lost = true;
    bench.list_with(vec![full, listed(lost)], Vec::new());
    bench
}

#[test]
fn every_cluster_is_an_object_with_every_key() {
    let clusters = page(bench(), false, false);
    let expected = serde_json::to_value(cluster("s", "b")).unwrap();
    let mut keys: Vec<&str> = expected
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    keys.extend(["links", "fetched_at", "presence", "stale"]);
    keys.sort_unstable();
    for cluster in &clusters {
        let mut own: Vec<&str> = cluster
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        own.sort_unstable();
        assert_eq!(own, keys);
    }
    assert_eq!(clusters.len(), 2);
    assert_eq!(clusters[0]["name"], "\"quoted\" \u{2028} \\ \u{0}");
    assert_eq!(clusters[0]["id"], "s:a%20%22%01%C3%A9");
    assert_eq!(clusters[0]["links"]["self"], "/clusters/s:a%20%22%01%C3%A9");
    assert_eq!(clusters[0]["fetched_at"], at(1).to_string());
    assert_eq!(clusters[0]["presence"], "present");
    assert_eq!(clusters[0]["stale"], false);
    assert_eq!(clusters[1]["stale"], true);
}

#[test]
fn raw_and_nodes_come_only_when_asked_for() {
    let all = page(bench(), true, true);
    assert_eq!(
        all[0]["raw"],
        serde_json::json!({"listing": {"vendor": [1, 2]}, "detail": null})
    );
    assert_eq!(all[0]["node_list"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&all[1]["raw"], &all[1]["node_list"]),
        (&Value::Null, &Value::Null)
    );
    assert!(all[1].as_object().unwrap().contains_key("raw"));
    let raw_only = page(bench(), true, false);
    assert!(raw_only[0].get("raw").is_some() && raw_only[0].get("node_list").is_none());
}

#[test]
fn the_end_of_a_cluster_says_what_became_of_it() {
    let mut failing = bench();
    failing.fail(ErrorKind::Malformed);
    assert_eq!(page(failing, false, false)[0]["presence"], "stale");
    let mut kept = bench();
    kept.list_with(vec![listed(cluster("s", "b"))], Vec::new());
    let clusters = page(kept, false, false);
    assert_eq!(
        (&clusters[0]["presence"], &clusters[1]["presence"]),
        (&"missing".into(), &"present".into())
    );
    assert_eq!(clusters[0]["fetched_at"], at(1).to_string());
    assert_eq!(clusters[1]["fetched_at"], at(2).to_string());
    let mut old = bench();
    old.age(4_000);
    assert_eq!(page(old, false, false)[0]["stale"], true);
}

#[test]
fn a_row_reads_back_as_the_cluster_that_was_written() {
    let bench = bench();
    let mut expected = cluster("s", "b");
    expected.contact_lost = true;
    assert_eq!(bench.cluster("b"), expected);
}

#[test]
fn a_snapshot_finds_each_cluster_by_id_and_no_other() {
    let snapshot = snapshot(1, &[bench()]);
    let place = snapshot.find(&cluster("s", "b").id).unwrap();
    assert_eq!(snapshot.row(place).id, cluster("s", "b").id);
    assert_eq!(snapshot.fetched_at(place), Some(at(1)));
    assert!(snapshot.find(&cluster("s", "c").id).is_none());
    assert!(snapshot.find(&cluster("t", "b").id).is_none());
}
