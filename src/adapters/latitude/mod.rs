//! Latitude.sh: the legacy family `/kubernetes_clusters` and its successor LKS.
//!
//! Neither list works without a project and neither is paginated, so a walk goes from a page of projects to both families of
//! each project and on to the next page. The account's sixty reads a minute pay for all of it. There is no price on any
//! cluster object, and a kubeconfig is never asked for.

mod client;
mod dialect;
mod legacy;
mod lks;
mod map;
mod progress;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use serde::Deserialize;

use self::client::Client;
use self::progress::{Outcome, Progress, ProjectRef, Request, Rows};
use crate::domain::{Kind, SourceName, Vantage};
use crate::provider::{
    self, Adapter, Capabilities, Capability, ConfigError, Described, Entry, Environment, ErrorKind,
    Locator, Page, PageCursor, ProviderError,
};
use crate::upstream::{Dialect, FailureKind, Rate, Scheme, Stack};

pub(crate) use self::progress::Family;

const KIND: Kind = Kind::new("latitude");

/// Node pools whose nodes one detail reads at most: each costs one of sixty calls a minute.
const MAX_POOLS: usize = 20;

/// The catalog's row.
pub(crate) const ENTRY: Entry = Entry {
    kind: KIND,
    title: "Latitude.sh",
    documentation: "https://www.latitude.sh/docs/api-reference/kubernetes-clusters/get-a-kubernetes-cluster",
    base_url: Some("https://api.latitude.sh"),
    environment: Environment {
        token: &["LATITUDESH_AUTH_TOKEN", "LATITUDESH_BEARER"],
        base_url: &[],
    },
    scheme: Scheme::Bearer,
    // The vendor allows 60 reads a minute; a few are left to the operator's other programs.
    rate: Rate {
        calls: 55,
        per: Duration::from_mins(1),
    },
    capabilities: Latitude::CAPABILITIES,
    dialect: dialect::DIALECT,
    connect: provider::connect::<Latitude>,
};

/// What a source of this provider may set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// The products to read.
    families: Vec<Family>,
    /// Ids of the projects to read; empty reads every project of the account.
    projects: Vec<String>,
    /// Projects to ask for at once.
    page_size: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            families: vec![Family::Legacy, Family::Lks],
            projects: Vec::new(),
            page_size: 100,
        }
    }
}

impl Settings {
    fn checked(mut self) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: &str| ConfigError {
            key: key.to_owned(),
            reason: reason.to_owned(),
        };
        self.families.sort_unstable();
        self.families.dedup();
        if self.families.is_empty() {
            return Err(wrong("families", "name \"legacy\", \"lks\" or both"));
        }
        if self.projects.iter().any(|id| id.trim().is_empty()) {
            return Err(wrong("projects", "a project id is empty"));
        }
        if !(1..=1_000).contains(&self.page_size) {
            return Err(wrong("page_size", "use a number from 1 to 1000"));
        }
        let mut known = std::collections::HashSet::new();
        self.projects.retain(|id| known.insert(id.clone()));
        Ok(self)
    }
}

/// One account of Latitude.sh.
pub(crate) struct Latitude {
    source: SourceName,
    settings: Settings,
    client: Client,
}

impl Adapter for Latitude {
    const KIND: Kind = KIND;
    const CAPABILITIES: &'static Capabilities = &Capabilities {
        vantage: Vantage::Hosts,
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
            "environment",
            "nodes",
            "owner",
            "steps",
            "network",
            "created_at",
            "updated_at",
            "observed_at",
        ],
        detail_only: &["nodes"],
    };
    const DIALECT: Dialect = dialect::DIALECT;
    type Settings = Settings;

    fn connect(source: SourceName, settings: Settings, stack: Stack) -> Result<Self, ConfigError> {
        Ok(Self {
            source,
            settings: settings.checked()?,
            client: Client::new(stack),
        })
    }

    async fn list_page(&self, cursor: Option<&PageCursor>) -> Result<Page, ProviderError> {
        let families = &self.settings.families;
        let mut progress = match cursor {
            None => Progress::start(families),
            Some(cursor) => Progress::parse(cursor, families)?,
        };
        progress.refill(&self.settings.projects);
        let (page, next) = match progress.request() {
            Request::Projects(number) => {
                if !self.settings.projects.is_empty() {
                    return Err(ProviderError::new(
                        ErrorKind::CursorExpired,
                        "list_clusters",
                    ));
                }
                let size = self.settings.page_size;
                let list = self.client.list_projects(number, size).await?;
                let (projects, page) = map::projects(&list);
                let rows = Rows {
                    sent: list.data.len(),
                    distinct: map::distinct(&list),
                    asked: size,
                };
                let total = map::projects_total(&list);
                let next = progress.after_projects(projects, rows, total, families)?;
                (page, next)
            }
            Request::Clusters(project, family) => {
                let (page, outcome) = self.list_family(project, family).await?;
                (page, progress.after_clusters(outcome, families)?)
            }
        };
        Ok(Page {
            next: next.as_ref().map(Progress::to_cursor),
            ..page
        })
    }

    async fn describe(&self, cluster: &Locator) -> Result<Described, ProviderError> {
        let Some((family, id)) = map::address(cluster) else {
            return Err(ProviderError::new(ErrorKind::NotFound, "describe")
                .with_detail("the locator is of another kind"));
        };
        match family {
            Family::Legacy => {
                let wire = self.client.find_legacy(id).await.map_err(described)?;
                map::same(&wire, id, "find_kubernetes_cluster")?;
                Ok(legacy::describe(&self.source, id, &wire))
            }
            Family::Lks => self.describe_lks(id).await,
        }
    }
}

impl Latitude {
    /// One project's list of one family. A product that the team does not have, a project that vanished since it was listed
    /// and a family that was retired have no clusters; anything else that fails is a failure.
    async fn list_family(
        &self,
        project: &ProjectRef,
        family: Family,
    ) -> Result<(Page, Outcome), ProviderError> {
        let answer = match family {
            Family::Legacy => self.client.list_legacy(&project.id).await,
            Family::Lks => self.client.list_lks(&project.id).await,
        };
        match answer {
            Ok(list) => {
                let page = match family {
                    Family::Legacy => map::legacy_page(&self.source, project, &list),
                    Family::Lks => map::lks_page(&self.source, project, &list)?,
                };
                Ok((page, Outcome::Answered))
            }
            Err(error) if is_not_enabled(&error) => Ok((Page::default(), Outcome::Refused)),
            Err(error) if is_not_found(&error) => Ok((Page::default(), Outcome::Gone)),
            Err(error) => Err(error),
        }
    }

    /// The cluster, its pools and the nodes of each pool: two calls and one for each pool.
    async fn describe_lks(&self, id: &str) -> Result<Described, ProviderError> {
        let wire = self.client.find_lks(id).await.map_err(described)?;
        map::same(&wire, id, "find_lks_cluster")?;
        let pools = match self.client.list_pools(id).await {
            Ok(list) => {
                map::complete(&list, "list_lks_nodepools")?;
                Some(self.read_pools(id, lks::pools(&list)).await?)
            }
            // Nothing is known of the pools of a cluster that is being removed.
            Err(error) if is_not_found(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(lks::describe(&self.source, id, &wire, pools.as_deref()))
    }

    /// Adds the nodes to the pools, unless there are so many pools that their nodes would eat up the account's calls.
    async fn read_pools(
        &self,
        id: &str,
        mut pools: Vec<lks::Pool>,
    ) -> Result<Vec<lks::Pool>, ProviderError> {
        if pools.len() > MAX_POOLS {
            return Ok(pools);
        }
        for pool in &mut pools {
            let Some(pool_id) = pool.id() else { continue };
            match self.client.list_nodes(id, pool_id).await {
                Ok(list) => {
                    map::complete(&list, "list_lks_nodes")?;
                    pool.nodes = Some(list);
                }
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(pools)
    }
}

/// What a failed detail call means: an unknown id is a cluster that is gone.
fn described(error: ProviderError) -> ProviderError {
    if is_not_found(&error) {
        error.with_kind(ErrorKind::NotFound)
    } else if is_not_enabled(&error) {
        error.with_kind(ErrorKind::NotEnabled)
    } else {
        error
    }
}

fn is_not_found(error: &ProviderError) -> bool {
    error.kind == ErrorKind::Call(FailureKind::NotFound)
}

/// The team does not have the product, which is another thing than a role that may not read.
fn is_not_enabled(error: &ProviderError) -> bool {
    let code = error.source.as_ref().and_then(|call| call.code.as_deref());
    error.kind == ErrorKind::Call(FailureKind::Forbidden)
        && code.is_some_and(|code| code.eq_ignore_ascii_case("FEATURE_NOT_ENABLED"))
}
