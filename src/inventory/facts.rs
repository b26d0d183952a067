//! What filters, sorting and sums need of a cluster, taken from it once.

use std::collections::HashSet;
use std::sync::Arc;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::domain::{Cluster, OrchestratorType, State, Vantage, Version};

/// Keeps one copy of each text. Texts that nobody uses any more are dropped by [`Interner::sweep`].
#[derive(Debug, Default)]
pub(super) struct Interner(HashSet<Arc<str>>);

impl Interner {
    /// The shared copy of a text.
    pub(super) fn keep(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = text.into();
        self.0.insert(Arc::clone(&new));
        new
    }

    /// Drops texts that only the interner holds.
    pub(super) fn sweep(&mut self) {
        self.0.retain(|text| Arc::strong_count(text) > 1);
    }

    fn lower(&mut self, text: &str) -> Arc<str> {
        if text.bytes().any(|b| b.is_ascii_uppercase()) || !text.is_ascii() {
            self.keep(&text.to_lowercase())
        } else {
            self.keep(text)
        }
    }
}

/// The longest part of a text, in bytes, that takes part in sorting: it also travels in page tokens.
const SORTED_TEXT: usize = 96;

/// A model and how many of it there are.
type Accelerators = (Arc<str>, Option<u64>);

/// What filters, sorting and sums need of a cluster. Filtered texts are in lower case, but for projects, which also decide who
/// sees a cluster.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) name: Arc<str>,
    pub(super) state: State,
    pub(super) orchestrator: OrchestratorType,
    pub(super) vantage: Vantage,
    pub(super) cloud: Option<Arc<str>>,
    pub(super) region: Option<Arc<str>>,
    pub(super) regions: Box<[Arc<str>]>,
    pub(super) environment: Option<Arc<str>>,
    pub(super) distribution: Option<Arc<str>>,
    pub(super) version: Option<Arc<str>>,
    pub(super) version_minor: Option<Arc<str>>,
    pub(super) version_order: Option<u64>,
    pub(super) projects: Box<[Arc<str>]>,
    pub(super) team: Option<Arc<str>>,
    pub(super) labels: Box<[(Arc<str>, Arc<str>)]>,
    pub(super) accelerators: Option<Box<[Accelerators]>>,
    pub(super) nodes: Option<u64>,
    pub(super) nodes_ready: Option<u64>,
    pub(super) cost: Option<(Decimal, Arc<str>)>,
    pub(super) cpu_cores: Option<f64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) created_at: Option<i64>,
    pub(super) updated_at: Option<i64>,
    pub(super) observed_at: Option<i64>,
}

impl Facts {
    /// Takes the facts of a cluster.
    pub(super) fn of(cluster: &Cluster, texts: &mut Interner) -> Self {
        let version = cluster.orchestrator.version.as_deref();
        let parsed = version.and_then(Version::parse);
        let mut regions: Vec<Arc<str>> = cluster
            .location
            .regions
            .iter()
            .map(|region| texts.lower(region))
            .collect();
        let region = cluster
            .location
            .region
            .as_deref()
            .map(|region| texts.lower(region));
        regions.extend(
            region
                .iter()
                .filter(|region| !regions.contains(region))
                .cloned()
                .collect::<Vec<_>>(),
        );
        let project = cluster.owner.project.as_ref();
        let project_names = project
            .into_iter()
            .flat_map(|project| [project.id.as_deref(), project.name.as_deref()]);
        Self {
            name: cluster.name.as_str().into(),
            state: cluster.status.state,
            orchestrator: cluster.orchestrator.kind,
            vantage: cluster.vantage,
            cloud: cluster
                .location
                .cloud
                .as_deref()
                .map(|text| texts.lower(text)),
            region,
            regions: regions.into(),
            environment: cluster.environment.as_deref().map(|text| texts.lower(text)),
            distribution: cluster
                .orchestrator
                .distribution
                .as_deref()
                .map(|text| texts.lower(text)),
            version: version.map(|text| texts.lower(text)),
            version_minor: parsed
                .as_ref()
                .and_then(|_| minor(version?))
                .map(|text| texts.keep(text)),
            version_order: parsed.and_then(|parsed| order(&parsed.normalized())),
            projects: project_names
                .flatten()
                .map(|text| texts.keep(text))
                .collect(),
            team: cluster.owner.team.as_deref().map(|text| texts.lower(text)),
            labels: cluster
                .labels
                .iter()
                .map(|(key, value)| (texts.lower(key), texts.lower(value)))
                .collect(),
            accelerators: cluster.accelerators.as_ref().map(|all| {
                let named = |a: &crate::domain::Accelerator| {
                    let name = a
                        .model
                        .as_deref()
                        .or(a.native.as_deref())
                        .unwrap_or("unknown");
                    (texts.keep(name), a.count)
                };
                all.iter().map(named).collect()
            }),
            nodes: cluster.nodes.as_ref().and_then(|nodes| nodes.total),
            nodes_ready: cluster.nodes.as_ref().and_then(|nodes| nodes.ready),
            cost: cluster
                .cost
                .as_ref()
                .map(|cost| (cost.hourly.amount, texts.keep(&cost.hourly.currency))),
            cpu_cores: cluster
                .capacity
                .as_ref()
                .and_then(|capacity| capacity.cpu_cores),
            memory_bytes: cluster
                .capacity
                .as_ref()
                .and_then(|capacity| capacity.memory_bytes),
            created_at: cluster.created_at.map(jiff::Timestamp::as_microsecond),
            updated_at: cluster.updated_at.map(jiff::Timestamp::as_microsecond),
            observed_at: cluster.observed_at.map(jiff::Timestamp::as_microsecond),
        }
    }

    /// Accelerators of every kind; `None` when the provider does not say.
    pub(super) fn accelerator_count(&self) -> Option<u64> {
        let counts = self.accelerators.as_ref()?;
        counts
            .iter()
            .try_fold(0_u64, |sum, (_, count)| sum.checked_add((*count)?))
    }

    /// The hourly cost as a number, only for ordering.
    pub(super) fn cost_order(&self) -> Option<f64> {
        self.cost.as_ref().and_then(|(amount, _)| amount.to_f64())
    }
}

/// The part of a text that takes part in sorting.
pub(super) fn cut(text: &str) -> &str {
    let end = (0..=SORTED_TEXT.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    &text[..end]
}

/// `1.34` of `1.34.3`; `None` when there is no patch to leave out.
fn minor(version: &str) -> Option<&str> {
    let (first_dot, _) = version.match_indices('.').next()?;
    let (second_dot, _) = version[first_dot + 1..].match_indices('.').next()?;
    Some(&version[..first_dot + 1 + second_dot])
}

/// Orders versions by major, minor and patch in one number.
fn order(normalized: &str) -> Option<u64> {
    let bare = normalized.split('-').next()?;
    let released = u64::from(bare.len() == normalized.len());
    let mut parts = bare
        .split('.')
        .map(|part| part.parse::<u64>().unwrap_or(u64::MAX).min((1 << 20) - 1));
    let mut part = || parts.next().unwrap_or(0);
    Some(part() << 41 | part() << 21 | part() << 1 | released)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_number_and_a_prerelease_comes_first() {
        assert!(order("1.9.3") < order("1.10.0"));
        assert!(order("1.34.0-rc.1") < order("1.34.0"));
        assert!(order("1.34") <= order("1.34.0"));
        assert_eq!(minor("1.34.3"), Some("1.34"));
        assert_eq!(minor("1.34"), None);
    }

    #[test]
    fn the_interner_drops_what_nobody_uses() {
        let mut texts = Interner::default();
        let kept = texts.keep("a");
        drop(texts.keep("b"));
        texts.sweep();
        assert_eq!(texts.0.len(), 1);
        assert!(Arc::ptr_eq(&kept, &texts.keep("a")));
    }
}
