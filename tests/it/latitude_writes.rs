//! Writes to Latitude.sh and its kubeconfigs through the whole outbound stack, over a scripted vendor: what is sent, how
//! often, and what its answers mean.

use std::sync::{Arc, Mutex};

use clustergate::domain::{ClusterPatch, ClusterSpec, State};
use clustergate::provider::{ErrorKind, Infrastructure, Locator, Provider};
use clustergate::upstream::FailureKind;
use http::Method;
use serde_json::{Value, json};

use crate::support::scripted::{Scripted, answer, target};

const LEGACY_CREATED: &str = include_str!("../../fixtures/latitude/legacy_created.json");
const LKS_CREATED: &str = include_str!("../../fixtures/latitude/lks_created.json");
const LEGACY_LIST: &str = include_str!("../../fixtures/latitude/legacy_list.json");
const LEGACY_DETAIL: &str = include_str!("../../fixtures/latitude/legacy_detail.json");
const LEGACY_ID: &str = "kc_pRMLydp0dQKr1";

/// One request that reached the vendor.
#[derive(Debug, Clone)]
struct Seen {
    method: Method,
    target: String,
    body: Value,
}

/// An adapter over a vendor that answers from a function.
struct Rig {
    provider: Arc<dyn Provider>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Rig {
    fn new(script: impl Fn(&Seen) -> (u16, String) + Send + Sync + 'static) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let noted = Arc::clone(&seen);
        let media = "application/vnd.api+json; charset=utf-8";
        let scripted = Scripted::connect("latitude", "", move |request| {
            let (headers, body) = (request.headers(), request.body());
            assert_eq!(headers["api-version"], "2023-06-01");
            if !body.is_empty() {
                assert_eq!(headers["content-type"], "application/vnd.api+json");
            }
            let one = Seen {
                method: request.method().clone(),
                target: target(request).to_owned(),
                body: serde_json::from_slice(body).unwrap_or_default(),
            };
            let (status, body) = script(&one);
            noted.lock().unwrap().push(one);
            (
                String::new(),
                answer(status, &[("content-type", media)], body),
            )
        });
        Self {
            provider: scripted.unwrap().provider(),
            seen,
        }
    }

    fn seen(&self) -> Vec<(String, String)> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|one| (one.method.to_string(), one.target.clone()))
            .collect()
    }

    fn bodies(&self) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|one| one.body.clone()).collect()
    }
}

fn calls<const N: usize>(calls: [(&str, &str); N]) -> Vec<(String, String)> {
    calls
        .map(|(method, target)| (method.to_owned(), target.to_owned()))
        .to_vec()
}

fn refused(code: &str) -> String {
    json!({"errors": [{"code": code, "message": "VENDOR TEXT"}]}).to_string()
}

fn spec(family: &str) -> ClusterSpec {
    serde_json::from_value(match family {
        "legacy" => json!({"name": "edge-a", "project": "proj_1", "region": "SAN3",
            "node_groups": [{"name": "control-plane", "instance_types": ["c2-small-x86"]},
                {"name": "workers", "desired_size": 2}],
            "options": {"family": "legacy", "ssh_keys": ["ssh_1"]}}),
        _ => json!({"name": "edge-lks", "project": "proj_1", "region": "LAX2", "version": "1.36.1",
            "options": {"family": "lks"}}),
    })
    .unwrap()
}

fn patch(value: Value) -> ClusterPatch {
    serde_json::from_value(value).unwrap()
}

fn legacy() -> Locator {
    Locator::new(format!("legacy/{LEGACY_ID}"))
}

fn lks() -> Locator {
    Locator::new("lks/lksc_4f1c09d2ab7730")
}

#[tokio::test]
async fn a_legacy_cluster_is_made_by_one_call() {
    let rig = Rig::new(|_| (201, LEGACY_CREATED.to_owned()));
    let written = rig.provider.create(&spec("legacy")).await.unwrap();
    assert_eq!(rig.seen(), calls([("POST", "/kubernetes_clusters")]));
    assert_eq!(
        rig.bodies(),
        [
            json!({"data": {"type": "kubernetes_clusters", "attributes": {"name": "edge-a", "project_id": "proj_1",
            "site": "SAN3", "plan": "c2-small-x86", "ssh_keys": ["ssh_1"], "worker_count": 2}}})
        ]
    );
    assert!(written.is_pending && written.operation.is_none());
    let listed = written.cluster.unwrap();
    assert_eq!(listed.cluster.native_id, LEGACY_ID);
    assert_eq!(listed.cluster.status.state, State::Provisioning);
    assert_eq!(listed.cluster.owner.project.unwrap().id.unwrap(), "proj_1");
    assert_eq!(listed.locator, legacy());
}

#[tokio::test]
async fn an_lks_cluster_is_made_by_one_call() {
    let rig = Rig::new(|_| (201, LKS_CREATED.to_owned()));
    let written = rig.provider.create(&spec("lks")).await.unwrap();
    assert_eq!(rig.seen(), calls([("POST", "/lks/clusters")]));
    assert_eq!(
        rig.bodies(),
        [
            json!({"data": {"type": "lks_clusters", "attributes": {"name": "edge-lks", "project_id": "proj_1",
            "site": "LAX2", "kubernetes_version": "1.36.1"}}})
        ]
    );
    let listed = written.cluster.unwrap();
    assert_eq!(listed.cluster.status.state, State::Provisioning);
    assert_eq!(listed.cluster.location.region.as_deref(), Some("LAX2"));
    assert_eq!(listed.locator, lks());
}

#[tokio::test]
async fn a_minor_version_becomes_the_release_that_the_vendor_offers() {
    let rig = Rig::new(|one| match one.target.as_str() {
        "/kubernetes_clusters/available_versions" => (
            200,
            r#"{"data":[{"latest":"v1.35.3+rke2r1","minor":"1.35"}]}"#.to_owned(),
        ),
        _ => (202, LEGACY_CREATED.to_owned()),
    });
    let upgrade = patch(json!({"version": "1.35"}));
    assert!(
        rig.provider
            .update(&legacy(), &upgrade)
            .await
            .unwrap()
            .is_pending
    );
    assert_eq!(
        rig.bodies()[1]["data"]["attributes"],
        json!({"kubernetes_version": "v1.35.3+rke2r1"})
    );
    let unknown = patch(json!({"version": "1.99"}));
    let error = rig.provider.update(&legacy(), &unknown).await.unwrap_err();
    assert_eq!(
        (error.kind, error.mistakes[0].field.as_str()),
        (ErrorKind::InvalidValues, "version")
    );
    let writes = rig.seen();
    let writes = writes.iter().filter(|(method, _)| method != "GET");
    assert_eq!(writes.count(), 1);
    let rig = Rig::new(|_| (500, String::new()));
    let error = rig.provider.update(&legacy(), &upgrade).await.unwrap_err();
    assert!(!error.may_have_happened(), "nothing was sent");
}

#[tokio::test]
async fn mistakes_are_told_before_anything_is_sent() {
    let rig = Rig::new(|_| (500, String::new()));
    let error = rig
        .provider
        .create(&ClusterSpec::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidValues);
    assert_eq!(error.mistakes.len(), 3);
    let both =
        patch(json!({"version": "1.36", "node_groups": [{"name": "workers", "desired_size": 1}]}));
    let error = rig.provider.update(&legacy(), &both).await.unwrap_err();
    assert_eq!(error.mistakes.len(), 2);
    let pool = patch(json!({"node_groups": [{"name": "pool-a", "desired_size": 1}]}));
    assert!(rig.provider.update(&lks(), &pool).await.is_err());
    assert_eq!(rig.seen(), []);
}

#[tokio::test]
async fn a_write_is_never_repeated_and_leaves_open_what_nobody_knows() {
    for (status, body, kind, is_open) in [
        (
            503,
            refused("MANAGEMENT_CLUSTER_ERROR"),
            ErrorKind::Call(FailureKind::Unavailable),
            true,
        ),
        (
            502,
            "<html>".to_owned(),
            ErrorKind::Call(FailureKind::Unavailable),
            true,
        ),
        (201, "{".to_owned(), ErrorKind::Malformed, true),
        (
            201,
            r#"{"data":{}}"#.to_owned(),
            ErrorKind::UnexpectedShape,
            true,
        ),
        (
            429,
            refused("RATE_LIMIT_EXCEEDED"),
            ErrorKind::Call(FailureKind::RateLimited),
            false,
        ),
        (
            422,
            refused("CLUSTER_LIMIT_EXCEEDED"),
            ErrorKind::Conflict,
            false,
        ),
        (
            403,
            refused("FORBIDDEN"),
            ErrorKind::Call(FailureKind::Forbidden),
            false,
        ),
        (
            404,
            refused("not_found"),
            ErrorKind::Call(FailureKind::Rejected),
            false,
        ),
    ] {
        let answer = body.clone();
        let rig = Rig::new(move |_| (status, answer.clone()));
        for family in ["legacy", "lks"] {
            let error = rig.provider.create(&spec(family)).await.unwrap_err();
            assert_eq!(error.kind, kind, "{family} {status} {body}");
            assert_eq!(error.may_have_happened(), is_open, "{family} {status}");
            assert!(!error.public.unwrap_or_default().contains("VENDOR"));
        }
        assert_eq!(rig.seen().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn what_a_creation_may_have_made_is_found_by_its_name() {
    let rig = Rig::new(|one| {
        match one.target.as_str() {
        "/kubernetes_clusters?project_id=proj_1" => (200, LEGACY_LIST.to_owned()),
        _ => (200, json!({"data": [
            {"id": "lksc_1", "attributes": {"name": "edge-lks", "status": "deleting", "created_at": "2026-09-20T00:00:00Z"}},
            {"id": "lksc_2", "attributes": {"name": "edge-lks", "status": "ready", "created_at": "2026-09-17T00:00:00Z"}},
            {"id": "lksc_3", "attributes": {"name": "edge-lks", "status": "provisioning", "created_at": "2026-09-18T00:00:00Z"}},
            {"id": "lksc_4", "attributes": {"name": "other", "status": "provisioning", "created_at": "2026-09-19T00:00:00Z"}},
        ]}).to_string()),
    }
    });
    let found = rig.provider.find_created(&spec("lks")).await.unwrap();
    assert_eq!(found.unwrap().cluster.native_id, "lksc_3");
    let mut wanted = spec("legacy");
    wanted.name = "nobody".to_owned();
    assert!(rig.provider.find_created(&wanted).await.unwrap().is_none());
    assert_eq!(
        rig.seen(),
        calls([
            ("GET", "/lks/clusters?project_id=proj_1"),
            ("GET", "/kubernetes_clusters?project_id=proj_1"),
        ])
    );
}

#[tokio::test]
async fn a_row_that_cannot_be_read_may_be_what_was_made() {
    let rig = Rig::new(|_| (200, r#"{"data":[{"id":7}]}"#.to_owned()));
    let error = rig.provider.find_created(&spec("lks")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnexpectedShape);
}

#[tokio::test]
async fn a_change_without_effect_is_no_work() {
    for (status, word, is_pending) in [(200, "unchanged", false), (202, "scaling", true)] {
        let body = json!({"data": {"type": "kubernetes_clusters", "id": LEGACY_ID,
            "attributes": {"name": "edge-a", "status": word, "worker_count": 3}}});
        let rig = Rig::new(move |_| (status, body.to_string()));
        let scale = patch(
            json!({"node_groups": [{"name": "workers", "desired_size": 3, "instance_types": ["c3"]}]}),
        );
        let written = rig.provider.update(&legacy(), &scale).await.unwrap();
        assert_eq!(written.is_pending, is_pending);
        assert_eq!(
            rig.seen(),
            calls([("PATCH", "/kubernetes_clusters/kc_pRMLydp0dQKr1")])
        );
        assert_eq!(
            rig.bodies()[0]["data"]["attributes"],
            json!({"worker_count": 3, "worker_plan": "c3"})
        );
    }
}

#[tokio::test]
async fn an_lks_cluster_takes_several_changes_at_once() {
    let ready = LKS_CREATED.replace("\"provisioning\"", "\"ready\"");
    let rig = Rig::new(move |_| (200, ready.clone()));
    let rename = patch(json!({"name": "edge-lks", "options": {"description": "x"}}));
    let written = rig.provider.update(&lks(), &rename).await.unwrap();
    assert!(!written.is_pending);
    assert_eq!(
        written.cluster.unwrap().cluster.status.state,
        State::Running
    );
    let upgrade = patch(json!({"version": "1.36.1"}));
    assert!(
        rig.provider
            .update(&lks(), &upgrade)
            .await
            .unwrap()
            .is_pending
    );
    assert_eq!(
        rig.bodies()[0],
        json!({"data": {"type": "lks_clusters", "attributes": {"name": "edge-lks", "description": "x"}}})
    );
    // An answer about another cluster is no account of this one.
    let other = Locator::new("lks/lksc_other");
    let error = rig.provider.update(&other, &rename).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnexpectedShape);
}

#[tokio::test]
async fn a_cluster_is_destroyed_by_one_call() {
    for (locator, target) in [
        (legacy(), "/kubernetes_clusters/kc_pRMLydp0dQKr1"),
        (lks(), "/lks/clusters/lksc_4f1c09d2ab7730"),
    ] {
        let rig = Rig::new(|_| (204, String::new()));
        assert!(rig.provider.destroy(&locator).await.unwrap().is_pending);
        assert_eq!(rig.seen(), calls([("DELETE", target)]));
        let rig = Rig::new(|_| (404, refused("NOT_FOUND")));
        let error = rig.provider.destroy(&locator).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound);
    }
}

#[tokio::test]
async fn only_a_deleted_cluster_has_no_infrastructure() {
    let rig = Rig::new(|_| (201, LKS_CREATED.to_owned()));
    let created = rig.provider.create(&spec("lks")).await.unwrap();
    let mut cluster = created.cluster.unwrap().cluster;
    for (state, expected) in [
        (State::Provisioning, Infrastructure::Possible),
        (State::Deleting, Infrastructure::Possible),
        (State::Unknown, Infrastructure::Possible),
        (State::Deleted, Infrastructure::None),
    ] {
        cluster.status.state = state;
        assert_eq!(rig.provider.infrastructure(&cluster), expected, "{state:?}");
    }
    assert_eq!(
        rig.provider.forget(&lks()).await.unwrap_err().kind,
        ErrorKind::NotSupported
    );
}

const KUBECONFIG: &str = r#"{"data":{"type":"kubernetes_cluster_kubeconfigs","id":"x","attributes":{"cluster_name":"edge-a","kubeconfig":"apiVersion: v1\nkind: Config\n"}}}"#;

#[tokio::test]
async fn a_kubeconfig_is_one_call_and_shows_itself_to_nobody() {
    for (locator, target) in [
        (legacy(), "/kubernetes_clusters/kc_pRMLydp0dQKr1/kubeconfig"),
        (lks(), "/lks/clusters/lksc_4f1c09d2ab7730/kubeconfig"),
    ] {
        let rig = Rig::new(|_| (200, KUBECONFIG.to_owned()));
        let kubeconfig = rig.provider.kubeconfig(&locator).await.unwrap();
        assert_eq!(kubeconfig.expose(), "apiVersion: v1\nkind: Config\n");
        assert_eq!(format!("{kubeconfig:?}"), "Kubeconfig(..)");
        assert_eq!(rig.seen(), calls([("GET", target)]));
    }
}

#[tokio::test]
async fn a_kubeconfig_that_is_not_there_yet_is_told_from_a_cluster_that_is_gone() {
    let with_phase = |phase: &'static str| {
        move |one: &Seen| match one.target.ends_with("/kubeconfig") {
            true => (404, refused("NOT_FOUND")),
            false if phase == "gone" => (404, refused("NOT_FOUND")),
            false => (
                200,
                LEGACY_DETAIL.replace("\"Provisioned\"", &format!("\"{phase}\"")),
            ),
        }
    };
    for (phase, kind) in [
        ("Provisioning", ErrorKind::NotReady),
        ("Failed", ErrorKind::Conflict),
        ("Deleting", ErrorKind::Conflict),
        ("gone", ErrorKind::NotFound),
    ] {
        let rig = Rig::new(with_phase(phase));
        let error = rig.provider.kubeconfig(&legacy()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{phase}");
        assert_eq!(rig.seen().len(), 2, "{phase}");
    }
    for (status, code, kind) in [
        (409, "NOT_READY", ErrorKind::NotReady),
        (409, "", ErrorKind::Conflict),
        (404, "not_found", ErrorKind::NotFound),
        (403, "FEATURE_NOT_ENABLED", ErrorKind::NotEnabled),
    ] {
        let rig = Rig::new(move |_| (status, refused(code)));
        let error = rig.provider.kubeconfig(&lks()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}");
        assert_eq!(rig.seen().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_read_is_not_shown_in_the_error() {
    for body in [
        r#"{"data":{"attributes":{"kubeconfig":["SECRET-CANARY"]}}}"#,
        r#"{"data":{"attributes":"SECRET-CANARY"}}"#,
        r#"{"data":"SECRET-CANARY"}"#,
        r#"{"data":{"attributes":{"kubeconfig":"SECRET-CANARY"#,
        r#"{"data":{"attributes":{"kubeconfig":" "}}}"#,
    ] {
        let rig = Rig::new(move |_| (200, body.to_owned()));
        let error = rig.provider.kubeconfig(&legacy()).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("SECRET-CANARY"), "{shown}");
    }
}

#[tokio::test]
async fn nodes_of_an_lks_cluster_are_read_without_the_cluster() {
    let rig = Rig::new(|one| {
        let body = if one.target.ends_with("/nodes") {
            include_str!("../../fixtures/latitude/lks_nodes.json")
        } else {
            include_str!("../../fixtures/latitude/lks_nodepools.json")
        };
        (200, body.to_owned())
    });
    assert_eq!(rig.provider.nodes(&lks()).await.unwrap().len(), 2);
    assert_eq!(rig.seen().len(), 2);
    let rig = Rig::new(|_| (404, refused("not_found")));
    let error = rig.provider.nodes(&lks()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}
