//! What every answer tells a browser not to do with it.

use std::time::Duration;

use http::header::{
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What may not be done with an answer by pages, whatever it is.
///
/// It is what it says it is, its address is told to nobody, it stands in no frame, and other sites load it only by asking as
/// pages do that may (CORS).
pub(super) static HEADERS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// The headers that every answer has.
pub(super) struct Armor {
    /// That it may be asked over TLS only, for as long as this says.
    hsts: Option<HeaderValue>,
}

impl Armor {
    /// Has browsers keep to TLS for so long, where there is any to keep to.
    pub(super) fn new(hsts: Option<Duration>) -> Self {
        let value = |time: Duration| HeaderValue::try_from(format!("max-age={}", time.as_secs()));
        Self {
            hsts: hsts.and_then(|time| value(time).ok()),
        }
    }

    /// Gives an answer the headers.
    pub(super) fn put_on(&self, headers: &mut HeaderMap) {
        for (name, value) in &HEADERS {
            headers.insert(name, value.clone());
        }
        if let Some(hsts) = &self.hsts {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }
}
