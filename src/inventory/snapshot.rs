//! Everything known at one moment; immutable. Readers hold it for as long as they like.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::completeness::Coverage;
use super::query::{Filter, Position, Query, Sort};
use super::row::{Row, Tail};
use super::select::{self, Found, Place};
use super::shelf::Shelf;
use super::source::SourceReport;
use super::summary::{Summary, summarize};
use super::token;
use super::view::Views;
use crate::domain::{ClusterId, SourceName};
use crate::provider::Locator;

/// Everything known at one moment; immutable.
pub struct Snapshot {
    /// Counts up with every publication, also across restarts.
    pub generation: u64,
    /// When it was published. Ages in answers are as of then, and the `Age` header says how long ago that was.
    pub as_of: Timestamp,
    /// Stands for what this gateway alone shows otherwise than its generation says; 0 is nothing.
    pub(super) variant: u64,
    pub(super) shelves: Vec<Arc<Shelf>>,
    reports: Vec<Arc<SourceReport>>,
    /// Stands for how far it goes; 0 is everything.
    pub(super) reach: u128,
    /// Whether it is an account of an earlier generation, made of what changes tell.
    pub(super) is_of_then: bool,
    pub(super) views: Views,
}

impl Snapshot {
    /// Puts shelves together, in the order of their clusters' ids.
    pub(super) fn new(generation: u64, as_of: Timestamp, mut shelves: Vec<Arc<Shelf>>) -> Self {
        // An id is `<source>:…`, so sources sort with the colon at their end.
        shelves.sort_by_cached_key(|shelf| format!("{}:", shelf.report.name));
        let reports = shelves
            .iter()
            .map(|shelf| Arc::clone(&shelf.report))
            .collect();
        Self {
            generation,
            as_of,
            variant: 0,
            shelves,
            reports,
            reach: 0,
            is_of_then: false,
            views: Views::default(),
        }
    }

    /// Every source, by name.
    pub fn sources(&self) -> &[Arc<SourceReport>] {
        &self.reports
    }

    /// One source.
    pub fn source(&self, name: &str) -> Option<&Arc<SourceReport>> {
        self.reports
            .iter()
            .find(|source| source.name.as_str() == name)
    }

    /// What an answer can say of the sources that can hold what passes a filter.
    pub fn coverage(&self, filter: &Filter) -> Coverage<'_> {
        let sources = self.reports.iter().map(AsRef::as_ref);
        Coverage::of(sources.filter(|source: &&SourceReport| {
            filter.admits_source(&source.name, source.provider.as_str())
        }))
    }

    /// Clusters known in all.
    pub fn len(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.len()).sum()
    }

    /// The generation and what is shown otherwise than it says, in one text: what entity tags are of.
    pub fn edition(&self) -> String {
        match self.variant {
            0 => self.generation.to_string(),
            variant => format!("{}~{variant}", self.generation),
        }
    }

    /// Stands for what this gateway alone shows otherwise than its generation says; 0 is nothing.
    pub fn variant(&self) -> u64 {
        self.variant
    }

    /// Stands for how far it goes, in keys of caches; 0 is everything.
    pub fn reach(&self) -> u128 {
        self.reach
    }

    /// Whether it is an account of an earlier generation: less is known in it than was when that was current.
    pub fn is_of_then(&self) -> bool {
        self.is_of_then
    }

    /// The filters and the order of a query in one canonical text, and how far this snapshot goes: what a page token and an
    /// entity tag are bound to.
    pub fn canonical(&self, query: &Query) -> String {
        let mut text = query.canonical();
        if self.is_of_then {
            text.push_str(";then");
        }
        if self.reach != 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, ";reach:{:032x}", self.reach);
        }
        text
    }

    /// Whether no cluster is known.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Answers a query.
    pub fn select(&self, query: &Query) -> Found {
        select::select(&self.shelves, query)
    }

    /// One cluster.
    pub fn find(&self, id: &ClusterId) -> Option<Place> {
        self.find_text(id.as_str())
    }

    /// One cluster, by what may be its id.
    pub fn find_text(&self, id: &str) -> Option<Place> {
        let (source, _) = id.split_once(':')?;
        let shelf = self
            .shelves
            .iter()
            .position(|shelf| shelf.report.name.as_str() == source)?;
        let content = &self.shelves[shelf].content;
        let number = content.index.find(&content.entries, id)?;
        let number = u32::try_from(number).ok()?;
        let place = Place { shelf, number };
        self.shelves[shelf].sees(number).then_some(place)
    }

    /// The prepared cluster at a place of this snapshot.
    pub fn row(&self, place: Place) -> &Row {
        &self.shelves[place.shelf].content.entries[place.number as usize].row
    }

    /// When the cluster at a place was last read.
    pub fn fetched_at(&self, place: Place) -> Option<Timestamp> {
        let shelf = &self.shelves[place.shelf];
        shelf.content.entries[place.number as usize]
            .fetched_at
            .or(shelf.fetched_at)
    }

    /// A strong entity tag of the cluster at a place, shown in a shape other than the whole one.
    pub fn tag(&self, place: Place, shape: Option<&str>) -> String {
        let shelf = &self.shelves[place.shelf];
        let entry = &shelf.content.entries[place.number as usize];
        let fetched_at = self
            .fetched_at(place)
            .map(Timestamp::as_microsecond)
            .unwrap_or_default();
        let presence = shelf.presence(entry) as u8;
        let mut tag = String::with_capacity(48);
        tag.push('"');
        push_hex(&mut tag, entry.row.tag);
        tag.push('-');
        push_hex(&mut tag, fetched_at.unsigned_abs());
        tag.push('-');
        tag.push(char::from(b'0' + presence));
        let is_old = shelf.is_old(place.number) || entry.row.contact_lost;
        tag.push(if is_old { '1' } else { '0' });
        if let Some(shape) = shape {
            tag.push('-');
            tag.push_str(&token::fingerprint(shape)[..6]);
        }
        tag.push('"');
        tag
    }

    /// Whether an entity tag stands for the cluster at a place as it is: a cluster that was only read again is the same.
    pub fn is_tag_of(&self, place: Place, tag: &str) -> bool {
        let shelf = &self.shelves[place.shelf];
        let entry = &shelf.content.entries[place.number as usize];
        let content = tag.strip_prefix('"').and_then(|tag| tag.split_once('-'));
        content.is_some_and(|(content, _)| content == format!("{:x}", entry.row.tag))
    }

    /// Clusters of a source that have a name.
    pub fn named(&self, source: &SourceName, name: &str) -> Vec<ClusterId> {
        let shelf = self.shelf(source);
        let entries = shelf.content.entries.iter();
        entries
            .filter(|entry| *entry.row.facts.name == *name)
            .map(|entry| entry.row.id.clone())
            .collect()
    }

    /// The place after a cluster, for a page token.
    pub fn position(&self, sort: &Sort, place: Place) -> Position {
        select::position(&self.shelves, sort, place)
    }

    /// What is known of one source; an empty shelf where there is no such source, which no task ever asks for.
    pub(super) fn shelf(&self, source: &SourceName) -> Arc<Shelf> {
        let known = self
            .shelves
            .iter()
            .find(|shelf| shelf.report.name == *source);
        known.map_or_else(
            || {
                let report = SourceReport::new(
                    source.clone(),
                    crate::domain::Kind::new("unknown"),
                    Duration::ZERO,
                );
                Arc::new(Shelf::new(report, Duration::MAX))
            },
            Arc::clone,
        )
    }

    /// Clusters of a source whose detail is wanted, the most urgent first.
    pub(super) fn wanting_detail(
        &self,
        source: &SourceName,
        older_than: Timestamp,
    ) -> Vec<(ClusterId, Locator)> {
        let shelf = self
            .shelves
            .iter()
            .find(|shelf| shelf.report.name == *source);
        shelf
            .map(|shelf| shelf.wanting_detail(older_than))
            .unwrap_or_default()
    }

    /// Counts and sums of what passes a filter.
    pub fn summarize(&self, filter: &Filter) -> Summary {
        summarize(self, filter)
    }

    /// Appends the JSON of clusters, separated by commas.
    pub fn append(&self, places: &[Place], raw: bool, nodes: bool, body: &mut Vec<u8>) {
        for (at, place) in places.iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            let shelf = &self.shelves[place.shelf];
            let entry = &shelf.content.entries[place.number as usize];
            let own = entry.fetched_at.map(|at| at.to_string());
            let text = own.as_deref().unwrap_or(&shelf.fetched_text);
            let tail = Tail {
                links: shelf.links,
                fetched_at: text,
                presence: shelf.presence(entry),
                stale: shelf.is_old(place.number),
            };
            entry.row.append(&tail, raw, nodes, body);
        }
    }
}

/// Appends a number in hexadecimal digits: each answer has two of them, and formatting costs several times as much.
fn push_hex(text: &mut String, number: u64) {
    let digits = 16 - (number | 1).leading_zeros() / 4;
    for digit in (0..digits).rev() {
        let digit = (number >> (digit * 4)) & 0xf;
        text.push(char::from_digit(digit as u32, 16).unwrap_or('0'));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_are_those_of_the_formatter() {
        for number in [
            0,
            1,
            9,
            10,
            15,
            16,
            255,
            256,
            0x0123_4567_89ab_cdef,
            u64::MAX,
        ] {
            let mut text = String::new();
            push_hex(&mut text, number);
            assert_eq!(text, format!("{number:x}"));
        }
    }
}
