//! A cluster of the LKS family, from the vendor's words to ours. A null counter means "not reported" there, never 0.

use std::collections::BTreeMap;

use super::legacy::node_state;
use super::map::{attributes, begin};
use super::wire::{List, LksAttributes, LksNodeAttributes, LksWhole, PoolAttributes, Resource};
use crate::domain::{
    self, Cluster, Network, Node, NodeCounts, NodeRole, NodeState, Orchestrator, OrchestratorType,
    Project, SourceName, State, Status, Version,
};
use crate::provider::read::{id, number, text, texts, time};
use crate::provider::{Described, Warnings, object, raw};

/// A node pool and, where they were asked for, the rows of its nodes.
#[derive(Debug)]
pub(super) struct Pool {
    /// `None` where the row of the pool cannot be read: then its nodes are unknown, not none.
    wire: Option<Resource<PoolAttributes>>,
    /// The answer to the list of its nodes.
    pub(super) nodes: Option<List>,
}

impl Pool {
    /// The pool's id, where it can be addressed.
    pub(super) fn id(&self) -> Option<&str> {
        id(&self.wire.as_ref()?.id)
    }
}

/// The pools of a list.
pub(super) fn pools(list: &List) -> Vec<Pool> {
    let pool = |item: &Box<_>| Pool {
        wire: object(item),
        nodes: None,
    };
    list.data.iter().map(pool).collect()
}

/// A cluster, its pools and its nodes; `None` for the pools where they could not be had.
pub(super) fn describe(
    source: &SourceName,
    native_id: &str,
    wire: &Resource<LksAttributes>,
    pools: Option<&[Pool]>,
) -> Described {
    let mut warnings = Warnings::default();
    let mut cluster = begin(source, native_id);
    fill(&mut cluster, &attributes(wire), &mut warnings);
    let nodes = pools.and_then(|pools| nodes(pools, &mut warnings));
    cluster.nodes = pools.and_then(|pools| counts(pools, nodes.as_deref(), &mut warnings));
    let nodepools = pools.unwrap_or_default().iter();
    let whole = LksWhole {
        cluster: wire,
        nodepools: nodepools.filter_map(|pool| pool.wire.as_ref()).collect(),
    };
    Described {
        cluster,
        nodes,
        raw: raw(&whole),
        warnings,
    }
}

/// Fills in what the cluster object says; list and detail say the same.
pub(super) fn fill(cluster: &mut Cluster, wire: &LksAttributes, w: &mut Warnings) {
    if let Some(name) = text(&wire.name, "name", w) {
        cluster.name = name;
    }
    let native = text(&wire.status, "status", w);
    cluster.status = Status {
        state: state(native.as_deref().unwrap_or_default()),
        ready: None,
        native,
        reason: text(&wire.reason, "reason", w),
        message: text(&wire.message, "message", w),
        since: None,
    };
    cluster.orchestrator = orchestrator(wire, w);
    cluster.location.cloud = Some("latitude".to_owned());
    cluster.location.region = text(&wire.site, "site", w);
    cluster.location.regions = cluster.location.region.iter().cloned().collect();
    cluster.owner.project = text(&wire.project_id, "project_id", w).map(|id| Project {
        id: Some(id),
        name: None,
    });
    cluster.network = network(wire, w);
    cluster.created_at = time(&wire.created_at, "created_at", w);
    cluster.updated_at = time(&wire.updated_at, "updated_at", w);
    cluster.observed_at = cluster.updated_at;
}

fn state(word: &str) -> State {
    match word.to_ascii_lowercase().as_str() {
        "provisioning" => State::Provisioning,
        "ready" => State::Running,
        "updating" | "scaling" | "upgrading" => State::Updating,
        "paused" => State::Stopped,
        "deleting" => State::Deleting,
        "deleted" => State::Deleted,
        _ => State::Unknown,
    }
}

fn orchestrator(wire: &LksAttributes, w: &mut Warnings) -> Orchestrator {
    let native_version = text(&wire.kubernetes_version, "kubernetes_version", w);
    let version = native_version.as_deref().and_then(Version::parse);
    if native_version.is_some() && version.is_none() {
        w.count("kubernetes_version");
    }
    Orchestrator {
        kind: OrchestratorType::Kubernetes,
        distribution: Some("lks".to_owned()),
        version: version.map(|version| version.normalized()),
        native_version,
        endpoint: text(&wire.control_plane_endpoint, "control_plane_endpoint", w),
        upgrade: None,
    }
}

fn network(wire: &LksAttributes, w: &mut Warnings) -> Option<Network> {
    let network = wire.network.clone().take("network", w)?;
    let network = Network {
        pod_cidrs: texts(&network.pod_cidrs, "network.pod_cidrs", w),
        service_cidrs: texts(&network.service_cidrs, "network.service_cidrs", w),
        node_cidrs: texts(&network.node_cidrs, "network.node_cidrs", w),
        ..Network::default()
    };
    (network != Network::default()).then_some(network)
}

/// Pools hold workers only: the control plane is the vendor's and not counted anywhere.
fn counts(pools: &[Pool], nodes: Option<&[Node]>, w: &mut Warnings) -> Option<NodeCounts> {
    let mut sum = |field, value: fn(&PoolAttributes) -> &crate::provider::Loose<i128>| {
        let mut total = Some(0_u64);
        for pool in pools {
            let attributes = pool.wire.as_ref().and_then(|wire| wire.attributes.as_ref());
            let count = attributes.and_then(|attributes| number(value(attributes), field, w));
            total = total.and_then(|total| total.checked_add(count?));
        }
        // Counts that can be true each may add up to one that cannot.
        total.and_then(|total| domain::count(total.into()))
    };
    let total = sum("nodepools.count", |pool| &pool.count);
    let ready = sum("nodepools.ready_nodes", |pool| &pool.ready_nodes);
    let counted = |state: NodeState| {
        let nodes = nodes?.iter();
        Some(nodes.filter(|node| node.state == state).count() as u64)
    };
    let total = total.or_else(|| nodes.map(|nodes| nodes.len() as u64));
    let counts = NodeCounts {
        total,
        ready: ready.or_else(|| counted(NodeState::Ready)),
        pending: counted(NodeState::Pending),
        workers: total,
        ..NodeCounts::default()
    };
    (counts != NodeCounts::default()).then_some(counts)
}

/// Every node of every pool; `None` as soon as one pool's nodes are not known: a part would pass for the whole.
pub(super) fn nodes(pools: &[Pool], w: &mut Warnings) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    for pool in pools {
        let attributes = pool.wire.as_ref()?.attributes.as_ref().cloned();
        let attributes = attributes.unwrap_or_default();
        let instance_type = text(&attributes.plan, "nodepools.plan", w);
        let labels = labels(&attributes, w);
        for item in &pool.nodes.as_ref()?.data {
            let wire = object::<Resource<LksNodeAttributes>>(item);
            let Some((node_id, wire)) = wire
                .as_ref()
                .and_then(|wire| Some((id(&wire.id)?, wire.attributes.as_ref()?)))
            else {
                w.count("nodes");
                return None;
            };
            nodes.push(Node {
                instance_type: instance_type.clone(),
                labels: labels.clone(),
                ..node(node_id, wire, w)
            });
        }
    }
    Some(nodes)
}

fn labels(pool: &PoolAttributes, w: &mut Warnings) -> BTreeMap<String, String> {
    let labels = pool.labels.clone().take("nodepools.labels", w);
    let mut read = |(key, value): (String, crate::provider::Loose<String>)| {
        Some((key, value.take("nodepools.labels", w)?))
    };
    labels
        .unwrap_or_default()
        .into_iter()
        .filter_map(&mut read)
        .collect()
}

fn node(node_id: &str, wire: &LksNodeAttributes, w: &mut Warnings) -> Node {
    let native_status = text(&wire.status, "nodes.status", w);
    let state = node_state(native_status.as_deref());
    Node {
        id: node_id.to_owned(),
        name: text(&wire.name, "nodes.name", w),
        role: NodeRole::Worker,
        state,
        ready: (state != NodeState::Unknown).then_some(state == NodeState::Ready),
        native_status,
        created_at: time(&wire.created_at, "nodes.created_at", w),
        observed_at: time(&wire.updated_at, "nodes.updated_at", w),
        ..Node::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_state() {
        for (word, expected) in [
            ("provisioning", State::Provisioning),
            ("ready", State::Running),
            ("updating", State::Updating),
            ("scaling", State::Updating),
            ("upgrading", State::Updating),
            ("paused", State::Stopped),
            ("deleting", State::Deleting),
            ("deleted", State::Deleted),
            ("Ready", State::Running),
            ("hibernating", State::Unknown),
            ("", State::Unknown),
        ] {
            assert_eq!(state(word), expected, "{word}");
        }
    }
}
