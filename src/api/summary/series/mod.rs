//! `over=`: the same counts and sums hour by hour.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::SourceName;
use crate::inventory::hours::{Account, Count, Hour, Tally};
use crate::inventory::past::PastError;
use crate::inventory::query::{Dimension, Filter, Term};
use crate::inventory::{Freshness, Snapshot};

use super::super::problem::Problem;
use super::super::query::Params;
use super::super::state::ApiState;
use super::super::then;
use super::super::viewer::Viewer;
use super::{Accelerators, Breakdown, CostSummary, Covered};

/// The parameters.
pub(super) const OVER: &str = "over";
pub(super) const STEP: &str = "step";

const DAY: i64 = 24;
/// The longest span, in hours.
const LONGEST: i64 = 800 * DAY;
/// Points of one answer at most.
const MOST: i64 = 1_000;

/// The inventory at the end of one step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SummaryPoint)]
struct Point {
    /// When the step begins. What is counted is what was last seen within it.
    at: Timestamp,
    /// Clusters in all.
    clusters: u64,
    /// Clusters by state.
    by_state: Breakdown,
    /// Nodes.
    nodes: Covered,
    /// Nodes that are ready.
    nodes_ready: Covered,
    /// Accelerators by model.
    accelerators: Accelerators,
    /// Cost per hour by currency.
    cost: CostSummary,
    /// Whether the counts hold everything there was.
    complete: bool,
    /// Sources that could not be read then: what is counted of them is older.
    #[schema(value_type = Vec<String>)]
    unreachable: Vec<SourceName>,
    /// Sources that the answer draws on now, of which nothing was counted then.
    #[schema(value_type = Vec<String>)]
    uncounted: Vec<SourceName>,
}

/// Counts and sums over a span of time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SummarySeries)]
pub(super) struct Series {
    /// When the first step begins.
    from: Timestamp,
    /// When the last step ends.
    until: Timestamp,
    /// Seconds from one point to the next. Steps begin at multiples of it since 1970, UTC.
    #[schema(example = 3600)]
    step_seconds: i64,
    /// One for each step in which something was counted, the oldest first. The last one is the inventory as it is now.
    points: Vec<Point>,
}

/// A series ends now.
pub(super) fn admissible(params: &Params<'_>) -> Result<(), Problem> {
    if params.one(OVER)?.is_some() && params.one(then::AS_OF)?.is_some() {
        return Err(Problem::invalid_parameter(OVER, "does not go with as_of"));
    }
    Ok(())
}

/// What is asked for, in hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    over: i64,
    step: i64,
}

impl Span {
    /// Reads the parameters; `None` where no series is asked for.
    pub(super) fn read(params: &Params<'_>, filter: &Filter) -> Result<Option<Self>, Problem> {
        let step = params.one(STEP)?;
        let Some(over) = params.one(OVER)? else {
            return match step {
                Some(_) => Err(Problem::invalid_parameter(STEP, "goes with over")),
                None => Ok(None),
            };
        };
        if !filter.texts.is_empty() || filter.terms.iter().any(|term| of_source(term).is_none()) {
            return Err(Problem::invalid_parameter(
                OVER,
                "goes with the filters source and provider alone: earlier hours are counted by source",
            ));
        }
        let over = hours(over).filter(|hours| *hours <= LONGEST);
        let over = over.ok_or_else(|| {
            Problem::invalid_parameter(
                OVER,
                "must be hours, days or weeks, such as 24h, 30d or 12w, up to 800d",
            )
        })?;
        let step = match step {
            Some(step) => hours(step).ok_or_else(|| {
                Problem::invalid_parameter(STEP, "must be hours, days or weeks, such as 1h or 1d")
            })?,
            None => step_for(over),
        };
        if over / step >= MOST {
            let least = over / MOST + 1;
            return Err(Problem::invalid_parameter(
                STEP,
                format!("makes more than {MOST} points: take {least}h or more, or a shorter span"),
            ));
        }
        Ok(Some(Self { over, step }))
    }
}

/// The step that is taken unless asked for another one.
const fn step_for(over: i64) -> i64 {
    if over <= 7 * DAY {
        1
    } else if over <= 60 * DAY {
        6
    } else {
        DAY
    }
}

/// Reads `24h`, `30d` or `12w` as hours; never zero.
fn hours(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let number = text.strip_suffix(unit)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: i64 = number.parse().ok().filter(|_| is_number)?;
    let hours = match unit {
        'h' => 1,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    };
    number.checked_mul(hours).filter(|hours| *hours > 0)
}

/// A term as far as it can be told by a source and its provider.
fn of_source(term: &Term) -> Option<fn(&Count) -> &str> {
    match term.dimension {
        Dimension::Source => Some(|count| count.source.as_str()),
        Dimension::Provider => Some(|count| count.account.provider.as_str()),
        _ => None,
    }
}

/// Reads the counts of the span.
pub(super) async fn counts(
    state: &ApiState,
    span: Span,
    now: Hour,
) -> Result<Vec<Count>, PastError> {
    match &state.hours {
        // The current hour is counted from what is shown.
        Some(hours) => hours.between(first(span, now), now, span.step).await,
        // Nothing is kept, so nothing is known of earlier hours.
        None => Ok(Vec::new()),
    }
}

const fn first(span: Span, now: Hour) -> Hour {
    Hour(now.0 + 1 - span.over)
}

impl Series {
    /// Makes the series of what was counted and of what is shown now.
    pub(super) fn of(
        span: Span,
        now: Hour,
        counts: Vec<Count>,
        snapshot: &Snapshot,
        filter: &Filter,
        viewer: &Viewer,
    ) -> Self {
        let coverage = snapshot.coverage(filter);
        let wanted: BTreeSet<SourceName> = (coverage.sources.iter())
            .map(|source| source.name.clone())
            .collect();
        let step_of = |hour: Hour| hour.0.div_euclid(span.step);
        let mut steps: BTreeMap<i64, BTreeMap<SourceName, Account>> = BTreeMap::new();
        for count in counts {
            let is_wanted = filter.terms.iter().all(|term| {
                of_source(term).is_some_and(|value| {
                    let value = value(&count);
                    let is = |other: &String| *other == value;
                    (term.any.is_empty() || term.any.iter().any(is)) && !term.none.iter().any(is)
                })
            });
            if is_wanted && viewer.sees_source(&count.source) && step_of(count.hour) < step_of(now)
            {
                // Of each source the last of a step comes last.
                let step = steps.entry(step_of(count.hour)).or_default();
                step.insert(count.source, count.account);
            }
        }
        let start = |step: i64| Hour(step.saturating_mul(span.step)).start();
        let mut points: Vec<Point> = steps
            .iter()
            .map(|(step, accounts)| Point::past(start(*step), accounts, &wanted, viewer))
            .collect();
        points.push(Point::now(start(step_of(now)), snapshot, filter));
        Self {
            from: start(step_of(first(span, now))),
            until: start(step_of(now) + 1),
            step_seconds: span.step * 3_600,
            points,
        }
    }
}

impl Point {
    fn past(
        at: Timestamp,
        accounts: &BTreeMap<SourceName, Account>,
        wanted: &BTreeSet<SourceName>,
        viewer: &Viewer,
    ) -> Self {
        let mut tally = Tally::default();
        for account in accounts.values() {
            let seen = account.groups.iter();
            for group in seen.filter(|group| viewer.sees_projects(&group.projects)) {
                tally.add(&group.tally);
            }
        }
        let unreachable = accounts
            .iter()
            .filter(|(_, account)| account.state != Freshness::Fresh);
        let unreachable: Vec<SourceName> = unreachable.map(|(name, _)| name.clone()).collect();
        let uncounted = wanted.iter().filter(|name| !accounts.contains_key(*name));
        let uncounted: Vec<SourceName> = uncounted.cloned().collect();
        let is_whole = accounts
            .values()
            .all(|account| account.whole && (account.told_apart || viewer.sees_unplaced()));
        let complete = is_whole && unreachable.is_empty() && uncounted.is_empty();
        Self::new(at, tally, complete, unreachable, uncounted)
    }

    fn now(at: Timestamp, snapshot: &Snapshot, filter: &Filter) -> Self {
        let coverage = snapshot.coverage(filter);
        let never = coverage.sources.iter();
        let never = never.filter(|source| source.fetched_at.is_none());
        Self::new(
            at,
            Tally::from(&snapshot.summarize(filter)),
            coverage.is_complete(),
            coverage.unreachable().cloned().collect(),
            never.map(|source| source.name.clone()).collect(),
        )
    }

    fn new(
        at: Timestamp,
        tally: Tally,
        complete: bool,
        unreachable: Vec<SourceName>,
        uncounted: Vec<SourceName>,
    ) -> Self {
        Self {
            at,
            clusters: tally.clusters,
            by_state: Breakdown {
                values: tally.states,
                // Every cluster has a state, if only the word for one that is not known.
                unknown: 0,
            },
            nodes: Covered::of(tally.nodes, tally.clusters),
            nodes_ready: Covered::of(tally.nodes_ready, tally.clusters),
            accelerators: Accelerators::of(tally.accelerators, tally.accelerators_unknown),
            cost: CostSummary::of(tally.cost, tally.cost_unknown),
            complete,
            unreachable,
            uncounted,
        }
    }
}

#[cfg(test)]
mod tests;
