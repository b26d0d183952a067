//! The public HTTP contract.
//!
//! [`router`] is the whole API as an [`axum::Router`]: it is served over a socket by [`server::serve`], and called in process by
//! the command line and by tests. Nothing here waits for a vendor: every read is answered from the current snapshot.

mod body;
pub mod clusters;
pub mod code;
pub mod docs;
pub mod filters;
pub mod health;
mod inbound;
pub mod index;
pub mod load;
pub mod openapi;
pub mod params;
pub mod path;
pub mod problem;
pub mod problems;
pub mod providers;
pub mod query;
pub mod respond;
pub mod server;
mod site;
mod source_metrics;
pub mod sources;
mod state;
pub mod summary;
pub mod viewer;

#[cfg(test)]
pub(crate) mod testing;

use axum::Router;
use axum::routing::{MethodRouter, any, get, post};

use inbound::{Door, Gate, Inbound};

pub use code::Code;
pub use problem::Problem;
pub use site::Hosts;
pub use state::{ApiState, Settings};
pub use viewer::Viewer;

/// Every route, on one screen.
fn routes(inbound: Inbound) -> Routes {
    Routes::new(inbound)
        .route("/", get(index::index))
        .route("/clusters", get(clusters::list_clusters))
        .route("/clusters/{id}", get(clusters::find_cluster))
        .route("/summary", get(summary::summarize))
        .route("/providers", get(providers::list_providers))
        .route("/providers/{name}", get(providers::find_provider))
        .route("/sources", get(sources::list_sources))
        .route("/sources/{name}", get(sources::find_source))
        .route("/sources/{name}/refresh", post(sources::refresh_source))
        .route("/problems/{code}", get(problems::find_problem))
        .route("/openapi.json", get(openapi::read_openapi))
        .route("/openapi-3.0.json", get(openapi::read_openapi_3_0))
        .route("/docs", get(docs::redirect))
        .route("/docs/", get(docs::page))
        .route("/docs/{*file}", get(docs::file))
        .probe("/livez", get(health::check_liveness))
        .probe("/readyz", get(health::check_readiness))
        .always("/metrics", get(health::read_metrics))
}

/// The API as a service.
pub fn router(state: ApiState) -> Router {
    let inbound = Inbound::new(state.clone());
    routes(inbound).finish(state)
}

/// Routes, each behind its own gate, so that a request's counters are known without looking its path up again.
struct Routes {
    router: Router<ApiState>,
    inbound: Inbound,
    templates: Vec<&'static str>,
}

impl Routes {
    fn new(inbound: Inbound) -> Self {
        Self {
            router: Router::new(),
            inbound,
            templates: Vec::new(),
        }
    }

    /// A route that is refused while the server is too busy, and to those who call it by another's name.
    fn route(self, template: &'static str, methods: MethodRouter<ApiState>) -> Self {
        let gate = self.inbound.gate(template, Door::Guarded);
        self.add(template, methods, gate)
    }

    /// A route that is answered however busy the server is.
    fn always(self, template: &'static str, methods: MethodRouter<ApiState>) -> Self {
        let gate = self.inbound.gate(template, Door::Uncapped);
        self.add(template, methods, gate)
    }

    /// A route that is answered however busy the server is, under whatever name: probes call it by the address of the moment.
    fn probe(self, template: &'static str, methods: MethodRouter<ApiState>) -> Self {
        let gate = self.inbound.gate(template, Door::Open);
        self.add(template, methods, gate)
    }

    fn add(mut self, template: &'static str, methods: MethodRouter<ApiState>, gate: Gate) -> Self {
        self.templates.push(template);
        self.router = self
            .router
            .route(template, methods.fallback(method_not_allowed).layer(gate));
        self
    }

    fn finish(self, state: ApiState) -> Router {
        let gate = self.inbound.gate("unmatched", Door::Guarded);
        self.router
            .fallback_service(any(not_found).layer(gate).with_state(()))
            .with_state(state)
    }
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
