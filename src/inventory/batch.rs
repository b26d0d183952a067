//! The changes of one generation, and who learns of which.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use roaring::RoaringBitmap;

use super::SourceReport;
use super::change::{Change, ChangeKind, Known};
use super::mark::Mark;
use super::passing::{Passing, passing};
use super::query::Filter;
use super::shelf::{Content, Shelf};
use super::view::of_projects;
use crate::domain::{ClusterId, Kind, Reach, SourceName};

/// What somebody wants to learn of.
#[derive(Debug, Clone, Default)]
pub struct Interest {
    /// The clusters: before a change, or after it.
    pub filter: Filter,
    /// What happened to them; empty is whatever it was.
    pub kinds: Vec<ChangeKind>,
    /// Also of what changes by itself all the time.
    pub noise: bool,
}

impl Interest {
    fn wants(&self, kind: ChangeKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

/// The changes of one generation.
#[derive(Debug)]
pub struct Batch {
    /// The generation that first shows them.
    pub generation: u64,
    /// When it was published.
    pub at: Timestamp,
    sections: Vec<Section>,
    /// Each change as answers have it, in the order of the batch.
    told: Vec<Box<[u8]>>,
    pub(super) weight: usize,
}

/// The changes of one source, one after the other.
#[derive(Debug)]
struct Section {
    source: SourceName,
    provider: Kind,
    changes: Vec<Change>,
    sides: OnceLock<[Side; 2]>,
}

/// The clusters of a section as they were, or as they are: a shelf that is asked like any other.
#[derive(Debug)]
struct Side {
    shelf: Shelf,
    /// The change that each entry belongs to.
    of: Vec<u32>,
}

/// Which changes somebody learns of, by their places.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) places: RoaringBitmap,
    /// Of these, changes before which the cluster was not seen: it comes.
    pub(super) coming: RoaringBitmap,
    /// Of these, changes after which it is not: it goes.
    pub(super) going: RoaringBitmap,
}

impl Selected {
    /// Adds what is selected of a part that begins at a place.
    fn add(&mut self, part: &Self, first: u32) {
        let moved = |numbers: &RoaringBitmap| {
            numbers
                .iter()
                .map(|number| number + first)
                .collect::<Vec<_>>()
        };
        self.places.extend(moved(&part.places));
        self.coming.extend(moved(&part.coming));
        self.going.extend(moved(&part.going));
    }

    /// What is seen on the two sides of a change decides how it is told.
    fn how(&self, place: u32) -> How {
        if self.coming.contains(place) {
            How::Comes
        } else if self.going.contains(place) {
            How::Goes
        } else {
            How::Whole
        }
    }
}

/// How a change is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Whole,
    Comes,
    Goes,
}

impl Side {
    fn of<'a>(section: &Section, known: impl Iterator<Item = (usize, &'a Known)>) -> Self {
        let (mut of, mut entries, mut outdated) = (Vec::new(), Vec::new(), RoaringBitmap::new());
        for (number, (at, known)) in (0_u32..).zip(known) {
            of.push(count(at));
            entries.push(known.entry.clone());
            if known.is_old {
                outdated.insert(number);
            }
        }
        let report = SourceReport::new(
            section.source.clone(),
            section.provider.clone(),
            std::time::Duration::ZERO,
        );
        let mut shelf = Shelf::new(report, std::time::Duration::MAX);
        shelf.content = Content::unsorted(entries);
        shelf.outdated = outdated;
        Self { shelf, of }
    }

    /// The changes whose cluster is seen, and those of them whose cluster passes.
    fn look(&self, filter: &Filter, reach: &Reach) -> (RoaringBitmap, RoaringBitmap) {
        let narrowed = (reach.projects.as_ref()).map(|projects| of_projects(&self.shelf, projects));
        let shelf = narrowed.as_ref().unwrap_or(&self.shelf);
        let changes = |numbers: &RoaringBitmap| -> RoaringBitmap {
            let of = numbers
                .iter()
                .filter_map(|number| self.of.get(number as usize));
            of.copied().collect()
        };
        let seen = match &shelf.seen {
            None => self.of.iter().copied().collect(),
            Some(seen) => changes(seen),
        };
        let passing = match passing(shelf, filter) {
            None => RoaringBitmap::new(),
            Some(Passing::All) => seen.clone(),
            Some(Passing::Some(numbers)) => changes(&numbers),
        };
        (seen, passing)
    }
}

/// A generation holds far fewer changes than `u32::MAX`.
fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

impl Section {
    fn sides(&self) -> &[Side; 2] {
        self.sides.get_or_init(|| {
            let side = |pick: fn(&Change) -> Option<&Known>| {
                let changes = self.changes.iter().enumerate();
                Side::of(
                    self,
                    changes.filter_map(move |(at, change)| Some((at, pick(change)?))),
                )
            };
            [
                side(|change| change.before.as_ref()),
                side(|change| change.after.as_ref()),
            ]
        })
    }

    /// The changes of which somebody learns: where the cluster passes now, and where it did before.
    fn select(&self, interest: &Interest, reach: &Reach) -> Selected {
        let mut found = Selected::default();
        let filter = &interest.filter;
        if !reach.sees(&self.source) || !filter.admits_source(&self.source, self.provider.as_str())
        {
            return found;
        }
        if filter.is_of_sources() && reach.projects.is_none() {
            found.places.insert_range(0..count(self.changes.len()));
        } else {
            self.look(filter, reach, &mut found);
        }
        if !interest.kinds.is_empty() {
            let unwanted = |place: &u32| {
                let change = self.changes.get(*place as usize);
                change.is_none_or(|change| !interest.wants(kind_as(change, found.how(*place))))
            };
            let unwanted: RoaringBitmap = found.places.iter().filter(unwanted).collect();
            found.places -= unwanted;
        }
        found
    }

    fn look(&self, filter: &Filter, reach: &Reach, found: &mut Selected) {
        // What happens to a source happens to whoever watches any of its clusters.
        let changes = (0_u32..).zip(&self.changes);
        let of_source = changes.filter(|(_, change)| change.kind == ChangeKind::SourceState);
        found.places.extend(of_source.map(|(at, _)| at));
        let [before, after] = self.sides();
        let (seen_before, passing_before) = before.look(filter, reach);
        let (seen_after, passing_after) = after.look(filter, reach);
        let clusters = passing_before | passing_after;
        if reach.projects.is_some() {
            let has = |side: &Side| side.of.iter().copied().collect::<RoaringBitmap>();
            // Without a side there is nothing on it to be hidden.
            found.coming = &clusters & &(has(before) - &seen_before);
            found.going = &clusters & &(has(after) - &seen_after);
        }
        found.places |= clusters;
    }
}

fn kind_as(change: &Change, how: How) -> ChangeKind {
    match how {
        How::Whole => change.kind,
        How::Comes => ChangeKind::Added,
        How::Goes => ChangeKind::Removed,
    }
}

impl Batch {
    /// Puts the changes of one generation together; `None` where there are none.
    pub(super) fn new(generation: u64, at: Timestamp, changes: Vec<Change>) -> Option<Self> {
        let told = changes.iter().map(|change| change.told(generation, at));
        let told = told.collect();
        Self::told_as(generation, at, changes, told)
    }

    /// Does so with changes that were told before.
    pub(super) fn told_as(
        generation: u64,
        at: Timestamp,
        changes: Vec<Change>,
        told: Vec<Box<[u8]>>,
    ) -> Option<Self> {
        if changes.is_empty() {
            return None;
        }
        let weight = changes.iter().map(Change::weight).sum::<usize>()
            + told.iter().map(|told| told.len()).sum::<usize>();
        let mut sections: Vec<Section> = Vec::new();
        for change in changes {
            match sections.last_mut() {
                Some(section) if section.source == change.source => section.changes.push(change),
                _ => sections.push(Section {
                    source: change.source.clone(),
                    provider: change.provider.clone(),
                    changes: vec![change],
                    sides: OnceLock::new(),
                }),
            }
        }
        Some(Self {
            generation,
            at,
            sections,
            told,
            weight,
        })
    }

    /// Bytes that it takes, as far as they can be reckoned.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.told.len()
    }

    /// Never: a batch without changes is not made.
    pub fn is_empty(&self) -> bool {
        self.told.is_empty()
    }

    /// Every change, in order.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.sections.iter().flat_map(|section| &section.changes)
    }

    /// The change at a place, as answers have it: JSON.
    pub fn told(&self, place: usize) -> &[u8] {
        self.told.get(place).map_or(&[], |told| told)
    }

    fn select(&self, interest: &Interest, reach: &Reach) -> Selected {
        let mut found = Selected::default();
        let mut first = 0;
        for section in &self.sections {
            found.add(&section.select(interest, reach), first);
            first += count(section.changes.len());
        }
        found
    }

    /// The change at a place, as it is told to somebody.
    fn tell(&self, place: usize, how: How) -> Cow<'_, [u8]> {
        let change = || self.changes().nth(place);
        match how {
            How::Whole => Cow::Borrowed(self.told(place)),
            How::Comes => change().map_or(Cow::default(), |change| {
                Cow::Owned(change.told_coming(self.generation, self.at).into_vec())
            }),
            How::Goes => change().map_or(Cow::default(), |change| {
                Cow::Owned(change.told_going(self.generation, self.at).into_vec())
            }),
        }
    }
}

/// All that can be told of one generation, or of the part of it that begins at a place: its changes, and behind them what
/// changes by itself all the time, where that is wanted.
#[derive(Debug, Clone)]
pub struct Moment {
    generation: u64,
    at: Timestamp,
    /// The place of the first change that is here.
    first: u32,
    /// Whether nothing of the generation comes behind it.
    is_whole: bool,
    parts: Vec<Arc<Batch>>,
}

/// The changes of a moment of which somebody learns.
#[derive(Debug)]
pub struct Selection {
    moment: Moment,
    selected: Selected,
}

impl Moment {
    /// Joins the batches of a whole generation; `None` where there are none.
    pub(super) fn new(parts: Vec<Arc<Batch>>) -> Option<Self> {
        let of = parts.first()?;
        Some(Self {
            generation: of.generation,
            at: of.at,
            first: 0,
            is_whole: true,
            parts,
        })
    }

    /// A part of a generation that begins at a place, behind which there may be more.
    pub(super) fn part_of(first: usize, batch: Batch) -> Self {
        Self {
            generation: batch.generation,
            at: batch.at,
            first: count(first),
            is_whole: false,
            parts: vec![Arc::new(batch)],
        }
    }

    /// The generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When it was published.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// How many changes there are in all.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|batch| batch.len()).sum()
    }

    /// Never: a moment without changes is not made.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changes of which somebody learns who wants this and sees so far. It takes the longer the more changes there are, the
    /// first time they are asked for anything but their sources.
    pub fn select(&self, interest: &Interest, reach: &Reach) -> Selection {
        let mut selected = Selected::default();
        let mut first = self.first;
        for batch in &self.parts {
            selected.add(&batch.select(interest, reach), first);
            first += count(batch.len());
        }
        Selection {
            moment: self.clone(),
            selected,
        }
    }

    /// The place after all that is here.
    pub fn end(&self) -> Mark {
        if self.is_whole {
            return Mark::after(self.generation);
        }
        Mark {
            generation: self.generation,
            place: self.first as usize + self.len(),
        }
    }

    /// Every change, in order.
    pub(super) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.parts.iter().flat_map(|batch| batch.changes())
    }

    /// Whether anything in it is of a cluster.
    pub(super) fn is_of(&self, id: &ClusterId) -> bool {
        (self.numbered()).any(|(_, change)| change.cluster.as_ref() == Some(id))
    }

    fn numbered(&self) -> impl Iterator<Item = (u32, &Change)> {
        (self.first..).zip(self.parts.iter().flat_map(|batch| batch.changes()))
    }

    fn part(&self, place: u32) -> Option<(&Batch, usize)> {
        let mut place = place.checked_sub(self.first)? as usize;
        for batch in &self.parts {
            if place < batch.len() {
                return Some((batch, place));
            }
            place -= batch.len();
        }
        None
    }
}

impl Selection {
    /// The moment that they are of.
    pub fn moment(&self) -> &Moment {
        &self.moment
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::try_from(self.selected.places.len()).unwrap_or(usize::MAX)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.selected.places.is_empty()
    }

    /// The places of the changes within a range, in order.
    pub fn places(&self, within: Range<usize>) -> impl DoubleEndedIterator<Item = usize> {
        let within = count(within.start)..count(within.end);
        let places = self.selected.places.range(within);
        places.map(|place| place as usize)
    }

    /// Leaves the changes of one cluster.
    #[must_use]
    pub fn of(mut self, id: &ClusterId) -> Self {
        let is_of = |(_, change): &(u32, &Change)| change.cluster.as_ref() == Some(id);
        let own = self.moment.numbered().filter(is_of);
        let own: RoaringBitmap = own.map(|(place, _)| place).collect();
        self.selected.places &= own;
        self
    }

    /// The change at a place, as answers have it: JSON.
    pub fn tell(&self, place: usize) -> Cow<'_, [u8]> {
        match self.moment.part(count(place)) {
            Some((batch, at)) => batch.tell(at, self.selected.how(count(place))),
            None => Cow::default(),
        }
    }
}
