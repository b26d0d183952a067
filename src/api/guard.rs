//! Who may pass: what a route needs of its caller, what a caller without it is told, and what the audit learns.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use jiff::Timestamp;

use super::code::Code;
use super::problem::Problem;
use super::scrub;
use super::state::ApiState;
use crate::access::audit::{Action, Actor, Audit, Event, Outcome};
use crate::access::{Denied, DeniedKind, Principal, Scope};

/// Longest target that the audit is told.
const MAX_TARGET: usize = 256;
/// When to try again where an issuer's keys cannot be read.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// What a method of a path needs of its caller, where access is controlled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it says nothing about anybody's clusters.
    Nothing,
    /// That it may do this.
    Scope(Scope),
}

impl Needs {
    /// Whether it is nothing to do while the audit cannot be written, where that is required.
    pub(super) fn wants_audit(self) -> bool {
        matches!(self.action(), Some(Action::Write | Action::KubeconfigRead))
    }

    /// How the audit calls what is done with it; `None` where it is not told.
    fn action(self) -> Option<Action> {
        match self {
            Self::Nothing
            | Self::Scope(Scope::ClustersRead | Scope::MetricsRead | Scope::WebhooksRead) => None,
            Self::Scope(Scope::ClustersWrite | Scope::WebhooksWrite | Scope::Admin) => {
                Some(Action::Write)
            }
            Self::Scope(Scope::KubeconfigRead | Scope::KubeconfigEmbed) => {
                Some(Action::KubeconfigRead)
            }
            Self::Scope(Scope::SourcesRefresh) => Some(Action::Refresh),
            // Who looks at what others did is looked at as well.
            Self::Scope(Scope::AuditRead) => Some(Action::AuditRead),
        }
    }
}

/// Who asks. Where access is controlled and a route needs nothing, nobody was told apart, and there is none.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Principal>);

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        match parts.extensions.get::<Arc<Principal>>() {
            Some(principal) => Ok(Self(Arc::clone(principal))),
            None if !state.is_guarded() => Ok(Self(Principal::open())),
            None => Err(Problem::new(Code::Unauthenticated)),
        }
    }
}

/// Why a request went no further.
#[derive(Debug, Clone)]
pub(super) enum Refused {
    /// Nobody knows who asks.
    Denied(Denied),
    /// The caller may not do this.
    Forbidden(Arc<Principal>, Scope),
}

impl Refused {
    /// What the caller is told.
    pub(super) fn response(&self) -> Response {
        let (problem, challenge) = match self {
            Self::Denied(denied) => denial(*denied),
            Self::Forbidden(_, scope) => {
                let problem = Problem::new(Code::Forbidden)
                    .with_detail(format!("this needs the scope {scope}"));
                let challenge = format!(
                    "Bearer realm=\"clustergate\", error=\"insufficient_scope\", scope=\"{scope}\""
                );
                (problem, HeaderValue::try_from(challenge).ok())
            }
        };
        let mut response = problem.into_response();
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

fn denial(denied: Denied) -> (Problem, Option<HeaderValue>) {
    let unauthenticated =
        |detail: &str| Problem::new(Code::Unauthenticated).with_detail(detail.to_owned());
    let invalid = HeaderValue::from_static("Bearer realm=\"clustergate\", error=\"invalid_token\"");
    match denied.kind {
        // RFC 6750 has no error where nothing was shown.
        DeniedKind::Missing => (
            unauthenticated("show an API key or a token as `Authorization: Bearer …`"),
            Some(HeaderValue::from_static("Bearer realm=\"clustergate\"")),
        ),
        DeniedKind::Invalid => (
            unauthenticated("what was shown opens nothing here"),
            Some(invalid),
        ),
        DeniedKind::Expired => (unauthenticated("what was shown has expired"), Some(invalid)),
        DeniedKind::Unavailable => (
            Problem::new(Code::AuthUnavailable).with_retry_after(TRY_AGAIN),
            None,
        ),
    }
}

/// A request as the audit sees it.
pub(super) struct Audited<'a> {
    pub(super) needs: Option<Needs>,
    pub(super) caller: Option<&'a Principal>,
    pub(super) refused: Option<&'a Refused>,
    pub(super) remote: Option<IpAddr>,
    pub(super) request_id: &'a str,
    pub(super) method: &'a Method,
    pub(super) template: &'static str,
    pub(super) path: &'a str,
    pub(super) status: StatusCode,
    pub(super) code: Option<Code>,
}

impl Audited<'_> {
    /// Tells the audit what it wants to know.
    pub(super) fn record(&self, audit: &Audit) {
        let action = match (self.refused, self.needs) {
            (Some(Refused::Denied(_)), _) => Action::AuthenticationFailed,
            (Some(Refused::Forbidden(..)), _) => Action::Forbidden,
            (None, Some(needs)) => match needs.action() {
                Some(action) => action,
                None => return,
            },
            (None, None) => return,
        };
        let mut event = Event::new(action, Timestamp::now());
        event.actor = match self.refused {
            Some(Refused::Forbidden(principal, _)) => Some(Actor::from(&**principal)),
            Some(Refused::Denied(_)) | None => self.caller.map(Actor::from),
        };
        event.remote = self.remote;
        self.request_id.clone_into(&mut event.request_id);
        self.method.as_str().clone_into(&mut event.method);
        event.route = self.template;
        event.target = target(self.template, self.path);
        event.outcome = Some(Outcome {
            status: self.status.as_u16(),
            code: self.code.map(Code::as_str),
        });
        if let Some(Refused::Denied(denied)) = self.refused {
            event.detail = Some(denied.reason);
            audit.record_failure(denied.kind, event);
        } else {
            audit.record(event);
        }
    }
}

/// What a path is about: the first segment that its template leaves open.
fn target(template: &str, path: &str) -> Option<String> {
    let at = template
        .split('/')
        .position(|segment| segment.starts_with('{'))?;
    let segment = path.split('/').nth(at)?;
    Some(scrub::path(segment).chars().take(MAX_TARGET).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_is_told_of_what_changes_something_or_shows_a_credential_or_the_audit() {
        let told = |scope| Needs::Scope(scope).action();
        assert_eq!(Needs::Nothing.action(), None);
        assert_eq!(told(Scope::ClustersRead), None);
        assert_eq!(told(Scope::MetricsRead), None);
        for scope in Scope::ALL {
            let reads =
                [Scope::ClustersRead, Scope::MetricsRead, Scope::WebhooksRead].contains(&scope);
            assert_eq!(told(scope).is_none(), reads, "{scope}");
        }
        assert_eq!(told(Scope::AuditRead), Some(Action::AuditRead));
        // Why nothing can be written is not to be found out by writing.
        assert!(!Needs::Scope(Scope::AuditRead).wants_audit());
    }

    #[test]
    fn the_target_is_what_the_path_names() {
        assert_eq!(
            target("/sources/{name}/refresh", "/sources/main/refresh").as_deref(),
            Some("main")
        );
        assert_eq!(target("/clusters", "/clusters"), None);
        assert_eq!(
            target("/clusters/{id}", "/clusters/c%67_0123456789_s").as_deref(),
            Some("[hidden]")
        );
        let long = format!("/clusters/{}", "é".repeat(1_000));
        assert_eq!(
            target("/clusters/{id}", &long).unwrap().chars().count(),
            MAX_TARGET
        );
    }
}
