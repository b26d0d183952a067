//! The flags of logging.

use clap::{Args, ValueEnum};

use super::exit::Failure;
use crate::config::Log;
use crate::telemetry::logs::{self, Format};

/// The form of a log line, as a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object on each line
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

/// What is logged to standard error.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Logging")]
pub struct LogArgs {
    /// Events to log, such as `debug` or `info,clustergate::upstream=debug`
    #[arg(long, global = true, env = "CLUSTERGATE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Form of a log line
    #[arg(long, global = true, env = "CLUSTERGATE_LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

impl LogArgs {
    /// Sets logging up; the flags win over the configuration.
    pub(super) fn init(&self, log: &Log) -> Result<(), Failure> {
        let format = self.log_format.map_or(log.format, Into::into);
        let filter = self.log.as_deref().unwrap_or(&log.filter);
        logs::init(format, filter).map_err(Failure::Log)
    }

    /// Sets logging up for a command whose answer is what matters: silent unless asked for.
    pub(super) fn init_quiet(&self) -> Result<(), Failure> {
        self.init(&Log {
            filter: "off".to_owned(),
            ..Log::default()
        })
    }
}
