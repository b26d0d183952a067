//! The mapping over the fixtures, and over anything else.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{NodeRole, NodeState, State};
use crate::provider::testing::any_json;

fn source() -> SourceName {
    SourceName::new("kube-main").unwrap()
}

fn page(body: &str) -> Result<Page, ProviderError> {
    list::page(&source(), &Bytes::copy_from_slice(body.as_bytes()))
}

fn kind(body: &Value) -> ErrorKind {
    page(&body.to_string()).unwrap_err().kind
}

fn warnings(warnings: &Warnings) -> Vec<(&'static str, u64)> {
    warnings.iter().collect()
}

const LIST: &str = include_str!("../../../fixtures/kubeadapt/list.json");
const QUIRKS: &str = include_str!("../../../fixtures/kubeadapt/quirks.json");
const DETAIL: &str = include_str!("../../../fixtures/kubeadapt/detail.json");
const NODES: &str = include_str!("../../../fixtures/kubeadapt/nodes.json");

#[test]
fn a_documented_row_is_mapped_as_a_whole() {
    let page = page(LIST).unwrap();
    assert_eq!(page.next, Some(PageCursor::new("b3BhcXVl")));
    assert_eq!(warnings(&page.warnings), []);
    assert!(page.fingerprint.is_some());
    insta::assert_json_snapshot!("list", page.clusters[0].cluster);
    assert!(page.clusters[0].cluster.contact_lost);
    assert_eq!(page.clusters[0].cluster.status.state, State::Running);
}

#[test]
fn the_last_page_ends_the_list_and_tells_of_an_ignored_parameter() {
    let page = page(include_str!("../../../fixtures/kubeadapt/list-last.json")).unwrap();
    assert_eq!((page.next, page.clusters.len()), (None, 0));
    assert_eq!(page.fingerprint, None);
    assert_eq!(warnings(&page.warnings), [("meta.ignored_params", 1)]);
}

#[test]
fn what_cannot_be_true_is_null_and_counted_and_spoils_nothing_else() {
    let page = page(QUIRKS).unwrap();
    let clusters: Vec<_> = page.clusters.iter().map(|listed| &listed.cluster).collect();
    insta::assert_json_snapshot!("quirks", clusters);
    insta::assert_json_snapshot!("quirks-warnings", warnings(&page.warnings));
}

#[test]
fn rows_without_a_usable_id_are_rejected_and_keep_what_id_they_have() {
    let page = page(QUIRKS).unwrap();
    let ids: Vec<_> = page
        .rejected
        .iter()
        .map(|rejected| rejected.native_id.as_deref())
        .collect();
    let metadata_is_a_number = Some("11111111-0000-4000-8000-000000000003");
    assert_eq!(
        ids,
        [metadata_is_a_number, None, None, None, None, None, None]
    );
}

#[test]
fn only_declared_fields_get_through_to_raw() {
    for listed in page(QUIRKS).unwrap().clusters {
        let raw = listed.raw.unwrap();
        assert!(!raw.get().contains("canary"), "{raw}");
        assert!(!format!("{:?}", listed.cluster).contains("canary"));
    }
}

#[test]
fn the_end_of_the_list_is_where_has_more_says() {
    let next = |pagination: Value| {
        page(&json!({"data": [], "meta": {"pagination": pagination}}).to_string())
            .map(|page| page.next.map(|next| next.as_str().to_owned()))
            .map_err(|error| error.kind)
    };
    assert_eq!(
        next(json!({"has_more": false, "next_cursor": "x"})),
        Ok(None)
    );
    assert_eq!(
        next(json!({"has_more": true, "next_cursor": "x"})),
        Ok(Some("x".into()))
    );
    assert_eq!(next(json!({"next_cursor": ""})), Ok(None));
    assert_eq!(
        next(json!({"has_more": true, "next_cursor": ""})),
        Err(ErrorKind::Truncated)
    );
    assert_eq!(next(json!({"has_more": true})), Err(ErrorKind::Truncated));
    for wrong in [
        json!({"has_more": 1}),
        json!({"has_more": true, "next_cursor": 3}),
        json!([]),
        json!(null),
    ] {
        assert_eq!(next(wrong), Err(ErrorKind::UnexpectedShape));
    }
}

#[test]
fn the_older_generation_and_other_shapes_are_never_an_empty_list() {
    let older: Value =
        serde_json::from_str(include_str!("../../../fixtures/kubeadapt/legacy-list.json")).unwrap();
    assert_eq!(kind(&older), ErrorKind::UnsupportedGeneration);
    for other in [
        json!({}),
        json!({"data": null}),
        json!({"data": {}}),
        json!({"data": []}),
        json!({"data": [], "meta": {}}),
        json!([]),
        json!("clusters"),
    ] {
        assert_eq!(kind(&other), ErrorKind::UnexpectedShape, "{other}");
    }
    assert_eq!(page("").unwrap_err().kind, ErrorKind::Malformed);
}

#[test]
fn a_detail_is_about_the_cluster_that_was_asked_for() {
    let detail = |id: &str, body: &str| {
        list::detail(&source(), id, &Bytes::copy_from_slice(body.as_bytes()))
    };
    let id = "0f6d2c1e-6a0b-4f57-9a3e-5f1d7c2b8a90";
    let listed = page(LIST).unwrap().clusters.remove(0).cluster;
    assert_eq!(detail(id, DETAIL).unwrap().cluster, listed);
    assert_eq!(
        detail("other", DETAIL).unwrap_err().kind,
        ErrorKind::UnexpectedShape
    );
    let older = r#"{"id":"cls-abc123","name":"a"}"#;
    assert_eq!(
        detail(id, older).unwrap_err().kind,
        ErrorKind::UnsupportedGeneration
    );
}

#[test]
fn nodes_are_mapped() {
    let mut warnings = Warnings::default();
    let (nodes, next) = list::nodes(&Bytes::from_static(NODES.as_bytes()), &mut warnings).unwrap();
    assert_eq!((next, warnings.total()), (None, 0));
    assert_eq!(
        (nodes[0].state, nodes[0].role),
        (NodeState::Ready, NodeRole::Worker)
    );
    insta::assert_json_snapshot!("nodes", nodes);
}

#[test]
fn refusals_are_told_apart() {
    let error = |status: u16, kind: FailureKind, code: Option<&str>| UpstreamError {
        status: StatusCode::from_u16(status).ok(),
        code: code.map(str::to_owned),
        ..UpstreamError::new(kind)
    };
    let expired = || error(410, FailureKind::NotFound, Some("CURSOR_EXPIRED"));
    assert_eq!(
        refused("list", expired(), true).kind,
        ErrorKind::CursorExpired
    );
    assert_eq!(
        refused("list", expired(), false).kind,
        ErrorKind::Call(FailureKind::NotFound)
    );
    let damaged = error(400, FailureKind::Rejected, Some("INVALID_CURSOR"));
    assert_eq!(
        refused("list", damaged, true).kind,
        ErrorKind::CursorExpired
    );
    let older = error(
        401,
        FailureKind::Unauthorized,
        Some(dialect::OLDER_GENERATION),
    );
    assert_eq!(
        refused("list", older, false).kind,
        ErrorKind::UnsupportedGeneration
    );

    let found = |error| not_found(refused("find", error, false)).kind;
    let unknown = error(404, FailureKind::NotFound, Some("CLUSTER_NOT_FOUND"));
    let foreign = error(403, FailureKind::Forbidden, Some("CLUSTER_ACCESS_DENIED"));
    let scope = error(403, FailureKind::Forbidden, Some("FORBIDDEN"));
    assert_eq!(found(unknown), ErrorKind::NotFound);
    assert_eq!(found(foreign), ErrorKind::NotFound);
    assert_eq!(found(scope), ErrorKind::Call(FailureKind::Forbidden));
}

#[test]
fn settings_are_checked() {
    let settings = |text: &str| toml::from_str::<Settings>(text);
    assert_eq!(settings("").unwrap().page_size, 500);
    assert!(settings("page_sise = 1").is_err());
}

const KEYS: &[&str] = &[
    "data",
    "meta",
    "pagination",
    "has_more",
    "next_cursor",
    "clusters",
    "id",
    "metadata",
    "name",
    "status",
    "capacity",
    "gpu",
    "total",
    "utilization",
    "counts",
    "nodes",
    "cost",
    "current_run_rate_hourly",
    "amount",
    "currency",
    "labels",
    "last_seen_at",
    "k8s_version",
];

proptest! {
    #[test]
    fn any_body_is_mapped_or_refused(value in any_json(KEYS, "active")) {
        let whole = value.to_string();
        let rows = json!({"data": [value], "meta": {"pagination": {"has_more": false}}}).to_string();
        for body in [whole, rows] {
            let body = Bytes::from(body);
            let _ = list::page(&source(), &body);
            let _ = list::detail(&source(), "a", &body);
            let _ = list::nodes(&body, &mut Warnings::default());
        }
    }
}

fn described(nodes: Option<Vec<Node>>) -> Described {
    let (cluster, id) = (Bytes::from_static(DETAIL.as_bytes()), detail_id());
    let described = list::detail(&source(), &id, &cluster).unwrap();
    Described { nodes, ..described }
}

fn detail_id() -> String {
    let detail: Value = serde_json::from_str(DETAIL).unwrap();
    detail["data"]["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_cluster_is_as_well_as_its_nodes() {
    let node = |ready: Option<bool>| Node {
        id: "1".to_owned(),
        ready,
        ..Node::default()
    };
    let health = |nodes: &[Option<bool>]| {
        let mut described = described(Some(nodes.iter().copied().map(node).collect()));
        described.cluster.status.state = State::Running;
        described.cluster.contact_lost = false;
        map::health(described)
    };
    let well = health(&[Some(true), Some(true)]);
    assert_eq!(well.status, crate::domain::HealthStatus::Healthy);
    assert_eq!((well.nodes.total, well.nodes.ready), (Some(2), Some(2)));
    let short = health(&[Some(true), Some(false)]);
    assert_eq!(short.status, crate::domain::HealthStatus::Degraded);
    assert_eq!(short.derived_from, ["status.state", "nodes.ready"]);
    let unsaid = health(&[Some(true), None]);
    assert_eq!(unsaid.nodes.ready, None);
}
