//! Operations: how far work on clusters is.

use axum::extract::State;
use axum::response::Response;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Uri};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{ClusterId, Kind, Operation, OperationId, OperationState, SourceName};
use crate::live::{Failure, Known, Origin, Place, Selection};
use crate::provider::{Capability, ErrorKind};

use super::super::code::Code;
use super::super::paging::Paging;
use super::super::params;
use super::super::path::Segments;
use super::super::problem::{Document, Problem};
use super::super::query::Params;
use super::super::state::ApiState;
use super::super::viewer::Viewer;
use super::act::POLL;
use super::reads::standing;
use super::{AT_ONCE, Found, failure, require, wants_fresh};

/// What a provider must have one of to have operations: a vendor's record of them, or writes that the gateway follows.
const TELLING: [Capability; 6] = [
    Capability::Operations,
    Capability::Create,
    Capability::Update,
    Capability::Provision,
    Capability::Destroy,
    Capability::Forget,
];

const STATES: [(&str, OperationState); 5] = [
    ("pending", OperationState::Pending),
    ("running", OperationState::Running),
    ("succeeded", OperationState::Succeeded),
    ("failed", OperationState::Failed),
    ("unknown", OperationState::Unknown),
];

/// One operation.
#[derive(Serialize, ToSchema)]
#[schema(as = OperationItem)]
pub(in super::super) struct OperationItem {
    /// `<source>:<the vendor's id>`; `<source>:gw-…` where the vendor has no record and the gateway follows the cluster.
    #[schema(value_type = String, example = "lakesail-main:OP00000002")]
    id: OperationId,
    /// What is known of it.
    #[serde(flatten)]
    operation: Operation,
    /// The source at whose vendor it runs.
    #[schema(value_type = String)]
    source: SourceName,
    /// The source's provider.
    #[schema(value_type = String)]
    provider: Kind,
    /// The cluster that it works on; null where that is not known.
    #[schema(value_type = Option<String>, required = true)]
    cluster: Option<ClusterId>,
    /// Who tells how far it is.
    origin: Origin,
    /// When it was read, by our clock.
    fetched_at: Timestamp,
    /// Whether it is kept in the store, so that it outlives the server; also false where the store was away when it began.
    durable: bool,
    /// Whether the vendor could not be asked now, so that this is the last that is known.
    stale: bool,
    /// Why not; only where it is stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    source_error: Option<&'static str>,
}

/// Operations that this server knows.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct OperationList {
    /// The operations, the newest first, as they were when they were last read.
    items: Vec<OperationItem>,
    /// Where the next page begins; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    next_cursor: Option<String>,
}

/// The operations of one cluster.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct ClusterOperations {
    /// The operations, the newest first.
    items: Vec<OperationItem>,
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

impl OperationItem {
    pub(super) fn new(known: &Known, failed: Option<&Failure>) -> Self {
        let source_error = failed.map(failure::code);
        Self {
            id: known.id.clone(),
            operation: known.operation.clone(),
            source: known.source.clone(),
            provider: known.provider.clone(),
            cluster: known.cluster.clone(),
            origin: known.origin,
            fetched_at: known.at,
            durable: known.durable,
            stale: source_error.is_some(),
            source_error,
        }
    }
}

/// Lists the operations that this server knows
///
/// Those that it started and those that it saw at a cluster, as they were when they were last read: nothing is asked of a vendor.
/// Those that were started outlive a restart where there is a store, and every server that shares it lists them.
#[utoipa::path(
    get,
    path = "/operations",
    tag = "live",
    operation_id = "list_operations",
    params(
        ("source" = Option<String>, Query, description = "Only of this source"),
        ("cluster" = Option<String>, Query, description = "Only of this cluster"),
        ("state" = Option<String>, Query, description = "Only in these states, separated by commas", example = "pending,running"),
        ("limit" = Option<u64>, Query, description = "Operations on a page; more than 1000 is taken as 1000", minimum = 1, example = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = OperationList),
        (status = 410, description = "CURSOR_EXPIRED", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "OPERATIONS_UNAVAILABLE: what is kept cannot be read, and a list without it would not be whole", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn list_operations(
    State(api): State<ApiState>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::read_only(
        uri.query(),
        &["source", "cluster", "state", "limit", "cursor"],
    )?;
    let mut selection = Selection {
        limit: params::limit(&params)?,
        ..Selection::default()
    };
    let snapshot = viewer.current(&api);
    if let Some(name) = params.one("source")? {
        let names: Vec<&str> = (snapshot.sources().iter())
            .map(|source| source.name.as_str())
            .collect();
        let known = snapshot.source(name);
        let known = known.ok_or_else(|| Problem::not_one_of("source", name, &names))?;
        selection.source = Some(known.name.clone());
    }
    if let Some(id) = params.one("cluster")? {
        let id = ClusterId::parse(id);
        let id = id.ok_or_else(|| Problem::invalid_parameter("cluster", "is no cluster's id"))?;
        selection.cluster = Some(id);
    }
    for word in params.all("state").flat_map(|words| words.split(',')) {
        let known = STATES.iter().find(|(name, _)| *name == word.trim());
        let (_, state) = known
            .ok_or_else(|| Problem::not_one_of("state", word, &STATES.map(|(name, _)| name)))?;
        selection.states.push(*state);
    }
    let paging = Paging {
        most: selection.limit,
        canonical: canonical(&selection),
    };
    selection.after = paging.place(&params, read)?;
    let sees = |known: &Known| viewer.sees_operation(&snapshot, known);
    let found = api.live.known_operations(&selection, &sees).await;
    let (found, next) = found.map_err(|_| {
        Problem::new(Code::OperationsUnavailable).with_retry_after(failure::SHORTLY)
    })?;
    let list = OperationList {
        items: found
            .iter()
            .map(|known| OperationItem::new(known, None))
            .collect(),
        next_cursor: next.map(|place| paging.token(text(&place))),
    };
    super::super::respond::json(&list, AT_ONCE)
}

/// Reads one operation
///
/// Asks the vendor, unless the operation has ended. Where the vendor has no record of it, its state follows from the cluster's.
#[utoipa::path(
    get,
    path = "/operations/{id}",
    tag = "live",
    operation_id = "find_operation",
    params(
        ("id" = String, Path, description = "The operation's id", example = "lakesail-main:OP00000002"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` asks the vendor now"),
    ),
    responses(
        (status = 200, description = "The operation", body = OperationItem,
            headers(
                ("Age" = u64, description = "Seconds since it was read"),
                ("Retry-After" = u64, description = "Seconds until it is worth looking again; absent when it has ended"),
            )),
        (status = 404, description = "OPERATION_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "UPSTREAM_CONFLICT or UPSTREAM_NOT_READY", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "UPSTREAM_FAILED, OPERATIONS_UNAVAILABLE, OVERLOADED or SHUTTING_DOWN", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED: no answer in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn find_operation(
    State(api): State<ApiState>,
    viewer: Viewer,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::read_only(uri.query(), &[])?;
    let missing = || Problem::new(Code::OperationNotFound);
    let path = Segments::from(uri);
    let id = OperationId::parse(path.raw(1))
        .or_else(|| OperationId::parse(&path.decoded(1)?))
        .ok_or_else(missing)?;
    let snapshot = viewer.current(&api);
    let source = snapshot.source(id.source()).ok_or_else(missing)?;
    let known = api.live.known_operation(&id).await;
    let known =
        known.map_err(|failure| failure::problem(&failure, &source.name, &source.provider))?;
    let is_seen = match known {
        Some(known) => viewer.sees_operation(&snapshot, &known),
        None => viewer.sees_unplaced(),
    };
    // Nobody is asked, so that a vendor that fails does not tell what is hidden from what is not there.
    if !is_seen {
        return Err(missing());
    }
    let read = api.live.operation(&id, wants_fresh(&headers)).await;
    let read = read.map_err(|failure| match &failure {
        Failure::Provider(error)
            if matches!(error.kind, ErrorKind::NotFound | ErrorKind::NotSupported) =>
        {
            missing()
        }
        Failure::NoSource => missing(),
        Failure::Provider(_)
        | Failure::Deadline
        | Failure::Busy
        | Failure::Stopping
        | Failure::Away
        | Failure::Broken => failure::problem(&failure, &source.name, &source.provider),
    })?;
    if !viewer.sees_operation(&snapshot, &read.value) {
        return Err(missing());
    }
    let item = OperationItem::new(&read.value, read.failed.as_ref());
    let is_done = item.operation.done;
    let mut response = super::answer(&item, read.at, AT_ONCE)?;
    if !is_done {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(POLL.as_secs()));
    }
    Ok(response)
}

/// Lists the operations of one cluster, as its vendor tells them
#[utoipa::path(
    get,
    path = "/clusters/{id}/operations",
    tag = "live",
    operation_id = "list_cluster_operations",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` asks the vendor now"),
    ),
    responses(
        (status = 200, description = "The operations", body = ClusterOperations,
            headers(("Age" = u64, description = "Seconds since they were read"))),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "UPSTREAM_CONFLICT or UPSTREAM_NOT_READY", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "UPSTREAM_FAILED, SOURCE_UNAVAILABLE, NOTHING_KNOWN, OVERLOADED or SHUTTING_DOWN", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE: no answer in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn list_cluster_operations(
    State(api): State<ApiState>,
    viewer: Viewer,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    Params::read_only(uri.query(), &[])?;
    let found = Found::locate(&api, &viewer, &uri)?;
    require(&api, &found.target.source, &found.provider, &TELLING)?;
    let read = api
        .live
        .operations_of(&found.target, wants_fresh(&headers))
        .await
        .map_err(|failure| found.gone(&api, &failure))?;
    let (stale, source_error) = standing(&read);
    let list = ClusterOperations {
        items: read
            .value
            .iter()
            .map(|known| OperationItem::new(known, read.failed.as_ref()))
            .collect(),
        cluster: found.target.id.clone(),
        source: found.target.source.clone(),
        provider: found.provider.clone(),
        fetched_at: read.at,
        stale,
        source_error,
    };
    super::answer(&list, read.at, AT_ONCE)
}

/// What a walk through operations is bound to.
fn canonical(selection: &Selection) -> String {
    let source = selection.source.as_ref().map(SourceName::as_str);
    let cluster = selection.cluster.as_ref().map(ClusterId::as_str);
    let is_wanted = |state: &OperationState| selection.states.contains(state);
    let states = STATES.iter().filter(|(_, state)| is_wanted(state));
    let states: Vec<&str> = states.map(|(name, _)| *name).collect();
    format!("operations {source:?} {cluster:?} {states:?}")
}

fn text((time, id): &Place) -> String {
    format!("{time} {id}")
}

fn read(text: &str) -> Option<Place> {
    let (time, id) = text.split_once(' ')?;
    Some((time.parse().ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_and_nothing_else_is_one() {
        for (time, id) in [(0, "a:1"), (-1, "b:gw-0"), (i64::MAX, "c:%2F"), (7, "")] {
            let place = (time, id.to_owned());
            assert_eq!(read(&text(&place)), Some(place));
        }
        for text in ["", "x", "1", "x a:1", "1.5 a:1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn a_walk_is_bound_to_what_it_selects() {
        let all = Selection::default();
        let mut one = Selection {
            states: vec![OperationState::Failed, OperationState::Running],
            ..Selection::default()
        };
        let words = canonical(&one);
        assert_ne!(words, canonical(&all));
        one.states.reverse();
        one.after = Some((1, String::new()));
        assert_eq!(words, canonical(&one));
        one.source = Some(SourceName::new("s").unwrap());
        assert_ne!(words, canonical(&one));
    }
}
