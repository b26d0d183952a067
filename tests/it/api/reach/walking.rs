//! Tokens, tags and remembered pages belong to one reach.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clustergate::domain::Reach;
use http::Method;
use serde_json::Value;

use super::super::{ids, items};
use super::{all_projects, ask, ask_with, everything, mixed, reach, source};

fn cursor(page: &Value) -> &str {
    page["next_cursor"].as_str().unwrap()
}

#[tokio::test]
async fn a_token_is_good_for_the_reach_that_it_was_made_for() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let all = all_projects(&clusters);
    let reaches = [
        Reach::ALL,
        reach(Some(&["latitude", "lakesail"]), None),
        reach(Some(&["latitude"]), None),
        reach(Some(&["latitude"]), Some(&all)),
        reach(None, Some(&all)),
    ];
    for query in ["limit=1", "limit=1&sort=name", "limit=1&sort=-source"] {
        for made_for in &reaches {
            let first = ask(&rig, made_for, &format!("/clusters?{query}"))
                .await
                .json();
            let target = format!("/clusters?{query}&cursor={}", cursor(&first));
            for used_by in &reaches {
                let answer = ask(&rig, used_by, &target).await;
                if used_by == made_for {
                    assert_eq!(answer.status, 200, "{query} of {made_for:?}");
                    continue;
                }
                let expected = (400, "CURSOR_MISMATCH".to_owned(), vec!["cursor".to_owned()]);
                assert_eq!(answer.refusal(), expected, "{made_for:?} then {used_by:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_forged_token_shows_nothing_that_is_not_seen() {
    let rig = mixed().await;
    let narrow = reach(Some(&["latitude"]), None);
    let all = ids(&items(
        &ask(&rig, &narrow, "/clusters?limit=1000").await.json(),
    ));
    let first = ask(&rig, &narrow, "/clusters?limit=2").await.json();
    let read = |text: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    let token = read(cursor(&first));
    for place in [
        source("kubeadapt"),
        source("prime-intellect"),
        String::new(),
    ] {
        let mut forged = token.clone();
        forged["i"] = format!("{place}:x").into();
        let text = URL_SAFE_NO_PAD.encode(forged.to_string());
        let target = format!("/clusters?limit=1000&cursor={text}");
        let page = ask(&rig, &narrow, &target).await.json();
        assert!(ids(&items(&page)).iter().all(|id| all.contains(id)));
        assert_eq!(page["total"], all.len());
    }
}

#[tokio::test]
async fn a_walk_stays_in_its_generation_while_others_change() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let all = all_projects(&clusters);
    for narrow in [
        reach(Some(&["latitude"]), None),
        reach(Some(&["latitude"]), Some(&all[..2])),
    ] {
        let query = "sort=name&limit=1";
        let whole = ask(&rig, &narrow, "/clusters?sort=name").await.json();
        let first = ask(&rig, &narrow, &format!("/clusters?{query}"))
            .await
            .json();
        rig.refresh(&source("lakesail")).await;
        let mut found = ids(&items(&first));
        let mut page = first.clone();
        while let Some(next) = page["next_cursor"].as_str() {
            let target = format!("/clusters?{query}&cursor={next}");
            page = ask(&rig, &narrow, &target).await.json();
            assert_eq!(page["generation"], first["generation"]);
            found.extend(ids(&items(&page)));
        }
        assert!(found.len() > 1);
        assert_eq!(found, ids(&items(&whole)));
        let now = ask(&rig, &narrow, "/clusters").await.json();
        assert!(now["generation"].as_u64() > first["generation"].as_u64());
    }
}

#[tokio::test]
async fn a_walk_whose_generation_is_gone_has_expired_for_everybody() {
    let rig = mixed().await;
    let narrow = reach(Some(&["latitude"]), None);
    let first = ask(&rig, &narrow, "/clusters?limit=1&sort=name")
        .await
        .json();
    let mut token: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor(&first)).unwrap()).unwrap();
    token["g"] = (token["g"].as_u64().unwrap() - 1_000).into();
    let old = URL_SAFE_NO_PAD.encode(token.to_string());
    let target = format!("/clusters?limit=1&sort=name&cursor={old}");
    assert_eq!(
        ask(&rig, &narrow, &target).await.problem(),
        "CURSOR_EXPIRED"
    );
}

#[tokio::test]
async fn remembered_pages_and_tags_are_not_shared_between_reaches() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let all = all_projects(&clusters);
    let reaches = [
        Reach::ALL,
        reach(Some(&["latitude"]), None),
        reach(Some(&["latitude", "lakesail"]), None),
        reach(None, Some(&all)),
        // They see the same clusters, and are different callers all the same.
        reach(Some(&["latitude"]), Some(&all)),
        Reach::NOTHING,
    ];
    for target in [
        "/clusters?limit=1000",
        "/clusters?sort=name",
        "/clusters?format=ndjson",
        "/clusters?format=csv",
        "/summary",
    ] {
        for accept in ["identity", "gzip", "zstd"] {
            let headers = [("accept-encoding", accept)];
            let mut first = Vec::new();
            for reach in &reaches {
                first.push(ask_with(&rig, reach, Method::GET, target, &headers).await);
            }
            for (at, reach) in reaches.iter().enumerate() {
                let again = ask_with(&rig, reach, Method::GET, target, &headers).await;
                assert_eq!(again.body, first[at].body, "{target} for {reach:?}");
                let vary = again.header("vary");
                assert!(vary.contains("authorization"), "{target}: {vary}");
                for (of, other) in first.iter().enumerate() {
                    let tag = other.header("etag");
                    let held = [headers[0], ("if-none-match", tag)];
                    let answer = ask_with(&rig, reach, Method::GET, target, &held).await;
                    let expected = if of == at { 304 } else { 200 };
                    assert_eq!(answer.status, expected, "{target}: {tag} for {reach:?}");
                }
            }
        }
    }
}
