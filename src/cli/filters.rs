//! The filters of the API as flags.

use clap::Args;
use url::form_urlencoded::Serializer;

/// Which clusters. Several values are alternatives, different flags must all match, `!` before a value negates it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Filters (repeat or separate by commas for alternatives, ! negates)")]
pub struct Filters {
    /// Provider, such as latitude
    #[arg(long, value_name = "NAME")]
    pub provider: Vec<String>,
    /// Source, as configured
    #[arg(long, value_name = "NAME")]
    pub source: Vec<String>,
    /// Cloud, such as aws
    #[arg(long)]
    pub cloud: Vec<String>,
    /// Region
    #[arg(long)]
    pub region: Vec<String>,
    /// State, such as running or failed
    #[arg(long)]
    pub state: Vec<String>,
    /// Environment, such as production
    #[arg(long)]
    pub environment: Vec<String>,
    /// Orchestrator, such as kubernetes or slurm
    #[arg(long, value_name = "TYPE")]
    pub orchestrator: Vec<String>,
    /// Distribution, such as rke2 or eks
    #[arg(long, value_name = "NAME")]
    pub distribution: Vec<String>,
    /// Version, whole such as 1.34.3 or its minor such as 1.34
    #[arg(long = "version", id = "cluster_version", value_name = "VERSION")]
    pub version: Vec<String>,
    /// Accelerator, such as H200
    #[arg(long, value_name = "MODEL")]
    pub accelerator: Vec<String>,
    /// Whether the provider hosts or observes the cluster
    #[arg(long)]
    pub vantage: Vec<String>,
    /// How sure its existence is: present, stale, missing or suspect
    #[arg(long)]
    pub presence: Vec<String>,
    /// Only clusters whose state is out of date, or with `--stale=false` only up-to-date ones
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub stale: Option<bool>,
    /// Label, as KEY or KEY=VALUE
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// Project, by id or name
    #[arg(long)]
    pub project: Vec<String>,
    /// Team
    #[arg(long)]
    pub team: Vec<String>,
    /// Text to look for in names and identifiers
    #[arg(long, short, value_name = "TEXT")]
    pub query: Option<String>,
}

impl Filters {
    /// The parameters of the API, in a fixed order.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let lists: [(&'static str, &[String]); 15] = [
            ("provider", &self.provider),
            ("source", &self.source),
            ("cloud", &self.cloud),
            ("region", &self.region),
            ("state", &self.state),
            ("environment", &self.environment),
            ("orchestrator", &self.orchestrator),
            ("distribution", &self.distribution),
            ("version", &self.version),
            ("accelerator", &self.accelerator),
            ("vantage", &self.vantage),
            ("presence", &self.presence),
            ("label", &self.label),
            ("project", &self.project),
            ("team", &self.team),
        ];
        let listed = lists
            .into_iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value.clone())));
        let stale = self.stale.map(|stale| ("stale", stale.to_string()));
        let query = self.query.clone().map(|text| ("q", text));
        listed.chain(stale).chain(query).collect()
    }
}

/// A path with its query, everything encoded.
pub(super) fn target(path: &str, parameters: &[(&str, String)]) -> String {
    if parameters.is_empty() {
        return path.to_owned();
    }
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters);
    format!("{path}?{}", query.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_and_repeats_are_kept() {
        let filters = Filters {
            state: vec!["running,failed".into(), "!deleted".into()],
            label: vec!["team=a&b".into()],
            stale: Some(false),
            query: Some("é ü".into()),
            ..Filters::default()
        };
        assert_eq!(
            target("/clusters", &filters.parameters()),
            "/clusters?state=running%2Cfailed&state=%21deleted&label=team%3Da%26b&stale=false&q=%C3%A9+%C3%BC"
        );
        assert_eq!(target("/clusters", &[]), "/clusters");
    }
}
