//! `/changes`, page by page and whole.

use jiff::Timestamp;

use super::*;
use crate::api::testing::text;
use crate::inventory::testing::{FIRST, at};

#[tokio::test]
async fn what_changed_is_told_since_a_generation() {
    let mut stage = stage();
    let app = app(&stage);
    stage.list("a", vec![cluster("a", "1", "failed", Some("p"))]);
    let (status, body) = get(&app, "/changes").await;
    assert_eq!(status, 200);
    let all = [
        "1001 source_state a",
        "1001 added a:1",
        "1001 added a:2",
        "1002 updated a:1",
        "1002 missing a:2",
    ];
    assert_eq!(short(&body), all);
    assert_eq!(body["generation"], 1002);
    assert_eq!(body["complete_since"], FIRST);
    assert_eq!(body["since"], FIRST);
    assert!(body.get("next_cursor").is_none());
    insta::assert_json_snapshot!("updated", body["items"][3]);
    let (_, body) = get(&app, "/changes?since=1001").await;
    assert_eq!(short(&body), all[3..]);
    assert_eq!(body["since"], 1001);
    let (_, body) = get(&app, "/changes?since=1001.2").await;
    assert_eq!(short(&body), all[2..]);
    let (_, body) = get(&app, "/changes?since=1002").await;
    assert!(short(&body).is_empty());
    assert_eq!(body["generation"], 1002);
    // Without `since` the last ones are told.
    let (_, body) = get(&app, "/changes?limit=3").await;
    assert_eq!(short(&body), all[2..]);
    let (_, body) = get(&app, "/changes?limit=1").await;
    assert_eq!(short(&body), all[4..]);
    assert_eq!(body["since"], 1001);
}

#[tokio::test]
async fn what_changed_is_told_since_a_time() {
    let mut stage = stage();
    let app = app(&stage);
    stage.list("b", vec![cluster("b", "1", "running", None)]);
    let ask = |time: Timestamp| {
        let target = format!("/changes?since={time}");
        let app = app.clone();
        async move { get(&app, &target).await }
    };
    let half = |generation| at(generation) - jiff::SignedDuration::from_millis(500);
    for (time, expected) in [
        (at(FIRST), 5),
        (half(1001), 5),
        (at(1001), 2),
        (half(1002), 2),
        (at(1002), 0),
        (at(9_999), 0),
    ] {
        let (status, body) = ask(time).await;
        assert_eq!((status, short(&body).len()), (200, expected), "{time}");
        assert_eq!(body["generation"], 1002);
    }
    let (status, body) = ask(half(FIRST)).await;
    assert_eq!((status, &body["code"]), (410, &"CHANGES_EXPIRED".into()));
}

#[tokio::test]
async fn pages_end_anywhere_and_repeat_nothing() {
    let mut stage = stage();
    let app = app(&stage);
    stage.list(
        "b",
        (0..5)
            .map(|id| cluster("b", &id.to_string(), "running", None))
            .collect(),
    );
    let whole = short(&get(&app, "/changes?since=1000").await.1);
    assert_eq!(whole.len(), 9);
    for limit in 1..=10 {
        let mut target = format!("/changes?since=1000&limit={limit}");
        let mut walked = Vec::new();
        let mut known = 1000;
        loop {
            let (status, body) = get(&app, &target).await;
            assert_eq!(status, 200, "{body}");
            let items = short(&body);
            assert!(items.len() <= limit);
            walked.extend(items);
            // What a page says that it reaches is there as a whole.
            let reached = body["generation"].as_u64().unwrap();
            assert!(reached >= known);
            known = reached;
            let count = |text: &[String]| {
                let is_known = |item: &&String| item[..4].parse::<u64>().unwrap() <= known;
                text.iter().filter(is_known).count()
            };
            assert_eq!(count(&walked), count(&whole));
            let Some(next) = body["next_cursor"].as_str() else {
                break;
            };
            assert!(known < 1002, "{limit}");
            target = format!("/changes?since=1000&limit={limit}&cursor={next}");
        }
        assert_eq!(walked, whole, "{limit}");
        assert_eq!(known, 1002);
    }
}

#[tokio::test]
async fn a_page_names_the_next_and_its_token_is_for_nothing_else() {
    let stage = stage();
    let app = app(&stage);
    let response = answer(&app, &Reach::ALL, "/changes?limit=1&since=1000&kind=added").await;
    let link = response.headers()["link"].to_str().unwrap().to_owned();
    assert_eq!(response.headers()["x-inventory-generation"], "1001");
    let body = json(response).await;
    let next = body["next_cursor"].as_str().unwrap();
    assert_eq!(
        link,
        format!("</changes?limit=1&since=1000&kind=added&cursor={next}>; rel=\"next\"")
    );
    let (_, body) = get(&app, &format!("/changes?kind=added&cursor={next}")).await;
    assert_eq!(short(&body), ["1001 added a:2"]);
    for other in [
        "kind=removed",
        "kind=added&noise",
        "kind=added&state=running",
    ] {
        let (status, body) = get(&app, &format!("/changes?{other}&cursor={next}")).await;
        assert_eq!((status, &body["code"]), (400, &"CURSOR_MISMATCH".into()));
    }
    let target = format!("/changes?kind=added&cursor={next}");
    let (status, body) = ask(&app, &of_source("a"), &target).await;
    assert_eq!((status, &body["code"]), (400, &"CURSOR_MISMATCH".into()));
    let (status, body) = get(&app, "/changes?cursor=x").await;
    assert_eq!((status, &body["code"]), (400, &"INVALID_CURSOR".into()));
}

#[tokio::test]
async fn a_filter_lets_pass_what_passes_before_or_after() {
    let mut stage = stage();
    let app = app(&stage);
    let running = |id: &str| cluster("a", id, "running", None);
    stage.list("a", vec![cluster("a", "1", "failed", None), running("2")]);
    stage.list("a", vec![running("1"), cluster("a", "2", "deleting", None)]);
    let told = async |query: &str| {
        let target = format!("/changes?since=1001&kind=updated&{query}");
        short(&get(&app, &target).await.1)
    };
    let failed = told("state=failed").await;
    assert_eq!(failed, ["1002 updated a:1", "1003 updated a:1"]);
    assert_eq!(told("state=deleting").await, ["1003 updated a:2"]);
    assert_eq!(told("state=running").await.len(), 4);
    assert_eq!(told("project=p").await, ["1002 updated a:1"]);
    assert!(told("state=pending").await.is_empty());
    assert_eq!(told("q=2").await.len(), 2);
    assert!(told("source=b").await.is_empty());
    let (status, body) = get(&app, "/changes?kind=updated,gone").await;
    assert_eq!(status, 400);
    assert_eq!(body["errors"][0]["parameter"], "kind");
    assert_eq!(body["errors"][0]["allowed"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn what_changes_all_the_time_is_told_to_who_asks_for_it() {
    let mut stage = stage();
    let app = app(&stage);
    let seen = |id: &str, state: &str, second: u64| {
        let mut cluster = cluster("a", id, state, None);
        cluster.observed_at = Some(at(second));
        cluster
    };
    stage.list("a", vec![seen("1", "running", 1), seen("2", "running", 1)]);
    stage.list("a", vec![seen("1", "running", 2), seen("2", "failed", 2)]);
    let told = short(&get(&app, "/changes?since=1002").await.1);
    assert_eq!(told, ["1003 updated a:2"]);
    let all = short(&get(&app, "/changes?since=1002&noise=true").await.1);
    assert_eq!(all, ["1003 updated a:2", "1003 updated a:1"]);
    let mut walked = Vec::new();
    let mut target = "/changes?since=1002&noise=true&limit=1".to_owned();
    loop {
        let (_, body) = get(&app, &target).await;
        walked.extend(short(&body));
        let Some(next) = body["next_cursor"].as_str() else {
            break;
        };
        target = format!("/changes?noise=true&limit=1&cursor={next}");
    }
    assert_eq!(walked, all);
}

#[tokio::test]
async fn what_is_no_longer_known_is_said_to_be_gone() {
    let mut stage = Stage::new(&["a"]).with_feed_of(3_000);
    let app = app(&stage);
    for round in 0..20 {
        let state = if round % 2 == 0 { "running" } else { "failed" };
        stage.list("a", vec![cluster("a", "1", state, None)]);
    }
    let (status, body) = get(&app, "/changes?since=1000").await;
    assert_eq!((status, &body["code"]), (410, &"CHANGES_EXPIRED".into()));
    let floor = body["complete_since"].as_u64().unwrap();
    assert!(floor > FIRST && floor < stage.generation());
    assert!(
        body["detail"]
            .as_str()
            .unwrap()
            .contains(&floor.to_string())
    );
    let (status, body) = get(&app, &format!("/changes?since={floor}")).await;
    assert_eq!(status, 200);
    assert_eq!(body["items"][0]["generation"], floor + 1);
    let (status, _) = get(&app, &format!("/changes?since={}", floor - 1)).await;
    assert_eq!(status, 410);
    // A generation that this server never gave out is of another life of it.
    let (status, body) = get(&app, &format!("/changes?since={}", stage.generation() + 1)).await;
    assert_eq!((status, &body["code"]), (410, &"CHANGES_EXPIRED".into()));
}

#[tokio::test]
async fn what_is_no_place_and_no_time_is_refused() {
    let app = app(&stage());
    for since in [
        "",
        "x",
        "-1",
        "1.5.2",
        "yesterday",
        "99999999999999999",
        "2026-01-01",
    ] {
        let (status, body) = get(&app, &format!("/changes?since={since}")).await;
        assert_eq!(status, 400, "{since}");
        assert_eq!(body["errors"][0]["parameter"], "since", "{since}");
    }
    let (status, body) = get(&app, "/changes?sort=name").await;
    assert_eq!((status, &body["code"]), (400, &"UNKNOWN_PARAMETER".into()));
}

#[tokio::test]
async fn everything_comes_as_lines() {
    let stage = stage();
    let app = app(&stage);
    let lines = async |target: &str| {
        let response = answer(&app, &Reach::ALL, target).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        assert_eq!(response.headers()["x-inventory-generation"], "1001");
        let text = text(response).await;
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<Value>>()
    };
    let (_, body) = get(&app, "/changes?since=1000").await;
    let whole = lines("/changes?since=1000&format=ndjson").await;
    assert_eq!(&whole, body["items"].as_array().unwrap());
    assert_eq!(lines("/changes?format=ndjson&limit=2").await.len(), 2);
    assert!(lines("/changes?since=1001&format=ndjson").await.is_empty());
    let (status, _) = get(&app, "/changes?format=csv").await;
    assert_eq!(status, 400);
    let (status, _) = get(&app, "/changes?format=ndjson&since=9").await;
    assert_eq!(status, 410);
    let (status, _) = get(&app, "/changes?format=ndjson&cursor=x").await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn nobody_learns_of_what_is_not_seen() {
    let mut stage = stage();
    let app = app(&stage);
    stage.list("b", vec![cluster("b", "9", "running", Some("p"))]);
    stage.fail("b");
    let told = async |reach: Reach| {
        let (status, body) = ask(&app, &reach, "/changes?since=1000").await;
        assert_eq!(status, 200);
        assert_eq!(body["generation"], 1003);
        short(&body)
    };
    let of_a = ["1001 source_state a", "1001 added a:1", "1001 added a:2"];
    assert_eq!(told(of_source("a")).await, of_a);
    assert!(told(Reach::NOTHING).await.is_empty());
    let of_p = [
        "1001 source_state a",
        "1001 added a:1",
        "1002 source_state b",
        "1002 added b:9",
        "1003 source_state b",
    ];
    assert_eq!(told(of_project("p")).await, of_p);
    let (status, body) = ask(&app, &of_source("a"), "/changes?source=b").await;
    assert_eq!(status, 400);
    assert_eq!(body["errors"][0]["allowed"], serde_json::json!(["a"]));
}

#[tokio::test]
async fn what_leaves_a_project_is_gone_for_its_people_and_new_for_others() {
    let mut stage = Stage::new(&["a"]);
    let app = app(&stage);
    let mut secret = cluster("a", "1", "running", Some("q"));
    secret.name = "named in q".to_owned();
    stage.list("a", vec![cluster("a", "1", "running", Some("p"))]);
    stage.list("a", vec![secret]);
    stage.list("a", vec![cluster("a", "1", "failed", Some("p"))]);
    let told = async |project: &str, query: &str| {
        let reach = of_project(project);
        let target = format!("/changes?since=1000&{query}");
        ask(&app, &reach, &target).await.1
    };
    let of_p = told("p", "").await;
    assert_eq!(
        short(&of_p),
        [
            "1001 source_state a",
            "1001 added a:1",
            "1002 removed a:1",
            "1003 added a:1"
        ]
    );
    assert!(!of_p.to_string().contains("named in q"), "{of_p}");
    let of_q = told("q", "kind=added,removed").await;
    assert_eq!(short(&of_q), ["1002 added a:1", "1003 removed a:1"]);
    for item in of_q["items"].as_array().unwrap() {
        assert_eq!(item["name"], "named in q");
        assert_eq!(item["fields"], serde_json::json!([]));
    }
    // The side that is not seen does not make anything pass.
    assert!(short(&told("q", "state=failed&kind=added,removed,updated").await).is_empty());
    assert_eq!(short(&get(&app, "/changes?since=1001").await.1).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_generation_is_waited_for() {
    let mut stage = stage();
    let app = app(&stage);
    for target in ["/changes?", "/clusters?", "/summary?", "/clusters/a:1?"] {
        let next = stage.generation() + 1;
        let target = format!("{target}min_generation={next}");
        let asking = tokio::spawn({
            let (app, target) = (app.clone(), target.clone());
            async move { answer(&app, &Reach::ALL, &target).await.status().as_u16() }
        });
        tokio::task::yield_now().await;
        assert!(!asking.is_finished(), "{target}");
        stage.fail("a");
        assert_eq!(asking.await.unwrap(), 200, "{target}");
        let began = tokio::time::Instant::now();
        let target = target.replace(&next.to_string(), &(next + 1).to_string());
        let response = answer(&app, &Reach::ALL, &target).await;
        assert_eq!(response.status().as_u16(), 503);
        assert_eq!(began.elapsed().as_secs(), 2);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(json(response).await["code"], "GENERATION_NOT_REACHED");
        for wrong in ["x", "-1", "", "+5", "99999999999999999999", "9999999999999"] {
            let target = target.replace(&(next + 1).to_string(), wrong);
            let (status, body) = get(&app, &target).await;
            assert_eq!(
                (status, &body["code"]),
                (400, &"INVALID_PARAMETER".into()),
                "{target}"
            );
        }
    }
}
