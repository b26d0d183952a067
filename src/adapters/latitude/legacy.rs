//! A cluster of the legacy family, from the vendor's words to ours. The list is a summary: what it leaves out stays open.

use super::map::{attributes, begin};
use super::wire::{LegacyAttributes, LegacyNode, Resource};
use crate::domain::{
    self, Addresses, Cluster, Network, Node, NodeCounts, NodeRole, NodeState, Orchestrator,
    OrchestratorType, Project, SourceName, State, Status, Step, Upgrade, UpgradeStatus, Version,
};
use crate::provider::read::{flag, id, list, number, text, texts, time};
use crate::provider::{Described, Warnings, raw};

/// A cluster and its nodes.
pub(super) fn describe(
    source: &SourceName,
    native_id: &str,
    wire: &Resource<LegacyAttributes>,
) -> Described {
    let mut warnings = Warnings::default();
    let attributes = attributes(wire);
    let mut cluster = begin(source, native_id);
    fill(&mut cluster, &attributes, &mut warnings);
    Described {
        cluster,
        // Counting has already counted what of the list is unreadable.
        nodes: nodes(&attributes, &mut Warnings::default()),
        raw: raw(wire),
        warnings,
    }
}

/// Fills in what a summary or a detail says.
pub(super) fn fill(cluster: &mut Cluster, wire: &LegacyAttributes, w: &mut Warnings) {
    if let Some(name) = text(&wire.name, "name", w) {
        cluster.name = name;
    }
    cluster.status = status(wire, w);
    cluster.orchestrator = orchestrator(wire, w);
    cluster.location.cloud = Some("latitude".to_owned());
    cluster.location.region = text(&wire.location, "location", w);
    cluster.location.regions = cluster.location.region.iter().cloned().collect();
    cluster.nodes = counts(wire, w);
    cluster.owner.project = project(wire, w);
    cluster.steps = steps(wire, w);
    let load_balancer_ips = texts(&wire.load_balancer_ips, "load_balancer_ips", w);
    cluster.network = (!load_balancer_ips.is_empty()).then(|| Network {
        load_balancer_ips,
        ..Network::default()
    });
    cluster.created_at = time(&wire.created_at, "created_at", w);
}

fn status(wire: &LegacyAttributes, w: &mut Warnings) -> Status {
    let native = text(&wire.phase, "phase", w);
    let ready = flag(&wire.ready, "ready", w);
    let components = [
        text(&wire.control_plane_status, "control_plane_status", w),
        text(&wire.worker_status, "worker_status", w),
    ]
    .map(|word| word.unwrap_or_default().to_ascii_lowercase());
    let message = text(&wire.failure_message, "failure_message", w);
    Status {
        state: state(native.as_deref().unwrap_or_default(), ready, &components),
        native,
        ready,
        reason: text(&wire.failure_reason, "failure_reason", w),
        message: message.or_else(|| text(&wire.message, "message", w)),
        since: time(&wire.last_status_change, "last_status_change", w),
    }
}

/// The components refine a cluster that is up; they say `scaling` also while it is first built.
fn state(phase: &str, ready: Option<bool>, components: &[String; 2]) -> State {
    let any = |words: &[&str]| {
        components
            .iter()
            .any(|component| words.contains(&component.as_str()))
    };
    match phase.to_ascii_lowercase().as_str() {
        "pending" => State::Pending,
        "provisioning" => State::Provisioning,
        "provisioned" | "upgrading" if any(&["error"]) => State::Degraded,
        "upgrading" => State::Updating,
        "provisioned" if any(&["scaling", "upgrading"]) => State::Updating,
        "provisioned" if ready == Some(false) => State::Degraded,
        "provisioned" => State::Running,
        "deleting" => State::Deleting,
        "failed" => State::Failed,
        _ => State::Unknown,
    }
}

fn orchestrator(wire: &LegacyAttributes, w: &mut Warnings) -> Orchestrator {
    let native_version = text(&wire.kubernetes_version, "kubernetes_version", w);
    let version = native_version.as_deref().and_then(Version::parse);
    if native_version.is_some() && version.is_none() {
        w.count("kubernetes_version");
    }
    Orchestrator {
        kind: OrchestratorType::Kubernetes,
        distribution: version
            .as_ref()
            .and_then(Version::distribution)
            .map(str::to_owned),
        version: version.map(|version| version.normalized()),
        native_version,
        endpoint: text(&wire.control_plane_endpoint, "control_plane_endpoint", w),
        upgrade: upgrade(wire, w),
    }
}

fn upgrade(wire: &LegacyAttributes, w: &mut Warnings) -> Option<Upgrade> {
    let status = text(&wire.version_status, "version_status", w);
    let available = text(&wire.available_upgrade, "available_upgrade", w);
    if status.is_none() && available.is_none() {
        return None;
    }
    let status = match status.unwrap_or_default().to_ascii_lowercase().as_str() {
        "up_to_date" => UpgradeStatus::UpToDate,
        "upgrade_available" => UpgradeStatus::UpgradeAvailable,
        "unsupported" => UpgradeStatus::Unsupported,
        _ => UpgradeStatus::Unknown,
    };
    Some(Upgrade { status, available })
}

fn project(wire: &LegacyAttributes, w: &mut Warnings) -> Option<Project> {
    let project = wire.project.clone().take("project", w)?;
    let project = Project {
        id: text(&project.id, "project.id", w),
        name: text(&project.name, "project.name", w),
    };
    (project != Project::default()).then_some(project)
}

fn steps(wire: &LegacyAttributes, w: &mut Warnings) -> Vec<Step> {
    let mut steps = Vec::new();
    for step in list(&wire.steps, "steps", w).unwrap_or_default() {
        let name = text(&step.name, "steps.name", w);
        let status = text(&step.status, "steps.status", w);
        if let (Some(name), Some(status)) = (name, status) {
            steps.push(Step { name, status });
        }
    }
    steps
}

/// The counters where they are sent, else the nodes themselves, where every one of them is.
fn counts(wire: &LegacyAttributes, w: &mut Warnings) -> Option<NodeCounts> {
    let plane = wire.control_plane.clone().take("control_plane", w);
    let plane = plane.unwrap_or_default();
    let pool = wire.workers.clone().take("workers", w).unwrap_or_default();
    let control_plane = number(&plane.replicas, "control_plane.replicas", w)
        .or_else(|| number(&wire.control_plane_count, "control_plane_count", w));
    let workers = number(&pool.replicas, "workers.replicas", w)
        .or_else(|| number(&wire.worker_count, "worker_count", w));
    let plane_ready = number(&plane.ready_replicas, "control_plane.ready_replicas", w);
    let pool_ready = number(&pool.ready_replicas, "workers.ready_replicas", w)
        // Of no workers none is ready: the vendor sends no object for them then.
        .or_else(|| workers.filter(|workers| *workers == 0));
    let nodes = nodes(wire, w);
    let total =
        sum(control_plane, workers).or_else(|| nodes.as_ref().map(|nodes| nodes.len() as u64));
    let nodes = nodes.filter(|nodes| total == Some(nodes.len() as u64));
    let counted = |state: NodeState| {
        let nodes = nodes.as_ref()?.iter();
        Some(nodes.filter(|node| node.state == state).count() as u64)
    };
    let counts = NodeCounts {
        total,
        ready: sum(plane_ready, pool_ready).or_else(|| counted(NodeState::Ready)),
        failed: counted(NodeState::Failed),
        pending: counted(NodeState::Pending),
        disabled: None,
        control_plane,
        workers,
    };
    (counts != NodeCounts::default()).then_some(counts)
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    domain::count(i128::from(one?) + i128::from(other?))
}

fn nodes(wire: &LegacyAttributes, w: &mut Warnings) -> Option<Vec<Node>> {
    let plan = text(&wire.plan, "plan", w);
    let worker_plan = text(&wire.worker_plan, "worker_plan", w);
    let mut nodes = Vec::new();
    for node in list(&wire.nodes, "nodes", w)? {
        let role = match text(&node.r#type, "nodes.type", w).as_deref() {
            Some("control_plane") => NodeRole::ControlPlane,
            Some("worker") => NodeRole::Worker,
            _ => NodeRole::Unknown,
        };
        let instance_type = match role {
            NodeRole::ControlPlane => plan.clone(),
            NodeRole::Worker => worker_plan.clone(),
            NodeRole::Unknown => None,
        };
        if let Some(node) = self::node(&node, role, instance_type, w) {
            nodes.push(node);
        }
    }
    Some(nodes)
}

fn node(
    wire: &LegacyNode,
    role: NodeRole,
    instance_type: Option<String>,
    w: &mut Warnings,
) -> Option<Node> {
    let Some(node_id) = id(&wire.id).or_else(|| id(&wire.name)) else {
        w.count("nodes.id");
        return None;
    };
    let native_status = text(&wire.status, "nodes.status", w);
    let state = node_state(native_status.as_deref());
    Some(Node {
        id: node_id.to_owned(),
        name: text(&wire.name, "nodes.name", w),
        hostname: text(&wire.hostname, "nodes.hostname", w),
        role,
        state,
        ready: (state != NodeState::Unknown).then_some(state == NodeState::Ready),
        native_status,
        instance_type,
        addresses: Addresses {
            internal: text(&wire.internal_ip, "nodes.internal_ip", w),
            external: text(&wire.external_ip, "nodes.external_ip", w),
            dns: None,
        },
        ..Node::default()
    })
}

/// The node words of both families.
pub(super) fn node_state(word: Option<&str>) -> NodeState {
    match word.unwrap_or_default().to_ascii_lowercase().as_str() {
        "pending" => NodeState::Pending,
        "ready" => NodeState::Ready,
        "not_ready" => NodeState::NotReady,
        "failed" => NodeState::Failed,
        "deleting" => NodeState::Deleting,
        _ => NodeState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_its_state_and_the_components_refine_it() {
        let state = |phase, ready, plane: &str, workers: &str| {
            state(phase, ready, &[plane.to_owned(), workers.to_owned()])
        };
        let yes = Some(true);
        for (phase, ready, plane, workers, expected) in [
            ("Pending", None, "", "", State::Pending),
            (
                "Provisioning",
                Some(false),
                "scaling",
                "",
                State::Provisioning,
            ),
            ("Provisioned", yes, "ready", "idle", State::Running),
            ("Provisioned", None, "", "", State::Running),
            (
                "Provisioned",
                Some(false),
                "ready",
                "ready",
                State::Degraded,
            ),
            ("Provisioned", yes, "ready", "error", State::Degraded),
            ("Provisioned", yes, "error", "scaling", State::Degraded),
            ("Provisioned", yes, "ready", "scaling", State::Updating),
            (
                "Provisioned",
                Some(false),
                "upgrading",
                "ready",
                State::Updating,
            ),
            ("Upgrading", yes, "upgrading", "", State::Updating),
            ("Deleting", yes, "error", "", State::Deleting),
            ("Failed", Some(false), "error", "error", State::Failed),
            ("Unknown", Some(false), "upgrading", "", State::Unknown),
            ("Hibernating", yes, "ready", "ready", State::Unknown),
            ("", None, "", "", State::Unknown),
        ] {
            assert_eq!(
                state(phase, ready, plane, workers),
                expected,
                "{phase} {plane} {workers}"
            );
        }
    }
}
