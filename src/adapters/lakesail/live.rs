//! What is read of one cluster at the moment it is asked for: its health, its access file, what it measured, its operations.

use std::borrow::Cow;

use super::address::Address;
use super::map::{self, Place};
use super::{LakeSail, Listing, foreign, health, meant, metrics, operation};
use crate::domain::{ClusterMetrics, Health, Operation, Period};
use crate::provider::read::text;
use crate::provider::{ErrorKind, Kubeconfig, Locator, ProviderError, Warnings};
use crate::upstream::FailureKind;

/// What a self-registered cluster is told.
const SELF_REGISTERED: &str =
    "the vendor does this only for clusters that it provisions, not for self-registered ones";

impl LakeSail {
    /// Where a cluster is. A read goes before that where the locator does not say it all: without the connection, or by the
    /// platform's own record, which of a self-registered cluster leads nowhere.
    pub(super) async fn place(
        &self,
        operation: &'static str,
        cluster: &Locator,
    ) -> Result<Place, ProviderError> {
        let (connection, external) = match Address::parse(cluster) {
            Some(Address::Infra {
                connection,
                external,
            }) => (connection.map(Cow::into_owned), external.into_owned()),
            Some(Address::Me { cluster }) => {
                let one = self.client.find_me(&cluster).await.map_err(meant)?;
                let record = map::record(&cluster, &one)?;
                let external = record.external.ok_or_else(|| {
                    ProviderError::not_supported(operation).with_public(SELF_REGISTERED)
                })?;
                (record.connection, external)
            }
            None => return Err(foreign(operation)),
        };
        if let Some(connection) = connection {
            return Ok(Place {
                connection,
                external,
            });
        }
        let one = self.client.find_infra(None, &external).await;
        let (connection, _) = map::ids_of(&one.map_err(meant)?, &external);
        let connection = connection.ok_or_else(|| {
            ProviderError::new(ErrorKind::UnexpectedShape, operation)
                .with_detail("the cluster's connection is not told")
        })?;
        Ok(Place {
            connection,
            external,
        })
    }

    /// The vendor's own check. Where it has none, as of a cluster that does not run, health follows from the detail.
    pub(super) async fn read_health(&self, cluster: &Locator) -> Result<Health, ProviderError> {
        let Place {
            connection,
            external,
        } = self.place("health", cluster).await?;
        let checked = self.client.find_health(&connection, &external).await;
        match checked.map_err(meant) {
            Ok(checked) => health::health(&checked).ok_or_else(|| {
                ProviderError::new(ErrorKind::UnexpectedShape, "find_cluster_health")
                    .with_detail("the answer says nothing of health")
            }),
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) => {
                let one = self.client.find_infra(Some(&connection), &external).await;
                let one = one.map_err(meant)?;
                let described = map::describe_infra(self.scope(), &external, &one, None)?;
                Ok(Health::derive(&described.cluster))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn read_kubeconfig(
        &self,
        cluster: &Locator,
    ) -> Result<Kubeconfig, ProviderError> {
        let place = self.place("kubeconfig", cluster).await?;
        let found = self
            .client
            .find_kubeconfig(&place.connection, &place.external)
            .await
            .map_err(meant)?;
        text(&found.kubeconfig, "kubeconfig", &mut Warnings::default())
            .map(Kubeconfig::new)
            .ok_or_else(|| {
                ProviderError::new(ErrorKind::UnexpectedShape, "find_kubeconfig")
                    .with_detail("the answer has no kubeconfig")
            })
    }

    pub(super) async fn read_metrics(
        &self,
        cluster: &Locator,
        period: Period,
    ) -> Result<ClusterMetrics, ProviderError> {
        let place = self.place("metrics", cluster).await?;
        let found = self
            .client
            .find_metrics(&place.connection, &place.external, period)
            .await
            .map_err(meant)?;
        metrics::metrics(period, &found).ok_or_else(|| {
            ProviderError::new(ErrorKind::UnexpectedShape, "find_cluster_metrics")
                .with_detail("the answer has no series that is known")
        })
    }

    pub(super) async fn read_operation(&self, id: &str) -> Result<Operation, ProviderError> {
        let found = self.client.find_operation(id).await.map_err(meant)?;
        operation::operation(&found)
            .filter(|operation| operation.native_id == id)
            .ok_or_else(|| {
                ProviderError::new(ErrorKind::UnexpectedShape, "find_operation")
                    .with_detail("the answer is of another operation")
            })
    }

    /// Those that are sent beside the cluster, and the one that the platform's record names, which may be older.
    pub(super) async fn read_operations(
        &self,
        cluster: &Locator,
    ) -> Result<Vec<Operation>, ProviderError> {
        let (mut operations, named) = match Address::parse(cluster) {
            Some(Address::Infra {
                connection,
                external,
            }) => {
                let connection = connection.as_deref();
                let one = self.client.find_infra(connection, &external).await;
                let one = one.map_err(meant)?;
                let operations = operation::of_cluster(one.included.as_ref(), &external);
                let (_, platform) = map::ids_of(&one, &external);
                let named = match platform.filter(|_| self.reads(Listing::Me)) {
                    Some(platform) => self.named_operation(&platform).await,
                    None => None,
                };
                (operations, named)
            }
            Some(Address::Me { cluster }) => {
                let one = self.client.find_me(&cluster).await.map_err(meant)?;
                let record = map::record(&cluster, &one)?;
                let operations = match &record.external {
                    Some(external) => {
                        let connection = record.connection.as_deref();
                        let one = self.client.find_infra(connection, external).await;
                        match one.map_err(meant) {
                            Ok(one) => operation::of_cluster(one.included.as_ref(), external),
                            // The team's view stands where the organization's is not for this credential.
                            Err(error) if is_hidden(&error) => Vec::new(),
                            Err(error) => return Err(error),
                        }
                    }
                    None => Vec::new(),
                };
                (operations, record.operation)
            }
            None => return Err(foreign("operations")),
        };
        let is_new = |id: &String| !operations.iter().any(|known| known.native_id == *id);
        if let Some(id) = named.filter(is_new)
            && let Ok(operation) = self.read_operation(&id).await
        {
            operations.push(operation);
            operation::newest_first(&mut operations);
        }
        Ok(operations)
    }

    /// The operation that a record of the platform's names; a record that cannot be read names none.
    async fn named_operation(&self, platform: &str) -> Option<String> {
        let one = self.client.find_me(platform).await.ok()?;
        map::record(platform, &one).ok()?.operation
    }
}

fn is_hidden(error: &ProviderError) -> bool {
    matches!(
        error.kind,
        ErrorKind::NotFound | ErrorKind::Call(FailureKind::Forbidden)
    )
}
