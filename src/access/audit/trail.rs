//! What is asked of an audit that can be read back, and what it answers with.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Action, Shelf};

/// Where the audit of a process is.
#[derive(Clone)]
pub enum Whereabouts {
    /// On standard output, and not to be had from there.
    Stdout,
    /// In a file, which others read.
    File,
    /// Where it can be read.
    Shelf(Arc<dyn Shelf>),
}

/// Which events are wanted. What is `None` leaves nothing out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only of this time or later, to the microsecond.
    pub since: Option<Timestamp>,
    /// Only of before this time, to the microsecond.
    pub until: Option<Timestamp>,
    /// Only of the key of this id, or of the tokens with this subject.
    pub actor: Option<String>,
    /// Only of this kind.
    pub action: Option<Action>,
    /// Only about this, as the path named it.
    pub target: Option<String>,
    /// Only those that come after this one: the older ones.
    pub before: Option<Place>,
    /// So many at most.
    pub most: usize,
}

/// The place of an event among all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When it was, in microseconds since 1970.
    pub at: i64,
    /// Tells those of one time apart.
    pub id: i64,
}

/// An event that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its place.
    pub place: Place,
    /// What happened: the name of an [`Action`], perhaps of a later version.
    pub action: String,
    /// The id of the key, or the subject of the token.
    pub actor: Option<String>,
    /// What it is about, as the path named it.
    pub target: Option<String>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The request, as in the access log.
    pub request_id: Option<String>,
    /// The event as it was written: a JSON object.
    pub line: String,
}

/// The audit cannot be read now; the code is one of the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit cannot be read now")]
pub struct Unreadable(pub &'static str);
