//! The HTTP contract over simulated vendors, one file for each subject.

mod bad_input;
pub(crate) mod contract;
mod cursors;
mod filters;
mod forms;
mod health;
mod listing;
mod naive;
mod one_cluster;
mod providers;
mod reach;
mod sorting;
mod sources;
mod summary;
mod unread;

use std::collections::BTreeMap;

use axum::Router;
use axum::body::{Body, Bytes};
use http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::support::{PATIENCE, Plan, Rig, to_this_machine, whole};

/// An answer whose body need not be text.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem, after a look at what every problem must have.
    pub(crate) fn problem(&self) -> String {
        assert!(self.status.as_u16() >= 400, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{}",
            self.text()
        );
        assert_eq!(self.header("cache-control"), "no-store");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{body}");
        assert!(body["title"].is_string(), "{body}");
        assert!(body["instance"].is_string(), "{body}");
        if let Some(wait) = body.get("retry_after") {
            assert_eq!(wait.to_string(), self.header("retry-after"), "{body}");
        }
        let code = body["code"].as_str().unwrap().to_owned();
        let slug = code.to_lowercase().replace('_', "-");
        assert_eq!(body["type"], format!("/problems/{slug}"), "{body}");
        code
    }

    /// Status, code and the parameters that `errors` names.
    pub(crate) fn refusal(&self) -> (u16, String, Vec<String>) {
        let code = self.problem();
        let named = self.json()["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| error["parameter"].as_str().unwrap().to_owned())
            .collect();
        (self.status.as_u16(), code, named)
    }

    /// The headers that do not change from request to request, for snapshots.
    pub(crate) fn stable_headers(&self) -> BTreeMap<String, String> {
        self.headers
            .iter()
            .filter(|(name, _)| !["x-request-id", "content-length"].contains(&name.as_str()))
            // The same on every answer: `contract` looks at them.
            .filter(|(name, _)| !ARMOR.iter().any(|(armor, _)| armor == name))
            .map(|(name, value)| {
                let value = value.to_str().unwrap();
                let value = match name.as_str() {
                    "age" | "etag" | "x-inventory-generation" => {
                        assert!(!value.is_empty());
                        format!("[{name}]")
                    }
                    "link" => {
                        let (before, rest) = value.split_once("cursor=").unwrap();
                        let (_, after) = rest.split_once('>').unwrap();
                        format!("{before}cursor=[cursor]>{after}")
                    }
                    _ => value.to_owned(),
                };
                (name.to_string(), value)
            })
            .collect()
    }
}

/// What no page may do with any answer.
pub(crate) const ARMOR: [(&str, &str); 3] = [
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
];

/// Sends a request to a router.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let request = to_this_machine(request);
    let response = timeout(PATIENCE, router.clone().oneshot(request))
        .await
        .unwrap()
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = whole(&parts.headers, body).await;
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

/// Asks with headers.
pub(crate) async fn get(rig: &Rig, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(&rig.gateway.router, request.body(Body::empty()).unwrap()).await
}

/// A rig whose rows are always the same and in which nothing goes on any more: every list is read, and every detail.
pub(crate) async fn quiet() -> Rig {
    let plan = Plan {
        anchor: Some("2026-03-01T12:00:00Z".parse().unwrap()),
        ..Plan::default()
    };
    let rig = Rig::start(plan).await;
    rig.until("every detail", |snapshot| {
        snapshot
            .sources()
            .iter()
            .all(|source| source.details_pending == 0)
    })
    .await;
    rig
}

/// Every cluster in the order of ids, by one request.
pub(crate) async fn all(rig: &Rig) -> Vec<Value> {
    let list = rig.get("/clusters?limit=1000").await.json();
    assert!(list.get("next_cursor").is_none());
    items(&list)
}

pub(crate) fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().unwrap().clone()
}

pub(crate) fn ids<'a>(clusters: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    clusters
        .into_iter()
        .map(|cluster| cluster["id"].as_str().unwrap().to_owned())
        .collect()
}

/// A text as a query value.
pub(crate) fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Compares a value with its snapshot; which features other packages switch on must not decide the order of its members.
pub(crate) fn snapshot(name: &str, value: &Value) {
    insta::with_settings!({ sort_maps => true, omit_expression => true }, {
        insta::assert_json_snapshot!(name, value);
    });
}
