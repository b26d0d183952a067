//! `/clusters`: the inventory as a list, page by page or whole, and one cluster of it.
//!
//! A list request never leaves the process. What it costs is a look into the page cache; where the page is not there, a walk
//! over the indexes of the current snapshot and a join of rows whose JSON was written when they were read.

mod coding;
mod export;
mod page;
mod pages;
mod shape;

use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ACCEPT, ACCEPT_ENCODING};
use http::{HeaderName, HeaderValue, Uri};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Cluster, ClusterId, Node, Presence};
use crate::inventory::query::Query;
use crate::inventory::token::{PageToken, TokenError};
use crate::inventory::{Freshness, Place, Snapshot};

use super::code::Code;
use super::filters::Filters;
use super::generation;
use super::live;
use super::params::{self, FILTERS};
use super::path::Segments;
use super::problem::{Document, Problem};
use super::query::Params;
use super::sources::SourceStatus;
use super::state::ApiState;
use super::then;
use super::viewer::Viewer;

pub use coding::Coding;
pub(super) use export::Format;
pub(super) use page::{About, Page, age};
pub use pages::Pages;

/// Whether the answer holds everything there is.
pub const X_INVENTORY_COMPLETE: HeaderName = HeaderName::from_static("x-inventory-complete");
/// The generation that the answer is of.
pub const X_INVENTORY_GENERATION: HeaderName = HeaderName::from_static("x-inventory-generation");

/// One page of the inventory.
#[derive(Serialize, ToSchema)]
pub struct ClusterList {
    /// Clusters, in the order asked for.
    #[schema(value_type = Vec<ClusterItem>)]
    items: (),
    /// Where the next page begins; absent on the last one, and nothing else is a sign of the end.
    #[schema(required = false)]
    next_cursor: Option<String>,
    /// Clusters on all pages; absent with `total=false`.
    #[schema(required = false)]
    total: Option<u64>,
    /// Whether the answer holds everything there is: every source that it draws on was read to its end at its last refresh.
    complete: bool,
    /// Names of the sources that could not be read.
    unreachable: Vec<String>,
    /// Every source that the answer draws on.
    sources: Vec<SourceStatus>,
    /// Counts up with every change of the inventory.
    generation: u64,
    /// When the inventory was as it is shown; the `Age` header says how many seconds ago that was.
    as_of: Timestamp,
}

/// Links to what belongs to a cluster.
#[derive(Serialize, ToSchema)]
struct Links {
    /// The cluster itself.
    #[serde(rename = "self")]
    own: String,
    /// The source it comes from.
    source: String,
    /// Its nodes as they are now, where the provider has them.
    #[schema(required = false, nullable = false)]
    nodes: Option<String>,
    /// How well it is, where the provider says it or it follows from what the provider says.
    #[schema(required = false, nullable = false)]
    health: Option<String>,
    /// Its access file, where the provider gives one.
    #[schema(required = false, nullable = false)]
    kubeconfig: Option<String>,
    /// What the vendor measured of it, where it does.
    #[schema(required = false, nullable = false)]
    metrics: Option<String>,
    /// Work on it, where the provider can be told to do any.
    #[schema(required = false, nullable = false)]
    operations: Option<String>,
}

/// The vendor's own objects, by allow-list: what is not known to be harmless is left out.
#[derive(Serialize, ToSchema)]
struct Raw {
    /// As the vendor lists it.
    #[schema(value_type = Option<Object>)]
    listing: (),
    /// As the vendor's detail call describes it.
    #[schema(value_type = Option<Object>)]
    detail: (),
}

/// One cluster as answers show it. With `fields`, only the wanted ones and `id`.
#[derive(Serialize, ToSchema)]
#[schema(as = ClusterItem)]
pub struct ClusterItem {
    /// What the provider says.
    #[serde(flatten)]
    cluster: Cluster,
    /// Links to what belongs to it.
    links: Links,
    /// When it was last read, by our clock; null where that is not known.
    #[schema(required = true)]
    fetched_at: Option<Timestamp>,
    /// How sure the inventory is that it still exists.
    presence: Presence,
    /// Whether what is known of it is old: the vendor has lost contact with it, or our copy is older than its source's limit.
    stale: bool,
    /// Its nodes, with `include=nodes`; null where the provider does not say, or was not asked yet.
    #[schema(required = false)]
    node_list: Option<Vec<Node>>,
    /// The vendor's own objects, with `include=raw`.
    #[schema(required = false)]
    raw: Option<Raw>,
}

/// Lists clusters
///
/// Answers from memory, whatever the vendors do. A page token stays good while the inventory changes: walking pages never
/// repeats a cluster and never misses one that stayed. With an order that can change under way (any but `id`, `provider` and
/// `source`) the pages of one walk are of one generation; when that is no longer kept, the answer is a 410.
///
/// The whole list comes as NDJSON or CSV by `Accept: application/x-ndjson` or `text/csv`, or by `format`.
///
/// With `as_of` the answer is what was shown then, worked out from the changes since. What no change tells is not known of then and
/// left out, also where it did not change: `utilization`, `observed_at`, `updated_at`, `detailed_at`, `fetched_at`, `status.since`,
/// `agent.last_seen_at` and `cost.as_of` are null, as are nodes and the vendor's own objects; `workload_counts` is empty. Of the
/// sources their states, errors, and whether items are missing are those of then.
#[utoipa::path(
    get,
    path = "/clusters",
    tag = "clusters",
    operation_id = "list_clusters",
    params(
        Filters,
        ("sort" = Option<String>, Query, description = "Up to four keys, `-` before one for descending: id, provider, source, name, state, cloud, region, environment, distribution, version, nodes, accelerators, cost, cpu, memory, created_at, updated_at, observed_at. Ties are broken by id; unknown values come last", example = "-cost,name"),
        ("fields" = Option<Vec<String>>, Query, description = "Only these top-level fields of each cluster, and `id`", explode = false),
        ("include" = Option<Vec<String>>, Query, description = "`raw` adds the vendor's own objects, `nodes` the nodes as `node_list`", explode = false),
        ("limit" = Option<u64>, Query, description = "Clusters on a page; more than 1000 is taken as 1000", minimum = 1, example = 100),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before; filters and sort must be the same as there"),
        ("total" = Option<bool>, Query, description = "Whether to count the clusters of all pages; true by default"),
        ("require" = Option<String>, Query, description = "`complete` makes an answer that cannot be relied on for what is absent a 503", pattern = "^complete$"),
        ("format" = Option<String>, Query, description = "`json`, or the whole list as `ndjson` or `csv`", pattern = "^(json|ndjson|csv)$"),
        ("as_of" = Option<String>, Query, description = "The inventory as it was shown at a generation, as answers name it, or at an RFC 3339 time", example = "2026-11-20T12:00:00Z"),
        ("min_generation" = Option<u64>, Query, description = "Waits for the inventory to be as new as this generation, which other answers name, for two seconds at most"),
    ),
    responses(
        (status = 200, description = "A page, or the whole list in another format",
            headers(
                ("X-Inventory-Complete" = bool, description = "Whether the answer holds everything there is"),
                ("X-Inventory-Generation" = u64, description = "The generation that the answer is of"),
                ("Link" = String, description = "The next page, as `rel=\"next\"`"),
                ("ETag" = String, description = "For `If-None-Match`"),
                ("Age" = u64, description = "Seconds since `as_of`"),
            ),
            content(
                (ClusterList = "application/json"),
                (String = "application/x-ndjson"),
                (String = "text/csv"),
            )),
        (status = 304, description = "The caller has the current answer"),
        (status = 406, description = "NOT_ACCEPTABLE: none of the accepted types can be had", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "CURSOR_EXPIRED: start again from the first page; CHANGES_EXPIRED: it is not known any more what was shown then", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "AS_OF_TOO_FAR: too much changed since then", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "SOURCE_UNAVAILABLE: the only source asked for could never be read", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "NOTHING_KNOWN, INVENTORY_INCOMPLETE, SOURCE_UNAVAILABLE, GENERATION_NOT_REACHED, HISTORY_UNAVAILABLE or OVERLOADED", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "SOURCE_UNAVAILABLE: the only source asked for never answered in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_clusters(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let raw = request.uri().query().unwrap_or_default();
    let headers = request.headers();
    let viewer = Viewer::of(request.extensions(), &state);
    if raw.contains(generation::MIN_GENERATION) {
        generation::reached(&state, &Params::read(Some(raw))?).await?;
    }
    let snapshot = viewer.current(&state);
    if export::is_plain_json(headers) {
        let coding = Coding::accepted(headers.get(ACCEPT_ENCODING));
        if let Some(page) = state.pages.get(&snapshot, raw, coding) {
            return Ok(page.answer(headers, Timestamp::now()));
        }
    }

    let params = Params::read(Some(raw))?;
    let mut allowed = FILTERS.to_vec();
    allowed.extend([
        "sort",
        "fields",
        "include",
        "limit",
        "cursor",
        "total",
        "require",
        "format",
        generation::MIN_GENERATION,
        then::AS_OF,
    ]);
    params.only(&allowed)?;
    let snapshot = then::wanted(&state, &viewer, &params)
        .await?
        .unwrap_or(snapshot);
    let filter = params::filter(&params, &snapshot, state.catalog)?;
    let sort = params::sort(&params)?;
    let shape = params::shape(&params)?;
    let limit = params::limit(&params)?;
    let with_total = match params.one("total")? {
        None | Some("true") => true,
        Some("false") => false,
        Some(other) => return Err(Problem::not_one_of("total", other, &["true", "false"])),
    };
    params::admissible(&params, &filter, &snapshot)?;
    let format = Format::wanted(&export::ALL, params.one("format")?, headers.get(ACCEPT))?;
    let mut query = Query {
        filter,
        sort,
        after: None,
        limit,
    };
    if format != Format::Json {
        if let Some(name) = ["cursor", "fields"]
            .into_iter()
            .find(|name| params.all(name).next().is_some())
        {
            return Err(Problem::invalid_parameter(
                name,
                "belongs to pages of JSON; this format is always the whole list",
            ));
        }
        return export::whole(
            snapshot.seen(),
            query,
            &shape,
            format,
            params::whole_limit(&params)?,
            headers,
        );
    }

    let mut canonical = snapshot.canonical(&query);
    if let Some(text) = params.one(then::AS_OF)? {
        canonical = format!("{canonical};as_of:{text}");
    }
    let mut of = snapshot;
    if let Some(cursor) = params.one("cursor")? {
        let token = PageToken::decode(cursor, &canonical, query.sort.0.len(), Timestamp::now())
            .map_err(refuse)?;
        if of.is_of_then() {
            // The walk goes on in the account that it began with.
            of = then::at(&state, &viewer, token.generation).await?;
        } else if !query.sort.is_immutable() {
            of = viewer
                .at(&state, token.generation)
                .ok_or_else(|| refuse(TokenError::Expired))?;
        }
        query.after = Some(token.position);
    }
    let coding = Coding::accepted(headers.get(ACCEPT_ENCODING));
    let request = page::Wanted {
        query,
        shape,
        canonical,
        with_total,
        raw: raw.to_owned(),
        coding,
    };
    let page = page::build(&state, of, request).await?;
    Ok(page.answer(headers, Timestamp::now()))
}

/// What is said of a token that cannot be used.
pub(super) fn refuse(error: TokenError) -> Problem {
    match error {
        TokenError::Invalid => Problem::new(Code::InvalidCursor).with_field(
            "cursor",
            "is not a cursor of this API",
            None,
        ),
        TokenError::OtherQuery => Problem::new(Code::CursorMismatch).with_field(
            "cursor",
            "belongs to other filters, another sort or another caller: repeat those of the page it came from",
            None,
        ),
        TokenError::Expired => {
            Problem::new(Code::CursorExpired).with_detail("start again without a cursor")
        }
    }
}

/// Reads one cluster
///
/// Answers from memory. With `Cache-Control: no-cache` the vendor is asked now, at most once a second for each cluster, and what
/// it says is in the inventory from then on; where it cannot be asked, the answer is what is known, its `Age` says how old that
/// is and `X-Source-Error` why.
///
/// With `as_of` the answer is what was shown then, in which the same is left out as in the list.
#[utoipa::path(
    get,
    path = "/clusters/{id}",
    tag = "clusters",
    operation_id = "find_cluster",
    params(
        ("id" = String, Path, description = "The cluster's id, as lists show it; its escapes are part of it", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("fields" = Option<Vec<String>>, Query, description = "Only these top-level fields, and `id`", explode = false),
        ("include" = Option<Vec<String>>, Query, description = "`raw` adds the vendor's own objects, `nodes` the nodes as `node_list`", explode = false),
        ("as_of" = Option<String>, Query, description = "The inventory as it was shown at a generation, as answers name it, or at an RFC 3339 time", example = "2026-11-20T12:00:00Z"),
        ("min_generation" = Option<u64>, Query, description = "Waits for the inventory to be as new as this generation, which other answers name, for two seconds at most"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` asks the vendor now"),
    ),
    responses(
        (status = 200, description = "The cluster", body = ClusterItem,
            headers(
                ("X-Source-Error" = String, description = "Why the vendor could not be asked now, where that was wanted"),
                ("ETag" = String, description = "For `If-None-Match`"),
                ("Age" = u64, description = "Seconds since the cluster was read"),
            )),
        (status = 304, description = "The caller has the current answer"),
        (status = 404, description = "CLUSTER_NOT_FOUND, also where the vendor was asked and no longer has it", body = Document, content_type = "application/problem+json"),
        (status = 410, description = "CHANGES_EXPIRED: it is not known any more what was shown then", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "AS_OF_TOO_FAR: too much changed since then", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "SOURCE_UNAVAILABLE: the cluster's source could never be read", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "NOTHING_KNOWN, SOURCE_UNAVAILABLE, GENERATION_NOT_REACHED, HISTORY_UNAVAILABLE or OVERLOADED", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "SOURCE_UNAVAILABLE: the cluster's source never answered in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn find_cluster(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let viewer = Viewer::of(request.extensions(), &state);
    let mut earlier = None;
    let shape = match request.uri().query() {
        None | Some("") => params::Shape::default(),
        query => {
            let allowed = ["fields", "include", generation::MIN_GENERATION, then::AS_OF];
            let params = Params::read_only(query, &allowed)?;
            generation::reached(&state, &params).await?;
            earlier = then::wanted(&state, &viewer, &params).await?;
            params::shape(&params)?
        }
    };
    let snapshot = earlier.unwrap_or_else(|| viewer.current(&state));
    // An id can stand in a path as it is. Clients that encode it once more are understood too.
    let as_sent = request.uri().path().rsplit('/').next().unwrap_or_default();
    let place = match snapshot.find_text(as_sent) {
        Some(place) => place,
        None => find_decoded(request.uri().clone(), &snapshot)?,
    };
    let headers = request.headers();
    if live::wants_fresh(headers) && !snapshot.is_of_then() {
        let (snapshot, place, failed) = live::refreshed(&state, &viewer, snapshot, place).await?;
        let mut response = page::one(&snapshot, place, &shape, headers)?;
        if let Some(code) = failed {
            response
                .headers_mut()
                .insert(live::X_SOURCE_ERROR, HeaderValue::from_static(code));
        }
        return Ok(response);
    }
    page::one(&snapshot, place, &shape, headers)
}

/// The cluster that the path of a request names, wherever in it that ends.
pub(super) fn locate(uri: &Uri, snapshot: &Snapshot) -> Result<Place, Problem> {
    let path = Segments::from(uri.clone());
    match snapshot.find_text(path.raw(1)) {
        Some(place) => Ok(place),
        None => find_decoded(uri.clone(), snapshot),
    }
}

/// The id that the path means, however its escapes are written; `None` where it names no cluster.
pub(super) fn meant(uri: &Uri, snapshot: &Snapshot) -> Option<ClusterId> {
    let path = Segments::from(uri.clone());
    match snapshot.find_text(path.raw(1)) {
        Some(place) => Some(snapshot.row(place).id.clone()),
        None => unescaped(&path),
    }
}

fn unescaped(path: &Segments) -> Option<ClusterId> {
    let decoded = path.decoded(1).and_then(|id| ClusterId::parse(&id));
    decoded.or_else(|| ClusterId::parse(path.raw(1)))
}

fn find_decoded(uri: Uri, snapshot: &Snapshot) -> Result<Place, Problem> {
    let id = named(&Segments::from(uri))?;
    snapshot.find(&id).ok_or_else(|| missing(&id, snapshot))
}

/// The id that a path names, encoded once more or not.
fn named(path: &Segments) -> Result<ClusterId, Problem> {
    unescaped(path).ok_or_else(|| {
        Problem::new(Code::InvalidId)
            .with_detail("a cluster's id is <source>:<native id>, as lists show it")
    })
}

/// The id that a path names, and what is to be said of it where nothing is known of it; `None` where it is in the snapshot.
pub(super) fn known(
    path: &Segments,
    snapshot: &Snapshot,
) -> Result<(ClusterId, Option<Problem>), Problem> {
    let as_sent = snapshot.find_text(path.raw(1));
    if let Some(place) = as_sent {
        return Ok((snapshot.row(place).id.clone(), None));
    }
    let id = named(path)?;
    let absent = snapshot.find(&id).is_none();
    let problem = absent.then(|| missing(&id, snapshot));
    Ok((id, problem))
}

/// Absence must mean absence: while its source was never read, a cluster is not missing but unknown.
fn missing(id: &ClusterId, snapshot: &Snapshot) -> Problem {
    let source = id
        .as_str()
        .split_once(':')
        .and_then(|(source, _)| snapshot.source(source));
    match source {
        Some(source) if source.state == Freshness::Never => params::unread(source, snapshot),
        _ => Problem::new(Code::ClusterNotFound),
    }
}
