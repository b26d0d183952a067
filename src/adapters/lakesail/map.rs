//! From LakeSail's answers to pages and clusters. No I/O: values in, values out.
//!
//! Order and membership come from `items`, which hold references only; the objects stand once in `included`, and one that is
//! missing there costs its fields, not its cluster.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::address::Address;
use super::cluster::{Scope, Views, cluster};
use super::spec::Current;
use super::wire::{
    Both, Connection, ExternalCluster, Health, Included, InfraReference, List, MeReference, One,
    PlatformCluster,
};
use crate::provider::read::id;
use crate::provider::{
    Described, ErrorKind, Listed, Loose, Page, ProviderError, Rejected, Warnings, object, raw,
};

/// One page of `/infra/clusters`.
pub(super) fn infra_page(scope: Scope<'_>, list: &List) -> Page {
    let included = InfraIncluded::read(list.included.as_ref());
    let mut page = Page::default();
    let mut ids = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let Some(reference) = object::<InfraReference>(item) else {
            page.rejected.push(rejected(None, "not a reference object"));
            continue;
        };
        let Some(external_id) = id(&reference.id) else {
            page.rejected.push(rejected(None, "no usable id"));
            continue;
        };
        ids.push(external_id.to_owned());
        let listed = included.listed(scope, external_id, &reference, &mut page.warnings);
        page.clusters.push(listed);
    }
    page.fingerprint = Page::fingerprint("infra", ids.iter().map(String::as_str));
    page
}

/// One page of `/me/clusters`.
pub(super) fn me_page(scope: Scope<'_>, list: &List) -> Page {
    let included = MeIncluded::read(list.included.as_ref());
    let mut page = Page::default();
    let mut ids = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let Some(reference) = object::<MeReference>(item) else {
            page.rejected.push(rejected(None, "not a reference object"));
            continue;
        };
        let Some(cluster_id) = id(&reference.id) else {
            let external = id(&reference.external_cluster_id);
            ids.extend(external.map(str::to_owned));
            page.rejected.push(rejected(external, "no usable id"));
            continue;
        };
        ids.push(cluster_id.to_owned());
        let listed = included.listed(scope, cluster_id, &reference, &mut page.warnings);
        page.clusters.push(listed);
    }
    page.fingerprint = Page::fingerprint("me", ids.iter().map(String::as_str));
    page
}

/// One external cluster, and its health where that could be had.
pub(super) fn describe_infra(
    scope: Scope<'_>,
    asked: &str,
    one: &One,
    health: Option<&Health>,
) -> Result<Described, ProviderError> {
    const OPERATION: &str = "find_infra_cluster";
    let reference: InfraReference = object(&one.item).ok_or_else(|| other(OPERATION))?;
    if id(&reference.id) != Some(asked) {
        return Err(other(OPERATION));
    }
    let mut warnings = Warnings::default();
    let included = InfraIncluded::read(one.included.as_ref());
    let views = Views {
        health,
        ..included.views(asked, &reference)
    };
    Ok(Described {
        cluster: cluster(scope, asked, &views, &mut warnings),
        nodes: None,
        raw: included.raw(scope, asked, &reference),
        warnings,
    })
}

/// One of the platform's own records.
pub(super) fn describe_me(
    scope: Scope<'_>,
    asked: &str,
    one: &One,
) -> Result<Described, ProviderError> {
    const OPERATION: &str = "find_my_cluster";
    let reference: MeReference = object(&one.item).ok_or_else(|| other(OPERATION))?;
    if id(&reference.id) != Some(asked) {
        return Err(other(OPERATION));
    }
    let mut warnings = Warnings::default();
    let included = MeIncluded::read(one.included.as_ref());
    let listed = included.listed(scope, asked, &reference, &mut warnings);
    Ok(Described {
        cluster: listed.cluster,
        nodes: None,
        raw: listed.raw,
        warnings,
    })
}

/// Where a cluster is: the ids that every call for it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) connection: String,
    pub(super) external: String,
}

/// What a record of the platform's leads to.
#[derive(Debug)]
pub(super) struct Record {
    /// `None` for a self-registered cluster.
    pub(super) external: Option<String>,
    pub(super) connection: Option<String>,
    /// The latest operation, as far as the record tells.
    pub(super) operation: Option<String>,
}

/// The connection of an external cluster and the platform's id of it, as far as its detail tells.
pub(super) fn ids_of(one: &One, external_id: &str) -> (Option<String>, Option<String>) {
    let Some(reference) = object::<InfraReference>(&one.item) else {
        return (None, None);
    };
    let included = InfraIncluded::read(one.included.as_ref());
    let views = included.views(external_id, &reference);
    let owned = |id: Option<&str>| id.map(str::to_owned);
    (owned(views.connection_id), owned(views.platform_id))
}

/// Reads a record of the platform's for where it leads to.
pub(super) fn record(asked: &str, one: &One) -> Result<Record, ProviderError> {
    const OPERATION: &str = "find_my_cluster";
    let reference: MeReference = object(&one.item).ok_or_else(|| other(OPERATION))?;
    if id(&reference.id) != Some(asked) {
        return Err(other(OPERATION));
    }
    let included = MeIncluded::read(one.included.as_ref());
    let (external, connection) = included.place(asked, &reference);
    let platform = included.platforms.get(asked);
    Ok(Record {
        external: external.map(str::to_owned),
        connection: connection.map(str::to_owned),
        operation: platform
            .and_then(|platform| id(&platform.operation_id))
            .map(str::to_owned),
    })
}

/// An external cluster as it is before a change, with all of its configuration.
pub(super) fn current(one: &One, external_id: &str) -> Result<Current, ProviderError> {
    const OPERATION: &str = "find_infra_cluster";
    #[derive(Deserialize)]
    struct Whole {
        id: String,
        #[serde(default)]
        name: Loose<String>,
        config: Map<String, Value>,
    }
    let reference: InfraReference = object(&one.item).ok_or_else(|| other(OPERATION))?;
    if id(&reference.id) != Some(external_id) {
        return Err(other(OPERATION));
    }
    let included = one.included.as_ref();
    let rows = included.and_then(|included| included.clusters.as_ref());
    let mut wholes = rows
        .into_iter()
        .flatten()
        .filter_map(|item| object::<Whole>(item));
    let whole = wholes.find(|whole| whole.id == external_id);
    let whole = whole.ok_or_else(|| {
        ProviderError::new(ErrorKind::UnexpectedShape, OPERATION)
            .with_detail("the answer has no configuration of the cluster")
    })?;
    Ok(Current {
        name: whole.name.as_ref().cloned(),
        config: whole.config,
    })
}

/// An external cluster as a write answers it: alone, and perhaps without its connection.
pub(super) fn written(
    scope: Scope<'_>,
    operation: &'static str,
    connection: &str,
    external: &ExternalCluster,
) -> Result<Listed, ProviderError> {
    let Some(external_id) = id(&external.id) else {
        let error = ProviderError::new(ErrorKind::UnexpectedShape, operation);
        return Err(error.with_detail("the answer names no cluster"));
    };
    let views = Views {
        external: Some(external),
        platform: None,
        connection: None,
        health: None,
        external_id: Some(external_id),
        platform_id: id(&external.cluster_id),
        connection_id: Some(connection),
    };
    let address = Address::Infra {
        connection: Some(connection.into()),
        external: external_id.into(),
    };
    Ok(Listed {
        cluster: cluster(scope, external_id, &views, &mut Warnings::default()),
        locator: address.to_locator(),
        raw: raw(&scope.shown(external)),
        nodes: None,
    })
}

fn rejected(native_id: Option<&str>, reason: &'static str) -> Rejected {
    Rejected {
        native_id: native_id.map(str::to_owned),
        reason,
    }
}

fn other(operation: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::UnexpectedShape, operation)
        .with_detail("the answer is of another cluster")
}

/// Rows by id; a row without one cannot be the target of a reference.
fn index<T: DeserializeOwned>(
    rows: Option<&Vec<Box<RawValue>>>,
    key: impl Fn(&T) -> Option<&str>,
) -> HashMap<String, T> {
    let mut index = HashMap::new();
    for item in rows.into_iter().flatten() {
        let Some(value) = object::<T>(item) else {
            continue;
        };
        if let Some(key) = key(&value).map(str::to_owned) {
            index.entry(key).or_insert(value);
        }
    }
    index
}

/// What `/infra` sideloads.
struct InfraIncluded {
    externals: HashMap<String, ExternalCluster>,
    connections: HashMap<String, Connection>,
}

impl InfraIncluded {
    fn read(included: Option<&Included>) -> Self {
        let clusters = included.and_then(|included| included.clusters.as_ref());
        let connections = included.and_then(|included| included.connections.as_ref());
        Self {
            externals: index(clusters, |cluster: &ExternalCluster| id(&cluster.id)),
            connections: index(connections, |connection: &Connection| id(&connection.id)),
        }
    }

    fn views<'a>(&'a self, external_id: &'a str, reference: &'a InfraReference) -> Views<'a> {
        let external = self.externals.get(external_id);
        let connection_id = id(&reference.connection_id)
            .or_else(|| external.and_then(|external| id(&external.connection_id)));
        Views {
            external,
            platform: None,
            connection: connection_id.and_then(|id| self.connections.get(id)),
            health: None,
            external_id: Some(external_id),
            platform_id: external.and_then(|external| id(&external.cluster_id)),
            connection_id,
        }
    }

    fn raw(
        &self,
        scope: Scope<'_>,
        external_id: &str,
        reference: &InfraReference,
    ) -> Option<Box<RawValue>> {
        match self.externals.get(external_id) {
            Some(external) => raw(&scope.shown(external)),
            None => raw(reference),
        }
    }

    fn listed(
        &self,
        scope: Scope<'_>,
        external_id: &str,
        reference: &InfraReference,
        warnings: &mut Warnings,
    ) -> Listed {
        let views = self.views(external_id, reference);
        let address = Address::Infra {
            connection: views.connection_id.map(Into::into),
            external: external_id.into(),
        };
        Listed {
            cluster: cluster(scope, external_id, &views, warnings),
            locator: address.to_locator(),
            raw: self.raw(scope, external_id, reference),
            nodes: None,
        }
    }
}

/// What `/me` sideloads. The platform's record and the external cluster name each other, so either side may do.
struct MeIncluded {
    platforms: HashMap<String, PlatformCluster>,
    externals: HashMap<String, ExternalCluster>,
    external_of: HashMap<String, String>,
    connections: HashMap<String, Connection>,
}

impl MeIncluded {
    fn read(included: Option<&Included>) -> Self {
        let clusters = included.and_then(|included| included.clusters.as_ref());
        let externals = included.and_then(|included| included.external_clusters.as_ref());
        let connections = included.and_then(|included| included.connections.as_ref());
        let externals = index(externals, |cluster: &ExternalCluster| id(&cluster.id));
        let back = |(external, cluster): (&String, &ExternalCluster)| {
            Some((id(&cluster.cluster_id)?.to_owned(), external.clone()))
        };
        Self {
            platforms: index(clusters, |cluster: &PlatformCluster| id(&cluster.id)),
            external_of: externals.iter().filter_map(back).collect(),
            externals,
            connections: index(connections, |connection: &Connection| id(&connection.id)),
        }
    }

    /// The ids of the external cluster and of its connection.
    fn place<'a>(
        &'a self,
        cluster_id: &str,
        reference: &'a MeReference,
    ) -> (Option<&'a str>, Option<&'a str>) {
        let platform = self.platforms.get(cluster_id);
        let external_id = id(&reference.external_cluster_id)
            .or_else(|| platform.and_then(|platform| id(&platform.external_cluster_id)))
            .or_else(|| self.external_of.get(cluster_id).map(String::as_str));
        let external = external_id.and_then(|id| self.externals.get(id));
        let connection_id = id(&reference.connection_id)
            .or_else(|| platform.and_then(|platform| id(&platform.connection_id)))
            .or_else(|| external.and_then(|external| id(&external.connection_id)));
        (external_id, connection_id)
    }

    /// The cluster's id is that of the external cluster where there is one, so that both listings speak of one cluster.
    fn listed(
        &self,
        scope: Scope<'_>,
        cluster_id: &str,
        reference: &MeReference,
        warnings: &mut Warnings,
    ) -> Listed {
        let platform = self.platforms.get(cluster_id);
        let (external_id, connection_id) = self.place(cluster_id, reference);
        let external = external_id.and_then(|id| self.externals.get(id));
        let views = Views {
            external,
            platform,
            connection: connection_id.and_then(|id| self.connections.get(id)),
            health: None,
            external_id,
            platform_id: Some(cluster_id),
            connection_id,
        };
        let shown = external.map(|external| scope.shown(external));
        let both = Both {
            cluster: platform,
            external_cluster: shown.as_ref(),
        };
        let is_bare = platform.is_none() && external.is_none();
        let address = Address::Me {
            cluster: cluster_id.into(),
        };
        Listed {
            cluster: cluster(scope, external_id.unwrap_or(cluster_id), &views, warnings),
            locator: address.to_locator(),
            raw: if is_bare { raw(reference) } else { raw(&both) },
            nodes: None,
        }
    }
}
