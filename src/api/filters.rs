//! The filters of the cluster operations as their documentation has them; [`params::filter`](super::params::filter) reads them.

use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn};

/// Filters, as the list describes them.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "it is a description; nothing is ever read into it"
)]
pub struct Filters {
    /// Kinds of provider. As for each filter: a comma or a repeat is OR, different names are AND, `!` before a value excludes it
    #[param(explode = false)]
    provider: Option<Vec<String>>,
    /// Configured accounts
    #[param(explode = false)]
    source: Option<Vec<String>>,
    /// Clouds
    #[param(explode = false)]
    cloud: Option<Vec<String>>,
    /// Regions; any region of a cluster counts
    #[param(explode = false)]
    region: Option<Vec<String>>,
    /// Normalized states
    #[param(explode = false)]
    state: Option<Vec<String>>,
    /// Environments
    #[param(explode = false)]
    environment: Option<Vec<String>>,
    /// Families of orchestrator
    #[param(explode = false)]
    orchestrator: Option<Vec<String>>,
    /// Distributions
    #[param(explode = false)]
    distribution: Option<Vec<String>>,
    /// Versions, whole (`1.34.3`) or minor (`1.34`)
    #[param(explode = false)]
    version: Option<Vec<String>>,
    /// Models of accelerator
    #[param(explode = false)]
    accelerator: Option<Vec<String>>,
    /// Whether the provider hosts or observes the cluster
    #[param(explode = false)]
    vantage: Option<Vec<String>>,
    /// How sure the inventory is that the cluster still exists
    #[param(explode = false)]
    presence: Option<Vec<String>>,
    /// Whether what is known of the cluster is old
    stale: Option<bool>,
    /// Labels, as `key` or `key=value`
    #[param(explode = false)]
    label: Option<Vec<String>>,
    /// Projects, by id or name
    #[param(explode = false)]
    project: Option<Vec<String>>,
    /// Teams
    #[param(explode = false)]
    team: Option<Vec<String>>,
    /// A text in the cluster's name or id
    #[param(min_length = 1, max_length = 128)]
    q: Option<String>,
}

/// The same filters where the list has described them before, so that some words can be spared.
pub struct FiltersInShort;

/// What is said of a filter in short.
const SHORT: [(&str, &str); 3] = [
    ("provider", "Kinds of provider"),
    ("region", "Regions"),
    ("version", "Versions, whole or minor"),
];

impl IntoParams for FiltersInShort {
    fn into_params(provider: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut filters = Filters::into_params(provider);
        for filter in &mut filters {
            if let Some((_, words)) = SHORT.iter().find(|(name, _)| *name == filter.name) {
                filter.description = Some((*words).to_owned());
            }
        }
        filters
    }
}

#[cfg(test)]
mod tests {
    use super::super::params::FILTERS;
    use super::*;

    fn names<T: IntoParams>() -> Vec<String> {
        let filters = T::into_params(|| None).into_iter();
        filters.map(|filter| filter.name).collect()
    }

    #[test]
    fn every_filter_is_described_and_no_other() {
        assert_eq!(names::<Filters>(), FILTERS);
        assert_eq!(names::<FiltersInShort>(), FILTERS);
        for (name, _) in SHORT {
            assert!(FILTERS.contains(&name), "{name}");
        }
    }
}
