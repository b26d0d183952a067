//! `/livez`, `/readyz` and `/metrics`: for those who watch the process.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::SourceName;
use crate::inventory::Freshness;
use crate::inventory::journal::Journal;
use crate::live::{Live, Standing};
use crate::telemetry::metrics;

use super::code::Code;
use super::path::Segments;
use super::problem::{Document, Problem};
use super::query::Params;
use super::respond;
use super::source_metrics::SourceCollector;
use super::state::ApiState;
use super::store_metrics::StoreCollector;
use super::viewer::Viewer;
use super::webhook_metrics::WebhookCollector;
use super::webhooks;

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: anything else is a problem document.
    pub status: &'static str,
    /// What was looked at, as far as the caller sees; only with `verbose`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub checks: Option<Vec<Check>>,
    /// The parts of the server; only with `verbose`. None of them makes it unready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub parts: Option<Vec<Part>>,
}

/// How one part of the server is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthPart)]
pub struct Part {
    /// `inventory`, which is served from memory, `store`, which has it outlive the process, or `operations`, which outlive it in the
    /// same store together with the answers to idempotency keys.
    pub part: &'static str,
    /// How it is.
    pub status: PartStatus,
    /// Since when it is behind; null where it is not.
    #[schema(required = true)]
    pub since: Option<Timestamp>,
    /// Why it is behind, one of a closed list of codes; null where it is not.
    #[schema(required = true)]
    pub code: Option<&'static str>,
}

/// How a part of the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = HealthPartStatus)]
#[serde(rename_all = "snake_case")]
pub enum PartStatus {
    /// As it should be.
    Ok,
    /// It does not have all that is shown; what is missing is lost if the process ends now.
    Behind,
    /// There is none.
    Off,
}

/// The parts of the server, as they are now.
fn parts(journal: &dyn Journal, live: &Live) -> Vec<Part> {
    let operations = live.standing();
    let standing = journal.standing();
    let status = match &standing {
        None => PartStatus::Off,
        Some(standing) if standing.behind.is_some() => PartStatus::Behind,
        Some(_) => PartStatus::Ok,
    };
    let behind = standing.and_then(|standing| standing.behind);
    vec![
        Part {
            part: "inventory",
            status: PartStatus::Ok,
            since: None,
            code: None,
        },
        Part {
            part: "store",
            status,
            since: behind.map(|behind| behind.since),
            code: behind.map(|behind| behind.code),
        },
        of_operations(operations),
    ]
}

fn of_operations(standing: Option<Standing>) -> Part {
    let behind = standing.and_then(|standing| standing.behind);
    let status = match standing {
        None => PartStatus::Off,
        Some(standing) if behind.is_some() || standing.unkept > 0 => PartStatus::Behind,
        Some(_) => PartStatus::Ok,
    };
    Part {
        part: "operations",
        status,
        since: behind.map(|(since, _)| since),
        code: behind.map(|(_, code)| code),
    }
}

/// One thing that was looked at for readiness.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HealthCheck)]
pub struct Check {
    /// The source.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Whether it was attempted once, or restored. Only this counts, and only until the server was ready once.
    pub attempted: bool,
    /// How far its clusters can be trusted; no state of a source makes a server unready.
    pub state: Freshness,
}

/// Says that the process answers
#[utoipa::path(
    get,
    path = "/livez",
    tag = "health",
    operation_id = "check_liveness",
    responses((status = 200, description = "It answers", body = Health))
)]
pub(super) async fn check_liveness(path: Segments) -> Result<Response, Problem> {
    Params::read_only(path.query(), &["verbose"])?.flag("verbose")?;
    let health = Health {
        status: "ok",
        checks: None,
        parts: None,
    };
    respond::json(&health, respond::NO_STORE)
}

/// Says whether requests should be sent here
///
/// Ready is a server that attempted every source once, or waited ten seconds for it. From then on it stays ready, whatever the
/// vendors do, until it is told to stop, or a part of it fails without which nothing new is shown.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    operation_id = "check_readiness",
    params(("verbose" = Option<bool>, Query, description = "Lists what was looked at")),
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "NOTHING_KNOWN before the first attempts are over, INVENTORY_STOPPED where nothing new is shown any more, SHUTTING_DOWN before the end", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn check_readiness(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    let verbose = Params::read_only(path.query(), &["verbose"])?.flag("verbose")?;
    if api.is_draining() {
        return Err(Problem::new(Code::ShuttingDown));
    }
    if api.control.has_failed() {
        return Err(Problem::new(Code::InventoryStopped));
    }
    if !api.is_settled() {
        return Err(Problem::new(Code::NothingKnown)
            .with_detail("the first refresh of every source is under way")
            .with_retry_after(std::time::Duration::from_secs(1)));
    }
    let checks = verbose.then(|| {
        let snapshot = viewer.current(&api);
        let sources = snapshot.sources().iter();
        sources
            .map(|source| Check {
                source: source.name.clone(),
                attempted: source.fetched_at.is_some() || !source.attempts.is_empty(),
                state: source.state,
            })
            .collect()
    });
    let health = Health {
        status: "ok",
        checks,
        parts: verbose.then(|| parts(api.journal.as_ref(), &api.live)),
    };
    respond::json(&health, respond::NO_STORE)
}

/// Reads the metrics in the text format of Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    operation_id = "read_metrics",
    responses((status = 200, description = "The metrics", body = String, content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"))
)]
pub(super) async fn read_metrics(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let seen = Arc::clone(viewer.current(&api).seen());
    if let Some(access) = &api.access {
        if let Some(audit) = access.audit() {
            api.metrics.audit_has_lost(audit.lost());
        }
        if let Some(times) = access.refused_keys_files() {
            api.metrics.keys_were_refused(times);
        }
        if let Some(keys) = access.unreadable_keys() {
            api.metrics.keys_are_unreadable(keys);
        }
    }
    let sources = SourceCollector::new(seen, Arc::clone(&api.control));
    let store = StoreCollector {
        inventory: api.journal.standing(),
        operations: api.live.standing(),
    };
    let mut shown: Vec<Box<dyn Collector>> = vec![Box::new(sources), Box::new(store)];
    if let Some(webhooks) = webhooks::seen(&api, &viewer)
        // Where the store cannot be asked its own metrics say so.
        && let Ok(reports) = webhooks.reports().await
    {
        shown.push(Box::new(WebhookCollector::new(reports)));
    }
    let text = api.metrics.render(shown).map_err(|error| {
        tracing::error!(%error, "metrics could not be rendered");
        Problem::new(Code::Internal)
    })?;
    Ok(respond::bytes(
        Bytes::from(text),
        metrics::CONTENT_TYPE,
        respond::NO_STORE,
    ))
}
