//! What the server and the five vendors speak in: a call, an answer, and the trait between them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::fault::Fault;
use super::fleet::{Arrangement, Dice, Members};
use super::{Example, Truth};

/// What a vendor is built from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) seed: u64,
    pub(super) anchor: Timestamp,
    pub(super) quirks: bool,
    /// How many clusters there were in the beginning; what does not grow with the fleet is measured by it.
    pub(super) initial: usize,
}

/// One vendor's API, without any transport: a function from calls to answers.
pub(super) trait Api: Send + Sync + 'static {
    /// The credential it accepts.
    fn token(&self) -> &str;

    /// The media type of its JSON.
    fn content_type(&self) -> &'static str {
        "application/json"
    }

    /// The part of the vendor's documented base address that follows the host.
    fn base_path(&self) -> &'static str {
        ""
    }

    /// The organization a caller may have to name.
    fn organization(&self) -> Option<&str> {
        None
    }

    /// Switches it knows, and how they stand in the beginning.
    fn features(&self) -> &'static [(&'static str, bool)] {
        &[]
    }

    /// All ids a cluster is known by, the native one first.
    fn ids(&self, serial: u64) -> Vec<String>;

    fn arrange(&self, alive: &[u64], revision: u64) -> Arrangement;

    fn truth(&self, serial: u64, revision: u64) -> Truth;

    /// What a path is, whoever asks and whether or not there is such a thing.
    fn kind(&self, call: &Call) -> Kind;

    fn authorized(&self, call: &Call) -> bool {
        call.bearer().is_some_and(|token| token == self.token())
    }

    /// Answers a call that was let in.
    fn answer(&self, call: &Call, kind: Kind) -> Answer;

    /// Does what a call of [`Scope::Write`] asks for, and answers it.
    fn write(&self, call: &Call, kind: Kind, fleet: &dyn Fleet) -> Answer {
        let _ = fleet;
        self.answer(call, kind)
    }

    /// Moves all work that goes on by one step, and tells how much of it has not ended.
    fn advance(&self) -> usize {
        0
    }

    /// Clusters of which work has left nothing since this was last asked.
    fn gone(&self) -> Vec<u64> {
        Vec::new()
    }

    /// What a caller of the gateway says to make a cluster of this name here, and to change it.
    fn example(&self, _name: &str) -> Option<Example> {
        None
    }

    /// The vendor's own words for a failure.
    fn problem(&self, call: &Call, problem: Problem) -> Answer;

    /// What an older generation or draft would have answered in place of `answer`.
    fn legacy(&self, call: &Call, answer: Answer) -> Answer;

    /// What a vendor tells of the allowance on each good answer.
    fn allowance(&self, _allowance: Allowance) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// What a write may do to the clusters of a vendor.
pub(super) trait Fleet {
    /// Adds a cluster and tells its number; `born` hears of it before anybody can ask for it.
    fn add(&self, born: &dyn Fn(u64)) -> u64;

    /// Takes a cluster away.
    fn remove(&self, serial: u64);

    /// Puts the lists in order anew, as after a change of name.
    fn rearrange(&self);
}

/// What kind of endpoint a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) scope: Scope,
}

impl Kind {
    pub(super) const UNKNOWN: Self = Self::other("unknown");

    pub(super) const fn list(name: &'static str) -> Self {
        Self {
            name,
            scope: Scope::List,
        }
    }

    pub(super) const fn detail(name: &'static str) -> Self {
        Self {
            name,
            scope: Scope::Detail,
        }
    }

    pub(super) const fn other(name: &'static str) -> Self {
        Self {
            name,
            scope: Scope::Other,
        }
    }

    pub(super) const fn open(name: &'static str) -> Self {
        Self {
            name,
            scope: Scope::Open,
        }
    }

    pub(super) const fn secret(name: &'static str) -> Self {
        Self {
            name,
            scope: Scope::Secret,
        }
    }

    pub(super) const fn write(name: &'static str) -> Self {
        Self {
            name,
            scope: Scope::Write,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A list of clusters, or one that leads to them.
    List,
    /// One cluster.
    Detail,
    Other,
    /// Answered without a credential.
    Open,
    /// Hands out a credential: a reader of the inventory never calls it.
    Secret,
    /// Changes something: a reader of the inventory never calls it.
    Write,
}

/// Failures every vendor has words for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    BadRequest,
    Unauthorized,
    Expired,
    Forbidden,
    NotFound,
    /// Over the allowance, with the time until there is more, if the vendor is to say it.
    TooMany(Option<Duration>),
    Internal,
    Unavailable,
}

/// How much of a quota is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) resets_in: Duration,
}

/// One request, taken apart.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) parts: Parts,
    /// Path segments, percent-decoded, without empty ones.
    pub(super) segments: Vec<String>,
    pub(super) trailing_slash: bool,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// The fault this call runs into, if any.
    pub(super) fault: Option<Fault>,
    /// How long the work takes that this call begins; none for work that only moves by [`Api::advance`].
    pub(super) pace: Option<Duration>,
    /// Counts all requests of a vendor.
    pub(super) number: u64,
    pub(super) members: Arc<Members>,
    pub(super) features: Arc<BTreeMap<&'static str, bool>>,
    /// Base address of the host that must never be called.
    pub(super) canary: Arc<str>,
}

impl Call {
    pub(super) fn is(&self, method: &http::Method) -> bool {
        self.parts.method == *method
    }

    /// The segments as a slice to match on.
    pub(super) fn path(&self) -> Vec<&str> {
        self.segments.iter().map(String::as_str).collect()
    }

    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    }

    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }

    pub(super) fn feature(&self, name: &str) -> bool {
        self.features.get(name).copied().unwrap_or(false)
    }

    pub(super) fn serial(&self, id: &str) -> Option<u64> {
        self.members.ids.get(id).copied()
    }

    pub(super) fn revision(&self) -> u64 {
        self.members.revision
    }

    /// The clusters a list shows under the present fault.
    pub(super) fn visible<'a>(&self, order: &'a [u64]) -> Cow<'a, [u64]> {
        match self.fault {
            Some(Fault::SuddenlyEmpty) => Cow::Borrowed(&[]),
            Some(Fault::PartialList) => Cow::Owned(order.iter().copied().step_by(2).collect()),
            _ => Cow::Borrowed(order),
        }
    }

    /// Whether lists begin again at their first page, whatever is asked for.
    pub(super) fn restarts(&self) -> bool {
        matches!(self.fault, Some(Fault::CursorLoop | Fault::SamePage))
    }

    /// The cursor that was sent, as far as the present fault lets it count.
    pub(super) fn cursor<'a>(&self, sent: Option<&'a str>) -> Option<&'a str> {
        let sent = sent.filter(|cursor| !cursor.is_empty() && !self.restarts())?;
        Some(
            sent.rsplit_once("cursor=")
                .map_or(sent, |(_, cursor)| cursor),
        )
    }

    /// The cursor to send on, given the right one.
    pub(super) fn next(&self, right: Option<String>) -> Option<String> {
        match self.fault {
            Some(Fault::CursorLoop) => Some("bG9vcA".to_owned()),
            Some(Fault::SamePage) => Some(format!("{:016x}", Dice::new(&[self.number]).next())),
            Some(Fault::MissingCursor) => None,
            Some(Fault::ForeignNext) => {
                right.map(|cursor| format!("{}/next?cursor={cursor}", self.canary))
            }
            _ => right,
        }
    }

    /// Whether a list says there is more, given the right answer.
    pub(super) fn more(&self, right: bool) -> bool {
        right
            || matches!(
                self.fault,
                Some(Fault::CursorLoop | Fault::SamePage | Fault::MissingCursor)
            )
    }

    /// The total a list without cursors gives: the loops of these never end because the total runs ahead.
    pub(super) fn total(&self, right: usize) -> usize {
        if self.more(false) {
            right + 1_000_000
        } else {
            right
        }
    }

    /// Where a list without cursors begins.
    pub(super) fn start(&self, asked: usize) -> usize {
        if self.restarts() { 0 } else { asked }
    }
}

/// One answer, before faults of the transport.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) payload: Payload,
    /// JSON pointers to the rows of a list or to the object of a detail; the first is the one everything hangs on.
    pub(super) rows: &'static [&'static str],
    /// Whether this is the first page of a list.
    pub(super) first_page: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Payload {
    Json(Value),
    Html(&'static str),
    Nothing,
}

impl Answer {
    pub(super) const fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload: Payload::Json(body),
            rows: &[],
            first_page: false,
        }
    }

    pub(super) const fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    /// An answer without a body.
    pub(super) const fn nothing(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload: Payload::Nothing,
            rows: &[],
            first_page: false,
        }
    }

    pub(super) const fn html(status: u16, text: &'static str) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload: Payload::Html(text),
            rows: &[],
            first_page: false,
        }
    }

    pub(super) const fn rows(mut self, rows: &'static [&'static str]) -> Self {
        self.rows = rows;
        self
    }

    pub(super) const fn first(mut self, first: bool) -> Self {
        self.first_page = first;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn body(&self) -> Value {
        match &self.payload {
            Payload::Json(value) => value.clone(),
            Payload::Html(_) | Payload::Nothing => json!(null),
        }
    }
}

impl Call {
    pub(super) fn read(parts: Parts, body: Bytes) -> Self {
        let path = parts.uri.path();
        let segments = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(decode)
            .collect();
        let query = parts
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (
                    decode(&key.replace('+', " ")),
                    decode(&value.replace('+', " ")),
                )
            })
            .collect();
        let trailing_slash = path.len() > 1 && path.ends_with('/');
        Self {
            parts,
            segments,
            trailing_slash,
            query,
            body,
            fault: None,
            pace: None,
            number: 0,
            members: Arc::default(),
            features: Arc::default(),
            canary: Arc::from(""),
        }
    }

    /// Whether the path, once decoded, tries to leave the place it was meant for.
    pub(super) fn is_injected(&self) -> bool {
        let path = decode(self.parts.uri.path());
        path.contains("../") || path.contains(['\r', '\n', '@'])
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
