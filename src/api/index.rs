//! `/`: the entry points.

use std::collections::BTreeMap;

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::path::Segments;
use super::problem::Problem;
use super::query::Params;
use super::respond;

/// The entry points, by what they are.
const LINKS: [(&str, &str); 14] = [
    ("clusters", "/clusters"),
    ("summary", "/summary"),
    ("changes", "/changes"),
    ("events", "/events"),
    ("providers", "/providers"),
    ("sources", "/sources"),
    ("operations", "/operations"),
    ("webhooks", "/webhooks"),
    ("kubeconfig", "/kubeconfig"),
    ("openapi", "/openapi.json"),
    ("docs", "/docs/"),
    ("liveness", "/livez"),
    ("readiness", "/readyz"),
    ("metrics", "/metrics"),
];

/// What this server is and where its entry points are.
#[derive(Debug, Serialize, ToSchema)]
pub struct Index {
    /// Always `clustergate`.
    pub name: &'static str,
    /// The program's version.
    pub version: &'static str,
    /// Paths, by what they lead to.
    #[schema(value_type = BTreeMap<String, String>)]
    pub links: BTreeMap<&'static str, &'static str>,
}

/// Lists the entry points
#[utoipa::path(
    get,
    path = "/",
    tag = "meta",
    operation_id = "read_index",
    responses((status = 200, description = "The entry points", body = Index))
)]
pub(super) async fn index(path: Segments) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let index = Index {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        links: LINKS.into_iter().collect(),
    };
    respond::json(&index, respond::BRIEF)
}
