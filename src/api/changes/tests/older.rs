//! Changes that the memory does not hold any more, from what keeps them.

use std::sync::atomic::Ordering;

use super::*;
use crate::inventory::testing::at;

/// A stage whose memory holds the last changes only, and one that holds all of them.
fn stages() -> [Stage; 2] {
    let mut stages = [
        Stage::new(&["a", "b"]).with_feed_of(6_000),
        Stage::new(&["a", "b"]),
    ];
    for stage in &mut stages {
        for round in 0..30_usize {
            let state = ["running", "failed", "stopped"][round % 3];
            let project = ["p", "q"][round / 2 % 2];
            let mut list = vec![cluster("a", "1", state, Some(project))];
            if round % 5 < 3 {
                list.push(cluster("a", "2", "running", Some("q")));
            }
            stage.list("a", list);
            if round % 7 == 0 {
                stage.list("b", vec![cluster("b", "9", state, None)]);
            }
        }
    }
    stages
}

const QUERIES: [&str; 9] = [
    "since=1000",
    "since=1003.1",
    "since=1000&limit=1",
    "since=1000&limit=7",
    "since=1000&state=running",
    "since=1000&state=failed&limit=3",
    "since=1000&source=b",
    "since=1000&project=p&kind=updated",
    "since=1000&kind=missing,returned,removed",
];

#[tokio::test]
async fn what_is_older_is_told_as_if_it_were_not() {
    let [small, large] = stages();
    let (app, whole) = (app_with_past(&small), app(&large));
    assert!(small.inventory.feed().floor(false) > 1_010);
    let reaches = [Reach::ALL, of_project("p"), of_project("q"), of_source("b")];
    let mut told = 0;
    for reach in &reaches {
        for query in QUERIES {
            if reach == &of_source("b") && query.contains("source=a") {
                continue;
            }
            let expected = walk(&whole, reach, query).await.unwrap();
            assert_eq!(walk(&app, reach, query).await.unwrap(), expected, "{query}");
            told += expected.len();
        }
        let history = "/clusters/a:1/history?limit=1000";
        let expected = ask(&whole, reach, history).await;
        let found = ask(&app, reach, history).await;
        assert_eq!(
            (found.0, &found.1["items"]),
            (expected.0, &expected.1["items"])
        );
    }
    assert!(told > 300, "{told}");
    let (_, body) = get(&app, "/changes?since=1000").await;
    assert_eq!(body["complete_since"], 1000);
}

#[tokio::test]
async fn the_history_of_a_cluster_goes_on_where_the_memory_ends() {
    let [small, large] = stages();
    let (app, whole) = (app_with_past(&small), app(&large));
    let expected = short(&get(&whole, "/clusters/a:1/history?limit=1000").await.1);
    assert!(expected.len() > 20);
    for limit in [1, 4, 100] {
        let mut target = format!("/clusters/a:1/history?limit={limit}");
        let mut walked = Vec::new();
        loop {
            let (status, body) = get(&app, &target).await;
            assert_eq!(status, 200, "{body}");
            assert_eq!(body["complete_since"], 1000);
            walked.extend(short(&body));
            let Some(next) = body["next_cursor"].as_str() else {
                break;
            };
            target = format!("/clusters/a:1/history?limit={limit}&cursor={next}");
        }
        assert_eq!(walked, expected, "{limit}");
    }
}

#[tokio::test]
async fn the_past_is_asked_where_the_memory_does_not_reach_and_no_further() {
    let [small, _] = stages();
    let app = app_with_past(&small);
    let floor = small.inventory.feed().floor(false);
    let asked = || small.archive.asked.load(Ordering::Relaxed);
    assert_eq!(get(&app, &format!("/changes?since={floor}")).await.0, 200);
    assert_eq!(get(&app, "/changes").await.0, 200);
    assert_eq!(asked(), 0);
    assert_eq!(
        get(&app, &format!("/changes?since={}", at(1_002))).await.1["since"],
        1_002
    );
    assert!(asked() > 0);
    // What changes all the time is not kept.
    assert_eq!(get(&app, "/changes?since=1002&noise").await.0, 410);
    assert_eq!(get(&app, "/changes?since=999").await.0, 410);
    assert_eq!(
        get(&app, &format!("/changes?since={}", at(999))).await.0,
        410
    );
    small.archive.broken.store(true, Ordering::Relaxed);
    let (status, body) = get(&app, "/changes?since=1002").await;
    assert_eq!(
        (status, &body["code"]),
        (503, &"HISTORY_UNAVAILABLE".into())
    );
    let (status, body) = get(&app, "/clusters/a:1/history?limit=1000").await;
    assert_eq!(
        (status, &body["code"]),
        (503, &"HISTORY_UNAVAILABLE".into())
    );
    let (status, body) = get(&app, "/changes").await;
    assert_eq!((status, &body["complete_since"]), (200, &floor.into()));
}
