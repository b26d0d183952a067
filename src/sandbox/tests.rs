//! The sandbox over real sockets.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{Fault, Options, Quota, Sandbox, Simulated, Truth, Vendor};

const WAIT: Duration = Duration::from_millis(150);

async fn sandbox(clusters: usize) -> Sandbox {
    let anchor = Some("2026-10-01T00:00:00Z".parse::<Timestamp>().unwrap());
    Sandbox::start(Options {
        default_clusters: clusters,
        anchor,
        ..Options::default()
    })
    .await
    .unwrap()
}

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap()
}

async fn get(vendor: &Simulated, path: &str) -> (StatusCode, Value) {
    let response = client()
        .get(format!("{}{path}", vendor.base_url()))
        .bearer_auth(vendor.token())
        .send()
        .await
        .unwrap();
    (
        response.status(),
        response.json().await.unwrap_or(Value::Null),
    )
}

async fn post(vendor: &Simulated, path: &str, body: Value) -> (StatusCode, Value) {
    let response = client()
        .post(format!("{}{path}", vendor.base_url()))
        .bearer_auth(vendor.token())
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    (
        response.status(),
        response.json().await.unwrap_or(Value::Null),
    )
}

fn ids(rows: &Value) -> Vec<String> {
    let text = |id: &Value| id.as_str().map_or_else(|| id.to_string(), str::to_owned);
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| text(&row["id"]))
        .collect()
}

fn expected(truth: &[Truth]) -> BTreeSet<String> {
    truth.iter().map(|cluster| cluster.id.clone()).collect()
}

/// Where the first list of each vendor is, and the key of its rows.
fn first_list(vendor: Vendor) -> (&'static str, &'static str) {
    match vendor {
        Vendor::Latitude => ("/projects", "data"),
        Vendor::Kubeadapt => ("/v1/clusters", "data"),
        Vendor::LakeSail => ("/api/v1/infra/clusters", "items"),
        Vendor::JfrogRuntime => ("/runtime/api/v1/clusters", "clusters"),
        Vendor::PrimeIntellect => ("/api/admin/clusters", "data"),
    }
}

fn request(vendor: &Simulated) -> reqwest::RequestBuilder {
    let url = format!("{}{}", vendor.base_url(), first_list(vendor.vendor()).0);
    let client = client();
    let request = if vendor.vendor() == Vendor::JfrogRuntime {
        client.post(url)
    } else {
        client.get(url)
    };
    request.bearer_auth(vendor.token())
}

#[tokio::test]
async fn latitude_is_walked_to_its_end_by_project() {
    let sandbox = sandbox(50).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let mut projects = Vec::new();
    for page in 1.. {
        let (_, body) = get(
            vendor,
            &format!("/projects?page%5Bnumber%5D={page}&page[size]=3"),
        )
        .await;
        let rows = ids(&body["data"]);
        projects.extend(rows.clone());
        if rows.len() < 3 {
            break;
        }
    }
    assert_eq!(projects.len(), 7);
    let mut found = BTreeSet::new();
    for project in &projects {
        let (_, legacy) = get(
            vendor,
            &format!("/kubernetes_clusters?project_id={project}"),
        )
        .await;
        assert!(legacy["data"].as_array().unwrap().len() <= 1);
        assert!(
            legacy["data"][0]["attributes"]
                .get("kubernetes_version")
                .is_none()
        );
        found.extend(ids(&legacy["data"]));
        let (_, lks) = get(vendor, &format!("/lks/clusters?project_id={project}")).await;
        assert_eq!(
            lks["meta"]["total"],
            json!(lks["data"].as_array().unwrap().len())
        );
        found.extend(ids(&lks["data"]));
    }
    assert_eq!(found, expected(&vendor.truth()));
}

#[tokio::test]
async fn latitude_tells_nodes_by_detail_and_by_pool() {
    let sandbox = sandbox(30).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    for cluster in vendor.truth() {
        if cluster.family == "kubernetes" {
            let (_, body) = get(vendor, &format!("/kubernetes_clusters/{}", cluster.id)).await;
            let attributes = &body["data"]["attributes"];
            assert_eq!(
                attributes["nodes"].as_array().unwrap().len() as u64,
                cluster.nodes.unwrap()
            );
            assert_eq!(attributes["project"]["id"], json!(cluster.parent));
            assert_eq!(
                attributes["kubernetes_version"].as_str(),
                cluster.version.as_deref()
            );
        } else {
            let base = format!("/lks/clusters/{}/nodepools", cluster.id);
            let (_, pools) = get(vendor, &base).await;
            let mut nodes = 0;
            for pool in ids(&pools["data"]) {
                nodes += get(vendor, &format!("{base}/{pool}/nodes")).await.1["meta"]["total"]
                    .as_u64()
                    .unwrap();
            }
            assert_eq!(Some(nodes), cluster.nodes);
        }
    }
}

#[tokio::test]
async fn latitude_wants_a_project_takes_a_raw_key_and_may_lack_the_feature() {
    let sandbox = sandbox(9).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    let (status, body) = get(vendor, "/kubernetes_clusters").await;
    assert_eq!(
        (status, &body["errors"][0]["code"]),
        (StatusCode::BAD_REQUEST, &json!("VALIDATION_ERROR"))
    );
    let raw = client()
        .get(format!("{}/projects", vendor.base_url()))
        .header("authorization", vendor.token());
    assert_eq!(raw.send().await.unwrap().status(), StatusCode::OK);
    let project = vendor.truth()[0].parent.clone().unwrap();
    assert!(vendor.set_feature("kubernetes", false));
    assert!(!vendor.set_feature("no-such-feature", false));
    let (status, body) = get(
        vendor,
        &format!("/kubernetes_clusters?project_id={project}"),
    )
    .await;
    assert_eq!(
        (status, &body["errors"][0]["code"]),
        (StatusCode::FORBIDDEN, &json!("FEATURE_NOT_ENABLED"))
    );
}

async fn walk_kubeadapt(vendor: &Simulated, path: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let join = if path.contains('?') { '&' } else { '?' };
        let (status, body) = get(vendor, &format!("{path}{join}cursor={cursor}")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        found.extend(ids(&body["data"]));
        if body["meta"]["pagination"]["has_more"] == json!(false) {
            return found;
        }
        cursor = body["meta"]["pagination"]["next_cursor"]
            .as_str()
            .unwrap()
            .to_owned();
    }
}

#[tokio::test]
async fn kubeadapt_is_walked_to_its_end_in_falling_order_of_cost() {
    let sandbox = sandbox(25).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let found = walk_kubeadapt(vendor, "/v1/clusters?limit=7").await;
    assert_eq!(found.len(), 25);
    assert_eq!(
        found.iter().cloned().collect::<BTreeSet<_>>(),
        expected(&vendor.truth())
    );
    let (_, body) = get(vendor, "/v1/clusters?include_total=true&statuz=x").await;
    assert_eq!(body["meta"]["pagination"]["total_count"], json!(25));
    assert_eq!(body["meta"]["ignored_params"], json!(["statuz"]));
    let nodes: u64 = vendor
        .truth()
        .iter()
        .filter_map(|cluster| cluster.nodes)
        .sum();
    let found = walk_kubeadapt(vendor, "/v1/nodes?limit=20").await;
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len() as u64, nodes);
    assert_eq!(found.len() as u64, nodes);
    let first = &vendor.truth()[0];
    let one = walk_kubeadapt(vendor, &format!("/v1/clusters/{}/nodes?limit=1", first.id)).await;
    assert_eq!(Some(one.len() as u64), first.nodes);
}

#[tokio::test]
async fn kubeadapt_refuses_wrong_limits_cursors_modes_and_words() {
    let sandbox = sandbox(5).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let code = async |path: &str| {
        let (status, body) = get(vendor, path).await;
        (
            status.as_u16(),
            body["error"]["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    assert_eq!(
        code("/v1/clusters?limit=501").await,
        (400, "BAD_REQUEST".to_owned())
    );
    assert_eq!(
        code("/v1/clusters?cursor=broken").await,
        (400, "INVALID_CURSOR".to_owned())
    );
    assert_eq!(
        code("/v1/clusters?cost_mode=fully_loaded").await,
        (422, "INVALID_COST_MODE".to_owned())
    );
    assert_eq!(
        code("/v1/clusters?status=Active").await,
        (422, "VALIDATION_ERROR".to_owned())
    );
    assert_eq!(
        code("/v1/clusters/7").await,
        (400, "INVALID_CLUSTER_ID".to_owned())
    );
    assert_eq!(
        code("/v1/clusters/0f6d2c1e-6a0b-4f57-9a3e-5f1d7c2b8a90").await,
        (404, "CLUSTER_NOT_FOUND".to_owned())
    );
    let (_, body) = get(vendor, "/v1/clusters?limit=2").await;
    let cursor = body["meta"]["pagination"]["next_cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        code(&format!("/v1/clusters?limit=3&cursor={cursor}")).await,
        (410, "CURSOR_EXPIRED".to_owned())
    );
    vendor.set_feature("expire-cursors", true);
    assert_eq!(
        code(&format!("/v1/clusters?limit=2&cursor={cursor}")).await,
        (410, "CURSOR_EXPIRED".to_owned())
    );
}

#[tokio::test]
async fn lakesail_shows_each_cluster_in_the_lists_it_belongs_to() {
    let sandbox = sandbox(40).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    let (mut found, mut marker) = (BTreeSet::new(), String::new());
    let mut only_infra = 0;
    loop {
        let (_, body) = get(
            vendor,
            &format!("/api/v1/infra/clusters?limit=9&marker={marker}"),
        )
        .await;
        let clusters = body["included"]["clusters"].as_array().unwrap();
        only_infra += clusters
            .iter()
            .filter(|cluster| cluster["clusterId"].is_null())
            .count();
        found.extend(ids(&body["items"]));
        match body["marker"].as_str() {
            Some(next) => marker = next.to_owned(),
            None => break,
        }
    }
    let mut own = 0;
    for page in 1.. {
        let (_, body) = get(vendor, &format!("/api/v1/me/clusters?limit=9&page={page}")).await;
        let items = body["items"].as_array().unwrap();
        if items.is_empty() {
            break;
        }
        for item in items {
            match item["externalClusterId"].as_str() {
                Some(external) => assert!(found.contains(external)),
                None => {
                    own += 1;
                    found.insert(item["id"].as_str().unwrap().to_owned());
                }
            }
        }
    }
    assert!(only_infra > 0 && own > 0);
    assert_eq!(found, expected(&vendor.truth()));
}

#[tokio::test]
async fn lakesail_takes_the_right_id_at_each_path_and_may_want_its_header() {
    let sandbox = sandbox(12).await;
    let vendor = sandbox.vendor(Vendor::LakeSail);
    let truth = vendor.truth();
    let infra = truth
        .iter()
        .find(|cluster| cluster.family == "infra")
        .unwrap();
    let connection = infra.parent.clone().unwrap();
    let health = format!(
        "/api/v1/infra/connections/{connection}/clusters/{}/health",
        infra.id
    );
    assert_eq!(
        get(vendor, &health).await.1["totalNodes"],
        json!(infra.nodes)
    );
    assert_eq!(
        get(vendor, &format!("/api/v1/infra/clusters/{}", infra.id))
            .await
            .0,
        StatusCode::OK
    );
    assert_eq!(
        get(vendor, &format!("/api/v1/me/clusters/{}", infra.id))
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(vendor, "/api/v1/me/clusters?limit=101").await.0,
        StatusCode::BAD_REQUEST
    );
    vendor.set_feature("organization-header", true);
    assert_eq!(get(vendor, &health).await.0, StatusCode::UNAUTHORIZED);
    let named = client()
        .get(format!("{}/me/clusters", vendor.api_url()))
        .bearer_auth(vendor.token())
        .header("LakeSail-Organization-Id", vendor.organization().unwrap());
    assert_eq!(named.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn runtime_is_walked_by_key_and_its_detail_path_can_be_either() {
    let sandbox = sandbox(25).await;
    let vendor = sandbox.vendor(Vendor::JfrogRuntime);
    let (mut found, mut key) = (Vec::new(), Value::Null);
    loop {
        let (_, body) = post(
            vendor,
            "/runtime/api/v1/clusters",
            json!({"limit": 10, "next_key": key}),
        )
        .await;
        assert!(body["clusters"][0].get("nodes").is_none());
        found.extend(ids(&body["clusters"]));
        match body["pagination"].get("next_key") {
            Some(next) => key = next.clone(),
            None => break,
        }
    }
    assert_eq!(found.len(), 25);
    assert_eq!(
        found.into_iter().collect::<BTreeSet<_>>(),
        expected(&vendor.truth())
    );
    for limit in [json!("50"), json!(0), json!(101)] {
        let (status, body) =
            post(vendor, "/runtime/api/v1/clusters", json!({"limit": limit})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body["error"].is_string());
    }
    let cluster = &vendor.truth()[0];
    let (_, body) = get(vendor, &format!("/runtime/api/v1/cluster/{}", cluster.id)).await;
    assert_eq!(
        body["cluster"]["nodes"].as_array().unwrap().len() as u64,
        cluster.nodes.unwrap()
    );
    vendor.set_feature("clusters_slash", true);
    assert_eq!(
        get(vendor, &format!("/runtime/api/v1/cluster/{}", cluster.id))
            .await
            .0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        get(vendor, &format!("/runtime/api/v1/clusters/{}/", cluster.id))
            .await
            .0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn prime_is_walked_by_offset_and_only_its_details_are_rich() {
    let sandbox = sandbox(25).await;
    let vendor = sandbox.vendor(Vendor::PrimeIntellect);
    let mut found = BTreeSet::new();
    for offset in [0, 10, 20, 30] {
        let (_, body) = get(
            vendor,
            &format!("/api/admin/clusters?limit=10&offset={offset}"),
        )
        .await;
        assert_eq!(body["total_count"], json!(25));
        assert!(
            body["data"]
                .as_array()
                .unwrap()
                .iter()
                .all(|row| row.get("gpuName").is_none())
        );
        found.extend(ids(&body["data"]));
    }
    assert_eq!(found, expected(&vendor.truth()));
    let (status, body) = get(vendor, "/api/admin/clusters?limit=101").await;
    assert_eq!(
        (status, &body["errors"][0]["param"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("limit"))
    );
    let (_, body) = get(
        vendor,
        &format!("/api/admin/clusters/{}", vendor.truth()[0].id),
    )
    .await;
    assert!(body["data"]["gpuCount"].is_number() && body.to_string().contains("SECRET-CANARY"));
    assert_eq!(
        get(vendor, "/api/admin/clusters/unknown").await,
        (StatusCode::OK, json!({"data": null, "status": "error"}))
    );
    assert_eq!(
        get(vendor, "/api/admin/inventory/clusters").await.0,
        StatusCode::NOT_FOUND
    );
    vendor.set_feature("inventory-prefix", true);
    vendor.set_feature("admin-prefix", false);
    assert_eq!(
        get(vendor, "/api/admin/inventory/clusters").await.0,
        StatusCode::OK
    );
    assert_eq!(
        get(vendor, "/api/admin/clusters").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn nobody_is_let_in_without_the_credential() {
    let sandbox = sandbox(3).await;
    for vendor in sandbox.vendors() {
        let url = format!("{}{}", vendor.base_url(), first_list(vendor.vendor()).0);
        for token in [None, Some("wrong")] {
            let mut request = client().get(&url);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            assert_eq!(
                request.send().await.unwrap().status(),
                StatusCode::UNAUTHORIZED,
                "{vendor:?}"
            );
        }
        assert_eq!(vendor.stats().unauthorized, 2);
        assert_eq!(
            request(vendor).send().await.unwrap().status(),
            StatusCode::OK,
            "{vendor:?}"
        );
    }
    assert!(
        sandbox
            .vendor(Vendor::Kubeadapt)
            .token()
            .starts_with("ka_live_")
    );
}

#[tokio::test]
async fn a_quota_is_refused_in_the_vendors_own_way() {
    let sandbox = sandbox(3).await;
    for vendor in sandbox.vendors() {
        vendor.set_quota(Some(Quota {
            calls: 2,
            per: Duration::from_secs(30),
        }));
        for _ in 0..2 {
            assert_eq!(
                request(vendor).send().await.unwrap().status(),
                StatusCode::OK
            );
        }
        let response = request(vendor).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        let headers = response.headers().clone();
        let body: Value = response.json().await.unwrap();
        match vendor.vendor() {
            Vendor::Latitude => {
                assert!(body["errors"][0]["meta"]["retry_after"].as_u64().unwrap() <= 30)
            }
            Vendor::Kubeadapt => {
                assert_eq!(headers["retry-after"], "60");
                assert_eq!(headers["x-ratelimit-remaining"], "0");
            }
            Vendor::JfrogRuntime => assert!(
                body["reset_at"]
                    .as_str()
                    .unwrap()
                    .parse::<Timestamp>()
                    .is_ok()
            ),
            Vendor::LakeSail | Vendor::PrimeIntellect => {
                assert!(
                    headers["retry-after"]
                        .to_str()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                        <= 30
                );
            }
        }
        assert_eq!(vendor.stats().throttled, 1);
    }
}

/// What a fault does to a client, as far as one list call shows it.
async fn outcome(vendor: &Simulated) -> Result<(StatusCode, Vec<u8>), String> {
    let call = async {
        let response = request(vendor)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let status = response.status();
        let body = response
            .bytes()
            .await
            .map_err(|error| format!("{error:?}"))?;
        Ok((status, body.to_vec()))
    };
    tokio::time::timeout(WAIT, call)
        .await
        .map_err(|_| "silence".to_owned())?
}

#[tokio::test]
async fn connections_hang_break_and_lie() {
    let sandbox = sandbox(12).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    for fault in [
        Fault::Hang,
        Fault::HangBody,
        Fault::SlowBody,
        Fault::SlowHeaders,
        Fault::Slow,
    ] {
        vendor.set_fault(Some(fault));
        assert_eq!(outcome(vendor).await.unwrap_err(), "silence", "{fault}");
    }
    for fault in [
        Fault::Reset,
        Fault::ResetBody,
        Fault::CloseEarly,
        Fault::HeaderFlood,
    ] {
        vendor.set_fault(Some(fault));
        assert_ne!(outcome(vendor).await.unwrap_err(), "silence", "{fault}");
    }
    vendor.set_fault(None);
    assert_eq!(outcome(vendor).await.unwrap().0, StatusCode::OK);
    // Whoever waited in vain is gone, and nothing is kept busy on their behalf.
    let idle = async {
        while vendor.stats().inflight > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), idle)
        .await
        .expect("all requests end with their clients");
}

#[tokio::test]
async fn every_fault_is_felt_or_harmless_at_every_vendor() {
    let sandbox = sandbox(10).await;
    // These send 256 MiB; the next test looks at how they begin.
    let large = [Fault::HugeBody, Fault::HugeString, Fault::GzipBomb];
    let waiting = [
        Fault::Hang,
        Fault::HangBody,
        Fault::SlowBody,
        Fault::SlowHeaders,
        Fault::Slow,
    ];
    for vendor in sandbox.vendors() {
        let key = first_list(vendor.vendor()).1;
        let good: Value = serde_json::from_slice(&outcome(vendor).await.unwrap().1).unwrap();
        for fault in Fault::ALL
            .into_iter()
            .filter(|fault| !large.contains(fault) && !waiting.contains(fault))
        {
            vendor.set_fault(Some(fault));
            let name = format!("{fault} at {vendor:?}");
            let Ok((status, body)) = outcome(vendor).await else {
                continue;
            };
            let parsed = serde_json::from_slice::<Value>(&body);
            match fault {
                Fault::Http400 => assert_eq!(status.as_u16(), 400, "{name}"),
                Fault::Http401 | Fault::ExpiredToken => assert_eq!(status.as_u16(), 401, "{name}"),
                Fault::Http429 => assert_eq!(status.as_u16(), 429, "{name}"),
                Fault::Http502Html => {
                    assert_eq!((status.as_u16(), parsed.is_err()), (502, true), "{name}")
                }
                Fault::Redirect | Fault::RedirectSelf => assert_eq!(status.as_u16(), 302, "{name}"),
                Fault::TruncatedJson
                | Fault::NotJson
                | Fault::DeepNesting
                | Fault::LoneSurrogate
                | Fault::InvalidUtf8 => {
                    assert!(parsed.is_err(), "{name}");
                }
                Fault::NullData => assert!(parsed.unwrap()[key].is_null(), "{name}"),
                Fault::MissingData | Fault::LegacyGeneration | Fault::BareArray => {
                    assert_ne!(parsed.unwrap(), good, "{name}");
                }
                Fault::SuddenlyEmpty => assert_eq!(parsed.unwrap()[key], json!([]), "{name}"),
                Fault::DuplicateRows => {
                    let rows = parsed.unwrap()[key].as_array().unwrap().len();
                    assert_eq!(rows, good[key].as_array().unwrap().len() * 2, "{name}");
                }
                Fault::PartialList => {
                    let rows = parsed.unwrap()[key].as_array().unwrap().len();
                    assert_eq!(
                        rows,
                        good[key].as_array().unwrap().len().div_ceil(2),
                        "{name}"
                    );
                }
                Fault::ForeignNext => {
                    assert!(String::from_utf8_lossy(&body).contains("../"), "{name}")
                }
                Fault::BadRow => assert!(parsed.unwrap()[key][0]["id"].is_object(), "{name}"),
                Fault::WrongTypes => assert!(!parsed.unwrap()[key][0]["id"].is_string(), "{name}"),
                _ => {}
            }
        }
        vendor.set_fault(None);
        assert_eq!(
            outcome(vendor).await.unwrap().0,
            StatusCode::OK,
            "{vendor:?}"
        );
    }
    assert_eq!(sandbox.canary_hits().requests, 0);
}

#[tokio::test]
async fn huge_bodies_begin_at_once_and_end_with_the_client() {
    let sandbox = sandbox(3).await;
    let vendor = sandbox.vendor(Vendor::PrimeIntellect);
    for fault in [Fault::HugeBody, Fault::HugeString] {
        vendor.set_fault(Some(fault));
        let mut response = request(vendor).send().await.unwrap();
        assert!(response.chunk().await.unwrap().is_some());
        drop(response);
    }
    vendor.set_fault(Some(Fault::GzipBomb));
    let response = request(vendor).send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert!(response.bytes().await.unwrap().len() < 1 << 21);
}

#[tokio::test]
async fn the_canary_counts_who_follows_a_redirect() {
    let sandbox = sandbox(3).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    vendor.set_fault(Some(Fault::Redirect));
    let follower = Client::builder().no_proxy().build().unwrap();
    let followed = follower
        .get(format!("{}/v1/clusters", vendor.base_url()))
        .send()
        .await
        .unwrap();
    assert!(followed.url().as_str().starts_with(&sandbox.canary_url()));
    let hits = sandbox.canary_hits();
    assert_eq!((hits.requests, hits.with_authorization), (1, 0));
}

#[tokio::test]
async fn walks_that_never_end_say_so_with_each_page() {
    let sandbox = sandbox(12).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let page = async || get(vendor, "/v1/clusters?limit=5&cursor=anything").await.1;
    vendor.set_fault(Some(Fault::CursorLoop));
    let (first, second) = (page().await, page().await);
    assert_eq!(
        first["meta"]["pagination"]["next_cursor"],
        second["meta"]["pagination"]["next_cursor"]
    );
    vendor.set_fault(Some(Fault::SamePage));
    let (first, second) = (page().await, page().await);
    assert_ne!(
        first["meta"]["pagination"]["next_cursor"],
        second["meta"]["pagination"]["next_cursor"]
    );
    assert_eq!(first["data"], second["data"]);
    vendor.set_fault(Some(Fault::MissingCursor));
    let (_, body) = get(vendor, "/v1/clusters?limit=5").await;
    assert_eq!(body["meta"]["pagination"]["has_more"], json!(true));
    assert_eq!(
        body["meta"]["pagination"]["next_cursor"]
            .as_str()
            .unwrap_or_default(),
        ""
    );
}

#[tokio::test]
async fn a_share_of_requests_fails_and_every_other_one_flickers() {
    let sandbox = sandbox(3).await;
    let vendor = sandbox.vendor(Vendor::PrimeIntellect);
    vendor.set_fault(Some(Fault::Http500));
    vendor.set_fault_probability(0.5);
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(outcome(vendor).await.unwrap().0 == StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert!((8..=32).contains(&failed), "{failed} of 40");
    vendor.set_fault_probability(1.0);
    vendor.set_fault(Some(Fault::Flaky503));
    let statuses = [
        outcome(vendor).await.unwrap().0,
        outcome(vendor).await.unwrap().0,
        outcome(vendor).await.unwrap().0,
    ];
    assert_eq!(statuses.map(|status| status.as_u16()), [503, 200, 503]);
}

#[tokio::test]
async fn clusters_come_go_and_change_while_running() {
    let sandbox = sandbox(6).await;
    for vendor in sandbox.vendors() {
        let before = vendor.truth();
        let added = vendor.add();
        assert!(vendor.truth().iter().any(|cluster| cluster.id == added));
        assert!(vendor.remove(&before[0].id));
        assert!(!vendor.remove(&before[0].id));
        assert_eq!(vendor.truth().len(), 6);
    }
    let vendor = sandbox.vendor(Vendor::Kubeadapt);
    let costs = async || get(vendor, "/v1/clusters").await.1["data"].to_string();
    let before = costs().await;
    assert_eq!(before, costs().await);
    vendor.touch();
    assert_ne!(before, costs().await);
    assert_eq!(vendor.stats().list_calls, 3);
}

#[tokio::test]
async fn one_seed_tells_one_story() {
    let (one, other) = (sandbox(40).await, sandbox(40).await);
    for vendor in Vendor::ALL {
        let (one, other) = (one.vendor(vendor), other.vendor(vendor));
        assert_eq!(one.truth(), other.truth());
        assert_eq!(one.token(), other.token());
        let key = first_list(vendor).1;
        let rows = async |vendor: &Simulated| {
            request(vendor)
                .send()
                .await
                .unwrap()
                .json::<Value>()
                .await
                .unwrap()[key]
                .clone()
        };
        assert_eq!(rows(one).await, rows(other).await);
    }
}

#[tokio::test]
async fn statistics_tell_kinds_injections_and_secrets() {
    let sandbox = sandbox(6).await;
    let vendor = sandbox.vendor(Vendor::Latitude);
    get(vendor, "/kubernetes_clusters/..%2f..%2fadmin").await;
    get(vendor, "/kubernetes_clusters/x%0d%0aEvil:1").await;
    get(vendor, "/lks/clusters/x/kubeconfig").await;
    let stats = vendor.stats();
    assert_eq!(
        (
            stats.requests,
            stats.injected,
            stats.secret_calls,
            stats.detail_calls
        ),
        (3, 2, 1, 2)
    );
    assert_eq!(stats.times.len(), 3);
    assert!(stats.bytes_sent > 0 && stats.max_inflight == 1);
    vendor.reset_stats();
    assert_eq!(vendor.stats().requests, 0);
}

#[tokio::test]
async fn the_control_port_sets_faults_and_says_what_is_wrong() {
    let control = Some("127.0.0.1:0".parse().unwrap());
    let sandbox = Sandbox::start(Options {
        control,
        default_clusters: 3,
        ..Options::default()
    })
    .await
    .unwrap();
    let url = sandbox.control_url().unwrap();
    let put = async |path: &str, body: &str| {
        let response = client()
            .put(format!("{url}{path}"))
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    assert_eq!(
        put("/vendors/runtime/fault", r#"{"fault":"hang"}"#).await.0,
        200
    );
    assert_eq!(
        sandbox.vendor(Vendor::JfrogRuntime).fault(),
        Some(Fault::Hang)
    );
    assert_eq!(
        put("/vendors/runtime/fault", r#"{"fault":"hangs"}"#).await,
        (400, json!({"error": "unknown fault `hangs`"}))
    );
    assert_eq!(put("/vendors/nobody/fault", "{}").await.0, 404);
    assert_eq!(
        put("/vendors/runtime/latency", r#"{"ms":5}"#).await.1["latency_ms"],
        json!(5)
    );
    assert_eq!(
        put("/vendors/runtime/quota", r#"{"calls":5,"per_ms":1000}"#)
            .await
            .1["quota"]["calls"],
        json!(5)
    );
    client()
        .post(format!("{url}/vendors/runtime/add"))
        .send()
        .await
        .unwrap();
    client()
        .delete(format!("{url}/vendors/runtime/fault"))
        .send()
        .await
        .unwrap();
    let all: Value = client()
        .get(format!("{url}/vendors"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let runtime = all
        .as_array()
        .unwrap()
        .iter()
        .find(|vendor| vendor["vendor"] == json!("runtime"))
        .unwrap();
    assert_eq!(
        (&runtime["clusters"], &runtime["fault"]),
        (&json!(4), &Value::Null)
    );
    sandbox.stop().await;
}

#[tokio::test]
async fn a_large_fleet_answers_its_last_page_like_its_first() {
    let clusters = [(Vendor::PrimeIntellect, 20_000)].into();
    let sandbox = Sandbox::start(Options {
        clusters,
        default_clusters: 0,
        ..Options::default()
    })
    .await
    .unwrap();
    let vendor = sandbox.vendor(Vendor::PrimeIntellect);
    let (_, body) = get(vendor, "/api/admin/clusters?limit=100&offset=19990").await;
    assert_eq!(body["data"].as_array().unwrap().len(), 10);
    assert!(sandbox.vendor(Vendor::Latitude).truth().is_empty());
}
