//! The calls to LakeSail that this gateway makes.
//!
//! Two of the vendor's DELETEs differ by one path prefix and mean opposite things: [`Client::destroy_infrastructure`] takes
//! down what runs in the cloud account and keeps the record, [`Client::forget_record`] removes the record and leaves running
//! what runs. No write has a key by which the vendor would know it again, so that none is ever repeated.

use http::{HeaderName, HeaderValue, Method};
use serde::de::DeserializeOwned;

use super::dialect::{DPOP, challenge};
use super::spec::{Creation, Update};
use super::wire::{ExternalCluster, Health, Kubeconfig, List, Metrics, One, Operation};
use crate::domain::Period;
use crate::provider::{ErrorKind, ProviderError, envelope};
use crate::upstream::{Answer, Call, FailureKind, Stack, Target};

/// Selects one of the organizations that a credential belongs to.
const ORGANIZATION: HeaderName = HeaderName::from_static("lakesail-organization-id");

/// Every call that we make.
pub(super) struct Client {
    stack: Stack,
    organization: Option<HeaderValue>,
}

impl Client {
    pub(super) const fn new(stack: Stack, organization: Option<HeaderValue>) -> Self {
        Self {
            stack,
            organization,
        }
    }

    /// One page of the organization's external clusters; without a marker the first.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn list_infra(
        &self,
        marker: Option<&str>,
        limit: u64,
    ) -> Result<List, ProviderError> {
        const OPERATION: &str = "list_infra_clusters";
        let mut target = Target::new("/infra/clusters").query("limit", &limit.to_string());
        if let Some(marker) = marker {
            target = target.query("marker", marker);
        }
        let answer = self.read(OPERATION, target).await?;
        envelope(OPERATION, &answer.body)
    }

    /// One page of the clusters that the credential's teams may use, numbered from 1.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn list_me(&self, page: u64, limit: u64) -> Result<List, ProviderError> {
        const OPERATION: &str = "list_my_clusters";
        let target = Target::new("/me/clusters")
            .query("limit", &limit.to_string())
            .query("page", &page.to_string());
        let answer = self.read(OPERATION, target).await?;
        envelope(OPERATION, &answer.body)
    }

    /// One external cluster; the connection is left out of the path where it is not known.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn find_infra(
        &self,
        connection: Option<&str>,
        external: &str,
    ) -> Result<One, ProviderError> {
        const OPERATION: &str = "find_infra_cluster";
        let target = match connection {
            Some(connection) => infra(connection, external),
            None => Target::new("/infra/clusters").segment(external),
        };
        let answer = self.read(OPERATION, target).await?;
        envelope(OPERATION, &answer.body)
    }

    /// The health of one external cluster now.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn find_health(
        &self,
        connection: &str,
        external: &str,
    ) -> Result<Health, ProviderError> {
        const OPERATION: &str = "find_cluster_health";
        let target = infra(connection, external).then("/health");
        let answer = self.read(OPERATION, target).await?;
        envelope(OPERATION, &answer.body)
    }

    /// One of the platform's own records.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn find_me(&self, cluster: &str) -> Result<One, ProviderError> {
        const OPERATION: &str = "find_my_cluster";
        let target = Target::new("/me/clusters").segment(cluster);
        let answer = self.read(OPERATION, target).await?;
        envelope(OPERATION, &answer.body)
    }

    /// One page of the external clusters of one connection; without a marker the first.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn list_connection(
        &self,
        connection: &str,
        marker: Option<&str>,
        limit: u64,
    ) -> Result<List, ProviderError> {
        const OPERATION: &str = "list_connection_clusters";
        let mut target = clusters_of(connection).query("limit", &limit.to_string());
        if let Some(marker) = marker {
            target = target.query("marker", marker);
        }
        let answer = self.read(OPERATION, target).await?;
        envelope(OPERATION, &answer.body)
    }

    /// The access file of one external cluster: a credential.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn find_kubeconfig(
        &self,
        connection: &str,
        external: &str,
    ) -> Result<Kubeconfig, ProviderError> {
        const OPERATION: &str = "find_kubeconfig";
        let target = infra(connection, external).then("/kubeconfig");
        let answer = self.read(OPERATION, target).await?;
        envelope(OPERATION, &answer.body)
    }

    /// What was measured of one external cluster.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn find_metrics(
        &self,
        connection: &str,
        external: &str,
        period: Period,
    ) -> Result<Metrics, ProviderError> {
        const OPERATION: &str = "find_cluster_metrics";
        let target = infra(connection, external)
            .then("/metrics")
            .query("period", &period.to_string());
        let answer = self.read(OPERATION, target).await?;
        envelope(OPERATION, &answer.body)
    }

    /// One operation.
    ///
    /// <https://docs.lakesail.com/platform/tags/operations.html>
    pub(super) async fn find_operation(&self, id: &str) -> Result<Operation, ProviderError> {
        const OPERATION: &str = "find_operation";
        let answer = self
            .read(OPERATION, Target::new("/operations").segment(id))
            .await?;
        envelope(OPERATION, &answer.body)
    }

    /// Makes the record of a cluster; nothing is built by it.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn create_record(
        &self,
        creation: &Creation<'_>,
    ) -> Result<Option<ExternalCluster>, ProviderError> {
        let target = clusters_of(creation.connection_id);
        let call = Call::write("create_cluster", Method::POST, target);
        self.write(call.json(creation)).await
    }

    /// Changes a cluster: a POST to its own path, with its whole configuration.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn update_cluster(
        &self,
        connection: &str,
        external: &str,
        update: &Update,
    ) -> Result<Option<ExternalCluster>, ProviderError> {
        let target = infra(connection, external);
        let call = Call::write("update_cluster", Method::POST, target);
        self.write(call.json(update)).await
    }

    /// Builds the infrastructure of a cluster that is only a record.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn provision_infrastructure(
        &self,
        connection: &str,
        external: &str,
    ) -> Result<Option<Operation>, ProviderError> {
        let target = infra(connection, external).then("/provision");
        self.write(Call::write(
            "provision_infrastructure",
            Method::POST,
            target,
        ))
        .await
    }

    /// Destroys what a cluster has in the cloud account and keeps its record:
    /// `DELETE /infra/connections/{connection}/clusters/{cluster}`.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn destroy_infrastructure(
        &self,
        connection: &str,
        external: &str,
    ) -> Result<Option<Operation>, ProviderError> {
        let target = infra(connection, external);
        self.write(Call::write(
            "destroy_infrastructure",
            Method::DELETE,
            target,
        ))
        .await
    }

    /// Removes the record of a cluster and touches nothing in the cloud account: `DELETE /infra/clusters/{cluster}`.
    ///
    /// <https://docs.lakesail.com/platform/tags/clusters.html>
    pub(super) async fn forget_record(&self, external: &str) -> Result<(), ProviderError> {
        let target = Target::new("/infra/clusters").segment(external);
        let call = Call::write("forget_record", Method::DELETE, target);
        self.send(call).await.map(drop)
    }

    async fn read(&self, operation: &'static str, target: Target) -> Result<Answer, ProviderError> {
        self.send(Call::get(operation, target)).await
    }

    /// Sends a write. What it answers is documented for some of them in prose only, so that no body is no failure.
    async fn write<T: DeserializeOwned>(&self, call: Call) -> Result<Option<T>, ProviderError> {
        let operation = call.operation;
        let answer = self.send(call).await?;
        if answer.body.trim_ascii().is_empty() {
            return Ok(None);
        }
        envelope(operation, &answer.body)
    }

    async fn send(&self, mut call: Call) -> Result<Answer, ProviderError> {
        let operation = call.operation;
        if let Some(organization) = &self.organization {
            call = call.header(ORGANIZATION, organization.clone());
        }
        self.stack.send(call).await.map_err(|error| {
            let error = ProviderError::call(operation, error);
            match refused_scheme(&error) {
                Some(DPOP) => error.with_detail("organization requires DPoP, not supported"),
                Some(scheme) => {
                    let detail = format!("the vendor asks for the scheme {scheme}");
                    error.with_detail(detail)
                }
                None => error,
            }
        })
    }
}

fn clusters_of(connection: &str) -> Target {
    Target::new("/infra/connections")
        .segment(connection)
        .then("/clusters")
}

fn infra(connection: &str, external: &str) -> Target {
    clusters_of(connection).segment(external)
}

/// The scheme that a 401 asks for, which the dialect left in the code.
fn refused_scheme(error: &ProviderError) -> Option<&str> {
    let code = error.source.as_ref()?.code.as_deref()?;
    (error.kind == ErrorKind::Call(FailureKind::Unauthorized)).then(|| challenge(code))?
}
