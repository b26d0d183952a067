//! Secrets stay where they are: neither a token nor what a vendor plants in its answers comes out anywhere.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use axum::body::Body;
use clustergate::app::demo_sources;
use clustergate::config::{SourceConfig, connect};
use clustergate::sandbox::{Fault, Vendor};
use clustergate::upstream::TokenSource;
use http::Request;
use tokio::runtime::Builder;
use tracing::Dispatch;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{Plan, Rig};

/// What the simulated vendors hide in answers that carry what nobody should see.
pub(crate) const PLANTED: &str = "SECRET-CANARY";
/// A token that the vendor does not know.
const WRONG: &str = "TOKEN-CANARY-that-is-wrong";

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// With one dispatcher alone, what is first said on a thread without any is never listened to again, on no thread. Other tests
/// run on such threads.
static ANOTHER: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// Runs a future on a runtime of whose every thread everything is logged.
pub(crate) fn logged<T>(work: impl Future<Output = T>) -> (T, String) {
    LazyLock::force(&ANOTHER);
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let dispatch = Dispatch::new(subscriber);
    let for_threads = dispatch.clone();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_start(move || {
            // The thread logs here until it ends.
            std::mem::forget(tracing::dispatcher::set_default(&for_threads));
        })
        .build()
        .unwrap();
    let guard = tracing::dispatcher::set_default(&dispatch);
    let result = runtime.block_on(work);
    drop(guard);
    drop(runtime);
    let log = log.0.lock().unwrap().clone();
    (result, String::from_utf8_lossy(&log).into_owned())
}

pub(crate) fn check(place: &str, text: &str, tokens: &[String]) {
    for secret in tokens.iter().map(String::as_str).chain([PLANTED, WRONG]) {
        if let Some(at) = text.find(secret) {
            let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
            let to = text[at..].find('\n').map_or(text.len(), |end| at + end);
            panic!(
                "{place} shows {secret}: {}",
                &text[from..to.min(from + 2_000)]
            );
        }
    }
}

/// Reads everything that can be read.
async fn read_everything(rig: &Rig, tokens: &[String]) {
    let mut targets: Vec<String> = [
        "/",
        "/clusters?limit=1000&include=raw,nodes",
        "/clusters?format=csv",
        "/clusters?format=ndjson&include=raw,nodes",
        "/summary",
        "/changes?limit=1000&noise=true",
        "/events",
        "/sources",
        "/providers",
        "/openapi.json",
        "/openapi-3.0.json",
        "/metrics",
        "/livez",
        "/readyz?verbose",
        "/nothing",
        "/clusters?state=wrong",
        "/clusters?unknown=1",
        "/clusters/x",
        "/sources/nobody",
    ]
    .map(str::to_owned)
    .to_vec();
    for vendor in Vendor::ALL {
        let name = vendor.name();
        targets.push(format!("/sources/{name}"));
        targets.push(format!("/providers/{name}"));
        targets.push(format!("/clusters?source={name}"));
        targets.push(format!("/clusters/{name}:nothing"));
    }
    let list = rig.get("/clusters?limit=1000&fields=id").await;
    if list.status == 200 {
        for item in list.json()["items"].as_array().unwrap() {
            let id = item["id"].as_str().unwrap();
            targets.push(format!("/clusters/{id}?include=raw,nodes"));
        }
    }
    for target in targets {
        let reply = rig.get(&target).await;
        check(&target, &reply.text, tokens);
        check(&target, &format!("{:?}", reply.headers), tokens);
    }
}

pub(crate) fn tokens(rig: &Rig) -> Vec<String> {
    rig.sandbox
        .vendors()
        .flat_map(|vendor| [Some(vendor.token()), vendor.organization()])
        .flatten()
        .collect()
}

fn hasty() -> Plan {
    Plan {
        clusters: 12,
        attempt_timeout: Duration::from_millis(300),
        ..Plan::default()
    }
}

#[test]
fn no_secret_is_shown_or_logged_while_all_is_well_and_while_it_is_not() {
    let ((tokens, seen), log) = logged(async {
        let impatient = |configs: &mut Vec<SourceConfig>| {
            for config in configs {
                config.stack.max_wait = Duration::from_secs(1);
                // Every fault is to be met, not to be kept away by the one before it.
                config.stack.breaker_failures = u32::MAX;
            }
        };
        let rig = Rig::begin(hasty(), |_| {}, impatient).await;
        rig.settled().await;
        let tokens = tokens(&rig);
        rig.until("every detail", |snapshot| {
            snapshot
                .sources()
                .iter()
                .all(|source| source.details_pending == 0)
        })
        .await;
        read_everything(&rig, &tokens).await;
        for fault in [
            Fault::Http401,
            Fault::ExpiredToken,
            Fault::Http403,
            Fault::Http500,
            Fault::Http502Html,
            Fault::Html200,
            Fault::NotJson,
            Fault::TruncatedJson,
            Fault::WrongTypes,
            Fault::BadRow,
            Fault::Redirect,
            Fault::ForeignNext,
            Fault::InvalidUtf8,
            Fault::HeaderFlood,
            Fault::LegacyGeneration,
            Fault::Http400,
            Fault::Http429,
        ] {
            for vendor in rig.sandbox.vendors() {
                vendor.set_fault(Some(fault));
            }
            futures_util::future::join_all(Vendor::ALL.map(|vendor| rig.refresh(vendor.name())))
                .await;
            for target in [
                "/sources",
                "/clusters?limit=1000&include=raw,nodes",
                "/metrics",
            ] {
                check(
                    &format!("{fault:?} {target}"),
                    &rig.get(target).await.text,
                    &tokens,
                );
            }
        }
        read_everything(&rig, &tokens).await;
        assert_eq!(
            rig.sandbox.canary_hits().requests,
            0,
            "a foreign host was called"
        );
        let seen = rig
            .sandbox
            .vendors()
            .map(|vendor| vendor.stats().requests)
            .sum::<u64>();
        (tokens, seen)
    });
    assert!(seen > 100, "{seen} calls");
    assert!(
        log.contains("TRACE") && log.len() > 10_000,
        "the log was captured"
    );
    assert!(log.contains("request answered"), "requests are logged");
    check("the log", &log, &tokens);
}

#[test]
fn a_refused_token_is_shown_nowhere() {
    let ((), log) = logged(async {
        let wrong = |configs: &mut Vec<SourceConfig>| {
            for config in configs {
                config.credential.token = Arc::new(TokenSource::Value(WRONG.into()));
            }
        };
        let rig = Rig::begin(hasty(), |_| {}, wrong).await;
        rig.settled().await;
        read_everything(&rig, &tokens(&rig)).await;
        let request = Request::get("/clusters")
            .header("authorization", "Bearer CALLER-CANARY")
            .body(Body::empty())
            .unwrap();
        let reply = rig.send(request).await;
        assert!(!reply.text.contains("CALLER-CANARY"));
    });
    assert!(log.len() > 1_000);
    check("the log", &log, &[]);
    assert!(!log.contains("CALLER-CANARY"));
}

#[tokio::test]
async fn settings_that_hold_a_token_do_not_say_it() {
    let rig = Rig::start(hasty()).await;
    let tokens = tokens(&rig);
    for config in demo_sources(&rig.sandbox, Duration::from_mins(1)) {
        check("a source", &format!("{config:?} {config:#?}"), &tokens);
        check("a credential", &format!("{:?}", config.credential), &tokens);
        let connected = connect(&config).unwrap();
        check("a stack", &format!("{:?}", connected.stack), &tokens);
    }
}
