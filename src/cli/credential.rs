//! `clustergate credential`: what `kubectl` runs to get in.

use clap::Args;
use serde_json::Value;

use super::access::{Access, Target};
use super::exit::{Exit, Failure};
use super::get::identifier;
use super::printer::Printer;
use crate::domain::ClusterId;

/// Print the credential of one cluster, as `kubectl` asks for it.
///
/// Kubeconfigs made by `clustergate kubeconfig` run this. Standard output holds the credential and nothing else.
#[derive(Debug, Clone, Args)]
pub struct Credential {
    /// Identifier of the cluster
    #[arg(long, value_name = "ID", value_parser = identifier)]
    pub cluster: ClusterId,
    /// Where to read from.
    #[command(flatten)]
    pub target: Target,
}

impl Credential {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let answer = self.ask().await;
        if answer.is_err() {
            // Whoever reads this has run kubectl: nothing else says which program speaks of which cluster.
            printer.remark(&format!(
                "clustergate: no credential for cluster {} was had",
                self.cluster
            ));
        }
        printer.print(&answer?.to_string())?;
        Ok(Exit::Ok)
    }

    async fn ask(&self) -> Result<Value, Failure> {
        let access = Access::open(&self.target).await?;
        let path = format!("/clusters/{}/credential", self.cluster);
        let answer = access.json(&path).await?;
        if answer.get("kind").and_then(Value::as_str) == Some("ExecCredential") {
            Ok(answer)
        } else {
            Err(Failure::Answer("it is no credential"))
        }
    }
}
