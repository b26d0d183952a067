//! `/sources`: what is known of each configured account, and asking for a refresh.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Kind, SourceName};
use crate::inventory::{Attempt, Control, Coverage, Freshness, SourceReport};
use crate::upstream::{BreakerState, Vitals};

use super::path::Segments;
use super::problem::{Document, Problem};
use super::query::Params;
use super::respond;
use super::state::ApiState;
use super::viewer::Viewer;

/// What a list answer says of each source it draws on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceStatus {
    /// The source.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Its provider.
    #[schema(value_type = String)]
    pub provider: Kind,
    /// How far its clusters can be trusted to be what the vendor has now.
    pub state: Freshness,
    /// When its list was last read to its end.
    #[schema(required = true)]
    pub fetched_at: Option<Timestamp>,
    /// Seconds from then until the answer's `as_of`.
    #[schema(required = true)]
    pub age_seconds: Option<u64>,
    /// Whether all of this is as an earlier process left it: no refresh has ended well since the start.
    pub restored: bool,
    /// Clusters of this source in the inventory, as far as the caller sees.
    pub clusters: usize,
    /// Items of its list that could not be read and are not shown: the answer is incomplete by them. Null where there are some,
    /// but not all of the source is seen: nobody knows whose they are.
    #[schema(required = true)]
    pub omitted: Option<usize>,
    /// Why its last refresh failed; null when it did not.
    #[schema(required = true)]
    pub error: Option<StatusError>,
}

/// Why a source's last refresh failed, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SourceStatusError)]
pub struct StatusError {
    /// One of a closed list of codes; never the vendor's text.
    pub code: &'static str,
    /// Whether it may pass without anybody changing anything.
    pub retryable: bool,
    /// When the next refresh is due; null while it is under way.
    #[schema(required = true)]
    pub next_attempt_at: Option<Timestamp>,
}

/// The short forms of the reports that an answer draws on; ages are as of `as_of`.
pub fn statuses(coverage: &Coverage<'_>, as_of: Timestamp) -> Vec<SourceStatus> {
    let sources = coverage.sources.iter();
    sources.map(|source| status(source, as_of)).collect()
}

fn status(report: &SourceReport, as_of: Timestamp) -> SourceStatus {
    SourceStatus {
        source: report.name.clone(),
        provider: report.provider.clone(),
        state: report.state,
        fetched_at: report.fetched_at,
        age_seconds: age(report.fetched_at, as_of),
        restored: report.restored,
        clusters: report.clusters,
        omitted: report.omitted(),
        error: report.error.map(|error| StatusError {
            code: error.code(),
            retryable: error.is_retryable(),
            next_attempt_at: due(report, as_of),
        }),
    }
}

/// What the calls to a source's vendor have seen; their number would tell how much there is beside what the caller sees.
fn vitals(report: &SourceReport, control: &dyn Control) -> Option<Vitals> {
    if report.is_partial {
        return None;
    }
    control.vitals(&report.name)
}

/// When the next refresh is due; a time that is over means that it is under way.
fn due(report: &SourceReport, now: Timestamp) -> Option<Timestamp> {
    report.next_attempt_at.filter(|at| *at > now)
}

/// Whole seconds from a time until another one; 0 when a clock went backwards.
fn age(since: Option<Timestamp>, until: Timestamp) -> Option<u64> {
    since.map(|since| u64::try_from(until.duration_since(since).as_secs()).unwrap_or(0))
}

/// One configured account of a provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct Source {
    /// The source.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Its provider.
    #[schema(value_type = String)]
    pub provider: Kind,
    /// How far its clusters can be trusted to be what the vendor has now.
    pub state: Freshness,
    /// When its list was last read to its end.
    #[schema(required = true)]
    pub fetched_at: Option<Timestamp>,
    /// Seconds since then.
    #[schema(required = true)]
    pub age_seconds: Option<u64>,
    /// Whether all of this is as an earlier process left it: no refresh has ended well since the start.
    pub restored: bool,
    /// Clusters of this source in the inventory, as far as the caller sees.
    pub clusters: usize,
    /// Items of the last good listing that could not be mapped; null where not all of the source is seen.
    #[schema(required = true)]
    pub rejected: Option<usize>,
    /// Of these, items of which no last good version is shown: the inventory is incomplete by them. Null where there are some,
    /// but not all of the source is seen: nobody knows whose they are.
    #[schema(required = true)]
    pub omitted: Option<usize>,
    /// Values that were set to null in the last good listing because they made no sense, by field; null where not all of the
    /// source is seen.
    #[schema(required = true)]
    pub warnings: Option<Vec<Warning>>,
    /// Why the last refresh failed; null when it did not.
    #[schema(required = true)]
    pub error: Option<SourceError>,
    /// Refreshes in a row that failed.
    pub failures: u32,
    /// The last attempts, newest first.
    pub attempts: Vec<AttemptReport>,
    /// When the next refresh is due; null while it is under way.
    #[schema(required = true)]
    pub next_attempt_at: Option<Timestamp>,
    /// How often it is refreshed.
    pub refresh_interval_seconds: f64,
    /// Clusters whose detail was never read, though the provider has one.
    pub details_pending: usize,
    /// What the calls to the vendor have seen; null when the source has no running client, or where not all of it is seen.
    #[schema(required = true)]
    pub upstream: Option<Upstream>,
}

/// How often one field had to be set to null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceWarning)]
pub struct Warning {
    /// The field of the cluster.
    #[schema(value_type = String)]
    pub field: Cow<'static, str>,
    /// How many clusters it concerns.
    pub count: u64,
}

/// Why a source's last refresh failed.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceError {
    /// One of a closed list of codes; never the vendor's text.
    pub code: &'static str,
    /// Whether it may pass without anybody changing anything.
    pub retryable: bool,
    /// What an operator can do about it.
    pub hint: &'static str,
    /// Since when refreshes fail.
    #[schema(required = true)]
    pub since: Option<Timestamp>,
    /// When the next refresh is due; null while it is under way.
    #[schema(required = true)]
    pub next_attempt_at: Option<Timestamp>,
}

/// How one attempt to refresh a source ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceAttempt)]
pub struct AttemptReport {
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration_ms: u64,
    /// `OK`, or the code of the failure.
    pub outcome: &'static str,
    /// Pages read; null where not all of the source is seen.
    #[schema(required = true)]
    pub pages: Option<u32>,
    /// Clusters read; null when the list was not read to its end, or where not all of the source is seen.
    #[schema(required = true)]
    pub clusters: Option<usize>,
    /// Items that could not be mapped; null where not all of the source is seen.
    #[schema(required = true)]
    pub rejected: Option<usize>,
}

/// What the calls to one source's vendor have seen.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceUpstream)]
pub struct Upstream {
    /// Requests sent since the start, retries included.
    pub requests: u64,
    /// Of these, retries.
    pub retries: u64,
    /// Calls in flight now.
    pub in_flight: usize,
    /// Whether calls are suspended after repeated failures.
    pub breaker: Breaker,
    /// What the vendor last said of its quota; null where it does not say.
    #[schema(required = true)]
    pub quota: Option<QuotaReport>,
    /// No call goes out before this time, because the vendor asked for it.
    #[schema(required = true)]
    pub not_before: Option<Timestamp>,
}

/// Whether calls are suspended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceBreaker)]
pub struct Breaker {
    /// `true` while calls are refused without being tried.
    pub open: bool,
    /// When the next probe may go.
    #[schema(required = true)]
    pub until: Option<Timestamp>,
}

/// A vendor's quota.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceQuota)]
pub struct QuotaReport {
    /// Calls allowed in one window.
    #[schema(required = true)]
    pub limit: Option<u64>,
    /// Calls left in this window.
    #[schema(required = true)]
    pub remaining: Option<u64>,
    /// When the window ends.
    #[schema(required = true)]
    pub resets_at: Option<Timestamp>,
}

impl Source {
    fn new(report: &SourceReport, vitals: Option<Vitals>, now: Timestamp) -> Self {
        let is_whole = !report.is_partial;
        let warnings = report.warnings.iter();
        let warnings = warnings.map(|(field, count)| Warning {
            field: field.clone(),
            count: *count,
        });
        let attempts = report.attempts.iter();
        Self {
            source: report.name.clone(),
            provider: report.provider.clone(),
            state: report.state,
            fetched_at: report.fetched_at,
            age_seconds: age(report.fetched_at, now),
            restored: report.restored,
            clusters: report.clusters,
            rejected: is_whole.then_some(report.rejected),
            omitted: report.omitted(),
            warnings: is_whole.then(|| warnings.collect()),
            error: report.error.map(|error| SourceError {
                code: error.code(),
                retryable: error.is_retryable(),
                hint: error.hint(),
                since: report.failing_since,
                next_attempt_at: due(report, now),
            }),
            failures: report.failures,
            attempts: attempts
                .map(|attempt| AttemptReport::new(attempt, is_whole))
                .collect(),
            next_attempt_at: due(report, now),
            refresh_interval_seconds: report.refresh_interval.as_secs_f64(),
            details_pending: report.details_pending,
            upstream: vitals.map(Upstream::from),
        }
    }
}

impl AttemptReport {
    fn new(attempt: &Attempt, is_whole: bool) -> Self {
        Self {
            started_at: attempt.started_at,
            duration_ms: u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
            outcome: attempt.error.map_or("OK", crate::provider::ErrorKind::code),
            pages: is_whole.then_some(attempt.pages),
            clusters: attempt.clusters,
            rejected: is_whole.then_some(attempt.rejected),
        }
    }
}

impl From<Vitals> for Upstream {
    fn from(vitals: Vitals) -> Self {
        let (open, until) = match vitals.breaker {
            BreakerState::Closed => (false, None),
            BreakerState::Open { until } => (true, Some(until)),
        };
        Self {
            requests: vitals.requests,
            retries: vitals.retries,
            in_flight: vitals.in_flight,
            breaker: Breaker { open, until },
            quota: vitals.quota.map(|quota| QuotaReport {
                limit: quota.limit,
                remaining: quota.remaining,
                resets_at: quota.resets_at,
            }),
            not_before: vitals.not_before,
        }
    }
}

/// Every configured source that the caller sees.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceList {
    /// The sources, by name.
    pub items: Vec<Source>,
    /// The generation they are of.
    pub generation: u64,
    /// When that generation was published.
    pub as_of: Timestamp,
}

/// A refresh that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefreshAccepted {
    /// The source.
    #[schema(value_type = String)]
    pub source: SourceName,
    /// Whether a refresh was already running or asked for, which this request joined.
    pub joined: bool,
    /// The vendor asked not to be called before this time; the refresh waits for it.
    #[schema(required = true)]
    pub not_before: Option<Timestamp>,
}

/// Lists the configured sources and how well each one can be read
#[utoipa::path(
    get,
    path = "/sources",
    tag = "sources",
    operation_id = "list_sources",
    responses((status = 200, description = "Every configured source", body = SourceList))
)]
pub(super) async fn list_sources(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let snapshot = viewer.current(&api);
    let now = Timestamp::now();
    let items = snapshot
        .sources()
        .iter()
        .map(|report| Source::new(report, vitals(report, api.control.as_ref()), now))
        .collect();
    let list = SourceList {
        items,
        generation: snapshot.generation,
        as_of: snapshot.as_of,
    };
    respond::json(&list, respond::NO_STORE)
}

/// Reads one source: its state, its last attempts and its vendor's quota
#[utoipa::path(
    get,
    path = "/sources/{name}",
    tag = "sources",
    operation_id = "find_source",
    params(("name" = String, Path, description = "The source's name", max_length = 63)),
    responses(
        (status = 200, description = "The source", body = Source),
        (status = 404, description = "SOURCE_NOT_FOUND", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn find_source(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let name = named(&path)?;
    let snapshot = viewer.current(&api);
    let report = snapshot
        .source(name.as_str())
        .ok_or_else(|| Problem::source_not_found(name.as_str()))?;
    let vitals = vitals(report, api.control.as_ref());
    let source = Source::new(report, vitals, Timestamp::now());
    respond::json(&source, respond::NO_STORE)
}

/// Asks for a refresh of one source now; requests that come together are one refresh
#[utoipa::path(
    post,
    path = "/sources/{name}/refresh",
    tag = "sources",
    operation_id = "refresh_source",
    params(("name" = String, Path, description = "The source's name", max_length = 63)),
    responses(
        (status = 202, description = "The refresh will run", body = RefreshAccepted,
            headers(("Location" = String, description = "The source, whose attempts will show the outcome"))),
        (status = 404, description = "SOURCE_NOT_FOUND", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn refresh_source(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let name = named(&path)?;
    let snapshot = viewer.current(&api);
    let requested = snapshot
        .source(name.as_str())
        .and_then(|_| api.control.refresh(&name))
        .ok_or_else(|| Problem::source_not_found(name.as_str()))?;
    // A source's name is made of letters, digits and hyphens, so it always fits a header.
    let location = HeaderValue::try_from(format!("/sources/{name}"));
    let accepted = RefreshAccepted {
        source: name,
        joined: requested.joined,
        not_before: requested.not_before,
    };
    let mut response = respond::json(&accepted, respond::NO_STORE)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The source that the path names; what cannot be a name is not one.
fn named(path: &Segments) -> Result<SourceName, Problem> {
    let text = path.decoded(1).unwrap_or_default();
    SourceName::new(text.as_ref()).map_err(|_| Problem::source_not_found(&text))
}
