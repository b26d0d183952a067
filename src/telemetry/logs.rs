//! Log lines on standard error, for people or for machines.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// The form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// Logging that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter does not parse.
    #[error("the log filter is no level and no list of directives")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Something else in this process logs already.
    #[error("logging is set up already")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Whether a text is a filter, such as `info` or `warn,clustergate=debug`.
pub fn is_filter(filter: &str) -> bool {
    EnvFilter::try_new(filter).is_ok()
}

/// Sends events that pass the filter to standard error; standard output belongs to answers.
pub fn init(format: Format, filter: &str) -> Result<(), InitError> {
    let filter = EnvFilter::try_new(filter).map_err(InitError::Filter)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        Format::Text => lines
            .with_ansi(
                std::io::stderr().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            )
            .try_init(),
        Format::Json => lines.json().flatten_event(true).with_ansi(false).try_init(),
    }
    .map_err(InitError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_filters() {
        assert!(is_filter("info"));
        assert!(is_filter("warn,clustergate::inventory=debug"));
        assert!(!is_filter("clustergate=loud"));
    }
}
