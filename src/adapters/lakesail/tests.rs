//! Answers in the documented shapes and what they become.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::cluster::Scope;
use super::map::{current, describe_infra, describe_me, infra_page, me_page, record, written};
use super::wire::{ExternalCluster, Health, InstanceTypes, List, Metrics, One, Operation};
use super::{LakeSail, health, metrics, operation, spec};
use crate::domain::{ClusterPatch, Fill, Period, SourceName, State};
use crate::provider::testing::{any_json, spoiled};
use crate::provider::{Adapter, Described, ErrorKind, Infrastructure, Page, envelope};

macro_rules! fixture {
    ($name:literal) => {
        Bytes::from_static(include_bytes!(concat!(
            "../../../fixtures/lakesail/",
            $name,
            ".json"
        )))
    };
}

/// Runs with the source's configuration; the ARN is shown where the second argument says so.
fn with_scope<T>(expose_arn: bool, run: impl FnOnce(Scope<'_>) -> T) -> T {
    let source = SourceName::new("lake").unwrap();
    run(Scope {
        source: &source,
        organization: Some("OR00000001"),
        expose_arn,
    })
}

fn infra(body: &Bytes) -> Page {
    let list: List = envelope("list", body).unwrap();
    with_scope(false, |scope| infra_page(scope, &list))
}

fn me(body: &Bytes) -> Page {
    let list: List = envelope("list", body).unwrap();
    with_scope(false, |scope| me_page(scope, &list))
}

fn detail(health: Option<&str>, expose_arn: bool) -> Described {
    let one: One = envelope("find", &fixture!("infra_detail")).unwrap();
    let health: Option<Health> = health.map(|body| serde_json::from_str(body).unwrap());
    let describe = |scope: Scope<'_>| describe_infra(scope, "EX00000001", &one, health.as_ref());
    with_scope(expose_arn, describe).unwrap()
}

fn health_body() -> &'static str {
    include_str!("../../../fixtures/lakesail/health.json")
}

fn shown(page: &Page) -> Value {
    let rows = page.clusters.iter().map(
        |row| json!({"cluster": row.cluster, "locator": row.locator.as_str(), "raw": row.raw}),
    );
    let rejected = page.rejected.iter();
    json!({
        "clusters": rows.collect::<Vec<_>>(),
        "rejected": rejected.map(|row| json!([row.native_id, row.reason])).collect::<Vec<_>>(),
        "warnings": page.warnings.iter().collect::<Vec<_>>(),
    })
}

fn shown_detail(described: &Described) -> Value {
    json!({
        "cluster": described.cluster,
        "raw": described.raw,
        "warnings": described.warnings.iter().collect::<Vec<_>>(),
    })
}

#[test]
fn an_infra_page_maps_its_external_clusters() {
    insta::assert_json_snapshot!("infra_list", shown(&infra(&fixture!("infra_list"))));
}

#[test]
fn a_me_page_maps_provisioned_and_self_registered_clusters() {
    insta::assert_json_snapshot!("me_list", shown(&me(&fixture!("me_list"))));
}

#[test]
fn a_detail_with_health_counts_its_nodes() {
    insta::assert_json_snapshot!(
        "infra_detail",
        shown_detail(&detail(Some(health_body()), false))
    );
}

#[test]
fn a_missing_target_costs_fields_and_no_cluster() {
    insta::assert_json_snapshot!(
        "infra_list_quirks",
        shown(&infra(&fixture!("infra_list_quirks")))
    );
}

#[test]
fn both_listings_speak_of_one_cluster() {
    let mut first = infra(&fixture!("infra_list")).clusters.remove(0).cluster;
    let second = me(&fixture!("me_list")).clusters.remove(0).cluster;
    assert_eq!(first.id, second.id);
    let named = first.identifiers.len();
    first.fill(second);
    assert_eq!(first.identifiers.len(), named);
    assert_eq!(first.orchestrator.version.as_deref(), Some("1.35"));
}

#[test]
fn a_self_registered_cluster_is_known_by_the_platforms_id() {
    let page = me(&fixture!("me_list"));
    let cluster = &page.clusters[1].cluster;
    assert_eq!(cluster.native_id, "CL00000002");
    assert_eq!(cluster.status.state, State::Unknown);
    assert_eq!(cluster.orchestrator.distribution, None);
}

#[test]
fn the_back_reference_alone_joins_the_two_records() {
    let body = Bytes::from_static(
        br#"{"items":[{"id":"CL1"}],"included":{"externalClusters":[{"id":"EX1","clusterId":"CL1","status":"active"}]}}"#,
    );
    let page = me(&body);
    assert_eq!(page.clusters[0].cluster.native_id, "EX1");
    assert_eq!(page.clusters[0].locator.as_str(), "me/CL1");
}

#[test]
fn a_wished_size_is_no_count() {
    let described = detail(None, false);
    assert_eq!(described.cluster.nodes, None);
    assert_eq!(described.cluster.status.state, State::Running);
}

#[test]
fn fresh_health_goes_before_the_stored_one() {
    let state = |health: &str| detail(Some(health), false).cluster.status.state;
    assert_eq!(state(r#"{"status":"UNHEALTHY"}"#), State::Degraded);
    assert_eq!(
        state(r#"{"status":"opaque","totalNodes":2,"readyNodes":2}"#),
        State::Running
    );
    assert_eq!(state(r#"{"totalNodes":2,"readyNodes":0}"#), State::Degraded);
    assert_eq!(state("{}"), State::Running);
    let nodes = detail(Some(r#"{"totalNodes":2,"readyNodes":5}"#), false);
    assert_eq!(nodes.cluster.nodes.unwrap().ready, None);
    assert_eq!(nodes.warnings.total(), 1);
}

#[test]
fn an_arn_is_shown_only_where_configured() {
    let text = |expose| shown_detail(&detail(Some(health_body()), expose)).to_string();
    assert!(!text(false).contains("arn:"));
    assert!(text(true).contains("arn:aws:eks:"));
}

#[test]
fn customer_data_never_gets_through() {
    let texts = [
        shown_detail(&detail(Some(health_body()), true)).to_string(),
        shown(&me(&fixture!("me_list"))).to_string(),
    ];
    for text in texts {
        for secret in ["canary", "jobRunner", "iac", "MB00000001", "arn:aws:iam"] {
            assert!(!text.contains(secret), "{secret}");
        }
    }
}

#[test]
fn a_detail_of_another_cluster_is_refused() {
    let one: One = envelope("find", &fixture!("infra_detail")).unwrap();
    let error = with_scope(false, |scope| describe_infra(scope, "EX2", &one, None)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnexpectedShape);
    let one: One = envelope("find", &fixture!("me_detail")).unwrap();
    assert!(with_scope(false, |scope| describe_me(scope, "CL2", &one)).is_err());
    let described = with_scope(false, |scope| describe_me(scope, "CL00000001", &one)).unwrap();
    assert_eq!(described.cluster.native_id, "EX00000001");
}

#[test]
fn another_shape_is_an_error_and_no_empty_list() {
    for body in [
        "{}",
        "[]",
        r#"{"items":null}"#,
        r#"{"items":{}}"#,
        r#"{"clusters":[]}"#,
        r#"{"items":[],"included":7}"#,
        r#"{"items":[],"included":{"clusters":{}}}"#,
    ] {
        let error = envelope::<List>("list", &Bytes::from_static(body.as_bytes())).unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnexpectedShape, "{body}");
    }
    for body in [
        r#"{"items":[]}"#,
        r#"{"items":[],"included":null,"total":0,"marker":null}"#,
    ] {
        assert!(envelope::<List>("list", &Bytes::from_static(body.as_bytes())).is_ok());
    }
}

#[test]
fn instance_types_may_be_nested_once() {
    for body in [r#"["a","b"]"#, r#"[["a","b"]]"#, r#"["a",["b"]]"#] {
        let types: InstanceTypes = serde_json::from_str(body).unwrap();
        assert_eq!(types.0, ["a", "b"]);
    }
    assert!(serde_json::from_str::<InstanceTypes>(r#"[[["a"]]]"#).is_err());
}

#[test]
fn health_measurements_and_work_are_mapped() {
    let reported: Health = envelope("find", &fixture!("health")).unwrap();
    let measured: Metrics = envelope("find", &fixture!("metrics")).unwrap();
    let work: Operation = envelope("find", &fixture!("operation")).unwrap();
    let shown = json!({
        "health": health::health(&reported),
        "metrics": metrics::metrics("7d".parse().unwrap(), &measured),
        "operation": operation::operation(&work),
    });
    assert!(!shown.to_string().contains("canary"));
    insta::assert_json_snapshot!("live", shown);
}

#[test]
fn a_created_record_is_a_cluster_that_has_nothing_built() {
    let external: ExternalCluster = envelope("create", &fixture!("created")).unwrap();
    let write = |scope: Scope<'_>| written(scope, "create", "CN00000001", &external);
    let listed = with_scope(false, write).unwrap();
    assert_eq!(listed.locator.as_str(), "infra/CN00000001/EX00000009");
    let mut cluster = listed.cluster;
    assert_eq!(cluster.status.state, State::Pending);
    for (state, infrastructure) in [
        (State::Pending, Infrastructure::None),
        (State::Deleted, Infrastructure::None),
        (State::Failed, Infrastructure::Possible),
        (State::Running, Infrastructure::Possible),
        (State::Deleting, Infrastructure::Possible),
        (State::Unknown, Infrastructure::Possible),
    ] {
        cluster.status.state = state;
        assert_eq!(
            LakeSail::infrastructure(&cluster),
            infrastructure,
            "{state:?}"
        );
    }
}

const KEYS: &[&str] = &[
    "items",
    "included",
    "clusters",
    "externalClusters",
    "connections",
    "marker",
    "total",
    "id",
    "connectionId",
    "externalClusterId",
    "status",
    "config",
    "region",
    "totalNodes",
    "readyNodes",
    "instanceTypes",
];

proptest! {
    #[test]
    fn any_body_maps_without_panic(
        other in any_json(KEYS, "EX00000001"),
        place in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let body = |fixture: Bytes| if whole {
            Bytes::from(other.to_string())
        } else {
            spoiled(&fixture, place, other.clone())
        };
        for fixture in [fixture!("infra_list"), fixture!("me_list"), fixture!("infra_list_quirks")] {
            if let Ok(list) = envelope::<List>("list", &body(fixture)) {
                for map in [infra_page, me_page] {
                    let page = with_scope(true, |scope| map(scope, &list));
                    prop_assert_eq!(page.clusters.len() + page.rejected.len(), list.items.len());
                }
            }
        }
        let reported = envelope::<Health>("find", &body(fixture!("health"))).ok();
        drop(reported.as_ref().map(health::health));
        if let Ok(measured) = envelope::<Metrics>("find", &body(fixture!("metrics"))) {
            drop(metrics::metrics(Period::HOUR, &measured));
        }
        if let Ok(work) = envelope::<Operation>("find", &body(fixture!("operation"))) {
            drop(operation::operation(&work));
        }
        for fixture in [fixture!("infra_detail"), fixture!("me_detail")] {
            if let Ok(one) = envelope::<One>("find", &body(fixture)) {
                with_scope(true, |scope| {
                    drop(describe_infra(scope, "EX00000001", &one, reported.as_ref()));
                    drop(describe_me(scope, "CL00000001", &one));
                });
                drop(record("CL00000001", &one));
                drop(operation::of_cluster(one.included.as_ref(), "EX00000001"));
                let patch: ClusterPatch = serde_json::from_value(
                    json!({"node_groups": [{"desired_size": 3, "max_size": 9}]}),
                ).unwrap();
                drop(current(&one, "EX00000001").map(|current| spec::update(&patch, current)));
            }
        }
    }
}
