//! How far a caller sees, and the inventory so far as it does.
//!
//! Handlers get at the inventory through a [`Viewer`] alone; a test of the architecture holds them to it. What it gives them is
//! a snapshot of which nothing else can be read, so no handler decides what is hidden: a foreign cluster or source is missing
//! like one that never was, in lists, sums, problems, metrics and tags alike.
//!
//! # What a limited caller can still tell
//!
//! - The generation and `as_of` count up with every publication, also of sources that it does not see, and with them the entity
//!   tags of its lists. That something was read can be told, not what or where.
//! - That a cluster was moved to a project that is not seen, or from there, is told as that it is gone, or new: no more can be
//!   told of it than by asking for it before and after.
//! - `/metrics` counts the requests of everybody, by route.
//! - How many walks others have under way can hasten a `CURSOR_EXPIRED`.
//! - With a limit of projects, the sources it may see are named even where they hold nothing for it, with their state and errors:
//!   else nobody could tell absence from not knowing. An item that could not be read has no known project, so it makes the answer
//!   incomplete for everybody who sees the source. Counts of the whole listing, of its pages and of calls to the vendor are null.
//! - Somebody who may see a project sees it in every source that they may see, under its id or its name: where vendors use the
//!   same names for different things, limit the sources as well.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::Extensions;
use http::request::Parts;

use crate::domain::{ClusterId, Reach, SourceName};
use crate::inventory::{Interest, Moment, Selection, Snapshot, View};
use crate::live::Known;

use super::state::ApiState;

/// How far a caller sees. Whoever checks who asks puts it into the request's extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer(Option<Arc<Reach>>);

impl Viewer {
    /// A caller who sees so far.
    pub fn new(reach: Arc<Reach>) -> Self {
        Self((!reach.is_all()).then_some(reach))
    }

    /// Who sends a request. Of whom nothing is known sees everything or nothing, as the settings say.
    pub(super) fn of(extensions: &Extensions, state: &ApiState) -> Self {
        match extensions.get::<Self>() {
            Some(viewer) => viewer.clone(),
            None if state.settings.open => Self(None),
            None => Self(Some(Arc::new(Reach::NOTHING))),
        }
    }

    /// What the caller sees now.
    pub(super) fn current(&self, state: &ApiState) -> View {
        View::new(state.whole().current(), self.reach())
    }

    /// What the caller sees of one generation, if it is the current one or kept for a walk.
    pub(super) fn at(&self, state: &ApiState, generation: u64) -> Option<View> {
        let whole = state.whole().at(generation)?;
        Some(View::new(whole, self.reach()))
    }

    /// What the caller sees of an account of an earlier generation.
    pub(super) fn view(&self, account: Arc<Snapshot>) -> View {
        View::new(account, self.reach())
    }

    /// Whether a cluster that is made in a project, or in none, is one that the caller sees.
    pub(super) fn may_create_in(&self, project: Option<&str>) -> bool {
        match &self.reach().projects {
            None => true,
            Some(projects) => project.is_some_and(|project| projects.contains(project)),
        }
    }

    /// Whether the caller sees a source, also one that is no more.
    pub(super) fn sees_source(&self, source: &SourceName) -> bool {
        self.reach().sees(source)
    }

    /// Whether the caller sees what belongs to a project of this id and this name; `[]` is what belongs to none.
    pub(super) fn sees_projects(&self, projects: &[String]) -> bool {
        let seen = self.reach().projects.as_ref();
        seen.is_none_or(|seen| projects.iter().any(|project| seen.contains(project)))
    }

    /// Whether the caller sees an operation: its source, and its cluster. One of a cluster that is not known, or is gone, is seen
    /// by who sees all of its source.
    pub(super) fn sees_operation(&self, view: &View, known: &Known) -> bool {
        if view.source(known.source.as_str()).is_none() {
            return false;
        }
        let cluster = known.cluster.as_ref();
        self.sees_unplaced() || cluster.is_some_and(|id| view.find(id).is_some())
    }

    /// Whether the caller sees operations of which no cluster is known. Vendors do not say which cluster one is of.
    pub(super) fn sees_unplaced(&self) -> bool {
        self.reach().projects.is_none()
    }

    /// Stands for how far the caller sees.
    pub(super) fn fingerprint(&self) -> u128 {
        self.reach().fingerprint()
    }

    /// Whether a cluster is seen, or was before it went: what is gone is seen by who sees all of its source.
    pub(super) fn sees_or_saw(&self, state: &ApiState, id: &ClusterId) -> bool {
        let whole = state.whole().current();
        let is_gone = whole.find(id).is_none();
        let view = View::new(whole, self.reach());
        let source = id.as_str().split_once(':').map(|(source, _)| source);
        let sees_source = source.is_some_and(|source| view.source(source).is_some());
        view.find(id).is_some() || (is_gone && sees_source && self.sees_unplaced())
    }

    /// The changes that the caller learns of who wants to know this.
    pub(super) fn select(&self, moment: &Moment, interest: &Interest) -> Selection {
        moment.select(interest, self.reach())
    }

    /// Whether nothing is hidden from the caller.
    pub(super) fn sees_everything(&self) -> bool {
        self.reach().is_all()
    }

    fn reach(&self) -> &Reach {
        self.0.as_deref().unwrap_or(&Reach::ALL)
    }
}

impl FromRequestParts<ApiState> for Viewer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions, state))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::response::Response;
    use http::Request;
    use serde_json::json;

    use super::super::testing::{app, json, reports, send, send_request, state_of, text};
    use super::super::{Settings, router};
    use super::*;

    async fn ask(app: &axum::Router, reach: Reach, target: &str) -> Response {
        let mut request = Request::get(target).body(Body::empty()).unwrap();
        let viewer = Viewer::new(Arc::new(reach));
        request.extensions_mut().insert(viewer);
        send_request(app, request).await
    }

    fn of_projects() -> Reach {
        Reach {
            sources: None,
            projects: Some(BTreeSet::from(["p".to_owned()])),
        }
    }

    #[tokio::test]
    async fn counts_of_a_whole_source_are_null_for_who_sees_a_part_of_it() {
        let mut reports = reports();
        reports[1].omitted = 1;
        let app = router(state_of(reports, Settings::default()));
        let whole = json(send(&app, "GET", "/sources/main").await).await;
        assert_eq!(whole["attempts"][0]["pages"], 3);
        let body = json(ask(&app, of_projects(), "/sources/main").await).await;
        for pointer in [
            "/rejected",
            "/omitted",
            "/warnings",
            "/upstream",
            "/attempts/0/pages",
            "/attempts/0/clusters",
            "/attempts/0/rejected",
        ] {
            assert_eq!(body.pointer(pointer), Some(&json!(null)), "{pointer}");
        }
        assert_eq!(body["clusters"], 0);
        assert_eq!(body["state"], whole["state"]);
        assert_eq!(body["attempts"][0]["outcome"], "OK");
        let list = json(ask(&app, of_projects(), "/clusters").await).await;
        assert_eq!(
            list["complete"], false,
            "of what is unread nobody knows the project"
        );
        let main = &list["sources"][1];
        assert_eq!(
            (&main["clusters"], &main["omitted"]),
            (&json!(0), &json!(null))
        );
        let metrics = text(ask(&app, of_projects(), "/metrics").await).await;
        for name in [
            "rejected_items",
            "upstream_requests_total",
            "quota_remaining",
        ] {
            let series = format!("clustergate_source_{name}{{");
            assert!(!metrics.contains(&series), "{metrics}");
        }
        assert!(
            !metrics.contains("omitted_items{source=\"main\""),
            "{metrics}"
        );
        assert!(metrics.contains("omitted_items{source=\"broken\",provider=\"latitude\"} 0"));
    }

    #[tokio::test]
    async fn of_whom_nothing_is_known_sees_everything_only_where_the_door_is_open() {
        let closed = Settings {
            open: false,
            ..Settings::default()
        };
        let closed = router(state_of(reports(), closed));
        for target in [
            "/readyz?verbose",
            "/metrics",
            "/sources",
            "/providers",
            "/clusters",
        ] {
            let open = text(send(&app(), "GET", target).await).await;
            assert!(open.contains("\"broken\""), "{target}: {open}");
            let nothing = text(send(&closed, "GET", target).await).await;
            assert!(!nothing.contains("\"broken\""), "{target}: {nothing}");
            let all = text(ask(&closed, Reach::ALL, target).await).await;
            assert!(all.contains("\"broken\""), "{target}: {all}");
        }
        let health = json(send(&closed, "GET", "/readyz?verbose").await).await;
        assert_eq!(health["checks"], json!([]));
    }

    #[tokio::test]
    async fn a_limited_caller_sees_its_sources() {
        let only = Reach {
            sources: Some(BTreeSet::from([SourceName::new("main").unwrap()])),
            projects: None,
        };
        let body = json(ask(&app(), only.clone(), "/sources").await).await;
        assert_eq!(body["items"].as_array().unwrap().len(), 1);
        assert_eq!(body["items"][0]["source"], "main");
        assert_eq!(body["items"][0]["attempts"][0]["pages"], 3);
        let body = json(ask(&app(), only, "/providers/latitude").await).await;
        assert_eq!(body["sources"], json!(["main"]));
    }
}
