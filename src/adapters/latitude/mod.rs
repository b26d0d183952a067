//! Latitude.sh: the legacy family `/kubernetes_clusters` and its successor LKS.
//!
//! Neither list works without a project and neither is paginated, so a walk goes from a page of projects to both families of
//! each project and on to the next page. The account's sixty reads a minute pay for all of it. There is no price on any
//! cluster object, and a kubeconfig is asked for only where a caller asks for it: it is a cluster administrator's credential.
//!
//! The vendor has no operations to follow: a write that it accepts is followed by reading the cluster.

mod change;
mod client;
mod create;
mod dialect;
mod form;
mod legacy;
mod lks;
mod map;
mod progress;
mod refused;
#[cfg(test)]
mod tests;
mod versions;
mod wire;
mod write;

use std::time::Duration;

use serde::Deserialize;

use self::client::Client;
use self::progress::{Outcome, Progress, ProjectRef, Request, Rows};
use self::refused::{described, is_not_enabled, is_not_found};
use crate::domain::{Cluster, ClusterPatch, ClusterSpec, Kind, Node, SourceName, State, Vantage};
use crate::provider::{
    self, Adapter, Capabilities, Capability, ConfigError, Described, Entry, Environment, ErrorKind,
    Infrastructure, Kubeconfig, Listed, Locator, Page, PageCursor, ProviderError, Warnings,
    Written,
};
use crate::upstream::{Dialect, Rate, Scheme, Stack};

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
        // `Destroy` leaves no record behind that could be forgotten, and nothing is ever only a record.
        operations: &[
            Capability::List,
            Capability::Describe,
            Capability::Nodes,
            Capability::Health,
            Capability::Kubeconfig,
            Capability::Create,
            Capability::Update,
            Capability::Destroy,
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
        match address(cluster, "describe")? {
            (Family::Legacy, id) => self.describe_legacy(id).await,
            (Family::Lks, id) => self.describe_lks(id).await,
        }
    }

    async fn nodes(&self, cluster: &Locator) -> Result<Vec<Node>, ProviderError> {
        let nodes = match address(cluster, "nodes")? {
            (Family::Legacy, id) => self.describe_legacy(id).await?.nodes,
            (Family::Lks, id) => {
                // The cluster itself says nothing of its nodes.
                let list = self.client.list_pools(id).await.map_err(described)?;
                map::complete(&list, "list_lks_nodepools")?;
                let pools = lks::pools(&list);
                if pools.len() > MAX_POOLS {
                    return Err(ProviderError::new(ErrorKind::PageLimit, "list_lks_nodes")
                        .with_public("the cluster has more node pools than are read at once"));
                }
                let pools = self.read_pools(id, pools).await?;
                lks::nodes(&pools, &mut Warnings::default())
            }
        };
        nodes.ok_or_else(|| {
            ProviderError::new(ErrorKind::UnexpectedShape, "nodes")
                .with_detail("not every node can be read")
        })
    }

    async fn kubeconfig(&self, cluster: &Locator) -> Result<Kubeconfig, ProviderError> {
        let (family, id) = address(cluster, "kubeconfig")?;
        self.read_kubeconfig(family, id).await
    }

    async fn create(&self, spec: &ClusterSpec) -> Result<Written, ProviderError> {
        self.make(spec).await
    }

    async fn find_created(&self, spec: &ClusterSpec) -> Result<Option<Listed>, ProviderError> {
        self.find_made(spec).await
    }

    async fn update(
        &self,
        cluster: &Locator,
        patch: &ClusterPatch,
    ) -> Result<Written, ProviderError> {
        let (family, id) = address(cluster, "update")?;
        self.change(family, id, patch).await
    }

    async fn destroy(&self, cluster: &Locator) -> Result<Written, ProviderError> {
        let (family, id) = address(cluster, "destroy")?;
        self.remove(family, id).await
    }

    fn infrastructure(cluster: &Cluster) -> Infrastructure {
        if cluster.status.state == State::Deleted {
            Infrastructure::None
        } else {
            Infrastructure::Possible
        }
    }
}

/// The family and the id of a cluster; a locator of another kind is of a cluster that is not there.
fn address<'a>(
    cluster: &'a Locator,
    operation: &'static str,
) -> Result<(Family, &'a str), ProviderError> {
    map::address(cluster).ok_or_else(|| {
        ProviderError::new(ErrorKind::NotFound, operation)
            .with_detail("the locator is of another kind")
    })
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

    async fn describe_legacy(&self, id: &str) -> Result<Described, ProviderError> {
        let wire = self.client.find_legacy(id).await.map_err(described)?;
        map::same(&wire, id, "find_kubernetes_cluster")?;
        Ok(legacy::describe(&self.source, id, &wire))
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
