//! LakeSail: EKS clusters that its platform provisions in a customer's cloud account, and clusters registered with it.
//!
//! Two listings show them: `/infra/clusters` everything in the organization's cloud accounts, `/me/clusters` what the
//! credential's teams may use, self-registered clusters too. A walk reads both; a cluster that is in both is one cluster,
//! known by the id of the external cluster.

mod address;
mod client;
mod cluster;
mod cursor;
mod dialect;
mod health;
mod live;
mod map;
mod metrics;
mod operation;
mod spec;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use std::collections::HashSet;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use self::address::Address;
use self::client::Client;
use self::cluster::Scope;
use self::cursor::{Cursor, Rows, after_infra, after_me, truncated};
use self::wire::List;
use crate::domain::{
    Cluster, ClusterMetrics, ClusterPatch, ClusterSpec, Health, Kind, Operation, Period,
    SourceName, State, Vantage, count,
};
use crate::provider::{
    self, Adapter, Capabilities, Capability, ConfigError, Described, Entry, Environment, ErrorKind,
    Infrastructure, Kubeconfig, Listed, Locator, Page, PageCursor, ProviderError, Written,
};
use crate::upstream::{Dialect, FailureKind, Rate, Scheme, Stack};

pub(crate) use self::cursor::Listing;

const KIND: Kind = Kind::new("lakesail");

/// The catalog's row.
pub(crate) const ENTRY: Entry = Entry {
    kind: KIND,
    title: "LakeSail",
    documentation: "https://docs.lakesail.com/platform/tags/clusters.html",
    base_url: Some("https://platform.lakesail.com/api/v1"),
    environment: Environment {
        token: &["LAKESAIL_API_KEY", "LAKESAIL_TOKEN"],
        base_url: &[],
    },
    scheme: Scheme::Bearer,
    // The vendor publishes no limit; this is a polite one.
    rate: Rate {
        calls: 120,
        per: Duration::from_mins(1),
    },
    capabilities: LakeSail::CAPABILITIES,
    dialect: dialect::DIALECT,
    connect: provider::connect::<LakeSail>,
};

/// What a source of this provider may set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The listings to read.
    listings: Vec<Listing>,
    /// The organization to ask for, where the credential belongs to several.
    organization: Option<String>,
    /// Whether to show the clusters' ARNs, which hold the cloud account's id.
    expose_arn: bool,
    /// Clusters to ask for at once.
    page_size: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listings: vec![Listing::Infra, Listing::Me],
            organization: None,
            expose_arn: false,
            page_size: 100,
        }
    }
}

impl Settings {
    fn checked(mut self) -> Result<Self, ConfigError> {
        self.listings.sort_unstable();
        self.listings.dedup();
        if self.listings.is_empty() {
            return Err(wrong("listings", "name \"infra\", \"me\" or both"));
        }
        if !(1..=100).contains(&self.page_size) {
            return Err(wrong("page_size", "use a number from 1 to 100"));
        }
        Ok(self)
    }

    fn organization_header(&self) -> Result<Option<HeaderValue>, ConfigError> {
        let Some(organization) = &self.organization else {
            return Ok(None);
        };
        HeaderValue::from_str(organization)
            .ok()
            .filter(|value| !value.is_empty())
            .map(Some)
            .ok_or_else(|| wrong("organization", "use the organization's id"))
    }
}

fn wrong(key: &str, reason: &str) -> ConfigError {
    ConfigError {
        key: key.to_owned(),
        reason: reason.to_owned(),
    }
}

/// One organization at LakeSail.
pub(crate) struct LakeSail {
    source: SourceName,
    settings: Settings,
    client: Client,
}

impl Adapter for LakeSail {
    const KIND: Kind = KIND;
    const CAPABILITIES: &'static Capabilities = &Capabilities {
        vantage: Vantage::Hosts,
        operations: &[
            Capability::List,
            Capability::Describe,
            Capability::Health,
            Capability::Kubeconfig,
            Capability::Metrics,
            Capability::Create,
            Capability::Update,
            Capability::Provision,
            Capability::Destroy,
            Capability::Forget,
            Capability::Operations,
        ],
        reports: &[
            "status",
            "orchestrator",
            "location",
            "nodes",
            "owner",
            "network",
            "identifiers",
            "created_at",
            "updated_at",
            "observed_at",
        ],
        detail_only: &["nodes"],
    };
    const DIALECT: Dialect = dialect::DIALECT;
    type Settings = Settings;

    fn connect(source: SourceName, settings: Settings, stack: Stack) -> Result<Self, ConfigError> {
        let settings = settings.checked()?;
        let organization = settings.organization_header()?;
        Ok(Self {
            source,
            settings,
            client: Client::new(stack, organization),
        })
    }

    async fn list_page(&self, cursor: Option<&PageCursor>) -> Result<Page, ProviderError> {
        let cursor = match cursor {
            Some(cursor) => Cursor::parse(cursor)?,
            None => Cursor::begin(
                self.settings
                    .listings
                    .first()
                    .copied()
                    .unwrap_or(Listing::Infra),
            ),
        };
        let (page, next) = match &cursor {
            Cursor::Infra { marker, seen } if self.reads(Listing::Infra) => {
                self.infra_page(marker.as_deref(), *seen).await?
            }
            Cursor::Me { page, seen } if self.reads(Listing::Me) => {
                self.me_page(*page, *seen).await?
            }
            // The settings changed under a walk.
            Cursor::Infra { .. } | Cursor::Me { .. } => {
                return Err(ProviderError::new(
                    ErrorKind::CursorExpired,
                    "list_clusters",
                ));
            }
        };
        Ok(Page {
            next: next.as_ref().map(Cursor::to_cursor),
            ..page
        })
    }

    async fn describe(&self, cluster: &Locator) -> Result<Described, ProviderError> {
        match Address::parse(cluster) {
            Some(Address::Infra {
                connection,
                external,
            }) => {
                let connection = connection.as_deref();
                let answer = self.client.find_infra(connection, &external).await;
                let one = answer.map_err(meant)?;
                // Health is a second, independent call: without it the detail is poorer and still true.
                let health = match connection {
                    Some(connection) => self.client.find_health(connection, &external).await.ok(),
                    None => None,
                };
                map::describe_infra(self.scope(), &external, &one, health.as_ref())
            }
            Some(Address::Me { cluster }) => {
                let one = self.client.find_me(&cluster).await.map_err(meant)?;
                map::describe_me(self.scope(), &cluster, &one)
            }
            None => Err(foreign("describe")),
        }
    }

    async fn health(&self, cluster: &Locator) -> Result<Health, ProviderError> {
        self.read_health(cluster).await
    }

    async fn kubeconfig(&self, cluster: &Locator) -> Result<Kubeconfig, ProviderError> {
        self.read_kubeconfig(cluster).await
    }

    async fn metrics(
        &self,
        cluster: &Locator,
        period: Period,
    ) -> Result<ClusterMetrics, ProviderError> {
        self.read_metrics(cluster, period).await
    }

    async fn create(&self, spec: &ClusterSpec) -> Result<Written, ProviderError> {
        self.create_cluster(spec).await
    }

    async fn find_created(&self, spec: &ClusterSpec) -> Result<Option<Listed>, ProviderError> {
        self.look_for(spec).await
    }

    async fn update(
        &self,
        cluster: &Locator,
        patch: &ClusterPatch,
    ) -> Result<Written, ProviderError> {
        self.update_cluster(cluster, patch).await
    }

    async fn provision(&self, cluster: &Locator) -> Result<Written, ProviderError> {
        self.provision_cluster(cluster).await
    }

    async fn destroy(&self, cluster: &Locator) -> Result<Written, ProviderError> {
        self.destroy_cluster(cluster).await
    }

    async fn forget(&self, cluster: &Locator) -> Result<Written, ProviderError> {
        self.forget_cluster(cluster).await
    }

    /// A record that was never provisioned is pending, one whose infrastructure is gone is destroyed; a failed cluster may
    /// still own what runs.
    fn infrastructure(cluster: &Cluster) -> Infrastructure {
        match cluster.status.state {
            State::Pending | State::Deleted => Infrastructure::None,
            _ => Infrastructure::Possible,
        }
    }

    async fn operation(&self, id: &str) -> Result<Operation, ProviderError> {
        self.read_operation(id).await
    }

    async fn operations(&self, cluster: &Locator) -> Result<Vec<Operation>, ProviderError> {
        self.read_operations(cluster).await
    }
}

impl LakeSail {
    async fn infra_page(
        &self,
        marker: Option<&str>,
        seen: u64,
    ) -> Result<(Page, Option<Cursor>), ProviderError> {
        let answer = self
            .client
            .list_infra(marker, self.settings.page_size)
            .await;
        let list = answer.map_err(|error| match error.kind {
            // Nothing else of this request differs from the first one.
            ErrorKind::Call(FailureKind::Rejected) if marker.is_some() => {
                error.with_kind(ErrorKind::CursorExpired)
            }
            _ => self.refused(Listing::Infra, error),
        })?;
        if list.marker.as_ref().is_none() && !list.marker.is_absent() {
            return Err(truncated("list_infra_clusters", "the marker is no text"));
        }
        let given = list.marker.as_ref().map(String::as_str);
        let next = after_infra(given, seen, rows(&list), total(&list))?;
        let me = || self.reads(Listing::Me).then(|| Cursor::begin(Listing::Me));
        Ok((map::infra_page(self.scope(), &list), next.or_else(me)))
    }

    async fn me_page(&self, page: u64, seen: u64) -> Result<(Page, Option<Cursor>), ProviderError> {
        let limit = self.settings.page_size;
        let answer = self.client.list_me(page, limit).await;
        let list = answer.map_err(|error| self.refused(Listing::Me, error))?;
        let next = after_me(page, seen, rows(&list), limit, total(&list))?;
        Ok((map::me_page(self.scope(), &list), next))
    }

    /// A listing that is refused would hide clusters if the other one alone were taken for all; leaving it out is for the
    /// operator to say.
    fn refused(&self, listing: Listing, error: ProviderError) -> ProviderError {
        let is_refused = matches!(
            error.kind,
            ErrorKind::Call(FailureKind::Forbidden | FailureKind::NotFound)
        );
        let other = self
            .settings
            .listings
            .iter()
            .find(|other| **other != listing);
        match other {
            Some(other) if is_refused => error.with_detail(format!(
                "the listing {:?} is refused; if it is not meant to be read, set listings = [{:?}]",
                listing.as_str(),
                other.as_str()
            )),
            _ => error,
        }
    }

    fn reads(&self, listing: Listing) -> bool {
        self.settings.listings.contains(&listing)
    }

    fn scope(&self) -> Scope<'_> {
        Scope {
            source: &self.source,
            organization: self.settings.organization.as_deref(),
            expose_arn: self.settings.expose_arn,
        }
    }
}

fn rows(list: &List) -> Rows {
    let distinct: HashSet<&str> = list.items.iter().map(|item| item.get()).collect();
    Rows {
        sent: list.items.len(),
        distinct: distinct.len(),
    }
}

fn total(list: &List) -> Option<u64> {
    list.total.as_ref().copied().and_then(count)
}

/// A locator that another adapter wrote.
fn foreign(operation: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::NotFound, operation).with_detail("the locator is of another kind")
}

/// What a failed call for one cluster means: an unknown id is a cluster that is gone, or not for this credential.
fn meant(error: ProviderError) -> ProviderError {
    if error.kind == ErrorKind::Call(FailureKind::NotFound) {
        return error.with_kind(ErrorKind::NotFound);
    }
    let status = error.source.as_ref().and_then(|call| call.status);
    if status == Some(StatusCode::CONFLICT) {
        return error.with_kind(ErrorKind::Conflict);
    }
    error
}
