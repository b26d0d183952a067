//! The same clusters in other codings and other formats.

use std::io::Read as _;

use serde_json::Value;

use super::cursors::walk;
use super::{get, items, quiet, snapshot};

#[tokio::test]
async fn compressed_pages_are_the_plain_page_under_other_tags() {
    let rig = quiet().await;
    for target in [
        "/clusters",
        "/clusters?limit=20&sort=-cost&include=raw,nodes",
        "/summary",
    ] {
        let plain = get(&rig, target, &[("accept-encoding", "identity")]).await;
        assert_eq!(plain.header("content-encoding"), "");
        let gzip = get(&rig, target, &[("accept-encoding", "gzip")]).await;
        assert_eq!(gzip.header("content-encoding"), "gzip");
        let mut body = Vec::new();
        flate2::read::GzDecoder::new(gzip.body.as_ref())
            .read_to_end(&mut body)
            .unwrap();
        assert_eq!(body, plain.body);
        let zstd = get(&rig, target, &[("accept-encoding", "zstd, gzip")]).await;
        assert_eq!(zstd.header("content-encoding"), "zstd");
        assert_eq!(
            zstd::stream::decode_all(zstd.body.as_ref()).unwrap(),
            plain.body
        );
        let tags = [
            plain.header("etag"),
            gzip.header("etag"),
            zstd.header("etag"),
        ];
        assert!(
            tags[0] != tags[1] && tags[1] != tags[2] && tags[0] != tags[2],
            "{tags:?}"
        );
        assert!(plain.header("vary").contains("accept-encoding"));
        let held = get(
            &rig,
            target,
            &[("accept-encoding", "gzip"), ("if-none-match", tags[1])],
        )
        .await;
        assert_eq!(held.status, 304);
        assert_eq!(held.header("content-encoding"), "");
    }
}

#[tokio::test]
async fn a_small_page_is_not_compressed() {
    let rig = quiet().await;
    let target = "/clusters?q=no-such-cluster&source=latitude";
    let answer = get(&rig, target, &[("accept-encoding", "gzip")]).await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(items(&answer.json()).len(), 0);
}

#[tokio::test]
async fn ndjson_is_the_walked_list_line_by_line() {
    let rig = quiet().await;
    for query in [
        "sort=id",
        "sort=-cost&state=running",
        "sort=name&include=raw,nodes",
        "source=lakesail,latitude",
    ] {
        let walked = walk(&rig, query, 9).await;
        for (target, accept) in [
            (format!("/clusters?{query}"), "application/x-ndjson"),
            (format!("/clusters?{query}&format=ndjson"), "*/*"),
        ] {
            let answer = get(&rig, &target, &[("accept", accept)]).await;
            assert_eq!(answer.status, 200, "{target}");
            assert_eq!(answer.header("content-type"), "application/x-ndjson");
            assert_eq!(answer.header("x-inventory-complete"), "true");
            let lines: Vec<Value> = answer
                .text()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            assert_eq!(lines, walked, "{target}");
        }
    }
    let limited = get(&rig, "/clusters?format=ndjson&limit=7", &[]).await;
    assert_eq!(limited.text().lines().count(), 7);
}

#[tokio::test]
async fn csv_has_one_line_for_each_cluster() {
    let rig = quiet().await;
    let walked = walk(&rig, "sort=-cost", 9).await;
    let answer = get(&rig, "/clusters?sort=-cost", &[("accept", "text/csv")]).await;
    assert_eq!(
        answer.header("content-type"),
        "text/csv; charset=utf-8; header=present"
    );
    assert!(
        answer
            .header("content-disposition")
            .contains("clusters.csv")
    );
    let mut reader = csv::Reader::from_reader(answer.body.as_ref());
    let head = reader.headers().unwrap().clone();
    snapshot("csv_columns", &head.iter().collect());
    let lines: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(lines.len(), walked.len());
    for (line, cluster) in lines.iter().zip(&walked) {
        for (column, pointer) in [
            ("id", "/id"),
            ("source", "/source"),
            ("provider", "/provider"),
            ("vantage", "/vantage"),
            ("state", "/status/state"),
            ("cloud", "/location/cloud"),
            ("version", "/orchestrator/version"),
            ("nodes_total", "/nodes/total"),
            ("memory_bytes", "/capacity/memory_bytes"),
            ("cost_hourly", "/cost/hourly/amount"),
            ("created_at", "/created_at"),
            ("fetched_at", "/fetched_at"),
            ("stale", "/stale"),
        ] {
            let place = head.iter().position(|name| name == column).unwrap();
            let expected = match cluster.pointer(pointer) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            assert_eq!(&line[place], expected, "{column} of {}", cluster["id"]);
        }
    }
}

#[tokio::test]
async fn a_caller_that_has_the_whole_list_is_told_so() {
    let rig = quiet().await;
    let mut tags = std::collections::BTreeSet::new();
    for query in [
        "format=csv",
        "format=ndjson",
        "format=ndjson&sort=name",
        "format=ndjson&include=raw",
        "format=ndjson&limit=3",
    ] {
        let target = format!("/clusters?{query}");
        let first = get(&rig, &target, &[]).await;
        let etag = first.header("etag").to_owned();
        assert!(tags.insert(etag.clone()), "{query}");
        assert!(first.header("age").parse::<u64>().unwrap() < 60);
        let held = get(&rig, &target, &[("if-none-match", &etag)]).await;
        assert_eq!((held.status.as_u16(), held.body.len()), (304, 0), "{query}");
        assert_eq!(held.header("etag"), etag);
    }
}

#[tokio::test]
async fn the_most_wanted_type_is_sent() {
    let rig = quiet().await;
    for (accept, expected) in [
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        (
            "text/html, application/json;q=0.9, */*;q=0.1",
            "application/json",
        ),
        (
            "text/csv;q=0.5, application/x-ndjson",
            "application/x-ndjson",
        ),
        ("application/ndjson", "application/x-ndjson"),
        ("APPLICATION/JSON", "application/json"),
        (
            "text/csv;q=0.2, application/json;q=0.1",
            "text/csv; charset=utf-8; header=present",
        ),
        ("text/csv;q=0, */*", "application/json"),
    ] {
        let answer = get(&rig, "/clusters?limit=2", &[("accept", accept)]).await;
        assert_eq!(answer.header("content-type"), expected, "{accept}");
    }
    for accept in ["text/html", "image/*", "application/json;q=0", "nonsense"] {
        let answer = get(&rig, "/clusters", &[("accept", accept)]).await;
        let (status, code, _) = answer.refusal();
        assert_eq!((status, code.as_str()), (406, "NOT_ACCEPTABLE"), "{accept}");
    }
}

#[tokio::test]
async fn what_belongs_to_pages_is_refused_for_whole_lists() {
    let rig = quiet().await;
    let first = rig.get("/clusters?limit=2").await.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    for (target, named) in [
        (format!("/clusters?format=csv&cursor={cursor}"), "cursor"),
        ("/clusters?format=ndjson&fields=name".to_owned(), "fields"),
    ] {
        assert_eq!(
            get(&rig, &target, &[]).await.refusal(),
            (400, "INVALID_PARAMETER".to_owned(), vec![named.to_owned()])
        );
    }
}
