//! Views against the clusters that a reach lets be seen, chosen by hand.

use std::collections::BTreeSet;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::fleets::{Account, Known, accounts};
use super::oracle::{compare, count, passes};
use super::questions::{filters, sorts};
use super::selecting::pages;
use super::*;
use crate::domain::{Project, Reach};
use crate::inventory::query::{Filter, Sort};
use crate::inventory::{Attempt, View};

/// Any reach over the names that the fleets have, and some that they do not.
pub(super) fn reaches() -> impl Strategy<Value = Reach> {
    let sources = subsequence(vec!["s", "s-a", "s1", "t", "nobody"], 0..=5)
        .prop_map(|names| names.into_iter().map(source).collect());
    let projects = subsequence(vec!["aws", "AWS", "eu-1", "EU-1", "Eu-2", "x"], 0..=6)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect());
    (option::of(sources), option::weighted(0.7, projects))
        .prop_map(|(sources, projects)| Reach { sources, projects })
}

fn sees(reach: &Reach, known: &Known) -> bool {
    let cluster = &known.cluster;
    let project = cluster.owner.project.as_ref();
    let names = project
        .into_iter()
        .flat_map(|project| [&project.id, &project.name]);
    let mut names = names.flatten();
    reach.sees(&cluster.source)
        && (reach.projects.as_ref()).is_none_or(|seen| names.any(|name| seen.contains(name)))
}

fn view(snapshot: Snapshot, reach: &Reach) -> View {
    View::new(Arc::new(snapshot), reach)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_view_holds_what_its_reach_lets_be_seen(
        accounts in accounts(),
        reach in reaches(),
        questions in proptest::collection::vec((filters(), sorts(), 1_usize..=7), 4),
    ) {
        let benches: Vec<Bench> = accounts.iter().map(Account::bench).collect();
        let view = view(snapshot(1, &benches), &reach);
        let all: Vec<Known> = accounts.iter().flat_map(Account::known).collect();
        let (seen, foreign): (Vec<&Known>, Vec<&Known>) = all.iter().partition(|known| sees(&reach, known));
        prop_assert_eq!(view.len(), seen.len());
        for known in &seen {
            let place = view.find(&known.cluster.id);
            prop_assert_eq!(place.map(|place| &view.row(place).id), Some(&known.cluster.id));
        }
        for known in &foreign {
            prop_assert_eq!(view.find(&known.cluster.id), None);
        }
        for report in view.sources() {
            let own = seen.iter().filter(|known| known.cluster.source == report.name);
            prop_assert_eq!(report.clusters, own.count());
            prop_assert_eq!(report.is_partial, reach.projects.is_some());
        }
        let names: BTreeSet<_> = view.sources().iter().map(|report| report.name.clone()).collect();
        let expected = benches.iter().map(|bench| bench.shelf.report.name.clone()).filter(|name| reach.sees(name));
        prop_assert_eq!(names, expected.collect());
        for (filter, sort, limit) in questions {
            let mut passing: Vec<&Known> = seen.iter().copied().filter(|known| passes(known, &filter)).collect();
            passing.sort_by(|a, b| compare(&a.cluster, &b.cluster, &sort));
            let expected: Vec<String> = passing.iter().map(|known| known.cluster.id.to_string()).collect();
            for limit in [limit, usize::MAX] {
                let pages = pages(&view, &filter, &sort, limit);
                for (_, total, _) in &pages {
                    prop_assert_eq!(*total, expected.len() as u64);
                }
                let walked: Vec<String> = pages.into_iter().flat_map(|(ids, ..)| ids).collect();
                prop_assert_eq!(&walked, &expected, "{:?} {:?} {:?}", reach, filter, sort);
            }
            let summary = view.summarize(&filter);
            prop_assert_eq!(summary.clusters, passing.len() as u64);
            prop_assert_eq!(&summary.by_source, &count(passing.iter().map(|known| known.cluster.source.as_str())));
            let nodes = passing.iter().filter_map(|known| known.cluster.nodes.as_ref()?.total);
            prop_assert_eq!(summary.nodes.value, nodes.sum::<u64>());
        }
    }
}

fn of_project(native_id: &str, name: &str) -> Listed {
    let mut one = cluster("s", native_id);
    one.owner.project = Some(Project {
        id: Some(format!("id-{name}")),
        name: Some(name.to_owned()),
    });
    listed(one)
}

fn reach_of(projects: &[&str]) -> Reach {
    Reach {
        sources: None,
        projects: Some(projects.iter().map(ToString::to_string).collect()),
    }
}

fn found(view: &View) -> Vec<String> {
    let mut pages = pages(view, &Filter::default(), &Sort::default(), usize::MAX);
    pages.remove(0).0
}

#[test]
fn a_view_is_worked_out_once_and_everything_is_the_snapshot_itself() {
    let mut bench = Bench::new("s", "k");
    bench.list(&["1"]);
    let whole = Arc::new(snapshot(1, &[bench]));
    let all = View::new(Arc::clone(&whole), &Reach::ALL);
    assert!(Arc::ptr_eq(all.seen(), &whole));
    assert_eq!(all.reach(), 0);
    let reach = reach_of(&["p"]);
    let first = View::new(Arc::clone(&whole), &reach);
    let again = View::new(Arc::clone(&whole), &reach.clone());
    assert!(Arc::ptr_eq(first.seen(), again.seen()));
    assert_eq!(first.reach(), reach.fingerprint());
    let other = View::new(whole, &reach_of(&["q"]));
    assert!(!Arc::ptr_eq(first.seen(), other.seen()));
}

#[test]
fn more_reaches_than_are_remembered_are_answered_too() {
    let mut bench = Bench::new("s", "k");
    bench.list_with(
        vec![of_project("1", "p7"), of_project("2", "p8")],
        Vec::new(),
    );
    let whole = Arc::new(snapshot(1, &[bench]));
    for _ in 0..2 {
        for number in 0..600 {
            let view = View::new(Arc::clone(&whole), &reach_of(&[&format!("p{number}")]));
            let expected = match number {
                7 => vec!["s:1"],
                8 => vec!["s:2"],
                _ => vec![],
            };
            assert_eq!(found(&view), expected);
        }
    }
}

#[test]
fn projects_are_told_apart_letter_by_letter() {
    let mut bench = Bench::new("s", "k");
    let clusters = vec![
        of_project("1", "Prod"),
        of_project("2", "prod"),
        listed(cluster("s", "3")),
    ];
    bench.list_with(clusters, Vec::new());
    let whole = Arc::new(snapshot(1, &[bench]));
    for (projects, ids) in [
        (vec!["prod"], vec!["s:2"]),
        (vec!["Prod"], vec!["s:1"]),
        (vec!["id-Prod", "prod"], vec!["s:1", "s:2"]),
        (vec!["PROD", ""], vec![]),
        (vec![], vec![]),
    ] {
        let view = View::new(Arc::clone(&whole), &reach_of(&projects));
        assert_eq!(found(&view), ids, "{projects:?}");
    }
}

#[test]
fn a_partial_report_does_not_tell_how_much_there_is_besides() {
    let mut bench = Bench::new("s", "k");
    let unreadable = |native_id: &str| Rejected {
        native_id: Some(native_id.to_owned()),
        reason: "test",
    };
    bench.list_with(
        vec![
            of_project("1", "p"),
            of_project("2", "p"),
            of_project("3", "q"),
        ],
        vec![unreadable("4"), unreadable("5"), unreadable("6")],
    );
    bench.describe(of_project("1", "p").cluster);
    let whole = snapshot(1, &[bench]);
    let known = SourceReport::clone(whole.source("s").unwrap());
    assert_eq!((known.clusters, known.omitted, known.rejected), (3, 3, 3));
    assert_eq!(known.details_pending, 2);
    assert_eq!(known.omitted(), Some(3));

    let view = view(whole, &reach_of(&["p"]));
    let report = view.source("s").unwrap();
    assert_eq!((report.clusters, report.rejected), (2, 0));
    assert_eq!(report.details_pending, 1);
    assert_eq!(report.omitted(), None, "whose they are nobody knows");
    let attempt = report.attempts.front().unwrap();
    let expected = Attempt {
        pages: 0,
        clusters: None,
        rejected: 0,
        ..known.attempts.front().unwrap().clone()
    };
    assert_eq!(*attempt, expected);
    // Somebody who relies on what is absent must still be told that something could not be read.
    assert!(!view.coverage(&Filter::default()).is_complete());
}

#[test]
fn tokens_and_tags_of_a_view_are_its_own() {
    use crate::inventory::query::Query;
    let mut bench = Bench::new("s", "k");
    bench.list(&["1"]);
    let whole = Arc::new(snapshot(1, &[bench]));
    let canonical =
        |reach: &Reach| View::new(Arc::clone(&whole), reach).canonical(&Query::default());
    assert_eq!(canonical(&Reach::ALL), Query::default().canonical());
    assert_ne!(canonical(&Reach::ALL), canonical(&Reach::NOTHING));
    assert_ne!(canonical(&reach_of(&["p"])), canonical(&reach_of(&["q"])));
}
