//! `/webhooks`: who is told what changes, and how that goes.
//!
//! What webhooks are told is of everybody's clusters, so they are there for a caller only who sees everything.

mod contract;
mod items;
mod question;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode};

use super::code::Code;
use super::paging::{self, Paging};
use super::params;
use super::path::Segments;
use super::problem::{Document, Problem};
use super::query::Params;
use super::respond;
use super::state::ApiState;
use super::viewer::Viewer;
use crate::hooks::{DeliveryState, Listed, OutboxError, Page, Webhooks};

pub(in crate::api) use contract::describe;
use items::{DeliveryItem, DeliveryList, WebhookItem, WebhookList};
pub use question::interest;

/// When to ask again where deliveries cannot be read.
const TRY_AGAIN: Duration = Duration::from_secs(5);

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
