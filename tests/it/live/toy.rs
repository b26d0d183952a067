//! A vendor in the test's own hands: clusters in a map, and answers that get lost on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use clustergate::domain::{
    Cluster, ClusterMetrics, ClusterPatch, ClusterSpec, Health, Kind, Node, Operation,
    OperationKind, OperationState, Period, SourceName, State, Vantage,
};
use clustergate::provider::{
    Asked, Capabilities, Capability, Described, ErrorKind, Infrastructure, Listed, Locator,
    Mistake, Page, PageCursor, Provider, ProviderError, Warnings, Written,
};
use clustergate::upstream::{FailureKind, UpstreamError};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use tokio::sync::Notify;

/// What becomes of the next calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Every call fails.
    Down,
    /// The next write is carried out, and its answer is lost.
    AnswerLost,
    /// The next write is lost on its way.
    RequestLost,
    /// The next write is refused.
    Refused(ErrorKind),
}

#[derive(Default)]
struct World {
    clusters: BTreeMap<String, (String, State, String)>,
    operations: Vec<(String, Operation)>,
    trouble: Option<Trouble>,
    lists: usize,
    writes: usize,
    waiting: usize,
    reads: usize,
}

/// The vendor.
pub(crate) struct Toy {
    world: Mutex<World>,
    capabilities: &'static Capabilities,
    /// While set, writes wait at the vendor until they are let go.
    gate: Option<Arc<Notify>>,
}

static ALL: Capabilities = Capabilities {
    vantage: Vantage::Hosts,
    operations: &Capability::ALL,
    reports: &["name", "status"],
    detail_only: &[],
};

/// Only reads, and few of them.
pub(crate) static LIST_ONLY: Capabilities = Capabilities {
    vantage: Vantage::Observes,
    operations: &[Capability::List],
    reports: &["name", "status"],
    detail_only: &[],
};

pub(crate) fn source() -> SourceName {
    SourceName::new("toy").unwrap()
}

const KIND: Kind = Kind::new("toy");

impl Toy {
    /// A vendor with clusters, by id and state; each has its id for a name.
    pub(crate) fn new(clusters: &[(&str, State)]) -> Self {
        let one = |(id, state): &(&str, State)| {
            let id = (*id).to_owned();
            (id.clone(), (id, *state, "1.34.1".to_owned()))
        };
        Self {
            world: Mutex::new(World {
                clusters: clusters.iter().map(one).collect(),
                ..World::default()
            }),
            capabilities: &ALL,
            gate: None,
        }
    }

    pub(crate) fn with(self, capabilities: &'static Capabilities) -> Self {
        Self {
            capabilities,
            ..self
        }
    }

    pub(crate) fn gated(self, gate: &Arc<Notify>) -> Self {
        Self {
            gate: Some(Arc::clone(gate)),
            ..self
        }
    }

    pub(crate) fn make(&self, trouble: Option<Trouble>) {
        self.world.lock().unwrap().trouble = trouble;
    }

    pub(crate) fn put(&self, id: &str, state: State) {
        let mut world = self.world.lock().unwrap();
        let cluster = world.clusters.entry(id.to_owned());
        cluster
            .or_insert((id.to_owned(), state, "1.34.1".to_owned()))
            .1 = state;
    }

    pub(crate) fn remove(&self, id: &str) {
        self.world.lock().unwrap().clusters.remove(id);
    }

    pub(crate) fn finish(&self, id: &str, state: State) {
        self.put(id, state);
        let mut world = self.world.lock().unwrap();
        for (cluster, operation) in &mut world.operations {
            if cluster == id {
                operation.done = true;
                operation.state = OperationState::Succeeded;
                operation.completed_at = Some(Timestamp::now());
            }
        }
    }

    pub(crate) fn lists(&self) -> usize {
        self.world.lock().unwrap().lists
    }

    /// Writes that reached the vendor, whatever became of their answers.
    pub(crate) fn writes(&self) -> usize {
        self.world.lock().unwrap().writes
    }

    /// Writes that waited at the gate.
    pub(crate) fn waiting(&self) -> usize {
        self.world.lock().unwrap().waiting
    }

    pub(crate) fn reads(&self) -> usize {
        self.world.lock().unwrap().reads
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&World) -> Result<T, ProviderError>,
    ) -> Asked<'static, T> {
        let mut world = self.world.lock().unwrap();
        world.reads += 1;
        let result = if world.trouble == Some(Trouble::Down) {
            Err(lost())
        } else {
            read(&world)
        };
        std::future::ready(result).boxed()
    }

    fn write<'a>(
        &'a self,
        write: impl FnOnce(&mut World) -> Result<Written, ProviderError> + Send + 'a,
    ) -> Asked<'a, Written> {
        async move {
            if let Some(gate) = &self.gate {
                self.world.lock().unwrap().waiting += 1;
                gate.notified().await;
            }
            let mut world = self.world.lock().unwrap();
            let trouble = world.trouble;
            if trouble != Some(Trouble::Down) {
                world.trouble = None;
            }
            match trouble {
                None => {
                    world.writes += 1;
                    write(&mut world)
                }
                Some(Trouble::AnswerLost) => {
                    world.writes += 1;
                    write(&mut world)?;
                    Err(lost())
                }
                Some(Trouble::Down | Trouble::RequestLost) => Err(lost()),
                Some(Trouble::Refused(kind)) => {
                    let mut error = match kind {
                        ErrorKind::Call(call) => {
                            ProviderError::call("write", UpstreamError::new(call))
                        }
                        kind => ProviderError::new(kind, "write"),
                    };
                    error.mistakes.push(Mistake {
                        field: "options.size".to_owned(),
                        reason: "is not offered".to_owned(),
                    });
                    Err(error.with_public("the vendor's documented reason"))
                }
            }
        }
        .boxed()
    }
}

fn lost() -> ProviderError {
    let error = UpstreamError::new(FailureKind::Timeout).with_text("secret words of the vendor");
    ProviderError::call("toy", error)
}

fn missing() -> ProviderError {
    ProviderError::new(ErrorKind::NotFound, "toy")
}

impl World {
    fn cluster(&self, id: &str) -> Result<Cluster, ProviderError> {
        let (name, state, version) = self.clusters.get(id).ok_or_else(missing)?;
        let mut cluster = Cluster::new(&source(), KIND, id, name, Vantage::Hosts);
        cluster.status.state = *state;
        cluster.orchestrator.version = Some(version.clone());
        Ok(cluster)
    }

    fn listed(&self, id: &str) -> Result<Listed, ProviderError> {
        Ok(Listed {
            cluster: self.cluster(id)?,
            locator: Locator::new(id),
            raw: None,
            nodes: None,
        })
    }

    /// Begins work on a cluster.
    fn begin(
        &mut self,
        id: &str,
        kind: OperationKind,
        state: State,
    ) -> Result<Written, ProviderError> {
        self.clusters.get_mut(id).ok_or_else(missing)?.1 = state;
        let operation = Operation {
            native_id: format!("op-{}", self.operations.len() + 1),
            kind,
            state: OperationState::Running,
            created_at: Some(Timestamp::now()),
            ..Operation::default()
        };
        self.operations
            .insert(0, (id.to_owned(), operation.clone()));
        Ok(Written {
            cluster: None,
            operation: Some(operation),
            is_pending: true,
        })
    }
}

impl Provider for Toy {
    fn kind(&self) -> Kind {
        KIND
    }

    fn capabilities(&self) -> &'static Capabilities {
        self.capabilities
    }

    fn list_page<'a>(&'a self, _: Option<&'a PageCursor>) -> Asked<'a, Page> {
        let mut world = self.world.lock().unwrap();
        world.lists += 1;
        let ids: Vec<&String> = world.clusters.keys().collect();
        let clusters: Result<_, _> = ids.into_iter().map(|id| world.listed(id)).collect();
        let page = clusters.map(|clusters| Page {
            clusters,
            ..Page::default()
        });
        std::future::ready(page).boxed()
    }

    fn describe<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Described> {
        self.read(|world| {
            Ok(Described {
                cluster: world.cluster(cluster.as_str())?,
                nodes: Some(vec![node("described")]),
                raw: None,
                warnings: Warnings::default(),
            })
        })
    }

    fn nodes<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Vec<Node>> {
        self.read(|world| {
            world.cluster(cluster.as_str())?;
            Ok(vec![node("n1"), node("n2")])
        })
    }

    fn health<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Health> {
        self.read(|world| {
            let mut health = Health::derive(&world.cluster(cluster.as_str())?);
            health.origin = clustergate::domain::HealthOrigin::Reported;
            Ok(health)
        })
    }

    fn metrics<'a>(&'a self, cluster: &'a Locator, period: Period) -> Asked<'a, ClusterMetrics> {
        self.read(|world| {
            world.cluster(cluster.as_str())?;
            if period.hours() > 24 * 7 {
                let mistake = Mistake {
                    field: "period".to_owned(),
                    reason: "is one of 1h, 24h, 7d".to_owned(),
                };
                return Err(ProviderError::invalid("metrics", vec![mistake]));
            }
            Ok(ClusterMetrics {
                period: period.to_string(),
                series: Vec::new(),
            })
        })
    }

    fn create<'a>(&'a self, spec: &'a ClusterSpec) -> Asked<'a, Written> {
        self.write(|world| {
            let id = format!("new-{}", world.clusters.len() + 1);
            let version = spec.version.clone().unwrap_or("1.34.1".to_owned());
            let cluster = (spec.name.clone(), State::Pending, version);
            world.clusters.insert(id.clone(), cluster);
            Ok(Written {
                cluster: Some(world.listed(&id)?),
                ..Written::default()
            })
        })
    }

    fn find_created<'a>(&'a self, spec: &'a ClusterSpec) -> Asked<'a, Option<Listed>> {
        self.read(|world| {
            let mut named = world.clusters.iter().rev();
            let found = named.find(|(_, (name, ..))| *name == spec.name);
            found.map(|(id, _)| world.listed(id)).transpose()
        })
    }

    fn update<'a>(&'a self, cluster: &'a Locator, patch: &'a ClusterPatch) -> Asked<'a, Written> {
        self.write(|world| {
            let known = world.clusters.get_mut(cluster.as_str());
            let (name, _, version) = known.ok_or_else(missing)?;
            if let Some(new) = &patch.name {
                name.clone_from(new);
            }
            if let Some(new) = &patch.version {
                version.clone_from(new);
            }
            Ok(Written {
                cluster: Some(world.listed(cluster.as_str())?),
                ..Written::default()
            })
        })
    }

    fn provision<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Written> {
        self.write(|world| {
            world.begin(
                cluster.as_str(),
                OperationKind::Provision,
                State::Provisioning,
            )
        })
    }

    fn destroy<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Written> {
        self.write(|world| world.begin(cluster.as_str(), OperationKind::Destroy, State::Deleting))
    }

    fn forget<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Written> {
        self.write(|world| {
            let gone = world.clusters.remove(cluster.as_str());
            gone.map(|_| Written::default()).ok_or_else(missing)
        })
    }

    fn infrastructure(&self, cluster: &Cluster) -> Infrastructure {
        match cluster.status.state {
            State::Pending | State::Deleted => Infrastructure::None,
            _ => Infrastructure::Possible,
        }
    }

    fn operation<'a>(&'a self, id: &'a str) -> Asked<'a, Operation> {
        self.read(|world| {
            let mut operations = world.operations.iter();
            let found = operations.find(|(_, operation)| operation.native_id == id);
            found
                .map(|(_, operation)| operation.clone())
                .ok_or_else(missing)
        })
    }

    fn operations<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Vec<Operation>> {
        self.read(|world| {
            let of = world
                .operations
                .iter()
                .filter(|(id, _)| id == cluster.as_str());
            Ok(of.map(|(_, operation)| operation.clone()).collect())
        })
    }
}

fn node(id: &str) -> Node {
    Node {
        id: id.to_owned(),
        ..Node::default()
    }
}
