//! Series of a made-up fleet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::Request;
use serde_json::{Value, json};

use super::*;
use crate::api::testing::{json, send_request, state_over};
use crate::api::{Settings, router};
use crate::domain::{Kind, Reach};
use crate::inventory::Sum;
use crate::inventory::hours::{Group, Hours};
use crate::inventory::testing::{Stage, cluster};

/// What was counted of two sources, and what was asked for.
#[derive(Default)]
struct Kept {
    counts: Vec<Count>,
    asked: Mutex<Vec<(i64, i64, i64)>>,
    is_broken: bool,
}

impl Hours for Kept {
    fn note(&self, _: Vec<Count>) -> BoxFuture<'_, Result<(), PastError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn between(
        &self,
        from: Hour,
        until: Hour,
        step: i64,
    ) -> BoxFuture<'_, Result<Vec<Count>, PastError>> {
        let told = if self.is_broken {
            Err(PastError::Unavailable)
        } else {
            self.asked.lock().unwrap().push((from.0, until.0, step));
            Ok(self.counts.clone())
        };
        Box::pin(std::future::ready(told))
    }
}

fn group(projects: &[&str], clusters: u64) -> Group {
    Group {
        projects: projects.iter().map(|name| (*name).to_owned()).collect(),
        tally: Tally {
            clusters,
            states: BTreeMap::from([("running".to_owned(), clusters)]),
            nodes: Sum {
                value: 3 * clusters,
                clusters,
            },
            accelerators: BTreeMap::from([(
                "H100".to_owned(),
                Sum {
                    value: 8,
                    clusters: 1,
                },
            )]),
            accelerators_unknown: clusters - 1,
            cost: BTreeMap::from([(
                "USD".to_owned(),
                Sum {
                    value: "1.50".parse().unwrap(),
                    clusters: 1,
                },
            )]),
            cost_unknown: clusters - 1,
            ..Tally::default()
        },
    }
}

fn count(source: &str, hour: Hour, state: Freshness, groups: Vec<Group>) -> Count {
    Count {
        source: SourceName::new(source).unwrap(),
        hour,
        generation: 1,
        account: Account {
            provider: Kind::new("test"),
            state,
            whole: true,
            told_apart: true,
            groups,
        },
    }
}

/// Two sources, of which one has a cluster now; the day before both were counted, and three hours ago one of them.
fn kept() -> (Stage, Kept, Hour) {
    let mut stage = Stage::new(&["a", "b"]);
    stage.list("b", Vec::new());
    stage.list("a", vec![cluster("a", "1", "running", Some("p"))]);
    let now = Hour::of(Timestamp::now());
    let groups = || vec![group(&[], 1), group(&["p"], 2), group(&["q-id", "q"], 4)];
    let counts = vec![
        count("a", Hour(now.0 - 24), Freshness::Fresh, groups()),
        count("b", Hour(now.0 - 24), Freshness::Stale, groups()),
        count("a", Hour(now.0 - 3), Freshness::Fresh, groups()),
    ];
    let kept = Kept {
        counts,
        ..Kept::default()
    };
    (stage, kept, now)
}

async fn ask(stage: &Stage, kept: Option<Arc<Kept>>, reach: Reach, target: &str) -> (u16, Value) {
    let hours = kept.map(|kept| kept as Arc<dyn Hours>);
    let state = state_over(&stage.inventory, None, Settings::default()).with_hours(hours);
    let mut request = Request::get(target).body(Body::empty()).unwrap();
    request
        .extensions_mut()
        .insert(Viewer::new(Arc::new(reach)));
    let response = send_request(&router(state), request).await;
    (response.status().as_u16(), json(response).await)
}

fn clusters(body: &Value) -> Vec<u64> {
    let points = body["series"]["points"].as_array();
    let points = points.unwrap_or_else(|| panic!("{body}"));
    points
        .iter()
        .map(|point| point["clusters"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn each_point_tells_what_was_counted_and_what_was_not() {
    let (stage, kept, now) = kept();
    let kept = Arc::new(kept);
    let (status, body) = ask(
        &stage,
        Some(Arc::clone(&kept)),
        Reach::ALL,
        "/summary?over=2d",
    )
    .await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(*kept.asked.lock().unwrap(), [(now.0 - 47, now.0, 1)]);
    assert_eq!(
        clusters(&body),
        [14, 7, 1],
        "the rest of the hours nobody counted"
    );
    let series = &body["series"];
    assert_eq!(series["step_seconds"], 3_600);
    assert_eq!(series["from"], json!(Hour(now.0 - 47).start()));
    assert_eq!(series["until"], json!(Hour(now.0 + 1).start()));
    let [first, second, last] = series["points"].as_array().unwrap().as_slice() else {
        panic!("{series}");
    };
    assert_eq!(
        *first,
        json!({
            "at": Hour(now.0 - 24).start(),
            "clusters": 14,
            "by_state": {"values": {"running": 14}, "unknown": 0},
            "nodes": {"sum": 42, "clusters": 14, "unknown": 0},
            "nodes_ready": {"sum": 0, "clusters": 0, "unknown": 14},
            "accelerators": {"models": [{"model": "H100", "count": 48, "clusters": 6}], "unknown": 8},
            "cost": {"currencies": [{"hourly": {"amount": "9.00", "currency": "USD"}, "clusters": 6}], "unknown": 8},
            "complete": false,
            "unreachable": ["b"],
            "uncounted": [],
        })
    );
    assert_eq!(
        (&second["complete"], &second["uncounted"]),
        (&json!(false), &json!(["b"]))
    );
    assert_eq!(
        (&last["complete"], &last["uncounted"]),
        (&json!(true), &json!([]))
    );
    assert_eq!(last["by_state"]["values"], body["by_state"]["values"]);
}

#[tokio::test]
async fn nobody_learns_from_a_series_what_the_list_hides() {
    let (stage, kept, _) = kept();
    let kept = Arc::new(kept);
    let limited = |sources: &[&str], projects: &[&str]| Reach {
        sources: (!sources.is_empty()).then(|| {
            sources
                .iter()
                .map(|name| SourceName::new(*name).unwrap())
                .collect()
        }),
        projects: (!projects.is_empty()).then(|| {
            projects
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
        }),
    };
    for (reach, query, expected) in [
        (limited(&["a"], &[]), "", vec![7, 7, 1]),
        (limited(&["b"], &[]), "", vec![7, 0]),
        (limited(&[], &["p"]), "", vec![4, 2, 1]),
        (limited(&[], &["q"]), "", vec![8, 4, 0]),
        (limited(&["a"], &["p", "q-id"]), "", vec![6, 6, 1]),
        (limited(&[], &["none"]), "", vec![0, 0, 0]),
        (Reach::ALL, "&source=b", vec![7, 0]),
        (Reach::ALL, "&source=!b", vec![7, 7, 1]),
        (Reach::ALL, "&provider=latitude", vec![1]),
    ] {
        let target = format!("/summary?over=2d{query}");
        let (_, body) = ask(&stage, Some(Arc::clone(&kept)), reach, &target).await;
        assert_eq!(clusters(&body), expected, "{target}: {body}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_refused_or_left_out() {
    let (stage, mut kept, _) = kept();
    kept.is_broken = true;
    let (status, body) = ask(&stage, Some(Arc::new(kept)), Reach::ALL, "/summary?over=2d").await;
    assert_eq!(
        (status, &body["code"]),
        (503, &json!("HISTORY_UNAVAILABLE"))
    );
    let (status, body) = ask(&stage, None, Reach::ALL, "/summary?over=2d").await;
    assert_eq!((status, clusters(&body)), (200, vec![1]));
    for query in [
        "over=2d&state=running",
        "over=2d&as_of=1",
        "over=2d&q=x",
        "over=2",
        "step=1h",
    ] {
        let (status, body) = ask(&stage, None, Reach::ALL, &format!("/summary?{query}")).await;
        assert_eq!(
            (status, &body["code"]),
            (400, &json!("INVALID_PARAMETER")),
            "{query}"
        );
    }
    let (_, body) = ask(&stage, None, Reach::ALL, "/summary").await;
    assert!(body.get("series").is_none());
}

#[test]
fn spans_are_whole_hours_days_or_weeks() {
    for (text, expected) in [
        ("1h", Some(1)),
        ("30d", Some(720)),
        ("2w", Some(336)),
        ("0h", None),
        ("h", None),
        ("", None),
        ("+1h", None),
        ("1.5h", None),
        ("1m", None),
        ("99999999999999999999d", None),
        ("9223372036854775807w", None),
        ("1é", None),
    ] {
        assert_eq!(hours(text), expected, "{text}");
    }
}

#[test]
fn a_series_has_no_more_points_than_it_may() {
    let read = |text: &str| {
        let params = Params::read(Some(text)).unwrap();
        Span::read(&params, &Filter::default()).map_err(|problem| problem.code().as_str())
    };
    assert_eq!(read(""), Ok(None));
    let span = |over, step| Ok(Some(Span { over, step }));
    assert_eq!(read("over=24h"), span(24, 1));
    assert_eq!(read("over=30d"), span(720, 6));
    assert_eq!(read("over=30d&step=1h"), span(720, 1));
    assert_eq!(read("over=1w"), span(168, 1));
    assert_eq!(read("over=800d"), span(19_200, 24));
    for refused in [
        "over=801d",
        "over=60d&step=1h",
        "step=1h",
        "over=1",
        "over=1d&over=2d",
        "over=1d&step=0h",
    ] {
        assert_eq!(read(refused), Err("INVALID_PARAMETER"), "{refused}");
    }
}
