//! Simulated vendors, alone or with a gateway over them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::{AppError, Background, Gateway, asked_to_stop, bind, run};
use crate::adapters::CATALOG;
use crate::config::{Config, Log, Schedule, Server, SourceConfig};
use crate::domain::SourceName;
use crate::sandbox::{Options, Sandbox, Vendor};
use crate::upstream::{Credential, StackSettings, TokenSource};

/// How a gateway over simulated vendors is started.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// Names under which the gateway is called.
    pub hosts: Vec<String>,
    /// What the fleet is made from; the same seed makes the same fleet.
    pub seed: u64,
    /// How many clusters there are, over all vendors.
    pub clusters: usize,
}

/// How the simulated vendors are started.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// What the fleet is made from; the same seed makes the same fleet.
    pub seed: u64,
    /// How many clusters there are, over all vendors.
    pub clusters: usize,
    /// Where the sandbox takes commands.
    pub control: SocketAddr,
}

/// One simulated vendor, for a person who wants to call it. Its token opens nothing real.
#[derive(Debug, Clone)]
pub struct SimulatedVendor {
    /// The provider's name.
    pub provider: &'static str,
    /// Where it listens.
    pub base_url: String,
    /// The token that it accepts.
    pub token: String,
}

/// What runs, for a person to try.
#[derive(Debug, Clone)]
pub struct Demonstration {
    /// Where the gateway listens; `None` where there is none.
    pub gateway: Option<SocketAddr>,
    /// Where the sandbox takes commands.
    pub control: Option<String>,
    /// The simulated vendors.
    pub vendors: Vec<SimulatedVendor>,
}

/// Runs simulated vendors and a gateway over them until asked to stop.
pub async fn demo(
    options: DemoOptions,
    announce: impl FnOnce(&Demonstration),
) -> Result<(), AppError> {
    let background = Background::start()?;
    let listener = bind(options.listen).await?;
    // A free port serves as well where the usual one is taken: a second demo must not fail.
    let control = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let sandbox = start(options.seed, options.clusters, control).await?;
    let config = Config {
        server: Server {
            listen: options.listen,
            hosts: options.hosts,
            ..Server::default()
        },
        sources: demo_sources(&sandbox, Duration::from_secs(10)),
        disabled: Vec::new(),
        log: Log::default(),
        access: crate::access::Settings::default(),
        store: None,
        webhooks: Vec::new(),
    };
    let gateway = Gateway::start(&config, background.handle()).await?;
    let address = listener.local_addr().map_err(AppError::Serve)?;
    announce(&Demonstration {
        gateway: Some(address),
        ..demonstration(&sandbox)
    });
    run(listener, None, &gateway, &config.server).await?;
    gateway.stop(Duration::from_secs(5)).await;
    sandbox.stop().await;
    Ok(())
}

/// Runs the simulated vendors until asked to stop.
pub async fn sandbox(
    options: SandboxOptions,
    announce: impl FnOnce(&Demonstration),
) -> Result<(), AppError> {
    let sandbox = start(options.seed, options.clusters, options.control).await?;
    announce(&demonstration(&sandbox));
    asked_to_stop().await;
    sandbox.stop().await;
    Ok(())
}

async fn start(seed: u64, clusters: usize, control: SocketAddr) -> Result<Sandbox, AppError> {
    let share =
        |at: usize| clusters / Vendor::ALL.len() + usize::from(at < clusters % Vendor::ALL.len());
    let fleet: BTreeMap<Vendor, usize> = Vendor::ALL
        .iter()
        .enumerate()
        .map(|(at, vendor)| (*vendor, share(at)))
        .collect();
    let options = Options {
        seed,
        clusters: fleet,
        control: Some(control),
        ..Options::default()
    };
    Sandbox::start(options).await.map_err(AppError::Sandbox)
}

fn demonstration(sandbox: &Sandbox) -> Demonstration {
    let vendor = |simulated: &crate::sandbox::Simulated| SimulatedVendor {
        provider: simulated.vendor().name(),
        base_url: simulated.api_url(),
        token: simulated.token(),
    };
    Demonstration {
        gateway: None,
        control: sandbox.control_url(),
        vendors: sandbox.vendors().map(vendor).collect(),
    }
}

/// One source for each simulated vendor that the catalog knows, named after its provider.
pub fn demo_sources(sandbox: &Sandbox, refresh_interval: Duration) -> Vec<SourceConfig> {
    let source = |simulated: &crate::sandbox::Simulated| {
        let provider = simulated.vendor().name();
        let entry = CATALOG
            .iter()
            .find(|entry| entry.kind.as_str() == provider)?;
        let base_url = Url::parse(&simulated.api_url()).ok()?;
        Some(SourceConfig {
            name: SourceName::new(provider).ok()?,
            entry,
            // The simulated vendors publish no rate, so none is kept.
            stack: StackSettings {
                rate: None,
                ..StackSettings::new(base_url).probed_every(refresh_interval)
            },
            credential: Credential {
                token: Arc::new(TokenSource::Value(SecretString::from(simulated.token()))),
                scheme: entry.scheme,
            },
            settings: toml::Table::new(),
            schedule: Schedule::every(refresh_interval),
        })
    };
    sandbox.vendors().filter_map(source).collect()
}
