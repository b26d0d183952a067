//! Writes. The vendor has no key by which it would know a write again: each is sent once, and what became of one whose answer
//! was lost is found by reading.

use std::collections::HashSet;

use super::cursor::{Cursor, after_infra};
use super::map::{self, Place};
use super::{LakeSail, meant, operation, rows, spec, total, wire};
use crate::domain::{ClusterPatch, ClusterSpec, State};
use crate::provider::{ErrorKind, Listed, Locator, Mistake, ProviderError, Written};

/// Pages of one connection's clusters; more than anybody has.
const MOST_PAGES: usize = 1_000;

impl LakeSail {
    pub(super) async fn create_cluster(
        &self,
        spec: &ClusterSpec,
    ) -> Result<Written, ProviderError> {
        let creation =
            spec::creation(spec).map_err(|mistakes| ProviderError::invalid("create", mistakes))?;
        let answer = self.client.create_record(&creation).await;
        let answer = answer.map_err(|error| uncreated(meant(error)))?;
        let connection = creation.connection_id;
        let cluster = answer
            .map(|external| map::written(self.scope(), "create_cluster", connection, &external))
            .transpose()?;
        // Nothing is built before it is provisioned.
        Ok(Written {
            cluster,
            operation: None,
            is_pending: false,
        })
    }

    /// The newest of the connection's clusters that is as the specification says.
    pub(super) async fn look_for(
        &self,
        spec: &ClusterSpec,
    ) -> Result<Option<Listed>, ProviderError> {
        const OPERATION: &str = "find_created";
        let creation =
            spec::creation(spec).map_err(|mistakes| ProviderError::invalid(OPERATION, mistakes))?;
        let limit = self.settings.page_size;
        let mut found: Option<Listed> = None;
        let mut is_certain = true;
        let mut markers = HashSet::new();
        let (mut marker, mut seen) = (None, 0);
        for _ in 0..MOST_PAGES {
            let list = self
                .client
                .list_connection(creation.connection_id, marker.as_deref(), limit)
                .await?;
            let next = list.marker.as_ref().map(String::as_str);
            let next = after_infra(next, seen, rows(&list), total(&list))?;
            let page = map::infra_page(self.scope(), &list);
            is_certain &= page.rejected.is_empty();
            for listed in page.clusters {
                // A row whose object is missing has its id for a name.
                is_certain &= listed.cluster.name != listed.cluster.native_id;
                let is_newer = found
                    .as_ref()
                    .is_none_or(|found| found.cluster.created_at <= listed.cluster.created_at);
                if is_of(&creation, &listed) && is_newer {
                    found = Some(listed);
                }
            }
            match next {
                Some(Cursor::Infra {
                    marker: Some(next),
                    seen: so_far,
                }) => {
                    if !markers.insert(next.clone()) {
                        return Err(ProviderError::new(ErrorKind::PaginationLoop, OPERATION));
                    }
                    (marker, seen) = (Some(next), so_far);
                }
                _ if found.is_none() && !is_certain => {
                    return Err(ProviderError::new(ErrorKind::UnexpectedShape, OPERATION)
                        .with_detail("a row that cannot be read may be the cluster"));
                }
                _ => return Ok(found),
            }
        }
        Err(ProviderError::new(ErrorKind::PageLimit, OPERATION))
    }

    /// Read, change, send the whole. The answer is the cluster and no operation, so that this is looked for beside it: the one
    /// that was not there before.
    pub(super) async fn update_cluster(
        &self,
        cluster: &Locator,
        patch: &ClusterPatch,
    ) -> Result<Written, ProviderError> {
        const OPERATION: &str = "update";
        let mistakes = spec::mistakes(patch);
        if !mistakes.is_empty() {
            return Err(ProviderError::invalid(OPERATION, mistakes));
        }
        let place = self.place_for(OPERATION, cluster).await?;
        let Place {
            connection,
            external,
        } = &place;
        let before = self.client.find_infra(Some(connection), external).await;
        let before = before.map_err(|error| meant(error).before_write())?;
        let current = map::current(&before, external).map_err(ProviderError::before_write)?;
        let update = spec::update(patch, current)
            .map_err(|mistakes| ProviderError::invalid(OPERATION, mistakes))?;
        let answer = self
            .client
            .update_cluster(connection, external, &update)
            .await
            .map_err(meant)?;
        let cluster = answer
            .map(|answer| self.same("update_cluster", &place, &answer))
            .transpose()?;
        let old = operation::of_cluster(before.included.as_ref(), external);
        let after = self.client.find_infra(Some(connection), external).await;
        let operation = after.ok().and_then(|after| {
            let operations = operation::of_cluster(after.included.as_ref(), external);
            operations
                .into_iter()
                .find(|new| !old.iter().any(|old| old.native_id == new.native_id))
        });
        // A cluster that is only a record is changed at once.
        let is_record = cluster
            .as_ref()
            .is_some_and(|listed| listed.cluster.status.state == State::Pending);
        let is_pending = operation
            .as_ref()
            .map_or(!is_record, |operation| !operation.done);
        Ok(Written {
            cluster,
            operation,
            is_pending,
        })
    }

    pub(super) async fn provision_cluster(
        &self,
        cluster: &Locator,
    ) -> Result<Written, ProviderError> {
        let place = self.place_for("provision", cluster).await?;
        let answer = self
            .client
            .provision_infrastructure(&place.connection, &place.external)
            .await;
        begun("provision_infrastructure", answer).map_err(|error| {
            refused(
                error,
                "the vendor provisions a cluster only while it is pending",
            )
        })
    }

    pub(super) async fn destroy_cluster(
        &self,
        cluster: &Locator,
    ) -> Result<Written, ProviderError> {
        let place = self.place_for("destroy", cluster).await?;
        let answer = self
            .client
            .destroy_infrastructure(&place.connection, &place.external)
            .await;
        begun("destroy_infrastructure", answer).map_err(|error| {
            let text =
                "the vendor destroys the infrastructure of a cluster that is active or failed";
            refused(error, text)
        })
    }

    pub(super) async fn forget_cluster(&self, cluster: &Locator) -> Result<Written, ProviderError> {
        let place = self.place_for("forget", cluster).await?;
        let answer = self.client.forget_record(&place.external).await;
        answer.map_err(|error| {
            let text = "the vendor removes a record only after the infrastructure was destroyed";
            refused(meant(error), text)
        })?;
        Ok(Written::default())
    }

    async fn place_for(
        &self,
        operation: &'static str,
        cluster: &Locator,
    ) -> Result<Place, ProviderError> {
        let place = self.place(operation, cluster).await;
        place.map_err(ProviderError::before_write)
    }

    /// The cluster that a write answered, which has to be the one that was written.
    fn same(
        &self,
        operation: &'static str,
        place: &Place,
        answer: &wire::ExternalCluster,
    ) -> Result<Listed, ProviderError> {
        let listed = map::written(self.scope(), operation, &place.connection, answer)?;
        if listed.cluster.native_id == place.external {
            Ok(listed)
        } else {
            Err(ProviderError::new(ErrorKind::UnexpectedShape, operation)
                .with_detail("the answer is of another cluster"))
        }
    }
}

/// What a write gives that begins work: the operation, if the vendor answers one.
fn begun(
    called: &'static str,
    answer: Result<Option<wire::Operation>, ProviderError>,
) -> Result<Written, ProviderError> {
    let answer = answer.map_err(meant)?;
    let operation = answer
        .map(|answer| {
            operation::operation(&answer).ok_or_else(|| {
                ProviderError::new(ErrorKind::UnexpectedShape, called)
                    .with_detail("the answer names no operation")
            })
        })
        .transpose()?;
    Ok(Written {
        cluster: None,
        is_pending: operation.as_ref().is_none_or(|operation| !operation.done),
        operation,
    })
}

/// A conflict, with what the vendor's pages say of it.
fn refused(error: ProviderError, documented: &'static str) -> ProviderError {
    if error.kind == ErrorKind::Conflict {
        error.with_public(documented)
    } else {
        error
    }
}

/// A failed creation. Its path names a connection and no cluster, so that what is not found is the connection.
fn uncreated(error: ProviderError) -> ProviderError {
    let is_unknown = error.kind == ErrorKind::NotFound;
    let mut error = refused(
        error,
        "the vendor makes clusters only in an active connection with an active network",
    );
    if is_unknown {
        error.kind = ErrorKind::InvalidValues;
        error.mistakes.push(Mistake {
            field: "options.connection_id".to_owned(),
            reason: "the vendor knows no such connection, or not for this credential".to_owned(),
        });
    }
    error
}

/// Whether a cluster is the one that a creation would have made.
fn is_of(creation: &spec::Creation<'_>, listed: &Listed) -> bool {
    let cluster = &listed.cluster;
    let network = cluster.network.as_ref();
    let network = network.and_then(|network| network.network_id.as_deref());
    cluster.name == creation.name
        && cluster
            .location
            .region
            .as_deref()
            .is_none_or(|region| region == creation.region)
        && network.is_none_or(|network| network == creation.network_id)
}
