//! What of two shelves is told as a change, and to whom.

use std::collections::BTreeSet;

use super::*;
use crate::domain::Reach;
use crate::inventory::query::{Dimension, Filter, Term};
use crate::inventory::testing::{FIRST, Stage, at, cluster};
use crate::inventory::{Batch, Interest, Mark, Moment};

/// What a generation is told as: `vendor updated a:1 status.state "running">"failed"`.
fn told(stage: &Stage, generation: u64, noise: bool) -> Vec<String> {
    tell(
        stage,
        generation,
        &Interest {
            noise,
            ..Interest::default()
        },
        &Reach::ALL,
    )
}

fn tell(stage: &Stage, generation: u64, interest: &Interest, reach: &Reach) -> Vec<String> {
    let from = Mark::after(generation - 1);
    let feed = stage.inventory.feed();
    let moments = feed.since(from, generation, 9, interest.noise).unwrap();
    let mut told = Vec::new();
    for moment in moments {
        let selection = moment.select(interest, reach);
        for place in selection.places(0..usize::MAX) {
            let change: serde_json::Value = serde_json::from_slice(&selection.tell(place)).unwrap();
            assert_eq!(change["generation"], generation);
            assert_eq!(change["at"], at(generation).to_string());
            let of = change["cluster"]
                .as_str()
                .or(change["source"].as_str())
                .unwrap();
            let fields = change["fields"].as_array().unwrap().iter().map(|field| {
                format!(
                    " {} {}>{}",
                    field["field"].as_str().unwrap(),
                    field["old"],
                    field["new"]
                )
            });
            let words = [&change["cause"], &change["kind"]].map(|word| word.as_str().unwrap());
            told.push(format!(
                "{} {of}{}",
                words.join(" "),
                fields.collect::<String>()
            ));
        }
    }
    told
}

fn running(id: &str) -> Cluster {
    cluster("a", id, "running", None)
}

fn begun() -> Stage {
    let mut stage = Stage::new(&["a", "b"]);
    stage.list("a", vec![running("1"), running("2")]);
    stage
}

#[test]
fn each_thing_that_happens_has_its_kind_and_its_cause() {
    let mut stage = Stage::new(&["a"]);
    let generation = stage.list("a", vec![running("1"), running("2")]);
    assert_eq!(
        told(&stage, generation, false),
        [
            r#"outage source_state a state "never">"fresh""#,
            "vendor added a:1",
            "vendor added a:2"
        ]
    );
    let generation = stage.list("a", vec![cluster("a", "1", "failed", None)]);
    assert_eq!(
        told(&stage, generation, false),
        [
            r#"vendor updated a:1 status.state "running">"failed""#,
            r#"vendor missing a:2 presence "present">"missing""#
        ]
    );
    let generation = stage.list(
        "a",
        vec![
            cluster("a", "1", "failed", None),
            cluster("a", "2", "stopped", None),
        ],
    );
    assert_eq!(
        told(&stage, generation, false),
        [r#"vendor returned a:2 status.state "running">"stopped" presence "missing">"present""#]
    );
    stage.list("a", vec![cluster("a", "1", "failed", None)]);
    let generation = stage.list("a", vec![cluster("a", "1", "failed", None)]);
    assert_eq!(told(&stage, generation, false), ["vendor removed a:2"]);
    let generation = stage.show("a", Stage::shown(cluster("a", "1", "deleting", None)));
    assert_eq!(
        told(&stage, generation, false),
        [r#"operator updated a:1 status.state "failed">"deleting""#]
    );
    let id = ClusterId::new(&source("a"), "1");
    let generation = stage.show("a", Shown::Gone(id));
    assert_eq!(told(&stage, generation, false), ["operator removed a:1"]);
    let generation = stage.list("a", Vec::new());
    assert!(told(&stage, generation, true).is_empty());
}

#[test]
fn what_a_source_does_to_all_of_its_clusters_is_told_once() {
    let mut stage = begun();
    let generation = stage.fail("a");
    assert_eq!(
        told(&stage, generation, true),
        [r#"outage source_state a state "fresh">"stale" error null>"UPSTREAM_MALFORMED_BODY""#]
    );
    let generation = stage.fail("a");
    assert!(told(&stage, generation, true).is_empty());
    let generation = stage.age(100_000);
    assert_eq!(
        told(&stage, generation, true),
        ["outage source_state a overdue false>true"]
    );
    // Nothing happened to the clusters themselves.
    let generation = stage.list("a", vec![running("1"), running("2")]);
    assert_eq!(
        told(&stage, generation, true),
        [
            r#"outage source_state a state "stale">"fresh" error "UPSTREAM_MALFORMED_BODY">null overdue true>false"#
        ]
    );
}

#[test]
fn a_cluster_that_cannot_be_read_or_grows_old_alone_is_told_of() {
    let mut stage = begun();
    let rejected = Rejected {
        native_id: Some("2".to_owned()),
        reason: "wrong",
    };
    let generation = stage.list_with("a", vec![running("1")], vec![rejected]);
    assert_eq!(
        told(&stage, generation, false),
        [r#"vendor updated a:2 presence "present">"stale""#]
    );
    let generation = stage.age(100_000);
    assert_eq!(
        told(&stage, generation, false),
        [
            r#"outage source_state a state "fresh">"stale" overdue false>true"#,
            "outage updated a:2 stale false>true"
        ]
    );
}

#[test]
fn what_changes_all_the_time_is_apart_unless_something_else_changed() {
    let mut stage = begun();
    let seen = |id: &str, state: &str| {
        let mut cluster = cluster("a", id, state, None);
        cluster.observed_at = Some(at(1));
        cluster.status.since = Some(at(2));
        cluster
    };
    let generation = stage.list("a", vec![seen("1", "running"), seen("2", "failed")]);
    let plain = told(&stage, generation, false);
    assert_eq!(plain.len(), 1, "{plain:?}");
    assert!(
        plain[0].starts_with("vendor updated a:2 observed_at null>"),
        "{plain:?}"
    );
    let all = told(&stage, generation, true);
    assert_eq!(all[..1], plain);
    assert!(
        all[1].starts_with("vendor updated a:1 observed_at null>"),
        "{all:?}"
    );
    assert_eq!(all.len(), 2);
}

fn term(dimension: Dimension, value: &str, is_not: bool) -> Interest {
    let values = vec![value.to_owned()];
    let (any, none) = if is_not {
        (Vec::new(), values)
    } else {
        (values, Vec::new())
    };
    Interest {
        filter: Filter {
            terms: vec![Term {
                dimension,
                any,
                none,
            }],
            texts: Vec::new(),
        },
        ..Interest::default()
    }
}

#[test]
fn a_filter_is_asked_of_the_cluster_as_it_was_shown_before_and_after() {
    let mut stage = begun();
    let fails = stage.fail("a");
    let list = vec![cluster("a", "1", "failed", None)];
    let generation = stage.list("a", list);
    let count = |interest: &Interest| {
        let told = tell(&stage, generation, interest, &Reach::ALL);
        told.iter()
            .filter(|told| !told.contains("source_state"))
            .count()
    };
    assert_eq!(count(&Interest::default()), 2);
    for (dimension, value, is_not, expected) in [
        (Dimension::State, "running", false, 2),
        (Dimension::State, "failed", false, 1),
        (Dimension::State, "running", true, 1),
        (Dimension::State, "stopped", false, 0),
        // The source could not be read before, so its clusters were shown as stale.
        (Dimension::Presence, "stale", false, 2),
        (Dimension::Presence, "present", false, 1),
        (Dimension::Presence, "missing", false, 1),
        (Dimension::Presence, "suspect", false, 0),
        (Dimension::Stale, "false", false, 2),
        (Dimension::Stale, "true", false, 0),
        (Dimension::Source, "a", false, 2),
        (Dimension::Source, "a", true, 0),
        (Dimension::Provider, "latitude", false, 2),
    ] {
        let interest = term(dimension, value, is_not);
        assert_eq!(count(&interest), expected, "{dimension:?} {value} {is_not}");
    }
    let of_b = tell(
        &stage,
        fails,
        &term(Dimension::Source, "b", false),
        &Reach::ALL,
    );
    assert!(of_b.is_empty());
}

#[test]
fn whoever_sees_some_projects_learns_nothing_of_the_rest() {
    let mut stage = Stage::new(&["a"]);
    let in_project = |id: &str, state: &str, project| cluster("a", id, state, Some(project));
    stage.list(
        "a",
        vec![
            in_project("1", "running", "p"),
            in_project("2", "running", "q"),
        ],
    );
    let generation = stage.list(
        "a",
        vec![
            in_project("1", "running", "q"),
            in_project("2", "failed", "q"),
        ],
    );
    let reach = |project: &str| Reach {
        sources: None,
        projects: Some(BTreeSet::from([project.to_owned()])),
    };
    let all = Interest::default();
    assert_eq!(
        tell(&stage, generation, &all, &reach("p")),
        ["vendor removed a:1"]
    );
    let of_q = tell(&stage, generation, &all, &reach("q"));
    assert_eq!(of_q[0], "vendor added a:1");
    assert!(of_q[1].starts_with("vendor updated a:2 status.state"));
    // A filter for what it was where it is not seen does not let it pass.
    let of_p = term(Dimension::Project, "p", false);
    assert!(tell(&stage, generation, &of_p, &reach("q")).is_empty());
    assert_eq!(
        tell(&stage, generation, &of_p, &reach("p")),
        ["vendor removed a:1"]
    );
    assert!(tell(&stage, generation, &all, &Reach::NOTHING).is_empty());
    // A source's state says the same to all who see it, and counts nothing.
    let fails = stage.fail("a");
    let whole = told(&stage, fails, false);
    assert_eq!(tell(&stage, fails, &all, &reach("p")), whole);
    assert_eq!(tell(&stage, fails, &all, &reach("none")), whole);
}

#[test]
fn the_memory_is_bounded_and_knows_where_it_begins() {
    let mut stage = Stage::new(&["a"]).with_feed_of(16_000);
    let feed = || stage.inventory.feed();
    assert_eq!((feed().floor(false), feed().floor(true)), (FIRST, FIRST));
    let mut floors = Vec::new();
    for round in 0..30 {
        let mut one = cluster("a", "1", ["running", "failed"][round % 2], None);
        one.observed_at = Some(at(round as u64));
        let mut other = running("2");
        other.observed_at = Some(at(round as u64));
        stage.list("a", vec![one, other]);
        floors.push(stage.inventory.feed().floor(true));
    }
    let feed = stage.inventory.feed();
    let (floor, last) = (feed.floor(false), stage.generation());
    assert!(
        floors.is_sorted() && floor > FIRST && floor < last,
        "{floors:?}"
    );
    let since = |generation| feed.since(Mark::after(generation), last, 100, false);
    assert!(since(floor - 1).is_none());
    let kept = since(floor).unwrap();
    let generations: Vec<u64> = kept.iter().map(Moment::generation).collect();
    assert_eq!(generations, (floor + 1..=last).collect::<Vec<_>>());
    let back = feed.back(last, 100, false);
    let backwards: Vec<u64> = back.iter().rev().map(Moment::generation).collect();
    assert_eq!(backwards, generations);
    assert_eq!(
        feed.since(Mark::after(floor), last, 2, false)
            .unwrap()
            .len(),
        2
    );
    assert_eq!(feed.generation_at(at(floor), last, false), Some(floor));
    assert_eq!(feed.generation_at(at(floor - 1), last, false), None);
    assert_eq!(feed.generation_at(at(last + 5), last, false), Some(last));
    // One generation that is too large for it is not kept, and nobody is told that it was nothing.
    let many = (0..100).map(|id| running(&format!("x{id}")));
    let generation = stage.list("a", many.collect());
    let feed = stage.inventory.feed();
    assert_eq!(feed.floor(false), generation);
    assert!(
        feed.since(Mark::after(generation - 1), generation, 9, false)
            .is_none()
    );
    assert!(
        feed.since(Mark::after(generation), generation, 9, false)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_batch_without_changes_is_not_made() {
    assert!(Batch::new(1, at(1), Vec::new()).is_none());
}
