//! What is read of one of Kubeadapt's clusters besides its detail, against the simulated vendor: by which calls, and what
//! their failures mean.

use std::sync::Arc;

use clustergate::app::sources;
use clustergate::domain::{HealthOrigin, HealthStatus};
use clustergate::provider::{ErrorKind, Limits, Locator, Provider, walk};
use clustergate::sandbox::{Aim, Fault, Sandbox, Simulated, Vendor};
use clustergate::upstream::FailureKind;

use crate::support::Plan;

struct Rig {
    sandbox: Arc<Sandbox>,
    provider: Arc<dyn Provider>,
}

impl Rig {
    async fn start() -> Self {
        let plan = Plan {
            quirks: false,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let configs = plan.configs(&sandbox).into_iter();
        let ours: Vec<_> = configs
            .filter(|config| config.name.as_str() == "kubeadapt")
            .map(|mut config| {
                config.stack.max_attempts = 1;
                config
            })
            .collect();
        let provider = sources(&ours).unwrap().remove(0).provider;
        Self { sandbox, provider }
    }

    fn vendor(&self) -> &Simulated {
        self.sandbox.vendor(Vendor::Kubeadapt)
    }

    /// Kinds of calls since this was last asked.
    fn calls(&self) -> Vec<(&'static str, u64)> {
        let calls = self.vendor().stats().by_kind.into_iter().collect();
        self.vendor().reset_stats();
        calls
    }

    fn clusters(&self) -> Vec<Locator> {
        let truth = self.vendor().truth().into_iter();
        truth.map(|truth| Locator::new(truth.id)).collect()
    }
}

#[tokio::test]
async fn nodes_are_read_without_the_cluster_and_a_trend_by_one_call() {
    let rig = Rig::start().await;
    let (provider, cluster) = (&rig.provider, &rig.clusters()[0]);
    assert!(!provider.nodes(cluster).await.unwrap().is_empty());
    assert_eq!(rig.calls(), [("cluster-nodes", 1)]);
    for (period, points) in [("1h", 1..=2), ("24h", 24..=25), ("30d", 30..=31)] {
        let metrics = provider.metrics(cluster, period.parse().unwrap()).await;
        let metrics = metrics.unwrap();
        assert_eq!((metrics.period.as_str(), metrics.series.len()), (period, 1));
        let series = &metrics.series[0];
        assert_eq!(series.unit.as_deref(), Some("USD/month"));
        assert!(points.contains(&series.points.len()), "{period}");
        for pair in series.points.windows(2) {
            assert!(pair[0].at < pair[1].at);
        }
        for point in &series.points {
            assert!(point.amount.is_some() && point.value.is_some());
        }
        assert_eq!(rig.calls(), [("cost-trend", 1)]);
    }
}

#[tokio::test]
async fn health_is_what_the_nodes_say() {
    let rig = Rig::start().await;
    let listing = walk(rig.provider.as_ref(), Limits::default()).await;
    let mut seen = Vec::new();
    for listed in listing.unwrap().clusters {
        let health = rig.provider.health(&listed.locator).await.unwrap();
        let nodes = rig.provider.nodes(&listed.locator).await.unwrap();
        assert_eq!(health.origin, HealthOrigin::Derived);
        assert_eq!(health.nodes.total, Some(nodes.len() as u64));
        let ready = nodes.iter().filter(|node| node.ready == Some(true));
        assert_eq!(health.nodes.ready, Some(ready.count() as u64));
        if listed.cluster.contact_lost {
            assert_ne!(health.status, HealthStatus::Healthy);
        }
        seen.push(health.status);
    }
    assert!(seen.contains(&HealthStatus::Healthy));
    assert!(seen.contains(&HealthStatus::Degraded));
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_never_nothing() {
    let rig = Rig::start().await;
    let (provider, cluster) = (&rig.provider, &rig.clusters()[0]);
    let gone = Locator::new("00000000-0000-4000-a000-000000000000");
    let day = "24h".parse().unwrap();
    let not_found = |kind| assert_eq!(kind, ErrorKind::NotFound);
    not_found(provider.nodes(&gone).await.unwrap_err().kind);
    not_found(provider.health(&gone).await.unwrap_err().kind);
    not_found(provider.metrics(&gone, day).await.unwrap_err().kind);

    rig.vendor().set_fault_aim(Aim {
        kinds: vec!["cluster-nodes".to_owned(), "cost-trend".to_owned()],
        ..Aim::default()
    });
    rig.vendor().set_fault(Some(Fault::Http403));
    let forbidden = ErrorKind::Call(FailureKind::Forbidden);
    assert_eq!(provider.nodes(cluster).await.unwrap_err().kind, forbidden);
    let error = provider.metrics(cluster, day).await.unwrap_err();
    assert_eq!(error.kind, forbidden);
    // Without its nodes a cluster is still as well as its state.
    assert_eq!(provider.health(cluster).await.unwrap().nodes.ready, None);
    rig.vendor().set_fault(None);

    rig.vendor().set_feature("cost-trend", false);
    let error = provider.metrics(cluster, day).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Call(FailureKind::NotFound));
}
