//! The contract between the gateway and any provider.
//!
//! An adapter is written as plain `async fn`s ([`Adapter`]) and held as a trait object ([`Provider`]); one blanket impl joins
//! the two. An adapter has no loop, no retry and no clock: it answers one page, or one cluster's detail. [`walk()`] is the only
//! loop over pages.
//!
//! # Adding a provider
//!
//! 1. A folder `src/adapters/<name>` with `mod.rs` (the type, its `Settings`, its capabilities, the [`Adapter`] impl),
//!    `client.rs` (one method for each upstream call), `wire.rs` (the vendor's shapes) and `map.rs` (pure functions from wire
//!    to domain).
//! 2. Two lines in `src/adapters/mod.rs`.
//! 3. Its fixtures under `fixtures/<name>` and its simulated vendor under `src/sandbox`.

mod capability;
mod decode;
mod error;
mod loose;
mod page;
pub mod read;
#[cfg(test)]
pub(crate) mod testing;
mod walk;

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;

use crate::domain::{Kind, SourceName};
use crate::upstream::{Dialect, Rate, Scheme, Stack};

pub use capability::{Capabilities, Operation};
pub use decode::{envelope, object, raw, row};
pub use error::{ErrorKind, ProviderError};
pub use loose::Loose;
pub use page::{Described, Listed, Locator, Page, PageCursor, Rejected, Warnings};
pub use walk::{AsListed, Gather, Limits, Listing, WalkError, walk, walk_into};

/// What one writes for a provider.
pub trait Adapter: Send + Sync + Sized + 'static {
    /// The provider's name.
    const KIND: Kind;
    /// What it can do and say, as data.
    const CAPABILITIES: &'static Capabilities;
    /// How the vendor says no and tells its quota.
    const DIALECT: Dialect;
    /// The provider's own keys in a source's configuration; unknown keys are errors.
    type Settings: DeserializeOwned + Default;

    /// Makes an adapter for one source. Opens no connection.
    fn connect(
        source: SourceName,
        settings: Self::Settings,
        stack: Stack,
    ) -> Result<Self, ConfigError>;

    /// Answers one page: the first for `None`, else the page that `cursor` names.
    fn list_page(
        &self,
        cursor: Option<&PageCursor>,
    ) -> impl Future<Output = Result<Page, ProviderError>> + Send;

    /// Reads what only the vendor's detail call says. The default says that it is not supported.
    fn describe(
        &self,
        cluster: &Locator,
    ) -> impl Future<Output = Result<Described, ProviderError>> + Send {
        let _ = cluster;
        std::future::ready(Err(ProviderError::not_supported("describe")))
    }
}

/// What one holds of a provider: an [`Adapter`] as a trait object.
pub trait Provider: Send + Sync {
    /// The provider's name.
    fn kind(&self) -> Kind;
    /// What it can do and say.
    fn capabilities(&self) -> &'static Capabilities;
    /// Answers one page.
    fn list_page<'a>(
        &'a self,
        cursor: Option<&'a PageCursor>,
    ) -> BoxFuture<'a, Result<Page, ProviderError>>;
    /// Reads one cluster's detail.
    fn describe<'a>(
        &'a self,
        cluster: &'a Locator,
    ) -> BoxFuture<'a, Result<Described, ProviderError>>;
}

impl<A: Adapter> Provider for A {
    fn kind(&self) -> Kind {
        A::KIND
    }

    fn capabilities(&self) -> &'static Capabilities {
        A::CAPABILITIES
    }

    fn list_page<'a>(
        &'a self,
        cursor: Option<&'a PageCursor>,
    ) -> BoxFuture<'a, Result<Page, ProviderError>> {
        Box::pin(Adapter::list_page(self, cursor))
    }

    fn describe<'a>(
        &'a self,
        cluster: &'a Locator,
    ) -> BoxFuture<'a, Result<Described, ProviderError>> {
        Box::pin(Adapter::describe(self, cluster))
    }
}

/// A provider setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    /// The key, as the operator writes it.
    pub key: String,
    /// What is wrong with it and what would be right.
    pub reason: String,
}

/// Makes a provider for one source from its own settings.
pub type Connect = fn(SourceName, toml::Table, Stack) -> Result<Arc<dyn Provider>, ConfigError>;

/// Environment variables that make a source appear without a configuration file.
#[derive(Debug, Clone, Copy)]
pub struct Environment {
    /// Variables that may hold the token, the first that is set wins.
    pub token: &'static [&'static str],
    /// Variables that may hold the base URL.
    pub base_url: &'static [&'static str],
}

/// A row of the catalog: what is known of a provider before any source is configured.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The provider's name.
    pub kind: Kind,
    /// Its name for people.
    pub title: &'static str,
    /// The vendor's documentation of the calls we make.
    pub documentation: &'static str,
    /// Where the vendor is; `None` where every customer has an own address.
    pub base_url: Option<&'static str>,
    /// The vendor's usual environment variables.
    pub environment: Environment,
    /// How the token is sent unless configured otherwise.
    pub scheme: Scheme,
    /// The rate that the vendor publishes, or a polite one where it publishes none.
    pub rate: Rate,
    /// What it can do and say.
    pub capabilities: &'static Capabilities,
    /// How the vendor says no.
    pub dialect: Dialect,
    /// Makes it.
    pub connect: Connect,
}

/// Makes a provider of adapter type `A`; the function behind every [`Entry::connect`].
pub fn connect<A: Adapter>(
    source: SourceName,
    settings: toml::Table,
    stack: Stack,
) -> Result<Arc<dyn Provider>, ConfigError> {
    let settings = A::Settings::deserialize_table(settings)?;
    Ok(Arc::new(A::connect(source, settings, stack)?))
}

trait DeserializeTable: DeserializeOwned {
    fn deserialize_table(table: toml::Table) -> Result<Self, ConfigError> {
        table
            .try_into()
            .map_err(|error: toml::de::Error| ConfigError {
                key: error
                    .message()
                    .split('`')
                    .nth(1)
                    .unwrap_or("settings")
                    .to_owned(),
                reason: error.message().trim().to_owned(),
            })
    }
}

impl<T: DeserializeOwned> DeserializeTable for T {}
