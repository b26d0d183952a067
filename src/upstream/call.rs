//! One call to a vendor and what came back.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

/// Unreserved characters of RFC 3986; everything else in a segment or a query value is encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Path and query, relative to a source's base URL. It cannot name a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: String,
    query: String,
    names_one: bool,
}

impl Target {
    /// Begins with a fixed path such as `/v1/clusters`.
    pub fn new(path: &'static str) -> Self {
        Self {
            path: path.to_owned(),
            query: String::new(),
            names_one: false,
        }
    }

    /// Begins with a path that an operator configured.
    pub fn configured(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            query: String::new(),
            names_one: false,
        }
    }

    /// Adds one percent-encoded segment; `.` and `..` are encoded too, so that no id climbs out of its place.
    #[must_use]
    pub fn segment(mut self, segment: &str) -> Self {
        self.names_one = true;
        self.path.push('/');
        if matches!(segment, "." | "..") {
            self.path.push_str(&segment.replace('.', "%2E"));
        } else {
            self.path.extend(utf8_percent_encode(segment, UNRESERVED));
        }
        self
    }

    /// Adds a fixed tail such as `/nodepools`.
    #[must_use]
    pub fn then(mut self, tail: &'static str) -> Self {
        self.path.push_str(tail);
        self
    }

    /// Adds one query parameter, percent-encoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query
            .push(if self.query.is_empty() { '?' } else { '&' });
        self.query.extend(utf8_percent_encode(name, UNRESERVED));
        self.query.push('=');
        self.query.extend(utf8_percent_encode(value, UNRESERVED));
        self
    }

    /// Path and query as they go on the wire, beginning with a slash.
    pub fn as_wire(&self) -> String {
        format!("{}{}", self.path, self.query)
    }
}

/// Marks a request that reads one thing.
///
/// That one thing cannot be read says little of the rest of its vendor.
#[derive(Debug, Clone, Copy)]
pub(super) struct OfOne;

/// One call to a vendor, before authorization.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it does, as a constant for logs and metrics: `list_clusters`, `find_cluster`, …
    pub operation: &'static str,
    /// HTTP method.
    pub method: Method,
    /// Where it goes.
    pub target: Target,
    /// Headers beyond what the stack adds (`Authorization`, `User-Agent`, `Accept`, `Accept-Encoding`).
    pub headers: HeaderMap,
    /// JSON body.
    pub body: Option<Bytes>,
    /// Whether repeating it does no harm. True of reads, also of JFrog's reading POST; never of a write.
    pub repeatable: bool,
}

impl Call {
    /// Whether it reads one thing: its target names it by a segment of its own.
    pub(super) fn is_of_one(&self) -> bool {
        self.repeatable && self.target.names_one
    }

    /// A read.
    pub fn get(operation: &'static str, target: Target) -> Self {
        Self {
            operation,
            method: Method::GET,
            target,
            headers: HeaderMap::new(),
            body: None,
            repeatable: true,
        }
    }

    /// A POST that only reads, so that it may be repeated.
    pub fn reading_post(operation: &'static str, target: Target, body: &impl Serialize) -> Self {
        let body = serde_json::to_vec(body).unwrap_or_default();
        Self {
            operation,
            method: Method::POST,
            target,
            headers: HeaderMap::new(),
            body: Some(body.into()),
            repeatable: true,
        }
    }

    /// A write: sent once, never repeated.
    pub fn write(operation: &'static str, method: Method, target: Target) -> Self {
        Self {
            operation,
            method,
            target,
            headers: HeaderMap::new(),
            body: None,
            repeatable: false,
        }
    }

    /// Adds a JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).ok().map(Bytes::from);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// A whole answer: its body was read to the end, decompressed, and is within the cap.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers.
    pub headers: HeaderMap,
    /// The decompressed body.
    pub body: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_ids_stay_one_segment() {
        for (id, wire) in [
            ("../../admin", "/v1/clusters/..%2F..%2Fadmin"),
            ("..", "/v1/clusters/%2E%2E"),
            ("a\r\nHost: b", "/v1/clusters/a%0D%0AHost%3A%20b"),
            ("@evil.example", "/v1/clusters/%40evil.example"),
            ("%0a", "/v1/clusters/%250a"),
            ("a?b#c", "/v1/clusters/a%3Fb%23c"),
        ] {
            assert_eq!(Target::new("/v1/clusters").segment(id).as_wire(), wire);
        }
    }

    #[test]
    fn query_values_are_encoded() {
        let target = Target::new("/projects")
            .query("page[number]", "1")
            .query("q", "a&b=c");
        assert_eq!(target.as_wire(), "/projects?page%5Bnumber%5D=1&q=a%26b%3Dc");
    }
}
