//! What outlives the process: gateways over one store, one after the other.

mod restart;

use std::path::Path;
use std::sync::Arc;

use clustergate::sandbox::{Fault, Sandbox};
use clustergate::store::{Address, Settings};
use serde_json::Value;

use crate::support::{Plan, Rig};

/// The store in a folder.
pub(crate) fn store_in(folder: &Path) -> Settings {
    Settings::at(Address::within(folder))
}

/// Breaks every vendor, or mends all of them.
fn set_faults(sandbox: &Sandbox, fault: Option<Fault>) {
    for vendor in sandbox.vendors() {
        vendor.set_fault(fault);
    }
}

/// Every cluster with everything that is shown of it.
async fn everything(rig: &Rig) -> Value {
    rig.get("/clusters?limit=1000&include=raw,nodes").await.json()
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
