//! Query parameters of the cluster operations, read into a question to the inventory.

use crate::domain::{OrchestratorType, Presence, State, Vantage};
use crate::inventory::query::{Dimension, Filter, SORT_KEYS, Sort, SortKey, SortTerm, Term};
use crate::inventory::{Completeness, Freshness, Snapshot, SourceReport};
use crate::provider::Entry;

use super::code::Code;
use super::problem::Problem;
use super::query::Params;

/// Clusters on one page unless asked otherwise.
pub const DEFAULT_LIMIT: usize = 100;
/// Clusters on one page at most; a larger limit is brought down to it.
pub const MAX_LIMIT: usize = 1_000;
/// Values of one filter at most.
pub const MAX_VALUES: usize = 64;
/// Length of a text to search for at most.
const MAX_TEXT: usize = 128;

/// Parameters that choose clusters.
pub const FILTERS: [&str; 17] = [
    "provider",
    "source",
    "cloud",
    "region",
    "state",
    "environment",
    "orchestrator",
    "distribution",
    "version",
    "accelerator",
    "vantage",
    "presence",
    "stale",
    "label",
    "project",
    "team",
    "q",
];

/// Names that `fields` can choose, in the order in which answers have them.
pub const FIELDS: [&str; 33] = [
    "id",
    "source",
    "provider",
    "native_id",
    "name",
    "vantage",
    "status",
    "orchestrator",
    "location",
    "environment",
    "nodes",
    "capacity",
    "accelerators",
    "utilization",
    "workload_counts",
    "cost",
    "owner",
    "agent",
    "steps",
    "network",
    "identifiers",
    "labels",
    "created_at",
    "updated_at",
    "observed_at",
    "terminated_at",
    "detailed_at",
    "links",
    "fetched_at",
    "presence",
    "stale",
    "node_list",
    "raw",
];

/// What of each cluster is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Only these fields, in the answer's order; `None` is all but the includes.
    pub fields: Option<Vec<&'static str>>,
    /// The vendor's own objects.
    pub raw: bool,
    /// The nodes, where they are known.
    pub nodes: bool,
}

impl Shape {
    /// A text that tells shapes apart.
    pub fn canonical(&self) -> String {
        format!("{:?}/{}/{}", self.fields, self.raw, self.nodes)
    }
}

/// Reads the filters. Closed sets are checked against what there is; other values simply match nothing.
pub fn filter(
    params: &Params<'_>,
    snapshot: &Snapshot,
    catalog: &[Entry],
) -> Result<Filter, Problem> {
    let sources = snapshot.sources().iter();
    let sources: Vec<&str> = sources.map(|source| source.name.as_str()).collect();
    filter_among(params, &sources, catalog)
}

/// The same over sources of these names.
pub(super) fn filter_among(
    params: &Params<'_>,
    sources: &[&str],
    catalog: &[Entry],
) -> Result<Filter, Problem> {
    let mut filter = Filter::default();
    for dimension in Dimension::ALL {
        let mut term = Term {
            dimension,
            any: Vec::new(),
            none: Vec::new(),
        };
        for value in params
            .all(dimension.as_str())
            .flat_map(|values| values.split(','))
        {
            let (list, value) = match value.strip_prefix('!') {
                Some(value) => (&mut term.none, value),
                None => (&mut term.any, value),
            };
            list.push(checked(dimension, value.trim(), sources, catalog)?);
        }
        if term.any.len() + term.none.len() > MAX_VALUES {
            return Err(Problem::invalid_parameter(
                dimension.as_str(),
                format!("takes at most {MAX_VALUES} values"),
            ));
        }
        if !(term.any.is_empty() && term.none.is_empty()) {
            filter.terms.push(term);
        }
    }
    if let Some(text) = params.one("q")? {
        let text = text.trim().to_lowercase();
        if text.is_empty() || text.chars().count() > MAX_TEXT || text.chars().any(char::is_control)
        {
            return Err(Problem::invalid_parameter(
                "q",
                format!("must be 1 to {MAX_TEXT} printable characters"),
            ));
        }
        filter.texts.push(text);
    }
    Ok(filter)
}

fn checked(
    dimension: Dimension,
    value: &str,
    sources: &[&str],
    catalog: &[Entry],
) -> Result<String, Problem> {
    let name = dimension.as_str();
    if value.is_empty() {
        return Err(Problem::invalid_parameter(name, "has an empty value"));
    }
    let lower = value.to_lowercase();
    let closed: Option<Vec<&str>> = match dimension {
        Dimension::Provider => Some(catalog.iter().map(|entry| entry.kind.as_str()).collect()),
        Dimension::Source => Some(sources.to_vec()),
        Dimension::State => Some(State::ALL.map(State::as_str).to_vec()),
        Dimension::Orchestrator => {
            Some(OrchestratorType::ALL.map(OrchestratorType::as_str).to_vec())
        }
        Dimension::Vantage => Some(Vantage::ALL.map(Vantage::as_str).to_vec()),
        Dimension::Presence => Some(Presence::ALL.map(Presence::as_str).to_vec()),
        Dimension::Stale => Some(vec!["true", "false"]),
        Dimension::Cloud
        | Dimension::Region
        | Dimension::Environment
        | Dimension::Distribution
        | Dimension::Version
        | Dimension::Accelerator
        | Dimension::Label
        | Dimension::Project
        | Dimension::Team => None,
    };
    match closed {
        Some(allowed) if !allowed.contains(&lower.as_str()) => {
            Err(Problem::not_one_of(name, value, &allowed))
        }
        _ => Ok(lower),
    }
}

/// Reads `sort`. Keys after the id are left out, since the id already decides.
pub fn sort(params: &Params<'_>) -> Result<Sort, Problem> {
    let Some(text) = params.one("sort")? else {
        return Ok(Sort::default());
    };
    let keys = SortKey::ALL.map(SortKey::as_str);
    let mut terms: Vec<SortTerm> = Vec::new();
    for word in text.split(',') {
        let (descending, word) = match word.strip_prefix('-') {
            Some(word) => (true, word),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        let known = SortKey::ALL
            .into_iter()
            .find(|key| key.as_str() == word.trim());
        let key = known.ok_or_else(|| Problem::not_one_of("sort", word, &keys))?;
        if terms.iter().any(|term| term.key == key) {
            return Err(Problem::invalid_parameter(
                "sort",
                format!("names {word} twice"),
            ));
        }
        if key == SortKey::Id && !terms.is_empty() {
            if descending {
                return Err(Problem::invalid_parameter(
                    "sort",
                    "ties are broken by id ascending: -id can only stand first",
                ));
            }
            break;
        }
        terms.push(SortTerm { key, descending });
        if key == SortKey::Id {
            break;
        }
    }
    if terms.len() > SORT_KEYS {
        return Err(Problem::invalid_parameter(
            "sort",
            format!("takes at most {SORT_KEYS} keys"),
        ));
    }
    Ok(Sort(terms))
}

/// Reads `limit`: what is too large is brought down, what is below 1 or no number is refused.
pub fn limit(params: &Params<'_>) -> Result<usize, Problem> {
    let Some(text) = params.one("limit")? else {
        return Ok(DEFAULT_LIMIT);
    };
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<usize>() {
        // `+5` parses too, but is not how a number is written here.
        Ok(limit) if is_number && limit >= 1 => Ok(limit.min(MAX_LIMIT)),
        Err(_) if is_number => Ok(MAX_LIMIT),
        _ => Err(Problem::invalid_parameter(
            "limit",
            format!(
                "must be a whole number of at least 1; more than {MAX_LIMIT} is taken as {MAX_LIMIT}"
            ),
        )),
    }
}

/// Reads `limit` for a whole list: there is none unless it is asked for, and no largest one.
pub fn whole_limit(params: &Params<'_>) -> Result<Option<usize>, Problem> {
    limit(params)?;
    Ok(params.one("limit")?.and_then(|text| text.parse().ok()))
}

/// Reads `fields` and `include`.
pub fn shape(params: &Params<'_>) -> Result<Shape, Problem> {
    let mut shape = Shape::default();
    for word in params.all("include").flat_map(|words| words.split(',')) {
        match word.trim() {
            "raw" => shape.raw = true,
            "nodes" => shape.nodes = true,
            other => return Err(Problem::not_one_of("include", other, &["raw", "nodes"])),
        }
    }
    let mut wanted: Option<Vec<&'static str>> = None;
    for word in params.all("fields").flat_map(|words| words.split(',')) {
        let Some(field) = FIELDS.into_iter().find(|field| *field == word.trim()) else {
            return Err(Problem::not_one_of("fields", word, &FIELDS));
        };
        wanted.get_or_insert_default().push(field);
    }
    if let Some(wanted) = &mut wanted {
        shape.raw |= wanted.contains(&"raw");
        shape.nodes |= wanted.contains(&"node_list");
    }
    let is_shown = |field: &&'static str| {
        wanted.as_ref().is_some_and(|wanted| wanted.contains(field))
            || *field == "id"
            || (shape.raw && *field == "raw")
            || (shape.nodes && *field == "node_list")
    };
    shape.fields = wanted
        .is_some()
        .then(|| FIELDS.into_iter().filter(is_shown).collect());
    Ok(shape)
}

/// Refuses a selection that the caller does not want as it is, or that says nothing at all.
pub fn admissible(
    params: &Params<'_>,
    filter: &Filter,
    snapshot: &Snapshot,
) -> Result<(), Problem> {
    let required = match params.one("require")? {
        None => false,
        Some("complete") => true,
        Some(other) => return Err(Problem::not_one_of("require", other, &["complete"])),
    };
    let coverage = snapshot.coverage(filter);
    let is_unread = |source: &&SourceReport| source.state == Freshness::Never;
    if !coverage.sources.is_empty() && coverage.sources.iter().all(is_unread) {
        if let [only] = coverage.sources.as_slice()
            && !filter.wanted_sources().is_empty()
        {
            return Err(unread(only, snapshot));
        }
        return Err(Problem::new(Code::NothingKnown)
            .with_detail("no source could be read yet; see /sources")
            .with_retry_after(std::time::Duration::from_secs(1)));
    }
    if required && coverage.completeness == Completeness::Unknown {
        let sources = coverage.sources.iter();
        let gaps = sources.filter(|source| is_unread(source) || source.omitted > 0);
        let names: Vec<&str> = gaps.map(|source| source.name.as_str()).collect();
        return Err(Problem::new(Code::InventoryIncomplete)
            .with_detail(format!("not everything is known of: {}", names.join(", ")))
            .with_retry_after(std::time::Duration::from_secs(5)));
    }
    Ok(())
}

/// What is said of a source of which nothing was ever read.
pub fn unread(source: &SourceReport, snapshot: &Snapshot) -> Problem {
    let wait = source
        .next_attempt_at
        .map(|at| at.duration_since(snapshot.as_of).unsigned_abs());
    let wait = wait.unwrap_or_default().clamp(
        std::time::Duration::from_secs(1),
        std::time::Duration::from_hours(1),
    );
    match source.error {
        Some(error) => Problem::source_unavailable(&source.name, &source.provider, error)
            .with_retry_after(wait),
        None => Problem::new(Code::NothingKnown)
            .with_detail("the source is being read for the first time")
            .with_source(&source.name, &source.provider)
            .with_retry_after(std::time::Duration::from_secs(1)),
    }
}
