//! Simulated vendors over real HTTP, for demonstrations, tests and rehearsals.
//!
//! Each of the five is written from the vendor's own pages and shares nothing with the adapters it checks: no type of
//! the domain, none of the outbound stack. A fleet follows from a seed, so that two sandboxes of one seed tell the
//! same story; [`Simulated::truth`] says what a client that misses nothing ends up with. Any vendor can be made to
//! misbehave in each of the ways of [`Fault`], and a canary, standing for a foreign host, counts what should never
//! have reached it.
//!
//! | file | subject |
//! |---|---|
//! | `fleet` | what clusters there are |
//! | `latitude`, `kubeadapt`, `lakesail`, `runtime`, `prime` | one vendor each: from a call to an answer, without transport |
//! | `world` | the call, the answer, and what a vendor implements |
//! | `distort`, `body`, `server` | faults of what is said, of the body it comes in, of the connection below |
//! | `simulated`, `stats`, `canary`, `control` | handles, counters, the foreign host, the control port |
//!
//! Switches for [`Simulated::set_feature`], as they stand in the beginning:
//!
//! | vendor | switch | on means |
//! |---|---|---|
//! | Latitude | `kubernetes` (on), `lks` (on) | the team has this product; off, it answers 403 `FEATURE_NOT_ENABLED` |
//! | | `stock` (on) | there are machines left; off, what would take one is refused |
//! | | `management-plane` (on) | legacy clusters can be made and changed; off, 503 `MANAGEMENT_CLUSTER_ERROR` |
//! | | `read-only-key` (off) | the key may read, and neither write nor have a kubeconfig |
//! | | `vanishing-project` (off) | the last project of the list is gone when its clusters are asked for |
//! | Kubeadapt | `cost-trend` (on) | the cost trend of a cluster is served |
//! | | `cursor-on-last-page` (off) | the last page has a cursor too |
//! | | `allow-list` (off) | a third of the clusters is hidden from lists and 403 by id |
//! | | `expire-cursors` (off) | every cursor is older than a day |
//! | LakeSail | `organization-header` (off) | calls without `LakeSail-Organization-Id` are refused |
//! | | `dpop` (off) | bearer tokens are refused with a DPoP challenge |
//! | | `failing-work` (off) | operations that begin end badly |
//! | | `empty-answers` (off) | writes are answered without a body |
//! | | `kubeconfig-exec` (off) | kubeconfigs run a command for their token; off, they hold one |
//! | | `kubeconfig-certificate` (off) | kubeconfigs hold a client certificate and its key |
//! | Runtime | `runtime` (on) | the product is installed; off, all its paths answer 404 HTML |
//! | | `clusters_slash` (off) | details are at `clusters/{id}/` in place of `cluster/{id}` |
//! | | `pagination-total` (off) | `total_count` is inside `pagination` |
//! | Prime | `admin-prefix` (on), `inventory-prefix` (off) | clusters are served under this prefix |
//! | | `data-null` (on) | unknown ids answer 200 with `data: null`, else 404 |

mod body;
mod canary;
mod control;
mod distort;
mod fault;
mod fleet;
mod kubeadapt;
mod lakesail;
mod latitude;
mod prime;
mod runtime;
mod server;
mod simulated;
mod stats;
#[cfg(test)]
mod tests;
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use canary::{Canary, CanaryHits};
pub use fault::{Fault, UnknownFault};
pub use simulated::{Aim, Quota, Simulated};
pub use stats::Stats;

use fleet::Dice;
use world::{Api, Context};

/// The vendors there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Vendor {
    /// Latitude.sh, both of its Kubernetes families.
    Latitude,
    /// Kubeadapt, current generation.
    Kubeadapt,
    /// The LakeSail platform.
    LakeSail,
    /// JFrog Runtime.
    JfrogRuntime,
    /// Prime Intellect, administration endpoints.
    PrimeIntellect,
}

impl Vendor {
    /// Every vendor, in the order of declaration.
    pub const ALL: [Self; 5] = [
        Self::Latitude,
        Self::Kubeadapt,
        Self::LakeSail,
        Self::JfrogRuntime,
        Self::PrimeIntellect,
    ];

    /// The name in configuration files and on the control port.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latitude => "latitude",
            Self::Kubeadapt => "kubeadapt",
            Self::LakeSail => "lakesail",
            Self::JfrogRuntime => "runtime",
            Self::PrimeIntellect => "prime-intellect",
        }
    }

    fn api(self, context: Context) -> Box<dyn Api> {
        match self {
            Self::Latitude => Box::new(latitude::Latitude::new(context)),
            Self::Kubeadapt => Box::new(kubeadapt::Kubeadapt::new(context)),
            Self::LakeSail => Box::new(lakesail::LakeSail::new(context)),
            Self::JfrogRuntime => Box::new(runtime::JfrogRuntime::new(context)),
            Self::PrimeIntellect => Box::new(prime::PrimeIntellect::new(context)),
        }
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A word that names no vendor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown vendor `{0}`")]
pub struct UnknownVendor(pub String);

impl FromStr for Vendor {
    type Err = UnknownVendor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|vendor| vendor.name() == text)
            .ok_or_else(|| UnknownVendor(text.to_owned()))
    }
}

/// What a client that misses nothing ends up knowing of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Whose cluster it is.
    pub vendor: Vendor,
    /// The vendor's own id; at LakeSail the external id if the cluster has one, else the platform's.
    pub id: String,
    /// The name it is shown under.
    pub name: String,
    /// The vendor's word for its state, as sent; none when the vendor sends none.
    pub status: Option<String>,
    /// The region or site, as sent.
    pub region: Option<String>,
    /// The version of Kubernetes, as sent.
    pub version: Option<String>,
    /// How many nodes it has, as far as the vendor tells, perhaps only by further calls.
    pub nodes: Option<u64>,
    /// Which of the vendor's lists it is in: `kubernetes` or `lks`, `infra` or `me`, else `clusters`.
    pub family: &'static str,
    /// The project, connection or team it belongs to.
    pub parent: Option<String>,
}

/// What a caller of the gateway says to write at a vendor, as the JSON bodies of its own API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Makes a cluster that the vendor accepts.
    pub spec: serde_json::Value,
    /// Changes such a cluster.
    pub patch: serde_json::Value,
}

/// How to set up a [`Sandbox`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// Clusters of each vendor.
    pub clusters: BTreeMap<Vendor, usize>,
    /// Clusters of vendors that `clusters` does not name.
    pub default_clusters: usize,
    /// Where the control port listens; none for no control port.
    pub control: Option<SocketAddr>,
    /// Fixed ports; vendors that are not named get any that is free.
    pub ports: BTreeMap<Vendor, u16>,
    /// Whether a minority of the clusters is odd: unknown words, nulls, missing and additional fields, other time
    /// formats.
    pub quirks: bool,
    /// The moment all timestamps are reckoned from; the present if none is given.
    pub anchor: Option<Timestamp>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            clusters: BTreeMap::new(),
            default_clusters: 24,
            control: None,
            ports: BTreeMap::new(),
            quirks: true,
            anchor: None,
        }
    }
}

/// The five simulated vendors and the canary, running; they end when it is dropped.
#[derive(Debug)]
pub struct Sandbox {
    vendors: BTreeMap<Vendor, Simulated>,
    canary: Canary,
    control: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

impl Sandbox {
    /// Binds all listeners on loopback and begins to serve.
    pub async fn start(options: Options) -> io::Result<Self> {
        let anchor = options.anchor.unwrap_or_else(Timestamp::now);
        let mut tasks = JoinSet::new();
        let canary = Canary::start(&mut tasks).await?;
        let mut vendors = BTreeMap::new();
        for vendor in Vendor::ALL {
            let port = options.ports.get(&vendor).copied().unwrap_or(0);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            let base_url = format!("http://{}", listener.local_addr()?);
            let initial = options
                .clusters
                .get(&vendor)
                .copied()
                .unwrap_or(options.default_clusters);
            let seed = Dice::new(&[options.seed, vendor as u64]).next();
            let api = vendor.api(Context {
                seed,
                anchor,
                quirks: options.quirks,
                initial,
            });
            let inner = Arc::new(simulated::Inner::new(
                vendor,
                seed,
                initial as u64,
                api,
                base_url,
                Arc::from(canary.url()),
            ));
            tasks.spawn(server::serve(listener, Arc::clone(&inner)));
            vendors.insert(vendor, Simulated::of(inner));
        }
        let control = match options.control {
            Some(address) => {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                tasks.spawn(control::serve(listener, vendors.clone()));
                Some(address)
            }
            None => None,
        };
        Ok(Self {
            vendors,
            canary,
            control,
            tasks,
        })
    }

    /// The handle of one vendor.
    #[expect(clippy::missing_panics_doc, reason = "there is one for each vendor")]
    pub fn vendor(&self, vendor: Vendor) -> &Simulated {
        self.vendors
            .get(&vendor)
            .expect("`start` makes one for each of `Vendor::ALL`")
    }

    /// The handles of all vendors.
    pub fn vendors(&self) -> impl Iterator<Item = &Simulated> {
        self.vendors.values()
    }

    /// Where the control port listens, if there is one.
    pub fn control_url(&self) -> Option<String> {
        self.control.map(|address| format!("http://{address}"))
    }

    /// Where the canary listens: a host that no answer may make a client call.
    pub fn canary_url(&self) -> String {
        self.canary.url().to_owned()
    }

    /// What reached the canary.
    pub fn canary_hits(&self) -> CanaryHits {
        self.canary.hits()
    }

    /// Ends all listeners and connections and waits for their end.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
