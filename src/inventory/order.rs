//! The order of one source's clusters by each key, made once for each listing.

use std::cmp::Ordering;

use super::facts::{Facts, cut};
use super::query::{SortKey, SortValue};
use super::row::Entry;

/// Rank of a value that the provider does not say: it comes last in both directions.
pub(super) const UNKNOWN: u32 = u32::MAX;

/// The order of one source's clusters by one key.
#[derive(Debug)]
pub(super) enum Column {
    /// No cluster has a value.
    Unknown,
    /// Some have.
    Known {
        /// Clusters in ascending order, ties and unknown values by id.
        order: Box<[u32]>,
        /// Each cluster's dense rank, [`UNKNOWN`] without a value.
        rank: Box<[u32]>,
        /// How many have a value.
        known: usize,
        /// How many different values there are.
        distinct: u32,
    },
}

/// The order by each key.
pub(super) type Orders = [Column; SortKey::ALL.len()];

/// A key to order by, as the facts hold it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Key<'a> {
    Number(u64),
    Text(&'a str),
    Unknown,
}

/// Orders entries that are sorted by id. Each of them is looked at once, for all keys: there are many, and they lie apart.
pub(super) fn build(entries: &[Entry]) -> Orders {
    let mut lists = SortKey::ALL.map(|_| List::default());
    for (number, entry) in (0_u32..).zip(entries) {
        for (key, list) in SortKey::ALL.into_iter().zip(&mut lists) {
            // Within one source the place by id is the number itself, and provider and source are the same for all.
            if !key.is_immutable() {
                list.add(entry.row.facts.key(key), number);
            }
        }
    }
    lists.map(|list| list.order(entries.len()))
}

/// The values that clusters have by one key, in the order of their numbers. All are of one kind.
#[derive(Default)]
struct List<'a> {
    numbers: Vec<(u64, u32)>,
    texts: Vec<(Text<'a>, u32)>,
    unknown: Vec<u32>,
}

/// A text to order by, with the part of it that most often decides.
#[derive(Clone, Copy)]
struct Text<'a> {
    prefix: u64,
    text: &'a str,
}

impl<'a> List<'a> {
    fn add(&mut self, key: Key<'a>, number: u32) {
        match key {
            Key::Number(value) => self.numbers.push((value, number)),
            Key::Text(text) => self.texts.push((Text::new(text), number)),
            Key::Unknown => self.unknown.push(number),
        }
    }

    fn order(self, count: usize) -> Column {
        if self.texts.is_empty() {
            Column::order(self.numbers, self.unknown, count, u64::cmp)
        } else {
            Column::order(self.texts, self.unknown, count, Text::cmp)
        }
    }
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        let mut bytes = [0; 8];
        for (slot, byte) in bytes.iter_mut().zip(text.bytes()) {
            *slot = byte.to_ascii_lowercase();
        }
        Self {
            prefix: u64::from_be_bytes(bytes),
            text,
        }
    }

    fn cmp(&self, other: &Self) -> Ordering {
        self.prefix.cmp(&other.prefix).then_with(|| {
            if self.text == other.text {
                Ordering::Equal
            } else {
                Key::Text(self.text).cmp(Key::Text(other.text))
            }
        })
    }
}

impl Column {
    fn order<T>(
        mut known: Vec<(T, u32)>,
        unknown: Vec<u32>,
        count: usize,
        compare: impl Fn(&T, &T) -> Ordering,
    ) -> Self {
        if known.is_empty() {
            return Self::Unknown;
        }
        known.sort_unstable_by(|a, b| compare(&a.0, &b.0).then(a.1.cmp(&b.1)));
        let mut rank = vec![UNKNOWN; count].into_boxed_slice();
        let mut distinct = 0;
        let mut before = None;
        for (value, number) in &known {
            let is_same = before.is_some_and(|before| compare(before, value).is_eq());
            distinct += u32::from(!is_same);
            rank[*number as usize] = distinct - 1;
            before = Some(value);
        }
        Self::Known {
            known: known.len(),
            order: (known.into_iter())
                .map(|(_, number)| number)
                .chain(unknown)
                .collect(),
            rank,
            distinct,
        }
    }

    /// A number that orders a cluster by this key and direction; unknown values come last.
    pub(super) fn code(&self, number: u32, descending: bool) -> u32 {
        match self {
            Self::Unknown => UNKNOWN,
            Self::Known { rank, distinct, .. } => match rank[number as usize] {
                UNKNOWN => UNKNOWN,
                rank if descending => distinct - 1 - rank,
                rank => rank,
            },
        }
    }
}

impl<'a> Key<'a> {
    /// Orders keys of one kind; unknown ones last.
    pub(super) fn cmp(self, other: Key<'_>) -> Ordering {
        match (self, other) {
            (Self::Number(a), Key::Number(b)) => a.cmp(&b),
            (Self::Text(a), Key::Text(b)) => a
                .bytes()
                .map(|b| b.to_ascii_lowercase())
                .cmp(b.bytes().map(|b| b.to_ascii_lowercase())),
            (Self::Unknown, Key::Unknown) => Ordering::Equal,
            (Self::Unknown, _) | (Self::Text(_), Key::Number(_)) => Ordering::Greater,
            (_, Key::Unknown) | (Self::Number(_), Key::Text(_)) => Ordering::Less,
        }
    }

    pub(super) fn of(value: &'a SortValue) -> Self {
        match value {
            SortValue::Number(number) => Self::Number(*number),
            SortValue::Text(text) => Self::Text(text),
            SortValue::Unknown => Self::Unknown,
        }
    }

    pub(super) fn to_value(self) -> SortValue {
        match self {
            Self::Number(number) => SortValue::Number(number),
            Self::Text(text) => SortValue::Text(text.to_owned()),
            Self::Unknown => SortValue::Unknown,
        }
    }
}

impl Facts {
    /// What a cluster is ordered by.
    pub(super) fn key(&self, key: SortKey) -> Key<'_> {
        match key {
            SortKey::Id | SortKey::Provider | SortKey::Source => Key::Unknown,
            SortKey::Name => Key::Text(cut(&self.name)),
            SortKey::State => Key::Number(self.state as u64),
            SortKey::Cloud => text_key(self.cloud.as_deref()),
            SortKey::Region => text_key(self.region.as_deref()),
            SortKey::Environment => text_key(self.environment.as_deref()),
            SortKey::Distribution => text_key(self.distribution.as_deref()),
            SortKey::Version => number_key(self.version_order),
            SortKey::Nodes => number_key(self.nodes),
            SortKey::Accelerators => number_key(self.accelerator_count()),
            SortKey::Cost => number_key(self.cost_order().map(float_order)),
            SortKey::Cpu => number_key(self.cpu_cores.map(float_order)),
            SortKey::Memory => number_key(self.memory_bytes),
            SortKey::CreatedAt => number_key(self.created_at.map(signed_order)),
            SortKey::UpdatedAt => number_key(self.updated_at.map(signed_order)),
            SortKey::ObservedAt => number_key(self.observed_at.map(signed_order)),
        }
    }
}

fn text_key(text: Option<&str>) -> Key<'_> {
    text.map_or(Key::Unknown, |text| Key::Text(cut(text)))
}

fn number_key(number: Option<u64>) -> Key<'static> {
    number.map_or(Key::Unknown, Key::Number)
}

/// Maps signed numbers to unsigned ones in the same order.
const fn signed_order(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

/// Maps floats to unsigned numbers in the same order.
fn float_order(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 0 {
        bits | (1 << 63)
    } else {
        !bits
    }
}
