//! Whatever is asked wrongly gets a specific problem document: never a 500, plain text or silence.

use axum::body::Body;
use http::{Method, Request, Uri};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;

use super::{encoded, get, quiet, send};
use crate::support::Rig;

async fn refused(rig: &Rig, target: &str) -> (u16, String, Vec<String>) {
    let answer = get(rig, target, &[]).await;
    assert!(answer.status.as_u16() >= 400, "{target} was answered");
    answer.refusal()
}

#[tokio::test]
async fn each_bad_value_is_refused_by_name() {
    let rig = quiet().await;
    let long = "a".repeat(129);
    let values: Vec<String> = (0..65).map(|n| format!("v{n}")).collect();
    let too_many = values.join(",");
    for (query, named) in [
        ("provider=nobody", "provider"),
        ("source=nobody", "source"),
        ("state=rnning", "state"),
        ("state=running,rnning", "state"),
        ("state=!rnning", "state"),
        ("orchestrator=docker", "orchestrator"),
        ("vantage=sees", "vantage"),
        ("presence=gone", "presence"),
        ("stale=perhaps", "stale"),
        ("stale=1", "stale"),
        ("state=", "state"),
        ("state", "state"),
        ("cloud=aws,,gcp", "cloud"),
        ("cloud=!", "cloud"),
        ("team=%20", "team"),
        ("q=", "q"),
        ("q=%20%20", "q"),
        ("q=a%00b", "q"),
        ("q=%0A", "q"),
        (&format!("q={long}"), "q"),
        ("q=a&q=b", "q"),
        (&format!("label={too_many}"), "label"),
        ("sort=", "sort"),
        ("sort=price", "sort"),
        ("sort=name,", "sort"),
        ("sort=name,-name", "sort"),
        ("sort=cost,-id", "sort"),
        ("sort=name,cost,cpu,memory,nodes", "sort"),
        ("sort=name&sort=cost", "sort"),
        ("sort=--name", "sort"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=abc", "limit"),
        ("limit=", "limit"),
        ("limit=1.5", "limit"),
        ("limit=1e3", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=1&limit=2", "limit"),
        ("fields=", "fields"),
        ("fields=nme", "fields"),
        ("fields=name,", "fields"),
        ("include=secrets", "include"),
        ("include=", "include"),
        ("total=perhaps", "total"),
        ("total", "total"),
        ("total=false&total=true", "total"),
        ("require=everything", "require"),
        ("require=", "require"),
        ("format=xml", "format"),
        ("format=csv&format=csv", "format"),
        ("cursor=a&cursor=b", "cursor"),
        ("state=%", "state"),
        ("state=%4", "state"),
        ("state=%zz", "state"),
        ("q=%FF", "q"),
        ("q=%C3%28", "q"),
        ("label=%ED%A0%80", "label"),
    ] {
        let target = format!("/clusters?{query}");
        assert_eq!(
            refused(&rig, &target).await,
            (400, "INVALID_PARAMETER".to_owned(), vec![named.to_owned()]),
            "{query}"
        );
    }
}

#[tokio::test]
async fn each_unknown_parameter_is_refused_by_name() {
    let rig = quiet().await;
    for (query, named) in [
        ("statee=running", vec!["statee"]),
        ("State=running", vec!["State"]),
        ("a=1&b=2&a=3&limit=5", vec!["a", "b"]),
        ("=1", vec![""]),
        ("page=2", vec!["page"]),
        ("state%20=running", vec!["state "]),
        ("state[]=running", vec!["state[]"]),
    ] {
        let named: Vec<String> = named.into_iter().map(str::to_owned).collect();
        assert_eq!(
            refused(&rig, &format!("/clusters?{query}")).await,
            (400, "UNKNOWN_PARAMETER".to_owned(), named),
            "{query}"
        );
    }
    let body = get(&rig, "/clusters?statee=running", &[]).await.json();
    let allowed = body["errors"][0]["allowed"].as_array().unwrap();
    assert!(allowed.contains(&"state".into()) && allowed.contains(&"cursor".into()));
    let many: Vec<String> = (0..500).map(|n| format!("p{n}=1")).collect();
    let answer = get(&rig, &format!("/clusters?{}", many.join("&")), &[]).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.problem(), "UNKNOWN_PARAMETER");
    assert!(answer.body.len() < 64 << 10, "{} bytes", answer.body.len());
}

#[tokio::test]
async fn what_is_accepted_is_said() {
    let rig = quiet().await;
    for (query, accepted) in [
        ("state=rnning", "running"),
        ("provider=nobody", "latitude"),
        ("source=nobody", "prime-intellect"),
        ("sort=price", "cost"),
        ("fields=nme", "name"),
        ("include=secrets", "nodes"),
        ("format=xml", "ndjson"),
    ] {
        let body = get(&rig, &format!("/clusters?{query}"), &[]).await.json();
        let allowed = body["errors"][0]["allowed"].as_array().unwrap();
        assert!(allowed.contains(&accepted.into()), "{query}: {body}");
    }
}

#[tokio::test]
async fn every_value_that_is_allowed_many_times_may_come_64_times() {
    let rig = quiet().await;
    let values: Vec<String> = (0..64).map(|n| format!("v{n}")).collect();
    let answer = get(&rig, &format!("/clusters?label={}", values.join(",")), &[]).await;
    assert_eq!(answer.status, 200);
    let pairs: Vec<String> = values.iter().map(|value| format!("team={value}")).collect();
    assert_eq!(
        get(&rig, &format!("/clusters?{}", pairs.join("&")), &[])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn what_is_too_long_is_refused_as_such() {
    let rig = quiet().await;
    for target in [
        format!("/clusters?q={}", "a".repeat(10_000)),
        format!("/clusters/latitude:{}", "a".repeat(10_000)),
        format!("/nothing/{}", "a".repeat(10_000)),
        format!("/metrics?{}", "a".repeat(10_000)),
    ] {
        let (status, code, _) = refused(&rig, &target).await;
        assert_eq!((status, code.as_str()), (414, "URI_TOO_LONG"));
    }
    for path in ["/clusters", "/sources/latitude/refresh", "/nothing"] {
        let method = if path.ends_with("refresh") {
            Method::POST
        } else {
            Method::GET
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-length", "10000000")
            .body(Body::empty())
            .unwrap();
        let (status, code, _) = send(&rig.gateway.router, request).await.refusal();
        assert_eq!(
            (status, code.as_str()),
            (413, "PAYLOAD_TOO_LARGE"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let rig = quiet().await;
    for (path, allowed) in [
        ("/", "GET,HEAD"),
        ("/clusters", "GET,HEAD,POST"),
        ("/clusters/latitude:1", "GET,HEAD,PATCH,DELETE"),
        ("/clusters/latitude:1/nodes", "GET,HEAD"),
        ("/clusters/latitude:1/destroy", "POST"),
        ("/operations", "GET,HEAD"),
        ("/summary", "GET,HEAD"),
        ("/changes", "GET,HEAD"),
        ("/events", "GET,HEAD"),
        ("/clusters/latitude:1/history", "GET,HEAD"),
        ("/sources", "GET,HEAD"),
        ("/sources/latitude", "GET,HEAD"),
        ("/sources/latitude/refresh", "POST"),
        ("/providers/latitude", "GET,HEAD"),
        ("/openapi.json", "GET,HEAD"),
        ("/livez", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
    ] {
        for method in [
            "DELETE", "PUT", "PATCH", "OPTIONS", "PROPFIND", "POST", "GET",
        ] {
            if allowed.split(',').any(|known| known == method) {
                continue;
            }
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .unwrap();
            let answer = send(&rig.gateway.router, request).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.problem(), "METHOD_NOT_ALLOWED", "{method} {path}");
            assert_eq!(answer.header("allow"), allowed, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let rig = quiet().await;
    for path in [
        "/nothing",
        "/clusters/",
        "/clusters/a:b/nodes/x",
        "//clusters",
        "/Clusters",
        "/clusters/../sources",
        "/sources/latitude/refresh/",
        "/problems/nothing",
        "/.env",
        "/%2e%2e/%2e%2e/etc/passwd",
    ] {
        let (status, code, _) = refused(&rig, path).await;
        assert_eq!((status, code.as_str()), (404, "NOT_FOUND"), "{path}");
    }
}

/// A query that may mean anything: known and unknown names, good, bad and broken values.
fn query() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        8 => prop::sample::select(vec![
            "provider", "source", "cloud", "region", "state", "environment", "orchestrator",
            "distribution", "version", "accelerator", "vantage", "presence", "stale", "label",
            "project", "team", "q", "sort", "fields", "include", "limit", "cursor", "total",
            "require", "format",
        ]).prop_map(str::to_owned),
        1 => any::<String>().prop_map(|text| encoded(&text)),
    ];
    let value = prop_oneof![
        4 => prop::sample::select(vec![
            "running", "!running", "latitude", "kubeadapt,runtime", "aws", "true", "false", "name",
            "-cost,name", "raw", "nodes", "id", "json", "ndjson", "csv", "complete", "0", "5",
            "-1", "99999999999999999999", "1.34", "", ",", "!", "!!", "a=b", "%", "%00", "%zz",
        ]).prop_map(str::to_owned),
        2 => any::<String>().prop_map(|text| encoded(&text)),
        1 => "[!-~]{0,40}",
        1 => prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| {
            percent_encoding::percent_encode(&bytes, percent_encoding::NON_ALPHANUMERIC).to_string()
        }),
    ];
    prop::collection::vec((name, value), 0..6).prop_map(|pairs| {
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("&")
    })
}

#[test]
fn no_query_breaks_the_api() {
    let runtime = Runtime::new().unwrap();
    let rig = runtime.block_on(quiet());
    let mut runner = TestRunner::new(Config {
        cases: 1_000,
        failure_persistence: None,
        ..Config::default()
    });
    let path = prop::sample::select(vec![
        "/clusters",
        "/clusters",
        "/clusters",
        "/summary",
        "/changes",
        "/clusters/latitude:1",
        "/clusters/latitude:1/history",
        "/sources",
    ]);
    runner
        .run(&(path, query()), |(path, query)| {
            let target = format!("{path}?{query}");
            if target.parse::<Uri>().is_err() {
                return Ok(());
            }
            let answer = runtime.block_on(get(&rig, &target, &[]));
            let status = answer.status.as_u16();
            // Unknown is only what `require` asks for, and only where rows could not be read.
            prop_assert!(
                status < 500 || (status == 503 && query.contains("require=complete")),
                "{}: {}",
                target,
                answer.text()
            );
            if status >= 400 {
                answer.problem();
            } else {
                prop_assert!(!answer.header("content-type").starts_with("text/plain"));
            }
            Ok(())
        })
        .unwrap();
}
