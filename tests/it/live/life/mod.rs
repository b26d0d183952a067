//! The life of clusters through the gateway, at simulated vendors whose work moves by steps alone: from the request that makes
//! one to the one that forgets it, and what is answered where an answer of the vendor is lost.

mod lakesail;
mod latitude;
mod lost;

use std::sync::Mutex;

use axum::body::Body;
use clustergate::sandbox::{Aim, Fault, Sandbox, Simulated, Vendor};
use http::Request;
use http::request::Builder;
use serde_json::{Value, json};

use super::template;
use crate::api::contract::Contract;
use crate::api::{Answer, items, send};
use crate::support::{Plan, Rig};

/// Lists that clusters come from.
const LISTS: &[&str] = &["infra-list", "me-list"];

/// A gateway over one simulated vendor. Nothing goes on that no request has begun.
struct World {
    rig: Rig,
    source: &'static str,
    contract: Mutex<Contract>,
}

impl World {
    async fn start(source: &'static str) -> Self {
        Self::prepared(source, |_| {}).await
    }

    /// Lets a test prepare the vendor before the gateway reads it.
    async fn prepared(source: &'static str, prepare: impl FnOnce(&Simulated)) -> Self {
        let plan = Plan {
            quirks: false,
            details: false,
            ..Plan::default()
        };
        let vendor: Vendor = source.parse().unwrap();
        let begin = |sandbox: &Sandbox| {
            sandbox.vendor(vendor).set_pace(None);
            prepare(sandbox.vendor(vendor));
        };
        let rig = Rig::begin(plan, begin, |configs| {
            configs.retain(|config| config.name.as_str() == source);
        })
        .await;
        rig.settled().await;
        rig.vendor(source).reset_stats();
        Self {
            rig,
            source,
            contract: Mutex::new(Contract::new()),
        }
    }

    fn vendor(&self) -> &Simulated {
        self.rig.vendor(self.source)
    }

    /// Calls that change something, as the vendor has counted them.
    fn writes(&self) -> u64 {
        self.vendor().stats().write_calls
    }

    /// Lets a fault strike the calls of some kinds.
    fn break_calls(&self, kinds: &[&str], fault: Fault, late: bool) {
        self.vendor().set_fault_aim(Aim {
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            late,
            ..Aim::default()
        });
        self.vendor().set_fault(Some(fault));
    }

    /// A body that makes a cluster of this name.
    fn new_cluster(&self, name: &str) -> Value {
        let mut body = self.vendor().example(name).unwrap().spec;
        body["source"] = self.source.into();
        body
    }

    /// Asks, and holds the answer against the published document.
    async fn send(&self, request: Request<Body>) -> Answer {
        let method = request.method().as_str().to_lowercase();
        let target = request.uri().to_string();
        let answer = send(&self.rig.gateway.router, request).await;
        let template = template(&target).unwrap();
        let contract = &mut self.contract.lock().unwrap();
        contract.check(&method, &template, &target, &answer);
        answer
    }

    async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(target).body(Body::empty()).unwrap())
            .await
    }

    /// Sends JSON, or nothing for null.
    async fn with(&self, request: Builder, body: &Value) -> Answer {
        let request = if body.is_null() {
            request.body(Body::empty())
        } else {
            let request = request.header("content-type", "application/json");
            request.body(body.to_string().into())
        };
        self.send(request.unwrap()).await
    }

    /// Sends a write that is carried out, and waits for the refresh that it asks for: afterwards nothing goes on any more.
    async fn write(&self, request: Builder, body: &Value) -> Answer {
        let before = self.rig.attempts(self.source);
        let answer = self.with(request, body).await;
        assert!(answer.status.is_success(), "{}", answer.text());
        self.rig.attempted_after(self.source, before).await;
        answer
    }

    /// Reads an operation that has ended, and waits for the refresh that its end asks for.
    async fn ended(&self, operation: &str) -> Value {
        let before = self.rig.attempts(self.source);
        let request = Request::get(operation).header("cache-control", "no-cache");
        let answer = self.with(request, &Value::Null).await;
        let body = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &body["done"]),
            (200, &json!(true)),
            "{body}"
        );
        assert_eq!(answer.header("retry-after"), "");
        assert!(body["completed_at"].is_string(), "{body}");
        self.rig.attempted_after(self.source, before).await;
        body
    }

    /// The cluster of a name as the list shows it; `None` when it shows none.
    async fn listed(&self, name: &str) -> Option<Value> {
        let list = self.get("/clusters?limit=1000").await.json();
        let mut of_name = items(&list).into_iter().filter(|item| item["name"] == name);
        let found = of_name.next();
        assert!(of_name.next().is_none(), "{name} is listed twice");
        found
    }

    /// The state of the cluster of a name as the list shows it.
    async fn state(&self, name: &str) -> String {
        let Some(item) = self.listed(name).await else {
            return "none".to_owned();
        };
        item["status"]["state"].as_str().unwrap().to_owned()
    }
}
