//! Who asks, as far as a limit is concerned.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::Request;
use http::header::HeaderName;
use ipnet::IpNet;

use super::super::server::Peer;
use crate::access::{Principal, PrincipalKind};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Somebody who has a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Client {
    /// Whoever asks from this network.
    Network(IpAddr),
    /// Whoever shows what this caller shows, from wherever.
    Caller(Box<str>),
}

impl Client {
    /// Whoever asks from an address. Who has one IPv6 address has 2⁶⁴ of them, so the network counts.
    pub fn at(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
            }
        })
    }

    /// A caller that is known.
    pub fn caller(id: &str) -> Self {
        Self::Caller(id.into())
    }

    /// Who asks from an address: the caller where one was told apart.
    pub fn of(caller: Option<&Principal>, address: IpAddr) -> Self {
        match caller {
            Some(caller) if caller.kind != PrincipalKind::Open => Self::caller(&caller.identity()),
            Some(_) | None => Self::at(address),
        }
    }
}

/// Proxies that are believed when they say whom they ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Proxies at these addresses.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    fn include(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address that a request comes from; `None` where it came over no connection.
    ///
    /// Each proxy adds the address that it was asked from to the end of `X-Forwarded-For`. So the list is believed from its end,
    /// for as long as those who wrote it are believed; what is before that, anybody may have written.
    pub(in super::super) fn origin(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<Peer>()?.0.ip().to_canonical();
        let mut origin = peer;
        let headers = request.headers().get_all(X_FORWARDED_FOR);
        let mut hops =
            (headers.iter().rev()).flat_map(|value| value.to_str().unwrap_or_default().rsplit(','));
        while self.include(origin) {
            // A list that ends, or cannot be read, was begun by the last one that is believed.
            let Some(before) = hops.next().and_then(address) else {
                break;
            };
            origin = before;
        }
        Some(origin)
    }
}

/// An address with or without a port, as proxies write it.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    address
        .or_else(with_port)
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn one_network_of_ipv6_is_one_client() {
        let at = |text: &str| Client::at(text.parse().unwrap());
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), Client::caller("192.0.2.1"));
    }

    #[test]
    fn one_subject_of_two_issuers_is_two_clients() {
        let address = "192.0.2.1".parse().unwrap();
        let of = |name: &str| {
            let caller = Principal {
                kind: PrincipalKind::Token,
                id: "ada".to_owned(),
                name: name.to_owned(),
                ..Principal::clone(&Principal::open())
            };
            Client::of(Some(&caller), address)
        };
        assert_ne!(of("https://a.example"), of("https://b.example"));
        assert_eq!(of("https://a.example"), of("https://a.example"));
        for nobody in [None, Some(&*Principal::open())] {
            assert_eq!(Client::of(nobody, address), Client::at(address));
        }
    }

    fn origin(proxies: &[&str], peer: &str, forwarded: &[&str]) -> Option<String> {
        let networks = proxies.iter().map(|network| network.parse().unwrap());
        let proxies = Proxies::new(networks.collect());
        let mut request = Request::new(Body::empty());
        for value in forwarded {
            let value = value.parse().unwrap();
            request.headers_mut().append(X_FORWARDED_FOR, value);
        }
        let peer = Peer(SocketAddr::new(peer.parse().unwrap(), 1));
        request.extensions_mut().insert(peer);
        proxies.origin(&request).map(|address| address.to_string())
    }

    #[test]
    fn only_proxies_that_are_named_are_believed() {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"];
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &["198.51.100.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("2001:db8::1", &["[2620::1]:443"], "2620::1"),
            ("10.0.0.1", &["[2620::1]"], "2620::1"),
            ("10.0.0.1", &["2620::1"], "2620::1"),
            // What the client itself wrote stands before.
            ("10.0.0.1", &["127.0.0.1, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["127.0.0.1", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["203.0.113.9, 10.0.0.2"], "203.0.113.9"),
            (
                "10.0.0.1",
                &["203.0.113.9", "10.0.0.2,10.0.0.3"],
                "203.0.113.9",
            ),
            ("10.0.0.1", &["10.0.0.2"], "10.0.0.2"),
            // What is no address was not written by a proxy.
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, _hidden"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, "], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, x, 10.0.0.2"], "10.0.0.2"),
        ] {
            let found = origin(&proxies, peer, forwarded);
            assert_eq!(found.as_deref(), Some(expected), "{peer} {forwarded:?}");
        }
        let unasked = origin(&[], "10.0.0.1", &["198.51.100.1"]);
        assert_eq!(unasked.as_deref(), Some("10.0.0.1"));
    }

    #[test]
    fn what_came_over_no_connection_has_no_address() {
        let request = Request::new(Body::empty());
        assert_eq!(Proxies::default().origin(&request), None);
    }
}
