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
use crate::inventory::View;
use crate::live::{Done, Ending, Finished, Key, Write, WriteFailure};
use crate::provider::Capability;

use super::super::clusters::X_INVENTORY_GENERATION;
use super::super::code::Code;
use super::super::path::Segments;
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
    let about = About::of(&api, &parts, &asked);
    let target = about.target(&parts);
    let key = keys::key(wanted, &caller, &target, &parts.headers)?;
    let print = keys::print(&parts.uri, &parts.headers, &body);
    let viewer = Viewer::of(&parts.extensions, &api);
    let reach = viewer.fingerprint();
    let given = api.clone();
    let under = key.clone();
    let (teller, seer) = (api.clone(), viewer.clone());
    // How far its caller saw is not known, so that whoever asks now is looked at.
    let recall = move |outcome: Result<Done, WriteFailure>, source: &SourceName, kind: &Kind| {
        finish(&teller, &seer, outcome, source, kind)
    };
    let work = Box::pin(async move {
        match act(&given, &parts, asked, under.as_ref()).await {
            Ok(finished) => finished,
            // What is refused before a write is sent does not bind its key.
            Err(problem) => keys::refusal(&problem, Ending::Free),
        }
    });
    // What broke in the middle of a write must not be tried again under its key.
    let work = AssertUnwindSafe(work).catch_unwind().map(move |finished| {
        let broken = || keys::refusal(&Problem::new(Code::Internal), Ending::Final);
        let mut finished = finished.unwrap_or_else(|_| broken());
        finished.outcome.reach = reach;
        finished
    });
    let key = key.map(|key| (key, print));
    let once = api.live.once(&caller, key, work, recall).await;
    let once = once.map_err(keys::refused)?;
    if once.is_replayed && once.outcome.reach != reach {
        about.check(&api, &viewer)?;
    }
    Ok(keys::answer(once))
}

/// What a write is about, as far as the request alone tells.
enum About {
    /// A cluster to be made.
    Creation {
        source: SourceName,
        project: Option<String>,
    },
    /// A cluster, where the path names one.
    Cluster(Option<ClusterId>),
}

impl About {
    fn of(api: &ApiState, parts: &Parts, asked: &Asked) -> Self {
        match asked {
            Asked::Create(new) => {
                let (source, project) = new.place();
                Self::Creation { source, project }
            }
            Asked::Update(_) | Asked::Provision | Asked::Destroy(_) | Asked::Forget { .. } => {
                Self::Cluster(api.meant(&parts.uri))
            }
        }
    }

    /// What a key is given for: one cluster is one target, however its id is escaped.
    fn target(&self, parts: &Parts) -> String {
        let (method, path) = (&parts.method, Segments::from(parts.uri.clone()));
        match self {
            Self::Cluster(Some(id)) => format!("{method} /clusters/{id}/{}", path.raw(2)),
            Self::Cluster(None) | Self::Creation { .. } => format!("{method} {}", parts.uri.path()),
        }
    }

    /// Refuses an earlier answer to a caller who sees otherwise now, as a new request would be.
    fn check(&self, api: &ApiState, viewer: &Viewer) -> Result<(), Problem> {
        match self {
            Self::Creation { source, project } => {
                if viewer.current(api).source(source.as_str()).is_none() {
                    return Err(Problem::source_not_found(source.as_str()));
                }
                may_create_in(viewer, project.as_deref())
            }
            Self::Cluster(Some(id)) if viewer.sees_or_saw(api, id) => Ok(()),
            Self::Cluster(_) => Err(Problem::new(Code::ClusterNotFound)),
        }
    }
}

fn may_create_in(viewer: &Viewer, project: Option<&str>) -> Result<(), Problem> {
    if viewer.may_create_in(project) {
        return Ok(());
    }
    Err(Problem::new(Code::Forbidden)
        .with_detail("clusters can be created in the caller's own projects only")
        .with_field("project", "is none of the caller's projects", None))
}

/// Looks up what a write is about, and carries it out.
async fn act(
    api: &ApiState,
    parts: &Parts,
    asked: Asked,
    key: Option<&Key>,
) -> Result<Finished, Problem> {
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
        may_create_in(&viewer, spec.project.as_deref())?;
        let namesakes = api.named(&source, &spec.name);
        let write = Write::Create {
            source: source.clone(),
            spec: Box::new(spec),
            namesakes,
        };
        let outcome = api.live.write_under(key, write, || true).await;
        return Ok(finish(api, &viewer, outcome, &source, &kind));
    }
    let found = Found::locate(api, &viewer, &parts.uri)?;
    found.require(api, capability)?;
    let is_met = |view: &View| is_met(&parts.headers, view, &found.target.id);
    if !is_met(&found.snapshot) {
        return Err(Problem::new(Code::PreconditionFailed)
            .with_source(&found.target.source, &found.provider));
    }
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
    // Another write may have ended between the look above and this one's turn.
    let still = || is_met(&viewer.current(api));
    let outcome = api.live.write_under(key, write, still).await;
    let Found {
        target, provider, ..
    } = found;
    Ok(finish(api, &viewer, outcome, &target.source, &provider))
}

/// Whether a cluster is as the caller has read it, where that was asked for.
fn is_met(headers: &HeaderMap, view: &View, id: &ClusterId) -> bool {
    if !headers.contains_key(IF_MATCH) {
        return true;
    }
    let Some(place) = view.find(id) else {
        return false;
    };
    headers
        .get_all(IF_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || view.is_tag_of(place, tag))
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
            return keys::refusal(&problem, failure::ending(&failed));
        }
    };
    let mut headers = vec![(CACHE_CONTROL.to_string(), respond::NO_STORE.to_owned())];
    let mut add = |name: http::HeaderName, value: String| headers.push((name.to_string(), value));
    // What was done is shown from this generation on, here and at other gateways that share the inventory.
    if let Some(generation) = api.reliable_generation() {
        add(X_INVENTORY_GENERATION, generation.to_string());
    }
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
            keys::refusal(&Problem::new(Code::Internal), Ending::Final)
        }
    }
}
