//! Carries out changes of clusters. What depends on the present state of things is looked at under the idempotency key, so that
//! a request that is sent again meets its first answer and not what it has itself changed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH, LOCATION, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Principal;
use crate::domain::{ClusterId, ClusterPatch, Kind, OperationKind, SourceName};
use crate::live::{Done, Finished, Write, WriteFailure};
use crate::provider::Capability;

use super::super::code::Code;
use super::super::problem::Problem;
use super::super::respond;
use super::super::state::ApiState;
use super::super::viewer::Viewer;
use super::keys::{self, Wanted};
use super::operations::OperationItem;
use super::writes::NewCluster;
use super::{Found, failure, require};

/// When to look again at work that goes on.
pub(super) const POLL: Duration = Duration::from_secs(5);

/// What became of a write.
#[derive(Serialize, ToSchema)]
pub(in super::super) struct WriteReport {
    /// The cluster; null while a vendor that accepted a creation does not show one yet.
    #[schema(value_type = Option<String>, required = true)]
    cluster: Option<ClusterId>,
    /// Its source.
    #[schema(value_type = String)]
    source: SourceName,
    /// Its source's provider.
    #[schema(value_type = String)]
    provider: Kind,
    /// What was done.
    action: OperationKind,
    /// Whether the work goes on.
    pending: bool,
    /// Whether the vendor's answer was lost, and this was found by reading back.
    read_back: bool,
    /// The work that goes on, or that was done; null where there is no record of it.
    #[schema(required = true)]
    operation: Option<OperationItem>,
}

/// A write as it was asked for; what it is about is looked up later.
pub(super) enum Asked {
    Create(Box<NewCluster>),
    Update(Box<ClusterPatch>),
    Provision,
    Destroy(String),
    Forget { force: bool },
}

/// Carries a write out once for each key, in a task that outlives the caller.
pub(super) async fn carry_out(
    api: ApiState,
    parts: Parts,
    body: Bytes,
    wanted: Wanted,
    asked: Asked,
) -> Result<Response, Problem> {
    // Keys of one caller are nothing to another.
    let caller = parts.extensions.get::<Arc<Principal>>();
    let caller = caller.map_or_else(String::new, |principal| principal.identity());
    let key = keys::key(wanted, &caller, &parts.method, &parts.uri, &parts.headers)?;
    let print = keys::print(&parts.uri, &parts.headers, &body);
    let live = api.live.clone();
    let work = Box::pin(async move {
        match act(&api, &parts, asked).await {
            Ok(finished) => finished,
            // What is refused before a write is sent does not bind its key.
            Err(problem) => keys::refusal(&problem, false),
        }
    });
    // What broke in the middle of a write must not be tried again under its key.
    let work = AssertUnwindSafe(work).catch_unwind().map(|finished| {
        finished.unwrap_or_else(|_| keys::refusal(&Problem::new(Code::Internal), true))
    });
    keys::answer(live.once(&caller, key.map(|key| (key, print)), work).await)
}

/// Looks up what a write is about, and carries it out.
async fn act(api: &ApiState, parts: &Parts, asked: Asked) -> Result<Finished, Problem> {
    let capability = match &asked {
        Asked::Create(_) => Capability::Create,
        Asked::Update(_) => Capability::Update,
        Asked::Provision => Capability::Provision,
        Asked::Destroy(_) => Capability::Destroy,
        Asked::Forget { .. } => Capability::Forget,
    };
    let viewer = Viewer::of(&parts.extensions, api);
    if let Asked::Create(new) = asked {
        let (source, spec) = new.parts();
        let snapshot = viewer.current(api);
        let report = snapshot
            .source(source.as_str())
            .ok_or_else(|| Problem::source_not_found(source.as_str()))?;
        let kind = report.provider.clone();
        require(api, &source, &kind, &[capability])?;
        if !viewer.may_create_in(spec.project.as_deref()) {
            return Err(Problem::new(Code::Forbidden)
                .with_detail("clusters can be created in the caller's own projects only")
                .with_field("project", "is none of the caller's projects", None));
        }
        let namesakes = api.named(&source, &spec.name);
        let write = Write::Create {
            source: source.clone(),
            spec: Box::new(spec),
            namesakes,
        };
        let outcome = api.live.write(write).await;
        return Ok(finish(api, &viewer, outcome, &source, &kind));
    }
    let found = Found::locate(api, &viewer, &parts.uri)?;
    found.require(api, capability)?;
    check_condition(&found, &parts.headers)?;
    let before = found.row().cluster().map(Box::new);
    let target = found.target.clone();
    let write = match asked {
        Asked::Update(patch) => Write::Update {
            target,
            before,
            patch,
        },
        Asked::Provision => Write::Provision { target, before },
        Asked::Destroy(name) => {
            if before.as_ref().is_none_or(|before| before.name != name) {
                return Err(Problem::new(Code::NameMismatch).with_field(
                    "name",
                    "is not the cluster's name",
                    None,
                ));
            }
            Write::Destroy { target, before }
        }
        Asked::Forget { force } => Write::Forget {
            target,
            before,
            force,
        },
        Asked::Create(_) => return Err(Problem::new(Code::Internal)),
    };
    let outcome = api.live.write(write).await;
    let Found {
        target, provider, ..
    } = found;
    Ok(finish(api, &viewer, outcome, &target.source, &provider))
}

/// Refuses a write of a cluster that is not as the caller has read it.
fn check_condition(found: &Found, headers: &HeaderMap) -> Result<(), Problem> {
    if !headers.contains_key(IF_MATCH) {
        return Ok(());
    }
    let mut tags = headers
        .get_all(IF_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    let is_so = tags.any(|tag| tag == "*" || found.snapshot.is_tag_of(found.place, tag));
    if is_so {
        Ok(())
    } else {
        Err(Problem::new(Code::PreconditionFailed)
            .with_source(&found.target.source, &found.provider))
    }
}

/// The answer to a write.
fn finish(
    api: &ApiState,
    viewer: &Viewer,
    outcome: Result<Done, WriteFailure>,
    source: &SourceName,
    provider: &Kind,
) -> Finished {
    let done = match outcome {
        Ok(done) => done,
        Err(failed) => {
            let problem = failure::of_write(&failed, source, provider);
            return keys::refusal(&problem, failure::is_final(&failed));
        }
    };
    let mut headers = vec![(CACHE_CONTROL.to_string(), respond::NO_STORE.to_owned())];
    let mut add = |name: http::HeaderName, value: String| headers.push((name.to_string(), value));
    let operation = done.operation.as_ref().map(|known| known.id.clone());
    let status = if done.is_pending {
        if let Some(operation) = operation {
            add(LOCATION, format!("/operations/{operation}"));
        }
        add(RETRY_AFTER, POLL.as_secs().to_string());
        StatusCode::ACCEPTED
    } else if done.kind == OperationKind::Forget {
        return keys::success(StatusCode::NO_CONTENT, headers, Vec::new());
    } else {
        let current = viewer.current(api);
        let place = done.cluster.as_ref().and_then(|id| current.find(id));
        if let Some(place) = place {
            add(ETAG, current.tag(place, None));
        }
        match (&done.cluster, done.kind) {
            (Some(cluster), OperationKind::Create) => {
                add(LOCATION, format!("/clusters/{cluster}"));
                StatusCode::CREATED
            }
            _ => StatusCode::OK,
        }
    };
    add(CONTENT_TYPE, "application/json".to_owned());
    let report = WriteReport {
        cluster: done.cluster,
        source: done.source,
        provider: done.provider,
        action: done.kind,
        pending: done.is_pending,
        read_back: done.was_read_back,
        operation: done.operation.map(|known| OperationItem::new(&known, None)),
    };
    match serde_json::to_vec(&report) {
        Ok(body) => keys::success(status, headers, body),
        Err(error) => {
            tracing::error!(%error, "the answer to a write could not be written");
            keys::refusal(&Problem::new(Code::Internal), true)
        }
    }
}
