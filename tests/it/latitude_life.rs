//! Latitude.sh's adapter against the simulated vendor: the life of a cluster of either family, its kubeconfig, and what is
//! known of a write whose answer was lost.

use std::sync::Arc;
use std::time::Duration;

use clustergate::app::sources;
use clustergate::config::SourceConfig;
use clustergate::domain::{ClusterPatch, ClusterSpec, HealthStatus, State};
use clustergate::provider::{ErrorKind, Limits, Listing, Locator, Provider, walk};
use clustergate::sandbox::{Aim, Fault, Sandbox, Simulated, Vendor};
use clustergate::upstream::FailureKind;
use serde_json::{Value, json};

use crate::support::Plan;

/// A provider over a simulated vendor whose work moves by steps alone.
struct Rig {
    sandbox: Arc<Sandbox>,
    plan: Plan,
    /// A project without a legacy cluster.
    project: String,
}

impl Rig {
    async fn start() -> Self {
        let plan = Plan {
            quirks: false,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let vendor = sandbox.vendor(Vendor::Latitude);
        vendor.set_pace(None);
        let truth = vendor.truth();
        let mut truth = truth.iter();
        let old = truth.find(|it| it.family == "kubernetes").unwrap();
        assert!(vendor.remove(&old.id));
        let project = old.parent.clone().unwrap();
        Self {
            sandbox,
            plan,
            project,
        }
    }

    fn vendor(&self) -> &Simulated {
        self.sandbox.vendor(Vendor::Latitude)
    }

    /// A provider with a breaker of its own.
    fn provider(&self, configure: impl FnOnce(&mut SourceConfig)) -> Arc<dyn Provider> {
        let mut configs = self.plan.configs(&self.sandbox).into_iter();
        let mut config = configs.find(|it| it.name.as_str() == "latitude").unwrap();
        configure(&mut config);
        sources(&[config]).unwrap().remove(0).provider
    }

    fn legacy(&self) -> ClusterSpec {
        spec(
            json!({"name": "edge-new", "project": self.project, "region": "SAN3", "version": "1.34",
            "node_groups": [{"name": "control-plane", "instance_types": ["c3-small-x86"]},
                {"name": "workers", "desired_size": 2}],
            "options": {"family": "legacy", "ssh_keys": ["ssh_1"]}}),
        )
    }

    fn lks(&self, name: &str) -> ClusterSpec {
        spec(
            json!({"name": name, "project": self.project, "region": "LAX2", "version": "1.35",
            "options": {"family": "lks"}}),
        )
    }

    /// Lets a fault strike the calls of one kind.
    fn break_calls(&self, kind: &str, fault: Fault, late: bool) {
        self.vendor().set_fault_aim(Aim {
            kinds: vec![kind.to_owned()],
            late,
            ..Aim::default()
        });
        self.vendor().set_fault(Some(fault));
    }

    fn writes(&self) -> u64 {
        self.vendor().stats().write_calls
    }
}

fn spec(value: Value) -> ClusterSpec {
    serde_json::from_value(value).unwrap()
}

fn patch(value: Value) -> ClusterPatch {
    serde_json::from_value(value).unwrap()
}

async fn state(provider: &Arc<dyn Provider>, cluster: &Locator) -> State {
    let described = provider.describe(cluster).await.unwrap();
    described.cluster.status.state
}

async fn listing(provider: &Arc<dyn Provider>) -> Listing {
    walk(provider.as_ref(), Limits::default()).await.unwrap()
}

#[tokio::test]
async fn a_legacy_cluster_lives_from_its_making_to_its_end() {
    let rig = Rig::start().await;
    let (vendor, provider) = (rig.vendor(), rig.provider(|_| {}));
    let wanted = rig.legacy();
    assert!(provider.find_created(&wanted).await.unwrap().is_none());
    let made = provider.create(&wanted).await.unwrap().cluster.unwrap();
    let cluster = &made.locator;
    assert_eq!(made.cluster.status.state, State::Provisioning);
    let found = provider.find_created(&wanted).await.unwrap().unwrap();
    assert_eq!(
        (&found.locator, found.cluster.id),
        (cluster, made.cluster.id)
    );
    assert_eq!(state(&provider, cluster).await, State::Pending);
    vendor.advance();
    assert_eq!(state(&provider, cluster).await, State::Provisioning);
    let error = provider.kubeconfig(cluster).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotReady);
    let scale = patch(json!({"node_groups": [{"name": "workers", "desired_size": 3}]}));
    let error = provider.update(cluster, &scale).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    let error = provider.create(&wanted).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);

    vendor.finish();
    let described = provider.describe(cluster).await.unwrap().cluster;
    assert_eq!(described.status.state, State::Running);
    assert_eq!(described.orchestrator.version.as_deref(), Some("1.34.3"));
    let counts = described.nodes.unwrap();
    assert_eq!((counts.control_plane, counts.workers), (Some(1), Some(2)));
    assert_eq!(provider.nodes(cluster).await.unwrap().len(), 3);
    let health = provider.health(cluster).await.unwrap();
    assert_eq!(health.status, HealthStatus::Healthy);
    let kubeconfig = provider.kubeconfig(cluster).await.unwrap();
    let endpoint = described.orchestrator.endpoint.unwrap();
    assert!(kubeconfig.expose().contains(&format!("server: {endpoint}")));

    assert!(provider.update(cluster, &scale).await.unwrap().is_pending);
    assert_eq!(state(&provider, cluster).await, State::Updating);
    vendor.finish();
    assert_eq!(provider.nodes(cluster).await.unwrap().len(), 4);
    assert!(!provider.update(cluster, &scale).await.unwrap().is_pending);
    let planes = patch(json!({"node_groups": [{"name": "control-plane", "desired_size": 3}]}));
    assert!(provider.update(cluster, &planes).await.unwrap().is_pending);
    vendor.finish();
    for (version, outcome) in [
        ("1.33", Err(ErrorKind::Conflict)),
        ("1.36", Err(ErrorKind::Conflict)),
        ("1.35", Ok(true)),
    ] {
        let upgrade = patch(json!({"version": version}));
        let written = provider.update(cluster, &upgrade).await;
        let written = written.map(|it| it.is_pending).map_err(|it| it.kind);
        assert_eq!(written, outcome, "{version}");
    }
    vendor.finish();
    let described = provider.describe(cluster).await.unwrap().cluster;
    assert_eq!(described.orchestrator.version.as_deref(), Some("1.35.3"));

    assert!(provider.destroy(cluster).await.unwrap().is_pending);
    assert_eq!(state(&provider, cluster).await, State::Deleting);
    assert!(provider.find_created(&wanted).await.unwrap().is_none());
    vendor.finish();
    let error = provider.describe(cluster).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let error = provider.destroy(cluster).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(
        listing(&provider).await.clusters.len(),
        rig.plan.clusters - 1
    );
}

#[tokio::test]
async fn an_lks_cluster_lives_from_its_making_to_its_end() {
    let rig = Rig::start().await;
    let (vendor, provider) = (rig.vendor(), rig.provider(|_| {}));
    let wanted = rig.lks("Edge new");
    let made = provider.create(&wanted).await.unwrap().cluster.unwrap();
    let cluster = &made.locator;
    let error = provider.kubeconfig(cluster).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotReady);
    let rename = patch(json!({"name": "Edge", "options": {"description": "x"}}));
    let error = provider.update(cluster, &rename).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    vendor.finish();
    let written = provider.update(cluster, &rename).await.unwrap();
    assert!(!written.is_pending);
    assert_eq!(written.cluster.unwrap().cluster.name, "Edge");
    assert!(provider.nodes(cluster).await.unwrap().is_empty());
    assert!(provider.kubeconfig(cluster).await.is_ok());
    let upgrade = patch(json!({"version": "1.36"}));
    let written = provider.update(cluster, &upgrade).await.unwrap();
    assert!(written.is_pending);
    assert_eq!(
        written.cluster.unwrap().cluster.status.state,
        State::Updating
    );
    vendor.finish();
    let listing_now = listing(&provider).await;
    let mut rows = listing_now.clusters.iter();
    let row = rows.find(|row| &row.locator == cluster).unwrap();
    let version = row.cluster.orchestrator.version.as_deref();
    assert_eq!(version, Some("1.36.1"));
    let down = patch(json!({"version": "1.35.1"}));
    let error = provider.update(cluster, &down).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);

    provider.destroy(cluster).await.unwrap();
    let error = provider.destroy(cluster).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    vendor.finish();
    let error = provider.kubeconfig(cluster).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_key_that_may_only_read_reads_the_inventory_and_nothing_more() {
    let rig = Rig::start().await;
    rig.vendor().set_feature("read-only-key", true);
    let provider = rig.provider(|_| {});
    let rows = listing(&provider).await.clusters;
    let row = rows
        .iter()
        .find(|row| row.cluster.status.state == State::Running);
    let cluster = &row.unwrap().locator;
    let forbidden = ErrorKind::Call(FailureKind::Forbidden);
    for error in [
        provider.kubeconfig(cluster).await.unwrap_err(),
        provider.destroy(cluster).await.unwrap_err(),
        provider.create(&rig.lks("x")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, forbidden);
        assert!(error.public.is_some() && !error.may_have_happened());
    }
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_sent_once_and_found_by_reading() {
    let rig = Rig::start().await;
    for (at, (fault, late, is_made)) in [
        (Fault::Http500, false, false),
        (Fault::Http500, true, true),
        (Fault::Reset, false, false),
        (Fault::Reset, true, true),
        (Fault::Hang, true, true),
        (Fault::ResetBody, false, true),
        (Fault::TruncatedJson, false, true),
        (Fault::WrongTypes, false, true),
        (Fault::NullData, false, true),
        (Fault::Html200, true, true),
        (Fault::EmptyBody, false, true),
    ]
    .into_iter()
    .enumerate()
    {
        let provider = rig.provider(|config| {
            config.stack.attempt_timeout = Duration::from_millis(500);
        });
        let wanted = rig.lks(&format!("lost-{at}"));
        rig.vendor().reset_stats();
        rig.break_calls("create", fault, late);
        let error = provider.create(&wanted).await.unwrap_err();
        rig.vendor().set_fault(None);
        assert!(error.may_have_happened(), "{fault}: {error:?}");
        assert_eq!(rig.writes(), 1, "{fault}");
        let found = provider.find_created(&wanted).await.unwrap();
        assert_eq!(found.is_some(), is_made, "{fault}");
    }
}

#[tokio::test]
async fn a_lost_answer_to_another_write_is_no_second_write() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    let made = provider.create(&rig.lks("lost")).await.unwrap();
    let cluster = made.cluster.unwrap().locator;
    rig.vendor().finish();
    rig.vendor().reset_stats();
    rig.break_calls("update", Fault::Reset, true);
    let upgrade = patch(json!({"version": "1.36.1"}));
    let error = rig.provider(|_| {}).update(&cluster, &upgrade).await;
    assert!(error.unwrap_err().may_have_happened());
    rig.break_calls("destroy", Fault::Http500, true);
    rig.vendor().finish();
    let error = rig.provider(|_| {}).destroy(&cluster).await;
    assert!(error.unwrap_err().may_have_happened());
    assert_eq!(rig.writes(), 2);
    rig.vendor().set_fault(None);
    rig.vendor().finish();
    let error = provider.describe(&cluster).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_broken_kubeconfig_is_an_error_that_shows_nothing_of_it() {
    let rig = Rig::start().await;
    let rows = listing(&rig.provider(|_| {})).await.clusters;
    let row = rows
        .iter()
        .find(|row| row.cluster.status.state == State::Running);
    let cluster = &row.unwrap().locator;
    for fault in [
        Fault::TruncatedJson,
        Fault::WrongTypes,
        Fault::NullData,
        Fault::Html200,
        Fault::WrongContentType,
        Fault::CloseEarly,
    ] {
        let provider = rig.provider(|config| config.stack.max_attempts = 1);
        rig.break_calls("kubeconfig", fault, false);
        let error = provider.kubeconfig(cluster).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        // The second is the first as its base 64.
        for canary in ["SECRET-CANARY", "U0VDUkVULUNBTkFS"] {
            assert!(!shown.contains(canary), "{fault}: {shown}");
        }
    }
}
