//! `/providers`: what this server can read, and what each provider can say.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::{Kind, SourceName};
use crate::inventory::Snapshot;
use crate::provider::{Capabilities, Entry};
use crate::upstream::Scheme;

use super::code::Code;
use super::path::Segments;
use super::problem::{Document, Problem, echo};
use super::query::Params;
use super::respond;
use super::state::ApiState;
use super::viewer::Viewer;

/// A kind of upstream.
#[derive(Debug, Serialize, ToSchema)]
pub struct Provider {
    /// Its name in configuration, identifiers and answers.
    #[schema(value_type = String)]
    pub provider: Kind,
    /// Its name for people.
    pub title: &'static str,
    /// The vendor's documentation of the calls that are made.
    pub documentation: &'static str,
    /// What it can do and say.
    pub capabilities: &'static Capabilities,
    /// Where the vendor is; null where every customer has an own address.
    #[schema(required = true)]
    pub base_url: Option<&'static str>,
    /// Whether a source must say where its vendor is.
    pub base_url_required: bool,
    /// How the token is sent unless configured otherwise.
    pub authorization: Authorization,
    /// Environment variables that make a source appear without a configuration file.
    pub environment: Variables,
    /// The rate at which the vendor is called at most, unless configured otherwise.
    pub rate: RateReport,
    /// The configured sources of this provider, as far as the caller sees.
    #[schema(value_type = Vec<String>)]
    pub sources: Vec<SourceName>,
}

/// How a token is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Authorization {
    /// `Authorization: Bearer <token>`.
    Bearer,
    /// `Authorization: <token>`.
    Raw,
}

/// Environment variables of a provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderVariables)]
pub struct Variables {
    /// Those that may hold the token; the first that is set wins.
    #[schema(value_type = Vec<String>)]
    pub token: &'static [&'static str],
    /// Those that may hold the base URL.
    #[schema(value_type = Vec<String>)]
    pub base_url: &'static [&'static str],
}

/// So many calls in so much time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderRate)]
pub struct RateReport {
    /// Calls.
    pub calls: u32,
    /// In so many seconds.
    pub per_seconds: f64,
}

/// Every provider.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProviderList {
    /// The providers, in the order of the catalog.
    pub items: Vec<Provider>,
}

impl Provider {
    fn new(entry: &'static Entry, snapshot: &Snapshot) -> Self {
        Self {
            provider: entry.kind.clone(),
            title: entry.title,
            documentation: entry.documentation,
            capabilities: entry.capabilities,
            base_url: entry.base_url,
            base_url_required: entry.base_url.is_none(),
            authorization: match entry.scheme {
                Scheme::Bearer => Authorization::Bearer,
                Scheme::Raw => Authorization::Raw,
            },
            environment: Variables {
                token: entry.environment.token,
                base_url: entry.environment.base_url,
            },
            rate: RateReport {
                calls: entry.rate.calls,
                per_seconds: entry.rate.per.as_secs_f64(),
            },
            sources: snapshot
                .sources()
                .iter()
                .filter(|source| source.provider == entry.kind)
                .map(|source| source.name.clone())
                .collect(),
        }
    }
}

/// Lists the providers and what each one can do and say
#[utoipa::path(
    get,
    path = "/providers",
    tag = "providers",
    operation_id = "list_providers",
    responses((status = 200, description = "Every provider", body = ProviderList))
)]
pub(super) async fn list_providers(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let snapshot = viewer.current(&api);
    let items = api
        .catalog
        .iter()
        .map(|entry| Provider::new(entry, &snapshot))
        .collect();
    respond::json(&ProviderList { items }, respond::BRIEF)
}

/// Reads one provider
#[utoipa::path(
    get,
    path = "/providers/{name}",
    tag = "providers",
    operation_id = "find_provider",
    params(("name" = String, Path, description = "The provider's name")),
    responses(
        (status = 200, description = "The provider", body = Provider),
        (status = 404, description = "PROVIDER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
    )
)]
pub(super) async fn find_provider(
    State(api): State<ApiState>,
    viewer: Viewer,
    path: Segments,
) -> Result<Response, Problem> {
    Params::read_only(path.query(), &[])?;
    let name = path.decoded(1).unwrap_or_default();
    let entry = api
        .catalog
        .iter()
        .find(|entry| entry.kind.as_str() == name)
        .ok_or_else(|| {
            Problem::new(Code::ProviderNotFound)
                .with_detail(format!("no provider is named \"{}\"", echo(&name)))
        })?;
    let provider = Provider::new(entry, &viewer.current(&api));
    respond::json(&provider, respond::BRIEF)
}
