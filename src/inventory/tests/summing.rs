//! Summaries against sums over the clusters one by one.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::fleets::{Account, accounts};
use super::questions::filters;
use super::reaching::reaches;
use super::*;
use crate::domain::{Accelerator, Cost, CostOrigin, Money, NodeCounts};
use crate::inventory::facts::Facts;
use crate::inventory::passing::{Passing, passing};
use crate::inventory::query::{Dimension, Filter, Term};
use crate::inventory::{Sum, Summary, View};

/// Dimensions of which each cluster has values that are counted.
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

/// The summary by a look at every cluster that passes.
fn one_by_one(snapshot: &Snapshot, filter: &Filter) -> Summary {
    let mut summary = Summary::default();
    for shelf in &snapshot.shelves {
        if let Some(passing) = passing(shelf, filter) {
            add(&mut summary, shelf, &passing);
        }
    }
    summary
}

/// Adds the clusters of one source one by one.
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
    summary.by.entry("version").or_default();
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
    let numbers = &shelf.content.index.presences;
    for (presence, numbers) in Presence::ALL.into_iter().zip(numbers) {
        let count = passing.count(numbers);
        if count > 0 {
            let shown = shelf.shown(presence);
            *presences.entry(shown.as_str().to_owned()).or_default() += count;
        }
    }
    for number in passing.iter(shelf) {
        let facts = &shelf.content.entries[number as usize].row.facts;
        for (dimension, is_known) in [
            (Dimension::State, true),
            (Dimension::Orchestrator, true),
            (Dimension::Vantage, true),
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
            let versions = summary.by.entry("version").or_default();
            *versions.entry(version.to_string()).or_default() += 1;
        }
        tally(&mut summary.nodes, facts.nodes);
        tally(&mut summary.nodes_ready, facts.nodes_ready);
        match &facts.accelerators {
            Some(all) if all.iter().all(|(_, count)| count.is_some()) => {}
            _ => summary.accelerators_unknown += 1,
        }
        for (model, count) in by_model(facts) {
            tally(
                summary.accelerators.entry(model.to_owned()).or_default(),
                count,
            );
        }
        match &facts.cost {
            Some((amount, currency)) => {
                let sum = summary.cost.entry(currency.to_string()).or_default();
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

fn tally(sum: &mut Sum<u64>, value: Option<u64>) {
    if let Some(value) = value {
        sum.value = sum.value.saturating_add(value);
        sum.clusters += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_summary_is_the_sum_over_its_clusters(
        accounts in accounts(),
        reach in reaches(),
        filters in proptest::collection::vec(filters(), 6),
    ) {
        let benches: Vec<Bench> = accounts.iter().map(Account::bench).collect();
        let whole = Arc::new(snapshot(1, &benches));
        let view = View::new(Arc::clone(&whole), &reach);
        for filter in std::iter::once(Filter::default()).chain(filters) {
            for seen in [&whole, view.seen()] {
                let expected = one_by_one(seen, &filter);
                prop_assert_eq!(seen.summarize(&filter), expected, "{:?} {:?}", reach, filter);
            }
        }
    }
}

fn cost(amount: Decimal, currency: &str) -> Cost {
    Cost {
        hourly: Money {
            amount,
            currency: currency.to_owned(),
        },
        origin: CostOrigin::Listed,
        as_of: None,
    }
}

fn of_source(name: &str) -> Filter {
    Filter {
        terms: vec![Term {
            dimension: Dimension::Source,
            any: vec![name.to_owned()],
            none: Vec::new(),
        }],
        texts: Vec::new(),
    }
}

#[test]
fn what_is_selected_whole_was_added_up_before() {
    let mut bench = Bench::new("s", "k");
    bench.list_numbered(0..3);
    let mut other = Bench::new("t", "k");
    other.list_numbered(0..2);
    // Sums that no cluster has, so that whoever looks at the clusters would find others.
    let shelf = Arc::get_mut(&mut bench.shelf).unwrap();
    let content = Arc::get_mut(&mut shelf.content).unwrap();
    content.totals.nodes = Sum {
        value: 1_000,
        clusters: 3,
    };
    let snapshot = snapshot(1, &[bench, other]);
    let nodes = |filter: &Filter| snapshot.summarize(filter).nodes.value;
    assert_eq!(nodes(&Filter::default()), 1_000);
    assert_eq!(nodes(&of_source("s")), 1_000);
    assert_eq!(nodes(&of_source("t")), 0);
    let present = |any: &str| Filter {
        terms: vec![Term {
            dimension: Dimension::Presence,
            any: vec![any.to_owned()],
            none: Vec::new(),
        }],
        texts: Vec::new(),
    };
    assert_eq!(nodes(&present("present")), 1_000, "all of them pass");
    assert_eq!(nodes(&present("missing")), 0);
}

#[test]
fn sums_are_exact_and_do_not_overflow() {
    let mut bench = Bench::new("s", "k");
    let amounts = ["0.1000", "0.2", "-0.05", "12345678901234567890.12"];
    let clusters = (0..).zip(amounts).map(|(number, amount)| {
        let mut one = cluster("s", &format!("{number}"));
        one.cost = Some(cost(amount.parse().unwrap(), "USD"));
        one.nodes = Some(NodeCounts {
            total: Some(u64::MAX),
            ready: (number == 0).then_some(7),
            ..NodeCounts::default()
        });
        // Two parts of one model, of which one may have no count.
        let part = |count| Accelerator::from_native("H100", count, None);
        one.accelerators = Some(vec![part(Some(8)), part((number > 0).then_some(4))]);
        listed(one)
    });
    bench.list_with(clusters.collect(), Vec::new());
    let summary = snapshot(1, &[bench]).summarize(&Filter::default());
    let sum = &summary.cost["USD"];
    assert_eq!(sum.value.to_string(), "12345678901234567890.3700");
    assert_eq!((sum.clusters, summary.cost_unknown), (4, 0));
    let nodes = Sum {
        value: u64::MAX,
        clusters: 4,
    };
    assert_eq!(summary.nodes, nodes);
    let nodes_ready = Sum {
        value: 7,
        clusters: 1,
    };
    assert_eq!(summary.nodes_ready, nodes_ready);
    let accelerators = Sum {
        value: 36,
        clusters: 3,
    };
    assert_eq!(summary.accelerators["H100"], accelerators);
    assert_eq!(summary.accelerators_unknown, 1);
}

#[test]
fn a_whole_version_is_not_the_minor_of_others() {
    let mut bench = Bench::new("s", "k");
    let versions = ["1.34", "1.34.3", "1.34.4"].into_iter();
    let clusters = versions.map(|version| {
        let mut one = cluster("s", version);
        one.orchestrator.version = Some(version.to_owned());
        listed(one)
    });
    bench.list_with(clusters.collect(), Vec::new());
    let summary = snapshot(1, &[bench]).summarize(&Filter::default());
    assert_eq!(summary.by["version"]["1.34"], 1);
    assert_eq!(summary.by["version"].len(), 3);
}
