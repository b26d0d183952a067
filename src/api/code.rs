//! The closed list of problem codes.

use http::StatusCode;
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, schema::SchemaType};
use utoipa::{PartialSchema, ToSchema};

/// Why a request was not answered as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The query names a parameter that this operation does not have.
    UnknownParameter,
    /// A parameter's value cannot be used.
    InvalidParameter,
    /// The cursor is not one that this server made.
    InvalidCursor,
    /// The cursor was made by another query, or for a caller who sees something else.
    CursorMismatch,
    /// The cursor's place in the inventory can no longer be found.
    CursorExpired,
    /// Not all that changed since is known any more.
    ChangesExpired,
    /// Older changes cannot be read.
    HistoryUnavailable,
    /// Too much changed since the time that was asked for.
    AsOfTooFar,
    /// Operations cannot be read.
    OperationsUnavailable,
    /// The inventory is not as new as was asked for.
    GenerationNotReached,
    /// No cluster has this id.
    ClusterNotFound,
    /// No source has this name.
    SourceNotFound,
    /// No provider has this name.
    ProviderNotFound,
    /// The text cannot be a cluster's id.
    InvalidId,
    /// The request does not name the one host that it is for.
    InvalidHost,
    /// The request is for a host that this server is not.
    HostNotAllowed,
    /// A web page of another site asked for a change.
    CrossSiteRequest,
    /// The request's body was cut short or cannot be read.
    InvalidBody,
    /// The request's body did not come in time.
    BodyTimeout,
    /// The request is not HTTP as it is understood here.
    MalformedRequest,
    /// Nobody knows who asks.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// It cannot be told who asks.
    AuthUnavailable,
    /// It cannot be recorded who does this.
    AuditUnavailable,
    /// The audit is not kept where it could be read.
    AuditNotInStore,
    /// The audit cannot be read now.
    AuditUnreadable,
    /// No such path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// None of the accepted media types can be made.
    NotAcceptable,
    /// The request's body is larger than allowed.
    PayloadTooLarge,
    /// The request's target is longer than allowed.
    UriTooLong,
    /// The request's headers are larger than allowed.
    HeadersTooLarge,
    /// The body's media type cannot be read.
    UnsupportedMediaType,
    /// A complete inventory was required and is not at hand.
    InventoryIncomplete,
    /// The source asked for cannot be read.
    SourceUnavailable,
    /// No source was ever read.
    NothingKnown,
    /// The provider has no such operation.
    CapabilityNotSupported,
    /// A field of the body is unknown, missing or has a value that cannot be used.
    InvalidValues,
    /// The name that was repeated is not the cluster's.
    NameMismatch,
    /// The write needs an `Idempotency-Key`.
    IdempotencyKeyRequired,
    /// The key belongs to another request.
    IdempotencyKeyReused,
    /// The same request is still running.
    IdempotencyInProgress,
    /// That something is sent under the idempotency key cannot be kept.
    IdempotencyUnavailable,
    /// Another write of the cluster is running.
    ClusterBusy,
    /// The cluster is not as `If-Match` says.
    PreconditionFailed,
    /// Forgetting the record may leave infrastructure behind.
    InfrastructureMayExist,
    /// The vendor cannot be asked, or fails.
    UpstreamFailed,
    /// The vendor refuses the request as it is.
    UpstreamRefused,
    /// The cluster's state does not allow this now.
    UpstreamConflict,
    /// What is asked for is not there yet.
    UpstreamNotReady,
    /// The write may have been carried out.
    WriteOutcomeUnknown,
    /// No operation has this id.
    OperationNotFound,
    /// No webhook has this name.
    WebhookNotFound,
    /// No delivery has this id.
    DeliveryNotFound,
    /// Deliveries cannot be read or kept.
    WebhooksUnavailable,
    /// The vendor's kubeconfig cannot be passed on.
    KubeconfigUnusable,
    /// The vendor's credential can only be embedded.
    KubeconfigNeedsEmbed,
    /// More is selected than one answer can have.
    SelectionTooLarge,
    /// The client asks more often than it may.
    RateLimited,
    /// There is more to do than the server has time for.
    Overloaded,
    /// The request took longer than allowed.
    Timeout,
    /// Nothing is published any more.
    InventoryStopped,
    /// The server is about to stop.
    ShuttingDown,
    /// A fault of this server.
    Internal,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 64] = [
        Self::UnknownParameter,
        Self::InvalidParameter,
        Self::InvalidCursor,
        Self::CursorMismatch,
        Self::CursorExpired,
        Self::ChangesExpired,
        Self::HistoryUnavailable,
        Self::AsOfTooFar,
        Self::OperationsUnavailable,
        Self::GenerationNotReached,
        Self::ClusterNotFound,
        Self::SourceNotFound,
        Self::ProviderNotFound,
        Self::InvalidId,
        Self::InvalidHost,
        Self::HostNotAllowed,
        Self::CrossSiteRequest,
        Self::InvalidBody,
        Self::BodyTimeout,
        Self::MalformedRequest,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::AuthUnavailable,
        Self::AuditUnavailable,
        Self::AuditNotInStore,
        Self::AuditUnreadable,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotAcceptable,
        Self::PayloadTooLarge,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::UnsupportedMediaType,
        Self::InventoryIncomplete,
        Self::SourceUnavailable,
        Self::NothingKnown,
        Self::CapabilityNotSupported,
        Self::InvalidValues,
        Self::NameMismatch,
        Self::IdempotencyKeyRequired,
        Self::IdempotencyKeyReused,
        Self::IdempotencyInProgress,
        Self::IdempotencyUnavailable,
        Self::ClusterBusy,
        Self::PreconditionFailed,
        Self::InfrastructureMayExist,
        Self::UpstreamFailed,
        Self::UpstreamRefused,
        Self::UpstreamConflict,
        Self::UpstreamNotReady,
        Self::WriteOutcomeUnknown,
        Self::OperationNotFound,
        Self::WebhookNotFound,
        Self::DeliveryNotFound,
        Self::WebhooksUnavailable,
        Self::KubeconfigUnusable,
        Self::KubeconfigNeedsEmbed,
        Self::SelectionTooLarge,
        Self::RateLimited,
        Self::Overloaded,
        Self::Timeout,
        Self::InventoryStopped,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// The code as clients see it.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The kind of problem in words.
    pub const fn title(self) -> &'static str {
        self.row().1
    }

    /// The status it is answered with, unless the occurrence knows better.
    pub const fn status(self) -> StatusCode {
        self.row().2
    }

    /// What happened and what the caller can do about it.
    pub const fn documentation(self) -> &'static str {
        self.row().3
    }

    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// The last segment of the problem type's address.
    pub fn slug(self) -> String {
        self.as_str().to_ascii_lowercase().replace('_', "-")
    }

    /// The code whose documentation has this address.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.slug() == slug)
    }

    /// The problem type: a reference to its documentation on this server.
    pub fn type_reference(self) -> String {
        format!("/problems/{}", self.slug())
    }

    #[expect(clippy::too_many_lines, reason = "a table, one row for each code")]
    const fn row(self) -> (&'static str, &'static str, StatusCode, &'static str) {
        match self {
            Self::UnknownParameter => (
                "UNKNOWN_PARAMETER",
                "Unknown query parameter",
                StatusCode::BAD_REQUEST,
                "The query names a parameter that this operation does not have. It is refused rather than ignored, since an ignored filter would answer with more than was asked for. `errors` names each one and the accepted ones.",
            ),
            Self::InvalidParameter => (
                "INVALID_PARAMETER",
                "Invalid parameter value",
                StatusCode::BAD_REQUEST,
                "A parameter's value cannot be used, was given twice, or is not valid percent-encoded UTF-8. `errors` says which and what would be accepted.",
            ),
            Self::InvalidCursor => (
                "INVALID_CURSOR",
                "Invalid cursor",
                StatusCode::BAD_REQUEST,
                "The cursor is not one that this server made, or was changed on the way. Send `next_cursor` exactly as received, or start again without a cursor.",
            ),
            Self::CursorMismatch => (
                "CURSOR_MISMATCH",
                "Cursor of another query",
                StatusCode::BAD_REQUEST,
                "The cursor was made by a query with other filters or another order, or for a caller who sees more or less. Repeat the parameters of the first page; only `limit` may change.",
            ),
            Self::CursorExpired => (
                "CURSOR_EXPIRED",
                "Expired cursor",
                StatusCode::GONE,
                "The cursor can no longer be continued from without the risk of skipping clusters. Start again without a cursor.",
            ),
            Self::ChangesExpired => (
                "CHANGES_EXPIRED",
                "Changes no longer known",
                StatusCode::GONE,
                "Not all that changed since then is known, or the generation was never published here. `complete_since` is the generation after which everything is known. List the clusters anew, and go on from the `generation` of that list.",
            ),
            Self::HistoryUnavailable => (
                "HISTORY_UNAVAILABLE",
                "Older changes cannot be read",
                StatusCode::SERVICE_UNAVAILABLE,
                "What keeps older changes cannot be read now. What changed lately is known all the same; ask again after `Retry-After`.",
            ),
            Self::AsOfTooFar => (
                "AS_OF_TOO_FAR",
                "Too much changed since",
                StatusCode::UNPROCESSABLE_ENTITY,
                "What was shown at an earlier time is worked out from what changed since, and more changed than can be undone for one answer. Ask for a later time, or read the changes themselves with `GET /changes`.",
            ),
            Self::OperationsUnavailable => (
                "OPERATIONS_UNAVAILABLE",
                "Operations cannot be read",
                StatusCode::SERVICE_UNAVAILABLE,
                "What keeps operations cannot be read now, and this server does not know by itself what is asked for. Ask again after `Retry-After`.",
            ),
            Self::GenerationNotReached => (
                "GENERATION_NOT_REACHED",
                "Generation not reached yet",
                StatusCode::SERVICE_UNAVAILABLE,
                "The inventory did not get as new as `min_generation` asks for in time. Nothing is wrong with it; ask again after `Retry-After`, or without `min_generation`.",
            ),
            Self::ClusterNotFound => (
                "CLUSTER_NOT_FOUND",
                "Cluster not found",
                StatusCode::NOT_FOUND,
                "No cluster in the inventory has this id. Where its source was never read, the answer is SOURCE_UNAVAILABLE instead.",
            ),
            Self::SourceNotFound => (
                "SOURCE_NOT_FOUND",
                "Source not found",
                StatusCode::NOT_FOUND,
                "No source of this name is configured. `GET /sources` lists them.",
            ),
            Self::ProviderNotFound => (
                "PROVIDER_NOT_FOUND",
                "Provider not found",
                StatusCode::NOT_FOUND,
                "This server has no provider of this name. `GET /providers` lists them.",
            ),
            Self::InvalidId => (
                "INVALID_ID",
                "Invalid cluster id",
                StatusCode::BAD_REQUEST,
                "The text cannot be a cluster's id, which is `<source>:<native id>` with everything but letters, digits and `.`, `_`, `~`, `-` percent-encoded.",
            ),
            Self::InvalidHost => (
                "INVALID_HOST",
                "No single valid host",
                StatusCode::BAD_REQUEST,
                "HTTP/1.1 wants exactly one `Host` with each request: the host, and its port, that the request is for.",
            ),
            Self::HostNotAllowed => (
                "HOST_NOT_ALLOWED",
                "Host not allowed",
                StatusCode::MISDIRECTED_REQUEST,
                "The request is for a host that this server does not go by. Where it listens on loopback, or knows its names, it answers to `localhost`, to IP addresses and to the names of `server.hosts` in its configuration (`--hosts`, `CLUSTERGATE_HOSTS`), so that no web page can reach it under a name of its own.",
            ),
            Self::CrossSiteRequest => (
                "CROSS_SITE_REQUEST",
                "Request of another site",
                StatusCode::FORBIDDEN,
                "A browser says that a web page of another site asks for this change: its `Origin` is not the `Host` of the request, or `Sec-Fetch-Site` is `cross-site`. A proxy must pass on the `Host` that the browser sent. Requests that come from no page have no `Origin`.",
            ),
            Self::InvalidBody => (
                "INVALID_BODY",
                "Request body cut short or unreadable",
                StatusCode::BAD_REQUEST,
                "The request's body ended before it was complete, or is not what its media type says. Nothing was done.",
            ),
            Self::BodyTimeout => (
                "BODY_TIMEOUT",
                "Request body too slow",
                StatusCode::REQUEST_TIMEOUT,
                "The request's body did not come to its end within the time for a request. Nothing was done.",
            ),
            Self::MalformedRequest => (
                "MALFORMED_REQUEST",
                "Malformed request",
                StatusCode::BAD_REQUEST,
                "The request's head is not HTTP/1.1. It is answered before the request is understood, so the answer names neither its path nor its id.",
            ),
            Self::Unauthenticated => (
                "UNAUTHENTICATED",
                "Not authenticated",
                StatusCode::UNAUTHORIZED,
                "This server lets nobody do this whom it does not know. Show an API key or a token of a configured issuer as `Authorization: Bearer …`; one that is unknown, revoked or expired is answered the same way.",
            ),
            Self::Forbidden => (
                "FORBIDDEN",
                "Not allowed",
                StatusCode::FORBIDDEN,
                "The caller is known, and may not do this. `WWW-Authenticate` names the scope that is needed, where it is one that the caller lacks; `x-required-scope` in `GET /openapi.json` does so for every operation.",
            ),
            Self::AuthUnavailable => (
                "AUTH_UNAVAILABLE",
                "Authentication unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The token names an issuer whose keys cannot be read now, so it cannot be told whether it is good. API keys do not depend on issuers. Ask again after `Retry-After`.",
            ),
            Self::AuditUnavailable => (
                "AUDIT_UNAVAILABLE",
                "Audit unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "This server is set to change nothing and to show no kubeconfig while it cannot write down who did it (`access.audit_required`), and its audit cannot be written now. Nothing was done. Ask again after `Retry-After`; the server's log says what is wrong.",
            ),
            Self::AuditNotInStore => (
                "AUDIT_NOT_IN_STORE",
                "Audit not in the store",
                StatusCode::NOT_FOUND,
                "This server can tell who did what only where that is kept in the store (`access.audit = \"store\"`), and here it is not. `detail` says where it is kept instead, if it is.",
            ),
            Self::AuditUnreadable => (
                "AUDIT_UNREADABLE",
                "Audit cannot be read",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store in which the audit is kept cannot be read now, or not in time. Ask again after `Retry-After`; `since` and `until` make it less to read.",
            ),
            Self::NotFound => (
                "NOT_FOUND",
                "No such path",
                StatusCode::NOT_FOUND,
                "This server has no such path. `GET /` lists the entry points and `GET /openapi.json` describes all of them.",
            ),
            Self::MethodNotAllowed => (
                "METHOD_NOT_ALLOWED",
                "Method not allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The path exists, the method does not. `Allow` lists the methods of this path.",
            ),
            Self::NotAcceptable => (
                "NOT_ACCEPTABLE",
                "No acceptable media type",
                StatusCode::NOT_ACCEPTABLE,
                "None of the media types in `Accept` can be made here.",
            ),
            Self::PayloadTooLarge => (
                "PAYLOAD_TOO_LARGE",
                "Request body too large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request's body is larger than this operation reads.",
            ),
            Self::UriTooLong => (
                "URI_TOO_LONG",
                "Request target too long",
                StatusCode::URI_TOO_LONG,
                "The path and query together are longer than 8192 bytes. Use fewer filter values.",
            ),
            Self::HeadersTooLarge => (
                "HEADERS_TOO_LARGE",
                "Request headers too large",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The request's head is larger than the connection's buffer. It is answered before the request is understood, so the answer names neither its path nor its id.",
            ),
            Self::UnsupportedMediaType => (
                "UNSUPPORTED_MEDIA_TYPE",
                "Unsupported media type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body's media type cannot be read here.",
            ),
            Self::InventoryIncomplete => (
                "INVENTORY_INCOMPLETE",
                "Inventory incomplete",
                StatusCode::SERVICE_UNAVAILABLE,
                "A complete inventory was required, and at least one source was never read to its end. Without the requirement the answer is what is known, marked as incomplete.",
            ),
            Self::SourceUnavailable => (
                "SOURCE_UNAVAILABLE",
                "Source unavailable",
                StatusCode::BAD_GATEWAY,
                "The source asked for was never read to its end, and its last refresh failed. `source_error` says why; the status is 502, 503 or 504 by the kind of failure.",
            ),
            Self::NothingKnown => (
                "NOTHING_KNOWN",
                "Nothing known yet",
                StatusCode::SERVICE_UNAVAILABLE,
                "No source was ever read to its end: an empty list would be a lie. Ask again shortly.",
            ),
            Self::CapabilityNotSupported => (
                "CAPABILITY_NOT_SUPPORTED",
                "Capability not supported",
                StatusCode::NOT_IMPLEMENTED,
                "The provider has no such operation. `providers` names those that have it, and `GET /providers` says what each one can do.",
            ),
            Self::InvalidValues => (
                "INVALID_VALUES",
                "Invalid values",
                StatusCode::UNPROCESSABLE_ENTITY,
                "A field of the body is unknown, missing, of another type, or has a value that this provider cannot use. `errors` names each one by its path. Nothing was sent to the vendor.",
            ),
            Self::NameMismatch => (
                "NAME_MISMATCH",
                "Name of another cluster",
                StatusCode::UNPROCESSABLE_ENTITY,
                "What destroys a cluster repeats its name, so that nobody destroys the wrong one by a wrong id. The name in the body is not the cluster's. Nothing was sent to the vendor.",
            ),
            Self::IdempotencyKeyRequired => (
                "IDEMPOTENCY_KEY_REQUIRED",
                "Idempotency key required",
                StatusCode::BAD_REQUEST,
                "This write must not happen twice by accident, so it wants an `Idempotency-Key` header: 1 to 255 printable characters of the caller's choice, such as a UUID, another one for each write that is meant. The same key and body give the same answer for a day.",
            ),
            Self::IdempotencyKeyReused => (
                "IDEMPOTENCY_KEY_REUSED",
                "Idempotency key of another request",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The `Idempotency-Key` was used for this operation with another body or query. Use a new key for a new write.",
            ),
            Self::IdempotencyInProgress => (
                "IDEMPOTENCY_IN_PROGRESS",
                "The same write is running",
                StatusCode::CONFLICT,
                "A request with this `Idempotency-Key` is still running. Ask again after `Retry-After`: its answer will be given then.",
            ),
            Self::IdempotencyUnavailable => (
                "IDEMPOTENCY_UNAVAILABLE",
                "Idempotency key cannot be kept",
                StatusCode::SERVICE_UNAVAILABLE,
                "That something is sent under the `Idempotency-Key` could not be kept, and without that another server might send it again. Nothing was sent to the vendor; ask again after `Retry-After` under the same key, or under another one that was never used.",
            ),
            Self::ClusterBusy => (
                "CLUSTER_BUSY",
                "Another write is running",
                StatusCode::CONFLICT,
                "Another write of this cluster, or of one with this name, is being sent. Nothing was sent for this one; ask again after `Retry-After`.",
            ),
            Self::PreconditionFailed => (
                "PRECONDITION_FAILED",
                "The cluster has changed",
                StatusCode::PRECONDITION_FAILED,
                "The cluster's `ETag` is not the one in `If-Match`: it has changed since it was read. Read it again before changing it. Nothing was sent to the vendor.",
            ),
            Self::InfrastructureMayExist => (
                "INFRASTRUCTURE_MAY_EXIST",
                "Infrastructure may exist",
                StatusCode::CONFLICT,
                "The cluster's infrastructure exists, or may exist, and would go on running and costing unwatched without its record. Destroy it first, or repeat the request with `force=true`. Nothing was removed.",
            ),
            Self::UpstreamFailed => (
                "UPSTREAM_FAILED",
                "Vendor failed",
                StatusCode::BAD_GATEWAY,
                "The vendor could not be asked, failed, or did not answer in time, and nothing older is known. `source_error` says why; the status is 502, 503 or 504 by the kind of failure. A write that is answered so was not carried out.",
            ),
            Self::UpstreamRefused => (
                "UPSTREAM_REFUSED",
                "Vendor refused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The vendor refuses the request as it is. Nothing was done; the same request will be refused again.",
            ),
            Self::UpstreamConflict => (
                "UPSTREAM_CONFLICT",
                "Not in this state",
                StatusCode::CONFLICT,
                "The cluster's state does not allow this now, by the vendor's word. Look at the cluster and its operations. Nothing was done.",
            ),
            Self::UpstreamNotReady => (
                "UPSTREAM_NOT_READY",
                "Not there yet",
                StatusCode::CONFLICT,
                "The vendor does not have this yet, such as the access file of a cluster that is being built. Ask again later.",
            ),
            Self::WriteOutcomeUnknown => (
                "WRITE_OUTCOME_UNKNOWN",
                "Outcome not known",
                StatusCode::BAD_GATEWAY,
                "The write was sent and its answer was lost. The cluster was read back and does not show the effect, or could not be read; it may still come. `detail` says what was found, `cluster_state` the state that was read. The write is not repeated: look at the cluster and its operations before asking again under another key.",
            ),
            Self::OperationNotFound => (
                "OPERATION_NOT_FOUND",
                "Operation not found",
                StatusCode::NOT_FOUND,
                "Neither this server nor the vendor knows an operation of this id. What only this server tracks is forgotten when it restarts.",
            ),
            Self::WebhookNotFound => (
                "WEBHOOK_NOT_FOUND",
                "Webhook not found",
                StatusCode::NOT_FOUND,
                "No webhook of this name is configured, or the caller does not see everything: what webhooks are told is of everybody's clusters. `GET /webhooks` lists them.",
            ),
            Self::DeliveryNotFound => (
                "DELIVERY_NOT_FOUND",
                "Delivery not found",
                StatusCode::NOT_FOUND,
                "The webhook has no event of this id. Those that were delivered are forgotten after seven days, dead letters after thirty.",
            ),
            Self::WebhooksUnavailable => (
                "WEBHOOKS_UNAVAILABLE",
                "Deliveries cannot be read",
                StatusCode::SERVICE_UNAVAILABLE,
                "The store in which events wait cannot be read or written now. No event is lost by it; ask again after `Retry-After`.",
            ),
            Self::KubeconfigUnusable => (
                "KUBECONFIG_UNUSABLE",
                "Vendor's kubeconfig not usable",
                StatusCode::BAD_GATEWAY,
                "The vendor's kubeconfig cannot be passed on: it is none, names files of the machine that uses it, is not for an https server, or holds no credential where one is asked for. `detail` says which.",
            ),
            Self::KubeconfigNeedsEmbed => (
                "KUBECONFIG_NEEDS_EMBED",
                "Credential can only be embedded",
                StatusCode::CONFLICT,
                "The vendor's kubeconfig has a password, or a command to run on the user's machine. Neither can be handed on by `clustergate credential`; a kubeconfig with `embed=true` holds it.",
            ),
            Self::SelectionTooLarge => (
                "SELECTION_TOO_LARGE",
                "Too many clusters selected",
                StatusCode::BAD_REQUEST,
                "More clusters are selected than one answer can have, since each one is a call to its vendor. Use filters, or ask for parts.",
            ),
            Self::RateLimited => (
                "RATE_LIMITED",
                "Too many requests",
                StatusCode::TOO_MANY_REQUESTS,
                "The client asks more often than it may: `RateLimit-Policy` says how many requests (`q`) it has in how many seconds (`w`), `RateLimit` on every answer how many are left (`r`). Ask again after `Retry-After`; asking before does not make it longer.",
            ),
            Self::Overloaded => (
                "OVERLOADED",
                "Server overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "The server has as many requests in flight as it is allowed to, or gets to them too late and refuses a share of them. It does so at once rather than queueing; ask again after `Retry-After`.",
            ),
            Self::Timeout => (
                "TIMEOUT",
                "Request took too long",
                StatusCode::GATEWAY_TIMEOUT,
                "The request took longer than this server allows.",
            ),
            Self::InventoryStopped => (
                "INVENTORY_STOPPED",
                "Inventory does not go on",
                StatusCode::SERVICE_UNAVAILABLE,
                "A part of the server failed, and what it shows gets older. It has to be started anew.",
            ),
            Self::ShuttingDown => (
                "SHUTTING_DOWN",
                "Server is stopping",
                StatusCode::SERVICE_UNAVAILABLE,
                "The server finishes the requests it has and takes no new work.",
            ),
            Self::Internal => (
                "INTERNAL",
                "Internal error",
                StatusCode::INTERNAL_SERVER_ERROR,
                "A fault of this server. The log has more under the same `request_id`.",
            ),
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .description(Some("The stable code to branch on; the list may grow."))
            .enum_values(Some(Self::ALL.map(Self::as_str)))
            .into()
    }
}

impl ToSchema for Code {
    fn name() -> std::borrow::Cow<'static, str> {
        "ProblemCode".into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_found_by_its_address() {
        let codes: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::from_slug(&code.slug()), Some(code));
            assert_eq!(code.type_reference(), format!("/problems/{}", code.slug()));
        }
        assert_eq!(Code::from_slug("../etc"), None);
    }
}
