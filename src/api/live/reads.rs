//! `/clusters/{id}/nodes`, `/health` and `/metrics`: what a vendor says now, or the last that is known.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Uri};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{ClusterId, ClusterMetrics, Health, Kind, Node, Period, SourceName};
use crate::live::{Answer, Failure};
use crate::provider::Capability;

use super::super::problem::{Document, Problem};
use super::super::query::Params;
use super::super::state::ApiState;
use super::super::viewer::Viewer;
use super::{AT_ONCE, BRIEF, Found, failure, wants_fresh};

/// The nodes of one cluster.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct NodeList {
    /// The nodes.
    items: Arc<Vec<Node>>,
    /// The cluster.
    #[schema(value_type = String)]
    cluster: ClusterId,
    /// Its source.
    #[schema(value_type = String)]
    source: SourceName,
    /// Its source's provider.
    #[schema(value_type = String)]
    provider: Kind,
    /// When they were read, by our clock.
    fetched_at: Timestamp,
    /// Whether the vendor could not be asked now, so that this is the last that is known.
    stale: bool,
    /// Why not; only where it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    source_error: Option<&'static str>,
}

/// How well one cluster is.
#[derive(Serialize, ToSchema)]
#[schema(as = ClusterHealth)]
pub(in super::super) struct HealthReport {
    /// How well it is.
    #[serde(flatten)]
    health: Arc<Health>,
    /// The cluster.
    #[schema(value_type = String)]
    cluster: ClusterId,
    /// Its source.
    #[schema(value_type = String)]
    source: SourceName,
    /// Its source's provider.
    #[schema(value_type = String)]
    provider: Kind,
    /// When it was read, by our clock.
    fetched_at: Timestamp,
    /// Whether the vendor could not be asked now, so that this is, or follows from, the last that is known.
    stale: bool,
    /// Why not; only where it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    source_error: Option<&'static str>,
}

/// What a vendor measured of one cluster.
#[derive(Serialize, ToSchema)]
#[schema(as = MetricsReport)]
pub(in super::super) struct MetricsReport {
    /// What it measured.
    #[serde(flatten)]
    metrics: Arc<ClusterMetrics>,
    /// The cluster.
    #[schema(value_type = String)]
    cluster: ClusterId,
    /// Its source.
    #[schema(value_type = String)]
    source: SourceName,
    /// Its source's provider.
    #[schema(value_type = String)]
    provider: Kind,
    /// When it was read, by our clock.
    fetched_at: Timestamp,
    /// Whether the vendor could not be asked now, so that this is the last that is known.
    stale: bool,
    /// Why not; only where it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    source_error: Option<&'static str>,
}

/// Lists the nodes of one cluster
///
/// Asks the vendor; callers that come together share one call, and its answer is given again for a few seconds. With
/// `Cache-Control: no-cache` a call that begins now is wanted, at most one a second for each cluster. Where the vendor fails,
/// the last known nodes are the answer, with `stale` and their true `Age`.
#[utoipa::path(
    get,
    path = "/clusters/{id}/nodes",
    tag = "live",
    operation_id = "list_nodes",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` asks the vendor now"),
    ),
    responses(
        (status = 200, description = "The nodes", body = NodeList,
            headers(("Age" = u64, description = "Seconds since they were read"))),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "UPSTREAM_CONFLICT or UPSTREAM_NOT_READY: not in the cluster's state", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "UPSTREAM_FAILED, SOURCE_UNAVAILABLE, NOTHING_KNOWN, OVERLOADED or SHUTTING_DOWN", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE: no answer in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn list_nodes(
    State(api): State<ApiState>,
    viewer: Viewer,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::read_only(uri.query(), &[])?;
    let found = Found::locate(&api, &viewer, &uri)?;
    found.require(&api, Capability::Nodes)?;
    let read = api.live.nodes(&found.target, wants_fresh(&headers)).await;
    let known = || {
        let cluster = found.row().cluster()?;
        let at = found.snapshot.fetched_at(found.place)?;
        // Which of the two accounts the nodes are of is not kept, so their age is that of the older.
        let at = cluster.detailed_at.map_or(at, |detailed| detailed.min(at));
        Some((found.row().node_list()?, at))
    };
    let read = newest(read, known).map_err(|failure| found.gone(&api, &failure))?;
    let (stale, source_error) = standing(&read);
    let list = NodeList {
        items: Arc::clone(&read.value),
        cluster: found.target.id.clone(),
        source: found.target.source.clone(),
        provider: found.provider.clone(),
        fetched_at: read.at,
        stale,
        source_error,
    };
    super::answer(&list, read.at, caching(stale))
}

/// Reads how well one cluster is
///
/// As its vendor checks it, or as it follows from what the vendor says of it: `origin` tells which. Where the vendor fails, it
/// follows from what is known of the cluster.
#[utoipa::path(
    get,
    path = "/clusters/{id}/health",
    tag = "live",
    operation_id = "read_cluster_health",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` asks the vendor now"),
    ),
    responses(
        (status = 200, description = "How well it is", body = HealthReport,
            headers(("Age" = u64, description = "Seconds since it was read"))),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "UPSTREAM_CONFLICT or UPSTREAM_NOT_READY: not in the cluster's state", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "UPSTREAM_FAILED, SOURCE_UNAVAILABLE, NOTHING_KNOWN, OVERLOADED or SHUTTING_DOWN", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE: no answer in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn read_health(
    State(api): State<ApiState>,
    viewer: Viewer,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::read_only(uri.query(), &[])?;
    let found = Found::locate(&api, &viewer, &uri)?;
    found.require(&api, Capability::Health)?;
    let read = api.live.health(&found.target, wants_fresh(&headers)).await;
    let known = || {
        let at = found.snapshot.fetched_at(found.place)?;
        Some((Health::derive(&found.row().cluster()?), at))
    };
    let read = newest(read, known).map_err(|failure| found.gone(&api, &failure))?;
    let (stale, source_error) = standing(&read);
    let report = HealthReport {
        health: Arc::clone(&read.value),
        cluster: found.target.id.clone(),
        source: found.target.source.clone(),
        provider: found.provider.clone(),
        fetched_at: read.at,
        stale,
        source_error,
    };
    super::answer(&report, read.at, caching(stale))
}

/// Reads what the vendor measured of one cluster
#[utoipa::path(
    get,
    path = "/clusters/{id}/metrics",
    tag = "live",
    operation_id = "read_cluster_metrics",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("period" = Option<String>, Query, description = "How far back: whole hours or days from `1h` to `90d`; `24h` by default", example = "24h", pattern = "^[0-9]{1,4}[hd]$"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` asks the vendor now"),
    ),
    responses(
        (status = 200, description = "The series", body = MetricsReport,
            headers(("Age" = u64, description = "Seconds since they were read"))),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "UPSTREAM_CONFLICT or UPSTREAM_NOT_READY: not in the cluster's state", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "INVALID_VALUES: a period that this provider does not have; UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "UPSTREAM_FAILED, SOURCE_UNAVAILABLE, NOTHING_KNOWN, OVERLOADED or SHUTTING_DOWN", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE: no answer in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn read_cluster_metrics(
    State(api): State<ApiState>,
    viewer: Viewer,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = Params::read_only(uri.query(), &["period"])?;
    let period: Period = (params.one("period")?.unwrap_or("24h").parse()).map_err(
        |error: crate::domain::InvalidPeriod| {
            Problem::invalid_parameter("period", error.to_string())
        },
    )?;
    let found = Found::locate(&api, &viewer, &uri)?;
    found.require(&api, Capability::Metrics)?;
    let fresh = wants_fresh(&headers);
    let read = api.live.metrics(&found.target, period, fresh).await;
    let read = read.map_err(|failure| found.gone(&api, &failure))?;
    let (stale, source_error) = standing(&read);
    let report = MetricsReport {
        metrics: Arc::clone(&read.value),
        cluster: found.target.id.clone(),
        source: found.target.source.clone(),
        provider: found.provider.clone(),
        fetched_at: read.at,
        stale,
        source_error,
    };
    super::answer(&report, read.at, caching(stale))
}

impl Found {
    /// The problem of a read, which makes the list be read where the vendor says that the cluster is gone.
    pub(super) fn gone(&self, api: &ApiState, failure: &Failure) -> Problem {
        let problem = self.problem(failure);
        if problem.code() == super::Code::ClusterNotFound {
            api.control.refresh(&self.target.source);
        }
        problem
    }
}

/// What a vendor said, or the newer of what it last said and what the inventory knows.
fn newest<V>(
    read: Result<Answer<V>, Failure>,
    known: impl FnOnce() -> Option<(V, Timestamp)>,
) -> Result<Answer<V>, Failure> {
    let (failure, last) = match read {
        Ok(read) => match read.failed.clone() {
            None => return Ok(read),
            Some(failure) => (failure, Some(read)),
        },
        Err(failure) if failure.leaves_standing() => (failure, None),
        Err(failure) => return Err(failure),
    };
    let last_at = last.as_ref().map(|last| last.at);
    match known().filter(|(_, at)| last_at.is_none_or(|last| last < *at)) {
        Some((value, at)) => Ok(Answer {
            value: Arc::new(value),
            at,
            failed: Some(failure),
        }),
        None => last.ok_or(failure),
    }
}

/// Whether an answer is only the last that is known, and why.
pub(super) fn standing<V>(answer: &Answer<V>) -> (bool, Option<&'static str>) {
    let code = answer.failed.as_ref().map(failure::code);
    (code.is_some(), code)
}

pub(super) const fn caching(stale: bool) -> &'static str {
    if stale { AT_ONCE } else { BRIEF }
}
