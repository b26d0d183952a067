//! What filters and orders mean, written a second time and as plainly as possible, over the JSON that readers see.

use std::cmp::Ordering;

use clustergate::domain::State;
use jiff::Timestamp;
use serde_json::Value;

/// The values that a filter sees of a cluster, in lower case.
pub(super) fn values(cluster: &Value, dimension: &str) -> Vec<String> {
    let at = |pointer: &str| cluster.pointer(pointer).and_then(Value::as_str);
    let one = |pointer: &str| at(pointer).into_iter().map(str::to_owned).collect();
    let found: Vec<String> = match dimension {
        "provider" => one("/provider"),
        "source" => one("/source"),
        "cloud" => one("/location/cloud"),
        "region" => {
            let mut regions: Vec<String> = one("/location/region");
            regions.extend(texts(&cluster["location"]["regions"]));
            regions
        }
        "state" => one("/status/state"),
        "environment" => one("/environment"),
        "orchestrator" => one("/orchestrator/type"),
        "distribution" => one("/orchestrator/distribution"),
        "version" => versions(at("/orchestrator/version")),
        "accelerator" => cluster["accelerators"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|accelerator| {
                let text = |key: &str| accelerator[key].as_str();
                text("model")
                    .or_else(|| text("native"))
                    .unwrap_or("unknown")
                    .to_owned()
            })
            .collect(),
        "vantage" => one("/vantage"),
        "presence" => one("/presence"),
        "stale" => vec![cluster["stale"].as_bool().unwrap().to_string()],
        "label" => cluster["labels"]
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(key, value)| [key.clone(), format!("{key}={}", value.as_str().unwrap())])
            .collect(),
        "project" => {
            let mut project: Vec<String> = one("/owner/project/id");
            project.extend(one_of(at("/owner/project/name")));
            project
        }
        "team" => one("/owner/team"),
        other => panic!("no filter {other}"),
    };
    found.iter().map(|value| value.to_lowercase()).collect()
}

fn one_of(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn texts(list: &Value) -> impl Iterator<Item = String> {
    list.as_array()
        .into_iter()
        .flatten()
        .map(|text| text.as_str().unwrap().to_owned())
}

/// A version counts whole and by its minor.
fn versions(version: Option<&str>) -> Vec<String> {
    let Some(version) = version else {
        return Vec::new();
    };
    let mut all = vec![version.to_owned()];
    let parts: Vec<&str> = version.splitn(3, '.').collect();
    if let [major, minor, _] = parts.as_slice() {
        all.push(format!("{major}.{minor}"));
    }
    all
}

/// One filter: its name and its values, with `!` before those that exclude.
pub(super) type Terms = Vec<(&'static str, Vec<String>)>;

/// Whether a cluster passes all filters and holds the text.
pub(super) fn passes(cluster: &Value, terms: &Terms, text: Option<&str>) -> bool {
    let term = |(dimension, wanted): &(&str, Vec<String>)| {
        let own = values(cluster, dimension);
        let (none, any): (Vec<&String>, Vec<&String>) =
            wanted.iter().partition(|value| value.starts_with('!'));
        let has = |value: &str| own.contains(&value.to_lowercase());
        (any.is_empty() || any.iter().any(|value| has(value)))
            && !none.iter().any(|value| has(&value[1..]))
    };
    let holds = |text: &str| {
        let text = text.trim().to_lowercase();
        ["name", "id"].iter().any(|key| {
            cluster[*key]
                .as_str()
                .unwrap()
                .to_lowercase()
                .contains(&text)
        })
    };
    terms.iter().all(term) && text.is_none_or(holds)
}

/// A value to order by.
#[derive(Debug, PartialEq)]
pub(super) enum Order {
    Text(String),
    Number(f64),
    Version(Vec<u64>, bool),
    Time(Timestamp),
}

impl Order {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.total_cmp(b),
            (Self::Version(a, x), Self::Version(b, y)) => a.cmp(b).then(x.cmp(y)),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            _ => panic!("{self:?} and {other:?} are of different kinds"),
        }
    }
}

/// What a sort key sees of a cluster.
pub(super) fn order(cluster: &Value, key: &str) -> Option<Order> {
    let at = |pointer: &str| cluster.pointer(pointer).filter(|value| !value.is_null());
    let text = |pointer: &str| {
        at(pointer).map(|value| Order::Text(value.as_str().unwrap().to_ascii_lowercase()))
    };
    let number = |pointer: &str| at(pointer).map(|value| Order::Number(value.as_f64().unwrap()));
    let time = |pointer: &str| {
        at(pointer).map(|value| Order::Time(value.as_str().unwrap().parse().unwrap()))
    };
    match key {
        "id" => at("/id").map(|id| Order::Text(id.as_str().unwrap().to_owned())),
        "provider" => text("/provider"),
        "source" => text("/source"),
        "name" => text("/name"),
        "state" => at("/status/state").map(|state| {
            let place = State::ALL
                .iter()
                .position(|known| known.as_str() == state.as_str().unwrap());
            Order::Number(place.unwrap() as f64)
        }),
        "cloud" => text("/location/cloud"),
        "region" => text("/location/region"),
        "environment" => text("/environment"),
        "distribution" => text("/orchestrator/distribution"),
        "version" => at("/orchestrator/version").and_then(|text| version(text.as_str().unwrap())),
        "nodes" => number("/nodes/total"),
        "accelerators" => {
            let list = at("/accelerators")?.as_array().unwrap();
            let sum: Option<u64> = list.iter().map(|a| a["count"].as_u64()).sum();
            sum.map(|sum| Order::Number(sum as f64))
        }
        "cost" => at("/cost/hourly/amount")
            .map(|amount| Order::Number(amount.as_str().unwrap().parse().unwrap())),
        "cpu" => number("/capacity/cpu_cores"),
        "memory" => number("/capacity/memory_bytes"),
        "created_at" => time("/created_at"),
        "updated_at" => time("/updated_at"),
        "observed_at" => time("/observed_at"),
        other => panic!("no sort key {other}"),
    }
}

/// Major, minor, patch, and whether it is a release; what is no version has no order.
fn version(text: &str) -> Option<Order> {
    let core = text.trim_start_matches('v');
    let digits: String = core
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == '.')
        .collect();
    let mut parts: Vec<u64> = digits
        .trim_end_matches('.')
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    parts.resize(3, 0);
    Some(Order::Version(parts, !text.contains('-')))
}

/// Compares two clusters by one sort word such as `-cost`: unknown values last, whatever the direction.
pub(super) fn compare(a: &Value, b: &Value, word: &str) -> Ordering {
    let key = word.trim_start_matches('-');
    match (order(a, key), order(b, key)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) if word.starts_with('-') => b.cmp(&a),
        (Some(a), Some(b)) => a.cmp(&b),
    }
}
