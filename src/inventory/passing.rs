//! Which clusters of a source pass a filter.

use roaring::RoaringBitmap;

use super::order::UNKNOWN;
use super::query::{Dimension, Filter, Term};
use super::shelf::Shelf;
use crate::domain::Presence;

/// The clusters of one source that are seen and pass a filter.
#[derive(Debug)]
pub(super) enum Passing {
    All,
    Some(RoaringBitmap),
}

impl Passing {
    pub(super) fn len(&self, shelf: &Shelf) -> u64 {
        match self {
            Self::All => shelf.content.entries.len() as u64,
            Self::Some(numbers) => numbers.len(),
        }
    }

    pub(super) fn holds(&self, number: u32) -> bool {
        match self {
            Self::All => true,
            Self::Some(numbers) => numbers.contains(number),
        }
    }

    pub(super) fn iter<'a>(&'a self, shelf: &Shelf) -> Box<dyn Iterator<Item = u32> + 'a> {
        match self {
            Self::All => Box::new(0..u32::try_from(shelf.content.entries.len()).unwrap_or(UNKNOWN)),
            Self::Some(numbers) => Box::new(numbers.iter()),
        }
    }

    /// How many of some clusters pass.
    pub(super) fn count(&self, numbers: &RoaringBitmap) -> u64 {
        match self {
            Self::All => numbers.len(),
            Self::Some(passing) => passing.intersection_len(numbers),
        }
    }

    /// A word for each of so many clusters: whether it passes.
    pub(super) fn mask(&self, clusters: usize) -> Vec<bool> {
        match self {
            Self::All => vec![true; clusters],
            Self::Some(numbers) => {
                let mut mask = vec![false; clusters];
                for number in numbers {
                    mask[number as usize] = true;
                }
                mask
            }
        }
    }

    fn keep(&mut self, numbers: &RoaringBitmap) {
        match self {
            Self::All => *self = Self::Some(numbers.clone()),
            Self::Some(passing) => *passing &= numbers,
        }
    }

    fn drop(&mut self, numbers: &RoaringBitmap, shelf: &Shelf) {
        if let Self::All = self {
            let count = u32::try_from(shelf.content.entries.len()).unwrap_or(UNKNOWN);
            let mut all = RoaringBitmap::new();
            all.insert_range(0..count);
            *self = Self::Some(all);
        }
        if let Self::Some(passing) = self {
            *passing -= numbers;
        }
    }
}

/// Which clusters of a source pass; `None` when none can.
pub(super) fn passing(shelf: &Shelf, filter: &Filter) -> Option<Passing> {
    if !filter.admits_source(&shelf.report.name, shelf.report.provider.as_str()) {
        return None;
    }
    let index = &shelf.content.index;
    let mut passing = shelf.seen.clone().map_or(Passing::All, Passing::Some);
    for term in &filter.terms {
        match term.dimension {
            Dimension::Source | Dimension::Provider => {}
            Dimension::Presence => keep_presences(shelf, term, &mut passing),
            Dimension::Stale => {
                let stale = (!shelf.overdue).then(|| &index.contact_lost | &shelf.outdated);
                match (term.admits("true"), term.admits("false"), stale) {
                    (true, true, _) | (true, false, None) => {}
                    (true, false, Some(stale)) => passing.keep(&stale),
                    (false, true, Some(stale)) => passing.drop(&stale, shelf),
                    (false, _, _) => return None,
                }
            }
            dimension => {
                if !term.any.is_empty() {
                    let mut union = RoaringBitmap::new();
                    for numbers in term
                        .any
                        .iter()
                        .filter_map(|value| index.posting(dimension, value))
                    {
                        union |= numbers;
                    }
                    passing.keep(&union);
                }
                for numbers in term
                    .none
                    .iter()
                    .filter_map(|value| index.posting(dimension, value))
                {
                    passing.drop(numbers, shelf);
                }
            }
        }
    }
    for text in &filter.texts {
        passing.keep(&index.containing(text));
    }
    Some(passing)
}

fn keep_presences(shelf: &Shelf, term: &Term, passing: &mut Passing) {
    let mut union = RoaringBitmap::new();
    for presence in Presence::ALL {
        if term.admits_presence(shelf.shown(presence)) {
            union |= &shelf.content.index.presences[presence as usize];
        }
    }
    passing.keep(&union);
}
