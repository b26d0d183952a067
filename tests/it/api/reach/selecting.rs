//! For any reach, every answer is the one of everything, filtered by hand.

use std::collections::BTreeMap;

use clustergate::api::params::FILTERS;
use clustergate::domain::{Reach, SourceName};
use clustergate::inventory::query::SortKey;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::super::naive::{Terms, passes, values};
use super::super::sorting::sorted;
use super::super::summary::counts;
use super::super::{encoded, ids, items};
use super::{all_projects, ask, everything, mixed, sees, source};
use crate::support::Rig;

const VENDORS: [&str; 5] = [
    "kubeadapt",
    "lakesail",
    "latitude",
    "prime-intellect",
    "runtime",
];

/// Any reach over some projects; names that no project has, or that differ in case, show nothing.
fn reaches(projects: &[&str]) -> impl Strategy<Value = Reach> + use<> {
    let loud = projects.iter().map(|project| project.to_uppercase());
    let mut names: Vec<String> = projects
        .iter()
        .map(ToString::to_string)
        .chain(loud.take(3))
        .chain(["no-such-project".to_owned()])
        .collect();
    names.dedup();
    let count = names.len();
    let sources = subsequence(VENDORS.to_vec(), 0..=VENDORS.len()).prop_map(|vendors| {
        let names = vendors.into_iter().map(source);
        names.map(|name| SourceName::new(name).unwrap()).collect()
    });
    let projects = subsequence(names, 0..=count).prop_map(|names| names.into_iter().collect());
    (
        prop::option::weighted(0.7, sources),
        prop::option::weighted(0.5, projects),
    )
        .prop_map(|(sources, projects)| Reach { sources, projects })
}

/// A filter by a value that some cluster has: the place of its name, the place of the value, and whether it excludes.
type Drawn = (usize, Index, bool);

/// Filters, an order and a size of pages.
type Question = (Vec<Drawn>, Vec<(Index, bool)>, usize);

fn questions() -> impl Strategy<Value = Question> {
    // What is not seen cannot be named, so a filter by source is another test's.
    let filters = FILTERS.len() - 1;
    (
        prop::collection::vec(
            (0..filters, any::<Index>(), prop::bool::weighted(0.4)),
            0..3,
        ),
        prop::collection::vec((any::<Index>(), any::<bool>()), 0..3),
        1_usize..40,
    )
}

fn terms(clusters: &[Value], drawn: &[Drawn]) -> Terms {
    let mut terms: Terms = Vec::new();
    for (dimension, at, negated) in drawn {
        let dimension = FILTERS[*dimension];
        let mut known: Vec<String> = clusters
            .iter()
            .flat_map(|cluster| values(cluster, dimension))
            .filter(|value| !value.contains([',', '!']) && value.trim() == value)
            .collect();
        known.sort();
        known.dedup();
        if known.is_empty() || dimension == "source" || terms.iter().any(|term| term.0 == dimension)
        {
            continue;
        }
        let word = format!("{}{}", if *negated { "!" } else { "" }, at.get(&known));
        terms.push((dimension, vec![word]));
    }
    terms
}

fn sort(drawn: &[(Index, bool)]) -> Vec<String> {
    // The id can only stand alone.
    let keys = &SortKey::ALL.map(SortKey::as_str)[1..];
    let mut words: Vec<String> = Vec::new();
    for (at, descending) in drawn {
        let key = at.get(keys);
        if words
            .iter()
            .all(|word| word.trim_start_matches('-') != *key)
        {
            words.push(format!("{}{key}", if *descending { "-" } else { "" }));
        }
    }
    words
}

/// Walks by `next_cursor`.
async fn walk(rig: &Rig, reach: &Reach, query: &str, limit: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let target = format!("/clusters?{query}&limit={limit}{cursor}");
        let page = ask(rig, reach, &target).await.json();
        found.extend(ids(&items(&page)));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
        assert!(found.len() < 1_000, "{target}: the walk does not end");
    }
}

#[test]
fn every_selection_is_the_one_of_everything_filtered_by_hand() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(mixed());
    let clusters = runtime.block_on(everything(&rig));
    let reaches = reaches(&all_projects(&clusters));
    let mut runner = TestRunner::new(Config {
        cases: 120,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(
            &(reaches, questions()),
            |(reach, (filters, words, limit))| {
                let terms = terms(&clusters, &filters);
                let words = sort(&words);
                runtime.block_on(check(&rig, &clusters, &reach, &terms, &words, limit));
                Ok(())
            },
        )
        .unwrap();
}

async fn check(
    rig: &Rig,
    clusters: &[Value],
    reach: &Reach,
    terms: &Terms,
    words: &[String],
    limit: usize,
) {
    let seen: Vec<Value> = clusters
        .iter()
        .filter(|cluster| sees(reach, cluster))
        .cloned()
        .collect();
    let passing: Vec<Value> = seen
        .iter()
        .filter(|cluster| passes(cluster, terms, None))
        .cloned()
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let order = sorted(&passing, &words);
    let by_id: BTreeMap<&str, &Value> = passing
        .iter()
        .map(|cluster| (cluster["id"].as_str().unwrap(), cluster))
        .collect();
    let expected: Vec<Value> = order.iter().map(|id| by_id[id.as_str()].clone()).collect();

    let pairs: Vec<String> = terms
        .iter()
        .map(|(dimension, values)| {
            format!("{dimension}={}", encoded(&values[0]).replace("%21", "!"))
        })
        .collect();
    let filter = pairs.join("&");
    let query = if words.is_empty() {
        filter.clone()
    } else {
        format!("{filter}&sort={}", words.join(","))
    };
    let what = format!("{reach:?}: {query}");

    let answer = ask(rig, reach, &format!("/clusters?limit=1000&{query}")).await;
    let sources = ask(rig, reach, "/sources").await.json();
    about_sources(reach, &seen, &items(&sources), &what);
    let readable = items(&sources)
        .iter()
        .any(|source| source["state"] != "never");
    // A filter may leave out the only source that is seen: then nothing is unknown.
    let draws_on_some = answer.status != 200 || answer.json()["sources"] != serde_json::json!([]);
    if !readable && !items(&sources).is_empty() && draws_on_some {
        assert_eq!(answer.problem(), "NOTHING_KNOWN", "{what}");
        return;
    }
    if answer.status == 503 {
        // Of the only provider that the filter admits nothing was ever read.
        assert_eq!(answer.problem(), "NOTHING_KNOWN", "{what}");
        assert!(expected.is_empty(), "{what}");
        return;
    }
    let list = answer.json();
    assert_eq!(items(&list), expected, "{what}");
    assert_eq!(list["total"], expected.len(), "{what}");
    assert_eq!(walk(rig, reach, &query, limit).await, order, "{what}");

    let summary = ask(rig, reach, &format!("/summary?{filter}")).await.json();
    counts(&passing, &summary, &what);
    for name in ["complete", "unreachable", "sources", "generation"] {
        assert_eq!(summary[name], list[name], "{name} of {what}");
    }

    let lines = ask(rig, reach, &format!("/clusters?format=ndjson&{query}")).await;
    let rows: Vec<Value> = lines
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows, expected, "{what}");
    let table = ask(rig, reach, &format!("/clusters?format=csv&{query}")).await;
    assert_eq!(first_column(&table.text()), order, "{what}");
}

/// The ids of a table, whose first column they are.
fn first_column(table: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    assert_eq!(&reader.headers().unwrap()[0], "id");
    let rows = reader.records().map(|row| row.unwrap()[0].to_owned());
    rows.collect()
}

/// Only sources that are seen, each with as many clusters as are seen.
fn about_sources(reach: &Reach, seen: &[Value], sources: &[Value], what: &str) {
    let names: Vec<&str> = sources
        .iter()
        .map(|source| source["source"].as_str().unwrap())
        .collect();
    let mut expected: Vec<String> = VENDORS.into_iter().map(source).collect();
    expected.retain(|name| reach.sees(&SourceName::new(name.as_str()).unwrap()));
    assert_eq!(names, expected, "{what}");
    for source in sources {
        let own = seen
            .iter()
            .filter(|cluster| cluster["source"] == source["source"]);
        assert_eq!(source["clusters"], own.count(), "{what}: {source}");
        let is_partial = reach.projects.is_some();
        for name in ["rejected", "warnings", "upstream"] {
            assert_eq!(source[name].is_null(), is_partial, "{name} of {what}");
        }
        assert_eq!(source["attempts"][0]["pages"].is_null(), is_partial);
    }
}

#[tokio::test]
async fn the_fleet_has_projects_to_see_and_not_to_see() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let projects = all_projects(&clusters);
    assert!(projects.len() >= 4, "{projects:?}");
    let lowest = clusters
        .iter()
        .filter(|cluster| super::projects(cluster).is_empty());
    assert!(lowest.count() > 10);
}
