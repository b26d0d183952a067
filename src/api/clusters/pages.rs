//! Pages that were made before, remembered under the query as it was sent.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use super::coding::Coding;
use super::page::Page;

/// Bytes of bodies that are remembered at most.
const REMEMBERED_BYTES: u64 = 16 << 20;

/// Pages that were asked for before, within a bound of bytes.
#[derive(Debug)]
pub struct Pages(Cache<Key, Arc<Page>, Weight>);

impl Default for Pages {
    fn default() -> Self {
        Self(Cache::with_weighter(4_096, REMEMBERED_BYTES, Weight))
    }
}

impl Pages {
    /// A page of a generation, under the query as it was sent.
    pub fn get(&self, generation: u64, query: &str, coding: Coding) -> Option<Arc<Page>> {
        self.0.get(&Asked {
            generation,
            query,
            coding,
        })
    }

    /// Remembers a page.
    pub(super) fn insert(&self, generation: u64, query: String, coding: Coding, page: &Arc<Page>) {
        self.0.insert(
            Key {
                generation,
                query: query.into(),
                coding,
            },
            Arc::clone(page),
        );
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    generation: u64,
    query: Box<str>,
    coding: Coding,
}

struct Asked<'a> {
    generation: u64,
    query: &'a str,
    coding: Coding,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.generation, &*self.query, self.coding).hash(state);
    }
}

impl Hash for Asked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.generation, self.query, self.coding).hash(state);
    }
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.generation == key.generation && self.coding == key.coding && self.query == &*key.query
    }
}

#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<Key, Arc<Page>> for Weight {
    fn weight(&self, key: &Key, page: &Arc<Page>) -> u64 {
        (key.query.len() + page.len() + 1_024) as u64
    }
}
