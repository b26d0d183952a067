//! The changes of one cluster.

use super::*;
use crate::domain::ClusterId;
use crate::inventory::Shown;

/// A stage on which a cluster came, changed, and was deleted.
fn gone() -> Stage {
    let mut stage = stage();
    let source = SourceName::new("a").unwrap();
    for state in ["failed", "running", "deleting"] {
        stage.list(
            "a",
            vec![
                cluster("a", "1", state, Some("p")),
                cluster("a", "2", "running", None),
            ],
        );
    }
    stage.show("a", Shown::Gone(ClusterId::new(&source, "1")));
    stage
}

#[tokio::test]
async fn the_changes_of_a_cluster_are_told_the_newest_first_also_when_it_is_gone() {
    let stage = gone();
    let app = app(&stage);
    let (status, body) = get(&app, "/clusters/a:1/history").await;
    assert_eq!(status, 200, "{body}");
    let all = [
        "1005 removed a:1",
        "1004 updated a:1",
        "1003 updated a:1",
        "1002 updated a:1",
        "1001 added a:1",
    ];
    assert_eq!(short(&body), all);
    assert_eq!(body["items"][0]["cause"], "operator");
    assert_eq!(body["cluster"], "a:1");
    assert_eq!(body["complete_since"], 1000);
    for limit in 1..=6 {
        let mut walked = Vec::new();
        let mut target = format!("/clusters/a:1/history?limit={limit}");
        loop {
            let (status, body) = get(&app, &target).await;
            assert_eq!(status, 200, "{body}");
            walked.extend(short(&body));
            let Some(next) = body["next_cursor"].as_str() else {
                break;
            };
            target = format!("/clusters/a:1/history?limit={limit}&cursor={next}");
        }
        assert_eq!(walked, all, "{limit}");
    }
    let (_, body) = get(&app, "/clusters/a:1/history?kind=added,removed").await;
    assert_eq!(short(&body), [all[0], all[4]]);
}

#[tokio::test]
async fn a_cluster_without_changes_is_there_and_one_that_never_was_is_not() {
    let mut stage = Stage::new(&["a"]).with_feed_of(1);
    stage.list("a", vec![cluster("a", "1", "running", None)]);
    let app = app(&stage);
    let (status, body) = get(&app, "/clusters/a:1/history").await;
    assert_eq!((status, short(&body).len()), (200, 0));
    assert_eq!(body["complete_since"], 1001);
    let (status, body) = get(&app, "/clusters/a:2/history").await;
    assert_eq!((status, &body["code"]), (404, &"CLUSTER_NOT_FOUND".into()));
    let (status, body) = get(&app, "/clusters/x/history").await;
    assert_eq!((status, &body["code"]), (400, &"INVALID_ID".into()));
}

#[tokio::test]
async fn whoever_does_not_see_a_cluster_is_told_that_it_never_was() {
    let stage = gone();
    let app = app(&stage);
    for reach in [of_source("b"), of_project("q"), Reach::NOTHING] {
        let hidden = ask(&app, &reach, "/clusters/a:1/history").await;
        let mut absent = ask(&app, &reach, "/clusters/a:3/history").await;
        absent.1["instance"] = hidden.1["instance"].clone();
        assert_eq!(hidden, absent);
        assert_eq!(hidden.0, 404);
    }
    let (status, body) = ask(&app, &of_project("p"), "/clusters/a:1/history").await;
    assert_eq!((status, short(&body).len()), (200, 5));
}
