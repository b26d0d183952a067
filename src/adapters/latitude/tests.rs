//! Answers in the documented shapes and what they become.

use bytes::Bytes;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::progress::{Family, ProjectRef};
use super::wire::{LegacyAttributes, List, LksAttributes, One, Resource};
use super::{legacy, lks, map};
use crate::domain::{NodeState, SourceName, State};
use crate::provider::testing::{any_json, spoiled};
use crate::provider::{Described, ErrorKind, Page, envelope};

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!(
            "../../../fixtures/latitude/",
            $name,
            ".json"
        )))
    };
}

fn source() -> SourceName {
    SourceName::new("latitude-main").unwrap()
}

fn project() -> ProjectRef {
    ProjectRef {
        id: "proj_6059EqYkOQj8p".to_owned(),
        name: Some("My Project".to_owned()),
        environment: Some("production".to_owned()),
    }
}

fn list(body: &Bytes) -> List {
    envelope("list", body).unwrap()
}

fn one<T: DeserializeOwned>(body: &Bytes) -> Resource<T> {
    envelope::<One<T>>("find", body).unwrap().data
}

fn legacy_detail(body: &Bytes) -> Described {
    let wire = one::<LegacyAttributes>(body);
    map::same(&wire, "kc_pRMLydp0dQKr1", "find").unwrap();
    legacy::describe(&source(), "kc_pRMLydp0dQKr1", &wire)
}

fn lks_detail(pools: &Bytes, nodes: Option<&Bytes>) -> Described {
    let wire = one::<LksAttributes>(&fixture!("lks_detail"));
    let mut pools = lks::pools(&list(pools));
    for pool in &mut pools {
        pool.nodes = nodes.map(list);
    }
    lks::describe(&source(), "lksc_8d12b878420d45", &wire, Some(&pools))
}

fn shown(page: &Page) -> Value {
    let rows = page.clusters.iter().map(
        |row| json!({"cluster": row.cluster, "locator": row.locator.as_str(), "raw": row.raw}),
    );
    json!({
        "clusters": rows.collect::<Vec<_>>(),
        "rejected": page.rejected.iter().map(|row| json!([row.native_id, row.reason])).collect::<Vec<_>>(),
        "warnings": page.warnings.iter().collect::<Vec<_>>(),
    })
}

fn shown_detail(described: &Described) -> Value {
    json!({
        "cluster": described.cluster,
        "nodes": described.nodes,
        "raw": described.raw,
        "warnings": described.warnings.iter().collect::<Vec<_>>(),
    })
}

#[test]
fn projects_name_their_clusters_project_and_environment() {
    let list = list(&fixture!("projects"));
    let (projects, page) = map::projects(&list);
    assert_eq!(projects[0], project());
    assert_eq!(
        (projects[1].name.as_ref(), projects[1].environment.as_ref()),
        (None, None)
    );
    assert_eq!((projects.len(), page.rejected.len()), (2, 1));
    assert_eq!(map::projects_total(&list), Some(3));
    assert!(page.fingerprint.is_some());
}

#[test]
fn a_legacy_summary_leaves_open_what_it_does_not_say() {
    let page = map::legacy_page(&source(), &project(), &list(&fixture!("legacy_list")));
    insta::assert_json_snapshot!("legacy_list", shown(&page));
}

#[test]
fn a_legacy_detail_says_version_site_and_nodes() {
    insta::assert_json_snapshot!(
        "legacy_detail",
        shown_detail(&legacy_detail(&fixture!("legacy_detail")))
    );
}

#[test]
fn a_legacy_detail_of_nulls_is_unknown_and_not_zero() {
    let described = legacy_detail(&fixture!("legacy_detail_nulls"));
    insta::assert_json_snapshot!("legacy_detail_nulls", shown_detail(&described));
}

#[test]
fn a_bad_row_spoils_itself_and_a_bad_field_itself() {
    let page = map::legacy_page(
        &source(),
        &project(),
        &list(&fixture!("legacy_list_quirks")),
    );
    insta::assert_json_snapshot!("legacy_list_quirks", shown(&page));
}

#[test]
fn an_lks_list_is_as_full_as_its_detail() {
    let page = map::lks_page(&source(), &project(), &list(&fixture!("lks_list"))).unwrap();
    insta::assert_json_snapshot!("lks_list", shown(&page));
}

#[test]
fn lks_nodes_count_where_their_pools_do_not_report() {
    let described = lks_detail(&fixture!("lks_nodepools"), Some(&fixture!("lks_nodes")));
    insta::assert_json_snapshot!("lks_detail", shown_detail(&described));
}

#[test]
fn an_lks_counter_that_is_not_reported_is_never_zero() {
    let described = lks_detail(&fixture!("lks_nodepools"), None);
    let counts = described.cluster.nodes.unwrap();
    assert_eq!((counts.total, counts.ready), (Some(2), None));
    assert!(described.nodes.is_none());
    let unreadable =
        Bytes::from_static(br#"{"data":[7,{"id":"lksnp_1","attributes":{"count":2}}]}"#);
    assert_eq!(lks_detail(&unreadable, None).cluster.nodes, None);
    let none = Bytes::from_static(br#"{"data":[]}"#);
    assert_eq!(
        lks_detail(&none, None).cluster.nodes.unwrap().total,
        Some(0)
    );
}

#[test]
fn an_lks_list_that_is_shorter_than_its_total_is_truncated() {
    let list = |total: &str| {
        let body = format!(r#"{{"data":[{{"id":"lksc_1"}}],"meta":{{"total":{total}}}}}"#);
        let list: List = envelope("list", &Bytes::from(body)).unwrap();
        map::lks_page(&source(), &project(), &list).map_err(|error| error.kind)
    };
    assert_eq!(list("2").err(), Some(ErrorKind::Truncated));
    for total in ["1", "0", "-3", "null", "\"2\"", "4503599627370496"] {
        assert!(list(total).is_ok(), "{total}");
    }
}

#[test]
fn a_detail_of_another_cluster_is_refused() {
    let wire = one::<LegacyAttributes>(&fixture!("legacy_detail"));
    let error = map::same(&wire, "kc_other", "find").unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnexpectedShape);
}

#[test]
fn nothing_leads_to_a_kubeconfig() {
    for described in [
        legacy_detail(&fixture!("legacy_detail")),
        lks_detail(&fixture!("lks_nodepools"), None),
    ] {
        assert!(!shown_detail(&described).to_string().contains("kubeconfig"));
    }
}

#[test]
fn an_address_reads_back_and_another_text_is_none() {
    for family in [Family::Legacy, Family::Lks] {
        let locator = map::locator(family, "kc_a/b");
        assert_eq!(map::address(&locator), Some((family, "kc_a/b")));
    }
    for text in ["", "legacy", "legacy/", "other/kc_1"] {
        assert_eq!(map::address(&crate::provider::Locator::new(text)), None);
    }
}

#[test]
fn the_states_of_the_fixtures_are_as_the_table_says() {
    let page = map::lks_page(&source(), &project(), &list(&fixture!("lks_list"))).unwrap();
    let states: Vec<State> = page
        .clusters
        .iter()
        .map(|row| row.cluster.status.state)
        .collect();
    assert_eq!(states, [State::Running, State::Stopped]);
    let nodes = legacy_detail(&fixture!("legacy_detail")).nodes.unwrap();
    assert_eq!(nodes[2].state, NodeState::Failed);
}

const KEYS: &[&str] = &[
    "data",
    "meta",
    "stats",
    "total",
    "count",
    "id",
    "type",
    "attributes",
    "name",
    "phase",
    "ready",
    "status",
    "project",
    "nodes",
    "nodepools",
    "version",
];

proptest! {
    #[test]
    fn any_body_maps_without_panic(
        other in any_json(KEYS, "2026-09-18T15:39:51Z"),
        place in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let body = |fixture: Bytes| if whole {
            Bytes::from(other.to_string())
        } else {
            spoiled(&fixture, place, other.clone())
        };
        for fixture in [fixture!("projects"), fixture!("legacy_list"), fixture!("lks_list")] {
            if let Ok(list) = envelope::<List>("list", &body(fixture)) {
                map::projects(&list);
                map::projects_total(&list);
                let page = map::legacy_page(&source(), &project(), &list);
                prop_assert_eq!(page.clusters.len() + page.rejected.len(), list.data.len());
                drop(map::lks_page(&source(), &project(), &list));
            }
        }
        if let Ok(wire) = envelope::<One<LegacyAttributes>>("find", &body(fixture!("legacy_detail"))) {
            legacy::describe(&source(), "kc_1", &wire.data);
        }
        let pools = envelope::<List>("list", &body(fixture!("lks_nodepools")));
        let nodes = body(fixture!("lks_nodes"));
        if let (Ok(wire), Ok(list)) =
            (envelope::<One<LksAttributes>>("find", &body(fixture!("lks_detail"))), pools)
        {
            let mut pools = lks::pools(&list);
            for pool in &mut pools {
                pool.nodes = envelope("list", &nodes).ok();
            }
            lks::describe(&source(), "lksc_1", &wire.data, Some(&pools));
        }
    }
}
