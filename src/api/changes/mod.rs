//! What changed in the inventory: as pages, of one cluster, and as it happens.
//!
//! Everything is read from the feed of the inventory, where each change lies as it is told; what is older comes from what keeps
//! it, where anything does.

mod credential;
pub(in crate::api) mod events;
pub(in crate::api) mod history;
mod page;
mod question;
mod stream;
mod walk;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::ACCEPT;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::inventory::token::{PageToken, TokenError};
use crate::inventory::{Cause, ChangeKind, Mark};

use super::clusters::{Format, refuse};
use super::filters::FiltersInShort;
use super::generation;
use super::params::{self, FILTERS};
use super::problem::{Document, Problem};
use super::query::Params;
use super::state::ApiState;
use super::viewer::Viewer;
use question::{CHOOSING, Since};
use walk::Walk;

pub(super) use page::link;
pub(super) use question::{expired, kinds};
pub(super) use walk::unavailable;

pub use events::watch_changes;
pub use history::read_history;

/// A value that is another one than before.
#[derive(Serialize, ToSchema)]
#[schema(as = FieldChange)]
struct FieldItem {
    /// The field: `name`, or `status.state` within an object.
    field: String,
    /// What it was; null where there was nothing.
    #[schema(value_type = serde_json::Value)]
    old: (),
    /// What it is; null where there is nothing.
    #[schema(value_type = serde_json::Value)]
    new: (),
}

/// One change.
#[derive(Serialize, ToSchema)]
#[schema(as = Change)]
struct ChangeItem {
    /// The generation that first shows it.
    generation: u64,
    /// When that was published.
    at: Timestamp,
    /// What happened.
    kind: ChangeKind,
    /// Why, as far as the gateway can tell.
    cause: Cause,
    /// The source.
    source: String,
    /// Its provider.
    provider: String,
    /// The cluster; null where it happened to the source.
    cluster: Option<String>,
    /// The cluster's name; the last one, where it is gone.
    name: Option<String>,
    /// What is another value than before. Empty for a cluster that is new or gone.
    fields: Vec<FieldItem>,
}

/// Changes, the oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = ChangeList)]
struct ChangeList {
    /// The changes.
    items: Vec<ChangeItem>,
    /// Where the next page begins; absent on the last one, and nothing else is a sign of the end. A page may be short, or empty,
    /// and not the last one.
    #[schema(required = false, nullable = false)]
    next_cursor: Option<String>,
    /// All changes up to this generation are told with this page and those before it. On the last page, `since` this generation
    /// tells what comes then, and nothing again.
    generation: u64,
    /// The items are of later generations than this one.
    since: u64,
    /// `since` can be this generation or any later one.
    complete_since: u64,
}

/// Lists changes
///
/// What changed since a generation that another answer named, or since a time; without `since`, the last changes. A change is
/// told where the cluster passes the filters before it or after it; what happens to a source is told to whoever asks for any of
/// its clusters. What changes by itself all the time, such as measurements, is left out without `noise=true`.
///
/// A cluster that is moved to a project that the caller does not see is told as `removed`, one that is moved from there as
/// `added`.
///
/// Changes reach back as far as they are kept, also over restarts. With a restart sources begin as `stale`; one that comes or goes
/// with the configuration has a `state` of null before or after.
///
/// All of it comes as NDJSON by `Accept: application/x-ndjson` or by `format`; `X-Inventory-Generation` says how far it goes.
#[utoipa::path(
    get,
    path = "/changes",
    tag = "changes",
    operation_id = "list_changes",
    params(
        ("since" = Option<String>, Query, description = "A generation, as answers name it, or an RFC 3339 time; what comes after it is told", example = "1800000000000"),
        ("kind" = Option<Vec<ChangeKind>>, Query, description = "What happened", explode = false),
        ("noise" = Option<bool>, Query, description = "Also what changes by itself all the time: measurements, counters, clocks"),
        FiltersInShort,
        ("limit" = Option<u64>, Query, description = "Changes on a page; more than 1000 is taken as 1000", minimum = 1, example = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; filters, `kind` and `noise` must be the same as there"),
        ("format" = Option<String>, Query, description = "`json`, or everything as `ndjson`", pattern = "^(json|ndjson)$"),
        ("min_generation" = Option<u64>, Query, description = "Waits for the inventory to be as new as this generation, which other answers name, for two seconds at most"),
    ),
    responses(
        (status = 200, description = "A page, or everything in another format",
            headers(
                ("X-Inventory-Generation" = u64, description = "The generation that was current"),
                ("Link" = String, description = "The next page, as `rel=\"next\"`"),
            ),
            content(
                (ChangeList = "application/json"),
                (String = "application/x-ndjson"),
            )),
        (status = 406, description = "NOT_ACCEPTABLE: none of the accepted types can be had", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "CHANGES_EXPIRED: list the clusters anew; or CURSOR_EXPIRED", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "GENERATION_NOT_REACHED, HISTORY_UNAVAILABLE or OVERLOADED", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_changes(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let raw = request.uri().query().unwrap_or_default();
    let params = Params::read(Some(raw))?;
    let mut allowed = FILTERS.to_vec();
    allowed.extend(CHOOSING);
    allowed.extend(["limit", "cursor", "format", generation::MIN_GENERATION]);
    params.only(&allowed)?;
    let limit = params::limit(&params)?;
    let offered = [Format::Json, Format::Ndjson];
    let accept = request.headers().get(ACCEPT);
    let format = Format::wanted(&offered, params.one("format")?, accept)?;
    generation::reached(&state, &params).await?;

    let viewer = Viewer::of(request.extensions(), &state);
    let snapshot = viewer.current(&state);
    let interest = question::interest(&params, &snapshot, &state)?;
    let canonical = question::canonical(&interest, &snapshot);
    let (until, noise) = (snapshot.generation, interest.noise);
    let since = match params.one("since")? {
        None => None,
        Some(text) => match question::since("since", text, &state, until, noise).await? {
            Since::Known(mark) => Some(mark),
            Since::Unknown => return Err(question::expired(&state, noise).await),
        },
    };
    let cursor = params.one("cursor")?;
    let at = match cursor {
        None => since,
        Some(cursor) => {
            let token =
                PageToken::decode(cursor, &canonical, 0, Timestamp::now()).map_err(refuse)?;
            let mark = Mark::parse(&token.position.id);
            Some(mark.ok_or_else(|| refuse(TokenError::Invalid))?)
        }
    };
    let mut walk = Walk {
        at: at.unwrap_or(Mark::after(state.feed().floor(noise))),
        interest: interest.into(),
        until,
        viewer,
        state,
    };
    if format == Format::Ndjson {
        if cursor.is_some() {
            return Err(Problem::invalid_parameter(
                "cursor",
                "belongs to pages of JSON; this format is always everything",
            ));
        }
        let most = params::whole_limit(&params)?;
        return page::whole(walk, most).await;
    }
    let (piece, since) = match at {
        Some(at) => (walk.next(limit, b',').await?, at.known()),
        None => page::last(&mut walk, limit).await?,
    };
    page::answer(&walk, &piece, since, &canonical, raw).await
}

#[cfg(test)]
mod tests;
