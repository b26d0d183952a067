//! `clustergate get` and `clustergate summary`: one object.

use clap::{Args, ValueEnum};

use super::access::{Access, Target};
use super::exit::{Exit, Failure};
use super::filters::{Filters, target};
use super::printer::Printer;
use super::view::view;
use crate::domain::ClusterId;

/// How one object, or a short list, is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    #[default]
    Table,
    /// One JSON document
    Json,
}

/// Show one cluster.
#[derive(Debug, Clone, Args)]
pub struct Get {
    /// Identifier of the cluster, such as latitude-main:kc_pRMLydp0dQKr1
    #[arg(value_parser = identifier)]
    pub id: ClusterId,
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Form,
    /// Add what the vendor itself says (raw), and the nodes
    #[arg(long, value_delimiter = ',', value_name = "PARTS", value_parser = ["raw", "nodes"])]
    pub include: Vec<String>,
    /// Where to read from.
    #[command(flatten)]
    pub target: Target,
}

impl Get {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let access = Access::open(&self.target).await?;
        let mut parameters = Vec::new();
        if !self.include.is_empty() {
            parameters.push(("include", self.include.join(",")));
        }
        let path = format!("/clusters/{}", self.id);
        show(&access, &target(&path, &parameters), self.output, printer).await
    }
}

/// Count clusters by state, provider and more.
#[derive(Debug, Clone, Args)]
pub struct Summary {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Form,
    /// Filters.
    #[command(flatten)]
    pub filters: Filters,
    /// Where to read from.
    #[command(flatten)]
    pub target: Target,
}

impl Summary {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let access = Access::open(&self.target).await?;
        let path = target("/summary", &self.filters.parameters());
        show(&access, &path, self.output, printer).await
    }
}

async fn show(access: &Access, path: &str, form: Form, printer: Printer) -> Result<Exit, Failure> {
    let answer = access.json(path).await?;
    match form {
        Form::Json => printer.json(&answer)?,
        Form::Table => printer.print(&view(&answer, printer.style()))?,
    }
    // A single cluster says nothing of the whole; a summary does.
    if answer.get("complete").and_then(serde_json::Value::as_bool) == Some(false) {
        let about = answer.as_object().cloned().unwrap_or_default();
        printer.remark(&super::inventory::missing(&about, jiff::Timestamp::now()));
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Ok)
}

pub(super) fn identifier(text: &str) -> Result<ClusterId, &'static str> {
    ClusterId::parse(text).ok_or(
        "is no identifier: it has the form <source>:<native id>; `clustergate list -o wide` shows them",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_checked_before_anything_is_asked() {
        assert!(identifier("latitude-main:kc_1").is_ok());
        for text in ["kc_1", "a:b/../c", "a:b?x=1", ""] {
            assert!(identifier(text).is_err(), "{text:?}");
        }
    }
}
