//! Orders and filters of one source's clusters, built once for each listing.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use memchr::memmem;
use roaring::RoaringBitmap;

use super::order::{self, Column, Orders, UNKNOWN};
use super::query::{Dimension, SortKey};
use super::row::Entry;
use crate::domain::Presence;

/// Orders and filters of one source's clusters. A cluster's number is its place by id.
#[derive(Debug)]
pub(super) struct Index {
    columns: Orders,
    postings: [HashMap<Arc<str>, RoaringBitmap>; Dimension::ALL.len()],
    numbers: HashTable<u32>,
    hasher: RandomState,
    texts: Texts,
    projects: HashMap<Arc<str>, RoaringBitmap>,
    /// Clusters whose vendor has lost contact.
    pub(super) contact_lost: RoaringBitmap,
    /// Clusters whose own presence is not `present`.
    pub(super) presences: [RoaringBitmap; Presence::ALL.len()],
}

impl Index {
    /// Builds the index of entries that are sorted by id.
    pub(super) fn build(entries: &[Entry]) -> Self {
        let hasher = RandomState::new();
        let mut numbers = HashTable::with_capacity(entries.len());
        let hash = |number: &u32| hasher.hash_one(entries[*number as usize].row.id.as_str());
        for number in 0..number(entries.len()) {
            numbers.insert_unique(hash(&number), number, hash);
        }
        let mut contact_lost = RoaringBitmap::new();
        let mut presences = Presence::ALL.map(|_| RoaringBitmap::new());
        for (number, entry) in (0_u32..).zip(entries) {
            if entry.row.contact_lost {
                contact_lost.insert(number);
            }
            presences[entry.presence as usize].insert(number);
        }
        Self {
            columns: order::build(entries),
            postings: postings(entries),
            numbers,
            hasher,
            texts: Texts::build(entries),
            projects: projects(entries),
            contact_lost,
            presences,
        }
    }

    /// The number of a cluster.
    pub(super) fn find(&self, entries: &[Entry], id: &str) -> Option<usize> {
        let is = |number: &u32| entries[*number as usize].row.id.as_str() == id;
        self.numbers
            .find(self.hasher.hash_one(id), is)
            .map(|number| *number as usize)
    }

    pub(super) fn column(&self, key: SortKey) -> &Column {
        &self.columns[key as usize]
    }

    /// Clusters with a value.
    pub(super) fn posting(&self, dimension: Dimension, value: &str) -> Option<&RoaringBitmap> {
        self.postings[dimension as usize].get(value)
    }

    /// Clusters of a project, by its id or name exactly as the vendor writes it: two that differ in case alone may belong to
    /// different people.
    pub(super) fn of_project(&self, project: &str) -> Option<&RoaringBitmap> {
        self.projects.get(project)
    }

    /// Every value of a dimension and its clusters.
    pub(super) fn values(
        &self,
        dimension: Dimension,
    ) -> impl Iterator<Item = (&Arc<str>, &RoaringBitmap)> {
        self.postings[dimension as usize].iter()
    }

    /// Clusters whose name or id holds a text.
    pub(super) fn containing(&self, text: &str) -> RoaringBitmap {
        self.texts.find(text)
    }
}

/// A source holds at most as many clusters as a walk keeps, far below `u32::MAX`.
fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(UNKNOWN)
}

/// The clusters with each value, while they are being collected in the order of their numbers.
struct Lists([HashMap<Arc<str>, Vec<u32>>; Dimension::ALL.len()]);

impl Lists {
    fn add(&mut self, dimension: Dimension, value: &Arc<str>, number: u32) {
        self.put(dimension, value, number, || Arc::clone(value));
    }

    fn add_text(&mut self, dimension: Dimension, value: &str, number: u32) {
        self.put(dimension, value, number, || value.into());
    }

    /// Most values are known already, so the copy to keep is made only for a new one.
    fn put(
        &mut self,
        dimension: Dimension,
        value: &str,
        number: u32,
        copy: impl FnOnce() -> Arc<str>,
    ) {
        let list = &mut self.0[dimension as usize];
        match list.get_mut(value) {
            Some(numbers) => {
                if numbers.last() != Some(&number) {
                    numbers.push(number);
                }
            }
            None => {
                list.insert(copy(), vec![number]);
            }
        }
    }
}

fn postings(entries: &[Entry]) -> [HashMap<Arc<str>, RoaringBitmap>; Dimension::ALL.len()] {
    let mut lists = Lists(Dimension::ALL.map(|_| HashMap::new()));
    let states = crate::domain::State::ALL.map(|state| Arc::<str>::from(state.as_str()));
    let orchestrators =
        crate::domain::OrchestratorType::ALL.map(|kind| Arc::<str>::from(kind.as_str()));
    let vantages = crate::domain::Vantage::ALL.map(|vantage| Arc::<str>::from(vantage.as_str()));
    let mut scratch = String::new();
    for (number, entry) in (0_u32..).zip(entries) {
        let facts = &entry.row.facts;
        lists.add(Dimension::State, &states[facts.state as usize], number);
        lists.add(
            Dimension::Orchestrator,
            &orchestrators[facts.orchestrator as usize],
            number,
        );
        lists.add(
            Dimension::Vantage,
            &vantages[facts.vantage as usize],
            number,
        );
        for (dimension, value) in [
            (Dimension::Cloud, &facts.cloud),
            (Dimension::Environment, &facts.environment),
            (Dimension::Distribution, &facts.distribution),
            (Dimension::Version, &facts.version),
            (Dimension::Version, &facts.version_minor),
            (Dimension::Team, &facts.team),
        ] {
            if let Some(value) = value {
                lists.add(dimension, value, number);
            }
        }
        for region in &facts.regions {
            lists.add(Dimension::Region, region, number);
        }
        for project in &facts.projects {
            lists.add_text(Dimension::Project, &project.to_lowercase(), number);
        }
        for (model, _) in facts.accelerators.iter().flatten() {
            lists.add_text(Dimension::Accelerator, &model.to_lowercase(), number);
        }
        for (key, value) in &facts.labels {
            lists.add(Dimension::Label, key, number);
            scratch.clear();
            scratch.push_str(key);
            scratch.push('=');
            scratch.push_str(value);
            lists.add_text(Dimension::Label, &scratch, number);
        }
    }
    lists.0.map(|list| {
        let bitmap =
            |numbers: Vec<u32>| RoaringBitmap::from_sorted_iter(numbers).unwrap_or_default();
        list.into_iter()
            .map(|(value, numbers)| (value, bitmap(numbers)))
            .collect()
    })
}

fn projects(entries: &[Entry]) -> HashMap<Arc<str>, RoaringBitmap> {
    let mut projects: HashMap<Arc<str>, RoaringBitmap> = HashMap::new();
    for (number, entry) in (0_u32..).zip(entries) {
        for project in &entry.row.facts.projects {
            let numbers = projects.entry(Arc::clone(project)).or_default();
            numbers.insert(number);
        }
    }
    projects
}

/// Names and ids of all clusters in one lower-case text, so that a search is one scan.
#[derive(Debug)]
struct Texts {
    all: Box<str>,
    ends: Box<[u32]>,
}

/// Stands between two texts; no text to search for holds it.
const BREAK: char = '\n';

/// Lower case by the character alone. Lower-casing a whole text writes a final sigma in another way, which depends on where
/// the text ends: a search for a part of a name must not.
fn fold(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars()
        .flat_map(char::to_lowercase)
        .map(|c| if c == 'ς' { 'σ' } else { c })
}

/// Adds a text as it is searched.
fn add(all: &mut String, text: &str) {
    if text.is_ascii() && !text.contains(BREAK) {
        let start = all.len();
        all.push_str(text);
        all[start..].make_ascii_lowercase();
    } else {
        all.extend(fold(text).map(|c| if c == BREAK { ' ' } else { c }));
    }
}

impl Texts {
    fn build(entries: &[Entry]) -> Self {
        let mut all = String::with_capacity(entries.len() * 48);
        let mut ends = Vec::with_capacity(entries.len());
        for entry in entries {
            for text in [&*entry.row.facts.name, entry.row.id.as_str()] {
                add(&mut all, text);
                all.push(BREAK);
            }
            ends.push(number(all.len()));
        }
        Self {
            all: all.into(),
            ends: ends.into(),
        }
    }

    fn find(&self, text: &str) -> RoaringBitmap {
        if text.contains(BREAK) {
            return RoaringBitmap::new();
        }
        let mut found = Vec::new();
        let wanted: String = fold(text).collect();
        let finder = memmem::Finder::new(&wanted);
        let mut at = 0;
        let mut next = 0;
        while let Some(place) = finder.find(&self.all.as_bytes()[at..]) {
            let place = number(at + place);
            // Where much is found, the cluster is one of the next few.
            let rest = &self.ends[next..];
            let mut near = 1;
            while rest.get(near - 1).is_some_and(|end| *end <= place) {
                near *= 2;
            }
            let near = &rest[..near.min(rest.len())];
            let cluster = next + near.partition_point(|end| *end <= place);
            let Some(end) = self.ends.get(cluster) else {
                break;
            };
            found.push(number(cluster));
            at = *end as usize;
            next = cluster + 1;
        }
        RoaringBitmap::from_sorted_iter(found).unwrap_or_default()
    }
}
