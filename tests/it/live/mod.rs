//! What reaches a vendor now: reads below one cluster, writes and operations, over a small vendor in the test's own hands.

mod hung_up;
mod idempotency;
mod life;
mod operations;
mod reads;
mod simulated;
mod toy;
mod writes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use clustergate::app::Gateway;
use clustergate::inventory::{Schedule, Source};
use clustergate::provider::{Limits, Provider};
use clustergate::upstream::{Credential, Dialect, Scheme, Stack, StackSettings, TokenSource};
use http::Request;
use http::request::Builder;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::api::contract::Contract;
use crate::api::{Answer, send};
use crate::support::PATIENCE;
use toy::Toy;

/// A gateway over one toy vendor, called `toy`.
pub(crate) struct Rig {
    pub(crate) toy: Arc<Toy>,
    pub(crate) gateway: Gateway,
    contract: Mutex<Contract>,
}

impl Rig {
    /// Starts a gateway and waits until it has read the vendor's list.
    pub(crate) async fn start(toy: Toy) -> Self {
        let toy = Arc::new(toy);
        let source = source_over(Arc::clone(&toy) as Arc<dyn Provider>);
        let gateway = Gateway::over(vec![source], &Handle::current());
        let rig = Self {
            toy,
            gateway,
            contract: Mutex::new(Contract::new()),
        };
        rig.until(|rig| rig.toy.lists() == 1).await;
        rig
    }

    /// Waits until a listing that the vendor answered is published, and something is so.
    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let mut changes = self.gateway.inventory.subscribe();
        let wait = async {
            loop {
                let snapshot = self.gateway.inventory.current();
                let report = snapshot.source("toy").unwrap();
                if report.fetched_at.is_some() && is_so(self) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, wait).await.unwrap();
    }

    /// Asks, and holds the answer against the published document.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let method = request.method().as_str().to_lowercase();
        let target = request.uri().to_string();
        let answer = send(&self.gateway.router, request).await;
        if let Some(template) = template(&target) {
            let contract = &mut self.contract.lock().unwrap();
            contract.check(&method, &template, &target, &answer);
        }
        answer
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(target).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn get_fresh(&self, target: &str) -> Answer {
        let request = Request::get(target).header("cache-control", "no-cache");
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Sends JSON.
    pub(crate) async fn with(&self, request: Builder, body: &Value) -> Answer {
        let request = request.header("content-type", "application/json");
        self.send(request.body(body.to_string().into()).unwrap())
            .await
    }

    /// The state of a cluster as the inventory shows it.
    pub(crate) async fn state(&self, native_id: &str) -> String {
        let answer = self.get(&format!("/clusters/toy:{native_id}")).await;
        match answer.status.as_u16() {
            200 => answer.json()["status"]["state"]
                .as_str()
                .unwrap()
                .to_owned(),
            404 => "none".to_owned(),
            other => panic!("{other}: {}", answer.text()),
        }
    }
}

/// A source called `toy` that is read once.
fn source_over(provider: Arc<dyn Provider>) -> Source {
    Source {
        name: toy::source(),
        provider,
        stack: stack(),
        schedule: Schedule {
            refresh_interval: Duration::from_hours(1),
            refresh_deadline: Duration::from_mins(1),
            staleness_limit: Duration::from_hours(10),
            detail_interval: None,
            limits: Limits::default(),
            rate: None,
        },
    }
}

/// The path of an operation as the document has it.
fn template(target: &str) -> Option<String> {
    let path = target.split('?').next().unwrap();
    let mut segments: Vec<&str> = path.split('/').skip(1).collect();
    if let Some(second) = segments.get_mut(1) {
        *second = if path.starts_with("/sources/") {
            "{name}"
        } else {
            "{id}"
        };
    }
    let template = format!("/{}", segments.join("/"));
    let is_described = !template.ends_with("/nothing");
    is_described.then_some(template)
}

pub(crate) fn post(target: &str, key: &str) -> Builder {
    Request::post(target).header("idempotency-key", key)
}

/// A stack through which nothing goes.
fn stack() -> Stack {
    let settings = StackSettings::new("http://127.0.0.1:9".parse().unwrap());
    let credential = Credential {
        token: Arc::new(TokenSource::Value("unused".into())),
        scheme: Scheme::Bearer,
    };
    Stack::connect(settings, credential, Dialect::PLAIN).unwrap()
}
