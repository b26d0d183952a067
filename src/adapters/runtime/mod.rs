//! JFrog Runtime: security monitoring of Kubernetes clusters. It watches them through a controller of its own and runs none.
//!
//! What it calls a cluster's status is the condition of that controller. A token needs the Admin permission, so that it is a
//! powerful one; the calls that hand out or revoke registration tokens are never made.

mod client;
mod dialect;
mod map;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::domain::{Kind, SourceName, Vantage};
use crate::provider::{
    Adapter, Capabilities, Capability, ConfigError, Described, Entry, Environment, ErrorKind,
    Locator, Page, PageCursor, ProviderError, connect,
};
use crate::upstream::{Answer, Dialect, FailureKind, Rate, Scheme, Stack, UpstreamError};

const KIND: Kind = Kind::new("runtime");

const LARGEST_PAGE: u16 = 100;

static CAPABILITIES: Capabilities = Capabilities {
    vantage: Vantage::Observes,
    operations: &[
        Capability::List,
        Capability::Describe,
        Capability::Nodes,
        Capability::Health,
    ],
    reports: &[
        "status",
        "orchestrator",
        "location",
        "nodes",
        "agent",
        "observed_at",
    ],
    // The list has every field of a cluster; the detail adds the list of nodes, which is no field of it.
    detail_only: &[],
};

/// What is known of JFrog Runtime before a source is configured. Every customer has an own address.
pub(super) const ENTRY: Entry = Entry {
    kind: KIND,
    title: "JFrog Runtime",
    documentation: "https://jfrog.com/help/r/jfrog-security-user-guide/products/runtime/apis/get-clusters-list",
    base_url: None,
    environment: Environment {
        token: &["JFROG_ACCESS_TOKEN"],
        base_url: &["JFROG_URL"],
    },
    scheme: Scheme::Bearer,
    // The vendor publishes none.
    rate: Rate {
        calls: 120,
        per: Duration::from_mins(1),
    },
    capabilities: &CAPABILITIES,
    dialect: dialect::DIALECT,
    connect: connect::<Runtime>,
};

/// Where a cluster's detail is: the vendor's documentation and its own client disagree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DetailPath {
    /// Where it was found last; the documented path first.
    #[default]
    Auto,
    /// `/cluster/{id}`, as documented.
    Cluster,
    /// `/clusters/{id}/`, as the vendor's client calls it.
    ClustersSlash,
}

/// JFrog Runtime's own keys of a source.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// What stands before `/clusters` in paths, where the platform is behind a proxy of its own.
    prefix: String,
    /// Where a cluster's detail is.
    detail_path: DetailPath,
    /// Rows of one page, 1 to 100.
    page_size: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: "/runtime/api/v1".to_owned(),
            detail_path: DetailPath::Auto,
            page_size: LARGEST_PAGE,
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, reason: &str| {
            Err(ConfigError {
                key: key.to_owned(),
                reason: reason.to_owned(),
            })
        };
        let is_plain = self
            .prefix
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-_.~".contains(&b));
        let climbs = self
            .prefix
            .split('/')
            .any(|segment| matches!(segment, "." | ".."));
        if !self.prefix.starts_with('/') || self.prefix.contains("//") || !is_plain || climbs {
            return wrong("prefix", "must be an absolute path such as /runtime/api/v1");
        }
        if !(1..=LARGEST_PAGE).contains(&self.page_size) {
            return wrong("page_size", "must be between 1 and 100");
        }
        Ok(())
    }
}

/// One JFrog platform.
pub(crate) struct Runtime {
    source: SourceName,
    client: client::Client,
    page_size: u16,
    detail_path: DetailPath,
    /// In `auto`, whether the path with the slash answered last: a hint that may be lost, never a truth.
    has_slash: AtomicBool,
}

impl Adapter for Runtime {
    const KIND: Kind = KIND;
    const CAPABILITIES: &'static Capabilities = &CAPABILITIES;
    const DIALECT: Dialect = dialect::DIALECT;
    type Settings = Settings;

    fn connect(source: SourceName, settings: Settings, stack: Stack) -> Result<Self, ConfigError> {
        settings.check()?;
        Ok(Self {
            source,
            client: client::Client::new(stack, &settings.prefix, settings.page_size),
            page_size: settings.page_size,
            detail_path: settings.detail_path,
            has_slash: AtomicBool::new(false),
        })
    }

    async fn list_page(&self, cursor: Option<&PageCursor>) -> Result<Page, ProviderError> {
        const OPERATION: &str = "list_clusters";
        let place = match cursor {
            Some(cursor) => Some(
                map::Place::read(cursor)
                    .ok_or(ProviderError::new(ErrorKind::CursorExpired, OPERATION))?,
            ),
            None => None,
        };
        let key = place.as_ref().map(|place| place.key.as_str());
        let answer = self
            .client
            .list_clusters(key)
            .await
            .map_err(|error| match error.kind {
                // Nobody answers at the whole prefix where the product is not there; an empty list would be a 200.
                FailureKind::NotFound if place.is_none() => {
                    ProviderError::call(OPERATION, error).with_kind(ErrorKind::NotEnabled)
                }
                _ => ProviderError::call(OPERATION, error),
            })?;
        map::page(&self.source, place.as_ref(), self.page_size, &answer.body)
    }

    async fn describe(&self, cluster: &Locator) -> Result<Described, ProviderError> {
        const OPERATION: &str = "find_cluster";
        let id = cluster.as_str();
        let answer = self.find(id).await.map_err(|error| match error.kind {
            FailureKind::NotFound => {
                ProviderError::call(OPERATION, error).with_kind(ErrorKind::NotFound)
            }
            _ => ProviderError::call(OPERATION, error),
        })?;
        map::detail(&self.source, id, &answer.body)
    }
}

impl Runtime {
    /// Reads a detail where it is. In `auto` an id that was listed and is not found is looked for at the other path too, so
    /// that a tenant which serves only that one is recognised, and remembered.
    async fn find(&self, id: &str) -> Result<Answer, UpstreamError> {
        let with_slash = match self.detail_path {
            DetailPath::Cluster => return self.client.find_cluster(id).await,
            DetailPath::ClustersSlash => return self.client.find_cluster_with_slash(id).await,
            DetailPath::Auto => self.has_slash.load(Ordering::Relaxed),
        };
        let first = match self.find_at(with_slash, id).await {
            Err(error) if is_elsewhere(&error) => error,
            answer => return answer,
        };
        match self.find_at(!with_slash, id).await {
            Ok(answer) => {
                self.has_slash.store(!with_slash, Ordering::Relaxed);
                Ok(answer)
            }
            // Not found at both: the path that is remembered says what it means.
            Err(error) if is_elsewhere(&error) && first.kind == FailureKind::NotFound => Err(first),
            Err(error) => Err(error),
        }
    }

    async fn find_at(&self, with_slash: bool, id: &str) -> Result<Answer, UpstreamError> {
        if with_slash {
            self.client.find_cluster_with_slash(id).await
        } else {
            self.client.find_cluster(id).await
        }
    }
}

/// Whether the path, rather than the cluster, may be what is not known here.
fn is_elsewhere(error: &UpstreamError) -> bool {
    error.kind == FailureKind::NotFound || error.status == Some(StatusCode::METHOD_NOT_ALLOWED)
}
