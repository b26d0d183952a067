//! An API over a given inventory, without a vendor and without a socket.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http::header::HOST;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use jiff::Timestamp;
use serde_json::Value;
use tower::ServiceExt;

use crate::access::Access;
use crate::domain::{Kind, SourceName};
use crate::inventory::past::Past;
use crate::inventory::{Attempt, Control, Freshness, Inventory, Requested, SourceReport};
use crate::live::{Ledger, Live, Seen};
use crate::provider::{Capabilities, Capability, Entry, ErrorKind};
use crate::upstream::{BreakerState, Dialect, FailureKind, Quota, Rate, Scheme, Vitals};

use super::{ApiState, Settings};

/// Answers for two sources.
pub(crate) struct Fake;

impl Control for Fake {
    fn refresh(&self, source: &SourceName) -> Option<Requested> {
        (source.as_str() != "gone").then_some(Requested {
            joined: source.as_str() == "broken",
            not_before: None,
        })
    }

    fn vitals(&self, source: &SourceName) -> Option<Vitals> {
        (source.as_str() == "broken").then(|| Vitals {
            requests: 12,
            retries: 2,
            in_flight: 1,
            breaker: BreakerState::Open { until: instant(90) },
            quota: Some(Quota {
                limit: Some(60),
                remaining: Some(7),
                resets_at: None,
            }),
            not_before: Some(instant(90)),
        })
    }
}

pub(crate) fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// One source that was read and one that never was.
pub(crate) fn reports() -> Vec<SourceReport> {
    let name = |name: &str| SourceName::new(name).unwrap();
    let kind = Kind::new("latitude");
    let minute = Duration::from_mins(1);
    let attempt = Attempt {
        started_at: instant(0),
        took: Duration::from_millis(1_500),
        error: None,
        pages: 3,
        clusters: Some(42),
        rejected: 1,
    };
    let mut good = SourceReport::new(name("main"), kind.clone(), minute);
    good.state = Freshness::Fresh;
    good.fetched_at = Some(instant(0));
    good.clusters = 42;
    good.rejected = 1;
    good.warnings = vec![("cost".into(), 2)];
    good.attempts.push_front(attempt.clone());
    let mut broken = SourceReport::new(name("broken"), kind, minute);
    broken.error = Some(ErrorKind::Call(FailureKind::RateLimited));
    broken.failing_since = Some(instant(0));
    broken.next_attempt_at = Some(instant(60));
    broken.failures = 3;
    broken.attempts.push_front(Attempt {
        error: broken.error,
        clusters: None,
        ..attempt
    });
    vec![broken, good]
}

static CAPABILITIES: Capabilities = Capabilities {
    vantage: crate::domain::Vantage::Hosts,
    operations: &[Capability::List],
    reports: &["name"],
    detail_only: &[],
};

pub(crate) static CATALOG: [Entry; 1] = [Entry {
    kind: Kind::new("latitude"),
    title: "Latitude.sh",
    documentation: "https://example.com/docs",
    base_url: None,
    environment: crate::provider::Environment {
        token: &["LATITUDE_TOKEN"],
        base_url: &[],
    },
    scheme: Scheme::Bearer,
    rate: Rate {
        calls: 60,
        per: Duration::from_mins(1),
    },
    capabilities: &CAPABILITIES,
    dialect: Dialect::PLAIN,
    connect: |_, _, _| {
        Err(crate::provider::ConfigError {
            key: "provider".to_owned(),
            reason: "not in tests".to_owned(),
        })
    },
}];

/// Calls to no vendor.
fn idle() -> Live {
    let runtime = tokio::runtime::Handle::try_current().unwrap_or_else(|_| {
        // A test without a runtime asks no vendor either.
        static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
        let start = || {
            tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap()
        };
        RUNTIME.get_or_init(start).handle().clone()
    });
    let keys = Arc::new(crate::live::InMemory::default());
    Live::new(
        Vec::new(),
        crate::live::Bounds::default(),
        Arc::new(Fake),
        keys,
        &runtime,
    )
}

impl Ledger for Fake {
    fn seen(&self, _: &SourceName, _: Seen) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn refresh(&self, _: &SourceName) {}
}

pub(crate) fn state_of(reports: Vec<SourceReport>, settings: Settings) -> ApiState {
    let inventory = Arc::new(Inventory::with_reports(7, instant(30), reports));
    ApiState::new(inventory, Arc::new(Fake), idle(), &CATALOG, settings)
}

/// The same over an inventory that a test changes, with what keeps older changes.
pub(crate) fn state_over(
    inventory: &Arc<Inventory>,
    past: Option<Arc<dyn Past>>,
    settings: Settings,
) -> ApiState {
    state_for(inventory, past, settings, None)
}

/// The same for callers that access control lets in.
pub(crate) fn state_for(
    inventory: &Arc<Inventory>,
    past: Option<Arc<dyn Past>>,
    settings: Settings,
    access: Option<Arc<Access>>,
) -> ApiState {
    ApiState::remembering(
        Arc::clone(inventory),
        Arc::new(Fake),
        idle(),
        &CATALOG,
        settings,
        access,
        past,
    )
}

pub(crate) fn state() -> ApiState {
    state_of(reports(), Settings::default())
}

/// The same for callers that access control lets in.
pub(crate) fn guarded(access: Option<Arc<Access>>) -> ApiState {
    guarded_with(access, Settings::default())
}

/// The same, bounded as told.
pub(crate) fn guarded_with(access: Option<Arc<Access>>, settings: Settings) -> ApiState {
    let inventory = Arc::new(Inventory::with_reports(7, instant(30), reports()));
    ApiState::guarded(
        inventory,
        Arc::new(Fake),
        idle(),
        &CATALOG,
        settings,
        access,
    )
}

pub(crate) fn app() -> Router {
    super::router(state())
}

pub(crate) async fn send(app: &Router, method: &str, target: &str) -> Response {
    let request = Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(target)
        .body(Body::empty())
        .unwrap();
    send_request(app, request).await
}

/// Sends a request, to this machine unless it says otherwise.
pub(crate) async fn send_request(app: &Router, mut request: Request<Body>) -> Response {
    let local = HeaderValue::from_static("localhost");
    request.headers_mut().entry(HOST).or_insert(local);
    send_bare(app, request).await
}

/// Sends a request as it is.
pub(crate) async fn send_bare(app: &Router, request: Request<Body>) -> Response {
    app.clone().oneshot(request).await.unwrap()
}

pub(crate) async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) async fn json(response: Response) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}
