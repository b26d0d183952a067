//! Path parameters.

use std::borrow::Cow;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::Uri;
use http::request::Parts;
use percent_encoding::percent_decode_str;

/// The segments of the request's path, as they were sent.
///
/// The router's own extractor decodes them, which would change a cluster's id: its escapes are part of the id.
#[derive(Debug, Clone)]
pub struct Segments(Uri);

impl Segments {
    /// The segment at a place, counted from 0, as it was sent; empty when there is none.
    pub fn raw(&self, place: usize) -> &str {
        self.0
            .path()
            .trim_start_matches('/')
            .split('/')
            .nth(place)
            .unwrap_or_default()
    }

    /// The segment at a place without its escapes; `None` when it is not UTF-8.
    pub fn decoded(&self, place: usize) -> Option<Cow<'_, str>> {
        percent_decode_str(self.raw(place)).decode_utf8().ok()
    }

    /// The query as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.0.query()
    }
}

impl From<Uri> for Segments {
    fn from(uri: Uri) -> Self {
        Self(uri)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Segments {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.uri.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_read_raw_and_decoded() {
        let segments = Segments::from(Uri::from_static("/clusters/a:b%2Fc%ff?x=1"));
        assert_eq!(segments.raw(1), "a:b%2Fc%ff");
        assert_eq!(segments.decoded(0).as_deref(), Some("clusters"));
        assert_eq!(segments.decoded(1), None);
        assert_eq!(segments.raw(7), "");
    }
}
