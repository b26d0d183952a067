//! What must reach a vendor now: reads below one cluster, writes, and operations.

mod act;
mod body;
mod failure;
mod keys;
pub(super) mod kubeconfig;
mod objects;
pub(super) mod operations;
pub(super) mod reads;
pub(super) mod writes;

use axum::response::Response;
use http::header::{AGE, CACHE_CONTROL};
use http::{HeaderMap, HeaderName, Uri};
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::{Kind, SourceName};
use crate::inventory::{Place, Row, View};
use crate::live::{Failure, Target};
use crate::provider::{Capability, Provider};

use super::clusters;
use super::code::Code;
use super::problem::Problem;
use super::respond;
use super::state::ApiState;
use super::viewer::Viewer;

pub(super) use kubeconfig::{read_credential, read_kubeconfig, read_merged_kubeconfig};
pub(super) use operations::{find_operation, list_cluster_operations, list_operations};
pub(super) use reads::{list_nodes, read_cluster_metrics, read_health};
pub(super) use writes::{
    create_cluster, destroy_cluster, forget_cluster, provision_cluster, update_cluster,
};

/// Why the vendor could not be asked now, on an answer that says what is known.
pub(super) const X_SOURCE_ERROR: HeaderName = HeaderName::from_static("x-source-error");

/// For what a vendor said a moment ago.
const BRIEF: &str = "private, max-age=5";
/// For what is old, or may be otherwise the next moment.
const AT_ONCE: &str = "private, no-cache";

/// A cluster that a request is about.
struct Found {
    snapshot: View,
    place: Place,
    target: Target,
    provider: Kind,
}

impl Found {
    /// The cluster that the path names.
    fn locate(api: &ApiState, viewer: &Viewer, uri: &Uri) -> Result<Self, Problem> {
        let snapshot = viewer.current(api);
        let place = clusters::locate(uri, &snapshot)?;
        Self::at(snapshot, place)
    }

    fn at(snapshot: View, place: Place) -> Result<Self, Problem> {
        let row = snapshot.row(place);
        let source = (row.id.as_str().split_once(':'))
            .and_then(|(source, _)| snapshot.source(source))
            .ok_or_else(|| Problem::new(Code::ClusterNotFound))?;
        let target = Target {
            id: row.id.clone(),
            source: source.name.clone(),
            locator: row.locator.clone(),
        };
        let provider = source.provider.clone();
        Ok(Self {
            snapshot,
            place,
            target,
            provider,
        })
    }

    fn row(&self) -> &Row {
        self.snapshot.row(self.place)
    }

    /// Refuses what the cluster's provider cannot do.
    fn require(&self, api: &ApiState, capability: Capability) -> Result<(), Problem> {
        require(api, &self.target.source, &self.provider, &[capability]).map(|_| ())
    }

    fn problem(&self, failure: &Failure) -> Problem {
        failure::problem(failure, &self.target.source, &self.provider)
    }
}

/// The provider of a source, if it can do one of these.
fn require<'a>(
    api: &'a ApiState,
    source: &SourceName,
    kind: &Kind,
    any: &[Capability],
) -> Result<&'a dyn Provider, Problem> {
    let can = |capabilities: &crate::provider::Capabilities| {
        any.iter()
            .any(|capability| capabilities.supports(*capability))
    };
    let provider = api.live.provider(source);
    if let Some(provider) = provider.filter(|provider| can(provider.capabilities())) {
        return Ok(provider);
    }
    let others = (api.catalog.iter())
        .filter(|entry| can(entry.capabilities))
        .map(|entry| entry.kind.clone());
    let words: Vec<&str> = any.iter().map(|capability| capability.as_str()).collect();
    Err(Problem::new(Code::CapabilityNotSupported)
        .with_detail(format!("{kind} has no {}", words.join(" or ")))
        .with_source(source, kind)
        .with_providers(others.collect()))
}

/// Whether a request wants the vendor to be asked now.
pub(super) fn wants_fresh(headers: &HeaderMap) -> bool {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .any(|directive| directive == "no-cache" || directive == "max-age=0")
}

/// Asks the vendor for a cluster's detail now. Gives the snapshot that has it, or the one that was given and why not.
pub(super) async fn refreshed(
    api: &ApiState,
    viewer: &Viewer,
    snapshot: View,
    place: Place,
) -> Result<(View, Place, Option<&'static str>), Problem> {
    let found = Found::at(snapshot.clone(), place)?;
    if found.require(api, Capability::Describe).is_err() {
        return Ok((snapshot, place, None));
    }
    let failed = match api.live.detail(&found.target, true).await {
        Ok(answer) => answer.failed.as_ref().map(failure::code),
        Err(failure) if failure.leaves_standing() => Some(failure::code(&failure)),
        Err(failure) => {
            api.control.refresh(&found.target.source);
            return Err(found.problem(&failure));
        }
    };
    let current = viewer.current(api);
    Ok(match current.find(&found.target.id) {
        Some(place) => (current, place, failed),
        None => (snapshot, place, failed),
    })
}

/// Answers with what was read at a time.
fn answer(
    value: &impl Serialize,
    at: Timestamp,
    caching: &'static str,
) -> Result<Response, Problem> {
    let mut response = respond::json(value, caching)?;
    let age = clusters::age(at, Timestamp::now());
    response.headers_mut().insert(AGE, age);
    Ok(response)
}
