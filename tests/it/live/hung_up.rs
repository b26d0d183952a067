//! A caller that hangs up after it has sent a write: the write is carried out, and accounted for.

use std::sync::Arc;

use axum::body::Body;
use clustergate::access::audit::Destination;
use clustergate::access::{Access, KeysFile, NewKey, Scopes, Settings};
use clustergate::app::Gateway;
use clustergate::provider::Provider;
use http::Request;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::toy::Toy;
use super::{post, source_over};
use crate::api::send;
use crate::support::PATIENCE;

#[tokio::test]
async fn a_write_whose_caller_hangs_up_is_counted_in_and_told_to_the_audit() {
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit.jsonl");
    let file = KeysFile::at(folder.path().join("keys.json"));
    let new = NewKey {
        name: "writer".to_owned(),
        scopes: Scopes::ADMIN,
        sources: None,
        projects: None,
        expires_at: None,
    };
    let made = file.create(new, Timestamp::now()).unwrap();
    let settings = Settings {
        keys_file: Some(file.path().to_owned()),
        audit: Some(Destination::File(audit.clone())),
        ..Settings::default()
    };
    let access = Access::start(&settings, &Handle::current()).unwrap();
    let gate = Arc::new(Notify::new());
    let toy = Arc::new(Toy::new(&[]).gated(&gate));
    let source = source_over(Arc::clone(&toy) as Arc<dyn Provider>);
    let gateway = Gateway::guarded(
        vec![source],
        access,
        clustergate::api::Settings::default(),
        &Handle::current(),
    );
    let mut changes = gateway.inventory.subscribe();
    while gateway
        .inventory
        .current()
        .source("toy")
        .unwrap()
        .fetched_at
        .is_none()
    {
        changes.changed().await.unwrap();
    }
    let create = |id: &str| {
        let body = json!({"source": "toy", "name": "x"}).to_string();
        let request = post("/clusters", "k")
            .header(
                "authorization",
                format!("Bearer {}", made.text.expose_secret()),
            )
            .header("x-request-id", id)
            .header("content-type", "application/json");
        request.body(Body::from(body)).unwrap()
    };
    let mut caller = Box::pin(send(&gateway.router, create("hung-up")));
    loop {
        assert!(futures_util::poll!(&mut caller).is_pending());
        let again = send(&gateway.router, create("again")).await;
        if again.status == 409 {
            break;
        }
    }
    drop(caller);
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    let mut metrics = Request::get("/metrics");
    metrics = metrics.header(
        "authorization",
        format!("Bearer {}", made.text.expose_secret()),
    );
    let metrics = send(&gateway.router, metrics.body(Body::empty()).unwrap()).await;
    let in_flight = metrics.text();
    let in_flight = (in_flight.lines())
        .find(|line| line.contains("in_flight") && !line.starts_with('#'))
        .unwrap()
        .to_owned();
    // The one that was hung up, and this one.
    assert!(in_flight.ends_with(" 2"), "{in_flight}");
    gate.notify_one();
    gateway.stop(PATIENCE).await;
    let events = std::fs::read_to_string(&audit).unwrap();
    let events: Vec<Value> = (events.lines())
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["request_id"] == "hung-up")
        .collect();
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["outcome"]["status"], 201, "{events:?}");
    assert_eq!(events[0]["actor"]["name"], "writer", "{events:?}");
    assert_eq!(toy.writes(), 1);
}
