//! `clustergate health`: a probe for containers that have no other program.

use clap::Args;

use super::access::{Remote, Target};
use super::exit::{Exit, Failure};
use super::printer::Printer;

/// Ask a running gateway whether it is alive; exit code 0 or 1.
#[derive(Debug, Clone, Args)]
pub struct Health {
    /// Ask whether it has an inventory to serve, instead of whether it is alive
    #[arg(long)]
    pub ready: bool,
    /// Which gateway to ask.
    #[arg(long, env = "CLUSTERGATE_URL", hide_env_values = true, default_value = Target::DEFAULT_URL, value_parser = super::access::gateway)]
    pub url: url::Url,
}

impl Health {
    /// Runs the command. Probes know success and failure only, so every failure is [`Exit::Failure`].
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        match self.ask().await {
            Ok(()) => Ok(Exit::Ok),
            Err(failure) => {
                printer.remark(&format!("error: {}", failure.report().unwrap_or_default()));
                Ok(Exit::Failure)
            }
        }
    }

    async fn ask(&self) -> Result<(), Failure> {
        let path = if self.ready { "/readyz" } else { "/livez" };
        let remote = Remote::new(self.url.clone())?;
        remote.stream(path, "*/*", |_| Ok(())).await.map(drop)
    }
}
