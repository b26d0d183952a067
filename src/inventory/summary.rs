//! Counts and sums over a selection. A sum always says how many clusters it covers.
//!
//! Of each source the clusters that pass are counted by the bitmaps of its index and added up by its columns. What is selected of
//! a source whole was added up with its listing, so that it costs nothing for each cluster.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::Snapshot;
use super::columns::Totals;
use super::passing::{Passing, passing};
use super::query::{Dimension, Filter};
use super::shelf::Shelf;
use crate::domain::Presence;

/// A sum, how many clusters it covers, and of how many the value is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum<T> {
    /// The sum over the clusters that report a value.
    pub value: T,
    /// Clusters that report one.
    pub clusters: u64,
}

/// Counts and sums over a selection.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Summary {
    /// Clusters in all.
    pub clusters: u64,
    /// Clusters by provider.
    pub by_provider: BTreeMap<String, u64>,
    /// Clusters by source.
    pub by_source: BTreeMap<String, u64>,
    /// Clusters by value, for each dimension that is counted; clusters without a value are not among them.
    pub by: BTreeMap<&'static str, BTreeMap<String, u64>>,
    /// Clusters without a value, for the same dimensions.
    pub unknown: BTreeMap<&'static str, u64>,
    /// Nodes.
    pub nodes: Sum<u64>,
    /// Nodes that are ready.
    pub nodes_ready: Sum<u64>,
    /// Accelerators by model.
    pub accelerators: BTreeMap<String, Sum<u64>>,
    /// Clusters whose provider does not say whether there are accelerators, or how many.
    pub accelerators_unknown: u64,
    /// Hourly cost by currency.
    pub cost: BTreeMap<String, Sum<Decimal>>,
    /// Clusters without a known cost.
    pub cost_unknown: u64,
}

/// Dimensions that are counted by value.
const COUNTED: [Dimension; 8] = [
    Dimension::State,
    Dimension::Cloud,
    Dimension::Region,
    Dimension::Environment,
    Dimension::Orchestrator,
    Dimension::Distribution,
    Dimension::Vantage,
    Dimension::Team,
];

pub(super) fn summarize(snapshot: &Snapshot, filter: &Filter) -> Summary {
    let mut summary = Summary::default();
    for shelf in &snapshot.shelves {
        if let Some(passing) = passing(shelf, filter) {
            summary.add(shelf, &passing);
        }
    }
    summary
}

impl Summary {
    /// Adds the clusters of one source that pass.
    fn add(&mut self, shelf: &Shelf, passing: &Passing) {
        let count = passing.len(shelf);
        if count == 0 {
            return;
        }
        // A filter that everything passes is none.
        let known = shelf.content.entries.len();
        let passing = if count == known as u64 {
            &Passing::All
        } else {
            passing
        };
        self.clusters += count;
        *at(&mut self.by_provider, shelf.report.provider.as_str()) += count;
        *at(&mut self.by_source, shelf.report.name.as_str()) += count;
        self.add_counts(shelf, passing, count);
        match passing {
            Passing::All => self.add_totals(&shelf.content.totals, count),
            Passing::Some(_) => {
                let totals = shelf.content.columns.totals(&passing.mask(known));
                self.add_totals(&totals, count);
            }
        }
    }

    fn add_counts(&mut self, shelf: &Shelf, passing: &Passing, count: u64) {
        let (index, columns) = (&shelf.content.index, &shelf.content.columns);
        for dimension in COUNTED {
            let with = self.add_values(dimension, index.values(dimension), passing);
            let without = if dimension == Dimension::Region {
                passing.count(&columns.regionless)
            } else {
                // A cluster has one of the others at most.
                count - with
            };
            *self.unknown.entry(dimension.as_str()).or_default() += without;
        }
        let versions = columns.versions.iter().map(|(value, own)| (value, own));
        let with = self.add_values(Dimension::Version, versions, passing);
        *(self.unknown.entry(Dimension::Version.as_str())).or_default() += count - with;

        let presences = self.by.entry(Dimension::Presence.as_str()).or_default();
        for (presence, numbers) in Presence::ALL.into_iter().zip(&index.presences) {
            let count = passing.count(numbers);
            if count > 0 {
                *at(presences, shelf.shown(presence).as_str()) += count;
            }
        }
        self.accelerators_unknown += passing.count(&columns.accelerators_unknown);
    }

    /// Adds the clusters by the values of a dimension, and says how many times one of them had a value.
    fn add_values<'a>(
        &mut self,
        dimension: Dimension,
        values: impl Iterator<Item = (&'a Arc<str>, &'a RoaringBitmap)>,
        passing: &Passing,
    ) -> u64 {
        let mut with = 0;
        let counts = self.by.entry(dimension.as_str()).or_default();
        for (value, numbers) in values {
            let count = passing.count(numbers);
            if count > 0 {
                *at(counts, value) += count;
                with += count;
            }
        }
        with
    }

    fn add_totals(&mut self, totals: &Totals, count: u64) {
        self.nodes.join(totals.nodes);
        self.nodes_ready.join(totals.nodes_ready);
        for (model, sum) in &totals.models {
            at(&mut self.accelerators, model).join(*sum);
        }
        let mut with = 0;
        for (currency, sum) in &totals.currencies {
            at(&mut self.cost, currency).join(*sum);
            with += sum.clusters;
        }
        self.cost_unknown += count - with;
    }
}

/// The value under a key, which is copied only when it is new.
fn at<'m, T: Default>(map: &'m mut BTreeMap<String, T>, key: &str) -> &'m mut T {
    if map.contains_key(key) {
        map.get_mut(key).expect("it was just found")
    } else {
        map.entry(key.to_owned()).or_default()
    }
}

impl Sum<u64> {
    /// Adds another sum. What is too much stays at the most there can be.
    pub(super) fn join(&mut self, other: Self) {
        self.value = self.value.saturating_add(other.value);
        self.clusters += other.clusters;
    }
}

impl Sum<Decimal> {
    /// Adds another sum. What is too much stays at the most there can be.
    pub(super) fn join(&mut self, other: Self) {
        self.value = self.value.saturating_add(other.value);
        self.clusters += other.clusters;
    }
}
