//! Walks while the inventory changes under them.

use std::collections::HashSet;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::inventory::query::{Filter, Query, Sort, SortKey, SortTerm};

const SOURCES: [(&str, &str); 3] = [("s", "q"), ("s-a", "p"), ("s1", "q")];

/// Something that happens to one source between two pages.
#[derive(Debug, Clone)]
enum Step {
    /// Two listings agree on these clusters, under names of their own.
    List(u32, u8),
    ListOnce(u32),
    Fail,
    Describe(u8),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        3 => (any::<u32>(), any::<u8>()).prop_map(|(mask, names)| Step::List(mask, names)),
        1 => any::<u32>().prop_map(Step::ListOnce),
        1 => Just(Step::Fail),
        1 => any::<u8>().prop_map(Step::Describe),
    ];
    (0..SOURCES.len(), step)
}

fn order() -> impl Strategy<Value = Sort> {
    let keys = select(vec![
        vec![],
        vec![SortKey::Id],
        vec![SortKey::Source],
        vec![SortKey::Provider],
        vec![SortKey::Provider, SortKey::Source],
        vec![SortKey::Source, SortKey::Provider],
    ]);
    (keys, any::<[bool; 2]>()).prop_map(|(keys, directions)| {
        let terms = keys.into_iter().zip(directions);
        Sort(
            terms
                .map(|(key, descending)| SortTerm { key, descending })
                .collect(),
        )
    })
}

fn list(bench: &mut Bench, mask: u32, names: u8) {
    let name = bench.name();
    let ids = (0..20_u32).filter(|id| mask >> id & 1 == 1);
    let clusters = ids.map(|id| {
        let mut cluster = cluster(&name, &format!("{id:02}"));
        cluster.name = format!("{}", names.wrapping_mul(id.to_le_bytes()[0]));
        listed(cluster)
    });
    bench.list_with(clusters.collect(), Vec::new());
}

fn happen(bench: &mut Bench, step: &Step) {
    match step {
        Step::List(mask, names) => {
            list(bench, *mask, *names);
            list(bench, *mask, *names);
        }
        Step::ListOnce(mask) => list(bench, *mask, 0),
        Step::Fail => bench.fail(ErrorKind::Malformed),
        Step::Describe(id) => {
            let name = bench.name();
            let mut detail = cluster(&name, &format!("{:02}", id % 20));
            detail.name = "described".into();
            bench.describe(detail);
        }
    }
}

fn ids(snapshot: &Snapshot) -> HashSet<String> {
    let entries = snapshot
        .shelves
        .iter()
        .flat_map(|shelf| &shelf.content.entries);
    entries.map(|entry| entry.row.id.to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_cluster_comes_twice_and_none_that_stayed_is_missed(
        first in any::<[u32; 3]>(),
        steps in proptest::collection::vec(proptest::collection::vec(step(), 0..3), 1..80),
        sort in order(),
        limit in 1_usize..=7,
    ) {
        let mut benches: Vec<Bench> = SOURCES.iter().map(|(name, kind)| Bench::new(name, kind)).collect();
        for (bench, mask) in benches.iter_mut().zip(first) {
            list(bench, mask, 1);
        }
        prop_assert!(sort.is_immutable());
        let mut query = Query { filter: Filter::default(), sort, after: None, limit };
        let mut stayed = ids(&snapshot(0, &benches));
        let mut walked = Vec::new();
        let mut steps = steps.into_iter();
        for generation in 1.. {
            let snapshot = snapshot(generation, &benches);
            let there = ids(&snapshot);
            stayed.retain(|id| there.contains(id));
            let found = snapshot.select(&query);
            walked.extend(found.places.iter().map(|place| snapshot.row(*place).id.to_string()));
            let Some(last) = found.places.last().filter(|_| found.more) else { break };
            query.after = Some(snapshot.position(&query.sort, *last));
            for (source, step) in steps.next().unwrap_or_default() {
                happen(&mut benches[source], &step);
            }
        }
        let once: HashSet<&String> = walked.iter().collect();
        prop_assert_eq!(once.len(), walked.len());
        prop_assert!(stayed.iter().all(|id| once.contains(id)), "missed of {:?}: {:?}", stayed, walked);
    }
}
