//! Which site a request is for and which it comes from: what a browser says of it and a page cannot forge.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use http::header::{HOST, HeaderName, ORIGIN};
use http::{HeaderValue, Method, Version};

use super::code::Code;
use super::problem::{Problem, echo};
use super::state::Settings;

/// What a browser says of the page that made a request, and no page can set.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Host and port as a client names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority<'a> {
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Whom the request is for; `None` only where an old client need not say it.
    ///
    /// HTTP/1.1 wants exactly one `Host`, also beside a target that names a host itself and then counts alone (RFC 9112,
    /// section 3.2). Answering without would leave it to each proxy on the way whom it believes.
    pub(super) fn of(request: &'a Request) -> Result<Option<Self>, Problem> {
        let mut headers = request.headers().get_all(HOST).iter();
        let header = headers.next();
        if headers.next().is_some() {
            return Err(invalid("the request has more than one `Host`"));
        }
        let named = match (request.uri().authority(), header) {
            (_, None) if request.version() >= Version::HTTP_11 => {
                return Err(invalid("the request has no `Host`"));
            }
            (Some(target), _) => Some(target.as_str()),
            (None, Some(header)) => header.to_str().ok(),
            (None, None) => return Ok(None),
        };
        match named.and_then(Self::parse) {
            Some(authority) => Ok(Some(authority)),
            None => Err(invalid("the request is for something that is no host")),
        }
    }

    /// Whether an origin is this site's: the same host, and the same port or both the scheme's own.
    ///
    /// A site that speaks TLS has no plain pages: those that claim its name come from whoever stands in between.
    fn is_origin(self, origin: &HeaderValue, over_tls: bool) -> bool {
        let parts = origin.to_str().ok().and_then(|text| text.split_once("://"));
        let Some((scheme, authority)) = parts else {
            return false;
        };
        if over_tls && scheme != "https" {
            return false;
        }
        let usual = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Authority::parse(authority).is_some_and(|other| {
            self.host.eq_ignore_ascii_case(other.host)
                && self.port.or(usual) == other.port.or(usual)
        })
    }

    /// Reads `host` or `host:port`. A user before the host makes it nothing: no honest client sends one.
    fn parse(text: &'a str) -> Option<Self> {
        let end = if text.starts_with('[') {
            text.find(']')? + 1
        } else {
            text.find(':').unwrap_or(text.len())
        };
        let (host, rest) = text.split_at(end);
        let digits = match rest.strip_prefix(':') {
            Some(digits) => digits,
            None if rest.is_empty() => "",
            None => return None,
        };
        let port = match digits {
            "" => None,
            _ if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            _ => return None,
        };
        (is_address(host) || is_name(host)).then_some(Self { host, port })
    }
}

/// Whom requests may be for.
///
/// A web page may have its own name resolved to this machine, and then reads from here as if from its own server. What it cannot
/// change is the name that the browser asks for: one that is neither this machine's nor an address, which needs no resolving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Anybody: the server does not know its names.
    Any,
    /// This machine, any address, and these names, which are in lower case.
    Named(Vec<String>),
}

impl Default for Hosts {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Hosts {
    /// Refuses a request for somebody else.
    pub(super) fn admit(&self, authority: Authority<'_>) -> Result<(), Problem> {
        if self.include(authority.host) {
            return Ok(());
        }
        Err(Problem::new(Code::HostNotAllowed).with_detail(format!(
            "this server is not known as \"{}\"; if it is meant, add the name to `server.hosts` (--hosts, CLUSTERGATE_HOSTS)",
            echo(authority.host)
        )))
    }

    fn include(&self, host: &str) -> bool {
        let Self::Named(names) = self else {
            return true;
        };
        let name = host.strip_suffix('.').unwrap_or(host);
        let is_local =
            (name.rsplit('.').next()).is_some_and(|last| last.eq_ignore_ascii_case("localhost"));
        is_local || is_address(host) || names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Refuses a change that a page of another site had a browser ask for, unless pages of that origin may. Nothing but a browser says
/// where a request comes from.
pub(super) fn refuse_foreign(
    request: &Request,
    own: Option<Authority<'_>>,
    settings: &Settings,
) -> Result<(), Problem> {
    if is_safe(request.method()) || settings.cors.of(request).is_some() {
        return Ok(());
    }
    let headers = request.headers();
    let is_cross_site = (headers.get_all(SEC_FETCH_SITE).iter())
        .any(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"));
    let is_own = |origin| own.is_some_and(|own| own.is_origin(origin, settings.over_tls));
    if is_cross_site || !headers.get_all(ORIGIN).iter().all(is_own) {
        return Err(Problem::new(Code::CrossSiteRequest));
    }
    Ok(())
}

/// Whether a request asks for no change.
pub(super) fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn invalid(detail: &str) -> Problem {
    Problem::new(Code::InvalidHost).with_detail(detail)
}

fn is_address(host: &str) -> bool {
    match host.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok()),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

/// What RFC 3986 allows as a registered name.
fn is_name(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(version: Version, target: &str, hosts: &[&str]) -> Request {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(Body::empty()).unwrap()
    }

    fn named(version: Version, target: &str, hosts: &[&str]) -> Result<Option<String>, Code> {
        let request = request(version, target, hosts);
        match Authority::of(&request) {
            Ok(authority) => Ok(authority.map(|authority| {
                let port = authority.port.map(|port| format!(":{port}"));
                format!("{}{}", authority.host, port.unwrap_or_default())
            })),
            Err(problem) => Err(problem.code()),
        }
    }

    #[test]
    fn a_request_names_one_host() {
        for (host, expected) in [
            ("localhost", "localhost"),
            ("localhost:8650", "localhost:8650"),
            ("Example.COM.:080", "Example.COM.:80"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::1]:8650", "[::1]:8650"),
            ("[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]"),
            ("localhost:", "localhost"),
            ("under_score", "under_score"),
        ] {
            assert_eq!(
                named(Version::HTTP_11, "/", &[host]),
                Ok(Some(expected.to_owned())),
                "{host}"
            );
        }
    }

    #[test]
    fn none_two_and_what_is_no_host_are_refused() {
        for hosts in [
            [].as_slice(),
            &["localhost", "localhost"],
            &[""],
            &[":80"],
            &["a b"],
            &["a/b"],
            &["user@localhost"],
            &["localhost:http"],
            &["localhost:+80"],
            &["localhost:70000"],
            &["localhost:80:80"],
            &["::1"],
            &["[::1"],
            &["[::1]8650"],
            &["[localhost]"],
            &["a,b c"],
            &["http://localhost"],
        ] {
            assert_eq!(
                named(Version::HTTP_11, "/", hosts),
                Err(Code::InvalidHost),
                "{hosts:?}"
            );
        }
    }

    #[test]
    fn the_host_of_the_target_counts() {
        let absolute = "http://a.example:81/clusters";
        assert_eq!(
            named(Version::HTTP_11, absolute, &["b.example"]),
            Ok(Some("a.example:81".to_owned()))
        );
        assert_eq!(
            named(Version::HTTP_11, absolute, &[]),
            Err(Code::InvalidHost)
        );
        assert_eq!(
            named(Version::HTTP_11, "http://user@a.example/", &["a.example"]),
            Err(Code::InvalidHost)
        );
    }

    #[test]
    fn this_machine_addresses_and_own_names_are_included() {
        let own = Hosts::Named(vec!["clusters.example.com".to_owned()]);
        for host in [
            "localhost",
            "LOCALHOST.",
            "gateway.localhost",
            "127.0.0.1",
            "10.1.2.3",
            "[::1]",
            "Clusters.Example.com",
            "clusters.example.com.",
        ] {
            assert!(own.include(host), "{host}");
            assert!(Hosts::Any.include(host), "{host}");
        }
        for host in [
            "rebound.example",
            "localhost.rebound.example",
            "notlocalhost",
            "127.0.0.1.rebound.example",
            "evil.clusters.example.com",
            "example.com",
            "2130706433",
            ".",
        ] {
            assert!(!own.include(host), "{host}");
            assert!(Hosts::Any.include(host), "{host}");
        }
        assert!(!Hosts::default().include("clusters.example.com"));
    }

    fn is_let_in(method: Method, host: &str, headers: &[(&HeaderName, &str)]) -> bool {
        is_let_in_by(&Settings::default(), method, host, headers)
    }

    fn is_let_in_by(
        settings: &Settings,
        method: Method,
        host: &str,
        headers: &[(&HeaderName, &str)],
    ) -> bool {
        let mut request = request(Version::HTTP_11, "/", &[host]);
        *request.method_mut() = method;
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let own = Authority::of(&request).unwrap();
        match refuse_foreign(&request, own, settings) {
            Ok(()) => true,
            Err(problem) => {
                assert_eq!(problem.code(), Code::CrossSiteRequest);
                false
            }
        }
    }

    #[test]
    fn a_change_is_not_asked_for_by_a_page_of_another_site() {
        for (host, origin, expected) in [
            ("localhost:8650", "http://localhost:8650", true),
            ("LocalHost:8650", "http://localhost:8650", true),
            ("[::1]:8650", "http://[::1]:8650", true),
            ("clusters.example.com", "https://clusters.example.com", true),
            (
                "clusters.example.com:443",
                "https://clusters.example.com",
                true,
            ),
            (
                "clusters.example.com",
                "http://clusters.example.com:80",
                true,
            ),
            ("localhost:8650", "http://localhost:3000", false),
            ("localhost:8650", "http://localhost", false),
            ("localhost:8650", "http://127.0.0.1:8650", false),
            ("clusters.example.com", "https://example.com", false),
            (
                "clusters.example.com",
                "https://clusters.example.com.evil.example",
                false,
            ),
            (
                "clusters.example.com",
                "https://clusters.example.com@evil.example",
                false,
            ),
            (
                "clusters.example.com:443",
                "http://clusters.example.com",
                false,
            ),
            ("localhost:8650", "null", false),
            ("localhost:8650", "", false),
            ("localhost:8650", "localhost:8650", false),
        ] {
            let headers = [(&ORIGIN, origin)];
            assert_eq!(
                is_let_in(Method::POST, host, &headers),
                expected,
                "{host} {origin}"
            );
            assert_eq!(is_let_in(Method::DELETE, host, &headers), expected);
            assert!(is_let_in(Method::GET, host, &headers));
            assert!(is_let_in(Method::OPTIONS, host, &headers));
        }
    }

    #[test]
    fn a_site_that_speaks_tls_has_no_plain_pages() {
        let settings = Settings {
            over_tls: true,
            ..Settings::default()
        };
        for (origin, expected) in [
            ("https://clusters.example.com:8650", true),
            ("http://clusters.example.com:8650", false),
        ] {
            let headers = [(&ORIGIN, origin)];
            let host = "clusters.example.com:8650";
            assert_eq!(
                is_let_in_by(&settings, Method::POST, host, &headers),
                expected
            );
            assert!(is_let_in(Method::POST, host, &headers));
        }
    }

    #[test]
    fn a_browser_may_also_say_that_it_is_another_site() {
        let own = "http://localhost";
        for (headers, expected) in [
            ([].as_slice(), true),
            (&[(&SEC_FETCH_SITE, "cross-site")], false),
            (&[(&SEC_FETCH_SITE, "cross-site"), (&ORIGIN, own)], false),
            (&[(&SEC_FETCH_SITE, "same-origin"), (&ORIGIN, own)], true),
            (&[(&SEC_FETCH_SITE, "none")], true),
            (&[(&ORIGIN, own), (&ORIGIN, "http://evil.example")], false),
            (
                &[(&SEC_FETCH_SITE, "none"), (&SEC_FETCH_SITE, "Cross-Site")],
                false,
            ),
        ] {
            assert_eq!(
                is_let_in(Method::POST, "localhost", headers),
                expected,
                "{headers:?}"
            );
        }
        let cross = [(&SEC_FETCH_SITE, "cross-site")];
        assert!(is_let_in(Method::GET, "localhost", &cross));
    }

    #[test]
    fn an_old_client_need_not_name_a_host_but_not_two() {
        assert_eq!(named(Version::HTTP_10, "/", &[]), Ok(None));
        assert_eq!(
            named(Version::HTTP_10, "/", &["a", "b"]),
            Err(Code::InvalidHost)
        );
        assert_eq!(
            named(Version::HTTP_10, "http://a/", &[]),
            Ok(Some("a".to_owned()))
        );
    }
}
