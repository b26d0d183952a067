//! Answers a query from the indexes: work proportional to the page, never to the inventory where an index can avoid it.

use std::cmp::Ordering;

use super::order::{Column, UNKNOWN};
use super::passing::{Passing, passing};
use super::query::{Position, Query, SORT_KEYS, Sort, SortKey};
use super::shelf::Shelf;
use super::walk::{Bound, Walk, directed, is_uniform, key, standing};

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
