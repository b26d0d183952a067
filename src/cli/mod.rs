//! The command line: each command parses, calls [`crate::app`] or the HTTP API, and prints.
//!
//! Whatever is shown of clusters comes from the public API as JSON, from a gateway over the network or, with `--direct`,
//! from the same API in process ([`access`]). Answers go to standard output and remarks to standard error, both through
//! [`printer`] alone; how a command ended is its exit code ([`exit`]).

pub mod access;
pub mod check;
pub mod credential;
pub mod exit;
pub mod filters;
pub mod get;
pub mod health;
mod inventory;
pub mod keys;
pub mod kubeconfig;
pub mod list;
pub mod log;
pub mod printer;
pub mod problem;
mod progress;
pub mod providers;
pub mod serve;
pub mod sources;
pub mod store;
mod switch;
mod table;
mod text;
mod view;

use std::process::ExitCode;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::app;
use crate::config::Process;
use exit::{Exit, Failure};
use printer::Printer;

/// One REST API over every vendor that runs or watches your clusters.
#[derive(Debug, Parser)]
#[command(name = "clustergate", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What is logged.
    #[command(flatten)]
    pub log: log::LogArgs,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve(serve::Serve),
    /// Validate the configuration, then try each source once
    Check(check::Check),
    /// List clusters
    #[command(visible_alias = "ls")]
    List(Box<list::List>),
    /// Show one cluster
    Get(get::Get),
    /// Count clusters by state, provider and more
    Summary(Box<get::Summary>),
    /// Write a kubeconfig for one cluster or for many
    Kubeconfig(Box<kubeconfig::Kubeconfig>),
    /// Print the credential of one cluster; kubeconfigs of clustergate run this
    Credential(credential::Credential),
    /// Show how far each source can be trusted, and what is wrong with it
    Sources(sources::Sources),
    /// Show the vendors that a source can name
    Providers(providers::Providers),
    /// Make, list, rotate and revoke API keys
    Keys(keys::Keys),
    /// Bring the store up to date, check it, or copy it to another place
    Store(store::Store),
    /// Run simulated vendors and a gateway over them; no account is needed
    Demo(serve::Demo),
    /// Run the simulated vendors alone
    Sandbox(serve::Sandbox),
    /// Ask a running gateway whether it is alive
    Health(health::Health),
    /// Print the API's description
    Openapi(Openapi),
    /// Print completions for a shell
    Completions(Completions),
}

impl Command {
    /// Whether it runs until it is asked to stop; such a command sets logging up by its own configuration.
    const fn is_lasting(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Demo(_) | Self::Sandbox(_))
    }
}

/// Print the API's description (OpenAPI 3.1).
#[derive(Debug, Clone, Args)]
pub struct Openapi {
    /// As OpenAPI 3.0.3, for generators that refuse 3.1
    #[arg(long = "3.0")]
    pub version_3_0: bool,
}

/// Print completions for a shell.
#[derive(Debug, Clone, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// The command with everything that the help says.
pub fn command() -> clap::Command {
    let codes: Vec<String> = Exit::ALL
        .iter()
        .map(|exit| format!("  {}  {}", exit.code(), exit.meaning()))
        .collect();
    let help = format!(
        "Exit codes:\n{}\n  `health` ends with 0 or 1 only, as container probes expect",
        codes.join("\n")
    );
    Cli::command().after_help(help)
}

/// Parses the process's arguments, runs the command and reports how it ended.
pub fn main() -> ExitCode {
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return clap_exit(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return clap_exit(&error),
    };
    let printer = Printer::new(&Process);
    let result = tokio::runtime::Builder::new_multi_thread()
        .global_queue_interval(app::GLOBAL_QUEUE_INTERVAL)
        .enable_all()
        .build()
        .map_err(Failure::Output)
        .and_then(|runtime| runtime.block_on(run(cli, printer)));
    let exit = result.unwrap_or_else(|failure| {
        if let Some(report) = failure.report() {
            printer.remark(&format!("error: {report}"));
        }
        failure.exit()
    });
    exit.into()
}

/// Help and version go to standard output and are no failure; a wrong command line is [`Exit::Usage`].
fn clap_exit(error: &clap::Error) -> ExitCode {
    // Nobody can be told when even this cannot be written.
    let _ = error.print();
    // Container engines keep 2 for themselves.
    let is_probe = std::env::args_os().any(|argument| argument == "health");
    if error.use_stderr() && is_probe {
        Exit::Failure
    } else if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Ok
    }
    .into()
}

/// Runs one command.
pub async fn run(cli: Cli, printer: Printer) -> Result<Exit, Failure> {
    let log = &cli.log;
    if !cli.command.is_lasting() {
        log.init_quiet()?;
    }
    match &cli.command {
        Command::Serve(serve) => serve.run(log).await,
        Command::Demo(demo) => demo.run(log, printer).await,
        Command::Sandbox(sandbox) => sandbox.run(log, printer).await,
        Command::Check(check) => check.run(printer).await,
        Command::List(list) => list.run(printer).await,
        Command::Get(get) => get.run(printer).await,
        Command::Summary(summary) => summary.run(printer).await,
        Command::Kubeconfig(kubeconfig) => kubeconfig.run(printer).await,
        Command::Credential(credential) => credential.run(printer).await,
        Command::Sources(sources) => sources.run(printer).await,
        Command::Providers(providers) => providers.run(printer),
        Command::Keys(keys) => keys.run(printer).await,
        Command::Store(store) => store.run(printer).await,
        Command::Health(health) => health.run(printer).await,
        Command::Openapi(openapi) => {
            printer.json(&app::openapi(openapi.version_3_0))?;
            Ok(Exit::Ok)
        }
        Command::Completions(completions) => {
            let mut script = Vec::new();
            clap_complete::generate(
                completions.shell,
                &mut command(),
                "clustergate",
                &mut script,
            );
            printer.pass(&script)?;
            Ok(Exit::Ok)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let arguments = ["clustergate"].iter().chain(arguments);
        Cli::from_arg_matches(&command().try_get_matches_from(arguments)?)
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_help_documents_every_exit_code() {
        let help = command().render_help().to_string();
        for exit in Exit::ALL {
            assert!(help.contains(&format!("  {}  ", exit.code())), "{help}");
        }
    }

    #[test]
    fn filters_are_flags() {
        let cli = parse(&[
            "list",
            "--state",
            "running,failed",
            "--version",
            "1.34",
            "--stale",
            "--label",
            "a=b",
            "--label",
            "c",
            "-q",
            "edge",
            "-o",
            "json",
            "--limit",
            "5",
        ])
        .unwrap();
        let Command::List(list) = cli.command else {
            panic!("it is a list")
        };
        assert_eq!(list.output, list::Output::Json);
        let names: Vec<&str> = list
            .filters
            .parameters()
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert_eq!(names, ["state", "version", "label", "label", "stale", "q"]);
    }

    #[test]
    fn a_wrong_command_line_is_refused() {
        for arguments in [
            &["list", "--limit", "0"] as &[&str],
            &["list", "--url", "localhost:1"],
            &["get", "no-colon"],
            &["kubeconfig", "no-colon"],
            &["kubeconfig", "--force"],
            &["credential"],
            &["serve", "--listen", "somewhere"],
            &["frobnicate"],
        ] {
            assert!(
                parse(arguments).is_err_and(|error| error.use_stderr()),
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn every_provider_can_be_configured_by_its_variables_alone() {
        for entry in crate::adapters::CATALOG {
            let mut variables = std::collections::BTreeMap::new();
            for name in entry.environment.token {
                variables.insert((*name).to_owned(), "token".to_owned());
            }
            for name in entry.environment.base_url {
                variables.insert((*name).to_owned(), "https://vendor.example.com".to_owned());
            }
            let config = crate::config::load(
                None,
                &crate::config::Overrides::default(),
                &variables,
                crate::adapters::CATALOG,
            )
            .unwrap();
            let kinds: Vec<_> = config
                .sources
                .iter()
                .map(|source| &source.entry.kind)
                .collect();
            assert!(kinds.contains(&&entry.kind), "{}", entry.kind);
        }
    }

    #[test]
    fn every_shell_has_completions() {
        for shell in <clap_complete::Shell as clap::ValueEnum>::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut command(), "clustergate", &mut script);
            assert!(!script.is_empty(), "{shell}");
        }
    }
}
