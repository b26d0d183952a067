//! Problem documents (RFC 9457): the only form in which this API says no.
//!
//! The texts are ours: nothing of a vendor's answer, no host name and no token ever reaches one.

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Kind, SourceName, State};
use crate::provider::ErrorKind;
use crate::upstream::FailureKind;

use super::code::Code;
use super::scrub;

/// The content type of every problem document.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Longest text of a caller that is repeated to it.
const ECHO: usize = 64;

/// Longest `instance`, in bytes.
const INSTANCE: usize = 256;

/// What is wrong with one parameter, or one field of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// The parameter, as the caller named it; of a body the path of the field, such as `node_groups[0].min_size`.
    pub parameter: String,
    /// What is wrong with it.
    pub detail: String,
    /// What would be accepted, where that is a closed set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub allowed: Option<Vec<String>>,
}

/// A problem document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct Document {
    /// Where the kind of problem is documented; relative to this server.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference", examples("/problems/unknown-parameter"))]
    pub kind: String,
    /// The kind of problem in words; the same for every occurrence.
    pub title: &'static str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, value_type = u16)]
    pub status: u16,
    /// This occurrence in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// The path that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri-reference")]
    pub instance: Option<String>,
    /// The stable code to branch on.
    pub code: Code,
    /// The request, as in `X-Request-Id` and the access log.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request_id: Option<String>,
    /// What is wrong, parameter by parameter.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// The source that the problem is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub source: Option<SourceName>,
    /// The provider that the problem is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub provider: Option<Kind>,
    /// Why the source could not be read: one of the codes that `/sources` shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub source_error: Option<&'static str>,
    /// Providers that have what this one does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, required = false)]
    pub providers: Vec<Kind>,
    /// The cluster's state, as it was read to answer this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cluster_state: Option<State>,
    /// The generation after which everything that changed is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub complete_since: Option<u64>,
    /// Whether the same request may succeed later without anybody changing anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retryable: Option<bool>,
    /// Seconds to wait before asking again, as in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after: Option<u64>,
}

/// A problem on its way to the caller: built by a handler, completed with path and request id on the way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem(Box<Document>);

impl Problem {
    /// A problem with the code's own status and title.
    pub fn new(code: Code) -> Self {
        Self(Box::new(Document {
            kind: code.type_reference(),
            title: code.title(),
            status: code.status().as_u16(),
            detail: None,
            instance: None,
            code,
            request_id: None,
            errors: Vec::new(),
            source: None,
            provider: None,
            source_error: None,
            providers: Vec::new(),
            cluster_state: None,
            complete_since: None,
            retryable: None,
            retry_after: None,
        }))
    }

    /// One parameter has a value that cannot be used.
    pub fn invalid_parameter(parameter: &str, detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameter).with_field(parameter, detail, None)
    }

    /// One parameter has a value outside a closed set.
    pub fn not_one_of(parameter: &str, value: &str, allowed: &[&str]) -> Self {
        let detail = format!("\"{}\" is not one of the accepted values", echo(value));
        Self::new(Code::InvalidParameter).with_field(parameter, detail, Some(allowed))
    }

    /// There is no such source.
    pub fn source_not_found(name: &str) -> Self {
        Self::new(Code::SourceNotFound)
            .with_detail(format!("no source is named \"{}\"", echo(name)))
    }

    /// There is no such webhook.
    pub fn webhook_not_found(name: &str) -> Self {
        Self::new(Code::WebhookNotFound)
            .with_detail(format!("no webhook is named \"{}\"", echo(name)))
    }

    /// A source whose own error is the answer, because it was asked for alone or nothing good was ever read of it.
    pub fn source_unavailable(source: &SourceName, provider: &Kind, error: ErrorKind) -> Self {
        Self::new(Code::SourceUnavailable)
            .with_status(status_of(error))
            .with_detail(error.hint())
            .with_source(source, provider)
            .with_source_error(error)
    }

    /// Says what happened this time.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Answers with another status than the code's own.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    /// Adds what is wrong with one parameter.
    #[must_use]
    pub fn with_field(
        mut self,
        parameter: &str,
        detail: impl Into<String>,
        allowed: Option<&[&str]>,
    ) -> Self {
        self.0.errors.push(FieldError {
            parameter: echo(parameter),
            detail: detail.into(),
            allowed: allowed.map(|allowed| allowed.iter().map(ToString::to_string).collect()),
        });
        self
    }

    /// Names the source and its provider.
    #[must_use]
    pub fn with_source(mut self, source: &SourceName, provider: &Kind) -> Self {
        self.0.source = Some(source.clone());
        self.0.provider = Some(provider.clone());
        self
    }

    /// Says why the source could not be read, and whether that may pass by itself.
    #[must_use]
    pub fn with_source_error(mut self, error: ErrorKind) -> Self {
        self.0.source_error = Some(error.code());
        self.0.retryable = Some(error.is_retryable());
        self
    }

    /// Says why the source could not be read, by code.
    #[must_use]
    pub(super) fn with_source_code(mut self, code: &'static str) -> Self {
        self.0.source_error = Some(code);
        self
    }

    /// Says when to ask again; rounded up to whole seconds, at least one.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.0.retry_after = Some(seconds.max(1));
        self.0.retryable = Some(true);
        self
    }

    /// Names the providers that have what this one does not.
    #[must_use]
    pub fn with_providers(mut self, providers: Vec<Kind>) -> Self {
        self.0.providers = providers;
        self
    }

    /// Says in which state the cluster was read.
    #[must_use]
    pub fn with_cluster_state(mut self, state: Option<State>) -> Self {
        self.0.cluster_state = state;
        self
    }

    /// Says after which generation everything that changed is known.
    #[must_use]
    pub fn with_complete_since(mut self, generation: u64) -> Self {
        self.0.complete_since = Some(generation);
        self
    }

    /// The problem in the form in which an idempotency key keeps it.
    pub(super) fn to_kept(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// A problem that was kept; it gets the path and id of the request that it answers now.
    pub(super) fn from_kept(body: &[u8]) -> Option<Self> {
        let kept: Kept = serde_json::from_slice(body).ok()?;
        let mut problem = Self::new(Code::from_name(&kept.code)?);
        let document = &mut *problem.0;
        document.status = kept.status;
        document.detail = kept.detail;
        document.errors = kept.errors;
        document.source = kept.source;
        document.provider = kept.provider;
        document.source_error = kept.source_error.and_then(|code| {
            let mut codes = ErrorKind::ALL.iter().map(|kind| kind.code());
            codes.find(|known| *known == code)
        });
        document.providers = kept.providers;
        document.cluster_state = kept.cluster_state;
        document.retryable = kept.retryable;
        document.retry_after = kept.retry_after;
        Some(problem)
    }

    /// Completes the problem with what only the edge knows.
    #[must_use]
    pub(super) fn at(mut self, path: &str, request_id: &str) -> Self {
        self.0.instance = Some(as_reference(&scrub::path(path)));
        self.0.request_id = Some(request_id.to_owned());
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The document as it is sent.
    pub fn document(&self) -> &Document {
        &self.0
    }

    pub(super) fn render(&self) -> Response {
        // Plain text and numbers always serialize; an empty body would still carry the right status.
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// What is read back of a kept problem; the rest follows from its code.
#[derive(Deserialize)]
#[serde(default)]
struct Kept {
    status: u16,
    code: String,
    detail: Option<String>,
    errors: Vec<FieldError>,
    source: Option<SourceName>,
    provider: Option<Kind>,
    source_error: Option<String>,
    providers: Vec<Kind>,
    cluster_state: Option<State>,
    retryable: Option<bool>,
    retry_after: Option<u64>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
            code: String::new(),
            detail: None,
            errors: Vec::new(),
            source: None,
            provider: None,
            source_error: None,
            providers: Vec::new(),
            cluster_state: None,
            retryable: None,
            retry_after: None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render();
        // The inbound layer takes it out again to add the path and the request id.
        response.extensions_mut().insert(self);
        response
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The status of a request whose only answer is a source's error.
pub(super) fn status_of(error: ErrorKind) -> StatusCode {
    match error {
        ErrorKind::Call(FailureKind::Timeout) | ErrorKind::Deadline => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Call(
            FailureKind::RateLimited | FailureKind::CircuitOpen | FailureKind::Credential,
        ) => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::NotSupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::InvalidValues => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::Conflict | ErrorKind::NotReady => StatusCode::CONFLICT,
        ErrorKind::Call(
            FailureKind::Unauthorized
            | FailureKind::Forbidden
            | FailureKind::NotFound
            | FailureKind::Rejected
            | FailureKind::Unavailable
            | FailureKind::Unreachable
            | FailureKind::Interrupted
            | FailureKind::Redirected
            | FailureKind::TooLarge
            | FailureKind::Garbled
            | FailureKind::ContentType,
        )
        | ErrorKind::Malformed
        | ErrorKind::UnexpectedShape
        | ErrorKind::UnsupportedGeneration
        | ErrorKind::NotEnabled
        | ErrorKind::PaginationLoop
        | ErrorKind::Truncated
        | ErrorKind::PageLimit
        | ErrorKind::CursorExpired
        | ErrorKind::NotFound => StatusCode::BAD_GATEWAY,
    }
}

/// A caller's text, cut to what is worth repeating.
pub(super) fn echo(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(ECHO)
        .collect()
}

/// A path as a URI reference of bounded length: what servers tolerate but references do not have is escaped, and no escape is
/// cut in two.
fn as_reference(path: &str) -> String {
    let mut reference = String::new();
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let is_escape = first == '%'
            && (rest.as_bytes().get(1..3))
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let (piece, after) = rest.split_at(if is_escape { 3 } else { first.len_utf8() });
        let is_plain =
            is_escape || first.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(first);
        let start = reference.len();
        if is_plain {
            reference.push_str(piece);
        } else {
            reference.extend(utf8_percent_encode(piece, NON_ALPHANUMERIC));
        }
        if reference.len() > INSTANCE {
            reference.truncate(start);
            break;
        }
        rest = after;
    }
    reference
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_becomes_a_reference_without_half_an_escape() {
        assert_eq!(as_reference("/clusters/a:b%2Fc"), "/clusters/a:b%2Fc");
        assert_eq!(as_reference("/a\"b%x/{é}"), "/a%22b%25x/%7B%C3%A9%7D");
        let long = as_reference(&format!("/{}", "%C3%A9".repeat(100)));
        assert_eq!(long.len(), 1 + 85 * 3);
        assert!(as_reference(&"é".repeat(1_000)).len() <= INSTANCE);
    }

    #[test]
    fn a_problem_says_what_who_and_when() {
        let source = SourceName::new("jfrog-eu").unwrap();
        let problem = Problem::source_unavailable(
            &source,
            &Kind::new("jfrog"),
            ErrorKind::Call(FailureKind::RateLimited),
        )
        .with_retry_after(Duration::from_millis(1_200))
        .at("/clusters", "r-1");
        insta::assert_json_snapshot!(problem.document());
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn fields_are_listed_one_by_one() {
        let problem = Problem::not_one_of("state", "rnning", &["running", "stopped"]).with_field(
            "limit",
            "must be a whole number of at least 1",
            None,
        );
        insta::assert_json_snapshot!(problem.document());
    }

    #[test]
    fn a_problem_never_succeeds() {
        for code in Code::ALL {
            let status = Problem::new(code).status();
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{code:?}"
            );
        }
        for kind in ErrorKind::ALL {
            let status = status_of(kind);
            // What the caller asks for is at fault in these, not the vendor.
            let of_the_caller = matches!(
                kind,
                ErrorKind::InvalidValues | ErrorKind::Conflict | ErrorKind::NotReady
            );
            assert_eq!(status.is_client_error(), of_the_caller, "{kind:?}");
            assert_eq!(status.is_server_error(), !of_the_caller, "{kind:?}");
        }
    }

    #[test]
    fn a_kept_problem_is_the_same_problem_of_another_request() {
        let source = SourceName::new("jfrog-eu").unwrap();
        let problem = Problem::source_unavailable(
            &source,
            &Kind::new("jfrog"),
            ErrorKind::Call(FailureKind::Timeout),
        )
        .with_retry_after(Duration::from_secs(3))
        .with_cluster_state(Some(State::Running))
        .with_providers(vec![Kind::new("lakesail")])
        .with_field("name", "is taken", Some(&["a"]));
        let kept = problem.clone().at("/clusters", "r-1").to_kept();
        assert_eq!(Problem::from_kept(&kept), Some(problem));
        assert_eq!(Problem::from_kept(b"{}"), None);
    }

    #[test]
    fn a_long_text_of_the_caller_is_cut() {
        let problem = Problem::source_not_found(&"x".repeat(5_000));
        assert!(problem.document().detail.as_deref().unwrap().len() < 100);
    }
}
