//! What outlives the process: gateways over one store, one after the other.

mod configured;
mod copied;
mod damage;
mod hours;
mod keys;
pub(crate) mod killed;
mod operations;
pub(crate) mod postgres;
mod restart;
mod resumed;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clustergate::sandbox::{Fault, Sandbox};
use clustergate::store::{Address, Settings};
use http::StatusCode;
use serde_json::{Value, json};

use tokio::time::timeout;

use crate::support::{PATIENCE, Plan, Rig};

/// The store in a folder.
pub(crate) fn store_in(folder: &Path) -> Settings {
    Settings::at(Address::within(folder))
}

/// How the store of a gateway is, in the gateway's own words.
async fn standing(rig: &Rig) -> (String, Option<String>) {
    let health = rig.get("/readyz?verbose=true").await.json();
    let parts = health["parts"].as_array().unwrap().iter();
    let mut parts = parts.filter(|part| part["part"] == "store");
    let store = parts.next().unwrap();
    let text = |name: &str| store[name].as_str().map(str::to_owned);
    (text("status").unwrap(), text("code"))
}

/// Waits until the store of a gateway has all that is shown.
async fn caught_up(rig: &Rig) {
    let wait = async {
        while standing(rig).await.0 != "ok" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(
        timeout(PATIENCE, wait).await.is_ok(),
        "the store stays behind"
    );
}

/// A list without what a failed vendor changes of clusters that stay as they are.
fn unmarked(mut list: Value) -> Vec<Value> {
    let items = list["items"].as_array_mut().unwrap();
    for item in items.iter_mut() {
        let item = item.as_object_mut().unwrap();
        item.remove("presence");
        item.remove("stale");
    }
    std::mem::take(items)
}

/// Breaks every vendor, or mends all of them.
fn set_faults(sandbox: &Sandbox, fault: Option<Fault>) {
    for vendor in sandbox.vendors() {
        vendor.set_fault(fault);
    }
}

/// Every cluster with everything that is shown of it. Where nothing is known and the gateway says so, there is none.
async fn everything(rig: &Rig) -> Value {
    let reply = rig.get("/clusters?limit=1000&include=raw,nodes").await;
    if reply.status == StatusCode::SERVICE_UNAVAILABLE {
        return json!({"items": [], "sources": []});
    }
    reply.json()
}

/// A gateway that has read everything there is, details as well.
async fn whole(sandbox: &Arc<Sandbox>, plan: &Plan, store: &Settings) -> Rig {
    let rig = Rig::remembering(sandbox, plan, store).await;
    rig.until("everything is read", |snapshot| {
        let mut sources = snapshot.sources().iter();
        sources.all(|source| source.fetched_at.is_some() && source.details_pending == 0)
    })
    .await;
    rig
}
