//! LakeSail's adapter against the simulated vendor: the life of a cluster, and what is refused of it.

mod lost;

use std::sync::Arc;
use std::time::Duration;

use clustergate::app::sources;
use clustergate::config::SourceConfig;
use clustergate::domain::{
    ClusterPatch, ClusterSpec, HealthOrigin, HealthStatus, OperationKind, OperationState, Period,
    State,
};
use clustergate::provider::{
    ErrorKind, Infrastructure, Limits, Listed, Listing, Locator, Provider, ProviderError, Written,
    walk,
};
use clustergate::sandbox::{Aim, Fault, Sandbox, Simulated, Vendor};
use clustergate::upstream::FailureKind;
use serde_json::json;

use crate::support::Plan;

/// A provider over a simulated vendor whose work moves by steps alone.
struct Rig {
    sandbox: Arc<Sandbox>,
    plan: Plan,
}

impl Rig {
    async fn start() -> Self {
        let plan = Plan {
            quirks: false,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        sandbox.vendor(Vendor::LakeSail).set_pace(None);
        Self { sandbox, plan }
    }

    fn vendor(&self) -> &Simulated {
        self.sandbox.vendor(Vendor::LakeSail)
    }

    /// A provider with a breaker of its own.
    fn provider(&self, configure: impl FnOnce(&mut SourceConfig)) -> Arc<dyn Provider> {
        let configs = self.plan.configs(&self.sandbox);
        let mut configs = configs.into_iter();
        let mut config = configs
            .find(|config| config.name.as_str() == "lakesail")
            .unwrap();
        configure(&mut config);
        sources(&[config]).unwrap().remove(0).provider
    }

    fn spec(&self, name: &str) -> ClusterSpec {
        let example = self.vendor().example(name).unwrap();
        serde_json::from_value(example.spec).unwrap()
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

fn patch(max: u32) -> ClusterPatch {
    serde_json::from_value(json!({"node_groups": [{"max_size": max}]})).unwrap()
}

async fn listing(provider: &Arc<dyn Provider>) -> Listing {
    walk(provider.as_ref(), Limits::default()).await.unwrap()
}

async fn state(provider: &Arc<dyn Provider>, locator: &Locator) -> State {
    let described = provider.describe(locator).await.unwrap();
    described.cluster.status.state
}

async fn created(provider: &Arc<dyn Provider>, spec: &ClusterSpec) -> Listed {
    provider.create(spec).await.unwrap().cluster.unwrap()
}

#[tokio::test]
async fn a_cluster_lives_from_its_record_to_its_end() {
    let rig = Rig::start().await;
    let (vendor, provider) = (rig.vendor(), rig.provider(|_| {}));
    let spec = rig.spec("lake-new");
    assert!(provider.find_created(&spec).await.unwrap().is_none());
    let made = created(&provider, &spec).await;
    let locator = &made.locator;
    assert_eq!(made.cluster.status.state, State::Pending);
    assert_eq!(provider.infrastructure(&made.cluster), Infrastructure::None);
    let network = made.cluster.network.as_ref().unwrap();
    assert_eq!(network.public_access_cidrs, ["203.0.113.0/24"]);
    let found = provider.find_created(&spec).await.unwrap().unwrap();
    assert_eq!(
        (&found.cluster.id, &found.locator),
        (&made.cluster.id, locator)
    );
    let listed = listing(&provider).await;
    let listed = listed
        .clusters
        .iter()
        .find(|listed| listed.cluster.id == made.cluster.id);
    assert_eq!(&listed.unwrap().locator, locator);
    assert!(provider.operations(locator).await.unwrap().is_empty());

    // A record is changed at once.
    let changed = provider.update(locator, &patch(4)).await.unwrap();
    assert!(!changed.is_pending && changed.operation.is_none());

    let begun = provider.provision(locator).await.unwrap();
    assert!(begun.is_pending);
    let work = begun.operation.unwrap();
    assert_eq!(
        (work.kind, work.state, work.done),
        (OperationKind::Provision, OperationState::Pending, false)
    );
    assert_eq!(state(&provider, locator).await, State::Provisioning);
    vendor.advance();
    let work = provider.operation(&work.native_id).await.unwrap();
    let progress = work.progress.as_ref().unwrap();
    assert_eq!(work.state, OperationState::Running);
    assert_eq!(
        (progress.counts.total, progress.counts.succeeded),
        (Some(6), Some(1))
    );
    assert_eq!(progress.resources[0].status.as_deref(), Some("succeeded"));
    vendor.finish();
    let work = provider.operation(&work.native_id).await.unwrap();
    assert!(work.done && work.completed_at.is_some());
    assert_eq!(work.state, OperationState::Succeeded);
    assert_eq!(state(&provider, locator).await, State::Running);

    let health = provider.health(locator).await.unwrap();
    assert_eq!(
        (health.origin, health.nodes.total),
        (HealthOrigin::Reported, Some(2))
    );
    assert_eq!(
        health.node_groups.unwrap()[0].name.as_deref(),
        Some("system")
    );
    let kubeconfig = provider.kubeconfig(locator).await.unwrap();
    assert!(
        kubeconfig
            .expose()
            .starts_with("apiVersion: v1\nkind: Config\n")
    );
    assert!(!format!("{kubeconfig:?}").contains("CANARY"));
    let metrics = provider
        .metrics(locator, "7d".parse().unwrap())
        .await
        .unwrap();
    assert_eq!((metrics.period.as_str(), metrics.series.len()), ("7d", 4));
    let cost = &metrics.series[2];
    assert!(cost.points.len() == 12 && cost.points.iter().all(|point| point.amount.is_some()));
    let span = cost.points[11].at.duration_since(cost.points[0].at);
    assert_eq!(span.as_hours(), 7 * 24 * 11 / 12);

    let changed = provider.update(locator, &patch(7)).await.unwrap();
    assert!(changed.is_pending);
    let update = changed.operation.unwrap();
    assert_eq!(update.kind, OperationKind::Update);
    let operations = provider.operations(locator).await.unwrap();
    let ids: Vec<&str> = operations
        .iter()
        .map(|work| work.native_id.as_str())
        .collect();
    assert_eq!(ids, [update.native_id.as_str(), work.native_id.as_str()]);
    vendor.finish();

    let begun = provider.destroy(locator).await.unwrap();
    assert_eq!(begun.operation.unwrap().kind, OperationKind::Destroy);
    assert_eq!(state(&provider, locator).await, State::Deleting);
    vendor.finish();
    let destroyed = provider.describe(locator).await.unwrap().cluster;
    assert_eq!(provider.infrastructure(&destroyed), Infrastructure::None);
    let gone: Written = provider.forget(locator).await.unwrap();
    assert!(!gone.is_pending && gone.operation.is_none());
    let error = provider.describe(locator).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(rig.writes(), 6);
}

#[tokio::test]
async fn work_that_fails_says_why_and_leaves_what_it_built() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    rig.vendor().set_feature("failing-work", true);
    let made = created(&provider, &rig.spec("lake-new")).await;
    let begun = provider.provision(&made.locator).await.unwrap();
    rig.vendor().finish();
    let work = provider
        .operation(&begun.operation.unwrap().native_id)
        .await
        .unwrap();
    assert_eq!((work.state, work.done), (OperationState::Failed, true));
    let error = work.error.unwrap();
    assert_eq!(error.code.as_deref(), Some("quota_exceeded"));
    assert_eq!(
        (error.retryable, error.retry_after_seconds),
        (Some(true), Some(30.0))
    );
    assert_eq!(error.fields.len(), 1);
    let cluster = provider.describe(&made.locator).await.unwrap().cluster;
    assert_eq!(cluster.status.state, State::Failed);
    assert_eq!(provider.infrastructure(&cluster), Infrastructure::Possible);
    let error = provider.forget(&made.locator).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(provider.destroy(&made.locator).await.unwrap().is_pending);
}

#[tokio::test]
async fn what_the_state_does_not_allow_is_a_conflict_that_says_why() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    let made = created(&provider, &rig.spec("lake-new")).await;
    let locator = &made.locator;
    let told = |outcome: Result<Written, ProviderError>| {
        let error = outcome.unwrap_err();
        assert_eq!(
            (error.kind, error.may_have_happened()),
            (ErrorKind::Conflict, false)
        );
        error.public.unwrap_or_default()
    };
    assert!(told(provider.destroy(locator).await).contains("active or failed"));
    assert_eq!(
        provider.kubeconfig(locator).await.unwrap_err().kind,
        ErrorKind::Conflict
    );
    provider.provision(locator).await.unwrap();
    assert!(told(provider.provision(locator).await).contains("pending"));
    assert_eq!(told(provider.update(locator, &patch(8)).await), "");
    rig.vendor().finish();
    assert!(told(provider.forget(locator).await).contains("destroyed"));
}

#[tokio::test]
async fn what_cannot_be_meant_is_told_and_nothing_is_made() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    let mut spec = rig.spec("lake-new");
    spec.version = None;
    spec.options.insert("zone".to_owned(), json!("a"));
    let error = provider.create(&spec).await.unwrap_err();
    let fields: Vec<&str> = error
        .mistakes
        .iter()
        .map(|mistake| mistake.field.as_str())
        .collect();
    assert_eq!(
        (error.kind, fields),
        (ErrorKind::InvalidValues, vec!["version", "options.zone"])
    );
    assert_eq!(rig.writes(), 0);

    let mut spec = rig.spec("lake-new");
    spec.options
        .insert("connection_id".to_owned(), json!("CN0"));
    let error = provider.create(&spec).await.unwrap_err();
    assert_eq!(error.mistakes[0].field, "options.connection_id");
    assert!(!error.may_have_happened());

    let mut spec = rig.spec("lake-new");
    spec.options.insert("network_id".to_owned(), json!("NW0"));
    let error = provider.create(&spec).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Call(FailureKind::Rejected));
    assert_eq!(rig.vendor().len(), rig.plan.clusters);

    let made = created(&provider, &rig.spec("lake-new")).await;
    let wrong: ClusterPatch =
        serde_json::from_value(json!({"node_groups": [{"desired_size": 99}]})).unwrap();
    rig.vendor().reset_stats();
    let error = provider.update(&made.locator, &wrong).await.unwrap_err();
    assert_eq!(error.mistakes[0].field, "node_groups[0].desired_size");
    let nobody = Locator::new("infra/CN0/EX0");
    let error = provider.update(&nobody, &patch(3)).await.unwrap_err();
    assert_eq!((error.kind, rig.writes()), (ErrorKind::NotFound, 0));
}

#[tokio::test]
async fn a_self_registered_cluster_can_only_be_looked_at() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    let listing = listing(&provider).await;
    let mut clusters = listing.clusters.iter();
    let own = clusters.find(|listed| {
        let mut identifiers = listed.cluster.identifiers.iter();
        !identifiers.any(|identifier| identifier.kind == "external_cluster_id")
    });
    let own = &own.unwrap().locator;
    rig.vendor().reset_stats();
    let errors = [
        provider.health(own).await.err(),
        provider.kubeconfig(own).await.err(),
        provider.metrics(own, Period::HOUR).await.err(),
        provider.update(own, &patch(3)).await.err(),
        provider.provision(own).await.err(),
        provider.destroy(own).await.err(),
        provider.forget(own).await.err(),
    ];
    for error in errors {
        assert_eq!(error.unwrap().kind, ErrorKind::NotSupported);
    }
    assert!(provider.operations(own).await.unwrap().is_empty());
    assert_eq!(rig.vendor().stats().secret_calls, 0);
}

#[tokio::test]
async fn a_cluster_that_only_a_team_sees_is_written_by_its_place() {
    let rig = Rig::start().await;
    let provider = rig.provider(|config| {
        let settings = toml::from_str("listings = [\"me\"]").unwrap();
        config.settings = settings;
    });
    let made = created(&provider, &rig.spec("lake-new")).await;
    let listing = listing(&provider).await;
    let mut clusters = listing.clusters.iter();
    let listed = clusters.find(|listed| listed.cluster.id == made.cluster.id);
    let mine = &listed.unwrap().locator;
    assert!(mine.as_str().starts_with("me/"));
    let begun = provider.provision(mine).await.unwrap();
    rig.vendor().finish();
    assert_eq!(state(&provider, mine).await, State::Running);
    assert_eq!(provider.health(mine).await.unwrap().nodes.total, Some(2));
    let operations = provider.operations(mine).await.unwrap();
    assert_eq!(operations[0].native_id, begun.operation.unwrap().native_id);
    provider.destroy(mine).await.unwrap();
    rig.vendor().finish();
    provider.forget(mine).await.unwrap();
    assert_eq!(rig.vendor().len(), rig.plan.clusters);
}

#[tokio::test]
async fn of_clusters_of_one_name_the_newest_was_made() {
    let rig = Rig::start().await;
    let provider = rig.provider(|config| {
        config.settings.insert("page_size".to_owned(), 3.into());
    });
    let spec = rig.spec("lake-new");
    created(&provider, &spec).await;
    for _ in 0..5 {
        rig.vendor().add();
    }
    let second = created(&provider, &spec).await;
    let found = provider.find_created(&spec).await.unwrap().unwrap();
    assert_eq!(found.cluster.id, second.cluster.id);
    for fault in [
        Fault::SamePage,
        Fault::CursorLoop,
        Fault::MissingCursor,
        Fault::BadRow,
    ] {
        rig.break_calls("connection-list", fault, false);
        let sought = rig.spec("lake-unknown");
        assert!(provider.find_created(&sought).await.is_err(), "{fault}");
    }
}

#[tokio::test]
async fn health_that_the_vendor_does_not_tell_follows_from_the_detail() {
    let rig = Rig::start().await;
    let provider = rig.provider(|_| {});
    let made = created(&provider, &rig.spec("lake-new")).await;
    rig.break_calls("health", Fault::Http404, false);
    let health = provider.health(&made.locator).await.unwrap();
    assert_eq!(
        (health.origin, health.status),
        (HealthOrigin::Derived, HealthStatus::Unknown)
    );
    let error = provider
        .health(&Locator::new("infra/CN0/EX0"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    for fault in [Fault::Http503, Fault::EmptyBody] {
        rig.break_calls("health", fault, false);
        assert!(provider.health(&made.locator).await.is_err(), "{fault}");
    }
}
