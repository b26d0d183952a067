//! Callers who see only some sources or projects.

mod hidden;
mod selecting;
mod twins;
mod walking;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use clustergate::api::Viewer;
use clustergate::domain::{Reach, SourceName};
use clustergate::sandbox::{Fault, Sandbox};
use http::{Method, Request};
use serde_json::Value;

use super::{Answer, items, send};
use crate::support::{Plan, Rig};

/// Stands before the kind of vendor in each source's name, so that the names of sources can be told from those of providers.
const OURS: &str = "acct-";
/// The same for sources that do not exist, in as many letters.
const NOBODYS: &str = "none-";

/// A source of the rig.
fn source(vendor: &str) -> String {
    format!("{OURS}{vendor}")
}

/// A rig in which some sources fail: one was never read, one no longer can be, one is suspect and one has lost clusters.
async fn mixed() -> Rig {
    let plan = Plan {
        anchor: Some("2026-03-01T12:00:00Z".parse().unwrap()),
        ..Plan::default()
    };
    let never = |sandbox: &Sandbox| {
        let vendor = sandbox.vendor("runtime".parse().unwrap());
        vendor.set_fault(Some(Fault::Http403));
    };
    let rig = Rig::begin(plan, never, |configs| {
        for config in configs {
            config.name = SourceName::new(source(config.name.as_str())).unwrap();
        }
    })
    .await;
    rig.settled().await;
    rig.until("every detail", |snapshot| {
        let sources = snapshot.sources().iter();
        sources.map(|source| source.details_pending).sum::<usize>() == 0
    })
    .await;
    let lakesail = rig.vendor("lakesail");
    for truth in lakesail.truth().iter().take(2) {
        assert!(lakesail.remove(&truth.id));
    }
    rig.vendor("kubeadapt").set_fault(Some(Fault::Http401));
    rig.vendor("prime-intellect")
        .set_fault(Some(Fault::SuddenlyEmpty));
    for vendor in ["lakesail", "kubeadapt", "prime-intellect"] {
        rig.refresh(&source(vendor)).await;
    }
    rig
}

/// A reach by the vendors of its sources and by its projects; `None` is all of them.
fn reach(vendors: Option<&[&str]>, projects: Option<&[&str]>) -> Reach {
    Reach {
        sources: vendors.map(|vendors| {
            let names = vendors.iter().map(|vendor| source(vendor));
            names.map(|name| SourceName::new(name).unwrap()).collect()
        }),
        projects: projects.map(|projects| projects.iter().map(ToString::to_string).collect()),
    }
}

/// Asks as a caller who sees so far.
async fn ask(rig: &Rig, reach: &Reach, target: &str) -> Answer {
    ask_with(rig, reach, Method::GET, target, &[]).await
}

async fn ask_with(
    rig: &Rig,
    reach: &Reach,
    method: Method,
    target: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        // Given, so that two answers can be the same.
        .header("x-request-id", "same");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let viewer = Viewer::new(Arc::new(reach.clone()));
    request.extensions_mut().insert(viewer);
    send(&rig.gateway.router, request).await
}

/// Every cluster, as somebody sees it who sees everything.
async fn everything(rig: &Rig) -> Vec<Value> {
    items(&ask(rig, &Reach::ALL, "/clusters?limit=1000").await.json())
}

/// The id and the name of a cluster's project.
fn projects(cluster: &Value) -> Vec<&str> {
    ["/owner/project/id", "/owner/project/name"]
        .into_iter()
        .filter_map(|pointer| cluster.pointer(pointer)?.as_str())
        .collect()
}

/// The ids and names of all projects.
fn all_projects(clusters: &[Value]) -> Vec<&str> {
    let all: BTreeSet<&str> = clusters.iter().flat_map(projects).collect();
    all.into_iter().collect()
}

/// Whether a reach lets a cluster be seen: the rule in plain words.
fn sees(reach: &Reach, cluster: &Value) -> bool {
    let name = SourceName::new(cluster["source"].as_str().unwrap()).unwrap();
    let by_source = match &reach.sources {
        None => true,
        Some(sources) => sources.contains(&name),
    };
    let by_project = match &reach.projects {
        None => true,
        Some(seen) => projects(cluster)
            .into_iter()
            .any(|project| seen.contains(project)),
    };
    by_source && by_project
}
