//! Pages against the naive answer.

use proptest::prelude::*;
use rust_decimal::Decimal;

use super::fleets::{Account, Known, accounts};
use super::oracle::{compare, count, passes};
use super::questions::{filters, sorts};
use super::*;
use crate::inventory::query::{Filter, Query, Sort};
use crate::inventory::token::PageToken;

/// Every page of a query, as ids, with what each page said of the total and of more to come.
pub(super) fn pages(
    snapshot: &Snapshot,
    filter: &Filter,
    sort: &Sort,
    limit: usize,
) -> Vec<(Vec<String>, u64, bool)> {
    let mut query = Query {
        filter: filter.clone(),
        sort: sort.clone(),
        after: None,
        limit,
    };
    let mut pages = Vec::new();
    loop {
        let found = snapshot.select(&query);
        let ids = found
            .places
            .iter()
            .map(|place| snapshot.row(*place).id.to_string());
        pages.push((ids.collect(), found.total, found.more));
        let Some(last) = found.places.last().filter(|_| found.more) else {
            return pages;
        };
        // As a client comes back: by a token.
        let token = PageToken {
            generation: snapshot.generation,
            position: snapshot.position(sort, *last),
        };
        let text = token.encode(&query.canonical(), at(0));
        let token = PageToken::decode(&text, &query.canonical(), sort.0.len(), at(1)).unwrap();
        query.after = Some(token.position);
        assert!(pages.len() < 1_000, "the walk does not end");
    }
}

fn expected(all: &[Known], filter: &Filter, sort: &Sort) -> Vec<String> {
    let mut passing: Vec<&Known> = all.iter().filter(|known| passes(known, filter)).collect();
    passing.sort_by(|a, b| compare(&a.cluster, &b.cluster, sort));
    passing
        .iter()
        .map(|known| known.cluster.id.to_string())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_yields_what_passes_in_order_and_once(
        accounts in accounts(),
        questions in proptest::collection::vec((filters(), sorts(), 1_usize..=7), 6),
    ) {
        let benches: Vec<Bench> = accounts.iter().map(Account::bench).collect();
        let snapshot = snapshot(1, &benches);
        let all: Vec<Known> = accounts.iter().flat_map(Account::known).collect();
        prop_assert_eq!(snapshot.len(), all.len());
        for (filter, sort, limit) in questions {
            let expected = expected(&all, &filter, &sort);
            let pages = pages(&snapshot, &filter, &sort, limit);
            let walked: Vec<String> = pages.iter().flat_map(|(ids, ..)| ids.clone()).collect();
            prop_assert_eq!(&walked, &expected, "{:?} {:?}", filter, sort);
            for (place, (ids, total, more)) in pages.iter().enumerate() {
                let is_last = place + 1 == pages.len();
                prop_assert_eq!(*total, expected.len() as u64);
                prop_assert_eq!(*more, !is_last);
                prop_assert!(ids.len() == limit || is_last);
            }
            let whole = &pages_of_everything(&snapshot, &filter, &sort);
            prop_assert_eq!(whole, &expected);
        }
    }

    #[test]
    fn sums_cover_what_passes(accounts in accounts(), filter in filters()) {
        let benches: Vec<Bench> = accounts.iter().map(Account::bench).collect();
        let snapshot = snapshot(1, &benches);
        let all: Vec<Known> = accounts.iter().flat_map(Account::known).collect();
        let passing: Vec<&Known> = all.iter().filter(|known| passes(known, &filter)).collect();
        let summary = snapshot.summarize(&filter);
        prop_assert_eq!(summary.clusters, passing.len() as u64);
        prop_assert_eq!(&summary.by_source, &count(passing.iter().map(|known| known.cluster.source.as_str())));
        prop_assert_eq!(&summary.by_provider, &count(passing.iter().map(|known| known.cluster.provider.as_str())));
        if !passing.is_empty() {
            prop_assert_eq!(&summary.by["state"], &count(passing.iter().map(|known| known.cluster.status.state.as_str())));
            prop_assert_eq!(&summary.by["presence"], &count(passing.iter().map(|known| known.presence.as_str())));
        }
        let nodes = || passing.iter().filter_map(|known| known.cluster.nodes.as_ref()?.total);
        prop_assert_eq!(summary.nodes.value, nodes().sum::<u64>());
        prop_assert_eq!(summary.nodes.clusters, nodes().count() as u64);
        for (currency, sum) in &summary.cost {
            let amounts = || passing.iter().filter_map(|known| known.cluster.cost.as_ref())
                .filter(|cost| cost.hourly.currency == *currency)
                .map(|cost| cost.hourly.amount);
            prop_assert_eq!(sum.value, amounts().sum::<Decimal>());
            prop_assert_eq!(sum.clusters, amounts().count() as u64);
        }
        let costless = passing.iter().filter(|known| known.cluster.cost.is_none()).count();
        prop_assert_eq!(summary.cost_unknown, costless as u64);
        for (model, sum) in &summary.accelerators {
            let counts = || passing.iter().filter_map(|known| {
                let own: Vec<_> = known.cluster.accelerators.iter().flatten()
                    .filter(|one| one.model.as_ref().or(one.native.as_ref()) == Some(model)).collect();
                if own.is_empty() { return None; }
                own.iter().map(|one| one.count).sum::<Option<u64>>()
            });
            prop_assert_eq!(sum.value, counts().sum::<u64>());
            prop_assert_eq!(sum.clusters, counts().count() as u64);
        }
    }
}

fn pages_of_everything(snapshot: &Snapshot, filter: &Filter, sort: &Sort) -> Vec<String> {
    let mut pages = pages(snapshot, filter, sort, usize::MAX);
    assert_eq!(pages.len(), 1);
    pages.remove(0).0
}

#[test]
fn a_search_does_not_run_from_the_name_into_the_id() {
    let mut bench = Bench::new("s", "k");
    let mut named = cluster("s", "1");
    named.name = "prod".into();
    bench.list_with(vec![listed(named)], Vec::new());
    let snapshot = snapshot(1, &[bench]);
    for (text, found) in [
        ("prod", 1),
        ("s:1", 1),
        ("prod s", 0),
        ("prod\ns", 0),
        ("", 1),
    ] {
        let filter = Filter {
            texts: vec![text.to_owned()],
            ..Filter::default()
        };
        assert_eq!(
            pages_of_everything(&snapshot, &filter, &Sort::default()).len(),
            found,
            "{text:?}"
        );
    }
}

#[test]
fn the_longest_position_fits_into_a_token() {
    use crate::inventory::query::{SortKey, SortTerm};
    let long = "\u{1}".repeat(5_000);
    let mut bench = Bench::new("s", "k");
    let mut all = Vec::new();
    for id in ["1", "2"] {
        let mut one = cluster("s", &id.repeat(1_000));
        one.name.clone_from(&long);
        one.location.cloud = Some(long.clone());
        one.location.region = Some(long.clone());
        one.environment = Some(long.clone());
        all.push(listed(one));
    }
    bench.list_with(all, Vec::new());
    let snapshot = snapshot(1, &[bench]);
    let keys = [
        SortKey::Name,
        SortKey::Cloud,
        SortKey::Region,
        SortKey::Environment,
    ];
    let sort = Sort(
        keys.map(|key| SortTerm {
            key,
            descending: false,
        })
        .to_vec(),
    );
    let pages = pages(&snapshot, &Filter::default(), &sort, 1);
    assert_eq!(pages.len(), 2);
}
