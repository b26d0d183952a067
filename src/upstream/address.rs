//! Where a source's vendor is, and how a call becomes a request to it and to nobody else.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use url::{Host, Url};

use super::{Call, FailureKind, StackError, UpstreamError};

const AGENT: &str = concat!("clustergate/", env!("CARGO_PKG_VERSION"));

/// A checked base URL.
#[derive(Debug, Clone)]
pub(super) struct Address {
    base: Url,
}

impl Address {
    /// Takes https, and plain http to loopback only.
    pub(super) fn new(base: Url) -> Result<Self, StackError> {
        let host = base.host().ok_or(StackError::BaseUrl)?;
        let bare = base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !bare {
            return Err(StackError::BaseUrl);
        }
        match base.scheme() {
            "https" => {}
            "http" if is_loopback(&host) => {}
            "http" => return Err(StackError::PlainHttp),
            _ => return Err(StackError::BaseUrl),
        }
        Ok(Self { base })
    }

    pub(super) fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// What an operator may see of it.
    pub(super) fn as_str(&self) -> &str {
        self.base.as_str()
    }

    /// The request for a call, complete but for its authorization.
    pub(super) fn request(&self, call: &Call) -> Result<Request<Bytes>, UpstreamError> {
        let url = self.locate(&call.target.as_wire()).ok_or_else(|| {
            let mut error = UpstreamError::new(FailureKind::Rejected)
                .with_text("the path cannot be sent as it is written");
            error.attempts = 0;
            error
        })?;
        let mut request = Request::new(call.body.clone().unwrap_or_default());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = url;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if call.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.extend(call.headers.clone());
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, br, zstd"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        Ok(request)
    }

    fn locate(&self, wire: &str) -> Option<http::Uri> {
        let path = wire.split(['?', '#']).next().unwrap_or_default();
        // URL parsers read `%2E%2E` as `..` too, and a backslash as a slash: such a path would arrive as another one.
        let rewritten = wire.chars().any(char::is_control)
            || wire.contains(['\\', '#'])
            || path.split('/').any(is_dot_segment);
        if rewritten {
            return None;
        }
        let base = self.base.as_str().trim_end_matches('/');
        let slash = if wire.starts_with('/') { "" } else { "/" };
        let url = Url::parse(&format!("{base}{slash}{wire}")).ok()?;
        let same_place = url.origin() == self.base.origin() && url.username().is_empty();
        if !same_place {
            return None;
        }
        url.as_str().parse().ok()
    }
}

fn is_dot_segment(segment: &str) -> bool {
    matches!(
        segment.to_ascii_lowercase().replace("%2e", ".").as_str(),
        "." | ".."
    )
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Target;

    fn address(base: &str) -> Result<Address, StackError> {
        Address::new(base.parse().unwrap())
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for base in [
            "https://api.example",
            "https://10.0.0.1/v1/",
            "http://localhost:1",
            "http://127.0.0.1:1",
            "http://[::1]:1",
        ] {
            assert!(address(base).is_ok(), "{base}");
        }
        for base in [
            "http://api.example",
            "http://10.0.0.1",
            "http://0.0.0.0",
            "http://localhost.evil.example",
        ] {
            assert!(
                matches!(address(base), Err(StackError::PlainHttp)),
                "{base}"
            );
        }
        for base in [
            "ftp://api.example",
            "data:text/plain,x",
            "https://user@api.example",
            "https://api.example?x=1",
            "https://api.example#x",
        ] {
            assert!(matches!(address(base), Err(StackError::BaseUrl)), "{base}");
        }
    }

    #[test]
    fn a_base_url_may_have_a_path_and_a_slash() {
        for (base, uri) in [
            ("https://api.example", "https://api.example/v1/a%2Fb?q=1"),
            ("https://api.example/", "https://api.example/v1/a%2Fb?q=1"),
            (
                "https://api.example/x/y/",
                "https://api.example/x/y/v1/a%2Fb?q=1",
            ),
        ] {
            let target = Target::new("/v1").segment("a/b").query("q", "1");
            let request = address(base)
                .unwrap()
                .request(&Call::get("read", target))
                .unwrap();
            assert_eq!(request.uri().to_string(), uri);
        }
    }

    #[test]
    fn no_target_leaves_the_base_url() {
        let address = address("https://api.example/base").unwrap();
        for path in [
            "/v1/../../admin",
            "/v1/%2e%2E/admin",
            "/v1/.",
            "/a\\..\\b",
            "/a#b",
            "/a\tb",
        ] {
            let error = address
                .request(&Call::get("read", Target::configured(path)))
                .unwrap_err();
            assert_eq!(
                (error.kind, error.attempts),
                (FailureKind::Rejected, 0),
                "{path}"
            );
        }
        assert!(
            address
                .request(&Call::get("read", Target::new("/v1").segment("..")))
                .is_err()
        );
        for path in [
            "@evil.example/x",
            "//evil.example/x",
            ":80/x",
            ".evil.example",
        ] {
            let request = address
                .request(&Call::get("read", Target::configured(path)))
                .unwrap();
            assert_eq!(
                request.uri().authority().unwrap().as_str(),
                "api.example",
                "{path}"
            );
            assert!(request.uri().path().starts_with("/base/"), "{path}");
        }
    }
}
