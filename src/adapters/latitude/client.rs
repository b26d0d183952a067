//! The calls to Latitude.sh that this gateway makes.

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;

use super::progress::Family;
use super::wire::{
    Document, KubeconfigAttributes, LegacyAttributes, List, LksAttributes, One, Resource,
};
use crate::provider::{ProviderError, envelope};
use crate::upstream::{Answer, Call, Stack, Target};

/// The only version the vendor has ever named; sent so that a future default does not change what we read.
const VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("api-version"),
    HeaderValue::from_static("2023-06-01"),
);

/// The media type of bodies.
const JSON_API: HeaderValue = HeaderValue::from_static("application/vnd.api+json");

/// Every call that we make.
pub(super) struct Client {
    stack: Stack,
}

impl Client {
    pub(super) const fn new(stack: Stack) -> Self {
        Self { stack }
    }

    /// One page of the account's projects, numbered from 1, with their total.
    ///
    /// <https://www.latitude.sh/docs/api-reference/projects/list-projects>
    pub(super) async fn list_projects(&self, page: u64, size: u64) -> Result<List, ProviderError> {
        let target = Target::new("/projects")
            .query("page[number]", &page.to_string())
            .query("page[size]", &size.to_string())
            .query("stats[total]", "count");
        self.list("list_projects", target).await
    }

    /// The legacy clusters of one project, as summaries; there is no paging.
    ///
    /// <https://www.latitude.sh/docs/api-reference/kubernetes-clusters/list-kubernetes-clusters>
    pub(super) async fn list_legacy(&self, project: &str) -> Result<List, ProviderError> {
        let target = Target::new("/kubernetes_clusters").query("project_id", project);
        self.list("list_kubernetes_clusters", target).await
    }

    /// One legacy cluster with its nodes. The path also takes a name, which may be ambiguous: pass an id.
    ///
    /// <https://www.latitude.sh/docs/api-reference/kubernetes-clusters/get-a-kubernetes-cluster>
    pub(super) async fn find_legacy(
        &self,
        id: &str,
    ) -> Result<Resource<LegacyAttributes>, ProviderError> {
        const OPERATION: &str = "find_kubernetes_cluster";
        let target = Target::new("/kubernetes_clusters").segment(id);
        let answer = self.read(OPERATION, target).await?;
        envelope::<One<_>>(OPERATION, &answer.body).map(|one| one.data)
    }

    /// The LKS clusters of one project; there is no paging.
    ///
    /// <https://pypi.org/project/latitudesh-python-sdk/>, the newest description of LKS
    pub(super) async fn list_lks(&self, project: &str) -> Result<List, ProviderError> {
        let target = Target::new("/lks/clusters").query("project_id", project);
        self.list("list_lks_clusters", target).await
    }

    /// One LKS cluster, without its nodes.
    ///
    /// <https://pypi.org/project/latitudesh-python-sdk/>
    pub(super) async fn find_lks(
        &self,
        id: &str,
    ) -> Result<Resource<LksAttributes>, ProviderError> {
        const OPERATION: &str = "find_lks_cluster";
        let target = Target::new("/lks/clusters").segment(id);
        let answer = self.read(OPERATION, target).await?;
        envelope::<One<_>>(OPERATION, &answer.body).map(|one| one.data)
    }

    /// The node pools of one LKS cluster; there is no paging.
    ///
    /// <https://pypi.org/project/latitudesh-python-sdk/>
    pub(super) async fn list_pools(&self, id: &str) -> Result<List, ProviderError> {
        let target = Target::new("/lks/clusters").segment(id).then("/nodepools");
        self.list("list_lks_nodepools", target).await
    }

    /// The nodes of one LKS node pool; there is no paging.
    ///
    /// <https://pypi.org/project/latitudesh-python-sdk/>
    pub(super) async fn list_nodes(&self, id: &str, pool: &str) -> Result<List, ProviderError> {
        let target = Target::new("/lks/clusters")
            .segment(id)
            .then("/nodepools")
            .segment(pool)
            .then("/nodes");
        self.list("list_lks_nodes", target).await
    }

    /// The access file of one cluster. Whoever holds the answer may do anything with the cluster.
    ///
    /// <https://www.latitude.sh/docs/api-reference/kubernetes-clusters/get-a-kubernetes-cluster-kubeconfig>
    pub(super) async fn kubeconfig(
        &self,
        family: Family,
        id: &str,
    ) -> Result<Resource<KubeconfigAttributes>, ProviderError> {
        const OPERATION: &str = "get_kubeconfig";
        let target = clusters(family).segment(id).then("/kubeconfig");
        let answer = self.read(OPERATION, target).await?;
        envelope::<One<_>>(OPERATION, &answer.body).map(|one| one.data)
    }

    /// The versions that the vendor offers.
    ///
    /// <https://www.latitude.sh/docs/api-reference/kubernetes-clusters/list-available-kubernetes-versions>
    pub(super) async fn versions(&self, family: Family) -> Result<List, ProviderError> {
        let path = match family {
            Family::Legacy => "/kubernetes_clusters/available_versions",
            Family::Lks => "/lks/available_versions",
        };
        self.list("list_versions", Target::new(path)).await
    }

    /// Makes a cluster.
    ///
    /// <https://www.latitude.sh/docs/api-reference/kubernetes-clusters/create-a-kubernetes-cluster>
    pub(super) async fn create(
        &self,
        family: Family,
        attributes: &impl Serialize,
    ) -> Result<Answer, ProviderError> {
        let call = Call::write("create_cluster", Method::POST, clusters(family));
        self.write(with_body(call, family, attributes)).await
    }

    /// Changes a cluster.
    ///
    /// <https://www.latitude.sh/docs/api-reference/kubernetes-clusters/update-kubernetes-cluster>
    pub(super) async fn update(
        &self,
        family: Family,
        id: &str,
        attributes: &impl Serialize,
    ) -> Result<Answer, ProviderError> {
        let target = clusters(family).segment(id);
        let call = Call::write("update_cluster", Method::PATCH, target);
        self.write(with_body(call, family, attributes)).await
    }

    /// Destroys a cluster for good.
    ///
    /// <https://www.latitude.sh/docs/api-reference/kubernetes-clusters/delete-a-kubernetes-cluster>
    pub(super) async fn delete(&self, family: Family, id: &str) -> Result<Answer, ProviderError> {
        let target = clusters(family).segment(id);
        self.write(Call::write("delete_cluster", Method::DELETE, target))
            .await
    }

    async fn write(&self, call: Call) -> Result<Answer, ProviderError> {
        let (name, value) = VERSION;
        let operation = call.operation;
        self.stack
            .send(call.header(name, value))
            .await
            .map_err(|error| ProviderError::call(operation, error))
    }

    async fn list(&self, operation: &'static str, target: Target) -> Result<List, ProviderError> {
        let answer = self.read(operation, target).await?;
        envelope(operation, &answer.body)
    }

    async fn read(&self, operation: &'static str, target: Target) -> Result<Answer, ProviderError> {
        let (name, value) = VERSION;
        let call = Call::get(operation, target).header(name, value);
        self.stack
            .send(call)
            .await
            .map_err(|error| ProviderError::call(operation, error))
    }
}

fn clusters(family: Family) -> Target {
    Target::new(match family {
        Family::Legacy => "/kubernetes_clusters",
        Family::Lks => "/lks/clusters",
    })
}

fn with_body(call: Call, family: Family, attributes: &impl Serialize) -> Call {
    let kind = match family {
        Family::Legacy => "kubernetes_clusters",
        Family::Lks => "lks_clusters",
    };
    call.json(&Document::new(kind, attributes))
        .header(CONTENT_TYPE, JSON_API)
}
