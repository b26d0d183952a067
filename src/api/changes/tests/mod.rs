//! Changes over HTTP, of a fleet that changes when a test says so.

mod converging;
mod earlier;
mod history;
mod older;
mod pages;
mod restarts;
mod sockets;
mod streams;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use serde_json::Value;

use crate::api::testing::{json, send_request, state_over};
use crate::api::{Settings, Viewer, router};
use crate::domain::{Reach, SourceName};
use crate::inventory::past::Past;
use crate::inventory::testing::{Archive, Stage, cluster};

fn app(stage: &Stage) -> Router {
    router(state_over(&stage.inventory, None, Settings::default()))
}

/// The same with everything that was ever told behind it.
fn app_with_past(stage: &Stage) -> Router {
    let past: Arc<dyn Past> = Arc::<Archive>::clone(&stage.archive);
    router(state_over(
        &stage.inventory,
        Some(past),
        Settings::default(),
    ))
}

async fn answer(app: &Router, reach: &Reach, target: &str) -> Response {
    let mut request = Request::get(target).body(Body::empty()).unwrap();
    let viewer = Viewer::new(Arc::new(reach.clone()));
    request.extensions_mut().insert(viewer);
    request
        .headers_mut()
        .insert("x-request-id", "same".parse().unwrap());
    send_request(app, request).await
}

/// Asks as somebody who sees so far.
async fn ask(app: &Router, reach: &Reach, target: &str) -> (u16, Value) {
    let response = answer(app, reach, target).await;
    (response.status().as_u16(), json(response).await)
}

/// Asks as somebody who sees everything.
async fn get(app: &Router, target: &str) -> (u16, Value) {
    ask(app, &Reach::ALL, target).await
}

/// Every page of changes, joined; the next page is asked for as the last one says.
async fn walk(app: &Router, reach: &Reach, query: &str) -> Result<Vec<Value>, u16> {
    let mut target = format!("/changes?{query}");
    let mut items = Vec::new();
    loop {
        let (status, body) = ask(app, reach, &target).await;
        if status != 200 {
            return Err(status);
        }
        items.extend(body["items"].as_array().unwrap().iter().cloned());
        let Some(next) = body["next_cursor"].as_str() else {
            return Ok(items);
        };
        target = format!("/changes?{query}&cursor={next}");
    }
}

fn of_project(project: &str) -> Reach {
    Reach {
        sources: None,
        projects: Some(BTreeSet::from([project.to_owned()])),
    }
}

fn of_source(source: &str) -> Reach {
    Reach {
        sources: Some(BTreeSet::from([SourceName::new(source).unwrap()])),
        projects: None,
    }
}

/// What happened to what, shortly: `1001 added a:1`.
fn short(body: &Value) -> Vec<String> {
    let items = body["items"].as_array().unwrap_or_else(|| panic!("{body}"));
    let short = |item: &Value| {
        let of = item["cluster"].as_str().or(item["source"].as_str());
        let kind = item["kind"].as_str().unwrap();
        format!("{} {kind} {}", item["generation"], of.unwrap())
    };
    items.iter().map(short).collect()
}

/// Two sources, of which the first is listed.
fn stage() -> Stage {
    let mut stage = Stage::new(&["a", "b"]);
    stage.list(
        "a",
        vec![
            cluster("a", "1", "running", Some("p")),
            cluster("a", "2", "running", Some("q")),
        ],
    );
    stage
}
