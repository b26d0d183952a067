//! What changes something at the vendor, and the one read that gives out a credential.

use super::change;
use super::create::{self, Creation};
use super::progress::{Family, ProjectRef};
use super::refused::{Asked, described, is_not_found, refused};
use super::versions::{Purpose, minor, newest};
use super::wire::{LegacyReceipt, LksAttributes, One};
use super::{Latitude, legacy, map};
use crate::domain::{ClusterPatch, ClusterSpec, State};
use crate::provider::read::text;
use crate::provider::{
    ErrorKind, Kubeconfig, Listed, Mistake, ProviderError, Warnings, Written, envelope,
};

const CREATE: &str = "create_cluster";
const UPDATE: &str = "update_cluster";
const KUBECONFIG: &str = "get_kubeconfig";

impl Latitude {
    /// Makes a cluster. The answer is all that the vendor gives: there is no operation to follow.
    pub(super) async fn make(&self, spec: &ClusterSpec) -> Result<Written, ProviderError> {
        let listed = match create::read(spec, &self.settings)? {
            Creation::Legacy(mut body) => {
                if let Some(version) = &mut body.kubernetes_version {
                    self.settle(Family::Legacy, version, Purpose::Creation, CREATE)
                        .await?;
                }
                let answer = self.client.create(Family::Legacy, &body).await;
                let answer = answer.map_err(|error| refused(Asked::Create, error))?;
                let one: One<LegacyReceipt> = envelope(CREATE, &answer.body)?;
                map::legacy_created(&self.source, &body.project_id, &one.data)?
            }
            Creation::Lks(mut body) => {
                let version = &mut body.kubernetes_version;
                self.settle(Family::Lks, version, Purpose::Creation, CREATE)
                    .await?;
                let answer = self.client.create(Family::Lks, &body).await;
                let answer = answer.map_err(|error| refused(Asked::Create, error))?;
                let one: One<LksAttributes> = envelope(CREATE, &answer.body)?;
                map::lks_written(&self.source, &one.data, CREATE)?
            }
        };
        Ok(Written {
            cluster: Some(listed),
            operation: None,
            is_pending: true,
        })
    }

    /// Looks for a cluster by its name: the vendor takes no key of ours that would mark it.
    pub(super) async fn find_made(
        &self,
        spec: &ClusterSpec,
    ) -> Result<Option<Listed>, ProviderError> {
        let (family, id) = create::whereabouts(spec, &self.settings)?;
        let project = ProjectRef {
            id,
            name: None,
            environment: None,
        };
        let page = match family {
            Family::Legacy => {
                let list = self.client.list_legacy(&project.id).await?;
                map::legacy_page(&self.source, &project, &list)
            }
            Family::Lks => {
                let list = self.client.list_lks(&project.id).await?;
                map::lks_page(&self.source, &project, &list)?
            }
        };
        let is_it = |listed: &Listed| {
            let status = &listed.cluster.status;
            listed.cluster.name == spec.name.trim()
                && !matches!(status.state, State::Deleting | State::Deleted)
        };
        // Names may repeat: the newest is the one that was just asked for, if any of them is.
        let found = page.clusters.into_iter().filter(is_it);
        let found = found.max_by_key(|listed| listed.cluster.created_at);
        if found.is_none() && !page.rejected.is_empty() {
            return Err(ProviderError::new(ErrorKind::UnexpectedShape, CREATE)
                .with_detail("a row that cannot be read may be the cluster"));
        }
        Ok(found)
    }

    /// Changes a cluster.
    pub(super) async fn change(
        &self,
        family: Family,
        id: &str,
        patch: &ClusterPatch,
    ) -> Result<Written, ProviderError> {
        match family {
            Family::Legacy => {
                let mut body = change::legacy(patch)?;
                if let Some(version) = &mut body.kubernetes_version {
                    self.settle(family, version, Purpose::Upgrade, UPDATE)
                        .await?;
                }
                let answer = self.client.update(family, id, &body).await;
                let answer = answer.map_err(|error| refused(Asked::Update, error))?;
                let one: One<LegacyReceipt> = envelope(UPDATE, &answer.body)?;
                let receipt = one.data.attributes.as_ref().cloned().unwrap_or_default();
                let word = text(&receipt.status, "status", &mut Warnings::default());
                Ok(Written {
                    // The answer names the change and not the cluster.
                    cluster: None,
                    operation: None,
                    is_pending: !word.is_some_and(|word| word.eq_ignore_ascii_case("unchanged")),
                })
            }
            Family::Lks => {
                let mut body = change::lks(patch)?;
                if let Some(version) = &mut body.kubernetes_version {
                    self.settle(family, version, Purpose::Upgrade, UPDATE)
                        .await?;
                }
                let answer = self.client.update(family, id, &body).await;
                let answer = answer.map_err(|error| refused(Asked::Update, error))?;
                let one: One<LksAttributes> = envelope(UPDATE, &answer.body)?;
                map::same(&one.data, id, UPDATE)?;
                let listed = map::lks_written(&self.source, &one.data, UPDATE)?;
                let is_idle = listed.cluster.status.state == State::Running;
                Ok(Written {
                    cluster: Some(listed),
                    operation: None,
                    is_pending: body.kubernetes_version.is_some() || !is_idle,
                })
            }
        }
    }

    /// Destroys a cluster; what remains to be done goes on after the answer.
    pub(super) async fn remove(&self, family: Family, id: &str) -> Result<Written, ProviderError> {
        let answer = self.client.delete(family, id).await;
        answer.map_err(|error| refused(Asked::Destroy, error))?;
        Ok(Written {
            cluster: None,
            operation: None,
            is_pending: true,
        })
    }

    /// Reads a cluster's access file.
    pub(super) async fn read_kubeconfig(
        &self,
        family: Family,
        id: &str,
    ) -> Result<Kubeconfig, ProviderError> {
        let shape =
            |detail| ProviderError::new(ErrorKind::UnexpectedShape, KUBECONFIG).with_detail(detail);
        match self.client.kubeconfig(family, id).await {
            Ok(wire) => wire
                .attributes
                .into_known()
                .and_then(|attributes| attributes.kubeconfig.into_known())
                .filter(|yaml| !yaml.trim().is_empty())
                .map(Kubeconfig::new)
                .ok_or_else(|| shape("no kubeconfig in the answer")),
            // The vendor says the same of a cluster that is not there and of a kubeconfig that is not there yet.
            Err(error) if family == Family::Legacy && is_not_found(&error) => {
                Err(self.missing(id, error).await)
            }
            Err(error) => Err(refused(Asked::Kubeconfig, error)),
        }
    }

    /// Why there is no kubeconfig of a legacy cluster: one more call tells.
    async fn missing(&self, id: &str, error: ProviderError) -> ProviderError {
        let wire = match self.client.find_legacy(id).await {
            Ok(wire) => wire,
            Err(error) => return described(error),
        };
        let state = legacy::describe(&self.source, id, &wire)
            .cluster
            .status
            .state;
        match state {
            State::Failed | State::Deleting | State::Deleted => error
                .with_kind(ErrorKind::Conflict)
                .with_public("the cluster failed or is being deleted, and has no kubeconfig"),
            _ => error.with_kind(ErrorKind::NotReady).with_public(
                "the cluster is not provisioned yet, and there is no kubeconfig before",
            ),
        }
    }

    /// Makes a release of a minor version, where no more than that was said.
    async fn settle(
        &self,
        family: Family,
        version: &mut String,
        purpose: Purpose,
        operation: &'static str,
    ) -> Result<(), ProviderError> {
        let Some(minor) = minor(version) else {
            return Ok(());
        };
        let list = self.client.versions(family).await;
        let list = list.map_err(|error| refused(Asked::Create, error).before_write())?;
        let Some(release) = newest(family, &list, minor, purpose) else {
            let mistake = Mistake {
                field: "version".to_owned(),
                reason: "the vendor offers no release of this version".to_owned(),
            };
            return Err(ProviderError::invalid(operation, vec![mistake]));
        };
        *version = release;
        Ok(())
    }
}
