//! LakeSail through the whole outbound stack, over a scripted vendor: which calls its walks and details make, and what
//! their failures mean.

use std::sync::Mutex;

use clustergate::provider::{ConfigError, ErrorKind};
use clustergate::upstream::FailureKind;

use crate::support::scripted::{Scripted, answer, ids, target};

const ME: &str = include_str!("../../fixtures/lakesail/me_list.json");
const EMPTY: &str = r#"{"total":0,"items":[],"included":{}}"#;
const INFRA_FIRST: &str = r#"{"total":2,"items":[{"id":"EX00000001","connectionId":"CN00000001"}],"included":{"clusters":[]},"marker":"m/1"}"#;
const INFRA_LAST: &str = r#"{"total":2,"items":[{"id":"EX00000002","connectionId":"CN00000001"}],"included":{"clusters":[]},"marker":null}"#;

/// Answers a path and query with a status and a body, and notes the calls.
fn connect(
    settings: &str,
    script: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static,
) -> Result<Scripted, ConfigError> {
    Scripted::connect("lakesail", settings, move |request| {
        let organization = request.headers().get("lakesail-organization-id");
        assert!(organization.is_none_or(|id| id == "OR1"));
        let target = target(request).strip_prefix("/api/v1").unwrap().to_owned();
        let (status, body) = script(&target);
        let headers = [
            ("content-type", "application/json"),
            ("www-authenticate", "DPoP algs=\"ES256\""),
        ];
        (target, answer(status, &headers, body))
    })
}

fn lakesail(
    settings: &str,
    script: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static,
) -> Scripted {
    connect(settings, script).unwrap()
}

/// The key that a configuration is refused for.
fn refused(settings: &str) -> String {
    connect(settings, |_| (500, "")).err().unwrap().key
}

#[tokio::test]
async fn a_walk_reads_infra_by_marker_and_then_me_by_page() {
    let adapter = lakesail("organization = \"OR1\"", |target| match target {
        "/infra/clusters?limit=100" => (200, INFRA_FIRST),
        "/infra/clusters?limit=100&marker=m%2F1" => (200, INFRA_LAST),
        "/me/clusters?limit=100&page=1" => (200, ME),
        _ => (500, EMPTY),
    });
    let listing = adapter.list().await.unwrap();
    assert_eq!(ids(&listing), ["EX00000001", "EX00000002", "CL00000002"]);
    assert_eq!(
        listing.clusters[0].locator.as_str(),
        "infra/CN00000001/EX00000001"
    );
    assert_eq!(adapter.calls().len(), 3);
}

#[tokio::test]
async fn a_refused_listing_fails_and_says_how_to_leave_it_out() {
    let script = |target: &str| match target {
        _ if target.starts_with("/infra") => (403, r#"{"message":"no"}"#),
        _ => (200, ME),
    };
    let adapter = lakesail("", script);
    let error = adapter.list().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Call(FailureKind::Forbidden));
    assert!(error.detail.unwrap().contains("listings = [\"me\"]"));
    let adapter = lakesail("listings = [\"me\"]", script);
    assert_eq!(adapter.list().await.unwrap().clusters.len(), 2);
}

#[tokio::test]
async fn an_organization_that_insists_on_dpop_is_told_apart() {
    let adapter = lakesail("", |_| (401, ""));
    let error = adapter.list().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Call(FailureKind::Unauthorized));
    assert_eq!(
        error.detail.as_deref(),
        Some("organization requires DPoP, not supported")
    );
}

#[tokio::test]
async fn what_may_hide_clusters_fails_the_walk() {
    for (body, expected) in [
        ("{}", ErrorKind::UnexpectedShape),
        (r#"{"items":[],"marker":5}"#, ErrorKind::Truncated),
        (r#"{"items":[],"total":5}"#, ErrorKind::Truncated),
        (
            r#"{"items":[{"id":"EX1"}],"marker":"same"}"#,
            ErrorKind::PaginationLoop,
        ),
        ("<html>", ErrorKind::Malformed),
    ] {
        let adapter = lakesail("listings = [\"infra\"]", move |_| (200, body));
        assert_eq!(adapter.list().await.unwrap_err().kind, expected, "{body}");
    }
}

#[tokio::test]
async fn a_marker_that_is_no_longer_accepted_starts_the_walk_afresh() {
    let first = Mutex::new(true);
    let adapter = lakesail("listings = [\"infra\"]", move |target| {
        if !target.contains("marker") {
            return (200, INFRA_FIRST);
        }
        let is_first = std::mem::take(&mut *first.lock().unwrap());
        if is_first {
            (400, "")
        } else {
            (200, INFRA_LAST)
        }
    });
    assert_eq!(adapter.list().await.unwrap().clusters.len(), 2);
    assert_eq!(adapter.calls().len(), 4);
}

#[tokio::test]
async fn a_detail_stands_without_its_health() {
    let health = include_str!("../../fixtures/lakesail/health.json");
    for (status, total) in [(200, Some(2)), (503, None), (404, None)] {
        let adapter = lakesail("", move |target| match target {
            "/infra/connections/CN00000001/clusters/EX00000001" => (
                200,
                include_str!("../../fixtures/lakesail/infra_detail.json"),
            ),
            _ => (status, health),
        });
        let locator = "infra/CN00000001/EX00000001";
        let described = adapter.describe(locator).await.unwrap();
        assert_eq!(described.cluster.nodes.and_then(|nodes| nodes.total), total);
        assert!(adapter.calls()[1].ends_with("/health"));
    }
}

#[tokio::test]
async fn every_address_has_its_own_detail_call() {
    for (locator, target) in [
        ("me/CL00000001", "/me/clusters/CL00000001"),
        ("infra//EX00000001", "/infra/clusters/EX00000001"),
    ] {
        let adapter = lakesail("", |_| (404, ""));
        let error = adapter.describe(locator).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(adapter.calls(), [target]);
    }
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    for (settings, key) in [
        ("listings = []", "listings"),
        ("page_size = 101", "page_size"),
        ("organization = \"a\\nb\"", "organization"),
        ("listing = []", "listing"),
    ] {
        assert_eq!(refused(settings), key, "{settings}");
    }
}
