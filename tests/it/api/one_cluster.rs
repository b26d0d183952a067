//! `GET /clusters/{id}`.

use clustergate::sandbox::{Fault, Sandbox};
use serde_json::json;

use super::listing::timeless;
use super::{all, encoded, get, ids, items, quiet, snapshot};
use crate::support::{Plan, Rig};

#[tokio::test]
async fn every_listed_id_leads_to_the_listed_cluster() {
    let rig = quiet().await;
    for cluster in all(&rig).await {
        let id = cluster["id"].as_str().unwrap();
        let own = cluster["links"]["self"].as_str().unwrap();
        for path in [
            format!("/clusters/{id}"),
            own.to_owned(),
            format!("/clusters/{}", encoded(id)),
        ] {
            let answer = get(&rig, &path, &[]).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(answer.json(), cluster, "{path}");
        }
        let source = get(&rig, cluster["links"]["source"].as_str().unwrap(), &[]).await;
        assert_eq!(source.json()["source"], cluster["source"]);
    }
}

#[tokio::test]
async fn ids_with_escapes_are_found_whether_or_not_they_are_encoded_once_more() {
    let hostile = |sandbox: &Sandbox| {
        for vendor in sandbox.vendors() {
            vendor.set_fault(Some(Fault::ForeignNext));
        }
    };
    let rig = Rig::begin(Plan::default(), hostile, |_| {}).await;
    rig.settled().await;
    let list = rig.get("/clusters?limit=1000").await.json();
    let with_escapes: Vec<String> = ids(&items(&list))
        .into_iter()
        .filter(|id| id.contains('%'))
        .collect();
    assert!(
        with_escapes.iter().any(|id| id.contains("%2F")),
        "{with_escapes:?}"
    );
    for id in with_escapes {
        let raw = get(&rig, &format!("/clusters/{id}"), &[]).await;
        assert_eq!(raw.json()["id"], id.as_str());
        let encoded = get(&rig, &format!("/clusters/{}", encoded(&id)), &[]).await;
        assert_eq!(encoded.json(), raw.json());
    }
    assert_eq!(rig.sandbox.canary_hits().requests, 0);
}

#[tokio::test]
async fn one_cluster_of_each_provider() {
    let rig = quiet().await;
    let clusters = all(&rig).await;
    for provider in [
        "latitude",
        "kubeadapt",
        "lakesail",
        "runtime",
        "prime-intellect",
    ] {
        let id = clusters
            .iter()
            .find(|cluster| cluster["provider"] == provider)
            .map(|cluster| cluster["id"].as_str().unwrap())
            .unwrap();
        let answer = get(&rig, &format!("/clusters/{id}?include=raw,nodes"), &[]).await;
        snapshot(
            &format!("cluster_{provider}"),
            &json!({"headers": answer.stable_headers(), "body": timeless(answer.json())}),
        );
    }
}

#[tokio::test]
async fn a_shape_is_kept_and_has_its_own_tag() {
    let rig = quiet().await;
    let id = ids(&all(&rig).await).remove(0);
    let mut tags = std::collections::BTreeSet::new();
    for query in [
        "",
        "?fields=name",
        "?include=raw",
        "?include=nodes",
        "?fields=name,cost",
    ] {
        let target = format!("/clusters/{id}{query}");
        let answer = get(&rig, &target, &[]).await;
        let etag = answer.header("etag").to_owned();
        assert!(tags.insert(etag.clone()), "{query}");
        let held = get(&rig, &target, &[("if-none-match", &etag)]).await;
        assert_eq!(held.status, 304, "{query}");
        assert!(held.body.is_empty());
        assert_eq!(held.header("etag"), etag);
        assert!(answer.header("age").parse::<u64>().unwrap() < 60);
    }
    let few = get(&rig, &format!("/clusters/{id}?fields=name,cost"), &[])
        .await
        .json();
    let names: Vec<&String> = few.as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_not_found() {
    let rig = quiet().await;
    for id in [
        "latitude:nothing",
        "nobody:1",
        "runtime:a%2Fb",
        "kubeadapt%3Anothing",
    ] {
        let answer = get(&rig, &format!("/clusters/{id}"), &[]).await;
        let (status, code, _) = answer.refusal();
        assert_eq!((status, code.as_str()), (404, "CLUSTER_NOT_FOUND"), "{id}");
    }
}

#[tokio::test]
async fn what_cannot_be_an_id_is_refused() {
    let rig = quiet().await;
    let long = format!("latitude:{}", "a".repeat(2_000));
    for id in [
        "x",
        "latitude:",
        ":1",
        "LATITUDE:1",
        "latitude%3A",
        "a%20b:1",
        "%00",
        "%FF:1",
        "..%2F..%2Fetc%2Fpasswd",
        &long,
    ] {
        let answer = get(&rig, &format!("/clusters/{id}"), &[]).await;
        let (status, code, _) = answer.refusal();
        assert_eq!((status, code.as_str()), (400, "INVALID_ID"), "{id}");
    }
    let answer = get(&rig, "/clusters/latitude%zz", &[]).await;
    assert_eq!(
        answer.refusal(),
        (400, "INVALID_PARAMETER".to_owned(), vec!["path".to_owned()])
    );
}
