//! The naive way to filter and sort clusters.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::fleets::Known;
use crate::domain::{Cluster, State};
use crate::inventory::query::{Dimension, Filter, Sort, SortKey, SortTerm};

fn lower(text: Option<&String>) -> Vec<String> {
    text.map(|text| text.to_lowercase()).into_iter().collect()
}

/// The values of a cluster that a filter can name.
fn values(known: &Known, dimension: Dimension) -> Vec<String> {
    let cluster = &known.cluster;
    match dimension {
        Dimension::Provider => vec![cluster.provider.to_string()],
        Dimension::Source => vec![cluster.source.to_string()],
        Dimension::Cloud => lower(cluster.location.cloud.as_ref()),
        Dimension::Region => {
            let regions = cluster
                .location
                .regions
                .iter()
                .chain(&cluster.location.region);
            regions.map(|region| region.to_lowercase()).collect()
        }
        Dimension::State => vec![cluster.status.state.as_str().to_owned()],
        Dimension::Environment => lower(cluster.environment.as_ref()),
        Dimension::Orchestrator => vec![cluster.orchestrator.kind.as_str().to_owned()],
        Dimension::Distribution => lower(cluster.orchestrator.distribution.as_ref()),
        Dimension::Version => {
            let mut values = lower(cluster.orchestrator.version.as_ref());
            if let Some(version) = values.first().cloned()
                && version.matches('.').count() >= 2
            {
                values.push(version.split('.').take(2).collect::<Vec<_>>().join("."));
            }
            values
        }
        Dimension::Accelerator => (cluster.accelerators.iter().flatten())
            .map(|one| {
                one.model
                    .clone()
                    .or(one.native.clone())
                    .unwrap()
                    .to_lowercase()
            })
            .collect(),
        Dimension::Vantage => vec!["hosts".to_owned()],
        Dimension::Presence => vec![known.presence.as_str().to_owned()],
        Dimension::Stale => vec![known.stale.to_string()],
        Dimension::Label => (cluster.labels.iter())
            .flat_map(|(key, value)| [key.to_lowercase(), format!("{key}={value}").to_lowercase()])
            .collect(),
        Dimension::Project => (cluster.owner.project.iter())
            .flat_map(|project| [lower(project.id.as_ref()), lower(project.name.as_ref())].concat())
            .collect(),
        Dimension::Team => lower(cluster.owner.team.as_ref()),
    }
}

pub(super) fn passes(known: &Known, filter: &Filter) -> bool {
    let folded = |text: &str| {
        let lower = text.to_lowercase();
        lower.replace('ς', "σ").replace('\n', " ")
    };
    let holds = |text: &String| {
        let wanted = folded(text);
        folded(&known.cluster.name).contains(&wanted)
            || folded(known.cluster.id.as_str()).contains(&wanted)
    };
    let terms = filter.terms.iter().all(|term| {
        let values = values(known, term.dimension);
        (term.any.is_empty() || term.any.iter().any(|value| values.contains(value)))
            && !term.none.iter().any(|value| values.contains(value))
    });
    terms && filter.texts.iter().all(holds)
}

/// Something to compare by.
#[derive(Debug, PartialEq, PartialOrd)]
enum Value {
    Whole(i128),
    Float(f64),
    Text(String),
    Version(Vec<u64>, bool),
}

fn text(text: &str) -> Value {
    let mut kept = String::new();
    for c in text.chars() {
        if kept.len() + c.len_utf8() > 96 {
            break;
        }
        kept.push(c.to_ascii_lowercase());
    }
    Value::Text(kept)
}

fn whole(number: impl Into<i128>) -> Value {
    Value::Whole(number.into())
}

fn value(cluster: &Cluster, key: SortKey) -> Option<Value> {
    let of = |own: &Option<String>| own.as_deref().map(|own| text(&own.to_lowercase()));
    match key {
        SortKey::Id => Some(Value::Text(cluster.id.to_string())),
        SortKey::Provider => Some(text(cluster.provider.as_str())),
        SortKey::Source => Some(text(cluster.source.as_str())),
        SortKey::Name => Some(text(&cluster.name)),
        SortKey::State => {
            let place = State::ALL
                .iter()
                .position(|state| *state == cluster.status.state);
            place.map(|place| whole(place as u64))
        }
        SortKey::Cloud => of(&cluster.location.cloud),
        SortKey::Region => of(&cluster.location.region),
        SortKey::Environment => of(&cluster.environment),
        SortKey::Distribution => of(&cluster.orchestrator.distribution),
        SortKey::Version => {
            let version = cluster.orchestrator.version.as_deref()?;
            let (bare, is_release) = match version.split_once('-') {
                Some((bare, _)) => (bare, false),
                None => (version, true),
            };
            let parts = bare.split('.').map(|part| part.parse().ok());
            let mut parts: Vec<u64> = parts.collect::<Option<_>>()?;
            parts.resize(3, 0);
            Some(Value::Version(parts, is_release))
        }
        SortKey::Nodes => cluster.nodes.as_ref()?.total.map(whole),
        SortKey::Accelerators => {
            let counts = cluster.accelerators.as_ref()?.iter().map(|one| one.count);
            counts.sum::<Option<u64>>().map(whole)
        }
        SortKey::Cost => cluster
            .cost
            .as_ref()
            .map(|cost| Value::Float(cost.hourly.amount.to_string().parse().unwrap())),
        SortKey::Cpu => cluster.capacity.as_ref()?.cpu_cores.map(Value::Float),
        SortKey::Memory => cluster.capacity.as_ref()?.memory_bytes.map(whole),
        SortKey::CreatedAt => cluster.created_at.map(|at| whole(at.as_second())),
        SortKey::UpdatedAt => cluster.updated_at.map(|at| whole(at.as_second())),
        SortKey::ObservedAt => cluster.observed_at.map(|at| whole(at.as_second())),
    }
}

pub(super) fn compare(a: &Cluster, b: &Cluster, sort: &Sort) -> Ordering {
    let by = |term: &SortTerm| match (value(a, term.key), value(b, term.key)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) if term.descending => b.partial_cmp(&a).unwrap(),
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap(),
    };
    let first = sort.0.iter().map(by).find(|ordering| ordering.is_ne());
    first.unwrap_or_else(|| a.id.as_str().cmp(b.id.as_str()))
}

/// Counts by a text.
pub(super) fn count<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for text in texts {
        *counts.entry(text.to_owned()).or_default() += 1;
    }
    counts
}
