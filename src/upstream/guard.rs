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

/// Where clouds answer their own machines outside of the links' own ranges, as their documentation says it; nobody else is ever
/// meant by these. In `169.254.0.0/16` and `fe80::/10`, where most of them do, nothing is called anyway.
const METADATA_V4: [Ipv4Addr; 3] = [
    // Alibaba Cloud, "Instance metadata"; among the carriers' own.
    Ipv4Addr::new(100, 100, 100, 200),
    // Azure, "What is IP address 168.63.129.16?"; a public one.
    Ipv4Addr::new(168, 63, 129, 16),
    // Oracle Cloud Infrastructure Classic, "Retrieving Instance Metadata"; among the assignments.
    Ipv4Addr::new(192, 0, 0, 192),
];

/// The same of version 6, each with the bits that count: all of them are in the range that anybody may use for a network of
/// their own.
const METADATA_V6: [(Ipv6Addr, u32); 6] = [
    // Amazon EC2, "Access instance metadata" (::254), "EKS Pod Identity" (::23), name and time servers beside them.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32),
    // Google Compute Engine, "About VM metadata", for machines without version 4 (::254).
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0), 32),
    // Oracle Cloud Infrastructure, "Getting Instance Metadata", and the endpoint of its SDKs.
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128),
    // Scaleway, "Metadata service", and the data source of that name in cloud-init.
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128),
    // Akamai (Linode), "Metadata service API", and the data source of that name in cloud-init.
    (Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1), 128),
    // Alibaba Cloud, "Instance metadata", and the data source Aliyun in cloud-init.
    (Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200), 128),
];

fn of_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    if is_metadata_v4(address) || address.is_link_local() {
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

fn is_metadata_v4(address: Ipv4Addr) -> bool {
    METADATA_V4.contains(&address)
}

fn is_metadata_v6(address: Ipv6Addr) -> bool {
    METADATA_V6.iter().any(|(network, bits)| {
        let differs = (address.to_bits() ^ network.to_bits()).leading_zeros();
        differs >= *bits
    })
}

fn of_v6(address: Ipv6Addr) -> Kind {
    if is_metadata_v6(address) || hides_metadata(address) {
        return Kind::Never;
    }
    if let Some(inner) = embedded(address) {
        return of_v4(inner);
    }
    let [a, b, ..] = address.segments();
    match (a, b) {
        _ if address.is_loopback() => Kind::Private,
        // Protocols' own, Teredo among them, and examples.
        (0x2001, 0x0000..=0x01ff | 0x0db8) | (0x3fff, 0x0000..=0x0fff) => Kind::Never,
        // Private networks, and those that were once called local to a site.
        (0xfc00..=0xfdff | 0xfec0..=0xfeff, _) => Kind::Private,
        (0x2000..=0x3fff, _) => Kind::Public,
        // Translators that a network has of its own (64:ff9b:1::/48) are among these.
        _ => Kind::Never,
    }
}

/// An address of version 4 in two parts of one of version 6.
fn v4(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

/// Whether an address ends in one of version 4 at which a cloud answers its own machines: the prefix of a translator is whatever
/// its network has chosen (RFC 6052), and a tunnel within a site (ISATAP, RFC 5214) has any prefix.
fn hides_metadata(address: Ipv6Addr) -> bool {
    let [_, _, _, _, a, b, high, low] = address.segments();
    let inner = v4(high, low);
    let is_tunnel = (a | 0x0200, b) == (0x0200, 0x5efe);
    is_metadata_v4(inner)
        || inner == Ipv4Addr::new(169, 254, 169, 254)
        || (is_tunnel && of_v4(inner) == Kind::Never)
}

/// The address of version 4 that one of version 6 stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        // Mapped, translated, and by a network's translator; through a relay.
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(v4(high, low)),
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
            "2606:4700::5efe:101:101",
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
            "fd00:ec3::254",
            "fd00:c1::a9fe:a9fd",
            "fd00:42::43",
            "fd00:a9fe:a9fe::2",
            "fd00:100::100:201",
            "fd12:3456::5efe:10.0.0.1",
            "::ffff:100.100.100.201",
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
            // Clouds' own, and what is beside them.
            "fd00:ec2::23",
            "fd00:ec2::253",
            "fd00:c1::a9fe:a9fe",
            "fd00:42::42",
            "fd00:a9fe:a9fe::1",
            "fd00:100::100:200",
            "fe80::a9fe:a9fe",
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
    #[test]
    fn where_clouds_answer_their_machines_is_refused_in_every_form_of_version_6() {
        for inner in [
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
        ] {
            let inner: Ipv4Addr = inner.parse().unwrap();
            let [a, b, c, d] = inner.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            let forms = [
                // Compatible, mapped, translated.
                [0, 0, 0, 0, 0, 0, high, low],
                [0, 0, 0, 0, 0, 0xffff, high, low],
                [0, 0, 0, 0, 0xffff, 0, high, low],
                // By translators: the well-known prefix, a network's own, one that a network has chosen.
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x64, 0xff9b, 1, 0, 0, 0, high, low],
                [0x64, 0xff9b, 1, high, low >> 8, low << 8, 0, 0],
                [0x2600, 0x1234, 0, 0, 0, 0, high, low],
                [0xfd12, 0x3456, 0x789a, 0, 0, 0, high, low],
                // 6to4, Teredo (server, and client with all bits turned), tunnels in a site.
                [0x2002, high, low, 0, 0, 0, 0, 1],
                [0x2001, 0, high, low, 0, 0, !high, !low],
                [0xfd12, 0x3456, 0, 0, 0x0000, 0x5efe, high, low],
                [0xfd12, 0x3456, 0, 0, 0x0200, 0x5efe, high, low],
            ];
            for form in forms {
                let [s0, s1, s2, s3, s4, s5, s6, s7] = form;
                let address = Ipv6Addr::new(s0, s1, s2, s3, s4, s5, s6, s7);
                for admitted in [
                    Admitted::Public,
                    Admitted::PublicAndPrivate,
                    Admitted::Private,
                ] {
                    assert!(!admitted.admits(address.into()), "{inner}: {address}");
                }
            }
        }
    }
}
