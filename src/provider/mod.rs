//! The contract between the gateway and any provider.
//!
//! An adapter is written as plain `async fn`s ([`Adapter`]) and held as a trait object ([`Provider`]); one blanket impl joins
//! the two. An adapter has no loop, no retry and no clock: it answers one page, or one cluster's detail. [`walk()`] is the only
//! loop over pages.
//!
//! # Adding a provider
//!
//! 1. A folder `src/adapters/<name>` with `mod.rs` (the type, its `Settings`, its capabilities, the [`Adapter`] impl),
//!    `client.rs` (one method for each upstream call), `wire.rs` (the vendor's shapes) and `map.rs` (pure functions from wire
//!    to domain).
//! 2. Two lines in `src/adapters/mod.rs`.
//! 3. Its fixtures under `fixtures/<name>` and its simulated vendor under `src/sandbox`.

mod capability;
mod decode;
mod error;
mod loose;
mod page;
pub mod read;
#[cfg(test)]
pub(crate) mod testing;
mod walk;
mod write;

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::domain::{
    Cluster, ClusterMetrics, ClusterPatch, ClusterSpec, Health, Kind, Node, Operation, Period,
    SourceName,
};
use crate::upstream::{Dialect, Rate, Scheme, Stack};

pub use capability::{Capabilities, Capability};
pub use decode::{envelope, object, raw, row};
pub use error::{ErrorKind, Mistake, ProviderError};
pub use loose::Loose;
pub use page::{Described, Listed, Locator, Page, PageCursor, Rejected, Warnings};
pub use walk::{AsListed, Gather, Limits, Listing, WalkError, walk, walk_into};
pub use write::{Infrastructure, Kubeconfig, Written};

/// What one writes for a provider.
pub trait Adapter: Send + Sync + Sized + 'static {
    /// The provider's name.
    const KIND: Kind;
    /// What it can do and say, as data.
    const CAPABILITIES: &'static Capabilities;
    /// How the vendor says no and tells its quota.
    const DIALECT: Dialect;
    /// The provider's own keys in a source's configuration; unknown keys are errors.
    type Settings: DeserializeOwned + Default;

    /// Makes an adapter for one source. Opens no connection.
    fn connect(
        source: SourceName,
        settings: Self::Settings,
        stack: Stack,
    ) -> Result<Self, ConfigError>;

    /// Answers one page: the first for `None`, else the page that `cursor` names.
    fn list_page(
        &self,
        cursor: Option<&PageCursor>,
    ) -> impl Future<Output = Result<Page, ProviderError>> + Send;

    /// Reads what only the vendor's detail call says. The default says that it is not supported.
    fn describe(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Described, ProviderError>> + Send {
        let _ = cluster;
        std::future::ready(Err(ProviderError::not_supported("describe")))
    }

    /// Reads the nodes of one cluster. The default takes them from the detail; a provider that has them and does not tell them
    /// answers in another shape than documented.
    fn nodes(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Vec<Node>, ProviderError>> + Send {
        async {
            if !Self::CAPABILITIES.supports(Capability::Nodes) {
                return Err(ProviderError::not_supported("nodes"));
            }
            let described = self.describe(cluster).await?;
            described.nodes.ok_or_else(|| {
                ProviderError::new(ErrorKind::UnexpectedShape, "nodes")
                    .with_detail("the detail names no nodes")
            })
        }
    }

    /// Reads how well one cluster is. The default derives it from the detail.
    fn health(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Health, ProviderError>> + Send {
        async { Ok(Health::derive(&self.describe(cluster).await?.cluster)) }
    }

    /// Reads the access file of one cluster: a credential.
    fn kubeconfig(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Kubeconfig, ProviderError>> + Send {
        let _ = cluster;
        std::future::ready(Err(ProviderError::not_supported("kubeconfig")))
    }

    /// Reads what the vendor measured of one cluster.
    fn metrics(
        &self,
        cluster: &Locator,
        period: Period,
    ) -> impl Future<Output = Result<ClusterMetrics, ProviderError>> + Send {
        let _ = (cluster, period);
        std::future::ready(Err(ProviderError::not_supported("metrics")))
    }

    /// Makes a cluster, or the record of one. Like every write it is sent once and never repeated.
    fn create(
        &self,
        spec: &ClusterSpec,
    ) -> impl Future<Output = Result<Written, ProviderError>> + Send {
        let _ = spec;
        std::future::ready(Err(ProviderError::not_supported("create")))
    }

    /// Looks for a cluster that a creation of unknown outcome may have made; `None` says that there is none.
    fn find_created(
        &self,
        spec: &ClusterSpec,
    ) -> impl Future<Output = Result<Option<Listed>, ProviderError>> + Send {
        let _ = spec;
        std::future::ready(Err(ProviderError::not_supported("create")))
    }

    /// Changes a cluster: reads the vendor's configuration, changes what the patch names, sends the whole.
    fn update(
        &self,
        cluster: &Locator,
        patch: &ClusterPatch,
    ) -> impl Future<Output = Result<Written, ProviderError>> + Send {
        let _ = (cluster, patch);
        std::future::ready(Err(ProviderError::not_supported("update")))
    }

    /// Builds the infrastructure of a cluster that is only a record.
    fn provision(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Written, ProviderError>> + Send {
        let _ = cluster;
        std::future::ready(Err(ProviderError::not_supported("provision")))
    }

    /// Destroys the infrastructure of a cluster.
    fn destroy(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Written, ProviderError>> + Send {
        let _ = cluster;
        std::future::ready(Err(ProviderError::not_supported("destroy")))
    }

    /// Removes the record of a cluster and leaves its infrastructure as it is.
    fn forget(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Written, ProviderError>> + Send {
        let _ = cluster;
        std::future::ready(Err(ProviderError::not_supported("forget")))
    }

    /// Whether a cluster's infrastructure may exist, by what is known of the cluster. Where nothing says that there is none,
    /// there may be.
    fn infrastructure(cluster: &Cluster) -> Infrastructure {
        let _ = cluster;
        Infrastructure::Possible
    }

    /// Reads one operation by the vendor's id.
    fn operation(&self, id: &str) -> impl Future<Output = Result<Operation, ProviderError>> + Send {
        let _ = id;
        std::future::ready(Err(ProviderError::not_supported("operations")))
    }

    /// Reads the operations of one cluster, the newest first, as far as the vendor still tells.
    fn operations(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Vec<Operation>, ProviderError>> + Send {
        let _ = cluster;
        std::future::ready(Err(ProviderError::not_supported("operations")))
    }
}

/// An answer of a provider that is held as a trait object.
pub type Asked<'a, T> = BoxFuture<'a, Result<T, ProviderError>>;

fn refused<'a, T: Send + 'a>(operation: &'static str) -> Asked<'a, T> {
    Box::pin(std::future::ready(Err(ProviderError::not_supported(
        operation,
    ))))
}

/// What one holds of a provider: an [`Adapter`] as a trait object. Each method is the adapter's of the same name.
pub trait Provider: Send + Sync {
    /// The provider's name.
    fn kind(&self) -> Kind;
    /// What it can do and say.
    fn capabilities(&self) -> &'static Capabilities;
    /// Answers one page.
    fn list_page<'a>(&'a self, cursor: Option<&'a PageCursor>) -> Asked<'a, Page>;
    /// Reads one cluster's detail.
    fn describe<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Described>;
    /// Reads the nodes of one cluster.
    fn nodes<'a>(&'a self, _cluster: &'a Locator) -> Asked<'a, Vec<Node>> {
        refused("nodes")
    }
    /// Reads how well one cluster is.
    fn health<'a>(&'a self, _cluster: &'a Locator) -> Asked<'a, Health> {
        refused("health")
    }
    /// Reads the access file of one cluster.
    fn kubeconfig<'a>(&'a self, _cluster: &'a Locator) -> Asked<'a, Kubeconfig> {
        refused("kubeconfig")
    }
    /// Reads what the vendor measured of one cluster.
    fn metrics<'a>(&'a self, _cluster: &'a Locator, _period: Period) -> Asked<'a, ClusterMetrics> {
        refused("metrics")
    }
    /// Makes a cluster.
    fn create<'a>(&'a self, _spec: &'a ClusterSpec) -> Asked<'a, Written> {
        refused("create")
    }
    /// Looks for what a creation of unknown outcome may have made.
    fn find_created<'a>(&'a self, _spec: &'a ClusterSpec) -> Asked<'a, Option<Listed>> {
        refused("create")
    }
    /// Changes a cluster.
    fn update<'a>(&'a self, _cluster: &'a Locator, _patch: &'a ClusterPatch) -> Asked<'a, Written> {
        refused("update")
    }
    /// Builds a cluster's infrastructure.
    fn provision<'a>(&'a self, _cluster: &'a Locator) -> Asked<'a, Written> {
        refused("provision")
    }
    /// Destroys a cluster's infrastructure.
    fn destroy<'a>(&'a self, _cluster: &'a Locator) -> Asked<'a, Written> {
        refused("destroy")
    }
    /// Removes a cluster's record.
    fn forget<'a>(&'a self, _cluster: &'a Locator) -> Asked<'a, Written> {
        refused("forget")
    }
    /// Whether a cluster's infrastructure may exist.
    fn infrastructure(&self, _cluster: &Cluster) -> Infrastructure {
        Infrastructure::Possible
    }
    /// Reads one operation.
    fn operation<'a>(&'a self, _id: &'a str) -> Asked<'a, Operation> {
        refused("operations")
    }
    /// Reads the operations of one cluster.
    fn operations<'a>(&'a self, _cluster: &'a Locator) -> Asked<'a, Vec<Operation>> {
        refused("operations")
    }
}

impl<A: Adapter> Provider for A {
    fn kind(&self) -> Kind {
        A::KIND
    }

    fn capabilities(&self) -> &'static Capabilities {
        A::CAPABILITIES
    }

    fn list_page<'a>(&'a self, cursor: Option<&'a PageCursor>) -> Asked<'a, Page> {
        Box::pin(Adapter::list_page(self, cursor))
    }

    fn describe<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Described> {
        Box::pin(Adapter::describe(self, cluster))
    }

    fn nodes<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Vec<Node>> {
        Box::pin(Adapter::nodes(self, cluster))
    }

    fn health<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Health> {
        Box::pin(Adapter::health(self, cluster))
    }

    fn kubeconfig<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Kubeconfig> {
        Box::pin(Adapter::kubeconfig(self, cluster))
    }

    fn metrics<'a>(&'a self, cluster: &'a Locator, period: Period) -> Asked<'a, ClusterMetrics> {
        Box::pin(Adapter::metrics(self, cluster, period))
    }

    fn create<'a>(&'a self, spec: &'a ClusterSpec) -> Asked<'a, Written> {
        Box::pin(Adapter::create(self, spec))
    }

    fn find_created<'a>(&'a self, spec: &'a ClusterSpec) -> Asked<'a, Option<Listed>> {
        Box::pin(Adapter::find_created(self, spec))
    }

    fn update<'a>(&'a self, cluster: &'a Locator, patch: &'a ClusterPatch) -> Asked<'a, Written> {
        Box::pin(Adapter::update(self, cluster, patch))
    }

    fn provision<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Written> {
        Box::pin(Adapter::provision(self, cluster))
    }

    fn destroy<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Written> {
        Box::pin(Adapter::destroy(self, cluster))
    }

    fn forget<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Written> {
        Box::pin(Adapter::forget(self, cluster))
    }

    fn operation<'a>(&'a self, id: &'a str) -> Asked<'a, Operation> {
        Box::pin(Adapter::operation(self, id))
    }

    fn operations<'a>(&'a self, cluster: &'a Locator) -> Asked<'a, Vec<Operation>> {
        Box::pin(Adapter::operations(self, cluster))
    }

    fn infrastructure(&self, cluster: &Cluster) -> Infrastructure {
        A::infrastructure(cluster)
    }
}

/// A provider setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    /// The key, as the operator writes it.
    pub key: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

/// Makes a provider for one source from its own settings.
pub type Connect = fn(SourceName, toml::Table, Stack) -> Result<Arc<dyn Provider>, ConfigError>;

/// Environment variables that make a source appear without a configuration file.
#[derive(Debug, Clone, Copy)]
pub struct Environment {
    /// Variables that may hold the token, the first that is set wins.
    pub token: &'static [&'static str],
    /// Variables that may hold the base URL.
    pub base_url: &'static [&'static str],
}

/// A row of the catalog: what is known of a provider before any source is configured.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The provider's name.
    pub kind: Kind,
    /// Its name for people.
    pub title: &'static str,
    /// The vendor's documentation of the calls we make.
    pub documentation: &'static str,
    /// Where the vendor is; `None` where every customer has an own address.
    pub base_url: Option<&'static str>,
    /// The vendor's usual environment variables.
    pub environment: Environment,
    /// How the token is sent unless configured otherwise.
    pub scheme: Scheme,
    /// The rate that the vendor publishes, or a polite one where it publishes none.
    pub rate: Rate,
    /// What it can do and say.
    pub capabilities: &'static Capabilities,
    /// How the vendor says no.
    pub dialect: Dialect,
    /// Makes it.
    pub connect: Connect,
}

/// Makes a provider of adapter type `A`; the function behind every [`Entry::connect`].
pub fn connect<A: Adapter>(
    source: SourceName,
    settings: toml::Table,
    stack: Stack,
) -> Result<Arc<dyn Provider>, ConfigError> {
    let settings = A::Settings::deserialize_table(settings)?;
    Ok(Arc::new(A::connect(source, settings, stack)?))
}

trait DeserializeTable: DeserializeOwned {
    fn deserialize_table(table: toml::Table) -> Result<Self, ConfigError> {
        table
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError {
                key: error
                    .message()
                    .split('`')
                    .nth(1)
                    .unwrap_or("settings")
                    .to_owned(),
                reason: error.message().trim().to_owned(),
            })
    }
}

impl<T: DeserializeOwned> DeserializeTable for T {}
