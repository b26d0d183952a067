//! From JFrog Runtime's shapes to the domain. Pure; every quirk of the vendor's lists ends here.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{KIND, wire};
use crate::domain::{
    Addresses, Agent, Cluster, Node, NodeCounts, NodeState, OrchestratorType, SourceName, State,
    Vantage, count,
};
use crate::provider::read::{id, text, texts, time};
use crate::provider::{
    Described, ErrorKind, Listed, Locator, Loose, Page, PageCursor, ProviderError, Rejected,
    Warnings, envelope, object, raw,
};

/// Where a walk stands: the vendor's key of the next page, and how many rows came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seen: u64,
    pub(super) key: String,
}

impl Place {
    /// Reads a place back; `None` for a text that none was written as.
    pub(super) fn read(cursor: &PageCursor) -> Option<Self> {
        let (seen, key) = cursor.as_str().split_once(':')?;
        let seen = seen.parse().ok()?;
        (!key.is_empty()).then(|| Self {
            seen,
            key: key.to_owned(),
        })
    }

    fn write(&self) -> PageCursor {
        PageCursor::new(format!("{}:{}", self.seen, self.key))
    }
}

/// Reads the page at `place`, for which `limit` rows were asked.
pub(super) fn page(
    source: &SourceName,
    place: Option<&Place>,
    limit: u16,
    body: &Bytes,
) -> Result<Page, ProviderError> {
    let list: wire::List<'_> = envelope(LIST, body)?;
    let mut page = Page::default();
    let mut ids = Vec::with_capacity(list.clusters.len());
    for text in &list.clusters {
        match listed(source, text, &mut page.warnings) {
            Ok(listed) => {
                ids.push(listed.cluster.native_id.clone());
                page.clusters.push(listed);
            }
            Err(rejected) => {
                ids.extend(rejected.native_id.clone());
                page.rejected.push(rejected);
            }
        }
    }
    page.fingerprint = Page::fingerprint("clusters", ids.iter().map(String::as_str));
    page.next = next(list, place, limit, &mut page.warnings)?;
    Ok(page)
}

const LIST: &str = "list_clusters";

/// Where the list goes on.
///
/// The key alone says that there is more. An empty page ends a list by keys even where it carries one, unless the total says
/// that rows are still to come: then the answer contradicts itself, and a shortened list would be taken for clusters that
/// are gone; so does a full page without a key. After a short page without one the total is no more than a hint, since
/// clusters register while a list is read.
fn next(
    list: wire::List<'_>,
    place: Option<&Place>,
    limit: u16,
    warnings: &mut Warnings,
) -> Result<Option<PageCursor>, ProviderError> {
    let shape = |detail| ProviderError::new(ErrorKind::UnexpectedShape, LIST).with_detail(detail);
    let rows = list.clusters.len() as u64;
    let pagination: wire::Pagination = match list.pagination {
        Some(text) => object(text).ok_or_else(|| shape("pagination is not an object"))?,
        None if rows >= u64::from(limit) => return Err(shape("a full page without pagination")),
        None => wire::Pagination::default(),
    };
    let total = match list.total_count {
        Loose::Absent => pagination.total_count,
        total => total,
    };
    let total = total.and_then("total_count", warnings, count);
    let seen = place.map_or(0, |place| place.seen).saturating_add(rows);
    let key = match pagination.next_key {
        Loose::Absent => None,
        Loose::Known(key) => Some(key.into_text()).filter(|key| !key.is_empty()),
        Loose::Wrong => return Err(shape("next_key is neither a text nor a number")),
    };
    let more_to_come = total.is_some_and(|total| total > seen);
    match key {
        Some(_) if rows == 0 && more_to_come => Err(ProviderError::new(ErrorKind::Truncated, LIST)
            .with_detail("an empty page before the total was reached")),
        None if rows >= u64::from(limit) && more_to_come => {
            Err(ProviderError::new(ErrorKind::Truncated, LIST)
                .with_detail("a full page without a key before the total was reached"))
        }
        Some(key) if place.is_some_and(|place| place.key == key) && rows > 0 => {
            Err(ProviderError::new(ErrorKind::PaginationLoop, LIST)
                .with_detail(format!("next_key of {} characters came again", key.len())))
        }
        Some(key) if rows > 0 => Ok(Some(Place { seen, key }.write())),
        Some(_) | None => {
            if more_to_come {
                warnings.count("total_count");
            }
            Ok(None)
        }
    }
}

/// Reads the detail of one cluster.
pub(super) fn detail(
    source: &SourceName,
    id: &str,
    body: &Bytes,
) -> Result<Described, ProviderError> {
    const OPERATION: &str = "find_cluster";
    let shape =
        |detail| ProviderError::new(ErrorKind::UnexpectedShape, OPERATION).with_detail(detail);
    let detail: wire::Detail<'_> = envelope(OPERATION, body)?;
    let mut warnings = Warnings::default();
    let listed =
        listed(source, detail.cluster, &mut warnings).map_err(|rejected| shape(rejected.reason))?;
    if listed.cluster.native_id != id {
        return Err(shape("the answer is about another cluster"));
    }
    Ok(Described {
        cluster: listed.cluster,
        nodes: listed.nodes,
        raw: listed.raw,
        warnings,
    })
}

fn listed(
    source: &SourceName,
    text: &RawValue,
    warnings: &mut Warnings,
) -> Result<Listed, Rejected> {
    let reject = |native_id, reason| Rejected { native_id, reason };
    let identity: Option<wire::Identity> = object(text);
    let Some(id) = identity.and_then(|identity| Some(id(&identity.id)?.to_owned())) else {
        return Err(reject(None, "no usable id"));
    };
    let Some(wire) = object::<wire::Cluster>(text) else {
        return Err(reject(Some(id), "not a cluster"));
    };
    let raw = raw(&wire);
    let (cluster, nodes) = cluster(source, id, wire, warnings);
    Ok(Listed {
        locator: Locator::new(&cluster.native_id),
        cluster,
        raw,
        nodes,
    })
}

fn cluster(
    source: &SourceName,
    id: String,
    wire: wire::Cluster,
    warnings: &mut Warnings,
) -> (Cluster, Option<Vec<Node>>) {
    let w = warnings;
    let name = text(wire.name, "name", w).unwrap_or_else(|| id.clone());
    let mut cluster = Cluster::new(source, KIND, id, name, Vantage::Observes);
    cluster.orchestrator.kind = OrchestratorType::Kubernetes;

    // The provider is free text: the vendor's own example says `kubernetes`, which is no place.
    cluster.location.cloud = text(wire.provider, "provider", w)
        .map(|provider| provider.to_lowercase())
        .filter(|provider| provider != "kubernetes");
    cluster.location.regions = texts(wire.regions, "regions", w);
    cluster.location.region = cluster.location.regions.first().cloned();

    let failed = wire
        .failed_nodes_count
        .and_then("failed_nodes_count", w, count);
    let failed_to_install =
        wire.failed_to_install_nodes_count
            .and_then("failed_to_install_nodes_count", w, count);
    let counts = NodeCounts {
        total: wire.nodes_count.and_then("nodes_count", w, count),
        ready: wire
            .running_nodes_count
            .and_then("running_nodes_count", w, count),
        failed: failed
            .into_iter()
            .chain(failed_to_install)
            .reduce(u64::saturating_add),
        disabled: wire
            .disabled_nodes_count
            .and_then("disabled_nodes_count", w, count),
        ..NodeCounts::default()
    };
    let rows = wire.nodes.take("nodes", w);
    let sent = rows.as_ref().map_or(0, Vec::len);
    let nodes = rows.map(|rows| nodes_of(rows, w));
    let counts = match &nodes {
        Some(nodes) => counted(counts, nodes, sent),
        None => counts,
    };

    // When the monitoring began (`monitored_at`) is neither when the cluster was made nor when it was last seen.
    cluster.observed_at = time(wire.controller_last_updated, "controller_last_updated", w);
    let agent = Agent {
        status: text(wire.controller_status, "controller_status", w),
        version: text(wire.controller_version, "controller_version", w),
        last_seen_at: cluster.observed_at,
    };
    cluster.status.state = state(agent.status.as_deref(), &counts, nodes.as_deref());
    cluster.status.native.clone_from(&agent.status);
    cluster.contact_lost = cluster.status.state == State::Unreachable;
    cluster.nodes = (counts != NodeCounts::default()).then_some(counts);
    cluster.agent = (agent != Agent::default()).then_some(agent);
    (cluster, nodes)
}

/// The state, from the condition of JFrog's controller: what it says is about the watching, and `stopped` means that nothing
/// is known rather than that the cluster is down.
fn state(native: Option<&str>, counts: &NodeCounts, nodes: Option<&[Node]>) -> State {
    let has_failed = counts.failed.is_some_and(|failed| failed > 0)
        || nodes.is_some_and(|nodes| nodes.iter().any(|node| node.state == NodeState::Failed));
    match native.map(str::to_lowercase).as_deref() {
        Some("running") if has_failed => State::Degraded,
        Some("running") => State::Running,
        Some("stopped") => State::Unreachable,
        Some(_) | None => State::Unknown,
    }
}

/// Counts nodes where the detail leaves the counts of the list out, as the field table of the vendor has it.
fn counted(mut counts: NodeCounts, nodes: &[Node], sent: usize) -> NodeCounts {
    let listed = sent as u64;
    let is_whole = counts.total.is_none_or(|total| total == listed)
        && nodes.len() == sent
        && nodes.iter().all(|node| node.state != NodeState::Unknown);
    if !is_whole {
        return counts;
    }
    let of = |state| Some(nodes.iter().filter(|node| node.state == state).count() as u64);
    counts.total = Some(listed);
    counts.ready = counts.ready.or_else(|| of(NodeState::Ready));
    counts.failed = counts.failed.or_else(|| of(NodeState::Failed));
    counts.disabled = counts.disabled.or_else(|| of(NodeState::Disabled));
    counts
}

fn nodes_of(nodes: Vec<Loose<wire::Node>>, w: &mut Warnings) -> Vec<Node> {
    nodes
        .into_iter()
        .filter_map(|item| {
            let node = match item {
                Loose::Known(wire) => node(wire, w),
                Loose::Absent | Loose::Wrong => None,
            };
            if node.is_none() {
                w.count("nodes");
            }
            node
        })
        .collect()
}

fn node(wire: wire::Node, w: &mut Warnings) -> Option<Node> {
    let id = id(&wire.id)?.to_owned();
    let native_status = text(wire.status, "nodes.status", w);
    let agent = Agent {
        status: None,
        version: text(wire.sensor_version, "nodes.sensor_version", w),
        last_seen_at: time(wire.sensor_last_updated, "nodes.sensor_last_updated", w),
    };
    Some(Node {
        id,
        name: text(wire.name, "nodes.name", w),
        hostname: text(wire.hostname, "nodes.hostname", w),
        state: node_state(native_status.as_deref()),
        native_status,
        region: text(wire.region, "nodes.region", w),
        architecture: text(wire.architecture, "nodes.architecture", w),
        addresses: Addresses {
            internal: text(wire.internal_ip, "nodes.internal_ip", w),
            external: None,
            dns: text(wire.internal_dns, "nodes.internal_dns", w),
        },
        observed_at: agent.last_seen_at,
        agent: (agent != Agent::default()).then_some(agent),
        ..Node::default()
    })
}

/// The state of a node, from the condition of its sensor. `running_with_sensors` is what the vendor's examples say; its table
/// does not have the word.
fn node_state(native: Option<&str>) -> NodeState {
    match native.map(str::to_lowercase).as_deref() {
        Some("monitored" | "monitored_with_sensor" | "running_with_sensors") => NodeState::Ready,
        Some("failed" | "installation_failed") => NodeState::Failed,
        Some("disabled") => NodeState::Disabled,
        Some(_) | None => NodeState::Unknown,
    }
}
