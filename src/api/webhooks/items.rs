//! Webhooks and deliveries as they are told.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::hooks::{Condition, DeliveryState, Listed, Report};

/// One webhook and how it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct WebhookItem {
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
    /// How it is, at all gateways that share the store.
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
pub(super) struct WebhookFailure {
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
pub(super) struct WebhookList {
    /// The webhooks, in the order of the configuration.
    pub(super) items: Vec<WebhookItem>,
}

/// One event on its way to one webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDelivery)]
pub(super) struct DeliveryItem {
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
pub(super) struct DeliveryList {
    /// The deliveries, the newest first.
    pub(super) items: Vec<DeliveryItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(super) next_cursor: Option<String>,
}

impl WebhookItem {
    pub(super) fn new(report: Report<'_>) -> Self {
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
