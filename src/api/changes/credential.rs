//! Who watches is asked again who it is from time to time, since a stream outlives a key.

use std::sync::Arc;

use axum::extract::Request;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;

use crate::access::{Access, Authentication, Principal, Scope};

use super::super::state::ApiState;

/// What a caller showed when the stream began, and who that was.
pub(super) struct Credential {
    access: Arc<Access>,
    shown: HeaderMap,
    was: Arc<Principal>,
}

impl Credential {
    /// What a request shows; `None` where nobody has to show anything.
    pub(super) fn of(state: &ApiState, request: &Request) -> Option<Self> {
        let access = state.access.as_ref().filter(|access| access.is_guarded())?;
        let was = request.extensions().get::<Arc<Principal>>()?;
        let mut shown = HeaderMap::new();
        for value in request.headers().get_all(AUTHORIZATION) {
            let mut value = value.clone();
            value.set_sensitive(true);
            shown.append(AUTHORIZATION, value);
        }
        Some(Self {
            access: Arc::clone(access),
            shown,
            was: Arc::clone(was),
        })
    }

    /// Whether it still stands for somebody who may read, and sees as much as before. Where that cannot be told, it does not.
    pub(super) async fn is_good(&self) -> bool {
        let now = Timestamp::now();
        let told = match self.access.authenticate(&self.shown, now) {
            Authentication::Done(told) => told,
            Authentication::Ask(question) => self.access.ask(question, now).await,
        };
        told.is_ok_and(|is| is.may(Scope::ClustersRead) && is.reach == self.was.reach)
    }
}
