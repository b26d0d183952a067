//! `/audit`: who did what, where that is kept in the store.
//!
//! It is of everybody and of all clusters, so it is there for a caller only who sees everything.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::code::Code;
use super::paging::{self, Paging};
use super::params;
use super::path::Segments;
use super::problem::{Document, Problem};
use super::query::Params;
use super::state::ApiState;
use super::viewer::Viewer;
use crate::access::audit::{Action, Audit, Kept, Place, Shelf, Wanted, Whereabouts};

/// When to ask again where the audit cannot be read.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// One thing that somebody did, or was not let do.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditEvent)]
struct AuditItem {
    /// Tells it from all others.
    #[schema(example = "1812")]
    id: String,
    /// When it was answered, to the microsecond.
    at: Timestamp,
    /// What happened: `write`, `kubeconfig_read`, `refresh`, `audit_read`, `authentication_failed`, `forbidden` or `events_lost`; the list may grow.
    #[schema(example = "write")]
    action: String,
    /// The id of the key, or the subject of the token; null where it is not known who asked.
    #[schema(required = true)]
    actor: Option<String>,
    /// What it is about, as the path named it: a cluster, a source or a webhook; null where the path names nothing.
    #[schema(required = true)]
    target: Option<String>,
    /// The HTTP status that it was answered with; null where there was no answer.
    #[schema(required = true)]
    status: Option<u16>,
    /// The request's id, as in `X-Request-Id`.
    #[schema(required = true)]
    request_id: Option<String>,
    /// The event as it was written down; null where what is kept is no event.
    #[schema(required = true, value_type = Option<Object>)]
    event: Option<Box<RawValue>>,
}

/// Events of the audit.
#[derive(Serialize, ToSchema)]
struct AuditList {
    /// The events, the newest first.
    items: Vec<AuditItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    next_cursor: Option<String>,
}

impl From<Kept> for AuditItem {
    fn from(kept: Kept) -> Self {
        let event = Some(kept.line).filter(|line| line.starts_with('{'));
        Self {
            id: kept.place.id.to_string(),
            at: Timestamp::from_microsecond(kept.place.at).unwrap_or(Timestamp::MIN),
            action: kept.action,
            actor: kept.actor,
            target: kept.target,
            status: kept.status,
            request_id: kept.request_id,
            event: event.and_then(|line| RawValue::from_string(line).ok()),
        }
    }
}

/// Lists who did what, the newest first
///
/// What was to be changed, every kubeconfig that was to be read, and everybody who was not let in, at all gateways that share the
/// store. An event is here shortly after its request was answered, and as long as `store.keep_audit` says. Each page that is read here
/// is an event as well.
#[utoipa::path(
    get,
    path = "/audit",
    tag = "audit",
    operation_id = "list_audit",
    params(
        ("since" = Option<String>, Query, description = "Only of this time or later, an RFC 3339 time", example = "2026-01-01T00:00:00Z"),
        ("until" = Option<String>, Query, description = "Only of before this time, an RFC 3339 time", example = "2027-01-01T00:00:00Z"),
        ("actor" = Option<String>, Query, description = "Only of the key of this id, or of tokens with this subject", min_length = 1),
        ("action" = inline(Option<Action>), Query, description = "Only of this kind"),
        ("target" = Option<String>, Query, description = "Only about this, as the path named it: a cluster, a source or a webhook", min_length = 1),
        ("limit" = Option<u64>, Query, description = "Events on a page; more than 1000 is taken as 1000", minimum = 1, example = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; the filters must be the same as there"),
    ),
    responses(
        (status = 200, description = "A page", body = AuditList,
            headers(("Link" = String, description = "The next page, as `rel=\"next\"`"))),
        (status = 403, description = "FORBIDDEN: the caller does not see everything", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "AUDIT_NOT_IN_STORE", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "CURSOR_EXPIRED", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "AUDIT_UNREADABLE", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_audit(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    if !viewer.sees_everything() {
        return Err(Problem::new(Code::Forbidden).with_detail(
            "the audit is of everybody: it is for callers who are limited to no sources and no projects",
        ));
    }
    let raw = path.query().unwrap_or_default();
    let allowed = [
        "since", "until", "actor", "action", "target", "limit", "cursor",
    ];
    let params = Params::read_only(path.query(), &allowed)?;
    let most = params::limit(&params)?;
    let filters = filters(&params)?;
    let paging = Paging {
        most,
        canonical: canonical(&filters),
    };
    let wanted = Wanted {
        before: paging.place(&params, place)?,
        most: paging.wanted(),
        ..filters
    };
    let found = shelf(&api)?.read(wanted).await;
    let mut found =
        found.map_err(|_| Problem::new(Code::AuditUnreadable).with_retry_after(TRY_AGAIN))?;
    let next = paging.cut(&mut found, |last| {
        format!("{}.{}", last.place.at, last.place.id)
    });
    let list = AuditList {
        items: found.into_iter().map(AuditItem::from).collect(),
        next_cursor: next.clone(),
    };
    paging::answer(&list, "/audit", raw, next.as_deref())
}

/// Where the audit can be read; else what is said of where it is.
fn shelf(api: &ApiState) -> Result<Arc<dyn Shelf>, Problem> {
    let audit = api.access.as_ref().and_then(|access| access.audit());
    let instead = match audit.map(Audit::whereabouts) {
        Some(Whereabouts::Shelf(shelf)) => return Ok(Arc::clone(shelf)),
        Some(Whereabouts::File) => "the audit is written to the file that `access.audit` names",
        Some(Whereabouts::Stdout) => "the audit is written to the server's standard output",
        None => "no audit is kept: `access.audit` is not set",
    };
    Err(Problem::new(Code::AuditNotInStore).with_detail(instead))
}

fn filters(params: &Params<'_>) -> Result<Wanted, Problem> {
    let words = Action::ALL.map(Action::as_str);
    let action = match params.one("action")? {
        None => None,
        Some(word) => {
            let action = Action::parse(word);
            Some(action.ok_or_else(|| Problem::not_one_of("action", word, &words))?)
        }
    };
    Ok(Wanted {
        since: time(params, "since")?,
        until: time(params, "until")?,
        actor: text(params, "actor")?,
        action,
        target: text(params, "target")?,
        ..Wanted::default()
    })
}

fn time(params: &Params<'_>, name: &str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = params.one(name)? else {
        return Ok(None);
    };
    let time = text.parse().map_err(|_| {
        Problem::invalid_parameter(
            name,
            "must be an RFC 3339 time, such as 2026-01-01T00:00:00Z",
        )
    })?;
    Ok(Some(time))
}

fn text(params: &Params<'_>, name: &str) -> Result<Option<String>, Problem> {
    match params.one(name)? {
        // No store has a text with it.
        Some(text) if text.is_empty() || text.contains('\0') => Err(Problem::invalid_parameter(
            name,
            "must not be empty, nor have a NUL in it",
        )),
        text => Ok(text.map(str::to_owned)),
    }
}

/// What a page token is bound to.
fn canonical(filters: &Wanted) -> String {
    format!("audit;{filters:?}")
}

/// The place that a page token names.
fn place(text: &str) -> Option<Place> {
    let (at, id) = text.split_once('.')?;
    Some(Place {
        at: at.parse().ok()?,
        id: id.parse().ok()?,
    })
}

#[cfg(test)]
mod tests;
