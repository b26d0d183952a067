//! Every answer against the published document: its status, its type and its shape are described there.

use std::collections::BTreeMap;

use axum::body::Body;
use clustergate::api::openapi;
use clustergate::sandbox::Fault;
use http::Request;
use jsonschema::Validator;
use serde_json::{Value, json};

use super::{ARMOR, Answer, all, get, ids, quiet, send};

/// The published document, ready to judge answers.
pub(crate) struct Contract {
    document: Value,
    shapes: BTreeMap<String, Validator>,
}

impl Contract {
    pub(crate) fn new() -> Self {
        Self {
            document: openapi::document(),
            shapes: BTreeMap::new(),
        }
    }

    /// Holds an answer against what the document says of the operation.
    pub(crate) fn check(&mut self, method: &str, template: &str, target: &str, answer: &Answer) {
        let status = answer.status.as_u16();
        let operation = &self.document["paths"][template][method];
        assert!(
            operation.is_object(),
            "{method} {template} is not described"
        );
        let response = &operation["responses"][status.to_string()];
        assert!(
            response.is_object(),
            "{target}: {status} is not described: {}",
            answer.text()
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        for (name, value) in ARMOR {
            assert_eq!(answer.header(name), value, "{target}: {status}");
        }
        for name in response["headers"].as_object().into_iter().flatten() {
            // Not every page has a next one, and these say something only where there is something to say.
            let may_be_absent = [
                "Link",
                "Retry-After",
                "X-Kubeconfig-Missing",
                "X-Source-Error",
                "Idempotency-Replayed",
            ];
            if !may_be_absent.contains(&name.0.as_str()) {
                assert!(
                    answer.headers.contains_key(name.0),
                    "{target}: {status} without {}",
                    name.0
                );
            }
        }
        let content = response["content"].as_object();
        if answer.body.is_empty() {
            return;
        }
        let content = content.unwrap_or_else(|| panic!("{target}: {status} has a body"));
        let essence = answer.header("content-type");
        let described = content
            .iter()
            .find(|(name, _)| *name == essence || essence.starts_with(&format!("{name};")));
        let (_, described) =
            described.unwrap_or_else(|| panic!("{target}: {essence} is not described"));
        if !essence.ends_with("json") || essence == "application/x-ndjson" {
            return;
        }
        let schema = described["schema"].clone();
        let document = &self.document;
        let shape = self.shapes.entry(schema.to_string()).or_insert_with(|| {
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "allOf": [schema],
                "components": document["components"],
            });
            jsonschema::validator_for(&whole).unwrap()
        });
        let body = answer.json();
        let errors: Vec<String> = shape
            .iter_errors(&body)
            .take(5)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(
            errors.is_empty(),
            "{target}: {status}: {}",
            errors.join("\n")
        );
    }
}

/// Requests for every operation, good and bad, by template.
fn requests(id: &str) -> Vec<(&'static str, String)> {
    let mut requests: Vec<(&'static str, String)> = [
        "/clusters",
        "/clusters?limit=1000&include=raw,nodes",
        "/clusters?limit=3&sort=-cost",
        "/clusters?q=no-such-cluster",
        "/clusters?total=false&limit=5",
        "/clusters?format=ndjson",
        "/clusters?format=csv",
        "/clusters?format=xml",
        "/clusters?cursor=x",
        "/clusters?unknown=1",
        "/clusters?source=kubeadapt",
        "/clusters?require=complete",
    ]
    .map(|target| ("/clusters", target.to_owned()))
    .to_vec();
    for query in ["", "?include=raw,nodes", "?fields=1"] {
        requests.push(("/clusters/{id}", format!("/clusters/{id}{query}")));
    }
    for target in [
        "/clusters/latitude:nothing",
        "/clusters/x",
        "/clusters/kubeadapt:x",
    ] {
        requests.push(("/clusters/{id}", target.to_owned()));
    }
    for below in ["nodes", "health", "metrics", "operations"] {
        for id in [id, "latitude:nothing", "kubeadapt:x", "x"] {
            let template = match below {
                "nodes" => "/clusters/{id}/nodes",
                "health" => "/clusters/{id}/health",
                "metrics" => "/clusters/{id}/metrics",
                _ => "/clusters/{id}/operations",
            };
            requests.push((template, format!("/clusters/{id}/{below}")));
        }
    }
    for query in [
        "",
        "?limit=2",
        "?limit=1000&noise=true&kind=added,updated",
        "?format=ndjson",
        "?format=csv",
        "?since=1",
        "?since=x",
        "?cursor=x",
        "?min_generation=x",
    ] {
        requests.push(("/changes", format!("/changes{query}")));
    }
    for query in [
        "",
        "?since=1",
        "?since=2026-01-01T00:00:00Z&noise",
        "?kind=x",
    ] {
        requests.push(("/events", format!("/events{query}")));
    }
    for id in [id, "latitude:nothing", "kubeadapt:x", "x"] {
        let target = format!("/clusters/{id}/history");
        requests.push(("/clusters/{id}/history", format!("{target}?limit=1")));
        requests.push(("/clusters/{id}/history", target));
    }
    for target in ["/operations", "/operations?state=x", "/operations?limit=1"] {
        requests.push(("/operations", target.to_owned()));
    }
    for target in ["/operations/latitude:1", "/operations/x"] {
        requests.push(("/operations/{id}", target.to_owned()));
    }
    for below in ["kubeconfig", "kubeconfig?embed=1", "credential"] {
        let template = match below {
            "credential" => "/clusters/{id}/credential",
            _ => "/clusters/{id}/kubeconfig",
        };
        requests.push((template, format!("/clusters/{id}/{below}")));
    }
    for target in [
        "/kubeconfig",
        "/kubeconfig?gateway=gate",
        "/kubeconfig?source=kubeadapt",
        "/kubeconfig?require=complete",
    ] {
        requests.push(("/kubeconfig", target.to_owned()));
    }
    for target in [
        "/summary",
        "/summary?state=running",
        "/summary?state=x",
        "/summary?source=kubeadapt",
    ] {
        requests.push(("/summary", target.to_owned()));
    }
    for target in ["/sources/latitude", "/sources/kubeadapt", "/sources/nobody"] {
        requests.push(("/sources/{name}", target.to_owned()));
    }
    for target in ["/providers/runtime", "/providers/nobody"] {
        requests.push(("/providers/{name}", target.to_owned()));
    }
    for target in ["/audit", "/audit?since=x"] {
        requests.push(("/audit", target.to_owned()));
    }
    for target in ["/problems/internal", "/problems/nothing"] {
        requests.push(("/problems/{code}", target.to_owned()));
    }
    for path in [
        "/",
        "/sources",
        "/providers",
        "/openapi.json",
        "/openapi-3.0.json",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        requests.push((path, path.to_owned()));
        requests.push((path, format!("{path}?unknown=1")));
        requests.push((path, format!("{path}?{}", "a".repeat(9_000))));
    }
    requests.push(("/readyz", "/readyz?verbose".to_owned()));
    requests
}

#[tokio::test]
async fn every_answer_is_as_described() {
    let mut contract = Contract::new();
    let rig = quiet().await;
    let id = ids(&all(&rig).await).remove(30);
    for (template, target) in requests(&id) {
        let answer = get(&rig, &target, &[]).await;
        contract.check("get", template, &target, &answer);
        if answer.status == 200 && answer.headers.contains_key("etag") {
            let held = get(&rig, &target, &[("if-none-match", answer.header("etag"))]).await;
            assert_eq!(held.status, 304, "{target}");
            contract.check("get", template, &target, &held);
        }
    }
    for path in ["/clusters", "/changes", "/events"] {
        let unacceptable = get(&rig, path, &[("accept", "text/html")]).await;
        assert_eq!(unacceptable.status, 406);
        contract.check("get", path, "HTML", &unacceptable);
    }
    for source in ["runtime", "nobody"] {
        let target = format!("/sources/{source}/refresh");
        let request = Request::post(&target).body(Body::empty()).unwrap();
        let answer = send(&rig.gateway.router, request).await;
        contract.check("post", "/sources/{name}/refresh", &target, &answer);
    }
}

#[tokio::test]
async fn every_answer_about_what_fails_is_as_described() {
    let mut contract = Contract::new();
    let faulty = |sandbox: &clustergate::sandbox::Sandbox| {
        sandbox
            .vendor("kubeadapt".parse().unwrap())
            .set_fault(Some(Fault::Http401));
    };
    let rig = crate::support::Rig::begin(crate::support::Plan::default(), faulty, |_| {}).await;
    rig.settled().await;
    rig.vendor("lakesail").set_fault(Some(Fault::Http403));
    rig.vendor("runtime").set_fault(Some(Fault::SuddenlyEmpty));
    rig.refresh("lakesail").await;
    rig.refresh("runtime").await;
    let id = ids(&all(&rig).await).remove(0);
    for (template, target) in requests(&id) {
        let answer = get(&rig, &target, &[]).await;
        contract.check("get", template, &target, &answer);
    }
}
