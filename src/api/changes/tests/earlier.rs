//! What was shown, as it is told later.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::converging::{happen, happening};
use super::restarts::{SOURCES, Turn, is_possible, turn};
use super::*;
use crate::api::testing::text;
use crate::inventory::testing::at;
use crate::provider::Rejected;

const QUERIES: [&str; 6] = [
    "limit=1000",
    "state=running&limit=1000",
    "project=p&sort=-name&limit=1000",
    "presence=stale,missing,suspect&limit=1000",
    "stale=true&limit=1000",
    "fields=name,presence&limit=1000",
];

fn reaches() -> [Reach; 3] {
    [Reach::ALL, of_project("p"), of_source("a")]
}

/// An answer without what no change tells.
fn quiet((status, mut body): (u16, Value)) -> Value {
    if status != 200 {
        return json!([status, body["code"]]);
    }
    for item in body["items"].as_array_mut().unwrap() {
        for noise in ["fetched_at", "observed_at"] {
            if item.get(noise).is_some() {
                item[noise] = Value::Null;
            }
        }
    }
    let sources = body["sources"].as_array().unwrap().iter();
    let sources = sources.map(|source| {
        json!([
            source["source"],
            source["state"],
            source["clusters"],
            source["error"]["code"],
            source["omitted"] == 0
        ])
    });
    let sources: Vec<Value> = sources.collect();
    json!([
        body["items"],
        body["total"],
        body["complete"],
        body["unreachable"],
        body["generation"],
        sources
    ])
}

type Shown = BTreeMap<(u64, usize, usize), Value>;

async fn see(app: &Router, generation: u64, shown: &mut Shown) {
    for (reach, sees) in reaches().iter().enumerate() {
        for (query, text) in QUERIES.iter().enumerate() {
            let answer = ask(app, sees, &format!("/clusters?{text}")).await;
            shown.insert((generation, reach, query), quiet(answer));
        }
    }
}

async fn compare(turns: Vec<Turn>, small: bool) {
    let app = |stage: &Stage| {
        let past: Arc<dyn Past> = Arc::<Archive>::clone(&stage.archive);
        router(state_over(
            &stage.inventory,
            Some(past),
            Settings::default(),
        ))
    };
    let mut stage = Stage::new(&["a", "b"]);
    if small {
        stage = stage.with_feed_of(8_000);
    }
    let mut sources = SOURCES[0];
    let mut shown = Shown::new();
    see(&app(&stage), stage.generation(), &mut shown).await;
    for turn in &turns {
        match turn {
            Turn::Happens(happening) if is_possible(happening, sources) => {
                happen(&mut stage, happening);
            }
            Turn::Restarts(chosen) => {
                sources = SOURCES[*chosen];
                stage.restart(sources);
            }
            _ => continue,
        }
        see(&app(&stage), stage.generation(), &mut shown).await;
    }
    let app = app(&stage);
    for ((generation, reach, query), expected) in shown {
        let target = format!("/clusters?{}&as_of={generation}", QUERIES[query]);
        let found = quiet(ask(&app, &reaches()[reach], &target).await);
        assert_eq!(found, expected, "{target} by {reach}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_was_shown_is_told_later_as_it_was(
        turns in proptest::collection::vec(turn(), 1..16),
        small in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(compare(turns, small));
    }

    #[test]
    fn what_was_shown_without_a_store_is_told_later_as_it_was(
        happenings in proptest::collection::vec(happening(), 1..16),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(compare(happenings.into_iter().map(Turn::Happens).collect(), false));
    }
}

/// A stage of several generations: two clusters, one of which fails and one of which goes.
fn told() -> Stage {
    let mut stage = stage();
    stage.list(
        "a",
        vec![
            cluster("a", "1", "failed", Some("q")),
            cluster("a", "2", "running", Some("q")),
        ],
    );
    for _ in 0..2 {
        stage.list("a", vec![cluster("a", "1", "stopped", Some("q"))]);
    }
    stage
}

#[tokio::test]
async fn an_earlier_inventory_is_walked_and_exported_like_the_current_one() {
    let mut stage = told();
    let app = app(&stage);
    let (status, first) = get(&app, "/clusters?as_of=1001&sort=-name&limit=1").await;
    assert_eq!(status, 200, "{first}");
    assert_eq!(
        (&first["generation"], &first["total"]),
        (&json!(1001), &json!(2))
    );
    assert_eq!(first["as_of"], at(1001).to_string());
    assert_eq!(first["items"][0]["id"], "a:2");
    let item = &first["items"][0];
    for unknown in [
        "fetched_at",
        "updated_at",
        "observed_at",
        "detailed_at",
        "utilization",
    ] {
        assert!(item[unknown].is_null(), "{unknown}: {item}");
    }
    assert!(first["sources"][0]["fetched_at"].is_null());
    // The walk goes on in the same account, whatever happens meanwhile.
    stage.list("a", Vec::new());
    let next = first["next_cursor"].as_str().unwrap();
    let target = format!("/clusters?as_of=1001&sort=-name&limit=1&cursor={next}");
    let (_, second) = get(&app, &target).await;
    assert_eq!(second["items"][0]["id"], "a:1", "{second}");
    assert_eq!(second["items"][0]["status"]["state"], "running");
    assert_eq!(second["generation"], 1001);
    for other in [
        "/clusters?sort=-name&limit=1",
        "/clusters?as_of=1002&sort=-name&limit=1",
    ] {
        let (status, body) = get(&app, &format!("{other}&cursor={next}")).await;
        assert_eq!(
            (status, &body["code"]),
            (400, &json!("CURSOR_MISMATCH")),
            "{other}"
        );
    }
    let csv = text(answer(&app, &Reach::ALL, "/clusters?as_of=1001&format=csv").await).await;
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let lines = text(answer(&app, &Reach::ALL, "/clusters?as_of=1002&format=ndjson").await).await;
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let (_, summary) = get(&app, "/summary?as_of=1001").await;
    assert_eq!(summary["clusters"], 2, "{summary}");
    let (_, summary) = get(&app, "/summary").await;
    assert_eq!(summary["generation"], stage.generation());
}

#[tokio::test]
async fn one_cluster_is_told_as_it_was_also_when_it_is_gone() {
    let stage = told();
    let app = app(&stage);
    for (as_of, expected) in [("1000", None), ("1001", Some("running")), ("1004", None)] {
        let (status, body) = get(&app, &format!("/clusters/a:2?as_of={as_of}")).await;
        assert_eq!(status == 200, expected.is_some(), "{body}");
        assert_eq!(body["status"]["state"].as_str(), expected, "{body}");
    }
    let (_, body) = get(&app, "/clusters/a:2?as_of=1003&fields=presence").await;
    assert_eq!(body["presence"], "missing");
    // A time means the last generation before it.
    let (_, body) = get(&app, &format!("/clusters/a:1?as_of={}", at(1002))).await;
    assert_eq!(body["status"]["state"], "failed", "{body}");
    // Who may see a project sees what was in it then.
    let (status, _) = ask(&app, &of_project("p"), "/clusters/a:1?as_of=1001").await;
    assert_eq!(status, 200);
    let (status, _) = ask(&app, &of_project("p"), "/clusters/a:1?as_of=1002").await;
    assert_eq!(status, 404);
    let (status, _) = ask(&app, &of_project("p"), "/clusters/a:1").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn what_items_could_not_be_read_then_is_known_without_their_number() {
    let mut stage = stage();
    let rejected = |id: &str| Rejected {
        native_id: Some(id.to_owned()),
        reason: "no name",
    };
    stage.list_with("a", Vec::new(), vec![rejected("8"), rejected("9")]);
    stage.list("a", Vec::new());
    let (_, body) = get(&app(&stage), "/clusters?as_of=1002").await;
    assert_eq!(body["complete"], false, "{body}");
    assert!(body["sources"][0]["omitted"].is_null(), "{body}");
    let (_, body) = get(&app(&stage), "/clusters?as_of=1001&source=a").await;
    assert_eq!(body["complete"], true, "{body}");
}

#[tokio::test]
async fn what_is_not_known_of_then_is_refused() {
    let stage = told();
    let app = app_with_past(&stage);
    for (as_of, status, code) in [
        ("999", 410, "CHANGES_EXPIRED"),
        ("2001-01-01T00:00:00Z", 410, "CHANGES_EXPIRED"),
        ("1005", 400, "INVALID_PARAMETER"),
        ("99999999999999999", 400, "INVALID_PARAMETER"),
        ("2999-01-01T00:00:00Z", 400, "INVALID_PARAMETER"),
        ("1001.1", 400, "INVALID_PARAMETER"),
        ("yesterday", 400, "INVALID_PARAMETER"),
        ("", 400, "INVALID_PARAMETER"),
    ] {
        for path in ["/clusters", "/clusters/a:1", "/summary"] {
            let (found, body) = get(&app, &format!("{path}?as_of={as_of}")).await;
            assert_eq!(
                (found, &body["code"]),
                (status, &json!(code)),
                "{path} {as_of}: {body}"
            );
        }
    }
    // What is now is what is now.
    let (status, body) = get(&app, "/clusters?as_of=1004").await;
    assert_eq!((status, &body["total"]), (200, &json!(1)), "{body}");
}
