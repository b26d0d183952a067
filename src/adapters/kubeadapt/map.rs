//! From Kubeadapt's objects to the domain. Pure; every quirk of the vendor's fields ends here.

use rust_decimal::Decimal;

use super::{KIND, wire};
use crate::domain::{
    Accelerator, Agent, Capacity, Cluster, Cost, CostOrigin, Health, Money, Node, NodeCounts,
    NodeRole, NodeState, OrchestratorType, SourceName, State, Utilization, Vantage, Version, count,
    finite, percent,
};
use crate::provider::read::{id, text, texts, time};
use crate::provider::{Described, Warnings};

/// Maps a cluster.
pub(super) fn cluster(
    source: &SourceName,
    id: String,
    wire: wire::Cluster,
    warnings: &mut Warnings,
) -> Cluster {
    let w = warnings;
    let metadata = wire.metadata.take("metadata", w).unwrap_or_default();
    let name = text(metadata.name, "metadata.name", w).unwrap_or_else(|| id.clone());
    let mut cluster = Cluster::new(source, KIND, id, name, Vantage::Observes);

    cluster.status.native = text(metadata.status, "metadata.status", w);
    cluster.status.state = state(cluster.status.native.as_deref());
    cluster.contact_lost = metadata
        .is_stale
        .take("metadata.is_stale", w)
        .unwrap_or(false);

    cluster.orchestrator.kind = OrchestratorType::Kubernetes;
    cluster.orchestrator.native_version = text(metadata.k8s_version, "metadata.k8s_version", w);
    let version = cluster
        .orchestrator
        .native_version
        .as_deref()
        .and_then(Version::parse);
    if version.is_none() && cluster.orchestrator.native_version.is_some() {
        w.count("metadata.k8s_version");
    }
    cluster.orchestrator.distribution = lower(text(metadata.service, "metadata.service", w))
        .or_else(|| version.as_ref()?.distribution().map(str::to_owned));
    cluster.orchestrator.version = version.map(|version| version.normalized());

    cluster.location.cloud = lower(text(metadata.provider, "metadata.provider", w));
    cluster.location.region = text(metadata.region, "metadata.region", w);
    cluster.location.regions = cluster.location.region.iter().cloned().collect();
    cluster.location.zones = texts(
        metadata.availability_zones,
        "metadata.availability_zones",
        w,
    );
    cluster.environment = lower(text(metadata.environment, "metadata.environment", w));

    cluster.created_at = time(metadata.created_at, "metadata.created_at", w);
    cluster.observed_at = time(metadata.last_seen_at, "metadata.last_seen_at", w);
    let agent = Agent {
        status: None,
        version: text(metadata.agent_version, "metadata.agent_version", w),
        last_seen_at: cluster.observed_at,
    };
    cluster.agent = (agent != Agent::default()).then_some(agent);

    if let Some(capacity) = wire.capacity.take("capacity", w) {
        fill_capacity(&mut cluster, capacity, w);
    }
    if let Some(utilization) = wire.utilization.take("utilization", w) {
        fill_utilization(&mut cluster, utilization, w);
    }
    cluster.cost = wire.cost.take("cost", w).and_then(|it| cost(it, w));
    cluster
}

/// The state; staleness is independent of it at this vendor and stays so here.
fn state(native: Option<&str>) -> State {
    match native.map(str::to_lowercase).as_deref() {
        Some("pending" | "discovered") => State::Pending,
        Some("active") => State::Running,
        Some("error") => State::Degraded,
        Some("disconnected") => State::Unreachable,
        Some(_) | None => State::Unknown,
    }
}

fn fill_capacity(cluster: &mut Cluster, wire: wire::Capacity, w: &mut Warnings) {
    let cpu = wire.cpu.take("capacity.cpu", w).unwrap_or_default();
    let memory = wire.memory.take("capacity.memory", w).unwrap_or_default();
    let storage = wire.storage.take("capacity.storage", w).unwrap_or_default();
    let pods = wire.pods.take("capacity.pods", w).unwrap_or_default();
    let cores = "capacity.cpu.total_cores";
    let allocatable_cores = "capacity.cpu.allocatable_cores";
    let allocatable_bytes = "capacity.memory.allocatable_bytes";
    let capacity = Capacity {
        cpu_cores: cpu.total_cores.and_then(cores, w, finite),
        cpu_allocatable_cores: cpu.allocatable_cores.and_then(allocatable_cores, w, finite),
        memory_bytes: memory
            .total_bytes
            .and_then("capacity.memory.total_bytes", w, count),
        memory_allocatable_bytes: memory
            .allocatable_bytes
            .and_then(allocatable_bytes, w, count),
        storage_bytes: storage
            .total_bytes
            .and_then("capacity.storage.total_bytes", w, count),
        pods: pods
            .allocatable
            .and_then("capacity.pods.allocatable", w, count),
    };
    cluster.capacity = (capacity != Capacity::default()).then_some(capacity);
    cluster.accelerators = wire
        .gpu
        .take("capacity.gpu", w)
        .and_then(|gpu| accelerators(gpu, w));
}

/// Accelerators: a total of zero says that there are none, an absent total says nothing.
fn accelerators(gpu: wire::Gpu, w: &mut Warnings) -> Option<Vec<Accelerator>> {
    let total = gpu.total.and_then("capacity.gpu.total", w, count);
    let allocatable = gpu
        .allocatable
        .and_then("capacity.gpu.allocatable", w, count);
    let model = text(gpu.model, "capacity.gpu.model", w).unwrap_or_default();
    match total? {
        0 => Some(Vec::new()),
        total => Some(vec![Accelerator::from_native(
            &model,
            Some(total),
            allocatable,
        )]),
    }
}

fn fill_utilization(cluster: &mut Cluster, wire: wire::Utilization, w: &mut Warnings) {
    let cpu = wire.cpu.take("utilization.cpu", w).unwrap_or_default();
    let memory = wire
        .memory
        .take("utilization.memory", w)
        .unwrap_or_default();
    let gpu = wire.gpu.take("utilization.gpu", w).unwrap_or_default();
    let counts = wire
        .counts
        .take("utilization.counts", w)
        .unwrap_or_default();
    // The vendor sends zeros where there is no accelerator; a share of nothing is no figure.
    let has_gpu = cluster
        .accelerators
        .as_ref()
        .is_none_or(|all| !all.is_empty());
    let cpu_percent = "utilization.cpu.utilization_percent";
    let cpu_requested = "utilization.cpu.requested_cores";
    let memory_percent = "utilization.memory.utilization_percent";
    let memory_requested = "utilization.memory.requested_bytes";
    let gpu_percent = "utilization.gpu.utilization_percent";
    let gpu_used = "utilization.gpu.memory_used_bytes";
    let pods_running = counts.running_pods.as_ref().and_then(|pods| count(*pods));
    let utilization = Utilization {
        cpu_percent: cpu.utilization_percent.and_then(cpu_percent, w, percent),
        cpu_used_cores: cpu
            .used_cores
            .and_then("utilization.cpu.used_cores", w, finite),
        cpu_requested_cores: cpu.requested_cores.and_then(cpu_requested, w, finite),
        memory_percent: memory
            .utilization_percent
            .and_then(memory_percent, w, percent),
        memory_used_bytes: memory
            .used_bytes
            .and_then("utilization.memory.used_bytes", w, count),
        memory_requested_bytes: memory.requested_bytes.and_then(memory_requested, w, count),
        gpu_percent: gpu
            .utilization_percent
            .and_then(gpu_percent, w, percent)
            .filter(|_| has_gpu),
        gpu_memory_used_bytes: gpu
            .memory_used_bytes
            .and_then(gpu_used, w, count)
            .filter(|_| has_gpu),
        pods_running,
        restarts_total: wire
            .restarts_total
            .and_then("utilization.restarts_total", w, count),
        oom_kills_total: wire
            .oom_kills_total
            .and_then("utilization.oom_kills_total", w, count),
        as_of: None,
    };
    cluster.utilization = (utilization != Utilization::default()).then_some(utilization);
    fill_counts(cluster, counts, w);
}

fn fill_counts(cluster: &mut Cluster, counts: wire::Counts, w: &mut Warnings) {
    let counts = [
        ("nodes", "utilization.counts.nodes", counts.nodes),
        (
            "namespaces",
            "utilization.counts.namespaces",
            counts.namespaces,
        ),
        (
            "workloads",
            "utilization.counts.workloads",
            counts.workloads,
        ),
        (
            "deployments",
            "utilization.counts.deployments",
            counts.deployments,
        ),
        (
            "statefulsets",
            "utilization.counts.statefulsets",
            counts.statefulsets,
        ),
        (
            "daemonsets",
            "utilization.counts.daemonsets",
            counts.daemonsets,
        ),
        ("jobs", "utilization.counts.jobs", counts.jobs),
        ("cronjobs", "utilization.counts.cronjobs", counts.cronjobs),
        ("pods", "utilization.counts.pods", counts.pods),
        (
            "running_pods",
            "utilization.counts.running_pods",
            counts.running_pods,
        ),
        (
            "containers",
            "utilization.counts.containers",
            counts.containers,
        ),
        (
            "running_containers",
            "utilization.counts.running_containers",
            counts.running_containers,
        ),
        (
            "persistent_volumes",
            "utilization.counts.persistent_volumes",
            counts.persistent_volumes,
        ),
    ];
    for (key, field, value) in counts {
        if !value.is_absent() {
            let value = value.and_then(field, w, count);
            cluster.workload_counts.insert(key.to_owned(), value);
        }
    }
    let total = cluster.workload_counts.get("nodes").copied().flatten();
    cluster.nodes = total.is_some().then(|| NodeCounts {
        total,
        ..NodeCounts::default()
    });
}

fn cost(wire: wire::Cost, w: &mut Warnings) -> Option<Cost> {
    const FIELD: &str = "cost.current_run_rate_hourly";
    let as_of = time(wire.last_updated_at, "cost.last_updated_at", w);
    let hourly = wire.current_run_rate_hourly.and_then(FIELD, w, |it| {
        money(it.amount.as_ref()?, it.currency.as_ref()?)
    })?;
    Some(Cost {
        hourly,
        origin: CostOrigin::RunRate,
        as_of,
    })
}

/// Reads an amount exactly, or not at all.
pub(super) fn money(amount: &str, currency: &str) -> Option<Money> {
    let amount = Decimal::from_str_exact(amount.trim()).ok()?;
    let currency = currency.to_ascii_uppercase();
    let is_code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
    (is_code && !amount.is_sign_negative()).then_some(Money { amount, currency })
}

/// How well a cluster is, its nodes counted where every one of them says whether it is ready.
pub(super) fn health(described: Described) -> Health {
    let Described {
        mut cluster,
        nodes,
        warnings,
        ..
    } = described;
    let is_whole = !warnings.iter().any(|(field, _)| field == "nodes");
    if let Some(nodes) = nodes.filter(|_| is_whole)
        && nodes.iter().all(|node| node.ready.is_some())
    {
        let ready = nodes.iter().filter(|node| node.ready == Some(true));
        let counts = cluster.nodes.get_or_insert_default();
        counts.ready = Some(ready.count() as u64);
        counts.total = Some(nodes.len() as u64);
    }
    Health::derive(&cluster)
}

/// Maps a node; `None` for one without a usable id.
pub(super) fn node(wire: wire::Node, w: &mut Warnings) -> Option<Node> {
    let id = id(&wire.id)?.to_owned();
    let metadata = wire.metadata.take("nodes.metadata", w).unwrap_or_default();
    let ready = metadata.is_ready.take("nodes.metadata.is_ready", w);
    let schedulable = metadata
        .is_schedulable
        .take("nodes.metadata.is_schedulable", w);
    let gpu = wire
        .capacity
        .take("nodes.capacity", w)
        .and_then(|capacity| capacity.gpu.take("nodes.capacity.gpu", w));
    let labels = metadata
        .labels
        .take("nodes.metadata.labels", w)
        .unwrap_or_default();
    Some(Node {
        id,
        name: text(metadata.name, "nodes.metadata.name", w),
        role: role(text(metadata.node_role, "nodes.metadata.node_role", w)),
        state: node_state(ready, schedulable),
        ready,
        instance_type: text(metadata.instance_type, "nodes.metadata.instance_type", w),
        region: text(metadata.region, "nodes.metadata.region", w),
        zone: text(
            metadata.availability_zone,
            "nodes.metadata.availability_zone",
            w,
        ),
        architecture: text(metadata.architecture, "nodes.metadata.architecture", w),
        os: text(
            metadata.operating_system,
            "nodes.metadata.operating_system",
            w,
        ),
        accelerators: gpu.and_then(|gpu| accelerators(gpu, w)).unwrap_or_default(),
        cost: wire.cost.take("nodes.cost", w).and_then(|it| cost(it, w)),
        labels: labels
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.take("nodes.metadata.labels", w)?)))
            .collect(),
        created_at: time(metadata.created_at_k8s, "nodes.metadata.created_at_k8s", w),
        observed_at: time(metadata.last_seen_at, "nodes.metadata.last_seen_at", w),
        ..Node::default()
    })
}

fn role(native: Option<String>) -> NodeRole {
    match lower(native).as_deref() {
        Some("worker") => NodeRole::Worker,
        Some("master" | "control-plane" | "control_plane") => NodeRole::ControlPlane,
        Some(_) | None => NodeRole::Unknown,
    }
}

/// A node that is ready and takes no work was cordoned, which somebody did on purpose.
const fn node_state(ready: Option<bool>, schedulable: Option<bool>) -> NodeState {
    match (ready, schedulable) {
        (Some(true), Some(false)) => NodeState::Disabled,
        (Some(true), Some(true) | None) => NodeState::Ready,
        (Some(false), _) => NodeState::NotReady,
        (None, _) => NodeState::Unknown,
    }
}

fn lower(text: Option<String>) -> Option<String> {
    text.map(|text| text.to_lowercase())
}
