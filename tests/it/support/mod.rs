//! A gateway over simulated vendors, asked in process; and single providers over scripted ones.

pub(crate) mod process;
pub(crate) mod scripted;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use clustergate::api;
use clustergate::app::{Gateway, Memory, demo_sources, sources};
use clustergate::config::SourceConfig;
use clustergate::inventory::{Snapshot, Source, SourceReport};
use clustergate::sandbox::{Options, Sandbox, Simulated, Vendor};
use clustergate::store;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tower::ServiceExt as _;

/// Longest time for anything that a test waits for; reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A gateway over simulated vendors.
pub(crate) struct Rig {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) gateway: Gateway,
}

/// How a rig is made.
pub(crate) struct Plan {
    /// Clusters at each vendor.
    pub(crate) clusters: usize,
    /// From the start of one refresh to the start of the next.
    pub(crate) refresh_interval: Duration,
    /// Time for one attempt of one call.
    pub(crate) attempt_timeout: Duration,
    /// Whether unknown words, nulls and the like are sprinkled in.
    pub(crate) quirks: bool,
    /// Whether details are read as well.
    pub(crate) details: bool,
    /// The moment that the fleet's times are reckoned from.
    pub(crate) anchor: Option<Timestamp>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            clusters: 20,
            refresh_interval: Duration::from_hours(1),
            attempt_timeout: Duration::from_secs(2),
            quirks: true,
            details: true,
            anchor: None,
        }
    }
}

impl Plan {
    /// Starts the simulated vendors.
    pub(crate) async fn sandbox(&self) -> Arc<Sandbox> {
        let clusters: BTreeMap<Vendor, usize> = Vendor::ALL
            .iter()
            .map(|vendor| (*vendor, self.clusters))
            .collect();
        let options = Options {
            seed: 7,
            clusters,
            quirks: self.quirks,
            anchor: self.anchor,
            ..Options::default()
        };
        Arc::new(Sandbox::start(options).await.unwrap())
    }

    /// One source for each vendor.
    pub(crate) fn configs(&self, sandbox: &Sandbox) -> Vec<SourceConfig> {
        let mut configs = demo_sources(sandbox, self.refresh_interval);
        for config in &mut configs {
            config.stack.attempt_timeout = self.attempt_timeout;
            config.schedule.details = self.details;
        }
        configs
    }
}

/// An answer of the API.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Rig {
    /// Starts the vendors and the gateway, and waits for the first attempt at each source.
    pub(crate) async fn start(plan: Plan) -> Self {
        let rig = Self::begin(plan, |_| {}, |_| {}).await;
        rig.settled().await;
        rig
    }

    /// Starts the vendors, lets a test prepare them and the sources, then starts the gateway; waits for nothing.
    pub(crate) async fn begin(
        plan: Plan,
        prepare: impl FnOnce(&Sandbox),
        configure: impl FnOnce(&mut Vec<SourceConfig>),
    ) -> Self {
        let sandbox = plan.sandbox().await;
        prepare(&sandbox);
        let mut configs = plan.configs(&sandbox);
        configure(&mut configs);
        Self::over(&sandbox, sources(&configs).unwrap())
    }

    /// Starts a gateway over sources that are connected already; waits for nothing.
    pub(crate) fn over(sandbox: &Arc<Sandbox>, sources: Vec<Source>) -> Self {
        let settings = api::Settings {
            heartbeat: HEARTBEAT,
            ..api::Settings::default()
        };
        Self {
            sandbox: Arc::clone(sandbox),
            gateway: Gateway::with(sources, settings, &Handle::current()),
        }
    }

    /// Starts a gateway that keeps its inventory in a store, and takes over what is there; waits for nothing.
    pub(crate) async fn remembering(
        sandbox: &Arc<Sandbox>,
        plan: &Plan,
        store: &store::Settings,
    ) -> Self {
        Self::remembering_of(sandbox, &plan.configs(sandbox), store).await
    }

    /// The same with some of the vendors.
    pub(crate) async fn remembering_of(
        sandbox: &Arc<Sandbox>,
        configs: &[SourceConfig],
        store: &store::Settings,
    ) -> Self {
        let sources = sources(configs).unwrap();
        let runtime = Handle::current();
        let memory = Memory::open(store.clone(), &sources, &runtime).await;
        let settings = api::Settings::default();
        Self {
            sandbox: Arc::clone(sandbox),
            gateway: Gateway::remembering(sources, memory, None, settings, &runtime),
        }
    }

    /// Stops the gateway.
    pub(crate) async fn stop(self) {
        self.gateway.stop(PATIENCE).await;
    }

    /// The simulated vendor behind a source.
    pub(crate) fn vendor(&self, source: &str) -> &Simulated {
        self.sandbox.vendor(source.parse().unwrap())
    }

    /// The current snapshot.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.gateway.inventory.current()
    }

    /// One source's report.
    pub(crate) fn report(&self, source: &str) -> SourceReport {
        SourceReport::clone(self.snapshot().source(source).unwrap())
    }

    /// Waits until the snapshot is as wanted.
    pub(crate) async fn until(&self, what: &str, mut is_so: impl FnMut(&Snapshot) -> bool) {
        let mut changes = self.gateway.inventory.subscribe();
        let wait = async {
            while !is_so(&self.snapshot()) {
                changes.changed().await.unwrap();
            }
        };
        assert!(
            timeout(PATIENCE, wait).await.is_ok(),
            "waited in vain: {what}"
        );
    }

    /// Waits until each source was attempted once.
    pub(crate) async fn settled(&self) {
        self.until("the first attempts", |snapshot| {
            snapshot
                .sources()
                .iter()
                .all(|source| !source.attempts.is_empty())
        })
        .await;
    }

    /// Asks for a refresh of a source and waits for its end.
    pub(crate) async fn refresh(&self, source: &str) {
        let before = self.attempts(source);
        self.ask_refresh(source).await;
        self.attempted_after(source, before).await;
    }

    /// Asks for a refresh of a source and waits for nothing.
    pub(crate) async fn ask_refresh(&self, source: &str) {
        let reply = self
            .send(
                Request::post(format!("/sources/{source}/refresh"))
                    .body(Body::empty())
                    .unwrap(),
            )
            .await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.text);
    }

    /// When the last attempt at a source began.
    pub(crate) fn attempts(&self, source: &str) -> Option<Timestamp> {
        let report = self.report(source);
        report.attempts.front().map(|attempt| attempt.started_at)
    }

    /// Waits for the end of an attempt that began later than another one.
    pub(crate) async fn attempted_after(&self, source: &str, before: Option<Timestamp>) {
        self.until("a refresh", |snapshot| {
            let report = snapshot.source(source).unwrap();
            report.attempts.front().map(|attempt| attempt.started_at) > before
        })
        .await;
    }

    /// Asks the API.
    pub(crate) async fn get(&self, path_and_query: &str) -> Reply {
        self.send(Request::get(path_and_query).body(Body::empty()).unwrap())
            .await
    }

    /// Sends a request to the API.
    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let request = to_this_machine(request);
        let response = timeout(PATIENCE, self.gateway.router.clone().oneshot(request))
            .await
            .unwrap()
            .unwrap();
        let (parts, body) = response.into_parts();
        let body = whole(&parts.headers, body).await;
        Reply {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// How long event streams say nothing here.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(50);

/// Reads a body to its end; an event stream, which has none, until it has nothing to say for now.
pub(crate) async fn whole(headers: &HeaderMap, mut body: Body) -> Bytes {
    if headers
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind != "text/event-stream")
    {
        let whole = timeout(PATIENCE, axum::body::to_bytes(body, usize::MAX));
        return whole.await.unwrap().unwrap();
    }
    let mut text = Vec::new();
    while !text.ends_with(b"\n\n:\n\n") {
        let Some(frame) = timeout(PATIENCE, body.frame()).await.unwrap() else {
            break;
        };
        text.extend_from_slice(frame.unwrap().data_ref().unwrap());
    }
    text.into()
}

/// Names the host that a request is for, as every client does, unless it is named already.
pub(crate) fn to_this_machine(mut request: Request<Body>) -> Request<Body> {
    let host = HeaderValue::from_static("localhost");
    request.headers_mut().entry(HOST).or_insert(host);
    request
}
