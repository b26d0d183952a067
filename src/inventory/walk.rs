//! One source's clusters in the order of a column, from a place on.

use std::cmp::Ordering;

use super::order::{Column, Key, UNKNOWN};
use super::query::{Position, Sort, SortKey, SortTerm, SortValue};
use super::row::Entry;
use super::shelf::Shelf;

/// Walks a source's clusters in the order of one column.
pub(super) struct Walk<'a> {
    pub(super) order: &'a [u32],
    pub(super) rank: &'a [u32],
    pub(super) known: usize,
    pub(super) descending: bool,
}

impl Walk<'_> {
    /// Calls `visit` in order until it says to stop, beginning near a bound.
    pub(super) fn each(&self, after: Option<&Bound<'_>>, mut visit: impl FnMut(u32) -> bool) {
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
pub(super) struct Bound<'a> {
    position: &'a Position,
    first: FirstRank,
    /// Clusters below this number cannot follow where their first value is the place's own; 0 when other terms decide.
    from: u32,
}

impl<'a> Bound<'a> {
    pub(super) fn new(shelf: &Shelf, sort: &Sort, position: &'a Position) -> Self {
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
    pub(super) fn is_before(&self, shelf: &Shelf, sort: &Sort, number: u32) -> bool {
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

/// Whether all clusters of a source have the same value, unknown included; [`shelf_key`] tells it.
pub(super) fn is_uniform(shelf: &Shelf, key: SortKey) -> bool {
    matches!(shelf.content.index.column(key), Column::Unknown)
}

/// How a whole source stands to the values of some terms that are the same for all of its clusters.
pub(super) fn standing<'a>(
    shelf: &Shelf,
    terms: impl Iterator<Item = (&'a SortTerm, &'a SortValue)>,
) -> Ordering {
    terms
        .map(|(term, value)| directed(term.descending, shelf_key(shelf, term.key), Key::of(value)))
        .find(|ordering| ordering.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Compares two values in a direction; unknown ones come last in both.
pub(super) fn directed(descending: bool, a: Key<'_>, b: Key<'_>) -> Ordering {
    match (a, b) {
        (Key::Unknown, _) | (_, Key::Unknown) => a.cmp(b),
        _ if descending => b.cmp(a),
        _ => a.cmp(b),
    }
}

pub(super) fn key<'a>(shelf: &'a Shelf, entry: &'a Entry, key: SortKey) -> Key<'a> {
    if key.is_immutable() {
        shelf_key(shelf, key)
    } else {
        entry.row.facts.key(key)
    }
}

/// What all clusters of a source share. The id is not among it: it decides last, where everything else is equal.
pub(super) fn shelf_key(shelf: &Shelf, key: SortKey) -> Key<'_> {
    match key {
        SortKey::Provider => Key::Text(shelf.report.provider.as_str()),
        SortKey::Source => Key::Text(shelf.report.name.as_str()),
        _ => Key::Unknown,
    }
}
