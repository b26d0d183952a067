//! Pages of lists that are read from where they are kept, with the place of the last item in the token of the next page.

use axum::response::Response;
use http::header::LINK;
use jiff::Timestamp;
use serde::Serialize;

use super::changes::link;
use super::clusters::refuse;
use super::problem::Problem;
use super::query::Params;
use super::respond;
use crate::inventory::query::Position;
use crate::inventory::token::{PageToken, TokenError};

/// How one list is read in pages.
pub(super) struct Paging {
    /// Items on a page.
    pub(super) most: usize,
    /// What tokens are bound to.
    pub(super) canonical: String,
}

impl Paging {
    /// How many items to read: one more tells whether there is another page.
    pub(super) fn wanted(&self) -> usize {
        self.most + 1
    }

    /// The place that the request's cursor means, if it has one.
    pub(super) fn place<T>(
        &self,
        params: &Params<'_>,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(cursor) = params.one("cursor")? else {
            return Ok(None);
        };
        let token =
            PageToken::decode(cursor, &self.canonical, 0, Timestamp::now()).map_err(refuse)?;
        let place = read(&token.position.id);
        place.map(Some).ok_or_else(|| refuse(TokenError::Invalid))
    }

    /// Leaves the items of this page; answers with the token of the next one, if there is one.
    pub(super) fn cut<T>(
        &self,
        found: &mut Vec<T>,
        place: impl FnOnce(&T) -> String,
    ) -> Option<String> {
        let has_more = found.len() > self.most;
        found.truncate(self.most);
        let last = found.last().filter(|_| has_more)?;
        Some(self.token(place(last)))
    }

    /// The token of the page after a place. Callers can read it: it must name nothing that they may not see.
    pub(super) fn token(&self, place: String) -> String {
        let position = Position {
            values: Vec::new(),
            id: place,
        };
        let token = PageToken {
            generation: 0,
            position,
        };
        token.encode(&self.canonical, Timestamp::now())
    }
}

/// Answers with a page, and names the next one.
pub(super) fn answer(
    list: &impl Serialize,
    path: &str,
    raw: &str,
    next: Option<&str>,
) -> Result<Response, Problem> {
    let link = link(path, raw, next)?;
    let mut response = respond::json(list, respond::NO_STORE)?;
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}
