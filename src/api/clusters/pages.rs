//! Pages that were made before, and other answers that are made like them, remembered under the query as it was sent.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::inventory::Snapshot;

use super::coding::Coding;
use super::page::Page;

/// Bytes of bodies that are remembered at most.
const REMEMBERED_BYTES: u64 = 16 << 20;

/// Pages that were asked for before, within a bound of bytes.
#[derive(Debug)]
pub struct Pages(Cache<Key, Arc<Page>, Weight>);

impl Default for Pages {
    fn default() -> Self {
        Self::within(REMEMBERED_BYTES, 4_096)
    }
}

impl Pages {
    /// A memory of so many bytes, in which about so many pages are expected.
    pub fn within(bytes: u64, pages: usize) -> Self {
        Self(Cache::with_weighter(pages, bytes, Weight))
    }

    /// A page of what somebody sees, under the query as it was sent.
    pub fn get(&self, seen: &Snapshot, query: &str, coding: Coding) -> Option<Arc<Page>> {
        self.0.get(&Asked {
            of: Of::new(seen),
            query,
            coding,
        })
    }

    /// Remembers a page.
    pub(in super::super) fn insert(
        &self,
        seen: &Snapshot,
        query: String,
        coding: Coding,
        page: &Arc<Page>,
    ) {
        self.0.insert(
            Key {
                of: Of::new(seen),
                query: query.into(),
                coding,
            },
            Arc::clone(page),
        );
    }
}

/// What a page shows a part of: a generation as far as somebody sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Of {
    generation: u64,
    variant: u64,
    reach: u128,
}

impl Of {
    fn new(seen: &Snapshot) -> Self {
        Self {
            generation: seen.generation,
            variant: seen.variant(),
            reach: seen.reach(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    of: Of,
    query: Box<str>,
    coding: Coding,
}

struct Asked<'a> {
    of: Of,
    query: &'a str,
    coding: Coding,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.of, &*self.query, self.coding).hash(state);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.of, self.query, self.coding).hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.of == key.of && self.coding == key.coding && self.query == &*key.query
    }
}

#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<Key, Arc<Page>> for Weight {
    fn weight(&self, key: &Key, page: &Arc<Page>) -> u64 {
        (key.query.len() + page.len() + 1_024) as u64
    }
}
