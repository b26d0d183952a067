//! Counts and sums of clusters that can be added up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::inventory::columns::{are_accelerators_known, by_model};
use crate::inventory::exact::Exact;
use crate::inventory::facts::Facts;
use crate::inventory::row::Entry;
use crate::inventory::{Sum, Summary};

/// Projects that are told apart in one source; clusters of more are counted as of no project, which whoever sees the whole source
/// sees.
const MOST: usize = 2_000;

/// Counts and sums of some clusters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Clusters.
    pub clusters: u64,
    /// Clusters by state.
    pub states: BTreeMap<String, u64>,
    /// Nodes.
    pub nodes: Sum<u64>,
    /// Nodes that are ready.
    pub nodes_ready: Sum<u64>,
    /// Accelerators by model.
    pub accelerators: BTreeMap<String, Sum<u64>>,
    /// Clusters whose provider does not say whether there are accelerators, or how many.
    pub accelerators_unknown: u64,
    /// Hourly cost by currency.
    pub cost: BTreeMap<String, Sum<Decimal>>,
    /// Clusters without a known cost.
    pub cost_unknown: u64,
}

/// The clusters of one project of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// The project's id and its name, as far as the vendor gives them; none where the clusters are of no project.
    pub projects: Vec<String>,
    /// Its clusters.
    pub tally: Tally,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.clusters += other.clusters;
        for (state, count) in &other.states {
            *self.states.entry(state.clone()).or_default() += count;
        }
        self.nodes.join(other.nodes);
        self.nodes_ready.join(other.nodes_ready);
        for (model, sum) in &other.accelerators {
            let known = self.accelerators.entry(model.clone()).or_default();
            known.join(*sum);
        }
        self.accelerators_unknown += other.accelerators_unknown;
        for (currency, sum) in &other.cost {
            self.cost.entry(currency.clone()).or_default().join(*sum);
        }
        self.cost_unknown += other.cost_unknown;
    }

    fn count(&mut self, facts: &Facts) {
        self.clusters += 1;
        match self.states.get_mut(facts.state.as_str()) {
            Some(count) => *count += 1,
            None => {
                self.states.insert(facts.state.as_str().to_owned(), 1);
            }
        }
        self.nodes.count(facts.nodes);
        self.nodes_ready.count(facts.nodes_ready);
        for (model, count) in by_model(facts) {
            if let Some(sum) = self.accelerators.get_mut(&**model) {
                sum.count(count);
            } else {
                let mut sum = Sum::default();
                sum.count(count);
                self.accelerators.insert(model.to_string(), sum);
            }
        }
        if !are_accelerators_known(facts) {
            self.accelerators_unknown += 1;
        }
        if facts.cost.is_none() {
            self.cost_unknown += 1;
        }
    }
}

impl From<&Summary> for Tally {
    fn from(summary: &Summary) -> Self {
        Self {
            clusters: summary.clusters,
            states: summary.by.get("state").cloned().unwrap_or_default(),
            nodes: summary.nodes,
            nodes_ready: summary.nodes_ready,
            accelerators: summary.accelerators.clone(),
            accelerators_unknown: summary.accelerators_unknown,
            cost: summary.cost.clone(),
            cost_unknown: summary.cost_unknown,
        }
    }
}

impl Sum<u64> {
    fn count(&mut self, value: Option<u64>) {
        if let Some(value) = value {
            self.join(Self { value, clusters: 1 });
        }
    }
}

/// A tally in the making. Amounts are added without losing digits.
#[derive(Default)]
struct Making {
    tally: Tally,
    cost: HashMap<Arc<str>, (Exact, u64)>,
}

impl Making {
    fn count(&mut self, facts: &Facts) {
        self.tally.count(facts);
        if let Some((amount, currency)) = &facts.cost {
            let (exact, clusters) = self.cost.entry(Arc::clone(currency)).or_default();
            exact.add(*amount);
            *clusters += 1;
        }
    }

    fn done(self) -> Tally {
        let cost = self.cost.into_iter().map(|(currency, (exact, clusters))| {
            let value = exact.total();
            (currency.to_string(), Sum { value, clusters })
        });
        Tally {
            cost: cost.collect(),
            ..self.tally
        }
    }
}

/// Clusters by project, in the order of the projects' names, and whether all projects are told apart.
pub(super) fn groups(entries: &[Entry]) -> (Vec<Group>, bool) {
    let mut told_apart = true;
    let mut groups: HashMap<&[Arc<str>], Making> = HashMap::new();
    for entry in entries {
        let facts = &entry.row.facts;
        let projects: &[Arc<str>] = &facts.projects;
        let is_full = groups.len() >= MOST && !groups.contains_key(projects);
        told_apart &= !is_full;
        let projects = if is_full { &[] } else { projects };
        groups.entry(projects).or_default().count(facts);
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|(projects, making)| Group {
            projects: projects.iter().map(ToString::to_string).collect(),
            tally: making.done(),
        })
        .collect();
    groups.sort_by(|a, b| a.projects.cmp(&b.projects));
    (groups, told_apart)
}
