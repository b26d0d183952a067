//! Configuration: a file, a few variables, or the vendors' usual variables alone.
//!
//! Raw and resolved are two things. `raw` takes keys out of the file as it is written, `resolve` makes a [`Config`] of
//! them or says everything that is wrong at once, each mistake with its key ([`Mistakes`]). Resolving asks for variables
//! through [`Strings`] and never touches the process environment, so that it can be tested as a function.
//!
//! Sources that the file does not number are counted from 0, such as `sources[2].name`; a source with a usable name is
//! called by it, such as `sources[latitude-main].token_env`, unless others have it too: then by number, name and provider, such
//! as `sources[2] "main" (latitude).token_env`.
//!
//! # Secrets
//!
//! A token is never written in the file: `token_env` names the variable that holds it, `token_file` the file. No message
//! repeats a value, and `Debug` of a configuration shows neither tokens nor values of the provider's own settings.

mod access;
mod connect;
mod env;
mod hosts;
mod inbound;
mod mistake;
mod quantity;
mod raw;
mod resolve;
mod source;
mod store;
mod webhooks;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::SourceName;
use crate::provider::{Entry, Limits};
use crate::telemetry::logs::Format;
use crate::tls;
use crate::upstream::{Credential, Rate, StackSettings};

pub use access::{KeysPlace, keys_file, keys_place};
pub use connect::{Connected, connect};
pub use env::{Process, Strings};
pub use hosts::host_names;
pub use inbound::tls_mistakes;
pub use mistake::{Mistake, Mistakes};
pub use quantity::duration as read_duration;
pub use resolve::{Overrides, listening_side, load, parse};
pub use store::store_address;

/// Everything a running gateway needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The listening side.
    pub server: Server,
    /// Sources to read, in the order of the file.
    pub sources: Vec<SourceConfig>,
    /// Sources that the file holds and switches off.
    pub disabled: Vec<SourceName>,
    /// What is logged.
    pub log: Log,
    /// What controls access.
    pub access: crate::access::Settings,
    /// Where the inventory is kept; `None` where it is not.
    pub store: Option<crate::store::Settings>,
    /// Who is told what changes. What their filters mean is not known yet.
    pub webhooks: Vec<crate::hooks::Settings>,
}

/// The listening side, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whether an address that others can reach is meant to be used although nothing controls access to it.
    pub insecure_bind: bool,
    /// Names under which the gateway is called, in lower case.
    ///
    /// Where there are any, and on loopback, it answers to no others but `localhost` and addresses.
    pub hosts: Vec<String>,
    /// The certificate to show and its key; without them the gateway speaks plain HTTP.
    pub tls: Option<tls::Files>,
    /// How long browsers are told to use TLS only, where there is a certificate; zero tells them nothing.
    pub hsts: Duration,
    /// Origins of other sites whose pages may ask, as browsers write them.
    pub cors_origins: Vec<String>,
    /// How often each client may ask.
    pub rate_limit: Option<Rate>,
    /// Proxies that are believed when they say whom they ask for.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at once; more wait in the kernel's queue.
    pub max_connections: usize,
    /// How long what is ready may wait for its turn before some requests are refused; zero refuses none.
    pub shed_above: Duration,
    /// Time for the whole of a request's headers.
    pub header_timeout: Duration,
    /// How long a connection may lie idle between requests.
    pub idle_timeout: Duration,
    /// Time for the body of a request; its answer comes from memory and waits for nothing.
    pub request_timeout: Duration,
    /// How long open requests may go on once the gateway is asked to stop.
    pub shutdown_grace: Duration,
}

impl Server {
    /// Where the gateway listens unless told otherwise.
    pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8650);
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Self::LISTEN,
            insecure_bind: false,
            hosts: Vec::new(),
            tls: None,
            hsts: Duration::from_hours(365 * 24),
            cors_origins: Vec::new(),
            rate_limit: None,
            trusted_proxies: Vec::new(),
            max_connections: 16_384,
            shed_above: Duration::from_millis(100),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            request_timeout: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: Format,
    /// Which events, in the syntax of `tracing-subscriber`'s `EnvFilter`, such as `info,clustergate=debug`.
    pub filter: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: Format::Text,
            filter: "info".to_owned(),
        }
    }
}

/// One account at one vendor. Its `Debug` shows no value of the provider's own settings.
#[derive(Clone)]
pub struct SourceConfig {
    /// Its name, unique in the gateway.
    pub name: SourceName,
    /// Its provider's row of the catalog.
    pub entry: &'static Entry,
    /// Bounds of its calls.
    pub stack: StackSettings,
    /// What authorizes its calls.
    pub credential: Credential,
    /// The provider's own keys, already found good by [`connect()`].
    pub settings: toml::Table,
    /// When and how much is read.
    pub schedule: Schedule,
}

impl fmt::Debug for SourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: Vec<&String> = self.settings.keys().collect();
        f.debug_struct("SourceConfig")
            .field("name", &self.name)
            .field("provider", &self.entry.kind)
            .field("stack", &self.stack)
            .field("credential", &self.credential)
            .field("settings", &settings)
            .field("schedule", &self.schedule)
            .finish()
    }
}

/// When a source is read, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// From the end of one refresh to the start of the next.
    pub refresh_interval: Duration,
    /// Time for one whole refresh.
    pub refresh_deadline: Duration,
    /// Age from which a cluster counts as stale.
    pub staleness_limit: Duration,
    /// Whether details are read as well, where the vendor's list is a summary.
    pub details: bool,
    /// Pages of one refresh, at most.
    pub max_pages: u32,
    /// Clusters of one refresh, at most.
    pub max_clusters: usize,
}

impl Schedule {
    /// The defaults for an interval.
    pub fn every(refresh_interval: Duration) -> Self {
        let limits = Limits::default();
        Self {
            refresh_interval,
            refresh_deadline: Duration::from_mins(10),
            staleness_limit: refresh_interval
                .saturating_mul(3)
                .max(refresh_interval.saturating_add(Duration::from_secs(30))),
            details: true,
            max_pages: limits.max_pages,
            max_clusters: limits.max_clusters,
        }
    }

    /// The bounds of one walk.
    pub fn limits(&self) -> Limits {
        Limits {
            max_pages: self.max_pages,
            max_clusters: self.max_clusters,
        }
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::every(Duration::from_mins(1))
    }
}

#[cfg(test)]
mod tests;
