//! The calls to LakeSail that this gateway makes: reads only. Two of the vendor's DELETEs differ by one path prefix and mean
//! opposite things; neither is here, nor is the kubeconfig.

use http::{HeaderName, HeaderValue};

use super::dialect::{DPOP, challenge};
use super::wire::{Health, List, One};
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

    async fn read(&self, operation: &'static str, target: Target) -> Result<Answer, ProviderError> {
        let mut call = Call::get(operation, target);
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

fn infra(connection: &str, external: &str) -> Target {
    Target::new("/infra/connections")
        .segment(connection)
        .then("/clusters")
        .segment(external)
}

/// The scheme that a 401 asks for, which the dialect left in the code.
fn refused_scheme(error: &ProviderError) -> Option<&str> {
    let code = error.source.as_ref()?.code.as_deref()?;
    (error.kind == ErrorKind::Call(FailureKind::Unauthorized)).then(|| challenge(code))?
}
