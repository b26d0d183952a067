//! What a refusal of this vendor means beyond its HTTP status. Texts are ours: a vendor's own text never reaches a caller.

use http::StatusCode;

use crate::provider::{ErrorKind, ProviderError};
use crate::upstream::FailureKind;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Create,
    Update,
    Destroy,
    Kubeconfig,
}

/// What a failed detail call means: an unknown id is a cluster that is gone.
pub(super) fn described(error: ProviderError) -> ProviderError {
    if is_not_found(&error) {
        error.with_kind(ErrorKind::NotFound)
    } else if is_not_enabled(&error) {
        error.with_kind(ErrorKind::NotEnabled)
    } else {
        error
    }
}

/// What a failed write, or a credential that is not given out, means.
pub(super) fn refused(asked: Asked, error: ProviderError) -> ProviderError {
    let call = error.source.as_ref();
    let status = call.and_then(|call| call.status);
    let code = call.and_then(|call| call.code.as_deref());
    let code = code.map(str::to_ascii_uppercase);
    if let Some((kind, text)) = code
        .as_deref()
        .and_then(|code| meaning(asked, code, status))
    {
        let error = error.with_public(text);
        return match kind {
            Some(kind) => error.with_kind(kind),
            None => error,
        };
    }
    match (status, asked) {
        // Of what is being made there is no cluster yet that could be unknown.
        (Some(StatusCode::NOT_FOUND | StatusCode::GONE), Asked::Create) => error
            .with_kind(ErrorKind::Call(FailureKind::Rejected))
            .with_public("the vendor does not know the project, or not the product"),
        (Some(StatusCode::FORBIDDEN), _) => error.with_public(
            "the token may not do this: it takes one that is not read-only, of an owner, administrator or collaborator",
        ),
        (Some(StatusCode::CONFLICT), Asked::Destroy) => error
            .with_kind(ErrorKind::Conflict)
            .with_public("the cluster is paused, or deleted already"),
        (Some(StatusCode::CONFLICT), _) => error
            .with_kind(ErrorKind::Conflict)
            .with_public("the cluster is busy, paused or being deleted: it has to be idle"),
        _ => described(error),
    }
}

/// What a documented code means, and what kind of failure that is where it is not the status' own.
fn meaning(
    asked: Asked,
    code: &str,
    status: Option<StatusCode>,
) -> Option<(Option<ErrorKind>, &'static str)> {
    let (kind, text) = match (code, asked) {
        ("FEATURE_NOT_ENABLED", _) => (
            Some(ErrorKind::NotEnabled),
            "managed Kubernetes is not enabled for the account's team",
        ),
        ("NOT_READY", Asked::Kubeconfig) => (
            Some(ErrorKind::NotReady),
            "the control plane is not up yet, and there is no kubeconfig before",
        ),
        ("CLUSTER_LIMIT_EXCEEDED", _) => (
            Some(ErrorKind::Conflict),
            "the project has a cluster of this family already, and the vendor allows one",
        ),
        ("INSUFFICIENT_STOCK", _) => (
            Some(ErrorKind::Conflict),
            "the vendor has no machines of this plan left at this site: choose another, or try again later",
        ),
        ("NO_AVAILABLE_IP", _) => (
            Some(ErrorKind::Conflict),
            "the vendor has no address left for the cluster's load balancer",
        ),
        ("VERSION_DOWNGRADE" | "DOWNGRADE_NOT_ALLOWED", _) => (
            Some(ErrorKind::Conflict),
            "the cluster has a newer version than that, and a version never goes back",
        ),
        ("MINOR_VERSION_SKIP", _) => (
            Some(ErrorKind::Conflict),
            "a version goes up by one minor version at a time",
        ),
        ("VERSION_SKEW", _) => (
            Some(ErrorKind::Conflict),
            "the version is too far from what the cluster or its node pools have",
        ),
        ("DELETION_FAILED", _) => (
            Some(ErrorKind::Conflict),
            "the vendor could not delete the cluster: look at it before trying again",
        ),
        ("VALIDATION_ERROR", Asked::Update) if status == Some(StatusCode::UNPROCESSABLE_ENTITY) => {
            (
                Some(ErrorKind::Conflict),
                "the cluster takes a change only while it is provisioned and nothing else is under way",
            )
        }
        ("MANAGEMENT_CLUSTER_ERROR", _) => (
            None,
            "the vendor's own management plane cannot be reached: whether the request was carried out is not known",
        ),
        ("VALIDATION_ERROR", Asked::Create) => (
            None,
            "the vendor does not know the project, or one of the SSH keys",
        ),
        ("INVALID_SITE" | "SITE_NOT_SUPPORTED", _) => {
            (None, "the vendor does not offer this product at this site")
        }
        ("INVALID_CLUSTER_NAME", _) => (None, "the vendor does not take this name"),
        ("PLAN_NOT_FOUND", _) => (None, "the vendor does not know a plan of this name"),
        ("INVALID_WORKER_COUNT", _) => (None, "the vendor takes 0 to 10 workers"),
        ("WORKER_PLAN_REQUIRED", _) => (
            None,
            "there are no workers yet whose plan could be kept: name one in instance_types of the group `workers`",
        ),
        ("VERSION_NOT_AVAILABLE", _) => (None, "the vendor does not offer this version"),
        ("RESERVED_PROJECT_NOT_SUPPORTED", _) => (
            None,
            "the vendor makes no such cluster in a project of reserved machines",
        ),
        _ => return None,
    };
    Some((kind, text))
}

pub(super) fn is_not_found(error: &ProviderError) -> bool {
    error.kind == ErrorKind::Call(FailureKind::NotFound)
}

/// The team does not have the product, which is another thing than a role that may not read.
pub(super) fn is_not_enabled(error: &ProviderError) -> bool {
    let code = error.source.as_ref().and_then(|call| call.code.as_deref());
    error.kind == ErrorKind::Call(FailureKind::Forbidden)
        && code.is_some_and(|code| code.eq_ignore_ascii_case("FEATURE_NOT_ENABLED"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::UpstreamError;

    fn told(asked: Asked, status: u16, code: &str) -> ProviderError {
        let kind = match status {
            403 => FailureKind::Forbidden,
            404 => FailureKind::NotFound,
            503 => FailureKind::Unavailable,
            _ => FailureKind::Rejected,
        };
        let mut error = UpstreamError::new(kind).with_text("VENDOR TEXT");
        error.status = Some(StatusCode::from_u16(status).unwrap());
        error.code = Some(code.to_owned());
        refused(asked, ProviderError::call("create_cluster", error))
    }

    #[test]
    fn every_documented_code_has_a_kind_and_a_text_of_ours() {
        use Asked::{Create, Destroy, Kubeconfig, Update};
        let rejected = ErrorKind::Call(FailureKind::Rejected);
        for (asked, status, code, kind) in [
            (Create, 400, "VALIDATION_ERROR", rejected),
            (Create, 403, "FEATURE_NOT_ENABLED", ErrorKind::NotEnabled),
            (
                Create,
                403,
                "FORBIDDEN",
                ErrorKind::Call(FailureKind::Forbidden),
            ),
            (Create, 404, "not_found", rejected),
            (Create, 422, "CLUSTER_LIMIT_EXCEEDED", ErrorKind::Conflict),
            (Create, 422, "NO_AVAILABLE_IP", ErrorKind::Conflict),
            (Create, 422, "INVALID_SITE", rejected),
            (Create, 422, "SITE_NOT_SUPPORTED", rejected),
            (Create, 422, "INVALID_CLUSTER_NAME", rejected),
            (Create, 422, "insufficient_stock", ErrorKind::Conflict),
            (Create, 422, "PLAN_NOT_FOUND", rejected),
            (Create, 422, "RESERVED_PROJECT_NOT_SUPPORTED", rejected),
            (
                Create,
                503,
                "MANAGEMENT_CLUSTER_ERROR",
                ErrorKind::Call(FailureKind::Unavailable),
            ),
            (Update, 422, "VALIDATION_ERROR", ErrorKind::Conflict),
            (Update, 422, "INVALID_WORKER_COUNT", rejected),
            (Update, 422, "WORKER_PLAN_REQUIRED", rejected),
            (Update, 422, "VERSION_DOWNGRADE", ErrorKind::Conflict),
            (Update, 422, "MINOR_VERSION_SKIP", ErrorKind::Conflict),
            (Update, 422, "VERSION_NOT_AVAILABLE", rejected),
            (Update, 422, "DOWNGRADE_NOT_ALLOWED", ErrorKind::Conflict),
            (Update, 422, "VERSION_SKEW", ErrorKind::Conflict),
            (Update, 409, "NOT_READY", ErrorKind::Conflict),
            (Destroy, 422, "DELETION_FAILED", ErrorKind::Conflict),
            (Destroy, 409, "", ErrorKind::Conflict),
            (Kubeconfig, 409, "NOT_READY", ErrorKind::NotReady),
        ] {
            let error = told(asked, status, code);
            assert_eq!(error.kind, kind, "{asked:?} {code}");
            assert!(
                error.public.is_some_and(|text| !text.contains("VENDOR")),
                "{code}"
            );
        }
    }

    #[test]
    fn what_is_not_documented_keeps_the_meaning_of_its_status() {
        assert_eq!(
            told(Asked::Destroy, 404, "NOT_FOUND").kind,
            ErrorKind::NotFound
        );
        let error = told(Asked::Update, 422, "SOMETHING_NEW");
        assert_eq!(
            (error.kind, error.public),
            (ErrorKind::Call(FailureKind::Rejected), None)
        );
    }

    #[test]
    fn only_a_management_plane_out_of_reach_leaves_open_what_happened() {
        assert!(told(Asked::Create, 503, "MANAGEMENT_CLUSTER_ERROR").may_have_happened());
        assert!(!told(Asked::Create, 422, "INSUFFICIENT_STOCK").may_have_happened());
        assert!(!told(Asked::Destroy, 409, "").may_have_happened());
    }
}
