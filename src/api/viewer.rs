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

use crate::domain::Reach;
use crate::inventory::View;

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
