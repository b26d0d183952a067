//! Which addresses may be called on behalf of a configuration that names a stranger's server; pure.
//!
//! What a name leads to is decided by whoever owns it, and may be another address each time it is asked for. So the address is
//! judged that a connection goes to, not the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// Those that everybody can reach.
    Public,
    /// Also those of a private network and of this machine.
    PublicAndPrivate,
    /// Those of a private network and of this machine alone.
    Private,
}

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Public,
    Private,
    /// Nobody's whom a request may be for: of the link alone, where clouds answer with credentials, of many, or of none.
    Never,
}

impl Admitted {
    /// Whether an address may be called.
    pub fn admits(self, address: IpAddr) -> bool {
        let kind = match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        };
        match kind {
            Kind::Public => self != Self::Private,
            Kind::Private => self != Self::Public,
            Kind::Never => false,
        }
    }
}

/// Where clouds answer their own machines, outside of the link's own range.
const METADATA: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

fn of_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    if METADATA.contains(&address) || address.is_link_local() {
        return Kind::Never;
    }
    match (a, b, c) {
        // This network; many; reserved. Examples, and relays of a retired way.
        (0 | 224..=255, ..) | (192, 0, 2) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => {
            Kind::Never
        }
        // This machine and private networks; carriers' own; assignments; benchmarks.
        (10 | 127, ..)
        | (172, 16..=31, _)
        | (192, 168, _)
        | (100, 64..=127, _)
        | (192, 0, 0)
        | (198, 18..=19, _) => Kind::Private,
        _ => Kind::Public,
    }
}

fn of_v6(address: Ipv6Addr) -> Kind {
    if let Some(inner) = embedded(address) {
        return of_v4(inner);
    }
    let [a, b, ..] = address.segments();
    match (a, b) {
        _ if address.is_loopback() => Kind::Private,
        // EC2 and Google answer their own machines here; protocols' own, tunnels among them, and examples.
        (0xfd00, 0x0ec2)
        | (0xfd20, 0x00ce)
        | (0x2001, 0x0000..=0x01ff | 0x0db8)
        | (0x3fff, 0x0000..=0x0fff) => Kind::Never,
        // Private networks, and those that were once called local to a site.
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => Kind::Private,
        (0x2000..=0x3fff, _) => Kind::Public,
        _ => Kind::Never,
    }
}

/// The address of version 4 that one of version 6 stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        // Mapped, translated, and by a network's translator.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => from(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart_in_all_their_forms() {
        let public = [
            "1.1.1.1",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.167.1.1",
            "198.17.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::",
        ];
        let private = [
            "127.0.0.1",
            "127.255.255.254",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "::1",
            "fc00::1",
            "fd12:3456::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::192.168.0.1",
            "2002:7f00:1::",
            "2002:a00:1::5",
        ];
        let never = [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.0.1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "192.88.99.1",
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "64:ff9b:1::1",
            "4000::1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::",
            "::ffff:0.0.0.0",
        ];
        for (addresses, expected) in [
            (&public[..], [true, true, false]),
            (&private[..], [false, true, true]),
            (&never[..], [false, false, false]),
        ] {
            for text in addresses {
                let address = text.parse().unwrap();
                let admitted = [
                    Admitted::Public,
                    Admitted::PublicAndPrivate,
                    Admitted::Private,
                ];
                let found = admitted.map(|admitted| admitted.admits(address));
                assert_eq!(found, expected, "{text}");
            }
        }
    }
}
