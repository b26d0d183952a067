//! `clustergate serve`, `demo` and `sandbox`: what runs until it is asked to stop.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::exit::{Exit, Failure};
use super::log::LogArgs;
use super::printer::Printer;
use super::switch::switch;
use crate::adapters::CATALOG;
use crate::app::{self, DemoOptions, Demonstration, SandboxOptions};
use crate::config::{Config, Log, Mistakes, Overrides, Process, Server, host_names, load};

/// Where the configuration comes from, and what the command line changes in it.
#[derive(Debug, Clone, Args)]
pub struct Configured {
    /// Configuration; without it the vendors' usual variables are used
    #[arg(long, env = "CLUSTERGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8650]
    #[arg(long, env = "CLUSTERGATE_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Allow an address that others can reach, although nothing controls their access
    #[arg(long, env = "CLUSTERGATE_INSECURE_BIND", value_parser = switch)]
    pub insecure_bind: bool,
    /// File of API keys; with it nobody is let in without one
    #[arg(long, env = "CLUSTERGATE_KEYS_FILE", value_name = "FILE")]
    pub keys_file: Option<PathBuf>,
    /// Its names.
    #[command(flatten)]
    pub hosts: Hosts,
    /// Its certificate.
    #[command(flatten)]
    pub tls: Tls,
}

/// What the gateway shows to those who speak TLS.
#[derive(Debug, Clone, Default, Args)]
pub struct Tls {
    /// Certificate to show, as PEM; with it and its key the gateway speaks TLS only
    #[arg(long, env = "CLUSTERGATE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, as PEM
    #[arg(long, env = "CLUSTERGATE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

/// Under which names the gateway is called.
#[derive(Debug, Clone, Default, Args)]
pub struct Hosts {
    /// Names under which the gateway is called, beside localhost and addresses
    #[arg(
        long,
        env = "CLUSTERGATE_HOSTS",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub hosts: Vec<String>,
}

impl Hosts {
    /// The names that are set: container tools pass `KEY=` for a variable that nobody set.
    fn named(&self) -> Vec<String> {
        let mut names = self.hosts.clone();
        names.retain(|name| !name.trim().is_empty());
        names
    }
}

impl Configured {
    /// Reads the configuration.
    pub fn load(&self) -> Result<Config, Mistakes> {
        self.load_with(&LogArgs::default())
    }

    fn load_with(&self, log: &LogArgs) -> Result<Config, Mistakes> {
        let overrides = Overrides {
            listen: self.listen,
            insecure_bind: self.insecure_bind,
            hosts: self.hosts.named(),
            tls_cert: self.tls.tls_cert.clone(),
            tls_key: self.tls.tls_key.clone(),
            log_filter: log.log.clone(),
            log_format: log.log_format.map(Into::into),
            keys_file: self.keys_file.clone(),
            reads_only: false,
        };
        load(self.config.as_deref(), &overrides, &Process, CATALOG)
    }
}

/// Run the gateway.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// The configuration.
    #[command(flatten)]
    pub configured: Configured,
}

impl Serve {
    /// Runs the command.
    pub async fn run(&self, log: &LogArgs) -> Result<Exit, Failure> {
        let config = self.configured.load_with(log)?;
        log.init(&config.log)?;
        if !config.server.listen.ip().is_loopback() && !config.access.is_guarded() {
            tracing::warn!(
                server.listen = %config.server.listen,
                "listening on an address that others can reach without access control"
            );
        }
        for name in &config.disabled {
            tracing::info!(source.name = %name, "source is switched off");
        }
        app::serve(config).await?;
        Ok(Exit::Ok)
    }
}

/// What a simulated fleet is made of.
#[derive(Debug, Clone, Args)]
pub struct Fleet {
    /// The same seed makes the same fleet
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Clusters in the fleet, over all vendors
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub clusters: u32,
}

impl Fleet {
    fn size(&self) -> usize {
        usize::try_from(self.clusters).unwrap_or(usize::MAX)
    }
}

/// Run simulated vendors and a gateway over them: everything works, no account is needed.
#[derive(Debug, Clone, Args)]
pub struct Demo {
    /// Address to listen on
    #[arg(long, env = "CLUSTERGATE_LISTEN", default_value_t = Server::LISTEN, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Its names.
    #[command(flatten)]
    pub hosts: Hosts,
    /// The fleet.
    #[command(flatten)]
    pub fleet: Fleet,
}

impl Demo {
    /// Runs the command.
    pub async fn run(&self, log: &LogArgs, printer: Printer) -> Result<Exit, Failure> {
        log.init(&quiet())?;
        let hosts = host_names(&self.hosts.named()).map_err(|mistake| Mistakes(vec![mistake]))?;
        let options = DemoOptions {
            listen: self.listen,
            hosts,
            seed: self.fleet.seed,
            clusters: self.fleet.size(),
        };
        app::demo(options, |running| announce(printer, running)).await?;
        Ok(Exit::Ok)
    }
}

/// Run the simulated vendors alone.
#[derive(Debug, Clone, Args)]
pub struct Sandbox {
    /// Address on which the sandbox itself is told what to do
    #[arg(long, default_value = "127.0.0.1:8651", value_name = "ADDRESS")]
    pub control: SocketAddr,
    /// The fleet.
    #[command(flatten)]
    pub fleet: Fleet,
}

impl Sandbox {
    /// Runs the command.
    pub async fn run(&self, log: &LogArgs, printer: Printer) -> Result<Exit, Failure> {
        log.init(&quiet())?;
        let options = SandboxOptions {
            seed: self.fleet.seed,
            clusters: self.fleet.size(),
            control: self.control,
        };
        app::sandbox(options, |running| announce(printer, running)).await?;
        Ok(Exit::Ok)
    }
}

/// A demonstration logs only what goes wrong, so that its introduction stays in sight.
fn quiet() -> Log {
    Log {
        filter: "warn".to_owned(),
        ..Log::default()
    }
}

/// Says what runs. Who started it without a terminal loses nothing when this cannot be written.
fn announce(printer: Printer, running: &Demonstration) {
    let _ = printer.print(&introduction(running));
}

/// What runs and what to try.
fn introduction(running: &Demonstration) -> String {
    let mut text = String::new();
    if let Some(address) = running.gateway {
        let lines = [
            format!("clustergate listens on http://{address} and reads five simulated vendors."),
            String::new(),
            "Try:".to_owned(),
            format!("  curl 'http://{address}/clusters?limit=3'"),
            format!(
                "  curl 'http://{address}/clusters?state=running&accelerator=H100,H200&sort=-cost&fields=name,cost,accelerators'"
            ),
            format!("  curl 'http://{address}/summary'"),
            String::new(),
            format!("Documentation: http://{address}/docs/"),
        ];
        text.push_str(&lines.join("\n"));
        if let Some(control) = &running.control {
            let _ = write!(
                text,
                "\nBreak a vendor: curl -X PUT {control}/vendors/kubeadapt/fault -d '{{\"fault\":\"http503\"}}'\nThen look at:   curl 'http://{address}/sources/kubeadapt'"
            );
        }
        text.push_str("\n\nCtrl-C ends it.");
        return text;
    }
    text.push_str("Simulated vendors:\n");
    for vendor in &running.vendors {
        let _ = writeln!(
            text,
            "  {:<16} {:<28} token {}",
            vendor.provider, vendor.base_url, vendor.token
        );
    }
    if let Some(control) = &running.control {
        let _ = writeln!(text, "Control: {control} (GET /vendors, GET /faults)");
    }
    text.push_str("Ctrl-C ends it.");
    text
}
