//! What every answer tells a browser not to do with it.

use std::time::Duration;

use http::header::{STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue};

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
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(hsts) = &self.hsts {
            headers.insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
    }
}
