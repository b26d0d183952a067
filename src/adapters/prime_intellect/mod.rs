//! Prime Intellect: clusters of accelerators, rented from many providers. It runs them.
//!
//! The list is a summary; accelerators, price, orchestrator and nodes need one call for each cluster. A detail holds SSH keys,
//! addresses and free-form configuration as well, none of which is read.

mod client;
mod dialect;
mod map;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::domain::{Kind, SourceName, Vantage};
use crate::provider::{
    Adapter, Capabilities, Capability, ConfigError, Described, Entry, Environment, ErrorKind,
    Locator, Page, PageCursor, ProviderError, connect,
};
use crate::upstream::{Answer, Dialect, FailureKind, Rate, Scheme, Stack, UpstreamError};
use client::Family;

const KIND: Kind = Kind::new("prime-intellect");

const LARGEST_PAGE: u16 = 100;

static CAPABILITIES: Capabilities = Capabilities {
    vantage: Vantage::Hosts,
    operations: &[
        Capability::List,
        Capability::Describe,
        Capability::Nodes,
        Capability::Health,
    ],
    reports: &[
        "status",
        "orchestrator",
        "location",
        "nodes",
        "accelerators",
        "cost",
        "owner",
        "identifiers",
        "created_at",
        "updated_at",
        "terminated_at",
    ],
    detail_only: &[
        "orchestrator",
        "nodes",
        "accelerators",
        "cost",
        "identifiers",
        "updated_at",
        "terminated_at",
    ],
};

/// What is known of Prime Intellect before a source is configured.
pub(super) const ENTRY: Entry = Entry {
    kind: KIND,
    title: "Prime Intellect",
    documentation: "https://docs.primeintellect.ai/api-reference/admin-clusters/get-cluster",
    base_url: Some("https://api.primeintellect.ai"),
    environment: Environment {
        token: &["PRIME_API_KEY"],
        base_url: &["PRIME_BASE_URL"],
    },
    scheme: Scheme::Bearer,
    // The vendor publishes none.
    rate: Rate {
        calls: 120,
        per: Duration::from_mins(1),
    },
    capabilities: &CAPABILITIES,
    dialect: dialect::DIALECT,
    connect: connect::<PrimeIntellect>,
};

/// Which paths are called.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Prefix {
    /// Where clusters were found last; `admin` first.
    #[default]
    Auto,
    /// `/api/admin/clusters`: every cluster, for administrators.
    Admin,
    /// `/api/admin/inventory/clusters`: clusters that the key was granted.
    Inventory,
}

/// Prime Intellect's own keys of a source.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// Which paths are called.
    prefix: Prefix,
    /// Rows of one page, 1 to 100.
    page_size: u16,
    /// The currency of prices. The vendor names none: USD is inferred from how it bills, and `baseCurrency` belongs to
    /// `basePriceHr` only.
    price_currency: String,
    /// Whether the address of a cluster's API server is shown. It is held back by default.
    expose_endpoint: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            prefix: Prefix::Auto,
            page_size: LARGEST_PAGE,
            price_currency: "USD".to_owned(),
            expose_endpoint: false,
        }
    }
}

impl Settings {
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, reason: &str| {
            Err(ConfigError {
                key: key.to_owned(),
                reason: reason.to_owned(),
            })
        };
        if !(1..=LARGEST_PAGE).contains(&self.page_size) {
            return wrong("page_size", "must be between 1 and 100");
        }
        let is_code = self.price_currency.len() == 3
            && self.price_currency.bytes().all(|b| b.is_ascii_uppercase());
        if !is_code {
            return wrong("price_currency", "must be an ISO 4217 code such as USD");
        }
        Ok(())
    }
}

/// One Prime Intellect account.
pub(crate) struct PrimeIntellect {
    client: client::Client,
    context: map::Context,
    prefix: Prefix,
    page_size: u16,
    /// In `auto`, whether the inventory's paths answered last: a hint that may be lost, never a truth.
    is_inventory: AtomicBool,
}

impl Adapter for PrimeIntellect {
    const KIND: Kind = KIND;
    const CAPABILITIES: &'static Capabilities = &CAPABILITIES;
    const DIALECT: Dialect = dialect::DIALECT;
    type Settings = Settings;

    fn connect(source: SourceName, settings: Settings, stack: Stack) -> Result<Self, ConfigError> {
        settings.check()?;
        Ok(Self {
            client: client::Client::new(stack, settings.page_size),
            context: map::Context {
                source,
                price_currency: settings.price_currency,
                expose_endpoint: settings.expose_endpoint,
            },
            prefix: settings.prefix,
            page_size: settings.page_size,
            is_inventory: AtomicBool::new(false),
        })
    }

    async fn list_page(&self, cursor: Option<&PageCursor>) -> Result<Page, ProviderError> {
        const OPERATION: &str = "list_clusters";
        let place = match cursor {
            None => map::Place {
                family: self.family(),
                offset: 0,
            },
            Some(cursor) => map::Place::read(cursor)
                .ok_or(ProviderError::new(ErrorKind::CursorExpired, OPERATION))?,
        };
        let answer = self.client.list_clusters(place.family, place.offset).await;
        let (place, answer) = match answer {
            // Only a walk that begins may change the family: the other one may list other clusters.
            Err(error)
                if error.kind == FailureKind::NotFound
                    && cursor.is_none()
                    && self.prefix == Prefix::Auto =>
            {
                let family = place.family.other();
                let answer = self.client.list_clusters(family, 0).await;
                if answer.is_ok() {
                    let is_inventory = family == Family::Inventory;
                    self.is_inventory.store(is_inventory, Ordering::Relaxed);
                }
                (map::Place { family, offset: 0 }, answer)
            }
            answer => (place, answer),
        };
        let answer = answer.map_err(|error| ProviderError::call(OPERATION, error))?;
        map::page(&self.context, place, self.page_size, &answer.body)
    }

    async fn describe(&self, cluster: &Locator) -> Result<Described, ProviderError> {
        const OPERATION: &str = "find_cluster";
        let id = cluster.as_str();
        let answer = self.find(id).await;
        let answer = answer.map_err(|error| match error.kind {
            FailureKind::NotFound => {
                ProviderError::call(OPERATION, error).with_kind(ErrorKind::NotFound)
            }
            _ => ProviderError::call(OPERATION, error),
        })?;
        map::detail(&self.context, id, &answer.body)
    }
}

impl PrimeIntellect {
    /// Reads a detail. In `auto` a cluster that is not found is looked for in the other family too, since a detail may be
    /// asked for before a listing has found out which one answers.
    async fn find(&self, id: &str) -> Result<Answer, UpstreamError> {
        let family = self.family();
        let first = match self.client.find_cluster(family, id).await {
            Err(error) if error.kind == FailureKind::NotFound && self.prefix == Prefix::Auto => {
                error
            }
            answer => return answer,
        };
        match self.client.find_cluster(family.other(), id).await {
            // The other family is not there, or not for this key: what the first one said stands.
            Err(error) if matches!(error.kind, FailureKind::NotFound | FailureKind::Forbidden) => {
                Err(first)
            }
            answer => answer,
        }
    }

    /// The family to call first.
    fn family(&self) -> Family {
        let is_inventory = match self.prefix {
            Prefix::Admin => false,
            Prefix::Inventory => true,
            Prefix::Auto => self.is_inventory.load(Ordering::Relaxed),
        };
        if is_inventory {
            Family::Inventory
        } else {
            Family::Admin
        }
    }
}
