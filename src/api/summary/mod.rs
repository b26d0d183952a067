//! `/summary`: counts and sums over a selection. No sum silently skips what is not known.
//!
//! Like a page of the list it is made on a thread that serves nobody, once for each generation, query and reach.

mod series;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::Money;
use crate::inventory::hours::Hour;
use crate::inventory::query::{Filter, Query};
use crate::inventory::{Snapshot, Sum, Summary};

use self::series::{Series, Span};
use super::changes;
use super::clusters::{About, Coding, Page};
use super::code::Code;
use super::filters::FiltersInShort;
use super::generation;
use super::params::{self, FILTERS};
use super::problem::{Document, Problem};
use super::query::Params;
use super::sources::{SourceStatus, statuses};
use super::state::ApiState;
use super::then;
use super::viewer::Viewer;

/// Bytes of summaries that are remembered at most.
pub(super) const REMEMBERED_BYTES: u64 = 8 << 20;
const VARYING: HeaderValue = HeaderValue::from_static("accept-encoding, authorization");

/// Clusters by the values of one field.
#[derive(Debug, Serialize, ToSchema)]
struct Breakdown {
    /// Clusters by value. A cluster with several regions counts in each.
    values: BTreeMap<String, u64>,
    /// Clusters of which the value is not known.
    unknown: u64,
}

/// A sum and what it covers.
#[derive(Debug, Serialize, ToSchema)]
struct Covered {
    /// The sum over the clusters that report a value.
    sum: u64,
    /// Clusters that report one.
    clusters: u64,
    /// Clusters that do not.
    unknown: u64,
}

/// Accelerators of one model.
#[derive(Debug, Serialize, ToSchema)]
struct ModelCount {
    /// The model, or the vendor's own text where it is not recognised.
    model: String,
    /// Accelerators.
    count: u64,
    /// Clusters whose count is in it.
    clusters: u64,
}

/// Accelerators by model.
#[derive(Debug, Serialize, ToSchema)]
struct Accelerators {
    /// One row for each model, the most frequent first.
    models: Vec<ModelCount>,
    /// Clusters whose provider does not say whether there are any, or how many.
    unknown: u64,
}

/// Cost in one currency.
#[derive(Debug, Serialize, ToSchema)]
struct CurrencyCost {
    /// Cost per hour of all clusters with a known cost in this currency.
    hourly: Money,
    /// Clusters whose cost is in it.
    clusters: u64,
}

/// Cost by currency; currencies are not converted.
#[derive(Debug, Serialize, ToSchema)]
struct CostSummary {
    /// One row for each currency.
    currencies: Vec<CurrencyCost>,
    /// Clusters without a known cost.
    unknown: u64,
}

/// Counts and sums over a selection.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Summary)]
struct SummaryDocument {
    /// Clusters in all.
    clusters: u64,
    /// Clusters by provider.
    by_provider: BTreeMap<String, u64>,
    /// Clusters by source.
    by_source: BTreeMap<String, u64>,
    /// Clusters by state.
    by_state: Breakdown,
    /// Clusters by cloud.
    by_cloud: Breakdown,
    /// Clusters by region.
    by_region: Breakdown,
    /// Clusters by environment.
    by_environment: Breakdown,
    /// Clusters by family of orchestrator.
    by_orchestrator: Breakdown,
    /// Clusters by distribution.
    by_distribution: Breakdown,
    /// Clusters by version.
    by_version: Breakdown,
    /// Clusters by vantage.
    by_vantage: Breakdown,
    /// Clusters by team.
    by_team: Breakdown,
    /// Clusters by presence.
    by_presence: Breakdown,
    /// Nodes.
    nodes: Covered,
    /// Nodes that are ready.
    nodes_ready: Covered,
    /// Accelerators by model.
    accelerators: Accelerators,
    /// Cost by currency.
    cost: CostSummary,
    /// Whether the selection holds everything there is.
    complete: bool,
    /// Names of the sources that could not be read.
    unreachable: Vec<String>,
    /// Every source that the answer draws on.
    sources: Vec<SourceStatus>,
    /// The generation that the answer is of.
    generation: u64,
    /// When the inventory was as it is shown.
    as_of: Timestamp,
    /// The same over a span of time, where `over` asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<Series>,
}

/// Summarizes clusters
///
/// Takes the same filters as the list. Each sum says how many clusters it covers and of how many the value is unknown.
///
/// With `over` it also tells how it came to this: clusters by state, nodes, accelerators and cost per hour at the end of each step.
/// Steps in which no gateway ran are left out, and nothing is made up for them. Where nothing is kept, only the present is known.
///
/// With `as_of` it is of what was shown then, of which less is known: see the list.
#[utoipa::path(
    get,
    path = "/summary",
    tag = "clusters",
    operation_id = "summarize_clusters",
    params(
        FiltersInShort,
        ("require" = Option<String>, Query, description = "`complete` makes an answer that cannot be relied on for what is absent a 503", pattern = "^complete$"),
        ("over" = Option<String>, Query, description = "Adds a series over the last so many hours, days or weeks, such as `30d`, up to `800d`. Goes with the filters `source` and `provider` alone", pattern = "^[0-9]+[hdw]$"),
        ("step" = Option<String>, Query, description = "From one point of the series to the next; an hour for a week, six hours for two months and a day beyond, unless told otherwise. At most 1,000 points", pattern = "^[0-9]+[hdw]$"),
        ("as_of" = Option<String>, Query, description = "The inventory as it was shown at a generation, as answers name it, or at an RFC 3339 time", example = "2026-11-20T12:00:00Z"),
        ("min_generation" = Option<u64>, Query, description = "Waits for the inventory to be as new as this generation, which other answers name, for two seconds at most"),
    ),
    responses(
        (status = 200, description = "Counts and sums", body = SummaryDocument,
            headers(
                ("X-Inventory-Complete" = bool, description = "Whether the answer holds everything there is"),
                ("X-Inventory-Generation" = u64, description = "The generation that the answer is of"),
                ("ETag" = String, description = "For `If-None-Match`"),
                ("Age" = u64, description = "Seconds since `as_of`"),
            )),
        (status = 304, description = "The caller has the current answer"),
        (status = 410, description = "CHANGES_EXPIRED: it is not known any more what was shown then", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "AS_OF_TOO_FAR: too much changed since then", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "SOURCE_UNAVAILABLE: the only source asked for could never be read", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "NOTHING_KNOWN, INVENTORY_INCOMPLETE, SOURCE_UNAVAILABLE, GENERATION_NOT_REACHED, HISTORY_UNAVAILABLE or OVERLOADED", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "SOURCE_UNAVAILABLE: the only source asked for never answered in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn summarize(
    State(state): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let raw = request.uri().query().unwrap_or_default();
    let headers = request.headers();
    let viewer = Viewer::of(request.extensions(), &state);
    let snapshot = viewer.current(&state);
    let coding = Coding::accepted(headers.get(ACCEPT_ENCODING));
    if let Some(page) = state.summaries.get(&snapshot, raw, coding) {
        return Ok(page.answer(headers, Timestamp::now()));
    }

    let params = Params::read(Some(raw))?;
    let mut allowed = FILTERS.to_vec();
    allowed.extend([
        "require",
        series::OVER,
        series::STEP,
        generation::MIN_GENERATION,
        then::AS_OF,
    ]);
    params.only(&allowed)?;
    series::admissible(&params)?;
    generation::reached(&state, &params).await?;
    let earlier = then::wanted(&state, &viewer, &params).await?;
    let snapshot = earlier.unwrap_or_else(|| viewer.current(&state));
    let filter = params::filter(&params, &snapshot, state.catalog)?;
    params::admissible(&params, &filter, &snapshot)?;
    if let Some(span) = Span::read(&params, &filter)? {
        let now = Hour::of(Timestamp::now());
        let counts = series::counts(&state, span, now).await;
        let counts = counts.map_err(changes::unavailable)?;
        let snapshot = Arc::clone(snapshot.seen());
        // Many steps of many projects take a while to add up.
        let made = tokio::task::spawn_blocking(move || {
            let series = Series::of(span, now, counts, &snapshot, &filter, &viewer);
            make(&snapshot, filter, coding, Some(series))
        });
        let page = made.await.map_err(|error| {
            tracing::error!(%error, "a series could not be made");
            Problem::new(Code::Internal)
        })??;
        return Ok(page.answer(headers, Timestamp::now()));
    }
    let page = Arc::new(make(snapshot.seen(), filter, coding, None)?);
    // What is outdated already is not asked for again.
    if snapshot.generation == state.generation() {
        let raw = raw.to_owned();
        state.summaries.insert(&snapshot, raw, coding, &page);
    }
    Ok(page.answer(headers, Timestamp::now()))
}

fn make(
    snapshot: &Snapshot,
    filter: Filter,
    coding: Coding,
    series: Option<Series>,
) -> Result<Page, Problem> {
    let mut document = SummaryDocument::of(snapshot, &filter);
    document.series = series;
    let body = serde_json::to_vec(&document).map_err(|error| {
        tracing::error!(%error, "a summary could not be serialized");
        Problem::new(Code::Internal)
    })?;
    let query = Query {
        filter,
        ..Query::default()
    };
    let mut what = format!("summary|{}", snapshot.canonical(&query));
    if document.series.is_some() {
        // Earlier hours may be counted once more, whatever the generation is.
        what.push_str(blake3::hash(&body).to_hex().as_str());
    }
    let about = About {
        snapshot,
        what: &what,
        complete: document.complete,
        varying: VARYING,
    };
    Page::new(body, coding, about)
}

impl SummaryDocument {
    fn of(snapshot: &Snapshot, filter: &Filter) -> Self {
        let coverage = snapshot.coverage(filter);
        let Summary {
            clusters,
            by_provider,
            by_source,
            mut by,
            unknown,
            nodes,
            nodes_ready,
            accelerators,
            accelerators_unknown,
            cost,
            cost_unknown,
        } = snapshot.summarize(filter);
        let mut by = |name: &'static str| Breakdown {
            values: by.remove(name).unwrap_or_default(),
            unknown: unknown.get(name).copied().unwrap_or_default(),
        };
        Self {
            clusters,
            by_state: by("state"),
            by_cloud: by("cloud"),
            by_region: by("region"),
            by_environment: by("environment"),
            by_orchestrator: by("orchestrator"),
            by_distribution: by("distribution"),
            by_version: by("version"),
            by_vantage: by("vantage"),
            by_team: by("team"),
            by_presence: by("presence"),
            by_provider,
            by_source,
            nodes: Covered::of(nodes, clusters),
            nodes_ready: Covered::of(nodes_ready, clusters),
            accelerators: Accelerators::of(accelerators, accelerators_unknown),
            cost: CostSummary::of(cost, cost_unknown),
            complete: coverage.is_complete(),
            unreachable: coverage.unreachable().map(ToString::to_string).collect(),
            sources: statuses(&coverage, snapshot.as_of),
            generation: snapshot.generation,
            as_of: snapshot.as_of,
            series: None,
        }
    }
}

impl Covered {
    fn of(sum: Sum<u64>, total: u64) -> Self {
        Self {
            sum: sum.value,
            clusters: sum.clusters,
            unknown: total.saturating_sub(sum.clusters),
        }
    }
}

impl Accelerators {
    fn of(models: BTreeMap<String, Sum<u64>>, unknown: u64) -> Self {
        Self {
            models: by_frequency(models),
            unknown,
        }
    }
}

impl CostSummary {
    fn of(currencies: BTreeMap<String, Sum<Decimal>>, unknown: u64) -> Self {
        let currencies = currencies.into_iter();
        let currencies = currencies.map(|(currency, sum)| CurrencyCost {
            hourly: Money {
                amount: sum.value,
                currency,
            },
            clusters: sum.clusters,
        });
        Self {
            currencies: currencies.collect(),
            unknown,
        }
    }
}

fn by_frequency(accelerators: BTreeMap<String, Sum<u64>>) -> Vec<ModelCount> {
    let row = |(model, sum): (String, Sum<u64>)| ModelCount {
        model,
        count: sum.value,
        clusters: sum.clusters,
    };
    let mut models: Vec<ModelCount> = accelerators.into_iter().map(row).collect();
    models.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.model.cmp(&b.model)));
    models
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::super::router;
    use super::super::testing::{send, state};
    use super::*;

    #[tokio::test]
    async fn a_summary_is_made_once_for_each_query() {
        let state = state();
        let app = router(state.clone());
        let current = state.whole().current();
        let known = |query: &str| state.summaries.get(&current, query, Coding::Identity);
        assert!(known("").is_none());
        for target in ["/summary", "/summary?cloud=aws", "/summary?unknown=1"] {
            send(&app, "GET", target).await;
        }
        assert!(known("unknown=1").is_none(), "a refusal is not remembered");
        for query in ["", "cloud=aws"] {
            let first = known(query).unwrap();
            let again = send(&app, "GET", &format!("/summary?{query}")).await;
            assert_eq!(again.status(), StatusCode::OK);
            assert!(Arc::ptr_eq(&first, &known(query).unwrap()), "{query}");
        }
        assert!(!Arc::ptr_eq(
            &known("").unwrap(),
            &known("cloud=aws").unwrap()
        ));
    }
}
