//! Counts and sums over a selection. A sum always says how many clusters it covers.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::Snapshot;
use super::facts::Facts;
use super::passing::{Passing, passing};
use super::query::{Dimension, Filter};
use super::shelf::Shelf;

/// A sum, how many clusters it covers, and of how many the value is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
            add(&mut summary, shelf, &passing);
        }
    }
    summary
}

fn add(summary: &mut Summary, shelf: &Shelf, passing: &Passing) {
    let count = passing.len(shelf);
    if count == 0 {
        return;
    }
    summary.clusters += count;
    *summary
        .by_provider
        .entry(shelf.report.provider.as_str().to_owned())
        .or_default() += count;
    *summary
        .by_source
        .entry(shelf.report.name.as_str().to_owned())
        .or_default() += count;
    for dimension in COUNTED {
        let counts = summary.by.entry(dimension.as_str()).or_default();
        for (value, numbers) in shelf.content.index.values(dimension) {
            let count = passing.count(numbers);
            if count > 0 {
                *counts.entry(value.to_string()).or_default() += count;
            }
        }
    }
    let presences = summary.by.entry("presence").or_default();
    for (presence, numbers) in crate::domain::Presence::ALL
        .into_iter()
        .zip(&shelf.content.index.presences)
    {
        let count = passing.count(numbers);
        if count > 0 {
            let shown = shelf.shown(presence);
            *presences.entry(shown.as_str().to_owned()).or_default() += count;
        }
    }
    for number in passing.iter(shelf) {
        let facts = &shelf.content.entries[number as usize].row.facts;
        for (dimension, is_known) in [
            (Dimension::Cloud, facts.cloud.is_some()),
            (Dimension::Region, !facts.regions.is_empty()),
            (Dimension::Environment, facts.environment.is_some()),
            (Dimension::Distribution, facts.distribution.is_some()),
            (Dimension::Version, facts.version.is_some()),
            (Dimension::Team, facts.team.is_some()),
        ] {
            *summary.unknown.entry(dimension.as_str()).or_default() += u64::from(!is_known);
        }
        if let Some(version) = &facts.version {
            *at(summary.by.entry("version").or_default(), version) += 1;
        }
        tally(&mut summary.nodes, facts.nodes);
        tally(&mut summary.nodes_ready, facts.nodes_ready);
        match &facts.accelerators {
            Some(all) if all.iter().all(|(_, count)| count.is_some()) => {}
            _ => summary.accelerators_unknown += 1,
        }
        for (model, count) in by_model(facts) {
            tally(at(&mut summary.accelerators, model), count);
        }
        match &facts.cost {
            Some((amount, currency)) => {
                let sum = at(&mut summary.cost, currency);
                sum.value = sum.value.saturating_add(*amount);
                sum.clusters += 1;
            }
            None => summary.cost_unknown += 1,
        }
    }
}

/// The accelerators of one cluster by model: a cluster that names one twice is still one cluster. A count is known when each
/// of its parts is.
fn by_model(facts: &Facts) -> Vec<(&str, Option<u64>)> {
    let mut models: Vec<(&str, Option<u64>)> = Vec::new();
    for (model, count) in facts.accelerators.iter().flatten() {
        match models.iter_mut().find(|(known, _)| **known == **model) {
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

/// The value under a key, which is copied only when it is new.
fn at<'m, T: Default>(map: &'m mut BTreeMap<String, T>, key: &str) -> &'m mut T {
    if map.contains_key(key) {
        map.get_mut(key).expect("it was just found")
    } else {
        map.entry(key.to_owned()).or_default()
    }
}

fn tally(sum: &mut Sum<u64>, value: Option<u64>) {
    if let Some(value) = value {
        sum.value = sum.value.saturating_add(value);
        sum.clusters += 1;
    }
}
