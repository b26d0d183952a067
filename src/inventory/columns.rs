//! What sums need of one source's clusters, in columns that are built once for each listing: to add some of them up is a walk
//! over a few arrays and never one over the clusters.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use rust_decimal::Decimal;

use super::exact::Exact;
use super::facts::Facts;
use super::row::Entry;
use super::summary::Sum;

/// What some clusters report, in the order of their numbers.
#[derive(Debug)]
struct Column<T> {
    numbers: Box<[u32]>,
    values: Box<[T]>,
}

/// One for each text of a kind.
type ByText<T> = Box<[(Arc<str>, T)]>;

/// What sums need of one source's clusters.
#[derive(Debug)]
pub(super) struct Columns {
    nodes: Column<u64>,
    nodes_ready: Column<u64>,
    /// Accelerators by model. A cluster that does not say how many it has of one has no count.
    models: ByText<Column<Option<u64>>>,
    /// Hourly cost by currency.
    currencies: ByText<Column<Decimal>>,
    /// Clusters whose provider does not say whether there are accelerators, or how many.
    pub(super) accelerators_unknown: RoaringBitmap,
    /// Clusters without any region. Of what has one value at most, those without a value are the rest.
    pub(super) regionless: RoaringBitmap,
    /// Clusters by their whole version: to a filter a version is also the minor of others.
    pub(super) versions: ByText<RoaringBitmap>,
}

/// Sums over some clusters of one source.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) nodes: Sum<u64>,
    pub(super) nodes_ready: Sum<u64>,
    /// Accelerators of each model that one of the clusters names.
    pub(super) models: Vec<(Arc<str>, Sum<u64>)>,
    /// Hourly cost in each currency that one of the clusters has a cost in.
    pub(super) currencies: Vec<(Arc<str>, Sum<Decimal>)>,
}

impl Columns {
    /// Builds the columns of entries that are sorted by id.
    pub(super) fn build(entries: &[Entry]) -> Self {
        let mut models: BTreeMap<&Arc<str>, Vec<(u32, Option<u64>)>> = BTreeMap::new();
        let mut currencies: BTreeMap<&Arc<str>, Vec<(u32, Decimal)>> = BTreeMap::new();
        let mut versions: BTreeMap<&Arc<str>, RoaringBitmap> = BTreeMap::new();
        let mut accelerators_unknown = RoaringBitmap::new();
        let mut regionless = RoaringBitmap::new();
        for (number, entry) in (0_u32..).zip(entries) {
            let facts = &entry.row.facts;
            for (model, count) in by_model(facts) {
                models.entry(model).or_default().push((number, count));
            }
            if !are_accelerators_known(facts) {
                accelerators_unknown.insert(number);
            }
            if let Some((amount, currency)) = &facts.cost {
                currencies
                    .entry(currency)
                    .or_default()
                    .push((number, *amount));
            }
            if facts.regions.is_empty() {
                regionless.insert(number);
            }
            if let Some(version) = &facts.version {
                versions.entry(version).or_default().insert(number);
            }
        }
        Self {
            nodes: Column::of(entries, |facts| facts.nodes),
            nodes_ready: Column::of(entries, |facts| facts.nodes_ready),
            models: models.into_iter().map(column).collect(),
            currencies: currencies.into_iter().map(column).collect(),
            accelerators_unknown,
            regionless,
            versions: (versions.into_iter())
                .map(|(version, numbers)| (Arc::clone(version), numbers))
                .collect(),
        }
    }

    /// Sums over the clusters that are among the wanted ones, of which there is a word for each number.
    pub(super) fn totals(&self, wanted: &[bool]) -> Totals {
        let models = (self.models.iter())
            .filter_map(|(model, column)| Some((Arc::clone(model), column.counted(wanted)?)));
        let currencies = (self.currencies.iter())
            .filter_map(|(currency, column)| Some((Arc::clone(currency), column.paid(wanted)?)));
        Totals {
            nodes: self.nodes.sum(wanted),
            nodes_ready: self.nodes_ready.sum(wanted),
            models: models.collect(),
            currencies: currencies.collect(),
        }
    }
}

impl<T: Copy> Column<T> {
    fn new(reported: Vec<(u32, T)>) -> Self {
        let (numbers, values): (Vec<u32>, Vec<T>) = reported.into_iter().unzip();
        Self {
            numbers: numbers.into(),
            values: values.into(),
        }
    }

    fn of(entries: &[Entry], value: impl Fn(&Facts) -> Option<T>) -> Self {
        let reported = (0_u32..)
            .zip(entries)
            .filter_map(|(number, entry)| Some((number, value(&entry.row.facts)?)));
        Self::new(reported.collect())
    }

    /// The values, each with whether its cluster is wanted.
    fn among<'a>(&'a self, wanted: &'a [bool]) -> impl Iterator<Item = (T, bool)> + 'a {
        (self.numbers.iter())
            .zip(&self.values)
            .map(|(number, value)| (*value, wanted[*number as usize]))
    }
}

impl Column<u64> {
    fn sum(&self, wanted: &[bool]) -> Sum<u64> {
        let mut sum = Sum::<u64>::default();
        // Without a branch, of which nobody could guess where it goes.
        for (value, is_wanted) in self.among(wanted) {
            let times = u64::from(is_wanted);
            sum.value = sum.value.saturating_add(value * times);
            sum.clusters += times;
        }
        sum
    }
}

impl Column<Option<u64>> {
    /// `None` where no wanted cluster is in the column.
    fn counted(&self, wanted: &[bool]) -> Option<Sum<u64>> {
        let mut found = None;
        for (count, _) in self.among(wanted).filter(|(_, is_wanted)| *is_wanted) {
            let sum: &mut Sum<u64> = found.get_or_insert_default();
            if let Some(count) = count {
                sum.value = sum.value.saturating_add(count);
                sum.clusters += 1;
            }
        }
        found
    }
}

impl Column<Decimal> {
    /// `None` where no wanted cluster is in the column.
    fn paid(&self, wanted: &[bool]) -> Option<Sum<Decimal>> {
        let mut exact = Exact::default();
        let mut clusters = 0;
        for (amount, _) in self.among(wanted).filter(|(_, is_wanted)| *is_wanted) {
            exact.add(amount);
            clusters += 1;
        }
        let value = exact.total();
        (clusters > 0).then_some(Sum { value, clusters })
    }
}

fn column<T: Copy>((key, reported): (&Arc<str>, Vec<(u32, T)>)) -> (Arc<str>, Column<T>) {
    (Arc::clone(key), Column::new(reported))
}

/// Whether the provider says what accelerators there are, and how many of each.
pub(super) fn are_accelerators_known(facts: &Facts) -> bool {
    let all = facts.accelerators.as_ref();
    all.is_some_and(|all| all.iter().all(|(_, count)| count.is_some()))
}

/// The accelerators of one cluster by model: a cluster that names one twice is still one cluster. A count is known when each
/// of its parts is.
pub(super) fn by_model(facts: &Facts) -> Vec<(&Arc<str>, Option<u64>)> {
    let mut models: Vec<(&Arc<str>, Option<u64>)> = Vec::new();
    for (model, count) in facts.accelerators.iter().flatten() {
        match models.iter_mut().find(|(known, _)| *known == model) {
            Some((_, sum)) => {
                *sum = sum
                    .zip(*count)
                    .map(|(sum, count)| sum.saturating_add(count));
            }
            None => models.push((model, *count)),
        }
    }
    models
}
