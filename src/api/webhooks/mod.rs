//! `/webhooks`: who is told what changes, and how that goes.
//!
//! What webhooks are told is of everybody's clusters, so they are there for a caller only who sees everything.

mod contract;
mod question;

use axum::extract::State;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use std::sync::Arc;
use std::time::Duration;

use super::code::Code;
use super::paging::{self, Paging};
use super::params;
use super::path::Segments;
use super::problem::{Document, Problem};
use super::query::Params;
use super::respond;
use super::state::ApiState;
use super::viewer::Viewer;
use crate::hooks::{Condition, DeliveryState, Listed, OutboxError, Page, Report, Webhooks};

pub(in crate::api) use contract::describe;
pub use question::interest;

/// When to ask again where deliveries cannot be read.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// One webhook and how it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
struct WebhookItem {
    /// Its name.
    #[schema(example = "ops")]
    name: String,
    /// Where events are sent: scheme, host and port, since the rest of a URL may be a secret.
    #[schema(example = "https://hooks.example.com")]
    target: String,
    /// Which changes it wants, as the query of `GET /changes`; empty is all of them.
    filter: String,
    /// Sources that it learns of; null is all of them.
    #[schema(required = true)]
    sources: Option<Vec<String>>,
    /// How it is. `disabled` and what follows from it are of this process alone.
    state: Condition,
    /// Deliveries that wait for their turn, or for another attempt.
    pending: u64,
    /// Deliveries that the server took in the last seven days, at most 100 000.
    delivered: u64,
    /// Dead letters of the last thirty days, at most 100 000.
    dead: u64,
    /// When the oldest delivery that waits was added; null where none waits.
    #[schema(required = true)]
    oldest_pending_at: Option<Timestamp>,
    /// When the server last took an event.
    #[schema(required = true)]
    last_success_at: Option<Timestamp>,
    /// The last attempt that failed; null where none did.
    #[schema(required = true)]
    last_failure: Option<WebhookFailure>,
    /// All changes up to this place were made deliveries of: a generation, or a place in one. Null before it began.
    #[schema(required = true, example = "1800000000000")]
    cursor: Option<String>,
}

/// An attempt that failed.
#[derive(Serialize, ToSchema)]
struct WebhookFailure {
    /// When it was.
    at: Timestamp,
    /// Why: `UNREACHABLE`, `TIMEOUT`, `TLS_FAILED`, `INTERRUPTED`, `TARGET_NOT_ALLOWED`, `SECRET_UNUSABLE`, `REDIRECTED`, `GONE`,
    /// `RATE_LIMITED`, `REFUSED` or `SERVER_ERROR`; the list may grow.
    code: String,
    /// The status of the answer; null where there was none.
    #[schema(required = true)]
    status: Option<u16>,
}

/// Every webhook.
#[derive(Serialize, ToSchema)]
struct WebhookList {
    /// The webhooks, in the order of the configuration.
    items: Vec<WebhookItem>,
}

/// One event on its way to one webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
struct DeliveryItem {
    /// The event's id, as in `webhook-id`: the same at each attempt.
    #[schema(example = "evt_5ad0bd8b33c9d3e1e0c4a1f4b6a9c7d2")]
    id: String,
    /// The event's type.
    #[schema(example = "cluster.updated")]
    r#type: String,
    /// The cluster or the source that it is about; null where it is about neither.
    #[schema(required = true)]
    subject: Option<String>,
    /// The generation that first shows the change.
    generation: u64,
    /// How far it is.
    state: DeliveryState,
    /// How often it was tried.
    attempts: u32,
    /// When it was added.
    created_at: Timestamp,
    /// When it is tried again; null where it is not.
    #[schema(required = true)]
    next_attempt_at: Option<Timestamp>,
    /// When it was last tried; null before.
    #[schema(required = true)]
    last_attempt_at: Option<Timestamp>,
    /// The status of the last answer; null where there was none.
    #[schema(required = true)]
    status: Option<u16>,
    /// Why the last attempt failed, `TOO_MANY_PENDING` or `EXPIRED` where it became a dead letter without one; null where nothing
    /// failed.
    #[schema(required = true)]
    code: Option<String>,
    /// When it was delivered, or became a dead letter; null before.
    #[schema(required = true)]
    ended_at: Option<Timestamp>,
}

/// Deliveries of one webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDeliveryList)]
struct DeliveryList {
    /// The deliveries, the newest first.
    items: Vec<DeliveryItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next_cursor: Option<String>,
}

impl WebhookItem {
    fn new(report: Report<'_>) -> Self {
        let Report {
            settings,
            condition,
            account,
            ..
        } = report;
        let sources = settings.sources.as_ref();
        let sources = sources.map(|names| names.iter().map(ToString::to_string).collect());
        let account = account.as_ref();
        let failure = account.and_then(|account| {
            Some(WebhookFailure {
                at: account.failure_at?,
                code: account.failure_code.clone().unwrap_or_default(),
                status: account.failure_status,
            })
        });
        Self {
            name: settings.name.to_string(),
            target: settings.target.origin(),
            filter: settings.filter.clone(),
            sources,
            state: condition,
            pending: account.map_or(0, |account| account.pending),
            delivered: account.map_or(0, |account| account.delivered),
            dead: account.map_or(0, |account| account.dead),
            oldest_pending_at: account.and_then(|account| account.oldest_pending),
            last_success_at: account.and_then(|account| account.success_at),
            last_failure: failure,
            cursor: account.map(|account| account.cursor.to_string()),
        }
    }
}

impl From<Listed> for DeliveryItem {
    fn from(listed: Listed) -> Self {
        Self {
            id: listed.id,
            r#type: listed.kind,
            subject: listed.subject,
            generation: listed.generation,
            state: listed.state,
            attempts: listed.attempts,
            created_at: listed.created_at,
            next_attempt_at: listed.next_attempt_at,
            last_attempt_at: listed.last_attempt_at,
            status: listed.status,
            code: listed.code,
            ended_at: listed.ended_at,
        }
    }
}

/// Lists the webhooks and how each one is
///
/// Webhooks are configured in the server's file. A caller who does not see everything sees none of them.
#[utoipa::path(
    get,
    path = "/webhooks",
    tag = "webhooks",
    operation_id = "list_webhooks",
    responses(
        (status = 200, description = "Every webhook", body = WebhookList),
        (status = 503, description = "WEBHOOKS_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_webhooks(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let items = match seen(&api, &viewer) {
        None => Vec::new(),
        Some(webhooks) => {
            let reports = webhooks.reports().await.map_err(unavailable)?;
            reports.into_iter().map(WebhookItem::new).collect()
        }
    };
    respond::json(&WebhookList { items }, respond::NO_STORE)
}

/// Lists deliveries of a webhook, the newest first
///
/// Those that wait, those of the last seven days that the server took, and the dead letters of the last thirty days.
#[utoipa::path(
    get,
    path = "/webhooks/{name}/deliveries",
    tag = "webhooks",
    operation_id = "list_webhook_deliveries",
    params(
        ("name" = String, Path, description = "The webhook's name", max_length = 63),
        ("state" = Option<DeliveryState>, Query, description = "Only in this state"),
        ("limit" = Option<u64>, Query, description = "Deliveries on a page; more than 1000 is taken as 1000", minimum = 1, example = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; `state` must be the same as there"),
    ),
    responses(
        (status = 200, description = "A page", body = DeliveryList,
            headers(("Link" = String, description = "The next page, as `rel=\"next\"`"))),
        (status = 404, description = "WEBHOOK_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "CURSOR_EXPIRED", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "WEBHOOKS_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_deliveries(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    let raw = path.query().unwrap_or_default();
    let params = Params::read_only(path.query(), &["state", "limit", "cursor"])?;
    let (webhooks, name) = named(&api, &viewer, &path)?;
    let most = params::limit(&params)?;
    let words = DeliveryState::ALL.map(DeliveryState::as_str);
    let state = match params.one("state")? {
        None => None,
        Some(word) => Some(
            DeliveryState::parse(word).ok_or_else(|| Problem::not_one_of("state", word, &words))?,
        ),
    };
    let canonical = format!(
        "deliveries;{name};{}",
        state.map_or("", DeliveryState::as_str)
    );
    let paging = Paging { most, canonical };
    let page = Page {
        state,
        before: paging.place(&params, |text| text.parse().ok())?,
        most: paging.wanted(),
    };
    let found = webhooks.list(&name, page).await.map_err(unavailable)?;
    let mut found = found.ok_or_else(|| Problem::webhook_not_found(&name))?;
    let next = paging.cut(&mut found, |last| last.number.to_string());
    let list = DeliveryList {
        items: found.into_iter().map(DeliveryItem::from).collect(),
        next_cursor: next.clone(),
    };
    let path = format!("/webhooks/{name}/deliveries");
    paging::answer(&list, &path, raw, next.as_deref())
}

/// Delivers an event once more
///
/// It is tried at once and from now on as long as a new one, with the same id and body. One that is being sent is left as it is.
#[utoipa::path(
    post,
    path = "/webhooks/{name}/deliveries/{id}/redeliver",
    tag = "webhooks",
    operation_id = "redeliver_webhook_event",
    params(
        ("name" = String, Path, description = "The webhook's name", max_length = 63),
        ("id" = String, Path, description = "The event's id", max_length = 64),
    ),
    responses(
        (status = 202, description = "It will be sent", body = DeliveryItem,
            headers(("Location" = String, description = "The deliveries of the webhook"))),
        (status = 404, description = "WEBHOOK_NOT_FOUND or DELIVERY_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "WEBHOOKS_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn redeliver_event(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let (webhooks, name) = named(&api, &viewer, &path)?;
    let id = path.decoded(3).unwrap_or_default();
    let found = webhooks.redeliver(&name, &id).await.map_err(unavailable)?;
    let found = found.ok_or_else(|| Problem::new(Code::DeliveryNotFound))?;
    accepted(&name, found)
}

/// Sends a `webhook.test` event
///
/// It tells nothing of any cluster, and passes every filter.
#[utoipa::path(
    post,
    path = "/webhooks/{name}/test",
    tag = "webhooks",
    operation_id = "test_webhook",
    params(("name" = String, Path, description = "The webhook's name", max_length = 63)),
    responses(
        (status = 202, description = "It will be sent", body = DeliveryItem,
            headers(("Location" = String, description = "The deliveries of the webhook"))),
        (status = 404, description = "WEBHOOK_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "WEBHOOKS_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn test_webhook(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let (webhooks, name) = named(&api, &viewer, &path)?;
    let added = webhooks.test(&name).await.map_err(unavailable)?;
    let added = added.ok_or_else(|| Problem::webhook_not_found(&name))?;
    accepted(&name, added)
}

fn accepted(name: &str, listed: Listed) -> Result<Response, Problem> {
    let mut response = respond::json(&DeliveryItem::from(listed), respond::NO_STORE)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    // A webhook's name is made of letters, digits and hyphens, so it always fits a header.
    if let Ok(location) = HeaderValue::try_from(format!("/webhooks/{name}/deliveries")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// The webhooks, for who sees everything.
pub(super) fn seen(api: &ApiState, viewer: &Viewer) -> Option<Arc<Webhooks>> {
    api.webhooks.clone().filter(|_| viewer.sees_everything())
}

/// The webhooks, and the name of the one that the path means.
fn named(
    api: &ApiState,
    viewer: &Viewer,
    path: &Segments,
) -> Result<(Arc<Webhooks>, String), Problem> {
    let name = path.decoded(1).unwrap_or_default().into_owned();
    match seen(api, viewer) {
        Some(webhooks) if webhooks.find(&name).is_some() => Ok((webhooks, name)),
        _ => Err(Problem::webhook_not_found(&name)),
    }
}

fn unavailable(_: OutboxError) -> Problem {
    Problem::new(Code::WebhooksUnavailable).with_retry_after(TRY_AGAIN)
}
