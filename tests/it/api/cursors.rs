//! Walking pages: cursors, links, and what a cursor is good for.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{get, ids, items, quiet};
use crate::support::Rig;

/// Walks by `next_cursor`; what the `Link` header says must be the same.
pub(super) async fn walk(rig: &Rig, query: &str, limit: usize) -> Vec<Value> {
    let mut target = format!("/clusters?{query}&limit={limit}");
    let mut found = Vec::new();
    loop {
        let answer = get(rig, &target, &[]).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        let page = answer.json();
        let rows = items(&page);
        assert!(rows.len() <= limit, "{target}");
        found.extend(rows);
        let Some(cursor) = page.get("next_cursor") else {
            assert_eq!(answer.header("link"), "", "{target}");
            return found;
        };
        assert!(
            !items(&page).is_empty(),
            "{target}: an empty page with more"
        );
        let next = format!(
            "/clusters?{query}&limit={limit}&cursor={}",
            cursor.as_str().unwrap()
        );
        assert_eq!(answer.header("link"), format!("<{next}>; rel=\"next\""));
        target = next;
    }
}

#[tokio::test]
async fn pages_of_any_size_join_to_the_whole_list() {
    let rig = quiet().await;
    for query in [
        "sort=id",
        "sort=-id",
        "sort=name",
        "sort=-cost",
        "sort=cloud,-version",
        "sort=-provider,created_at",
        "sort=accelerators",
        "sort=source&state=running",
        "q=a",
        "provider=latitude,kubeadapt&sort=-state",
        "state=!running&sort=region&total=false",
    ] {
        let whole = rig
            .get(&format!("/clusters?{query}&limit=1000"))
            .await
            .json();
        let whole = ids(&items(&whole));
        for limit in [1, 7, 33] {
            assert_eq!(
                ids(&walk(&rig, query, limit).await),
                whole,
                "{query} by {limit}"
            );
        }
    }
}

#[tokio::test]
async fn the_limit_may_change_on_the_way() {
    let rig = quiet().await;
    let first = rig.get("/clusters?limit=3&sort=name").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = rig
        .get(&format!(
            "/clusters?limit=1000&sort=name&cursor={cursor}&fields=name"
        ))
        .await
        .json();
    assert_eq!(
        items(&rest).len() as u64 + 3,
        first["total"].as_u64().unwrap()
    );
}

#[tokio::test]
async fn a_cursor_that_is_not_one_is_refused() {
    let rig = quiet().await;
    let first = rig.get("/clusters?limit=3").await.json();
    let good = first["next_cursor"].as_str().unwrap();
    for bad in [
        "x",
        "",
        "e30",
        "eyJ2IjoxfQ",
        "%00",
        &"A".repeat(5_000),
        &good[1..],
        &good[..good.len() - 3],
    ] {
        let answer = get(&rig, &format!("/clusters?limit=3&cursor={bad}"), &[]).await;
        assert_eq!(
            answer.refusal(),
            (400, "INVALID_CURSOR".to_owned(), vec!["cursor".to_owned()]),
            "{bad}"
        );
    }
}

/// A cursor as this API writes them, changed by the test.
fn rewritten(cursor: &str, change: impl FnOnce(&mut Value)) -> String {
    use base64::Engine as _;
    let coder = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut token: Value = serde_json::from_slice(&coder.decode(cursor).unwrap()).unwrap();
    change(&mut token);
    coder.encode(token.to_string())
}

#[tokio::test]
async fn a_cursor_that_is_too_old_is_gone() {
    let rig = quiet().await;
    for (sort, change) in [
        ("id", ("t", 25 * 3_600)),
        ("name", ("t", 25 * 3_600)),
        ("name", ("g", 1)),
    ] {
        let first = rig
            .get(&format!("/clusters?limit=3&sort={sort}"))
            .await
            .json();
        let old = rewritten(first["next_cursor"].as_str().unwrap(), |token| {
            let (key, less) = change;
            token[key] = (token[key].as_i64().unwrap() - less).into();
        });
        let target = format!("/clusters?limit=3&sort={sort}&cursor={old}");
        let answer = get(&rig, &target, &[]).await;
        let (status, code, _) = answer.refusal();
        assert_eq!((status, code.as_str()), (410, "CURSOR_EXPIRED"), "{sort}");
    }
}

const QUERIES: [&str; 12] = [
    "",
    "provider=latitude",
    "provider=!latitude",
    "provider=latitude,kubeadapt",
    "source=latitude",
    "state=running",
    "stale=false",
    "q=a",
    "q=e",
    "sort=name",
    "sort=-name",
    "sort=name,-cost",
];

#[test]
fn a_cursor_is_good_for_its_own_query_only() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(quiet());
    for made_by in QUERIES {
        let first = runtime
            .block_on(rig.get(&format!("/clusters?limit=2&{made_by}")))
            .json();
        let cursor = first["next_cursor"].as_str().unwrap();
        for used_with in QUERIES {
            let target = format!("/clusters?limit=2&{used_with}&cursor={cursor}");
            let answer = runtime.block_on(get(&rig, &target, &[]));
            if used_with == made_by {
                assert_eq!(answer.status, 200, "{made_by}");
            } else {
                assert_eq!(
                    answer.refusal(),
                    (400, "CURSOR_MISMATCH".to_owned(), vec!["cursor".to_owned()]),
                    "{made_by} then {used_with}"
                );
            }
        }
    }
}

#[test]
fn a_changed_cursor_never_breaks_anything_nor_grants_another_query() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(quiet());
    let query = "provider=latitude&sort=name";
    let first = runtime
        .block_on(rig.get(&format!("/clusters?limit=2&{query}")))
        .json();
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (0..cursor.len(), "[A-Za-z0-9_-]");
    runner
        .run(&strategy, |(at, with)| {
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, &with);
            let answer = runtime.block_on(get(
                &rig,
                &format!("/clusters?limit=2&{query}&cursor={changed}"),
                &[],
            ));
            match answer.status.as_u16() {
                200 => {
                    for row in items(&answer.json()) {
                        prop_assert_eq!(&row["provider"], "latitude");
                    }
                }
                400 | 410 => {
                    answer.problem();
                }
                other => prop_assert!(false, "{}: {}", other, answer.text()),
            }
            Ok(())
        })
        .unwrap();
}
