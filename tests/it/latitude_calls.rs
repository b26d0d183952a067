//! Latitude.sh through the whole outbound stack, over a scripted vendor: which calls its walks and details make, and what
//! their failures mean.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use tower::service_fn;

use clustergate::adapters::CATALOG;
use clustergate::domain::SourceName;
use clustergate::provider::{
    ConfigError, Described, Entry, ErrorKind, Limits, Listing, Locator, Provider, ProviderError,
    walk,
};
use clustergate::upstream::{
    Answer, Credential, FailureKind, Scheme, Stack, StackSettings, TokenSource,
};

const LEGACY: &str = r#"{"data":[{"id":"kc_1","type":"kubernetes_clusters","attributes":{"name":"a","phase":"Provisioned","ready":true}}]}"#;
const LKS: &str = include_str!("../../fixtures/latitude/lks_list.json");
const PROJECTS: &str = r#"{"data":[{"id":"p1","attributes":{"name":"One"}},{"id":"p2"}]}"#;
const NOT_ENABLED: &str = include_str!("../../fixtures/latitude/error_not_enabled.json");
const EMPTY: &str = r#"{"data":[]}"#;

type Calls = Arc<Mutex<Vec<String>>>;

fn entry() -> &'static Entry {
    let mut entries = CATALOG.iter();
    entries
        .find(|entry| entry.kind.as_str() == "latitude")
        .unwrap()
}

/// Answers a path and query with a status and a body, and notes the calls.
fn connect(
    settings: &str,
    script: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static,
) -> Result<(Arc<dyn Provider>, Calls), ConfigError> {
    let calls = Calls::default();
    let noted = Arc::clone(&calls);
    let script = Arc::new(script);
    let transport = service_fn(move |request: Request<Bytes>| {
        assert_eq!(request.headers()["api-version"], "2023-06-01");
        assert_eq!(request.headers()["authorization"], "Bearer token");
        let target = request.uri().path_and_query().unwrap().to_string();
        assert!(!target.contains("kubeconfig"));
        let (status, body) = script(&target);
        noted.lock().unwrap().push(target);
        let content_type = HeaderValue::from_static("application/vnd.api+json; charset=utf-8");
        std::future::ready(Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, content_type)]),
            body: Bytes::from_static(body.as_bytes()),
        }))
    });
    let credential = Credential {
        token: Arc::new(TokenSource::Value("token".into())),
        scheme: Scheme::Bearer,
    };
    let base_url = entry().base_url.unwrap().parse().unwrap();
    let mut stack = StackSettings::new(base_url);
    stack.max_attempts = 1;
    let stack = Stack::over(transport, stack, credential, entry().dialect).unwrap();
    let settings = toml::from_str(settings).unwrap();
    let source = SourceName::new("latitude-main").unwrap();
    Ok(((entry().connect)(source, settings, stack)?, calls))
}

fn latitude(
    settings: &str,
    script: impl Fn(&str) -> (u16, &'static str) + Send + Sync + 'static,
) -> (Arc<dyn Provider>, Calls) {
    connect(settings, script).unwrap()
}

/// The key that a configuration is refused for.
fn refused(settings: &str) -> String {
    connect(settings, |_| (500, "")).err().unwrap().key
}

async fn list(adapter: Arc<dyn Provider>) -> Result<Listing, ErrorKind> {
    walk(&*adapter, Limits::default())
        .await
        .map_err(|error| error.error.kind)
}

async fn describe(adapter: Arc<dyn Provider>, locator: &str) -> Result<Described, ProviderError> {
    adapter.describe(&Locator::new(locator)).await
}

fn is_legacy(target: &str) -> bool {
    target.starts_with("/kubernetes_clusters?")
}

#[tokio::test]
async fn a_walk_reads_both_families_of_every_project() {
    let (adapter, calls) = latitude("", |target| match target {
        "/projects?page%5Bnumber%5D=1&page%5Bsize%5D=100&stats%5Btotal%5D=count" => (200, PROJECTS),
        "/kubernetes_clusters?project_id=p1" => (200, LEGACY),
        "/lks/clusters?project_id=p2" => (200, LKS),
        _ => (200, EMPTY),
    });
    let listing = list(adapter).await.unwrap();
    let ids: Vec<_> = listing
        .clusters
        .iter()
        .map(|row| row.cluster.native_id.as_str())
        .collect();
    assert_eq!(ids, ["kc_1", "lksc_8d12b878420d45", "lksc_2"]);
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
    assert_eq!(calls.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn configured_projects_and_families_save_calls() {
    let settings = "projects = [\"p1\", \"p1\", \"p9\"]\nfamilies = [\"lks\"]";
    let (adapter, calls) = latitude(settings, |_| (200, EMPTY));
    assert!(list(adapter).await.unwrap().clusters.is_empty());
    let expected = ["/lks/clusters?project_id=p1", "/lks/clusters?project_id=p9"];
    assert_eq!(*calls.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_family_that_is_not_enabled_or_retired_does_not_hide_the_other() {
    for (status, body) in [(403, NOT_ENABLED), (404, EMPTY), (410, "<html>")] {
        let (adapter, _) = latitude("", move |target| match target {
            _ if target.starts_with("/projects") => (200, PROJECTS),
            _ if is_legacy(target) => (status, body),
            _ => (200, LKS),
        });
        assert_eq!(list(adapter).await.unwrap().clusters.len(), 2, "{status}");
    }
}

#[tokio::test]
async fn an_account_without_the_product_says_so() {
    let (adapter, calls) = latitude("", |target| match target {
        _ if target.starts_with("/projects") => (200, PROJECTS),
        _ => (403, NOT_ENABLED),
    });
    assert_eq!(list(adapter).await.unwrap_err(), ErrorKind::NotEnabled);
    assert_eq!(calls.lock().unwrap().len(), 3);
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
        let (adapter, _) = latitude("", move |target| match target {
            _ if target.starts_with("/projects") => (200, PROJECTS),
            _ if is_legacy(target) => (200, EMPTY),
            _ => (status, body),
        });
        assert_eq!(
            list(adapter).await.unwrap_err(),
            expected,
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn a_legacy_detail_is_one_call() {
    let (adapter, calls) = latitude("", |_| {
        (
            200,
            include_str!("../../fixtures/latitude/legacy_detail.json"),
        )
    });
    let described = describe(adapter, "legacy/kc_pRMLydp0dQKr1").await.unwrap();
    assert_eq!(described.nodes.unwrap().len(), 3);
    assert_eq!(
        *calls.lock().unwrap(),
        ["/kubernetes_clusters/kc_pRMLydp0dQKr1"]
    );
}

#[tokio::test]
async fn an_lks_detail_reads_its_pools_and_their_nodes() {
    let (adapter, calls) = latitude("", |target| match target {
        _ if target.ends_with("/nodes") => {
            (200, include_str!("../../fixtures/latitude/lks_nodes.json"))
        }
        _ if target.ends_with("/nodepools") => (
            200,
            include_str!("../../fixtures/latitude/lks_nodepools.json"),
        ),
        _ => (200, include_str!("../../fixtures/latitude/lks_detail.json")),
    });
    let described = describe(adapter, "lks/lksc_8d12b878420d45").await.unwrap();
    assert_eq!(described.nodes.unwrap().len(), 2);
    assert_eq!(calls.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_cluster_that_is_gone_is_not_found() {
    for locator in ["lks/lksc_1", "legacy/kc_1", "other"] {
        let (adapter, _) = latitude("", |_| {
            (404, r#"{"errors":[{"code":"NOT_FOUND","message":"x"}]}"#)
        });
        let error = describe(adapter, locator).await.unwrap_err();
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
