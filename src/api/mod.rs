//! The public HTTP contract.
//!
//! [`router`] is the whole API as an [`axum::Router`]: it is served over a socket by [`server::serve`], and called in process by
//! the command line and by tests. Every read of the inventory is answered from the current snapshot and waits for no vendor;
//! what must reach one now is below one cluster, or a write ([`live`]).

mod armor;
pub mod audit;
mod body;
pub mod changes;
pub mod clusters;
pub mod code;
mod cors;
pub mod docs;
pub mod filters;
mod generation;
pub mod guard;
pub mod health;
mod inbound;
pub mod index;
pub mod live;
pub mod load;
pub mod openapi;
mod paging;
pub mod params;
pub mod path;
pub mod problem;
pub mod problems;
pub mod providers;
pub mod query;
pub mod rate;
pub mod respond;
pub mod route;
mod scrub;
pub mod server;
mod site;
mod source_metrics;
pub mod sources;
mod state;
mod store_metrics;
pub mod summary;
mod then;
pub mod viewer;
mod webhook_metrics;
pub mod webhooks;

#[cfg(test)]
pub(crate) mod testing;

use axum::Router;
use axum::routing::any;

use crate::access::Scope;
use guard::Needs;
use inbound::Inbound;
use route::{Methods, Route, always, delete, get, patch, post, probe, route};

pub use code::Code;
pub use cors::Origins;
pub use problem::Problem;
pub use site::Hosts;
pub use state::{ApiState, HEARTBEAT, Settings};
pub use viewer::Viewer;

/// Needed of nobody: these say nothing about anybody's clusters.
const NOTHING: Needs = Needs::Nothing;
const READ: Needs = Needs::Scope(Scope::ClustersRead);
const REFRESH: Needs = Needs::Scope(Scope::SourcesRefresh);
const WRITE: Needs = Needs::Scope(Scope::ClustersWrite);
const KUBECONFIG: Needs = Needs::Scope(Scope::KubeconfigRead);
const METRICS: Needs = Needs::Scope(Scope::MetricsRead);
const AUDIT: Needs = Needs::Scope(Scope::AuditRead);
const HOOKS_READ: Needs = Needs::Scope(Scope::WebhooksRead);
const HOOKS_WRITE: Needs = Needs::Scope(Scope::WebhooksWrite);

/// Every route, on one screen, with what each method needs of the caller where access is controlled.
fn routes() -> Vec<Route> {
    vec![
        route("/", get(NOTHING, index::index)),
        route(
            "/clusters",
            get(READ, clusters::list_clusters).and(post(WRITE, live::create_cluster)),
        ),
        route(
            "/clusters/{id}",
            get(READ, clusters::find_cluster)
                .and(patch(WRITE, live::update_cluster))
                .and(delete(WRITE, live::forget_cluster)),
        ),
        route("/clusters/{id}/nodes", get(READ, live::list_nodes)),
        route("/clusters/{id}/health", get(READ, live::read_health)),
        route(
            "/clusters/{id}/kubeconfig",
            get(KUBECONFIG, live::read_kubeconfig),
        ),
        route(
            "/clusters/{id}/credential",
            get(KUBECONFIG, live::read_credential),
        ),
        route("/kubeconfig", get(KUBECONFIG, live::read_merged_kubeconfig)),
        route(
            "/clusters/{id}/metrics",
            get(READ, live::read_cluster_metrics),
        ),
        route(
            "/clusters/{id}/operations",
            get(READ, live::list_cluster_operations),
        ),
        route(
            "/clusters/{id}/provision",
            post(WRITE, live::provision_cluster),
        ),
        route("/clusters/{id}/destroy", post(WRITE, live::destroy_cluster)),
        route("/clusters/{id}/history", get(READ, changes::read_history)),
        route("/changes", get(READ, changes::list_changes)),
        route("/events", get(READ, changes::watch_changes)),
        route("/operations", get(READ, live::list_operations)),
        route("/operations/{id}", get(READ, live::find_operation)),
        route("/summary", get(READ, summary::summarize)),
        route("/providers", get(READ, providers::list_providers)),
        route("/providers/{name}", get(READ, providers::find_provider)),
        route("/sources", get(READ, sources::list_sources)),
        route("/sources/{name}", get(READ, sources::find_source)),
        route(
            "/sources/{name}/refresh",
            post(REFRESH, sources::refresh_source),
        ),
        route("/webhooks", get(HOOKS_READ, webhooks::list_webhooks)),
        route(
            "/webhooks/{name}/deliveries",
            get(HOOKS_READ, webhooks::list_deliveries),
        ),
        route(
            "/webhooks/{name}/deliveries/{id}/redeliver",
            post(HOOKS_WRITE, webhooks::redeliver_event),
        ),
        route(
            "/webhooks/{name}/test",
            post(HOOKS_WRITE, webhooks::test_webhook),
        ),
        route("/audit", get(AUDIT, audit::list_audit)),
        route("/problems/{code}", get(NOTHING, problems::find_problem)),
        route("/openapi.json", get(NOTHING, openapi::read_openapi)),
        route("/openapi-3.0.json", get(NOTHING, openapi::read_openapi_3_0)),
        route("/docs", get(NOTHING, docs::redirect)),
        route("/docs/", get(NOTHING, docs::page)),
        route("/docs/{*file}", get(NOTHING, docs::file)),
        probe("/livez", get(NOTHING, health::check_liveness)),
        probe("/readyz", get(NOTHING, health::check_readiness)),
        always("/metrics", get(METRICS, health::read_metrics)),
    ]
}

/// The API as a service.
pub fn router(state: ApiState) -> Router {
    assemble(routes(), state)
}

/// Puts each route behind its own gate, so that a request's counters and rules are known without looking its path up again.
fn assemble(routes: Vec<Route>, state: ApiState) -> Router {
    let inbound = Inbound::new(state.clone());
    let mut router = Router::new();
    for route in routes {
        let Methods {
            router: methods,
            rules,
        } = route.methods;
        let gate = inbound.gate(route.template, rules, route.door);
        let methods = methods.fallback(method_not_allowed).layer(gate);
        router = router.route(route.template, methods);
    }
    let gate = inbound.gate_of_nothing("unmatched");
    router
        .fallback_service(any(not_found).layer(gate).with_state(()))
        .with_state(state)
}

async fn not_found() -> Problem {
    Problem::new(Code::NotFound)
}

/// The router adds `Allow` by itself.
async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed)
}

#[cfg(test)]
mod tests;
