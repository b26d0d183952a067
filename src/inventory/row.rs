//! One cluster, ready to be served: its JSON is written once, when it is read.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::facts::{Facts, Interner};
use super::links::Links;
use crate::domain::{Cluster, ClusterId, Fill, Node, Presence};
use crate::provider::{Described, Listed, Locator};

/// One cluster, ready to be served.
///
/// The JSON ends before what changes without the cluster changing (`fetched_at`, `presence`, `stale`), so that a failed
/// refresh, or one that found nothing new, writes no row again, and before the links, which follow from the id.
#[derive(Debug)]
pub struct Row {
    /// The cluster's id.
    pub id: ClusterId,
    /// Its address at the vendor.
    pub locator: Locator,
    /// Whether the vendor says that it has lost contact.
    pub contact_lost: bool,
    /// Stands for the row's content in entity tags.
    pub(super) tag: u64,
    /// `{"id":…,…`, without the closing brace.
    pub(super) json: Box<[u8]>,
    pub(super) raw: Option<Box<[u8]>>,
    pub(super) nodes: Option<Box<[u8]>>,
    pub(super) facts: Facts,
}

/// What the detail call said, kept so that later listings do not lose it.
#[derive(Debug)]
pub(super) struct Detail {
    /// When it was read, by our clock.
    pub(super) at: Timestamp,
    /// The detail's own account of the cluster, as JSON: it is needed seldom and takes a third of the room so.
    pub(super) cluster: Box<[u8]>,
    pub(super) contact_lost: bool,
    pub(super) nodes: Option<Box<[u8]>>,
    pub(super) raw: Option<Box<RawValue>>,
}

/// What a listing said, kept where a detail exists, so that a new detail meets the listing and not an older detail.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) cluster: Box<[u8]>,
    pub(super) contact_lost: bool,
    pub(super) nodes: Option<Box<[u8]>>,
    pub(super) raw: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Raw<'a> {
    listing: Option<&'a RawValue>,
    detail: Option<&'a RawValue>,
}

#[derive(serde::Deserialize)]
struct RawOwned {
    listing: Option<Box<RawValue>>,
}

impl Detail {
    pub(super) fn new(described: Described, at: Timestamp) -> Self {
        let nodes = described.nodes.as_deref().and_then(nodes_json);
        let mut cluster = described.cluster;
        cluster.detailed_at = Some(at);
        let contact_lost = cluster.contact_lost;
        Self {
            at,
            cluster: cluster_json(&mut cluster),
            contact_lost,
            nodes,
            raw: described.raw,
        }
    }

    fn cluster(&self) -> Option<Cluster> {
        let mut cluster: Cluster = serde_json::from_slice(&self.cluster).ok()?;
        cluster.contact_lost = self.contact_lost;
        Some(cluster)
    }
}

impl Base {
    pub(super) fn new(listed: &Listed) -> Self {
        let mut cluster = listed.cluster.clone();
        let contact_lost = cluster.contact_lost;
        Self {
            cluster: cluster_json(&mut cluster),
            contact_lost,
            nodes: listed.nodes.as_deref().and_then(nodes_json),
            raw: listed.raw.clone(),
        }
    }

    /// Takes the listed account back from a row that no detail has joined yet.
    pub(super) fn of_row(row: &Row) -> Self {
        // Taken as written, not read and written again: a float could come out with another last digit.
        let mut cluster = row.json.to_vec();
        cluster.push(b'}');
        let raw: Option<RawOwned> = row
            .raw
            .as_deref()
            .and_then(|raw| serde_json::from_slice(raw).ok());
        let raw = raw.and_then(|raw| raw.listing);
        Self {
            cluster: cluster.into(),
            contact_lost: row.contact_lost,
            nodes: row.nodes.clone(),
            raw,
        }
    }

    /// The listed cluster as it came.
    pub(super) fn listed(&self, locator: Locator) -> Option<Listed> {
        let mut cluster: Cluster = serde_json::from_slice(&self.cluster).ok()?;
        cluster.contact_lost = self.contact_lost;
        let nodes = self
            .nodes
            .as_deref()
            .and_then(|nodes| serde_json::from_slice(nodes).ok());
        Some(Listed {
            cluster,
            locator,
            raw: self.raw.clone(),
            nodes,
        })
    }

    /// Whether a new listing says the same as this one.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.cluster == other.cluster
            && self.contact_lost == other.contact_lost
            && self.nodes == other.nodes
            && self.raw.as_deref().map(RawValue::get) == other.raw.as_deref().map(RawValue::get)
    }
}

impl Row {
    /// Prepares a listed cluster, joined with what is kept of its detail.
    ///
    /// The listing is the newer account and wins; the detail fills what a listing leaves open. One thing is the detail's:
    /// where both give the same native status, a state that was worked out of more facts stays.
    pub(super) fn listed(listed: Listed, detail: Option<&Detail>, texts: &mut Interner) -> Self {
        let Listed {
            mut cluster,
            locator,
            raw,
            nodes,
        } = listed;
        let mut nodes = nodes.as_deref().and_then(nodes_json);
        if let Some((detail, described)) =
            detail.and_then(|detail| Some((detail, detail.cluster()?)))
        {
            keep_worked_out_state(&mut cluster, &described);
            // Joining would let an old loss of contact outlive every listing.
            let contact_lost = cluster.contact_lost;
            cluster.fill(described);
            cluster.contact_lost = contact_lost;
            nodes = nodes.or_else(|| detail.nodes.clone());
        }
        let raw = Raw {
            listing: raw.as_deref(),
            detail: detail.and_then(|detail| detail.raw.as_deref()),
        };
        Self::write(cluster, locator, &raw, nodes, texts)
    }

    /// Prepares a cluster whose detail was just read: the detail is the newer account and wins.
    pub(super) fn described(
        base: &Base,
        locator: Locator,
        detail: &Detail,
        texts: &mut Interner,
    ) -> Option<Self> {
        let mut cluster = detail.cluster()?;
        cluster.fill(serde_json::from_slice(&base.cluster).ok()?);
        cluster.contact_lost = detail.contact_lost;
        let raw = Raw {
            listing: base.raw.as_deref(),
            detail: detail.raw.as_deref(),
        };
        Some(Self::write(
            cluster,
            locator,
            &raw,
            detail.nodes.clone().or_else(|| base.nodes.clone()),
            texts,
        ))
    }

    fn write(
        mut cluster: Cluster,
        locator: Locator,
        raw: &Raw<'_>,
        nodes: Option<Box<[u8]>>,
        texts: &mut Interner,
    ) -> Self {
        let contact_lost = cluster.contact_lost;
        let facts = Facts::of(&cluster, texts);
        let mut json = cluster_json(&mut cluster).into_vec();
        // A cluster is a JSON object by its type, so the last byte is its closing brace.
        json.pop();
        let raw = (raw.listing.is_some() || raw.detail.is_some())
            .then(|| serde_json::to_vec(raw).unwrap_or_default());
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&json)
            .update(raw.as_deref().unwrap_or_default())
            .update(nodes.as_deref().unwrap_or_default());
        let mut tag = [0; 8];
        hasher.finalize_xof().fill(&mut tag);
        Self {
            id: cluster.id,
            locator,
            contact_lost,
            tag: u64::from_le_bytes(tag),
            json: json.into(),
            raw: raw.map(Vec::into_boxed_slice),
            nodes,
            facts,
        }
    }

    /// Reads the cluster back from its JSON; seldom needed, which is why it is not kept.
    pub fn cluster(&self) -> Option<Cluster> {
        let mut json = self.json.to_vec();
        json.push(b'}');
        let mut cluster: Cluster = serde_json::from_slice(&json).ok()?;
        cluster.contact_lost = self.contact_lost;
        Some(cluster)
    }

    /// The cluster's own JSON: without links, and without what changes though the cluster does not.
    pub(super) fn document(&self) -> String {
        let mut json = self.json.to_vec();
        json.push(b'}');
        // Written from text, so it is text.
        String::from_utf8(json).unwrap_or_default()
    }

    /// Reads the nodes back from their JSON; `None` where none are known.
    pub fn node_list(&self) -> Option<Vec<Node>> {
        serde_json::from_slice(self.nodes.as_deref()?).ok()
    }

    /// Whether two rows say the same.
    pub(super) fn says_the_same(&self, other: &Self) -> bool {
        self.json == other.json
            && self.raw == other.raw
            && self.nodes == other.nodes
            && self.contact_lost == other.contact_lost
            && self.locator == other.locator
    }

    /// Bytes of the prepared JSON, without `raw` and nodes: a buffer's size to begin with.
    pub fn json_len(&self) -> usize {
        let len = |part: &Option<Box<[u8]>>| part.as_ref().map_or(0, |part| part.len());
        self.json.len() + self.id.as_str().len() * 8 + len(&self.raw) + len(&self.nodes)
    }

    /// Appends the cluster's JSON object.
    pub(super) fn append(&self, tail: &Tail<'_>, raw: bool, nodes: bool, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.json);
        tail.links.append(self.id.as_str(), body);
        if tail.fetched_at.is_empty() {
            body.extend_from_slice(b",\"fetched_at\":null");
        } else {
            body.extend_from_slice(b",\"fetched_at\":\"");
            body.extend_from_slice(tail.fetched_at.as_bytes());
            body.push(b'"');
        }
        body.extend_from_slice(b",\"presence\":\"");
        body.extend_from_slice(tail.presence.as_str().as_bytes());
        body.extend_from_slice(if tail.stale || self.contact_lost {
            b"\",\"stale\":true".as_slice()
        } else {
            b"\",\"stale\":false"
        });
        if nodes {
            body.extend_from_slice(b",\"node_list\":");
            body.extend_from_slice(self.nodes.as_deref().unwrap_or(b"null"));
        }
        if raw {
            body.extend_from_slice(b",\"raw\":");
            body.extend_from_slice(self.raw.as_deref().unwrap_or(b"null"));
        }
        body.push(b'}');
    }
}

/// What a row's JSON ends with: it changes without the cluster changing.
pub(super) struct Tail<'a> {
    pub(super) links: Links,
    pub(super) fetched_at: &'a str,
    pub(super) presence: Presence,
    pub(super) stale: bool,
}

fn keep_worked_out_state(listed: &mut Cluster, detail: &Cluster) {
    let is_uncontradicted = listed.status.native == detail.status.native
        && (listed.status.ready.is_none() || listed.status.ready == detail.status.ready);
    if is_uncontradicted && listed.status.native.is_some() {
        listed.status.state = detail.status.state;
        listed.contact_lost |= detail.contact_lost;
    }
}

/// The cluster's JSON without the flag that answers show in another way.
fn cluster_json(cluster: &mut Cluster) -> Box<[u8]> {
    cluster.contact_lost = false;
    serde_json::to_vec(cluster).unwrap_or_default().into()
}

fn nodes_json(nodes: &[Node]) -> Option<Box<[u8]>> {
    serde_json::to_vec(nodes).ok().map(Vec::into_boxed_slice)
}

impl Entry {
    /// Whether nothing is different from another entry, whatever it is for.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
            match (one, other) {
                (None, None) => true,
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                _ => false,
            }
        }
        Arc::ptr_eq(&self.row, &other.row)
            && self.presence == other.presence
            && self.fetched_at == other.fetched_at
            && self.changed_at == other.changed_at
            && self.is_detail_newest == other.is_detail_newest
            && same(self.detail.as_ref(), other.detail.as_ref())
            && same(self.base.as_ref(), other.base.as_ref())
    }
}

/// A row at its place in a source's shelf.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The prepared cluster.
    pub row: Arc<Row>,
    /// Presence by the listings alone; a failed source makes present ones stale on top of it.
    pub(super) presence: Presence,
    /// When the cluster was last read, where that was not in the source's last good listing.
    pub(super) fetched_at: Option<Timestamp>,
    /// When its listed account last changed; changed ones are described before others.
    pub(super) changed_at: Timestamp,
    pub(super) detail: Option<Arc<Detail>>,
    pub(super) base: Option<Arc<Base>>,
    /// Whether the row was made by a detail call that no listing has followed yet.
    pub(super) is_detail_newest: bool,
}
