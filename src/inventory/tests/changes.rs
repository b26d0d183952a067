//! What single calls show between listings, and which listing may take it back.

use super::*;
use crate::domain::State;

use Presence::{Missing, Present};

fn bench(ids: &[&str]) -> Bench {
    let mut bench = Bench::new("s", "k");
    bench.list(ids);
    bench
}

fn in_state(id: &str, state: State) -> Cluster {
    let mut cluster = cluster("s", id);
    cluster.status.state = state;
    cluster
}

fn written(id: &str, state: State) -> Shown {
    Shown::Listed(Box::new(listed(in_state(id, state))))
}

fn detailed(cluster: Cluster, second: i64) -> Shown {
    Shown::Described(Box::new(Detailed {
        id: cluster.id.clone(),
        described: described(cluster),
        at: at(second),
        based_on: u64::MAX,
    }))
}

fn gone(id: &str) -> Shown {
    Shown::Gone(ClusterId::new(&source("s"), id))
}

/// A refresh that began before the last changes and ends now.
fn list_begun_before(bench: &mut Bench, changes: u64, ids: &[&str]) {
    let based_on = bench.generation - changes;
    let clusters = ids.iter().map(|id| listed(cluster("s", id))).collect();
    bench.end_based_on(
        based_on,
        Ok(Listing {
            clusters,
            rejected: Vec::new(),
            warnings: Warnings::default(),
            pages: 1,
        }),
    );
}

fn shown(bench: &Bench) -> Vec<(String, Presence)> {
    bench.presences()
}

fn are(presences: &[(&str, Presence)]) -> Vec<(String, Presence)> {
    let own = |(id, presence): &(&str, Presence)| ((*id).to_owned(), *presence);
    presences.iter().map(own).collect()
}

#[test]
fn what_was_created_is_shown_at_once_and_survives_a_listing_that_began_before() {
    let mut bench = bench(&["a"]);
    bench.change(written("new", State::Provisioning));
    assert_eq!(shown(&bench), are(&[("a", Present), ("new", Present)]));
    assert_eq!(bench.shelf.report.clusters, 2);
    assert_eq!(bench.entry("new").fetched_at, Some(at(2)));
    list_begun_before(&mut bench, 1, &["a"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("new", Present)]));
    assert_eq!(bench.cluster("new").status.state, State::Provisioning);
    // A listing that began afterwards decides, as it does of every cluster.
    bench.list(&["a"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("new", Missing)]));
    bench.list(&["a", "new"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("new", Present)]));
    assert_eq!(bench.entry("new").fetched_at, None);
    assert_eq!(bench.cluster("new").status.state, State::Unknown);
}

#[test]
fn what_was_forgotten_stays_away_from_a_listing_that_began_before() {
    let mut bench = bench(&["a", "b"]);
    bench.change(gone("b"));
    assert_eq!(shown(&bench), are(&[("a", Present)]));
    assert_eq!(bench.shelf.report.clusters, 1);
    list_begun_before(&mut bench, 1, &["a", "b"]);
    assert_eq!(shown(&bench), are(&[("a", Present)]));
    // The vendor has it after all.
    bench.list(&["a", "b"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("b", Present)]));
}

#[test]
fn a_change_is_held_against_one_listing_only() {
    let mut bench = bench(&["a"]);
    bench.change(written("a", State::Updating));
    list_begun_before(&mut bench, 1, &["a"]);
    assert_eq!(bench.cluster("a").status.state, State::Updating);
    assert!(bench.shelf.held.is_empty());
    bench.list(&["a"]);
    assert_eq!(bench.cluster("a").status.state, State::Unknown);
}

#[test]
fn a_refresh_that_fails_ends_the_holding_and_takes_nothing_back() {
    let mut bench = bench(&["a", "b"]);
    bench.change(gone("b"));
    let based_on = bench.generation - 1;
    bench.end_based_on(based_on, Err((ErrorKind::Malformed, 1)));
    assert_eq!(shown(&bench), are(&[("a", Presence::Stale)]));
    bench.list(&["a", "b"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("b", Present)]));
}

#[test]
fn a_detail_read_during_a_listing_is_not_lost_to_it() {
    let mut bench = bench(&["a"]);
    let mut known = in_state("a", State::Running);
    known.environment = Some("production".into());
    bench.change(detailed(known, 50));
    assert_eq!(bench.cluster("a").detailed_at, Some(at(50)));
    list_begun_before(&mut bench, 1, &["a"]);
    assert_eq!(bench.cluster("a").status.state, State::Running);
    bench.list(&["a"]);
    // What the listing does not say, the detail still fills.
    assert_eq!(
        bench.cluster("a").environment.as_deref(),
        Some("production")
    );
    assert_eq!(bench.cluster("a").detailed_at, Some(at(50)));
}

#[test]
fn a_detail_that_was_asked_for_before_a_write_does_not_undo_it() {
    let mut bench = bench(&["a"]);
    bench.change(written("a", State::Deleting));
    let old = Detailed {
        id: ClusterId::new(&source("s"), "a"),
        described: described(in_state("a", State::Running)),
        at: at(60),
        based_on: bench.generation - 1,
    };
    let texts = &mut bench.texts.lock().unwrap();
    let after = bench.shelf.detailed(vec![old], texts);
    let entry = after.entry(&ClusterId::new(&source("s"), "a")).unwrap();
    assert_eq!(entry.row.cluster().unwrap().status.state, State::Deleting);
}

#[test]
fn a_written_cluster_keeps_what_only_its_detail_said() {
    let mut bench = bench(&["a"]);
    let mut known = cluster("s", "a");
    known.environment = Some("staging".into());
    bench.describe(known);
    bench.change(written("a", State::Updating));
    let cluster = bench.cluster("a");
    assert_eq!(cluster.status.state, State::Updating);
    assert_eq!(cluster.environment.as_deref(), Some("staging"));
}

#[test]
fn many_removals_of_ours_are_no_sign_of_a_broken_vendor() {
    let mut bench = Bench::new("s", "k");
    bench.list_numbered(0..20);
    for id in 0..15 {
        bench.change(gone(&format!("{id:03}")));
    }
    bench.list_numbered(15..20);
    assert_eq!(bench.state(), Freshness::Fresh);
    assert_eq!(shown(&bench).len(), 5);
}

#[test]
fn what_a_listing_lost_stays_lost_while_it_is_held() {
    let mut bench = bench(&["a", "b"]);
    bench.list(&["a"]);
    bench.change(detailed(cluster("s", "b"), 50));
    assert_eq!(shown(&bench), are(&[("a", Present), ("b", Missing)]));
    list_begun_before(&mut bench, 1, &["a"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("b", Missing)]));
    bench.list(&["a"]);
    assert_eq!(shown(&bench), are(&[("a", Present)]));
}

#[test]
fn a_change_of_another_source_changes_nothing() {
    let mut bench = bench(&["a"]);
    let foreign = listed(cluster("t", "x"));
    bench.change(Shown::Listed(Box::new(foreign)));
    bench.change(detailed(cluster("s", "unknown"), 50));
    assert_eq!(shown(&bench), are(&[("a", Present)]));
}

#[test]
fn a_tag_stands_for_the_cluster_however_often_it_is_read() {
    let mut bench = bench(&["a"]);
    let tag = |bench: &Bench, shape: Option<&str>| {
        let snapshot = Snapshot::new(1, at(0), vec![Arc::clone(&bench.shelf)]);
        let place = snapshot.find(&cluster("s", "a").id).unwrap();
        snapshot.tag(place, shape)
    };
    let is_tag = |bench: &Bench, tag: &str| {
        let snapshot = Snapshot::new(1, at(0), vec![Arc::clone(&bench.shelf)]);
        let place = snapshot.find(&cluster("s", "a").id).unwrap();
        snapshot.is_tag_of(place, tag)
    };
    let (first, shaped) = (tag(&bench, None), tag(&bench, Some("fields")));
    bench.list(&["a"]);
    assert_ne!(tag(&bench, None), first);
    assert!(is_tag(&bench, &first) && is_tag(&bench, &shaped));
    bench.change(written("a", State::Updating));
    assert!(!is_tag(&bench, &first));
    for broken in ["", "\"", "*", "\"x\"", "W/\"1-2\""] {
        assert!(!is_tag(&bench, broken), "{broken}");
    }
}
