//! Whatever happens to the process: what a client makes of a list and of the changes since is the list.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::converging::{Follower, Happening, Plan, happen, happening, plan, shown};
use super::*;

#[derive(Debug, Clone)]
pub(super) enum Turn {
    Happens(Happening),
    /// The process is another one, with the first source, the second one, or both.
    Restarts(usize),
    /// Nothing that is shown is kept from now on.
    FallsBehind,
    /// All that was shown is kept.
    CatchesUp,
}

pub(super) const SOURCES: [&[&str]; 4] = [&["a", "b"], &["a", "b"], &["a"], &["b"]];

pub(super) fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        8 => happening().prop_map(Turn::Happens),
        3 => (0..SOURCES.len()).prop_map(Turn::Restarts),
        1 => Just(Turn::FallsBehind),
        1 => Just(Turn::CatchesUp),
    ]
}

/// Whether all sources of a happening are there.
pub(super) fn is_possible(happening: &Happening, sources: &[&str]) -> bool {
    let has = |source: &usize| sources.contains(&["a", "b"][*source]);
    match happening {
        Happening::Both(..) => sources.len() == 2,
        Happening::List(source, _)
        | Happening::Fail(source)
        | Happening::Forget(source, _)
        | Happening::Show(source, _) => has(source),
        Happening::Age => true,
    }
}

async fn follow(turns: Vec<Turn>, plans: Vec<Plan>) {
    let settings = || Settings {
        max_event_items: 2,
        ..Settings::default()
    };
    let app = |stage: &Stage| {
        let past: Arc<dyn Past> = Arc::<Archive>::clone(&stage.archive);
        router(state_over(&stage.inventory, Some(past), settings()))
    };
    let mut stage = Stage::new(&["a", "b"]);
    let mut sources = SOURCES[0];
    stage.publish(BTreeMap::from([
        ("a", Some(Vec::new())),
        ("b", Some(Vec::new())),
    ]));
    let first = app(&stage);
    let mut followers = Vec::new();
    for plan in &plans {
        // A filter by a source that is not there is refused.
        let filter = if plan.filter == "source=a" {
            "q=1"
        } else {
            plan.filter
        };
        let plan = Plan {
            filter,
            ..plan.clone()
        };
        followers.push(Follower::start(&first, &plan).await);
    }
    let (mut is_behind, mut is_lost) = (false, false);
    for (at, turn) in turns.iter().enumerate() {
        match turn {
            Turn::Happens(happening) if is_possible(happening, sources) => {
                happen(&mut stage, happening);
            }
            Turn::Happens(_) => {}
            Turn::Restarts(chosen) => {
                is_lost |= is_behind;
                is_behind = false;
                sources = SOURCES[*chosen];
                stage.restart(sources);
                for follower in &mut followers {
                    follower.client = None;
                    follower.app = app(&stage);
                }
            }
            Turn::FallsBehind => {
                stage.fall_behind();
                is_behind = true;
            }
            Turn::CatchesUp => {
                stage.catch_up();
                is_behind = false;
            }
        }
        for follower in &mut followers {
            let turn = follower.plan.turns[at % follower.plan.turns.len()];
            follower.turn(turn, stage.generation()).await;
        }
    }
    for mut follower in followers {
        follower.turn(1, stage.generation()).await;
        let noise = follower.plan.noise;
        let (generation, list) = follower.read().await;
        assert_eq!(generation, stage.generation());
        let plan = &follower.plan;
        assert_eq!(
            shown(&follower.known, noise),
            shown(&list, noise),
            "{plan:?}"
        );
        assert!(noise || is_lost || follower.resets == 0, "{plan:?}");
        // Everything that it was told, it was told once and in order.
        let query = format!(
            "since={}&limit=1000&{}{}",
            follower.listed,
            plan.filter,
            follower.noise()
        );
        if let Ok(whole) = walk(&follower.app, &follower.reach, &query).await {
            assert_eq!(follower.told, whole, "{plan:?}");
        } else {
            assert!(noise, "{plan:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_client_arrives_at_the_list_whatever_happens_to_the_process(
        turns in proptest::collection::vec(turn(), 1..28),
        plans in proptest::collection::vec(plan(), 1..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(follow(turns, plans));
    }
}

#[tokio::test]
async fn what_was_shown_and_never_kept_is_no_place_to_go_on_from() {
    let mut stage = stage();
    let kept = stage.generation();
    stage.fall_behind();
    let lost = stage.list("a", vec![cluster("a", "1", "failed", Some("p"))]);
    stage.restart(&["a", "b"]);
    let app = app_with_past(&stage);
    let (status, body) = get(&app, &format!("/changes?since={kept}")).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        short(&body),
        [format!("{} source_state a", stage.generation())]
    );
    let (status, body) = get(&app, &format!("/changes?since={lost}")).await;
    assert_eq!((status, &body["code"]), (410, &"CHANGES_EXPIRED".into()));
}

#[tokio::test]
async fn a_source_that_comes_or_goes_with_a_restart_is_told_with_its_clusters() {
    let mut stage = stage();
    let listed = stage.generation();
    stage.restart(&["b"]);
    let gone = stage.generation();
    stage.restart(&["a", "b"]);
    let back = stage.generation();
    let app = app_with_past(&stage);
    let (_, body) = get(&app, &format!("/changes?since={listed}")).await;
    let expected = [
        format!("{gone} source_state a"),
        format!("{gone} removed a:1"),
        format!("{gone} removed a:2"),
        format!("{back} source_state a"),
        format!("{back} added a:1"),
        format!("{back} added a:2"),
    ];
    assert_eq!(short(&body), expected);
    let states = body["items"].as_array().unwrap().iter();
    let mut states = states.filter(|item| item["kind"] == "source_state");
    assert_eq!(
        states.next().unwrap()["fields"],
        serde_json::json!([{"field": "state", "old": "fresh", "new": null}])
    );
    assert_eq!(
        states.next().unwrap()["fields"],
        serde_json::json!([{"field": "state", "old": null, "new": "stale"}])
    );
}
