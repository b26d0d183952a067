//! What each operation needs of its caller, read from the routes themselves.

use std::collections::HashMap;

use http::Method;
use serde_json::{Map, Value, json};

use super::super::guard::Needs;
use super::super::route::Rules;
use super::super::routes;
use super::problem;

/// The name of the one way to show who one is.
const SCHEME: &str = "bearer";

/// The rules of all routes, by template.
pub(super) struct Security(HashMap<&'static str, Rules>);

impl Security {
    pub(super) fn of_routes() -> Self {
        let routes = routes().into_iter();
        Self(
            routes
                .map(|route| (route.template, route.methods.rules))
                .collect(),
        )
    }

    /// Adds the scheme.
    pub(super) fn describe(document: &mut Value) {
        document["components"]["securitySchemes"][SCHEME] = json!({
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "API key (cg_…) or JWT",
            "description": "An API key made by `clustergate keys new`, or a token of an issuer that the server is configured for. A server without access control, which by default listens on loopback only, needs neither.",
        });
    }

    /// Says what an operation needs. One without a route is left without a word about it, which a test finds.
    pub(super) fn apply(&self, path: &str, method: &str, operation: &mut Map<String, Value>) {
        let method = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
        let needs = match (self.0.get(path), &method) {
            (Some(rules), Ok(method)) => rules.of(method),
            _ => None,
        };
        match needs {
            None => {}
            Some(Needs::Nothing) => {
                operation.insert("security".to_owned(), json!([]));
            }
            Some(Needs::Scope(scope)) => {
                // Either is right: the server may be one that needs nothing.
                let either = json!([{ SCHEME: [] }, {}]);
                operation.insert("security".to_owned(), either);
                operation.insert("x-required-scope".to_owned(), json!(scope.as_str()));
                if let Some(responses) = operation
                    .get_mut("responses")
                    .and_then(Value::as_object_mut)
                {
                    refusals(responses, scope.as_str(), Needs::Scope(scope).wants_audit());
                }
            }
        }
    }
}

/// What a caller is told that is not let in.
fn refusals(responses: &mut Map<String, Value>, scope: &str, is_audited: bool) {
    let challenge = json!({
        "WWW-Authenticate": {
            "description": "What to show instead (RFC 6750)",
            "schema": { "type": "string" },
        },
    });
    for (status, description) in [
        (
            "401",
            "UNAUTHENTICATED: nothing was shown that opens anything here".to_owned(),
        ),
        (
            "403",
            format!("FORBIDDEN: the caller lacks the scope {scope}"),
        ),
    ] {
        join(responses, status, &description);
        responses[status]["headers"] = challenge.clone();
    }
    join(
        responses,
        "503",
        "AUTH_UNAVAILABLE: the keys of the token's issuer cannot be read",
    );
    if is_audited {
        join(
            responses,
            "503",
            "AUDIT_UNAVAILABLE: the audit is required and cannot be written",
        );
    }
}

/// Adds a reason to the answers of a status.
fn join(responses: &mut Map<String, Value>, status: &str, reason: &str) {
    match responses.get_mut(status) {
        Some(response) => {
            let description = response["description"].as_str().unwrap_or_default();
            response["description"] = json!(format!("{description}; {reason}"));
        }
        None => {
            responses.insert(status.to_owned(), problem(reason));
        }
    }
}
