//! Webhooks over real sockets: a receiver on loopback that checks what it gets as any receiver would.

mod api;
mod checked;
mod killed;
mod readme;
mod secrets;
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clustergate::adapters::CATALOG;
use clustergate::api::webhooks::interest;
use clustergate::app::{Gateway, Memory, sources};
use clustergate::hooks::{HookName, SecretSource, Settings, Target, Webhook};
use clustergate::sandbox::Sandbox;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{PATIENCE, Plan, Rig};

/// The secrets that sign, the older one first.
const SECRETS: [&str; 2] = [
    "whsec_b2xkIHNlY3JldCBvZiB0aGUgdGVzdHMhIQ==",
    "whsec_bmV3IHNlY3JldCBvZiB0aGUgdGVzdHMhIQ==",
];
/// What a URL holds that nobody else must see.
const TOKEN: &str = "URL-T0KEN-CANARY";

/// What a receiver got.
#[derive(Default)]
struct Got {
    /// The bodies by their ids, and how often each came.
    events: BTreeMap<String, (String, usize)>,
    /// Statuses to answer with before it answers well.
    refusals: Vec<u16>,
    /// Whether everything is refused.
    is_down: bool,
}

/// A server that takes events.
struct Receiver {
    got: Arc<Mutex<Got>>,
    port: u16,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    State(got): State<Arc<Mutex<Got>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let text = [id.as_bytes(), b".", at.as_bytes(), b".", &body[..]].concat();
    let signatures = header("webhook-signature");
    // Whoever has either of the two secrets can check it.
    for secret in SECRETS {
        let key = STANDARD.decode(&secret["whsec_".len()..]).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let mut signatures = signatures.split(' ').map(|one| one.strip_prefix("v1,"));
        let is_good = signatures.any(|one| {
            let tag = STANDARD.decode(one.unwrap()).unwrap();
            hmac::verify(&key, &text, &tag).is_ok()
        });
        assert!(is_good, "{signatures:?}");
    }
    let age = jiff::Timestamp::now().as_second() - at.parse::<i64>().unwrap();
    assert!((-5..60).contains(&age), "{age}");
    assert_eq!(header("content-type"), "application/json");
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut got = got.lock().unwrap();
    if got.is_down {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if let Some(status) = got.refusals.pop() {
        return StatusCode::from_u16(status).unwrap();
    }
    let (known, times) = got.events.entry(id).or_insert((body.clone(), 0));
    assert_eq!(*known, body, "an id stands for one body");
    *times += 1;
    StatusCode::NO_CONTENT
}

impl Receiver {
    async fn start() -> Self {
        let got: Arc<Mutex<Got>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new()
            .route("/hook", post(receive))
            .with_state(Arc::clone(&got));
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.unwrap();
        });
        Self { got, port, task }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?token={TOKEN}", self.port)
    }

    fn set_down(&self, is_down: bool) {
        self.got.lock().unwrap().is_down = is_down;
    }

    fn refuse(&self, statuses: &[u16]) {
        self.got.lock().unwrap().refusals = statuses.to_vec();
    }

    /// The bodies that came, each once.
    fn bodies(&self) -> Vec<Value> {
        let got = self.got.lock().unwrap();
        let bodies = got.events.values();
        bodies
            .map(|(body, _)| serde_json::from_str(body).unwrap())
            .collect()
    }

    /// The changes that came, each once, as texts that can be compared.
    fn changes(&self) -> BTreeSet<String> {
        let bodies = self.bodies().into_iter();
        let changes = bodies.filter(|body| body["data"]["kind"].is_string());
        changes.map(|body| body["data"].to_string()).collect()
    }

    /// How often events came, all in all.
    fn times(&self) -> usize {
        let got = self.got.lock().unwrap();
        got.events.values().map(|(_, times)| times).sum()
    }

    fn webhook(&self, name: &str, filter: &str) -> Webhook {
        let target = Target::new(&self.url(), true).unwrap();
        let [old, new] = SECRETS.map(|secret| SecretSource::Value(secret.into()));
        let mut settings = Settings::new(HookName::new(name).unwrap(), target, old);
        settings.secrets.push(new);
        filter.clone_into(&mut settings.filter);
        let names: Vec<&str> = CATALOG.iter().map(|entry| entry.kind.as_str()).collect();
        Webhook {
            interest: Arc::new(interest(filter, &names, CATALOG).unwrap()),
            settings,
        }
    }
}

/// A gateway over simulated vendors that tells what changes.
async fn telling(
    sandbox: &Arc<Sandbox>,
    plan: &Plan,
    store: &clustergate::store::Settings,
    webhooks: Vec<Webhook>,
) -> Rig {
    let sources = sources(&plan.configs(sandbox)).unwrap();
    let runtime = Handle::current();
    let memory = Memory::open(store.clone(), &sources, &runtime).await;
    let memory = Memory { webhooks, ..memory };
    let settings = clustergate::api::Settings::default();
    Rig {
        sandbox: Arc::clone(sandbox),
        gateway: Gateway::remembering(sources, memory, None, settings, &runtime),
    }
}

/// Waits until something is so that a receiver or a gateway shows.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let wait = async {
        while !is_so().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        timeout(PATIENCE, wait).await.is_ok(),
        "waited in vain: {what}"
    );
}

/// Waits until all webhooks of a gateway have begun: what changes from then on is told.
async fn begun(rig: &Rig) {
    until("they have begun", || async {
        let webhooks = rig.get("/webhooks").await.json();
        let webhooks = webhooks["items"].as_array();
        webhooks.is_some_and(|all| all.iter().all(|one| one["cursor"].is_string()))
    })
    .await;
}

/// Waits until a gateway has told all that changed.
async fn told(rig: &Rig) {
    until("everything is told", || async {
        let changes = rig.get("/changes?limit=1000").await.json();
        let last = changes["items"].as_array().unwrap().last().cloned();
        let generation = last.map_or(0, |last| last["generation"].as_u64().unwrap());
        let webhooks = rig.get("/webhooks").await.json();
        let webhooks = webhooks["items"].as_array();
        webhooks.is_some_and(|all| all.iter().all(|one| is_told(one, generation)))
    })
    .await;
}

/// Whether a webhook was told all up to a generation, and its server has it.
fn is_told(webhook: &Value, generation: u64) -> bool {
    let cursor = webhook["cursor"].as_str().unwrap_or("0");
    let known: u64 = cursor.split('.').next().unwrap().parse().unwrap();
    webhook["pending"] == 0 && known >= generation
}
