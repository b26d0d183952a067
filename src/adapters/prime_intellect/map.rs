//! From Prime Intellect's shapes to the domain. Pure; every quirk of the vendor's lists ends here.

use std::collections::HashSet;

use bytes::Bytes;
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use super::client::Family;
use super::{KIND, wire};
use crate::domain::{
    Accelerator, Cluster, Cost, CostOrigin, Identifier, Money, Node, NodeCounts, NodeState,
    OrchestratorType, SourceName, State, Vantage, Version, count,
};
use crate::provider::read::{id, text, time};
use crate::provider::{
    Described, ErrorKind, Listed, Locator, Loose, Page, PageCursor, ProviderError, Rejected,
    Warnings, envelope, object, raw,
};

const LIST: &str = "list_clusters";
const FIND: &str = "find_cluster";

/// What the mapping has to know of the source.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) source: SourceName,
    /// The currency that prices are taken to be in.
    pub(super) price_currency: String,
    /// Whether the address of a cluster's API server is shown.
    pub(super) expose_endpoint: bool,
}

/// Where a walk stands. The family is part of it, so that one walk never mixes two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) family: Family,
    pub(super) offset: u64,
}

impl Place {
    /// Reads a place back; `None` for a text that none was written as.
    pub(super) fn read(cursor: &PageCursor) -> Option<Self> {
        let (family, offset) = cursor.as_str().split_once(':')?;
        let family = match family {
            "admin" => Family::Admin,
            "inventory" => Family::Inventory,
            _ => return None,
        };
        Some(Self {
            family,
            offset: offset.parse().ok()?,
        })
    }

    fn write(self) -> PageCursor {
        let family = match self.family {
            Family::Admin => "admin",
            Family::Inventory => "inventory",
        };
        PageCursor::new(format!("{family}:{}", self.offset))
    }
}

/// Reads the page at `place`, for which `limit` rows were asked.
pub(super) fn page(
    context: &Context,
    place: Place,
    limit: u16,
    body: &Bytes,
) -> Result<Page, ProviderError> {
    let list: wire::List<'_> = envelope(LIST, body)?;
    let mut page = Page::default();
    let mut ids = Vec::with_capacity(list.data.len());
    let rows = list.data.len() as u64;
    for text in list.data {
        match parsed(text) {
            Ok((id, mut wire)) => {
                // What a list calls nodes are connections: who may log in, and where.
                wire.nodes = Loose::Absent;
                ids.push(id.clone());
                let listed = listed(context, id, wire, &mut page.warnings);
                page.clusters.push(listed);
            }
            Err(rejected) => {
                ids.extend(rejected.native_id.clone());
                page.rejected.push(rejected);
            }
        }
    }
    page.fingerprint = Page::fingerprint("clusters", ids.iter().map(String::as_str));
    let total = list
        .total_count
        .and_then("total_count", &mut page.warnings, count);
    // A row that comes twice is one step of the offset, or the walk would step over others.
    let unnamed = (page.rejected.iter())
        .filter(|rejected| rejected.native_id.is_none())
        .count();
    let distinct = ids.iter().collect::<HashSet<_>>().len() + unnamed;
    page.next = next(place, rows, distinct as u64, limit, total)?;
    Ok(page)
}

/// Where the list goes on.
///
/// A total that is absent, or smaller than what was already read, is the model's default and no figure: then only a page that
/// is shorter than was asked for ends the list.
fn next(
    place: Place,
    rows: u64,
    distinct: u64,
    limit: u16,
    total: Option<u64>,
) -> Result<Option<PageCursor>, ProviderError> {
    let offset = place.offset.saturating_add(distinct);
    let has_more = match total {
        Some(total) if total >= offset => total > offset,
        Some(_) | None => rows >= u64::from(limit),
    };
    if has_more && rows == 0 {
        return Err(ProviderError::new(ErrorKind::Truncated, LIST)
            .with_detail("an empty page before the total was reached"));
    }
    Ok(has_more.then(|| Place { offset, ..place }.write()))
}

/// Reads the detail of one cluster.
pub(super) fn detail(
    context: &Context,
    id: &str,
    body: &Bytes,
) -> Result<Described, ProviderError> {
    let shape = |detail| ProviderError::new(ErrorKind::UnexpectedShape, FIND).with_detail(detail);
    let detail: wire::Detail<'_> = envelope(FIND, body)?;
    if detail.data.get() == "null" {
        return Err(ProviderError::new(ErrorKind::NotFound, FIND));
    }
    let (found, wire) = parsed(detail.data).map_err(|rejected| shape(rejected.reason))?;
    if found != id {
        return Err(shape("the answer is about another cluster"));
    }
    let mut warnings = Warnings::default();
    let mut listed = listed(context, found, wire, &mut warnings);
    if context.expose_endpoint {
        let endpoint = object::<wire::Endpoint>(detail.data).and_then(|wire| {
            text(
                wire.orchestrator_endpoint,
                "orchestratorEndpoint",
                &mut warnings,
            )
        });
        listed.cluster.orchestrator.endpoint = endpoint;
    }
    Ok(Described {
        cluster: listed.cluster,
        nodes: listed.nodes,
        raw: listed.raw,
        warnings,
    })
}

fn parsed(text: &RawValue) -> Result<(String, wire::Cluster), Rejected> {
    let reject = |native_id, reason| Rejected { native_id, reason };
    let identity: Option<wire::Identity> = object(text);
    let Some(id) = identity.and_then(|identity| Some(id(&identity.id)?.to_owned())) else {
        return Err(reject(None, "no usable id"));
    };
    match object(text) {
        Some(wire) => Ok((id, wire)),
        None => Err(reject(Some(id), "not a cluster")),
    }
}

fn listed(context: &Context, id: String, wire: wire::Cluster, warnings: &mut Warnings) -> Listed {
    let raw = raw(&wire);
    let (cluster, nodes) = cluster(context, id, wire, warnings);
    Listed {
        locator: Locator::new(&cluster.native_id),
        cluster,
        raw,
        nodes,
    }
}

fn cluster(
    context: &Context,
    id: String,
    wire: wire::Cluster,
    warnings: &mut Warnings,
) -> (Cluster, Option<Vec<Node>>) {
    let w = warnings;
    let name = text(wire.name, "name", w).unwrap_or_else(|| id.clone());
    let mut cluster = Cluster::new(&context.source, KIND, id, name, Vantage::Hosts);
    cluster.status.native = text(wire.status, "status", w);
    cluster.status.state = state(cluster.status.native.as_deref());
    cluster.location.cloud = lower(text(wire.provider_type, "providerType", w));

    cluster.orchestrator.distribution = lower(text(wire.orchestrator_type, "orchestratorType", w));
    cluster.orchestrator.kind = match cluster.orchestrator.distribution.as_deref() {
        Some("kubernetes") => OrchestratorType::Kubernetes,
        Some("slurm") => OrchestratorType::Slurm,
        Some("ray") => OrchestratorType::Ray,
        Some(_) | None => OrchestratorType::Unknown,
    };
    let version = text(wire.orchestrator_version, "orchestratorVersion", w);
    cluster.orchestrator.version = version.as_deref().and_then(|version| {
        let parsed = Version::parse(version);
        if parsed.is_none() {
            w.count("orchestratorVersion");
        }
        parsed.map(|version| version.normalized())
    });
    cluster.orchestrator.native_version = version;

    cluster.accelerators = accelerators(
        text(wire.gpu_name, "gpuName", w),
        wire.gpu_count.and_then("gpuCount", w, count),
        text(wire.socket, "socket", w).as_deref(),
    );
    cluster.cost = cost(context, wire.price_hr, "priceHr", w);
    cluster.owner.team = text(wire.team_id, "teamId", w);
    cluster.owner.user = text(wire.user_id, "userId", w);
    if let Some(value) = text(wire.remote_id, "remoteId", w) {
        cluster.identifiers.push(Identifier {
            kind: "remote_id".to_owned(),
            value,
        });
    }
    cluster.created_at = time(wire.created_at, "createdAt", w);
    cluster.updated_at = time(wire.updated_at, "updatedAt", w);
    cluster.terminated_at = time(wire.terminated_at, "terminatedAt", w);

    let rows = wire.nodes.take("nodes", w);
    let sent = rows.as_ref().map_or(0, Vec::len);
    let nodes = rows.map(|rows| {
        rows.into_iter()
            .filter_map(|row| {
                let node = match row {
                    Loose::Known(row) => node(context, row, w),
                    Loose::Absent | Loose::Wrong => None,
                };
                if node.is_none() {
                    w.count("nodes");
                }
                node
            })
            .collect::<Vec<_>>()
    });
    cluster.nodes = nodes.as_deref().map(|nodes| counted(nodes, sent));
    (cluster, nodes)
}

/// The state, by the words of the pods API, which is the only one that publishes any.
fn state(native: Option<&str>) -> State {
    match native.map(str::to_uppercase).as_deref() {
        Some("PENDING") => State::Pending,
        Some("PROVISIONING") => State::Provisioning,
        Some("ACTIVE") => State::Running,
        Some("STOPPED") => State::Stopped,
        Some("DELETING") => State::Deleting,
        Some("TERMINATED") => State::Deleted,
        Some("ERROR") => State::Failed,
        Some(_) | None => State::Unknown,
    }
}

/// Counts nodes; one that could not be read counts too, since it is there.
fn counted(nodes: &[Node], sent: usize) -> NodeCounts {
    let of = |state| Some(nodes.iter().filter(|node| node.state == state).count() as u64);
    NodeCounts {
        total: Some(sent as u64),
        ready: of(NodeState::Ready),
        failed: of(NodeState::Failed),
        pending: of(NodeState::Pending),
        disabled: of(NodeState::Disabled),
        ..NodeCounts::default()
    }
}

/// Accelerators of one kind: `CPU_NODE` and a count of zero say that there are none, no name and no count say nothing.
fn accelerators(
    name: Option<String>,
    number: Option<u64>,
    socket: Option<&str>,
) -> Option<Vec<Accelerator>> {
    if name.as_deref() == Some("CPU_NODE") || number == Some(0) {
        return Some(Vec::new());
    }
    if name.is_none() && number.is_none() {
        return None;
    }
    let mut accelerator = Accelerator::from_native(&name.unwrap_or_default(), number, None);
    accelerator.interconnect = socket
        .and_then(Accelerator::socket)
        .or(accelerator.interconnect);
    Some(vec![accelerator])
}

/// The list price. The vendor names no currency for it, `baseCurrency` being that of the underlying provider's own price, so
/// that it is the source's setting.
fn cost(
    context: &Context,
    price: Loose<wire::Price>,
    name: &'static str,
    w: &mut Warnings,
) -> Option<Cost> {
    let amount = price.and_then(name, w, |price| decimal(price.as_str()))?;
    Some(Cost {
        hourly: Money {
            amount,
            currency: context.price_currency.clone(),
        },
        origin: CostOrigin::Listed,
        as_of: None,
    })
}

/// Reads a JSON number exactly, or not at all.
fn decimal(number: &str) -> Option<Decimal> {
    let amount = match number.split_once(['e', 'E']) {
        // Only the mantissa is read exactly or not at all; the exponent then moves the point.
        Some((mantissa, _)) => Decimal::from_str_exact(mantissa)
            .and_then(|_| Decimal::from_scientific(number))
            .ok()?,
        None => Decimal::from_str_exact(number).ok()?,
    };
    (!amount.is_sign_negative() || amount.is_zero()).then(|| amount.abs())
}

fn node(context: &Context, wire: wire::Node, w: &mut Warnings) -> Option<Node> {
    let id = id(&wire.id)?.to_owned();
    let native_status = text(wire.status, "nodes.status", w);
    let is_detached = wire.is_detached.take("nodes.isDetached", w) == Some(true);
    let number = wire.gpu_count.and_then("nodes.gpuCount", w, count);
    Some(Node {
        id,
        name: text(wire.name, "nodes.name", w),
        state: node_state(native_status.as_deref(), is_detached),
        native_status,
        accelerators: accelerators(
            text(wire.gpu_name, "nodes.gpuName", w),
            number,
            text(wire.socket, "nodes.socket", w).as_deref(),
        )
        .unwrap_or_default(),
        cost: cost(context, wire.price_hr, "nodes.priceHr", w),
        created_at: time(wire.created_at, "nodes.createdAt", w),
        ..Node::default()
    })
}

/// The state of a node; a detached one was taken out of the cluster on purpose, whatever it does now.
fn node_state(native: Option<&str>, is_detached: bool) -> NodeState {
    match native.map(str::to_uppercase).as_deref() {
        Some("DELETING" | "TERMINATED") => NodeState::Deleting,
        _ if is_detached => NodeState::Disabled,
        Some("PENDING" | "PROVISIONING") => NodeState::Pending,
        Some("ACTIVE") => NodeState::Ready,
        Some("STOPPED") => NodeState::Disabled,
        Some("ERROR") => NodeState::Failed,
        Some(_) | None => NodeState::Unknown,
    }
}

fn lower(text: Option<String>) -> Option<String> {
    text.map(|text| text.to_lowercase())
}
