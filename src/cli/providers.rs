//! `clustergate providers`.

use clap::Args;
use comfy_table::Cell;
use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::get::Form;
use super::printer::Printer;
use super::table::{Style, known, render};
use crate::adapters::CATALOG;
use crate::provider::Entry;

/// Show the vendors that a source can name, and the variables that configure each by themselves.
#[derive(Debug, Clone, Args)]
pub struct Providers {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Form,
}

impl Providers {
    /// Runs the command. It asks nobody: the list is part of the program.
    pub fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        match self.output {
            Form::Json => printer.json(&document(CATALOG))?,
            Form::Table => printer.print(&providers(CATALOG, printer.style()))?,
        }
        Ok(Exit::Ok)
    }
}

fn document(catalog: &[Entry]) -> Value {
    let items: Vec<Value> = catalog
        .iter()
        .map(|entry| {
            json!({
                "provider": entry.kind,
                "title": entry.title,
                "documentation": entry.documentation,
                "base_url": entry.base_url,
                "token_variables": entry.environment.token,
                "base_url_variables": entry.environment.base_url,
                "capabilities": entry.capabilities,
            })
        })
        .collect();
    json!({ "items": items })
}

/// Draws providers, one on each row; addresses of documentation are too long for a table.
fn providers(catalog: &[Entry], style: Style) -> String {
    let header = ["PROVIDER", "TITLE", "VANTAGE", "TOKEN VARIABLE", "ADDRESS"];
    let rows = catalog.iter().map(|entry| {
        let address = entry.base_url.map(str::to_owned).or_else(|| {
            let variables = entry.environment.base_url.join(" or ");
            Some(variables).filter(|variables| !variables.is_empty())
        });
        vec![
            Cell::new(&entry.kind),
            Cell::new(entry.title),
            Cell::new(entry.capabilities.vantage.as_str()),
            Cell::new_owned(entry.environment.token.join(" or ")),
            known(address),
        ]
    });
    render(&header, rows, style)
}
