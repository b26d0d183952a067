//! The contract as a document: OpenAPI 3.1, and the same in 3.0.3 for generators that refuse 3.1.

mod downgrade;
mod refine;
mod security;

use std::sync::OnceLock;

use axum::response::Response;
use http::HeaderMap;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::path::Segments;
use super::problem::{Document, PROBLEM_JSON, Problem};
use super::query::Params;
use super::respond::Fixed;
use security::Security;

use super::{
    audit, changes, clusters, health, index, live, problems, providers, sources, summary, webhooks,
};

/// The collected operations; every schema is found from there.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "clustergate",
        description = "One normalized, honest REST API over every vendor that runs or watches your clusters.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "clusters", description = "The inventory"),
        (name = "changes", description = "What changed in the inventory"),
        (name = "live", description = "What a vendor says now of one cluster, and changes of it"),
        (name = "sources", description = "The configured accounts, and how well each one can be read"),
        (name = "webhooks", description = "Who is told what changes, and how that goes"),
        (name = "audit", description = "Who did what"),
        (name = "providers", description = "What can be read, and what each provider can say"),
        (name = "health", description = "For those who watch the process"),
        (name = "meta", description = "The contract about itself"),
    ),
    paths(
        index::index,
        clusters::list_clusters,
        clusters::find_cluster,
        changes::history::read_history,
        changes::list_changes,
        changes::events::watch_changes,
        live::writes::create_cluster,
        live::writes::update_cluster,
        live::writes::forget_cluster,
        live::writes::provision_cluster,
        live::writes::destroy_cluster,
        live::reads::list_nodes,
        live::reads::read_health,
        live::reads::read_cluster_metrics,
        live::kubeconfig::read_kubeconfig,
        live::kubeconfig::read_merged_kubeconfig,
        live::kubeconfig::read_credential,
        live::operations::list_cluster_operations,
        live::operations::list_operations,
        live::operations::find_operation,
        summary::summarize,
        providers::list_providers,
        providers::find_provider,
        sources::list_sources,
        sources::find_source,
        sources::refresh_source,
        webhooks::list_webhooks,
        webhooks::list_deliveries,
        webhooks::redeliver_event,
        webhooks::test_webhook,
        audit::list_audit,
        problems::find_problem,
        read_openapi,
        read_openapi_3_0,
        health::check_liveness,
        health::check_readiness,
        health::read_metrics,
    ),
    components(schemas(Document)),
)]
struct ApiDoc;

/// Problems that any operation can answer with: status and why.
const COMMON: [(&str, &str); 10] = [
    (
        "400",
        "A parameter is unknown or cannot be used; INVALID_HOST: the request does not name its one host; INVALID_BODY: its body is cut short; MALFORMED_REQUEST: it is not HTTP/1.1",
    ),
    (
        "403",
        "CROSS_SITE_REQUEST: a web page of another site asks for this",
    ),
    ("408", "BODY_TIMEOUT: the request's body does not come"),
    ("413", "PAYLOAD_TOO_LARGE: the request's body is too large"),
    (
        "421",
        "HOST_NOT_ALLOWED: the request is for a host that this server does not go by",
    ),
    ("414", "URI_TOO_LONG: path and query are too long"),
    (
        "429",
        "RATE_LIMITED: the client asks more often than it may",
    ),
    ("431", "HEADERS_TOO_LARGE: the request's head is too large"),
    ("500", "INTERNAL: a fault of this server"),
    (
        "503",
        "OVERLOADED: there are more requests than the server has time for",
    ),
];

/// What a client is told of its limit, on every answer where there is one.
const RATE_HEADERS: [(&str, &str); 2] = [
    (
        "RateLimit",
        "Requests that are left (`r`), and seconds until all of them are there again (`t`)",
    ),
    (
        "RateLimit-Policy",
        "Requests (`q`) that a client has in so many seconds (`w`)",
    ),
];

/// The document in OpenAPI 3.1.
pub fn document() -> Value {
    // What the derive macro made of constants always serializes.
    let mut document = serde_json::to_value(ApiDoc::openapi()).unwrap_or_default();
    refine::refine(&mut document);
    Security::describe(&mut document);
    webhooks::describe(&mut document);
    let security = Security::of_routes();
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else {
        return document;
    };
    for (path, item) in paths.iter_mut() {
        let operations = item.as_object_mut().into_iter().flatten();
        for (method, operation) in operations.filter(|(key, _)| is_method(key)) {
            let Some(operation) = operation.as_object_mut() else {
                continue;
            };
            if let Some(responses) = responses(operation) {
                add_common(responses, |status| is_possible(status, method, path));
            }
            security.apply(path, method, operation);
            if let Some(responses) = responses(operation) {
                complete(responses);
            }
        }
    }
    document
}

/// The document in OpenAPI 3.0.3.
pub fn document_3_0() -> Value {
    downgrade::to_3_0(document())
}

fn responses(operation: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    operation.get_mut("responses")?.as_object_mut()
}

/// Adds the problems that the inbound layer answers with.
fn add_common(responses: &mut Map<String, Value>, is_possible: impl Fn(&str) -> bool) {
    let common = COMMON.iter().filter(|(status, _)| is_possible(status));
    for &(status, description) in common {
        responses
            .entry(status)
            .or_insert_with(|| problem(description));
    }
}

/// Adds the headers that every answer carries, and puts the answers into the order of their status.
fn complete(responses: &mut Map<String, Value>) {
    for (status, response) in responses.iter_mut() {
        let Some(response) = response.as_object_mut() else {
            continue;
        };
        let headers = response
            .entry("headers")
            .or_insert_with(|| Value::Object(Map::new()));
        headers["X-Request-Id"] = json!({
            "description": "The request's own id when it was well-formed, else a new one",
            "schema": { "type": "string" },
        });
        if status == "429" {
            for (name, description) in RATE_HEADERS {
                headers[name] = json!({
                    "description": description,
                    "schema": { "type": "string" },
                });
            }
        }
        if ["429", "503"].contains(&status.as_str()) {
            headers["Retry-After"] = json!({
                "description": "Seconds to wait before asking again, where they are known",
                "schema": { "type": "integer", "minimum": 1 },
            });
        }
    }
    responses.sort_keys();
}

fn problem(description: &str) -> Value {
    let mut content = Map::new();
    content.insert(
        PROBLEM_JSON.to_owned(),
        json!({ "schema": { "$ref": "#/components/schemas/Problem" } }),
    );
    json!({ "description": description, "content": content })
}

/// Whether an operation can answer with this of the common problems: those who watch the process are let in however busy it is,
/// probes under any name and as often as they like, and reads from any page.
fn is_possible(status: &str, method: &str, path: &str) -> bool {
    match status {
        "403" | "408" => !["get", "head", "options"].contains(&method),
        "421" | "429" => !["/livez", "/readyz"].contains(&path),
        "503" => !["/livez", "/readyz", "/metrics"].contains(&path),
        _ => true,
    }
}

fn is_method(key: &str) -> bool {
    [
        "get", "put", "post", "delete", "options", "head", "patch", "trace",
    ]
    .contains(&key)
}

/// Reads this document in OpenAPI 3.1
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "meta",
    operation_id = "read_openapi",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 304, description = "The caller has it"),
    )
)]
pub(super) async fn read_openapi(path: Segments, headers: HeaderMap) -> Result<Response, Problem> {
    static BODY: OnceLock<Fixed> = OnceLock::new();
    Params::read_only(path.query(), &[])?;
    let body = BODY.get_or_init(|| Fixed::new(document().to_string().into_bytes()));
    Ok(body.answer(&headers, "application/json"))
}

/// Reads this document in OpenAPI 3.0.3
#[utoipa::path(
    get,
    path = "/openapi-3.0.json",
    tag = "meta",
    operation_id = "read_openapi_3_0",
    responses(
        (status = 200, description = "The document", body = Object),
        (status = 304, description = "The caller has it"),
    )
)]
pub(super) async fn read_openapi_3_0(
    path: Segments,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    static BODY: OnceLock<Fixed> = OnceLock::new();
    Params::read_only(path.query(), &[])?;
    let body = BODY.get_or_init(|| Fixed::new(document_3_0().to_string().into_bytes()));
    Ok(body.answer(&headers, "application/json"))
}
