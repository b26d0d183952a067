//! What a caller may not see cannot be told from what does not exist: the answers are the same, byte for byte.

use std::collections::BTreeMap;

use clustergate::domain::Reach;
use http::Method;
use serde_json::Value;

use super::super::Answer;
use super::{
    NOBODYS, OURS, all_projects, ask_with, everything, mixed, projects, reach, sees, source,
};
use crate::support::Rig;

/// Everything that a caller gets, with one text in place of another.
fn whole(answer: &Answer, from: &str, to: &str) -> (u16, BTreeMap<String, String>, String) {
    let headers = answer
        .headers
        .iter()
        // A tag stands for the query too, and so for the name in it.
        .filter(|(name, _)| *name != "etag")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().replace(from, to)));
    let (loud, too) = (from.to_uppercase(), to.to_uppercase());
    let body = answer.text().replace(from, to).replace(&loud, &too);
    (answer.status.as_u16(), headers.collect(), body)
}

/// Asks for something foreign and for its twin that does not exist.
async fn same(
    rig: &Rig,
    reach: &Reach,
    method: &Method,
    target: &str,
    (foreign, missing): (&str, &str),
    headers: &[(&str, &str)],
) -> Answer {
    assert_eq!(foreign.len(), missing.len());
    let with = |name: &str| {
        let target = target.replace("{X}", &name.to_uppercase());
        target.replace("{x}", name)
    };
    let hidden = ask_with(rig, reach, method.clone(), &with(foreign), headers).await;
    let absent = ask_with(rig, reach, method.clone(), &with(missing), headers).await;
    assert_eq!(
        whole(&hidden, foreign, missing),
        whole(&absent, foreign, missing),
        "{method} {target} of {foreign} for {reach:?}"
    );
    hidden
}

/// An id that no cluster has, in the same letters but one.
fn missing(id: &str, clusters: &[Value]) -> String {
    let start = &id[..id.len() - 1];
    let candidates = ('a'..='z').map(|letter| format!("{start}{letter}"));
    let is_free = |id: &String| clusters.iter().all(|cluster| cluster["id"] != id.as_str());
    candidates.into_iter().find(is_free).unwrap()
}

#[tokio::test]
async fn a_foreign_cluster_is_as_missing_as_one_that_never_was() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let all = all_projects(&clusters);
    for reach in [
        reach(Some(&["lakesail", "kubeadapt"]), None),
        reach(Some(&["latitude"]), Some(&all[..1])),
        reach(None, Some(&all[..1])),
        Reach::NOTHING,
    ] {
        let foreign: Vec<&Value> = clusters
            .iter()
            .filter(|cluster| !sees(&reach, cluster))
            .collect();
        assert!(foreign.len() > 10);
        for cluster in foreign.into_iter().step_by(5) {
            let id = cluster["id"].as_str().unwrap();
            let absent = missing(id, &clusters);
            let target = format!("/clusters/{id}");
            let seen = ask_with(&rig, &Reach::ALL, Method::GET, &target, &[]).await;
            assert_eq!(seen.status, 200);
            let tag = seen.header("etag");
            for (target, status) in [
                ("/clusters/{x}", 404),
                ("/clusters/{x}?include=raw,nodes", 404),
                ("/clusters/{x}?fields=nothing", 400),
                ("/clusters/{x}?unknown=1", 400),
            ] {
                for headers in [
                    vec![],
                    vec![("if-none-match", tag)],
                    vec![("if-none-match", "*")],
                ] {
                    let pair = (id, absent.as_str());
                    let answer = same(&rig, &reach, &Method::GET, target, pair, &headers).await;
                    assert_eq!(answer.status, status, "{target} of {id}");
                }
            }
            same(
                &rig,
                &reach,
                &Method::HEAD,
                "/clusters/{x}",
                (id, &absent),
                &[],
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_cluster_that_is_seen_is_the_same_for_everybody() {
    let rig = mixed().await;
    let clusters = everything(&rig).await;
    let own = clusters
        .iter()
        .find(|cluster| !projects(cluster).is_empty())
        .unwrap();
    let target = format!("/clusters/{}", own["id"].as_str().unwrap());
    let wide = ask_with(&rig, &Reach::ALL, Method::GET, &target, &[]).await;
    for project in projects(own) {
        let reach = reach(Some(&["latitude"]), Some(&[project]));
        let narrow = ask_with(&rig, &reach, Method::GET, &target, &[]).await;
        assert_eq!(narrow.status, 200);
        assert_eq!(narrow.body, wide.body);
        let loud = super::reach(None, Some(&[&project.to_uppercase()]));
        if project.to_uppercase() != project {
            let other = ask_with(&rig, &loud, Method::GET, &target, &[]).await;
            assert_eq!(
                other.status, 404,
                "letters of another case name another project"
            );
        }
    }
}

#[tokio::test]
async fn a_foreign_source_is_as_missing_as_one_that_never_was() {
    let rig = mixed().await;
    let own = source("lakesail");
    let reach = reach(Some(&["lakesail"]), None);
    // One is fresh, one fails, one is suspect, and one was never read.
    for vendor in ["latitude", "kubeadapt", "prime-intellect", "runtime"] {
        let foreign = source(vendor);
        let absent = foreign.replace(OURS, NOBODYS);
        for (target, status) in [
            ("/clusters?source={x}".to_owned(), 400),
            ("/clusters?source=!{x}".to_owned(), 400),
            ("/clusters?source={X}".to_owned(), 400),
            (format!("/clusters?source={own},{{x}}&sort=name"), 400),
            ("/clusters?source={x}&require=complete".to_owned(), 400),
            ("/clusters?source={x}&format=csv".to_owned(), 400),
            ("/summary?source={x}".to_owned(), 400),
            ("/clusters/{x}:some-id".to_owned(), 404),
            ("/clusters/{x}%3Asome-id".to_owned(), 404),
            ("/sources/{x}".to_owned(), 404),
            ("/sources/{x}?unknown=1".to_owned(), 400),
            ("/clusters?q={x}".to_owned(), 200),
        ] {
            let pair = (foreign.as_str(), absent.as_str());
            let answer = same(&rig, &reach, &Method::GET, &target, pair, &[]);
            let answer = answer.await;
            assert_eq!(answer.status, status, "{target}: {}", answer.text());
            if status == 400 && target.contains("source={") {
                let allowed = &answer.json()["errors"][0]["allowed"];
                assert_eq!(*allowed, serde_json::json!([own]), "{target}");
            }
        }
        let pair = (foreign.as_str(), absent.as_str());
        let target = "/sources/{x}/refresh";
        let answer = same(&rig, &reach, &Method::POST, target, pair, &[]).await;
        assert_eq!(answer.problem(), "SOURCE_NOT_FOUND");
    }
    let target = format!("/sources/{own}/refresh");
    let answer = ask_with(&rig, &reach, Method::POST, &target, &[]).await;
    assert_eq!(answer.status, 202);
}

#[tokio::test]
async fn what_fails_elsewhere_does_not_make_an_answer_incomplete() {
    let rig = mixed().await;
    let complete = reach(Some(&["latitude", "lakesail"]), None);
    for target in ["/clusters", "/summary", "/clusters?require=complete"] {
        let answer = ask_with(&rig, &complete, Method::GET, target, &[]).await;
        let body = answer.json();
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(body["complete"], true, "{target}");
        assert_eq!(body["unreachable"], serde_json::json!([]), "{target}");
        assert_eq!(body["sources"].as_array().unwrap().len(), 2, "{target}");
    }
    for target in [
        "/clusters",
        "/clusters?format=ndjson",
        "/clusters?format=csv",
    ] {
        let answer = ask_with(&rig, &complete, Method::GET, target, &[]).await;
        assert_eq!(answer.header("x-inventory-complete"), "true", "{target}");
        let wide = ask_with(&rig, &Reach::ALL, Method::GET, target, &[]).await;
        assert_eq!(wide.header("x-inventory-complete"), "false", "{target}");
    }
    let failing = reach(Some(&["latitude", "kubeadapt"]), None);
    let body = ask_with(&rig, &failing, Method::GET, "/clusters", &[])
        .await
        .json();
    assert_eq!(body["complete"], false);
    assert_eq!(
        body["unreachable"],
        serde_json::json!([source("kubeadapt")])
    );
    let unread = reach(Some(&["runtime"]), None);
    let answer = ask_with(&rig, &unread, Method::GET, "/clusters", &[]).await;
    assert_eq!(answer.problem(), "NOTHING_KNOWN");
    let target = format!("/clusters?source={}", source("runtime"));
    let answer = ask_with(&rig, &unread, Method::GET, &target, &[]).await;
    assert_eq!(answer.problem(), "SOURCE_UNAVAILABLE");
}
