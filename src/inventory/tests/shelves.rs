//! What listings, failures, details and time do to one source.

use super::*;
use crate::domain::{Node, State};

fn bench(ids: &[&str]) -> Bench {
    let mut bench = Bench::new("s", "k");
    bench.list(ids);
    bench
}

fn shown(bench: &Bench) -> Vec<(String, Presence)> {
    bench.presences()
}

fn are(presences: &[(&str, Presence)]) -> Vec<(String, Presence)> {
    let own = |(id, presence): &(&str, Presence)| ((*id).to_owned(), *presence);
    presences.iter().map(own).collect()
}

fn rejected(native_id: Option<&str>) -> Rejected {
    Rejected {
        native_id: native_id.map(str::to_owned),
        reason: "test",
    }
}

fn list_rejecting(bench: &mut Bench, ids: &[&str], rejected: Vec<Rejected>) {
    let clusters = ids.iter().map(|id| listed(cluster("s", id))).collect();
    bench.list_with(clusters, rejected);
}

use Presence::{Missing, Present, Stale, Suspect};

#[test]
fn it_takes_two_listings_to_remove_a_cluster() {
    let mut bench = bench(&["a", "b", "c"]);
    assert_eq!(bench.state(), Freshness::Fresh);
    bench.list(&["a", "c"]);
    assert_eq!(
        shown(&bench),
        are(&[("a", Present), ("b", Missing), ("c", Present)])
    );
    assert_eq!(bench.shelf.report.clusters, 3);
    assert_eq!(bench.entry("b").fetched_at, Some(at(1)));
    bench.list(&["a", "c"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("c", Present)]));
    assert_eq!(bench.shelf.report.clusters, 2);
}

#[test]
fn a_missing_cluster_that_comes_back_is_present() {
    let mut bench = bench(&["a", "b"]);
    let row = Arc::clone(&bench.entry("b").row);
    bench.list(&["a"]);
    bench.list(&["a", "b"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("b", Present)]));
    assert!(Arc::ptr_eq(&row, &bench.entry("b").row));
    assert_eq!(bench.entry("b").fetched_at, None);
    // It is missing for the first time again.
    bench.list(&["a"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("b", Missing)]));
}

#[test]
fn a_failure_between_two_listings_does_not_count_as_one() {
    let mut bench = bench(&["a", "b"]);
    bench.list(&["a"]);
    bench.fail(ErrorKind::Malformed);
    assert_eq!(shown(&bench), are(&[("a", Stale), ("b", Missing)]));
    bench.list(&["a"]);
    assert_eq!(shown(&bench), are(&[("a", Present)]));
}

#[test]
fn nothing_after_something_is_suspect_until_a_second_listing_agrees() {
    let mut bench = bench(&["a", "b"]);
    bench.list(&[]);
    assert_eq!(bench.state(), Freshness::Suspect);
    assert_eq!(shown(&bench), are(&[("a", Suspect), ("b", Suspect)]));
    let mut back = Bench {
        shelf: Arc::clone(&bench.shelf),
        texts: Arc::default(),
        clock: bench.clock,
        generation: bench.generation,
    };
    bench.list(&[]);
    assert_eq!(bench.state(), Freshness::Fresh);
    assert!(shown(&bench).is_empty());
    back.list(&["a", "b"]);
    assert_eq!(back.state(), Freshness::Fresh);
    assert_eq!(shown(&back), are(&[("a", Present), ("b", Present)]));
}

#[test]
fn an_empty_account_is_fresh_and_not_suspect() {
    let mut bench = bench(&[]);
    assert_eq!(bench.state(), Freshness::Fresh);
    bench.list(&[]);
    assert_eq!(bench.state(), Freshness::Fresh);
    assert!(bench.shelf.report.fetched_at.is_some());
}

#[test]
fn a_large_source_that_loses_more_than_half_is_suspect() {
    let mut bench = Bench::new("s", "k");
    bench.list_numbered(0..10);
    bench.list_numbered(0..4);
    assert_eq!(bench.state(), Freshness::Suspect);
    let suspects = shown(&bench)
        .iter()
        .filter(|(_, presence)| *presence == Suspect)
        .count();
    assert_eq!((suspects, bench.shelf.report.clusters), (6, 10));
    // What the suspect source still lists is stale when it then fails.
    bench.fail(ErrorKind::Malformed);
    assert_eq!(bench.state(), Freshness::Suspect);
    assert_eq!(shown(&bench)[0].1, Stale);
    assert_eq!(shown(&bench)[9].1, Suspect);
    bench.list_numbered(0..4);
    assert_eq!(
        (bench.state(), bench.shelf.report.clusters),
        (Freshness::Fresh, 4)
    );
}

#[test]
fn exactly_half_is_no_mass_and_neither_is_a_small_source() {
    let mut bench = Bench::new("s", "k");
    bench.list_numbered(0..10);
    bench.list_numbered(0..5);
    assert_eq!(bench.state(), Freshness::Fresh);
    let mut bench = Bench::new("s", "k");
    bench.list_numbered(0..9);
    bench.list_numbered(0..1);
    assert_eq!(bench.state(), Freshness::Fresh);
}

#[test]
fn what_was_lost_before_is_no_part_of_a_mass() {
    let mut bench = Bench::new("s", "k");
    bench.list_numbered(0..20);
    bench.list_numbered(0..10);
    bench.list_numbered(0..9);
    assert_eq!(bench.state(), Freshness::Fresh);
    assert_eq!(shown(&bench).last().unwrap(), &("009".to_owned(), Missing));
    assert_eq!(bench.shelf.report.clusters, 10);
}

#[test]
fn a_failed_refresh_keeps_everything_and_says_so() {
    let mut bench = bench(&["a"]);
    let content = Arc::clone(&bench.shelf.content);
    bench.fail(ErrorKind::Truncated);
    bench.fail(ErrorKind::Deadline);
    let report = &bench.shelf.report;
    assert_eq!(report.state, Freshness::Stale);
    assert_eq!(report.error.map(ErrorKind::code), Some("REFRESH_DEADLINE"));
    assert_eq!((report.failures, report.failing_since), (2, Some(at(2))));
    assert_eq!((report.fetched_at, report.clusters), (Some(at(1)), 1));
    assert_eq!(report.attempts[0].error, Some(ErrorKind::Deadline));
    assert!(report.is_unreachable());
    assert_eq!(shown(&bench), are(&[("a", Stale)]));
    assert!(Arc::ptr_eq(&content, &bench.shelf.content));

    bench.list(&["a"]);
    let report = &bench.shelf.report;
    assert_eq!(report.state, Freshness::Fresh);
    assert_eq!(
        (report.error, report.failures, report.failing_since),
        (None, 0, None)
    );
    assert_eq!(shown(&bench), are(&[("a", Present)]));
    assert!(Arc::ptr_eq(&content, &bench.shelf.content));
}

#[test]
fn a_source_that_was_never_read_stays_so_when_it_fails() {
    let mut bench = Bench::new("s", "k");
    bench.fail(ErrorKind::NotEnabled);
    assert_eq!(bench.state(), Freshness::Never);
    assert_eq!(bench.shelf.report.error, Some(ErrorKind::NotEnabled));
    assert_eq!(bench.shelf.report.fetched_at, None);
    bench.age(1_000_000);
    assert_eq!(bench.state(), Freshness::Never);
}

#[test]
fn attempts_are_remembered_newest_first_and_not_for_ever() {
    let mut bench = Bench::new("s", "k");
    for _ in 0..30 {
        bench.list(&["a"]);
    }
    let attempts = &bench.shelf.report.attempts;
    assert_eq!(attempts.len(), crate::inventory::ATTEMPTS);
    assert_eq!(
        (attempts[0].started_at, attempts[0].clusters),
        (at(30), Some(1))
    );
}

#[test]
fn an_unreadable_row_keeps_its_last_good_version() {
    let mut bench = bench(&["a", "b"]);
    for _ in 0..3 {
        list_rejecting(&mut bench, &["a"], vec![rejected(Some("b"))]);
        assert_eq!(shown(&bench), are(&[("a", Present), ("b", Stale)]));
        assert_eq!(
            (bench.shelf.report.rejected, bench.shelf.report.omitted),
            (1, 0)
        );
        assert_eq!(bench.entry("b").fetched_at, Some(at(1)));
    }
    assert_eq!(bench.state(), Freshness::Fresh);
    bench.list(&["a"]);
    assert_eq!(shown(&bench), are(&[("a", Present), ("b", Missing)]));
}

#[test]
fn an_unreadable_row_of_an_unknown_cluster_is_omitted() {
    let mut bench = bench(&["a"]);
    list_rejecting(
        &mut bench,
        &["a"],
        vec![rejected(Some("new")), rejected(Some("new"))],
    );
    assert_eq!(
        (bench.shelf.report.rejected, bench.shelf.report.omitted),
        (2, 1)
    );
    bench.list(&["a", "new"]);
    assert_eq!(bench.shelf.report.omitted, 0);
}

#[test]
fn an_unreadable_row_without_an_id_removes_nothing_and_vouches_for_nothing() {
    let mut bench = bench(&["a", "b"]);
    for _ in 0..3 {
        list_rejecting(&mut bench, &["a"], vec![rejected(None)]);
        assert_eq!(shown(&bench), are(&[("a", Present), ("b", Stale)]));
        // It may be the kept cluster, and it may be a new one.
        assert_eq!(bench.shelf.report.omitted, 1);
    }
}

#[test]
fn a_row_that_stays_unreadable_grows_old_by_its_own_age() {
    let mut bench = bench(&["a", "b"]);
    bench.age(3_000);
    list_rejecting(&mut bench, &["a"], vec![rejected(Some("b"))]);
    let is_old = |bench: &Bench| [0, 1].map(|number| bench.shelf.is_old(number));
    assert_eq!(is_old(&bench), [false, false]);
    bench.age(1_000);
    assert_eq!(
        (is_old(&bench), bench.state()),
        ([false, true], Freshness::Fresh)
    );
    list_rejecting(&mut bench, &["a"], vec![rejected(Some("b"))]);
    assert_eq!(is_old(&bench), [false, true]);
    bench.list(&["a", "b"]);
    assert_eq!(is_old(&bench), [false, false]);
}

#[test]
fn a_listing_that_says_nothing_new_changes_nothing() {
    let mut bench = bench(&["b", "a"]);
    let content = Arc::clone(&bench.shelf.content);
    bench.list(&["a", "b"]);
    assert!(Arc::ptr_eq(&content, &bench.shelf.content));
    assert_eq!(bench.shelf.fetched_at, Some(at(2)));
}

#[test]
fn only_a_changed_cluster_gets_a_new_row() {
    let mut bench = bench(&["a", "b"]);
    let [a, b] = ["a", "b"].map(|id| Arc::clone(&bench.entry(id).row));
    let mut changed = cluster("s", "b");
    changed.name = "other".into();
    bench.list_with(vec![listed(cluster("s", "a")), listed(changed)], Vec::new());
    assert!(Arc::ptr_eq(&a, &bench.entry("a").row));
    assert!(!Arc::ptr_eq(&b, &bench.entry("b").row));
    assert_eq!(bench.entry("a").changed_at, at(1));
    assert_eq!(bench.entry("b").changed_at, at(2));
}

#[test]
fn an_address_nodes_and_raw_are_part_of_what_can_change() {
    for described in [false, true] {
        let mut bench = bench(&["a"]);
        if described {
            bench.describe(cluster("s", "a"));
            bench.list(&["a"]);
        }
        let list = |bench: &mut Bench, change: &dyn Fn(&mut Listed)| {
            let before = Arc::clone(&bench.entry("a").row);
            let mut changed = listed(cluster("s", "a"));
            change(&mut changed);
            bench.list_with(vec![changed], Vec::new());
            assert!(!Arc::ptr_eq(&before, &bench.entry("a").row));
        };
        list(&mut bench, &|listed| {
            listed.locator = Locator::new("elsewhere");
        });
        assert_eq!(bench.entry("a").row.locator.as_str(), "elsewhere");
        list(&mut bench, &|listed| {
            listed.nodes = Some(vec![Node::default()]);
        });
        list(&mut bench, &|listed| listed.raw = Some(raw(r#"{"a":1}"#)));
        list(&mut bench, &|listed| listed.cluster.contact_lost = true);
        assert!(bench.shelf.content.index.contact_lost.contains(0));
    }
}

fn in_state(native: &str, state: State) -> Cluster {
    let mut cluster = cluster("s", "a");
    cluster.status.native = Some(native.into());
    cluster.status.state = state;
    cluster
}

#[test]
fn a_detail_fills_what_the_listing_leaves_open_and_survives_it() {
    let mut bench = bench(&["a"]);
    assert_eq!(bench.shelf.report.details_pending, 1);
    let mut detail = cluster("s", "a");
    detail.location.region = Some("eu".into());
    let described = Described {
        nodes: Some(vec![Node::default()]),
        raw: Some(raw(r#"{"from":"detail"}"#)),
        ..described(detail)
    };
    bench.describe_with(cluster("s", "a").id, described);
    assert_eq!(bench.shelf.report.details_pending, 0);
    let row = Arc::clone(&bench.entry("a").row);
    assert_eq!(bench.cluster("a").detailed_at, Some(at(2)));
    bench.list(&["a"]);
    // It says nothing new, so it is the same row.
    assert!(Arc::ptr_eq(&row, &bench.entry("a").row));
    let mut changed = cluster("s", "a");
    changed.environment = Some("test".into());
    bench.list_with(vec![listed(changed)], Vec::new());
    let after = bench.cluster("a");
    assert_eq!(after.location.region.as_deref(), Some("eu"));
    assert_eq!(after.environment.as_deref(), Some("test"));
    assert_eq!(after.detailed_at, Some(at(2)));
}

#[test]
fn a_newer_listing_wins_over_a_detail_also_when_it_repeats_itself() {
    let mut bench = Bench::new("s", "k");
    bench.list_with(vec![listed(in_state("UP", State::Running))], Vec::new());
    let mut detail = in_state("DOWN", State::Failed);
    detail.name = "by detail".into();
    detail.contact_lost = true;
    bench.describe(detail);
    let by_detail = bench.cluster("a");
    assert_eq!(
        (by_detail.status.state, by_detail.contact_lost),
        (State::Failed, true)
    );
    bench.list_with(vec![listed(in_state("UP", State::Running))], Vec::new());
    let by_listing = bench.cluster("a");
    assert_eq!(by_listing.status.state, State::Running);
    assert_eq!(by_listing.name, "name of a");
    assert!(!by_listing.contact_lost);
    assert_eq!(bench.entry("a").changed_at, at(1));
}

#[test]
fn a_state_that_was_worked_out_stays_while_the_native_word_does() {
    let mut bench = Bench::new("s", "k");
    bench.list_with(vec![listed(in_state("UP", State::Running))], Vec::new());
    bench.describe(in_state("UP", State::Degraded));
    bench.list_with(vec![listed(in_state("UP", State::Running))], Vec::new());
    assert_eq!(bench.cluster("a").status.state, State::Degraded);
    bench.list_with(
        vec![listed(in_state("STOPPED", State::Stopped))],
        Vec::new(),
    );
    assert_eq!(bench.cluster("a").status.state, State::Stopped);
}

#[test]
fn a_new_detail_meets_the_listing_and_not_an_older_detail() {
    let mut bench = bench(&["a"]);
    let mut detail = cluster("s", "a");
    detail.environment = Some("old".into());
    bench.describe(detail);
    bench.describe(cluster("s", "a"));
    assert_eq!(bench.cluster("a").environment, None);
}

#[test]
fn a_detail_without_nodes_leaves_those_of_the_listing() {
    let mut bench = Bench::new("s", "k");
    let mut with_nodes = listed(cluster("s", "a"));
    with_nodes.nodes = Some(vec![Node::default()]);
    bench.list_with(vec![with_nodes], Vec::new());
    bench.describe(cluster("s", "a"));
    let mut body = Vec::new();
    let benches = [bench];
    let snapshot = snapshot(1, &benches);
    let place = snapshot.find(&cluster("s", "a").id).unwrap();
    snapshot.append(&[place], false, true, &mut body);
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["node_list"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_detail_of_a_removed_cluster_is_ignored() {
    let mut bench = bench(&["a"]);
    let content = Arc::clone(&bench.shelf.content);
    bench.describe(cluster("s", "gone"));
    assert!(Arc::ptr_eq(&content, &bench.shelf.content));
    assert_eq!(shown(&bench), are(&[("a", Present)]));
}

#[test]
fn details_are_wanted_of_new_clusters_then_changed_then_the_oldest() {
    let mut bench = bench(&["a", "b", "c", "d", "e"]);
    for id in ["d", "c", "b", "a"] {
        bench.describe(cluster("s", id));
    }
    let mut changed = cluster("s", "b");
    changed.environment = Some("new".into());
    let mut all = vec![listed(changed)];
    all.extend(["a", "c", "d", "e", "f"].map(|id| listed(cluster("s", id))));
    bench.list_with(all, Vec::new());
    assert_eq!(bench.wanting(at(1_000)), ["e", "f", "b", "d", "c", "a"]);
    assert_eq!(bench.wanting(at(4)), ["e", "f", "b", "d", "c"]);
    assert_eq!(bench.wanting(Timestamp::MIN), ["e", "f", "b"]);
    // Of one that may be gone no detail is asked for.
    bench.list(&["a"]);
    assert_eq!(bench.wanting(Timestamp::MIN), [""; 0]);
}

#[test]
fn age_makes_a_source_stale_and_a_listing_makes_it_fresh() {
    let mut bench = bench(&["a"]);
    bench.age(3_600);
    assert_eq!(
        (bench.state(), bench.shelf.overdue),
        (Freshness::Fresh, false)
    );
    bench.age(1);
    assert_eq!(
        (bench.state(), bench.shelf.overdue),
        (Freshness::Stale, true)
    );
    assert_eq!(shown(&bench), are(&[("a", Stale)]));
    assert!(bench.shelf.aged(at(bench.clock)).is_none());
    bench.list(&["a"]);
    assert_eq!(
        (bench.state(), bench.shelf.overdue),
        (Freshness::Fresh, false)
    );
    assert_eq!(shown(&bench), are(&[("a", Present)]));
}

#[test]
fn a_failing_source_grows_old_and_a_clock_that_is_set_back_does_not_make_it_fresh() {
    let mut bench = bench(&["a"]);
    bench.fail(ErrorKind::Malformed);
    bench.age(4_000);
    assert!(bench.shelf.overdue);
    bench.age(-4_000);
    assert_eq!(
        (bench.state(), bench.shelf.overdue),
        (Freshness::Stale, false)
    );
}

#[test]
fn a_clock_that_was_wrong_for_a_while_leaves_no_trace() {
    let mut bench = bench(&["a"]);
    bench.age(9_000);
    assert_eq!(bench.state(), Freshness::Stale);
    bench.age(-9_000);
    assert_eq!(
        (bench.state(), bench.shelf.overdue),
        (Freshness::Fresh, false)
    );
}
