//! The sandbox over real sockets.

mod faults;
mod latitude;
mod trend;
mod vendors;
mod writes;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{Aim, Fault, Options, Quota, Sandbox, Simulated, Truth, Vendor};

/// Long enough to tell silence from an answer.
const WAIT: Duration = Duration::from_millis(150);
/// No answer takes so long, however busy the machine.
const LONG: Duration = Duration::from_secs(10);

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

/// One client for all tests; it keeps no connection, for each test has a runtime of its own.
fn client() -> &'static Client {
    static CLIENT: std::sync::OnceLock<Client> = std::sync::OnceLock::new();
    CLIENT.get_or_init(|| {
        let builder = Client::builder().no_proxy().pool_max_idle_per_host(0);
        builder
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap()
    })
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

#[tokio::test]
async fn a_sandbox_that_was_stopped_answers_nobody() {
    let sandbox = sandbox(3).await;
    let vendor = sandbox.vendor(Vendor::Kubeadapt).clone();
    vendor.set_fault(Some(Fault::Hang));
    let waiting = tokio::spawn(request(&vendor).send());
    while vendor.stats().inflight == 0 {
        tokio::task::yield_now().await;
    }
    sandbox.stop().await;
    assert!(waiting.await.unwrap().is_err());
    assert!(request(&vendor).send().await.is_err());
}
