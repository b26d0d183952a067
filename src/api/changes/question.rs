//! What is asked of the changes: which ones, and since when.

use jiff::Timestamp;

use crate::inventory::query::Query;
use crate::inventory::{ChangeKind, Interest, Mark, Snapshot};

use super::super::code::Code;
use super::super::generation::is_possible;
use super::super::params;
use super::super::problem::Problem;
use super::super::query::Params;
use super::super::state::ApiState;
use super::walk::unavailable;

/// Parameters beside the filters that choose changes.
pub(super) const CHOOSING: [&str; 3] = ["kind", "noise", "since"];

/// Reads the filters, `kind` and `noise`.
pub(super) fn interest(
    params: &Params<'_>,
    snapshot: &Snapshot,
    state: &ApiState,
) -> Result<Interest, Problem> {
    Ok(Interest {
        filter: params::filter(params, snapshot, state.catalog)?,
        kinds: kinds(params)?,
        noise: params.flag("noise")?,
    })
}

/// Reads `kind`.
pub(in crate::api) fn kinds(params: &Params<'_>) -> Result<Vec<ChangeKind>, Problem> {
    let mut kinds = Vec::new();
    for word in params.all("kind").flat_map(|words| words.split(',')) {
        let kind = ChangeKind::parse(word.trim()).ok_or_else(|| {
            Problem::not_one_of("kind", word, &ChangeKind::ALL.map(ChangeKind::as_str))
        })?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.sort_unstable();
    Ok(kinds)
}

/// What a page token is bound to.
pub(super) fn canonical(interest: &Interest, snapshot: &Snapshot) -> String {
    let query = Query {
        filter: interest.filter.clone(),
        ..Query::default()
    };
    let filters = snapshot.canonical(&query);
    format!("changes;{filters};{:?};{}", interest.kinds, interest.noise)
}

/// Where somebody wants to go on.
pub(super) enum Since {
    /// From a place.
    Known(Mark),
    /// From a place that is not known here any more, or never was.
    Unknown,
}

/// Finds the place after which changes are wanted: a generation, a place in one, or a time.
pub(super) async fn since(
    name: &str,
    text: &str,
    state: &ApiState,
    until: u64,
    noise: bool,
) -> Result<Since, Problem> {
    if let Some(mark) = Mark::parse(text).filter(|mark| is_possible(mark.known(), state)) {
        return Ok(if mark > Mark::after(until) {
            Since::Unknown
        } else {
            Since::Known(mark)
        });
    }
    let at: Timestamp = text.parse().map_err(|_| {
        Problem::invalid_parameter(
            name,
            "must be the generation of an answer, or an RFC 3339 time",
        )
    })?;
    if let Some(generation) = state.feed().generation_at(at, until, noise) {
        return Ok(Since::Known(Mark::after(generation)));
    }
    let older = match &state.past {
        // What changes all the time is kept nowhere else.
        Some(past) if !noise => past.generation_at(at).await.map_err(unavailable)?,
        _ => None,
    };
    Ok(older.map_or(Since::Unknown, |generation| {
        Since::Known(Mark::after(generation))
    }))
}

/// The generation after which everything is known that changed.
pub(super) async fn complete_since(state: &ApiState, noise: bool) -> u64 {
    let floor = state.feed().floor(noise);
    match &state.past {
        Some(past) if !noise => past.floor().await.unwrap_or(floor).min(floor),
        _ => floor,
    }
}

/// What is said where not everything is known that was asked for.
pub(in crate::api) async fn expired(state: &ApiState, noise: bool) -> Problem {
    let floor = complete_since(state, noise).await;
    Problem::new(Code::ChangesExpired)
        .with_detail(format!(
            "what changed after generation {floor} is known: list the clusters anew and go on from there"
        ))
        .with_complete_since(floor)
}
