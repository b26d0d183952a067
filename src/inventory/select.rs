//! Answers a query from the indexes: work proportional to the page, never to the inventory where an index can avoid it.

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use super::index::{Column, Key, UNKNOWN};
use super::query::{
    Dimension, Filter, Position, Query, SORT_KEYS, Sort, SortKey, SortTerm, SortValue,
};
use super::row::Entry;
use super::shelf::Shelf;
use crate::domain::Presence;

/// The clusters of one source that pass a filter.
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

    fn holds(&self, number: u32) -> bool {
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

    fn keep(&mut self, numbers: &RoaringBitmap) {
        match self {
            Self::All => *self = Self::Some(numbers.clone()),
            Self::Some(passing) => *passing &= numbers,
        }
    }

    fn drop(&mut self, numbers: &RoaringBitmap, shelf: &Shelf) {
        if let Self::All = self {
            let count = u32::try_from(shelf.content.entries.len()).unwrap_or(UNKNOWN);
            *self = Self::Some((0..count).collect());
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
    let mut passing = Passing::All;
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

fn keep_presences(shelf: &Shelf, term: &super::query::Term, passing: &mut Passing) {
    let mut union = RoaringBitmap::new();
    for presence in Presence::ALL {
        if term.admits_presence(shelf.shown(presence)) {
            union |= &shelf.content.index.presences[presence as usize];
        }
    }
    passing.keep(&union);
}

/// A cluster of a snapshot: the shelf's place and the cluster's number in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub(super) shelf: usize,
    pub(super) number: u32,
}

/// What a query found.
#[derive(Debug)]
pub struct Found {
    /// The page, in order.
    pub places: Vec<Place>,
    /// How many clusters pass the filter, on all pages.
    pub total: u64,
    /// Whether more come after the page.
    pub more: bool,
}

pub(super) fn select(shelves: &[std::sync::Arc<Shelf>], query: &Query) -> Found {
    let mut total = 0;
    let mut runs: Vec<Vec<Place>> = Vec::with_capacity(shelves.len());
    let by_source = sort_of_sources(&query.sort);
    let order: Box<dyn Iterator<Item = usize>> = if by_source == Some(true) {
        Box::new((0..shelves.len()).rev())
    } else {
        Box::new(0..shelves.len())
    };
    let mut found = 0;
    for at in order {
        let shelf = &shelves[at];
        let Some(passing) = passing(shelf, &query.filter) else {
            continue;
        };
        total += passing.len(shelf);
        // Sources come one after the other in the order by id, so a full page needs no further one.
        if by_source.is_some() && found > query.limit {
            continue;
        }
        let numbers = top(shelf, &passing, query, query.limit.saturating_add(1));
        found += numbers.len();
        runs.push(
            numbers
                .into_iter()
                .map(|number| Place { shelf: at, number })
                .collect(),
        );
    }
    let mut places: Vec<Place> = runs.into_iter().flatten().collect();
    if by_source.is_none() {
        places.sort_by(|a, b| compare(shelves, &query.sort, *a, *b));
    }
    let more = places.len() > query.limit;
    places.truncate(query.limit);
    Found {
        places,
        total,
        more,
    }
}

/// Whether the order is the order of ids alone, and if so whether it is reversed.
fn sort_of_sources(sort: &Sort) -> Option<bool> {
    match sort.0.as_slice() {
        [] => Some(false),
        [term, ..] if term.key == SortKey::Id => Some(term.descending),
        _ => None,
    }
}

/// The first clusters of one source after a place, in order.
fn top(shelf: &Shelf, passing: &Passing, query: &Query, limit: usize) -> Vec<u32> {
    if let Some(reversed) = sort_of_sources(&query.sort) {
        return top_by_id(shelf, passing, query.after.as_ref(), reversed, limit);
    }
    let after = match leading(shelf, &query.sort, query.after.as_ref()) {
        Some(Ordering::Less) => return Vec::new(),
        Some(Ordering::Equal) => query.after.as_ref(),
        Some(Ordering::Greater) | None => None,
    };
    // Terms that are the same for a whole source only matter between sources.
    let own: Vec<_> = query
        .sort
        .0
        .iter()
        .filter(|term| !is_uniform(shelf, term.key))
        .copied()
        .collect();
    let Some(first) = own.first() else {
        return top_by_id(shelf, passing, after, false, limit);
    };
    let after = after.map(|after| Bound::new(shelf, &query.sort, after));
    let codes = |number: u32| {
        let mut codes = [0; SORT_KEYS];
        for (code, term) in codes.iter_mut().zip(&own) {
            *code = shelf
                .content
                .index
                .column(term.key)
                .code(number, term.descending);
        }
        (codes, number)
    };
    let is_dense = match passing {
        Passing::All => true,
        Passing::Some(numbers) => numbers.len() * 16 > shelf.content.entries.len() as u64,
    };
    let column = shelf.content.index.column(first.key);
    if is_dense
        && let Column::Known {
            order, rank, known, ..
        } = column
    {
        let walk = Walk {
            order,
            rank,
            known: *known,
            descending: first.descending,
        };
        let is_after = |number: &u32| {
            after
                .as_ref()
                .is_none_or(|after| after.is_before(shelf, &query.sort, *number))
        };
        let mut numbers = Vec::with_capacity(limit.min(1_024));
        if own.len() == 1 {
            walk.each(after.as_ref(), |number| {
                if passing.holds(number) && is_after(&number) {
                    numbers.push(number);
                }
                numbers.len() < limit
            });
            return numbers;
        }
        // Clusters of one first value are ordered by the other terms, so the last group that is needed is needed whole.
        let mut group = None;
        walk.each(after.as_ref(), |number| {
            let code = column.code(number, first.descending);
            if numbers.len() >= limit && group != Some(code) {
                return false;
            }
            group = Some(code);
            if passing.holds(number) && is_after(&number) {
                numbers.push(number);
            }
            true
        });
        return first_by(numbers.into_iter().map(codes).collect(), limit);
    }
    let candidates = (passing.iter(shelf))
        .filter(|number| {
            after
                .as_ref()
                .is_none_or(|after| after.is_before(shelf, &query.sort, *number))
        })
        .map(codes)
        .collect();
    first_by(candidates, limit)
}

/// The first of some clusters by their codes.
fn first_by(mut candidates: Vec<([u32; SORT_KEYS], u32)>, limit: usize) -> Vec<u32> {
    if candidates.len() > limit {
        candidates.select_nth_unstable(limit - 1);
        candidates.truncate(limit);
    }
    candidates.sort_unstable();
    candidates.into_iter().map(|(_, number)| number).collect()
}

/// Whether all clusters of a source have the same value, unknown included; [`shelf_key`] tells it.
fn is_uniform(shelf: &Shelf, key: SortKey) -> bool {
    matches!(shelf.content.index.column(key), Column::Unknown)
}

/// How a whole source stands to a place by the terms that are the same for all of its clusters and come first in the order.
fn leading(shelf: &Shelf, sort: &Sort, after: Option<&Position>) -> Option<Ordering> {
    let after = after?;
    let leading = sort
        .0
        .iter()
        .zip(&after.values)
        .take_while(|(term, _)| is_uniform(shelf, term.key));
    Some(standing(shelf, leading))
}

/// How a whole source stands to the values of some terms that are the same for all of its clusters.
fn standing<'a>(
    shelf: &Shelf,
    terms: impl Iterator<Item = (&'a SortTerm, &'a SortValue)>,
) -> Ordering {
    terms
        .map(|(term, value)| directed(term.descending, shelf_key(shelf, term.key), Key::of(value)))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn top_by_id(
    shelf: &Shelf,
    passing: &Passing,
    after: Option<&Position>,
    reversed: bool,
    limit: usize,
) -> Vec<u32> {
    let entries = &shelf.content.entries;
    let number = |place: usize| u32::try_from(place).unwrap_or(UNKNOWN);
    let range = match after {
        None => 0..entries.len(),
        Some(after) if reversed => {
            0..entries.partition_point(|entry| entry.row.id.as_str() < after.id.as_str())
        }
        Some(after) => {
            entries.partition_point(|entry| entry.row.id.as_str() <= after.id.as_str())
                ..entries.len()
        }
    };
    let (from, to) = (number(range.start), number(range.end));
    match (passing, reversed) {
        (Passing::All, false) => (from..to).take(limit).collect(),
        (Passing::All, true) => (from..to).rev().take(limit).collect(),
        (Passing::Some(numbers), false) => numbers.range(from..to).take(limit).collect(),
        (Passing::Some(numbers), true) => numbers.range(from..to).rev().take(limit).collect(),
    }
}

/// Walks a source's clusters in the order of one column.
struct Walk<'a> {
    order: &'a [u32],
    rank: &'a [u32],
    known: usize,
    descending: bool,
}

impl Walk<'_> {
    /// Calls `visit` in order until it says to stop, beginning near a bound.
    fn each(&self, after: Option<&Bound<'_>>, mut visit: impl FnMut(u32) -> bool) {
        let (known, mut unknown) = self.order.split_at(self.known);
        let is_in_unknown = after.is_some_and(|after| after.first == FirstRank::Unknown);
        if is_in_unknown {
            unknown = after.map_or(unknown, |after| after.rest_of(unknown));
        } else {
            let go_on = if self.descending {
                self.descend(known, after, &mut visit)
            } else {
                self.ascend(known, after, &mut visit)
            };
            if !go_on {
                return;
            }
        }
        for number in unknown {
            if !visit(*number) {
                return;
            }
        }
    }

    fn ascend(
        &self,
        known: &[u32],
        after: Option<&Bound<'_>>,
        visit: &mut impl FnMut(u32) -> bool,
    ) -> bool {
        let below = |rank: u32| known.partition_point(|n| self.rank[*n as usize] < rank);
        let (group, rest) = match after.map(|after| (after, after.first)) {
            Some((after, FirstRank::At(rank))) => {
                let end = below(rank + 1);
                (after.rest_of(&known[below(rank)..end]), &known[end..])
            }
            Some((_, FirstRank::Before(rank))) => (&known[..0], &known[below(rank)..]),
            Some((_, FirstRank::Unknown)) | None => (&known[..0], known),
        };
        group.iter().chain(rest).all(|number| visit(*number))
    }

    /// Groups of equal values from the last, each by id.
    fn descend(
        &self,
        known: &[u32],
        after: Option<&Bound<'_>>,
        visit: &mut impl FnMut(u32) -> bool,
    ) -> bool {
        let mut to = match after.map(|after| after.first) {
            Some(FirstRank::At(rank)) => known.partition_point(|n| self.rank[*n as usize] <= rank),
            Some(FirstRank::Before(rank)) => {
                known.partition_point(|n| self.rank[*n as usize] < rank)
            }
            Some(FirstRank::Unknown) | None => known.len(),
        };
        while to > 0 {
            let rank = self.rank[known[to - 1] as usize];
            let from = known[..to].partition_point(|n| self.rank[*n as usize] < rank);
            let group = match after {
                Some(after) if after.first == FirstRank::At(rank) => {
                    after.rest_of(&known[from..to])
                }
                _ => &known[from..to],
            };
            if !group.iter().all(|number| visit(*number)) {
                return false;
            }
            to = from;
        }
        true
    }
}

/// Where the first sort value of a place stands among a source's ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstRank {
    /// It is this rank.
    At(u32),
    /// It lies just before this rank.
    Before(u32),
    /// It is unknown, so only unknown values can follow.
    Unknown,
}

/// A place of a page token, seen from one source.
struct Bound<'a> {
    position: &'a Position,
    first: FirstRank,
    /// Clusters below this number cannot follow where their first value is the place's own; 0 when other terms decide.
    from: u32,
}

impl<'a> Bound<'a> {
    fn new(shelf: &Shelf, sort: &Sort, position: &'a Position) -> Self {
        let own = sort
            .0
            .iter()
            .zip(&position.values)
            .find(|(term, _)| !is_uniform(shelf, term.key));
        let first = own.map_or(FirstRank::Before(0), |(term, value)| {
            let wanted = Key::of(value);
            let Column::Known {
                order, rank, known, ..
            } = shelf.content.index.column(term.key)
            else {
                return FirstRank::Unknown;
            };
            if wanted == Key::Unknown {
                return FirstRank::Unknown;
            }
            let key = |number: &u32| {
                shelf.content.entries[*number as usize]
                    .row
                    .facts
                    .key(term.key)
            };
            let at = order[..*known].partition_point(|number| key(number).cmp(wanted).is_lt());
            match order[..*known].get(at) {
                Some(number) if key(number).cmp(wanted).is_eq() => {
                    FirstRank::At(rank[*number as usize])
                }
                Some(number) => FirstRank::Before(rank[*number as usize]),
                None => FirstRank::Before(UNKNOWN),
            }
        });
        let entries = &shelf.content.entries;
        let terms = || sort.0.iter().zip(&position.values);
        let own_terms = terms().filter(|(term, _)| !is_uniform(shelf, term.key));
        let from = if own_terms.count() > 1 {
            0
        } else {
            // Beside the one term that differs, the whole source stands on one side of the place, or the id decides.
            match standing(
                shelf,
                terms().filter(|(term, _)| is_uniform(shelf, term.key)),
            ) {
                Ordering::Less => entries.len(),
                Ordering::Equal => {
                    entries.partition_point(|entry| entry.row.id.as_str() <= position.id.as_str())
                }
                Ordering::Greater => 0,
            }
        };
        Self {
            position,
            first,
            from: u32::try_from(from).unwrap_or(UNKNOWN),
        }
    }

    /// What of a group of clusters with the place's own first value can follow; the group is ordered by id.
    fn rest_of<'g>(&self, group: &'g [u32]) -> &'g [u32] {
        &group[group.partition_point(|number| *number < self.from)..]
    }

    /// Whether a cluster comes after the place.
    fn is_before(&self, shelf: &Shelf, sort: &Sort, number: u32) -> bool {
        let entry = &shelf.content.entries[number as usize];
        for (term, value) in sort.0.iter().zip(&self.position.values) {
            let ordering = directed(term.descending, key(shelf, entry, term.key), Key::of(value));
            if ordering.is_ne() {
                return ordering.is_gt();
            }
        }
        entry.row.id.as_str() > self.position.id.as_str()
    }
}

/// Compares two values in a direction; unknown ones come last in both.
fn directed(descending: bool, a: Key<'_>, b: Key<'_>) -> Ordering {
    match (a, b) {
        (Key::Unknown, _) | (_, Key::Unknown) => a.cmp(b),
        _ if descending => b.cmp(a),
        _ => a.cmp(b),
    }
}

fn key<'a>(shelf: &'a Shelf, entry: &'a Entry, key: SortKey) -> Key<'a> {
    if key.is_immutable() {
        shelf_key(shelf, key)
    } else {
        entry.row.facts.key(key)
    }
}

/// What all clusters of a source share. The id is not among it: it decides last, by [`compare`] itself.
fn shelf_key(shelf: &Shelf, key: SortKey) -> Key<'_> {
    match key {
        SortKey::Provider => Key::Text(shelf.report.provider.as_str()),
        SortKey::Source => Key::Text(shelf.report.name.as_str()),
        _ => Key::Unknown,
    }
}

fn compare(shelves: &[std::sync::Arc<Shelf>], sort: &Sort, a: Place, b: Place) -> Ordering {
    let entry = |place: Place| &shelves[place.shelf].content.entries[place.number as usize];
    for term in &sort.0 {
        let of = |place: Place| key(&shelves[place.shelf], entry(place), term.key);
        let ordering = directed(term.descending, of(a), of(b));
        if ordering.is_ne() {
            return ordering;
        }
    }
    entry(a).row.id.as_str().cmp(entry(b).row.id.as_str())
}

/// The place after a cluster, for a page token.
pub(super) fn position(shelves: &[std::sync::Arc<Shelf>], sort: &Sort, place: Place) -> Position {
    let shelf = &shelves[place.shelf];
    let entry = &shelf.content.entries[place.number as usize];
    let value = |term: &super::query::SortTerm| key(shelf, entry, term.key).to_value();
    Position {
        values: sort.0.iter().map(value).collect(),
        id: entry.row.id.as_str().to_owned(),
    }
}
