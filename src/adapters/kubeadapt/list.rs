//! From a body to rows: which generation it is of, where its list ends, and what of it can be read.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{map, wire};
use crate::domain::{Node, SourceName};
use crate::provider::read::id;
use crate::provider::{
    Described, ErrorKind, Listed, Locator, Loose, Page, PageCursor, ProviderError, Rejected,
    Warnings, envelope, object, raw, row,
};

/// Reads one page of the list of clusters.
pub(super) fn page(source: &SourceName, body: &Bytes) -> Result<Page, ProviderError> {
    let list = list("list_clusters", body)?;
    let mut page = Page {
        next: list.next,
        warnings: list.warnings,
        ..Page::default()
    };
    let mut ids = Vec::with_capacity(list.rows.len());
    for text in list.rows {
        match listed(source, text, &mut page.warnings) {
            Ok(listed) => {
                ids.push(listed.cluster.native_id.clone());
                page.clusters.push(listed);
            }
            Err(rejected) => {
                ids.extend(rejected.native_id.clone());
                page.rejected.push(rejected);
            }
        }
    }
    page.fingerprint = Page::fingerprint("clusters", ids.iter().map(String::as_str));
    Ok(page)
}

/// Reads the detail of one cluster, which is the same object as in the list.
pub(super) fn detail(
    source: &SourceName,
    id: &str,
    body: &Bytes,
) -> Result<Described, ProviderError> {
    const OPERATION: &str = "find_cluster";
    let data = data(OPERATION, &envelope::<wire::Envelope<'_>>(OPERATION, body)?)?;
    let mut warnings = Warnings::default();
    let listed = listed(source, data, &mut warnings)
        .map_err(|rejected| shape(OPERATION).with_detail(rejected.reason))?;
    if listed.cluster.native_id != id {
        return Err(shape(OPERATION).with_detail("the answer is about another cluster"));
    }
    Ok(Described {
        cluster: listed.cluster,
        nodes: None,
        raw: listed.raw,
        warnings,
    })
}

/// Reads one page of a cluster's nodes.
pub(super) fn nodes(
    body: &Bytes,
    warnings: &mut Warnings,
) -> Result<(Vec<Node>, Option<PageCursor>), ProviderError> {
    let list = list("list_nodes", body)?;
    warnings.merge(&list.warnings);
    let nodes = list
        .rows
        .into_iter()
        .filter_map(|text| {
            let node = object::<wire::Node>(text).and_then(|node| map::node(node, warnings));
            if node.is_none() {
                warnings.count("nodes");
            }
            node
        })
        .collect();
    Ok((nodes, list.next))
}

struct List<'a> {
    rows: Vec<&'a RawValue>,
    next: Option<PageCursor>,
    warnings: Warnings,
}

/// Reads the envelope of a list. What does not look like a list of the current generation is an error, never an empty list.
fn list<'a>(operation: &'static str, body: &'a Bytes) -> Result<List<'a>, ProviderError> {
    let outer: wire::Envelope<'a> = envelope(operation, body)?;
    let rows = row(data(operation, &outer)?).ok_or_else(|| shape(operation))?;
    let meta: wire::Meta<'a> = outer
        .meta
        .and_then(object)
        .ok_or_else(|| shape(operation).with_detail("meta is missing"))?;
    let pagination: wire::Pagination = meta
        .pagination
        .and_then(object)
        .ok_or_else(|| shape(operation).with_detail("meta.pagination is missing"))?;
    let mut warnings = Warnings::default();
    // An unknown parameter is accepted with 200 and widens the answer; its name comes back here.
    if meta.ignored_params.is_some_and(|params| !params.is_empty()) {
        warnings.count("meta.ignored_params");
    }
    Ok(List {
        rows,
        next: next(operation, &pagination)?,
        warnings,
    })
}

/// `has_more` decides, since a cursor may come on the last page too; the pages that speak of the cursor alone are followed
/// where `has_more` is absent.
fn next(
    operation: &'static str,
    pagination: &wire::Pagination,
) -> Result<Option<PageCursor>, ProviderError> {
    let cursor = match &pagination.next_cursor {
        Loose::Absent => None,
        Loose::Known(cursor) => (!cursor.is_empty()).then(|| PageCursor::new(cursor)),
        Loose::Wrong => return Err(shape(operation).with_detail("next_cursor is not a text")),
    };
    match (&pagination.has_more, cursor) {
        (Loose::Known(false), _) => Ok(None),
        (Loose::Known(true), None) => Err(ProviderError::new(ErrorKind::Truncated, operation)
            .with_detail("has_more without a cursor")),
        (Loose::Known(true) | Loose::Absent, cursor) => Ok(cursor),
        (Loose::Wrong, _) => Err(shape(operation).with_detail("has_more is not a boolean")),
    }
}

/// What an envelope holds, or which generation it is of.
pub(super) fn data<'a>(
    operation: &'static str,
    outer: &wire::Envelope<'a>,
) -> Result<&'a RawValue, ProviderError> {
    let is_older = outer.clusters.is_some() || outer.detail.is_some() || outer.id.is_some();
    outer.data.ok_or_else(|| {
        if is_older {
            ProviderError::new(ErrorKind::UnsupportedGeneration, operation)
        } else {
            shape(operation).with_detail("data is missing")
        }
    })
}

const fn shape(operation: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::UnexpectedShape, operation)
}

fn listed(
    source: &SourceName,
    text: &RawValue,
    warnings: &mut Warnings,
) -> Result<Listed, Rejected> {
    let reject = |native_id, reason| Rejected { native_id, reason };
    let identity: Option<wire::Identity> = object(text);
    let Some(id) = identity.and_then(|identity| Some(id(&identity.id)?.to_owned())) else {
        return Err(reject(None, "no usable id"));
    };
    let Some(wire) = object::<wire::Cluster>(text) else {
        return Err(reject(Some(id), "not a cluster"));
    };
    if matches!(wire.metadata, Loose::Wrong) {
        return Err(reject(Some(id), "metadata is not an object"));
    }
    Ok(Listed {
        locator: Locator::new(&id),
        raw: raw(&wire),
        cluster: map::cluster(source, id, wire, warnings),
        nodes: None,
    })
}
