//! From Latitude.sh's answers to pages and clusters. No I/O: values in, values out.

use std::collections::HashSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::KIND;
use super::legacy;
use super::lks;
use super::progress::{Family, ProjectRef};
use super::wire::{LegacyReceipt, List, LksAttributes, ProjectAttributes, Resource};
use crate::domain::{Cluster, Project, SourceName, State, Vantage, count};
use crate::provider::read::{id, number, text};
use crate::provider::{
    ErrorKind, Listed, Locator, Page, ProviderError, Rejected, Warnings, object, raw,
};

/// A total beyond this is no count of one project's clusters.
const PLAUSIBLE: u64 = 10_000_000;

/// A cluster's address: the family decides which calls describe it.
pub(super) fn locator(family: Family, id: &str) -> Locator {
    let family = match family {
        Family::Legacy => "legacy",
        Family::Lks => "lks",
    };
    Locator::new(format!("{family}/{id}"))
}

/// Reads an address back; `None` when it is not one of ours.
pub(super) fn address(locator: &Locator) -> Option<(Family, &str)> {
    let (family, id) = locator.as_str().split_once('/')?;
    let family = match family {
        "legacy" => Family::Legacy,
        "lks" => Family::Lks,
        _ => return None,
    };
    (!id.is_empty()).then_some((family, id))
}

/// Projects of one page. A project that cannot be addressed hides clusters, so it counts as a rejected item.
pub(super) fn projects(list: &List) -> (Vec<ProjectRef>, Page) {
    let mut page = Page::default();
    let mut projects: Vec<ProjectRef> = Vec::new();
    let mut known = HashSet::new();
    for item in &list.data {
        let resource = object::<Resource<ProjectAttributes>>(item);
        let Some(resource) = resource.filter(|resource| id(&resource.id).is_some()) else {
            page.rejected.push(Rejected {
                native_id: None,
                reason: "a project without a usable id",
            });
            continue;
        };
        let project_id = id(&resource.id).unwrap_or_default().to_owned();
        // A project that comes twice would cost its calls twice.
        if !known.insert(project_id.clone()) {
            continue;
        }
        let attributes = resource
            .attributes
            .take("project.attributes", &mut page.warnings)
            .unwrap_or_default();
        projects.push(ProjectRef {
            id: project_id,
            name: text(&attributes.name, "project.name", &mut page.warnings),
            environment: text(
                &attributes.environment,
                "project.environment",
                &mut page.warnings,
            )
            .map(|word| word.to_lowercase()),
        });
    }
    page.fingerprint = Page::fingerprint("projects", projects.iter().map(|p| p.id.as_str()));
    (projects, page)
}

/// How many projects the account has, where the vendor says.
pub(super) fn projects_total(list: &List) -> Option<u64> {
    let stats = list.meta.as_ref()?.stats.as_ref()?;
    count(*stats.total.as_ref()?.count.as_ref()?)
}

/// How many rows of a list are not repetitions of another.
pub(super) fn distinct(list: &List) -> usize {
    let rows: HashSet<&str> = list.data.iter().map(|row| row.get()).collect();
    rows.len()
}

/// Legacy clusters of one project.
pub(super) fn legacy_page(source: &SourceName, project: &ProjectRef, list: &List) -> Page {
    page(Family::Legacy, source, project, list, legacy::fill)
}

/// LKS clusters of one project. An LKS list says how many it holds; fewer rows than that are no whole list.
pub(super) fn lks_page(
    source: &SourceName,
    project: &ProjectRef,
    list: &List,
) -> Result<Page, ProviderError> {
    complete(list, "list_lks_clusters")?;
    Ok(page(Family::Lks, source, project, list, lks::fill))
}

/// Fails where a list's own `meta.total` is more than its rows: it has become paginated, or was cut.
pub(super) fn complete(list: &List, operation: &'static str) -> Result<(), ProviderError> {
    let mut ignored = Warnings::default();
    let total = list
        .meta
        .as_ref()
        .and_then(|meta| number(&meta.total, "meta.total", &mut ignored))
        .filter(|total| *total <= PLAUSIBLE);
    if total.is_some_and(|total| total > list.data.len() as u64) {
        return Err(ProviderError::new(ErrorKind::Truncated, operation)
            .with_detail("fewer rows than the list's own total"));
    }
    Ok(())
}

/// One project's clusters of one family; neither list is paginated.
fn page<T>(
    family: Family,
    source: &SourceName,
    project: &ProjectRef,
    list: &List,
    fill: impl Fn(&mut Cluster, &T, &mut Warnings),
) -> Page
where
    T: Clone + Default + Serialize + DeserializeOwned,
{
    let mut page = Page::default();
    let mut ids = Vec::with_capacity(list.data.len());
    for item in &list.data {
        let (id, wire) = match resource::<T>(item) {
            Ok(resource) => resource,
            Err(rejected) => {
                ids.extend(rejected.native_id.clone());
                page.rejected.push(rejected);
                continue;
            }
        };
        ids.push(id.clone());
        let attributes = wire.attributes.as_ref().cloned().unwrap_or_default();
        let mut cluster = begin(source, &id);
        fill(&mut cluster, &attributes, &mut page.warnings);
        belong(&mut cluster, project);
        page.clusters.push(Listed {
            cluster,
            locator: locator(family, &id),
            raw: raw(&wire),
            nodes: None,
        });
    }
    // The project is part of the name: every empty-handed project would otherwise look like the one before.
    let name = format!("{family:?}/{}", project.id);
    page.fingerprint = Page::fingerprint(&name, ids.iter().map(String::as_str));
    page
}

/// A cluster of which only the id is known, which is its name until it says another.
pub(super) fn begin(source: &SourceName, id: &str) -> Cluster {
    Cluster::new(source, KIND, id, id, Vantage::Hosts)
}

fn resource<T: DeserializeOwned>(item: &RawValue) -> Result<(String, Resource<T>), Rejected> {
    let rejected = |native_id: Option<&str>, reason| Rejected {
        native_id: native_id.map(str::to_owned),
        reason,
    };
    let wire: Resource<T> = object(item).ok_or_else(|| rejected(None, "not a resource object"))?;
    let Some(id) = id(&wire.id).map(str::to_owned) else {
        return Err(rejected(None, "no usable id"));
    };
    // Absent attributes say nothing; attributes of another type say that the row is not what we think it is.
    if wire.attributes.as_ref().is_none() && !wire.attributes.is_absent() {
        return Err(rejected(Some(&id), "attributes are not an object"));
    }
    Ok((id, wire))
}

/// Adds what only the query and the list of projects say, unless the cluster says that it belongs elsewhere.
fn belong(cluster: &mut Cluster, project: &ProjectRef) {
    let owner = cluster.owner.project.get_or_insert_default();
    let id = owner.id.get_or_insert_with(|| project.id.clone());
    if *id != project.id {
        return;
    }
    if owner.name.is_none() {
        owner.name.clone_from(&project.name);
    }
    cluster.environment.clone_from(&project.environment);
}

/// A legacy cluster that was just made, of which the vendor says little: a word of its own, and no phase yet.
pub(super) fn legacy_created(
    source: &SourceName,
    project: &str,
    wire: &Resource<LegacyReceipt>,
) -> Result<Listed, ProviderError> {
    let id = written(wire, "create_cluster")?;
    let receipt = attributes(wire);
    let mut ignored = Warnings::default();
    let mut cluster = begin(source, id);
    if let Some(name) = text(&receipt.name, "name", &mut ignored) {
        cluster.name = name;
    }
    cluster.status.native = text(&receipt.status, "status", &mut ignored);
    cluster.status.state = State::Provisioning;
    cluster.location.cloud = Some("latitude".to_owned());
    let endpoint = &receipt.control_plane_endpoint;
    cluster.orchestrator.endpoint = text(endpoint, "control_plane_endpoint", &mut ignored);
    cluster.owner.project = Some(Project {
        id: Some(project.to_owned()),
        name: None,
    });
    Ok(Listed {
        locator: locator(Family::Legacy, id),
        cluster,
        raw: raw(wire),
        nodes: None,
    })
}

/// An LKS cluster that was just made or changed.
pub(super) fn lks_written(
    source: &SourceName,
    wire: &Resource<LksAttributes>,
    operation: &'static str,
) -> Result<Listed, ProviderError> {
    let id = written(wire, operation)?;
    let mut cluster = begin(source, id);
    lks::fill(&mut cluster, &attributes(wire), &mut Warnings::default());
    Ok(Listed {
        locator: locator(Family::Lks, id),
        cluster,
        raw: raw(wire),
        nodes: None,
    })
}

/// The id of what was written; without one the cluster may be there all the same.
fn written<'a, T>(
    wire: &'a Resource<T>,
    operation: &'static str,
) -> Result<&'a str, ProviderError> {
    id(&wire.id).ok_or_else(|| {
        ProviderError::new(ErrorKind::UnexpectedShape, operation)
            .with_detail("the answer names no cluster")
    })
}

/// Fails where a detail answer is of another cluster than was asked for.
pub(super) fn same<T>(
    wire: &Resource<T>,
    asked: &str,
    operation: &'static str,
) -> Result<(), ProviderError> {
    let shape =
        |detail| ProviderError::new(ErrorKind::UnexpectedShape, operation).with_detail(detail);
    if id(&wire.id) != Some(asked) {
        return Err(shape("the answer is of another cluster"));
    }
    if wire.attributes.as_ref().is_none() {
        return Err(shape("no attributes"));
    }
    Ok(())
}

/// The attributes of a detail that [`same`] has let through.
pub(super) fn attributes<T: Clone + Default>(wire: &Resource<T>) -> T {
    wire.attributes.as_ref().cloned().unwrap_or_default()
}
