//! One upstream answer, mapped.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::domain::{Cluster, Fill as _, Node};

/// Names a page; text that only its adapter reads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageCursor(String);

impl PageCursor {
    /// Keeps an adapter's text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The adapter's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The address of one cluster at its vendor; text that only its adapter reads. It is never shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Locator(Arc<str>);

impl Locator {
    /// Keeps an adapter's text.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// The adapter's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Values that were set to null because they could not be true, counted by field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Warnings(BTreeMap<&'static str, u64>);

impl Warnings {
    /// Counts one value of a field, such as `capacity.memory.total_bytes`.
    pub fn count(&mut self, field: &'static str) {
        *self.0.entry(field).or_default() += 1;
    }

    /// Adds another count.
    pub fn merge(&mut self, other: &Self) {
        for (field, count) in &other.0 {
            *self.0.entry(field).or_default() += count;
        }
    }

    /// Fields and how often each was set to null.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(field, count)| (*field, *count))
    }

    /// How many values were set to null.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

/// One cluster of a page.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The cluster, as far as the listing describes it.
    pub cluster: Cluster,
    /// Where its detail is; also kept where the provider has no detail call.
    pub locator: Locator,
    /// The vendor's object, copied by allow-list.
    pub raw: Option<Box<RawValue>>,
    /// Nodes, where the listing itself names them.
    pub nodes: Option<Vec<Node>>,
}

impl Listed {
    /// Joins a further account of the same cluster: what this one says stays, what it leaves open is filled.
    pub fn join(&mut self, other: Self) {
        self.cluster.fill(other.cluster);
        if self.nodes.is_none() {
            self.nodes = other.nodes;
        }
        if self.raw.is_none() {
            self.raw = other.raw;
        }
    }
}

/// An item that could not be mapped. It is data, not an error: the rest of the page stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The vendor's id, where it could be read: its last good version is kept then.
    pub native_id: Option<String>,
    /// Why, as a constant.
    pub reason: &'static str,
}

/// One upstream answer, mapped.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Clusters, in the vendor's order.
    pub clusters: Vec<Listed>,
    /// Items that could not be mapped.
    pub rejected: Vec<Rejected>,
    /// Values that were set to null.
    pub warnings: Warnings,
    /// Where the listing goes on; `None` is its end and nothing else is.
    pub next: Option<PageCursor>,
    /// What the page held, to recognise it when it comes again. `None` for a page without items.
    pub fingerprint: Option<u64>,
}

impl Page {
    /// Computes a [`fingerprint`](Self::fingerprint) from the listing's name and the ids of the page's items, in order.
    pub fn fingerprint<'a>(listing: &str, ids: impl IntoIterator<Item = &'a str>) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        listing.hash(&mut hasher);
        let mut some = false;
        for id in ids {
            some = true;
            id.hash(&mut hasher);
        }
        some.then(|| hasher.finish())
    }
}

/// One cluster's detail.
#[derive(Debug, Clone)]
pub struct Described {
    /// The cluster, as far as the detail describes it.
    pub cluster: Cluster,
    /// Its nodes, where the detail names them.
    pub nodes: Option<Vec<Node>>,
    /// The vendor's object, copied by allow-list.
    pub raw: Option<Box<RawValue>>,
    /// Values that were set to null.
    pub warnings: Warnings,
}
