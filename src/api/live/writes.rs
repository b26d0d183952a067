//! Changes of clusters: the operations, and what is refused of a request before anything is looked up.

use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::domain::{ClusterPatch, ClusterSpec, NodeGroupSpec, SourceName};

use super::super::body::read_to_end;
use super::super::code::Code;
use super::super::problem::{Document, Problem};
use super::super::query::Params;
use super::super::state::ApiState;
use super::act::{Asked, WriteReport, carry_out};
use super::body::{self, JSON, PATCH};
use super::keys::Wanted;

const LONGEST_NAME: usize = 253;

/// A cluster to be made, and where.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct NewCluster {
    /// The source at whose vendor it is made.
    #[schema(value_type = String, example = "lakesail-main")]
    source: SourceName,
    /// Its name.
    #[schema(min_length = 1, max_length = 253)]
    name: String,
    /// Region or site, in the provider's words.
    #[serde(default)]
    region: Option<String>,
    /// Version of the orchestrator.
    #[serde(default)]
    #[schema(example = "1.35")]
    version: Option<String>,
    /// The project it belongs to, by the provider's id, where the provider has projects.
    #[serde(default)]
    project: Option<String>,
    /// Groups of nodes.
    #[serde(default)]
    node_groups: Vec<NodeGroupSpec>,
    /// Ranges that may reach the API server.
    #[serde(default)]
    public_access_cidrs: Option<Vec<String>>,
    /// What only this provider needs, under its own keys; unknown keys are errors.
    #[serde(default)]
    #[schema(value_type = Object)]
    options: Map<String, Value>,
}

/// What is repeated of a cluster that is to be destroyed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Destruction {
    /// The cluster's name.
    #[schema(example = "training-eu")]
    name: String,
}

/// No field at all.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

impl NewCluster {
    /// The source and the project that it is made in.
    pub(super) fn place(&self) -> (SourceName, Option<String>) {
        (self.source.clone(), self.project.clone())
    }

    pub(super) fn parts(self) -> (SourceName, ClusterSpec) {
        let spec = ClusterSpec {
            name: self.name,
            region: self.region,
            version: self.version,
            project: self.project,
            node_groups: self.node_groups,
            public_access_cidrs: self.public_access_cidrs,
            options: self.options,
        };
        (self.source, spec)
    }
}

/// Makes a cluster, or the record of one
///
/// The write is sent once and never repeated. Where the vendor's answer is lost, it is looked for a new cluster of this name:
/// `read_back` says that the answer is what was found.
#[utoipa::path(
    post,
    path = "/clusters",
    tag = "live",
    operation_id = "create_cluster",
    params(
        ("Idempotency-Key" = String, Header, description = "Another one for each write that is meant; the same key and body give the same answer for a day", min_length = 1, max_length = 255),
    ),
    request_body(content = NewCluster, content_type = "application/json"),
    responses(
        (status = 201, description = "Made", body = WriteReport,
            headers(
                ("Location" = String, description = "The cluster"),
                ("ETag" = String, description = "The cluster's, for `If-Match`"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 202, description = "Accepted: the work goes on", body = WriteReport,
            headers(
                ("Location" = String, description = "The operation"),
                ("Retry-After" = u64, description = "Seconds until it is worth looking"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 400, description = "IDEMPOTENCY_KEY_REQUIRED, INVALID_BODY, INVALID_PARAMETER or UNKNOWN_PARAMETER", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "SOURCE_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 408, description = "BODY_TIMEOUT", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "IDEMPOTENCY_IN_PROGRESS, CLUSTER_BUSY or UPSTREAM_CONFLICT", body = Document, content_type = "application/problem+json"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "INVALID_VALUES, IDEMPOTENCY_KEY_REUSED or UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "IDEMPOTENCY_UNAVAILABLE, UPSTREAM_FAILED, OVERLOADED or SHUTTING_DOWN: not carried out", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn create_cluster(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read(&api, request, &[]).await?;
    body::is_of(&parts.headers, JSON)?;
    let new: NewCluster = body::parse(&body)?;
    check_name(&new.name)?;
    let asked = Asked::Create(Box::new(new));
    carry_out(api, parts, body, Wanted::Always, asked).await
}

/// Changes a cluster: what is left out stays as it is
///
/// With `If-Match` only if the cluster is still as it was read.
#[utoipa::path(
    patch,
    path = "/clusters/{id}",
    tag = "live",
    operation_id = "update_cluster",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("If-Match" = Option<String>, Header, description = "The cluster's `ETag`"),
        ("Idempotency-Key" = Option<String>, Header, description = "Another one for each write that is meant; the same key and body give the same answer for a day", min_length = 1, max_length = 255),
    ),
    request_body(content(
        (ClusterPatch = "application/json"),
        (ClusterPatch = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "Changed", body = WriteReport,
            headers(
                ("ETag" = String, description = "The cluster's, for `If-Match`"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 202, description = "Accepted: the work goes on", body = WriteReport,
            headers(
                ("Location" = String, description = "The operation"),
                ("Retry-After" = u64, description = "Seconds until it is worth looking"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 400, description = "INVALID_BODY, INVALID_ID, INVALID_PARAMETER or UNKNOWN_PARAMETER", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 408, description = "BODY_TIMEOUT", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "IDEMPOTENCY_IN_PROGRESS, CLUSTER_BUSY or UPSTREAM_CONFLICT", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "PRECONDITION_FAILED", body = Document, content_type = "application/problem+json"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "INVALID_VALUES, IDEMPOTENCY_KEY_REUSED or UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "IDEMPOTENCY_UNAVAILABLE, UPSTREAM_FAILED, OVERLOADED or SHUTTING_DOWN: not carried out", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn update_cluster(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read(&api, request, &[]).await?;
    body::is_of(&parts.headers, PATCH)?;
    let patch: ClusterPatch = body::parse(&body)?;
    body::has_no_nulls(&body)?;
    if let Some(name) = &patch.name {
        check_name(name)?;
    }
    if patch.is_empty() {
        return Err(Problem::new(Code::InvalidValues).with_field("body", "changes nothing", None));
    }
    let asked = Asked::Update(Box::new(patch));
    carry_out(api, parts, body, Wanted::IfGiven, asked).await
}

/// Builds the infrastructure of a cluster that is only a record
#[utoipa::path(
    post,
    path = "/clusters/{id}/provision",
    tag = "live",
    operation_id = "provision_cluster",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("If-Match" = Option<String>, Header, description = "The cluster's `ETag`"),
        ("Idempotency-Key" = String, Header, description = "Another one for each write that is meant; the same key and body give the same answer for a day", min_length = 1, max_length = 255),
    ),
    responses(
        (status = 200, description = "Built", body = WriteReport,
            headers(
                ("ETag" = String, description = "The cluster's, for `If-Match`"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 202, description = "Accepted: the work goes on", body = WriteReport,
            headers(
                ("Location" = String, description = "The operation"),
                ("Retry-After" = u64, description = "Seconds until it is worth looking"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 400, description = "IDEMPOTENCY_KEY_REQUIRED, INVALID_BODY, INVALID_ID, INVALID_PARAMETER or UNKNOWN_PARAMETER", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 408, description = "BODY_TIMEOUT", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "IDEMPOTENCY_IN_PROGRESS, CLUSTER_BUSY or UPSTREAM_CONFLICT", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "PRECONDITION_FAILED", body = Document, content_type = "application/problem+json"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "INVALID_VALUES, IDEMPOTENCY_KEY_REUSED or UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "IDEMPOTENCY_UNAVAILABLE, UPSTREAM_FAILED, OVERLOADED or SHUTTING_DOWN: not carried out", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn provision_cluster(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read(&api, request, &[]).await?;
    is_nothing(&parts.headers, &body)?;
    carry_out(api, parts, body, Wanted::Always, Asked::Provision).await
}

/// Destroys the infrastructure of a cluster
///
/// The body repeats the cluster's name. Where the provider keeps a record of it, that stays.
#[utoipa::path(
    post,
    path = "/clusters/{id}/destroy",
    tag = "live",
    operation_id = "destroy_cluster",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("If-Match" = Option<String>, Header, description = "The cluster's `ETag`"),
        ("Idempotency-Key" = String, Header, description = "Another one for each write that is meant; the same key and body give the same answer for a day", min_length = 1, max_length = 255),
    ),
    request_body(content = Destruction, content_type = "application/json"),
    responses(
        (status = 200, description = "Destroyed", body = WriteReport,
            headers(
                ("ETag" = String, description = "The cluster's, for `If-Match`"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 202, description = "Accepted: the work goes on", body = WriteReport,
            headers(
                ("Location" = String, description = "The operation"),
                ("Retry-After" = u64, description = "Seconds until it is worth looking"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 400, description = "IDEMPOTENCY_KEY_REQUIRED, INVALID_BODY, INVALID_ID, INVALID_PARAMETER or UNKNOWN_PARAMETER", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 408, description = "BODY_TIMEOUT", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "IDEMPOTENCY_IN_PROGRESS, CLUSTER_BUSY or UPSTREAM_CONFLICT", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "PRECONDITION_FAILED", body = Document, content_type = "application/problem+json"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "NAME_MISMATCH, INVALID_VALUES, IDEMPOTENCY_KEY_REUSED or UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "IDEMPOTENCY_UNAVAILABLE, UPSTREAM_FAILED, OVERLOADED or SHUTTING_DOWN: not carried out", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn destroy_cluster(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read(&api, request, &[]).await?;
    body::is_of(&parts.headers, JSON)?;
    let Destruction { name } = body::parse(&body)?;
    carry_out(api, parts, body, Wanted::Always, Asked::Destroy(name)).await
}

/// Removes the record of a cluster, and leaves its infrastructure as it is
///
/// The cluster is read before: where its infrastructure exists or may exist, the record stays unless `force=true` is given.
#[utoipa::path(
    delete,
    path = "/clusters/{id}",
    tag = "live",
    operation_id = "forget_cluster",
    params(
        ("id" = String, Path, description = "The cluster's id", example = "latitude-main:kc_pRMLydp0dQKr1"),
        ("force" = Option<bool>, Query, description = "Also where infrastructure may be left behind"),
        ("If-Match" = Option<String>, Header, description = "The cluster's `ETag`"),
        ("Idempotency-Key" = Option<String>, Header, description = "Another one for each write that is meant; the same key and body give the same answer for a day", min_length = 1, max_length = 255),
    ),
    responses(
        (status = 202, description = "Accepted: the work goes on", body = WriteReport,
            headers(
                ("Location" = String, description = "The operation"),
                ("Retry-After" = u64, description = "Seconds until it is worth looking"),
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 204, description = "Removed",
            headers(
                ("X-Inventory-Generation" = u64, description = "The generation that shows what was done, for `min_generation`"),
                ("Idempotency-Replayed" = bool, description = "`true` on an answer that was given before"),
            )),
        (status = 400, description = "INVALID_BODY, INVALID_ID, INVALID_PARAMETER or UNKNOWN_PARAMETER", body = Document, content_type = "application/problem+json"),
        (status = 404, description = "CLUSTER_NOT_FOUND", body = Document, content_type = "application/problem+json"),
        (status = 408, description = "BODY_TIMEOUT", body = Document, content_type = "application/problem+json"),
        (status = 409, description = "INFRASTRUCTURE_MAY_EXIST, IDEMPOTENCY_IN_PROGRESS, CLUSTER_BUSY or UPSTREAM_CONFLICT", body = Document, content_type = "application/problem+json"),
        (status = 412, description = "PRECONDITION_FAILED", body = Document, content_type = "application/problem+json"),
        (status = 415, description = "UNSUPPORTED_MEDIA_TYPE", body = Document, content_type = "application/problem+json"),
        (status = 422, description = "INVALID_VALUES, IDEMPOTENCY_KEY_REUSED or UPSTREAM_REFUSED", body = Document, content_type = "application/problem+json"),
        (status = 501, description = "CAPABILITY_NOT_SUPPORTED: `providers` names those that have it", body = Document, content_type = "application/problem+json"),
        (status = 502, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
        (status = 503, description = "IDEMPOTENCY_UNAVAILABLE, UPSTREAM_FAILED, OVERLOADED or SHUTTING_DOWN: not carried out", body = Document, content_type = "application/problem+json"),
        (status = 504, description = "UPSTREAM_FAILED: not carried out; WRITE_OUTCOME_UNKNOWN: it may have been", body = Document, content_type = "application/problem+json"),
    )
)]
pub(in super::super) async fn forget_cluster(
    State(api): State<ApiState>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = read(&api, request, &["force"]).await?;
    is_nothing(&parts.headers, &body)?;
    let force = Params::read(parts.uri.query())?.flag("force")?;
    carry_out(api, parts, body, Wanted::IfGiven, Asked::Forget { force }).await
}

/// Reads a request with these parameters to its end.
async fn read(
    api: &ApiState,
    request: Request,
    allowed: &[&str],
) -> Result<(Parts, Bytes), Problem> {
    Params::read_only(request.uri().query(), allowed)?;
    let (parts, body) = request.into_parts();
    let settings = &api.settings;
    let body = read_to_end(body, settings.max_body_bytes, settings.body_timeout).await?;
    Ok((parts, body))
}

/// No body, or an empty object.
fn is_nothing(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    if body.is_empty() {
        return Ok(());
    }
    body::is_of(headers, JSON)?;
    body::parse::<Nothing>(body).map(|_| ())
}

fn check_name(name: &str) -> Result<(), Problem> {
    // Vendors drop surrounding blanks, so that a name with some would not be told from the same one without.
    let is_name = !name.is_empty()
        && name == name.trim()
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(char::is_control);
    if is_name {
        return Ok(());
    }
    Err(Problem::new(Code::InvalidValues).with_field(
        "name",
        format!("must be 1 to {LONGEST_NAME} printable characters without blanks around them"),
        None,
    ))
}
