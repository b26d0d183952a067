//! A made-up fleet behind scripted providers, so that what is measured is the gateway and not a vendor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clustergate::domain::{
    Accelerator, Agent, Capacity, Cluster, Cost, CostOrigin, Kind, Money, NodeCounts, Orchestrator,
    OrchestratorType, SourceName, State, Utilization, Vantage,
};
use clustergate::inventory::{Inventory, Schedule, Source};
use clustergate::provider::{
    Capabilities, Capability, Described, Limits, Listed, Locator, Page, PageCursor, Provider,
    ProviderError,
};
use clustergate::upstream::{Credential, Dialect, Scheme, Stack, StackSettings, TokenSource};
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use secrecy::SecretString;

const PAGE: usize = 500;
const REGIONS: [&str; 8] = [
    "us-east-1",
    "us-west-2",
    "eu-central-1",
    "eu-west-1",
    "ap-southeast-1",
    "ap-northeast-1",
    "ca-central-1",
    "sa-east-1",
];
const MODELS: [&str; 5] = [
    "H100_80GB",
    "H200_141GB",
    "A100_80GB",
    "L40S_48GB",
    "B200_180GB",
];

/// One source of a made-up fleet.
pub(crate) struct Scripted {
    name: SourceName,
    count: usize,
    /// One in so many clusters changes with each revision.
    every: usize,
    /// Rises with each change of the source.
    pub(crate) revision: Arc<AtomicU64>,
}

impl Scripted {
    fn listed(&self, number: usize) -> Listed {
        let revision = if number.is_multiple_of(self.every) {
            self.revision.load(Ordering::Relaxed)
        } else {
            0
        };
        let cluster = cluster(&self.name, number, revision);
        let raw = serde_json::json!({
            "id": cluster.native_id, "kind": "Cluster", "metadata": {"name": cluster.name, "provider": "aws", "service": "EKS",
            "region": cluster.location.region, "status": "active", "is_stale": false, "k8s_version": cluster.orchestrator.version,
            "created_at": "2026-03-01T08:00:00Z", "last_seen_at": "2026-06-02T06:10:11Z"}, "capacity": cluster.capacity,
            "utilization": cluster.utilization, "cost": cluster.cost,
        });
        Listed {
            locator: Locator::new(&cluster.native_id),
            cluster,
            raw: serde_json::value::to_raw_value(&raw).ok(),
            nodes: None,
        }
    }
}

impl Provider for Scripted {
    fn kind(&self) -> Kind {
        Kind::new("kubeadapt")
    }

    fn capabilities(&self) -> &'static Capabilities {
        &Capabilities {
            vantage: Vantage::Observes,
            operations: &[Capability::List],
            reports: &[],
            detail_only: &[],
        }
    }

    fn list_page<'a>(
        &'a self,
        cursor: Option<&'a PageCursor>,
    ) -> BoxFuture<'a, Result<Page, ProviderError>> {
        let from: usize = cursor.map_or(0, |cursor| cursor.as_str().parse().unwrap_or(0));
        let to = (from + PAGE).min(self.count);
        let page = Page {
            clusters: (from..to).map(|number| self.listed(number)).collect(),
            next: (to < self.count).then(|| PageCursor::new(to.to_string())),
            ..Page::default()
        };
        Box::pin(std::future::ready(Ok(page)))
    }

    fn describe<'a>(&'a self, _: &'a Locator) -> BoxFuture<'a, Result<Described, ProviderError>> {
        Box::pin(std::future::ready(Err(ProviderError::not_supported(
            "describe",
        ))))
    }
}

fn cluster(source: &SourceName, number: usize, revision: u64) -> Cluster {
    // A cheap scramble, so that neighbours differ in every field.
    let mixed = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (number as u64 >> 7);
    let pick = |shift: u32, of: u64| (mixed >> shift) % of;
    let native_id = format!("{mixed:016x}-{number:08}");
    let region = REGIONS[pick(3, 8) as usize];
    let name = format!(
        "{}-{region}-{:05}",
        ["prod", "staging", "dev", "edge"][pick(9, 4) as usize],
        pick(11, 100_000)
    );
    let mut cluster = Cluster::new(
        source,
        Kind::new("kubeadapt"),
        native_id,
        name,
        Vantage::Observes,
    );
    cluster.status.state = State::ALL[(pick(17, 3) + revision) as usize % 3 + 2];
    cluster.status.native = Some("active".into());
    cluster.orchestrator = Orchestrator {
        kind: OrchestratorType::Kubernetes,
        distribution: Some(["eks", "gke", "aks", "rke2"][pick(21, 4) as usize].into()),
        version: Some(format!("1.{}.{}", 28 + pick(23, 8), pick(27, 10))),
        native_version: Some(format!("v1.{}.{}", 28 + pick(23, 8), pick(27, 10))),
        ..Orchestrator::default()
    };
    cluster.location.cloud = Some(["aws", "gcp", "azure", "on-prem"][pick(31, 4) as usize].into());
    cluster.location.region = Some(region.into());
    cluster.location.regions = vec![region.into()];
    cluster.location.zones = vec![format!("{region}a"), format!("{region}b")];
    cluster.environment = Some(["production", "staging", "dev"][pick(35, 3) as usize].into());
    cluster.nodes = Some(NodeCounts {
        total: Some(pick(37, 200)),
        ..NodeCounts::default()
    });
    cluster.capacity = Some(Capacity {
        cpu_cores: Some(pick(37, 200) as f64 * 8.0),
        memory_bytes: Some(pick(37, 200) << 35),
        pods: Some(pick(37, 200) * 110),
        ..Capacity::default()
    });
    cluster.accelerators = Some(if pick(41, 4) == 0 {
        vec![Accelerator::from_native(
            MODELS[pick(43, 5) as usize],
            Some(8 * pick(45, 16)),
            None,
        )]
    } else {
        vec![]
    });
    cluster.utilization = Some(Utilization {
        cpu_percent: Some((pick(13, 1_000) + revision) as f64 / 10.0),
        memory_percent: Some(pick(19, 1_000) as f64 / 10.0),
        pods_running: Some(pick(25, 5_000)),
        ..Utilization::default()
    });
    cluster.workload_counts = ["deployments", "pods", "namespaces", "nodes"]
        .map(|key| (key.to_owned(), Some(pick(29, 500))))
        .into();
    let amount = Decimal::new((pick(33, 2_000_000) + revision) as i64, 4);
    cluster.cost = Some(Cost {
        hourly: Money {
            amount,
            currency: "USD".into(),
        },
        origin: CostOrigin::RunRate,
        as_of: None,
    });
    cluster.agent = Some(Agent {
        version: Some("1.18.2".into()),
        ..Agent::default()
    });
    cluster.labels = [("team".to_owned(), format!("team-{}", pick(39, 40)))].into();
    cluster.created_at =
        jiff::Timestamp::from_second(1_700_000_000 + pick(5, 60_000_000) as i64).ok();
    cluster.observed_at = jiff::Timestamp::from_second(1_790_000_000 + pick(7, 100) as i64).ok();
    cluster
}

/// What changes a source when it rises.
pub(crate) type Revision = (SourceName, Arc<AtomicU64>);

/// Five sources, of which one in so many clusters changes with each revision.
pub(crate) fn sources(clusters: usize, every: usize) -> (Vec<Source>, Vec<Revision>) {
    let mut revisions = Vec::new();
    let mut sources = Vec::new();
    for number in 0..5 {
        let name = SourceName::new(format!("source-{number}")).expect("the name is well-formed");
        let revision = Arc::new(AtomicU64::new(0));
        let scripted = Scripted {
            name: name.clone(),
            count: clusters / 5,
            every,
            revision: Arc::clone(&revision),
        };
        sources.push(Source {
            name: name.clone(),
            provider: Arc::new(scripted),
            stack: stack(),
            schedule: schedule(),
        });
        revisions.push((name, revision));
    }
    (sources, revisions)
}

/// Waits until every source was read.
pub(crate) async fn until_read(inventory: &Inventory) {
    let mut changes = inventory.subscribe();
    while inventory
        .current()
        .sources()
        .iter()
        .any(|source| source.fetched_at.is_none())
    {
        changes.changed().await.expect("the inventory is held here");
    }
}

fn schedule() -> Schedule {
    Schedule {
        refresh_interval: Duration::from_hours(24),
        refresh_deadline: Duration::from_mins(10),
        staleness_limit: Duration::from_hours(240),
        detail_interval: None,
        limits: Limits::default(),
        rate: None,
    }
}

fn stack() -> Stack {
    let settings = StackSettings::new(
        "http://127.0.0.1:9"
            .parse()
            .expect("the URL is well-formed"),
    );
    let credential = Credential {
        token: Arc::new(TokenSource::Value(SecretString::from("unused"))),
        scheme: Scheme::Bearer,
    };
    Stack::connect(settings, credential, Dialect::PLAIN).expect("loopback is allowed")
}
