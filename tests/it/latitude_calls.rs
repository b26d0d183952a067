//! Latitude.sh through the whole outbound stack, over a scripted vendor: which calls its walks and details make, and what
//! their failures mean.

use clustergate::provider::{ConfigError, ErrorKind};
use clustergate::upstream::FailureKind;

use crate::support::scripted::{Scripted, answer, ids, target};

const LEGACY: &str = r#"{"data":[{"id":"kc_1","type":"kubernetes_clusters","attributes":{"name":"a","phase":"Provisioned","ready":true}}]}"#;
const LKS: &str = include_str!("../../fixtures/latitude/lks_list.json");
const PROJECTS: &str = r#"{"data":[{"id":"p1","attributes":{"name":"One"}},{"id":"p2"}]}"#;
const NOT_ENABLED: &str = include_str!("../../fixtures/latitude/error_not_enabled.json");
const EMPTY: &str = r#"{"data":[]}"#;

/// Answers a path and query with a status and a body, and notes the calls.
fn connect(
    settings: &str,
    script: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static,
) -> Result<Scripted, ConfigError> {
    Scripted::connect("latitude", settings, move |request| {
        assert_eq!(request.headers()["api-version"], "2023-06-01");
        assert_eq!(request.headers()["authorization"], "Bearer token");
        let target = target(request).to_owned();
        assert!(!target.contains("kubeconfig"));
        let (status, body) = script(&target);
        let json_api = [("content-type", "application/vnd.api+json; charset=utf-8")];
        (target, answer(status, &json_api, body))
    })
}

fn latitude(
    settings: &str,
    script: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static,
) -> Scripted {
    connect(settings, script).unwrap()
}

/// The key that a configuration is refused for.
fn refused(settings: &str) -> String {
    connect(settings, |_| (500, "")).err().unwrap().key
}

fn is_legacy(target: &str) -> bool {
    target.starts_with("/kubernetes_clusters?")
}

#[tokio::test]
async fn a_walk_reads_both_families_of_every_project() {
    let adapter = latitude("", |target| match target {
        "/projects?page%5Bnumber%5D=1&page%5Bsize%5D=100&stats%5Btotal%5D=count" => (200, PROJECTS),
        "/kubernetes_clusters?project_id=p1" => (200, LEGACY),
        "/lks/clusters?project_id=p2" => (200, LKS),
        _ => (200, EMPTY),
    });
    let listing = adapter.list().await.unwrap();
    assert_eq!(ids(&listing), ["kc_1", "lksc_8d12b878420d45", "lksc_2"]);
    assert_eq!(
        listing.clusters[0]
            .cluster
            .owner
            .project
            .as_ref()
            .unwrap()
            .name
            .as_deref(),
        Some("One")
    );
    assert_eq!(adapter.calls().len(), 5);
}

#[tokio::test]
async fn configured_projects_and_families_save_calls() {
    let settings = "projects = [\"p1\", \"p1\", \"p9\"]\nfamilies = [\"lks\"]";
    let adapter = latitude(settings, |_| (200, EMPTY));
    assert!(adapter.list().await.unwrap().clusters.is_empty());
    let expected = ["/lks/clusters?project_id=p1", "/lks/clusters?project_id=p9"];
    assert_eq!(adapter.calls(), expected);
}

#[tokio::test]
async fn a_family_that_is_not_enabled_or_retired_does_not_hide_the_other() {
    for (status, body) in [(403, NOT_ENABLED), (404, EMPTY), (410, "<html>")] {
        let adapter = latitude("", move |target| match target {
            _ if target.starts_with("/projects") => (200, PROJECTS),
            _ if is_legacy(target) => (status, body),
            _ => (200, LKS),
        });
        assert_eq!(adapter.list().await.unwrap().clusters.len(), 2, "{status}");
    }
}

#[tokio::test]
async fn an_account_without_the_product_says_so() {
    let adapter = latitude("", |target| match target {
        _ if target.starts_with("/projects") => (200, PROJECTS),
        _ => (403, NOT_ENABLED),
    });
    assert_eq!(
        adapter.list().await.unwrap_err().kind,
        ErrorKind::NotEnabled
    );
    assert_eq!(adapter.calls().len(), 3);
}

#[tokio::test]
async fn what_may_hide_clusters_fails_the_walk() {
    for (status, body, expected) in [
        (
            403,
            r#"{"errors":[{"code":"FORBIDDEN","message":"no"}]}"#,
            ErrorKind::Call(FailureKind::Forbidden),
        ),
        (502, EMPTY, ErrorKind::Call(FailureKind::Unavailable)),
        (503, EMPTY, ErrorKind::Call(FailureKind::Unavailable)),
        (401, EMPTY, ErrorKind::Call(FailureKind::Unauthorized)),
        (200, "{}", ErrorKind::UnexpectedShape),
        (200, r#"{"data":null}"#, ErrorKind::UnexpectedShape),
        (
            200,
            r#"{"data":[],"meta":{"total":3}}"#,
            ErrorKind::Truncated,
        ),
        (200, "", ErrorKind::Malformed),
    ] {
        let adapter = latitude("", move |target| match target {
            _ if target.starts_with("/projects") => (200, PROJECTS),
            _ if is_legacy(target) => (200, EMPTY),
            _ => (status, body),
        });
        assert_eq!(
            adapter.list().await.unwrap_err().kind,
            expected,
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn a_legacy_detail_is_one_call() {
    let adapter = latitude("", |_| {
        (
            200,
            include_str!("../../fixtures/latitude/legacy_detail.json"),
        )
    });
    let described = adapter.describe("legacy/kc_pRMLydp0dQKr1").await.unwrap();
    assert_eq!(described.nodes.unwrap().len(), 3);
    assert_eq!(adapter.calls(), ["/kubernetes_clusters/kc_pRMLydp0dQKr1"]);
}

#[tokio::test]
async fn an_lks_detail_reads_its_pools_and_their_nodes() {
    let adapter = latitude("", |target| match target {
        _ if target.ends_with("/nodes") => {
            (200, include_str!("../../fixtures/latitude/lks_nodes.json"))
        }
        _ if target.ends_with("/nodepools") => (
            200,
            include_str!("../../fixtures/latitude/lks_nodepools.json"),
        ),
        _ => (200, include_str!("../../fixtures/latitude/lks_detail.json")),
    });
    let described = adapter.describe("lks/lksc_8d12b878420d45").await.unwrap();
    assert_eq!(described.nodes.unwrap().len(), 2);
    assert_eq!(adapter.calls().len(), 3);
}

#[tokio::test]
async fn a_cluster_that_is_gone_is_not_found() {
    for locator in ["lks/lksc_1", "legacy/kc_1", "other"] {
        let adapter = latitude("", |_| {
            (404, r#"{"errors":[{"code":"NOT_FOUND","message":"x"}]}"#)
        });
        let error = adapter.describe(locator).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{locator}");
    }
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for (settings, key) in [
        ("families = []", "families"),
        ("families = [\"other\"]", "other"),
        ("projects = [\" \"]", "projects"),
        ("page_size = 0", "page_size"),
        ("family = \"lks\"", "family"),
    ] {
        assert_eq!(refused(settings), key, "{settings}");
    }
}
