//! Kubeadapt: a cost and inventory API over Kubernetes clusters that run the vendor's agent. It watches them and runs none.
//!
//! Two incompatible generations of the API share the prefix `/v1`; the older one is recognised and refused. The list holds
//! everything that the detail holds, so that a detail is read for its nodes only.

mod client;
mod dialect;
mod list;
mod map;
mod trend;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::domain::{ClusterMetrics, Health, Kind, Node, Period, SourceName, Vantage};
use crate::provider::{
    Adapter, Capabilities, Capability, ConfigError, Described, Entry, Environment, ErrorKind,
    Locator, Page, PageCursor, ProviderError, Warnings, connect,
};
use crate::upstream::{Dialect, FailureKind, Rate, Scheme, Stack, UpstreamError};

const KIND: Kind = Kind::new("kubeadapt");

const LARGEST_PAGE: u16 = 500;

/// Pages of nodes read for one cluster: 10,000 nodes, twice what Kubernetes supports.
const NODE_PAGES: usize = 20;

static CAPABILITIES: Capabilities = Capabilities {
    vantage: Vantage::Observes,
    operations: &[
        Capability::List,
        Capability::Describe,
        Capability::Nodes,
        Capability::Health,
        Capability::Metrics,
    ],
    reports: &[
        "status",
        "orchestrator",
        "location",
        "environment",
        "nodes",
        "capacity",
        "accelerators",
        "utilization",
        "workload_counts",
        "cost",
        "agent",
        "created_at",
        "observed_at",
    ],
    detail_only: &[],
};

/// What is known of Kubeadapt before a source is configured.
///
/// The vendor names no environment variables; these are ours.
pub(super) const ENTRY: Entry = Entry {
    kind: KIND,
    title: "Kubeadapt",
    documentation: "https://kubeadapt.io/docs/v1/api-reference/clusters",
    base_url: Some("https://public-api.kubeadapt.io"),
    environment: Environment {
        token: &["KUBEADAPT_API_KEY"],
        base_url: &["KUBEADAPT_API_URL", "KUBEADAPT_BASE_URL"],
    },
    scheme: Scheme::Bearer,
    // The vendor allows 100 a minute for a key; the rest is left to people who use the same one.
    rate: Rate {
        calls: 90,
        per: Duration::from_mins(1),
    },
    capabilities: &CAPABILITIES,
    dialect: dialect::DIALECT,
    connect: connect::<Kubeadapt>,
};

/// Kubeadapt's own keys of a source.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Rows of one page, 1 to 500.
    page_size: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            page_size: LARGEST_PAGE,
        }
    }
}

/// One Kubeadapt account.
pub(crate) struct Kubeadapt {
    source: SourceName,
    client: client::Client,
}

impl Adapter for Kubeadapt {
    const KIND: Kind = KIND;
    const CAPABILITIES: &'static Capabilities = &CAPABILITIES;
    const DIALECT: Dialect = dialect::DIALECT;
    type Settings = Settings;

    fn connect(source: SourceName, settings: Settings, stack: Stack) -> Result<Self, ConfigError> {
        if !(1..=LARGEST_PAGE).contains(&settings.page_size) {
            return Err(ConfigError {
                key: "page_size".to_owned(),
                reason: "must be between 1 and 500".to_owned(),
            });
        }
        Ok(Self {
            source,
            client: client::Client::new(stack, settings.page_size),
        })
    }

    async fn list_page(&self, cursor: Option<&PageCursor>) -> Result<Page, ProviderError> {
        const OPERATION: &str = "list_clusters";
        let cursor = cursor.map(PageCursor::as_str);
        if cursor == Some("") {
            return Err(ProviderError::new(ErrorKind::CursorExpired, OPERATION));
        }
        let answer = self
            .client
            .list_clusters(cursor)
            .await
            .map_err(|error| refused(OPERATION, error, cursor.is_some()))?;
        let page = list::page(&self.source, &answer.body)?;
        if page
            .warnings
            .iter()
            .any(|(field, _)| field == "meta.ignored_params")
        {
            tracing::warn!(source.name = %self.source, "the vendor ignored a query parameter");
        }
        Ok(page)
    }

    async fn describe(&self, cluster: &Locator) -> Result<Described, ProviderError> {
        const OPERATION: &str = "find_cluster";
        let id = cluster.as_str();
        let answer = self
            .client
            .find_cluster(id)
            .await
            .map_err(|error| not_found(refused(OPERATION, error, false)))?;
        let mut described = list::detail(&self.source, id, &answer.body)?;
        described.nodes = match self.read_nodes(id, &mut described.warnings).await {
            Ok(nodes) => Some(nodes),
            // Nodes have a scope of their own; a key without it still reads the cluster.
            Err(error) if error.kind == ErrorKind::Call(FailureKind::Forbidden) => {
                described.warnings.count("nodes");
                None
            }
            Err(error) => return Err(error),
        };
        Ok(described)
    }

    /// Nodes have calls of their own: the cluster need not be read for them.
    async fn nodes(&self, cluster: &Locator) -> Result<Vec<Node>, ProviderError> {
        self.read_nodes(cluster.as_str(), &mut Warnings::default())
            .await
    }

    /// How many nodes are ready is known from the nodes alone.
    async fn health(&self, cluster: &Locator) -> Result<Health, ProviderError> {
        Ok(map::health(self.describe(cluster).await?))
    }

    async fn metrics(
        &self,
        cluster: &Locator,
        period: Period,
    ) -> Result<ClusterMetrics, ProviderError> {
        const OPERATION: &str = "cost_trend";
        let answer = self
            .client
            .cost_trend(cluster.as_str(), period)
            .await
            .map_err(|error| not_found(refused(OPERATION, error, false)))?;
        trend::metrics(period, &answer.body)
    }
}

impl Kubeadapt {
    /// Reads a cluster's nodes to their end; rows move between pages, so that each is kept once.
    async fn read_nodes(
        &self,
        id: &str,
        warnings: &mut Warnings,
    ) -> Result<Vec<Node>, ProviderError> {
        const OPERATION: &str = "list_nodes";
        let mut nodes = Vec::new();
        let mut seen = HashSet::new();
        let mut cursor: Option<PageCursor> = None;
        for _ in 0..NODE_PAGES {
            let text = cursor.as_ref().map(PageCursor::as_str);
            let answer = self
                .client
                .list_nodes(id, text)
                .await
                .map_err(|error| not_found(refused(OPERATION, error, text.is_some())))?;
            let (page, next) = list::nodes(&answer.body, warnings)?;
            nodes.extend(page.into_iter().filter(|node| seen.insert(node.id.clone())));
            if next.is_none() {
                return Ok(nodes);
            }
            if next == cursor {
                return Err(ProviderError::new(ErrorKind::PaginationLoop, OPERATION));
            }
            cursor = next;
        }
        Err(ProviderError::new(ErrorKind::PageLimit, OPERATION))
    }
}

/// Says what a refusal of this vendor means beyond its HTTP status.
fn refused(operation: &'static str, error: UpstreamError, has_cursor: bool) -> ProviderError {
    let kind = match error.code.as_deref() {
        Some(dialect::OLDER_GENERATION) => Some(ErrorKind::UnsupportedGeneration),
        Some("CURSOR_EXPIRED" | "INVALID_CURSOR") if has_cursor => Some(ErrorKind::CursorExpired),
        _ if has_cursor && error.status == Some(StatusCode::GONE) => Some(ErrorKind::CursorExpired),
        _ => None,
    };
    let error = ProviderError::call(operation, error);
    match kind {
        Some(kind) => error.with_kind(kind),
        None => error,
    }
}

/// Recognises the three ways to say that this cluster is not there for this key.
///
/// An id inside the tenant but outside the key's allow-list is 403 and an unknown one 404; told apart, they would give away
/// that a foreign cluster exists.
fn not_found(error: ProviderError) -> ProviderError {
    let code = error.source.as_ref().and_then(|call| call.code.as_deref());
    let is_not_found = match (error.kind, code) {
        // An unknown route rather than an unknown cluster.
        (ErrorKind::Call(FailureKind::NotFound), code) => code != Some("NOT_FOUND"),
        (ErrorKind::Call(_), Some("CLUSTER_ACCESS_DENIED" | "INVALID_CLUSTER_ID")) => true,
        _ => false,
    };
    if is_not_found {
        error.with_kind(ErrorKind::NotFound)
    } else {
        error
    }
}
