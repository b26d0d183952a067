//! Kubeconfigs and credentials. Whatever is answered here is a secret or leads to one: nothing of it is kept by anyone.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use http::header::CONTENT_DISPOSITION;
use http::{HeaderName, HeaderValue, Uri};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use url::Url;
use utoipa::ToSchema;

use crate::access::Scope;
use crate::export::kubeconfig::{
    self, Access, Entry, File, NotForwardable, UserMode, exec_credential, forwardable,
};
use crate::inventory::query::{Query, Sort};
use crate::inventory::{Place, View};
use crate::provider::Capability;

use super::super::code::Code;
use super::super::filters::Filters;
use super::super::guard::Caller;
use super::super::params::{self, FILTERS};
use super::super::problem::{Document, Problem};
use super::super::query::Params;
use super::super::respond::{self, NO_STORE};
use super::super::state::ApiState;
use super::super::viewer::Viewer;
use super::{Found, failure};

/// Clusters that a kubeconfig does not have although they were selected: `id;code, id;code`.
pub(super) const X_KUBECONFIG_MISSING: HeaderName = HeaderName::from_static("x-kubeconfig-missing");

/// Clusters of one file at most: each one is a call to its vendor.
const MOST: usize = 200;
/// Calls to vendors at once, for one file.
const AT_ONCE: usize = 8;
/// Longest time for one file. Clients give up a silent answer after half a minute.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest address of a gateway.
const MAX_URL: usize = 1_024;

/// What `kubectl` takes from a command: `client.authentication.k8s.io/v1`.
#[derive(Serialize, ToSchema)]
#[schema(rename_all = "camelCase")]
pub(super) struct ExecCredential {
    /// `client.authentication.k8s.io/v1`.
    api_version: String,
    /// `ExecCredential`.
    kind: String,
    /// The credential: a token, a certificate with its key, or both.
    status: ExecCredentialStatus,
}

/// A credential.
#[derive(Serialize, ToSchema)]
#[schema(rename_all = "camelCase")]
struct ExecCredentialStatus {
    /// When the token ends, where it says so itself.
    #[schema(required = false, nullable = false, format = "date-time")]
    expiration_timestamp: Option<String>,
    /// A bearer token.
    #[schema(required = false, nullable = false)]
    token: Option<String>,
    /// A certificate for the connection, as PEM.
    #[schema(required = false, nullable = false)]
    client_certificate_data: Option<String>,
    /// The certificate's key, as PEM.
    #[schema(required = false, nullable = false)]
    client_key_data: Option<String>,
}

/// Reads the kubeconfig of one cluster
///
/// The vendor is asked each time and its file is written anew: certificates and addresses are taken over, files and commands are
/// not. The user runs `clustergate credential`, so that the answer holds no secret; with `embed` it holds the vendor's own
/// credential.
#[utoipa::path(
    get,
    path = "/clusters/{id}/kubeconfig",
    tag = "live",
    operation_id = "read_kubeconfig",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("embed" = Option<bool>, Query, description = "Whether to put the vendor's own credential in; false by default"),
        ("gateway" = Option<String>, Query, description = "Where `clustergate credential` finds this gateway; without it, its variable CLUSTERGATE_URL decides", format = "uri", example = "https://clusters.example.com"),
    ),
    responses(
        (status = 200, description = "The kubeconfig", body = serde_json::Value, content_type = "application/yaml"),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "KUBECONFIG_NEEDS_EMBED, UPSTREAM_CONFLICT or UPSTREAM_NOT_READY", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "KUBECONFIG_UNUSABLE, UPSTREAM_FAILED or SOURCE_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "UPSTREAM_FAILED, SOURCE_UNAVAILABLE, NOTHING_KNOWN, OVERLOADED or SHUTTING_DOWN", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE: no answer in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn read_kubeconfig(
    State(api): State<ApiState>,
    viewer: Viewer,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::read_only(uri.query(), &["embed", "gateway"])?;
    let mode = mode(&params, &caller)?;
    let found = Found::locate(&api, &viewer, &uri)?;
    found.require(&api, Capability::Kubeconfig)?;
    let access = ask(&api, &found).await?;
    let entry = found.entry(Ok(access));
    if let (UserMode::Ask { .. }, Ok(access)) = (&mode, &entry.access) {
        match forwardable(&access.user) {
            // A file without a credential is a file all the same.
            Ok(()) | Err(NotForwardable::Nothing) => {}
            Err(reason) => return Err(found.not_forwardable(reason)),
        }
    }
    Ok(answer(&kubeconfig::merged(&[entry], &mode)))
}

/// Reads one kubeconfig for many clusters
///
/// Clusters of providers that give no kubeconfig are not part of it. Each other one is asked of its vendor; those that could not
/// be had are named in a comment at the file's top and in `X-Kubeconfig-Missing`. Contexts are `<source>/<name>`, with the
/// end of the vendor's id where two would be the same; none is current unless one cluster alone is selected.
#[utoipa::path(
    get,
    path = "/kubeconfig",
    tag = "live",
    operation_id = "read_merged_kubeconfig",
    params(
        ("embed" = Option<bool>, Query, description = "Whether to put the vendors' own credentials in; false by default"),
        ("gateway" = Option<String>, Query, description = "Where `clustergate credential` finds this gateway; without it, its variable CLUSTERGATE_URL decides", format = "uri", example = "https://clusters.example.com"),
        Filters,
        ("require" = Option<String>, Query, description = "`complete` makes an answer that cannot be relied on for what is absent a 503", pattern = "^complete$"),
    ),
    responses(
        (status = 200, description = "The kubeconfig", body = serde_json::Value, content_type = "application/yaml",
            headers(("X-Kubeconfig-Missing" = String, description = "Clusters that it does not have, as `id;code, id;code`; the last part `+n` counts those that the header has no room for. Absent when all are there"))),
        (status = 502, description = "SOURCE_UNAVAILABLE: the only source asked for could never be read", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "NOTHING_KNOWN, INVENTORY_INCOMPLETE, SOURCE_UNAVAILABLE or OVERLOADED", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "SOURCE_UNAVAILABLE: the only source asked for never answered in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn read_merged_kubeconfig(
    State(api): State<ApiState>,
    viewer: Viewer,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::read(uri.query())?;
    let mut allowed = FILTERS.to_vec();
    allowed.extend(["embed", "gateway", "require"]);
    params.only(&allowed)?;
    let mode = mode(&params, &caller)?;
    let snapshot = viewer.current(&api);
    let filter = params::filter(&params, &snapshot, api.catalog)?;
    params::admissible(&params, &filter, &snapshot)?;
    let query = Query {
        filter,
        sort: Sort::default(),
        after: None,
        limit: snapshot.len().max(1),
    };
    let selected = with_kubeconfig(&api, &snapshot, snapshot.select(&query).places)?;
    let until = Instant::now() + PATIENCE;
    let entries: Vec<Entry> = stream::iter(selected)
        .map(|found| {
            let api = &api;
            async move {
                let access = ask_until(api, &found, until).await;
                found.entry(access)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    Ok(answer(&kubeconfig::merged(&entries, &mode)))
}

/// Reads the credential of one cluster
///
/// In the form that `kubectl` takes from a command; `clustergate credential` prints it. The vendor is asked each time.
#[utoipa::path(
    get,
    path = "/clusters/{id}/credential",
    tag = "live",
    operation_id = "read_credential",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
    ),
    responses(
        (status = 200, description = "The credential", body = ExecCredential),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "KUBECONFIG_NEEDS_EMBED, UPSTREAM_CONFLICT or UPSTREAM_NOT_READY", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "KUBECONFIG_UNUSABLE, UPSTREAM_FAILED or SOURCE_UNAVAILABLE", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "UPSTREAM_FAILED, SOURCE_UNAVAILABLE, NOTHING_KNOWN, OVERLOADED or SHUTTING_DOWN", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED or SOURCE_UNAVAILABLE: no answer in time", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn read_credential(
    State(api): State<ApiState>,
    viewer: Viewer,
    uri: Uri,
) -> Result<Response, Problem> {
    Params::read_only(uri.query(), &[])?;
    let found = Found::locate(&api, &viewer, &uri)?;
    found.require(&api, Capability::Kubeconfig)?;
    let access = ask(&api, &found).await?;
    let credential =
        exec_credential(&access.user).map_err(|reason| found.not_forwardable(reason))?;
    let body = credential.expose_secret().to_owned();
    Ok(respond::bytes(body.into(), "application/json", NO_STORE))
}

/// Asks a cluster's vendor how to reach the cluster.
async fn ask(api: &ApiState, found: &Found) -> Result<Access, Problem> {
    let file = api.live.kubeconfig(&found.target).await;
    let file = file.map_err(|failure| found.gone(api, &failure))?;
    Access::read(file.expose()).map_err(|refused| {
        Problem::new(Code::KubeconfigUnusable)
            .with_detail(refused.to_string())
            .with_source(&found.target.source, &found.provider)
    })
}

/// The same for one of many clusters: a code says what is wrong, and what cannot be begun in time is not.
async fn ask_until(api: &ApiState, found: &Found, until: Instant) -> Result<Access, &'static str> {
    let late = Code::Timeout.as_str();
    if Instant::now() >= until {
        return Err(late);
    }
    let asked = timeout_at(until, api.live.kubeconfig(&found.target)).await;
    let file = asked
        .map_err(|_| late)?
        .map_err(|failure| failure::code(&failure))?;
    Access::read(file.expose()).map_err(|_| Code::KubeconfigUnusable.as_str())
}

/// Those clusters whose provider gives kubeconfigs.
fn with_kubeconfig(
    api: &ApiState,
    snapshot: &View,
    places: Vec<Place>,
) -> Result<Vec<Found>, Problem> {
    let selected: Vec<Found> = places
        .into_iter()
        .filter_map(|place| Found::at(snapshot.clone(), place).ok())
        .filter(|found| {
            api.live
                .provider(&found.target.source)
                .is_some_and(|provider| provider.capabilities().supports(Capability::Kubeconfig))
        })
        .collect();
    if selected.len() > MOST {
        return Err(Problem::new(Code::SelectionTooLarge).with_detail(format!(
            "{} clusters with kubeconfigs are selected; one file has {MOST} at most",
            selected.len()
        )));
    }
    Ok(selected)
}

/// Reads `embed` and `gateway`.
fn mode(params: &Params<'_>, caller: &Caller) -> Result<UserMode, Problem> {
    let embed = match params.one("embed")? {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => return Err(Problem::not_one_of("embed", other, &["true", "false"])),
    };
    match (embed, params.one("gateway")?) {
        (false, None) => Ok(UserMode::Ask { gateway: None }),
        (false, Some(text)) => match address(text) {
            Some(url) => Ok(UserMode::Ask { gateway: Some(url) }),
            None => Err(Problem::invalid_parameter(
                "gateway",
                "must begin with http:// or https:// and name a host, without user, query and fragment",
            )),
        },
        (true, None) if !caller.0.may(Scope::KubeconfigEmbed) => Err(Problem::new(Code::Forbidden)
            .with_detail(format!(
                "embedded credentials need the scope {}",
                Scope::KubeconfigEmbed
            ))),
        (true, None) => Ok(UserMode::Embed),
        (true, Some(_)) => Err(Problem::invalid_parameter(
            "gateway",
            "belongs to files whose users ask a gateway; with embed they do not",
        )),
    }
}

fn address(text: &str) -> Option<Url> {
    // The library mends what is no address; what is mended was not meant.
    let is_written = text.len() <= MAX_URL
        && (text.bytes())
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/[]@!$&'()*+,;=%".contains(&byte));
    let url = Url::parse(text).ok().filter(|_| is_written)?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    is_plain.then_some(url)
}

impl Found {
    fn entry(&self, access: Result<Access, &'static str>) -> Entry {
        Entry {
            id: self.target.id.clone(),
            source: self.target.source.clone(),
            // Without a name the id does.
            name: (self.row().cluster()).map_or_else(String::new, |cluster| cluster.name),
            access,
        }
    }

    fn not_forwardable(&self, reason: NotForwardable) -> Problem {
        let code = match reason {
            NotForwardable::Password | NotForwardable::Command => Code::KubeconfigNeedsEmbed,
            NotForwardable::Nothing => Code::KubeconfigUnusable,
        };
        Problem::new(code)
            .with_detail(reason.to_string())
            .with_source(&self.target.source, &self.provider)
    }
}

fn answer(file: &File) -> Response {
    let body = file.yaml.expose_secret().to_owned();
    let mut response = respond::bytes(body.into(), "application/yaml", NO_STORE);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"clustergate.kubeconfig\""),
    );
    // Ids and codes are ASCII by their making.
    let missing = file.header().map(HeaderValue::try_from);
    if let Some(Ok(missing)) = missing {
        headers.insert(X_KUBECONFIG_MISSING, missing);
    }
    response
}
