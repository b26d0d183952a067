//! `clustergate store`: what the gateway keeps, while no gateway runs.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::get::Form;
use super::printer::Printer;
use crate::app::{Stored, Verified};
use crate::config::{Process, store_address};

/// Bring the store up to date, check it, or copy it to another place.
#[derive(Debug, Clone, Args)]
pub struct Store {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with a store.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Bring its tables up to date; a gateway does so by itself when it starts
    Migrate(Migrate),
    /// Look whether it holds what was written; ends with 1 where it does not
    Check(Check),
    /// Write everything in it as lines of JSON
    Export(Export),
    /// Read what `export` wrote into an empty store, of either kind
    Import(Import),
}

/// Which store.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// `sqlite:<file>` or `postgres://…` [default: that of the configuration, else the file in the folder of data]
    #[arg(
        long = "store",
        env = "CLUSTERGATE_STORE",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub address: Option<String>,
    /// Configuration
    #[arg(long, env = "CLUSTERGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Bring its tables up to date.
#[derive(Debug, Clone, Args)]
pub struct Migrate {
    /// Which store.
    #[command(flatten)]
    pub place: Place,
}

/// Look whether it holds what was written.
#[derive(Debug, Clone, Args)]
pub struct Check {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Form,
    /// Which store.
    #[command(flatten)]
    pub place: Place,
}

/// Write everything in it as lines of JSON.
#[derive(Debug, Clone, Args)]
pub struct Export {
    /// A new file, made for its owner alone [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
    /// Which store.
    #[command(flatten)]
    pub place: Place,
}

/// Read what `export` wrote into an empty store.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// The file [default: standard input]
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Which store.
    #[command(flatten)]
    pub place: Place,
}

impl Store {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        match &self.command {
            Command::Migrate(migrate) => migrate.run(printer).await,
            Command::Check(check) => check.run(printer).await,
            Command::Export(export) => export.run(printer).await,
            Command::Import(import) => import.run(printer).await,
        }
    }
}

impl Place {
    fn store(&self) -> Result<Stored, Failure> {
        if let Some(address) = &self.address {
            return Ok(Stored::parse(address, Path::new(""))?);
        }
        Ok(Stored::at(store_address(self.config.as_deref(), &Process)?))
    }
}

impl Migrate {
    async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let (before, after) = self.place.store()?.migrate().await?;
        printer.print(&if before == after {
            format!("the tables are of version {after}, which is the newest")
        } else {
            format!("the tables were of version {before} and are of version {after}")
        })?;
        Ok(Exit::Ok)
    }
}

impl Check {
    async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let found = self.place.store()?.check().await?;
        match self.output {
            Form::Json => printer.json(&json!(found))?,
            Form::Table => printer.print(&told(&found))?,
        }
        Ok(if found.problems.is_empty() {
            Exit::Ok
        } else {
            Exit::Failure
        })
    }
}

fn told(found: &Verified) -> String {
    let known = |number: Option<u64>| number.map_or("none".to_owned(), |number| number.to_string());
    let mut lines = vec![
        format!(
            "version         {} (the newest is {})",
            found.version, found.newest
        ),
        format!("generation      {}", known(found.generation)),
        format!("complete since  {}", known(found.complete_since)),
        format!("sources         {}", found.sources),
        format!("clusters        {}", found.clusters),
        format!("changes         {}", found.changes),
        format!("attempts        {}", found.attempts),
        format!("bytes           {}", found.bytes),
    ];
    if found.problems.is_empty() {
        lines.push("nothing is wrong".to_owned());
    }
    lines.extend(
        found
            .problems
            .iter()
            .map(|problem| format!("wrong: {problem}")),
    );
    lines.join("\n")
}

impl Export {
    async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let store = self.place.store()?;
        let count = match &self.to {
            None => store.export(|line| printer.pass(line)).await?,
            Some(path) => {
                let mut file = BufWriter::new(create(path).map_err(at(path))?);
                let exported = store.export(|line| file.write_all(line)).await;
                let exported = exported.map_err(Failure::from);
                let written = exported.and_then(|count| {
                    file.flush().map_err(at(path))?;
                    file.get_ref().sync_all().map_err(at(path))?;
                    Ok(count)
                });
                if written.is_err() {
                    // A part of it is good for nothing.
                    let _ = std::fs::remove_file(path);
                }
                written?
            }
        };
        printer.remark(&format!("{count} rows are exported"));
        Ok(Exit::Ok)
    }
}

impl Import {
    async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let store = self.place.store()?;
        let count = match &self.from {
            None => store.import(io::stdin().lock()).await?,
            Some(path) => {
                let file = File::open(path).map_err(at(path))?;
                store.import(BufReader::new(file)).await?
            }
        };
        printer.remark(&format!("{count} rows are imported"));
        Ok(Exit::Ok)
    }
}

fn at(path: &Path) -> impl Fn(io::Error) -> Failure {
    let file = path.display().to_string();
    move |error| Failure::File {
        file: file.clone(),
        error,
    }
}

/// A file that was not there, for its owner alone.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_told_in_lines() {
        let mut found = Verified {
            version: 2,
            newest: 2,
            generation: Some(1_800_000_000_012),
            sources: 5,
            clusters: 90,
            ..Verified::default()
        };
        assert!(told(&found).ends_with("\nnothing is wrong"));
        assert!(told(&found).contains("\ncomplete since  none\n"));
        found
            .problems
            .push("a: 1 of 2 records are missing".to_owned());
        assert!(told(&found).ends_with("\nwrong: a: 1 of 2 records are missing"));
    }
}
