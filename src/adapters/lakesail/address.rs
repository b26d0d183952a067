//! Where a cluster is at LakeSail. Two kinds of id look alike; each goes to calls of its own.

use std::borrow::Cow;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::provider::Locator;

/// What addresses one cluster.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Address<'a> {
    /// An external cluster, by its own id and its connection's, where that is known.
    Infra {
        connection: Option<Cow<'a, str>>,
        external: Cow<'a, str>,
    },
    /// The platform's own record, by the platform's id.
    Me { cluster: Cow<'a, str> },
}

impl<'a> Address<'a> {
    /// As text. Ids are encoded, so that none of them holds a separator.
    pub(super) fn to_locator(&self) -> Locator {
        let encode = |id| utf8_percent_encode(id, NON_ALPHANUMERIC);
        Locator::new(match self {
            Self::Infra {
                connection,
                external,
            } => {
                let connection = connection.as_deref().unwrap_or_default();
                format!("infra/{}/{}", encode(connection), encode(external))
            }
            Self::Me { cluster } => format!("me/{}", encode(cluster)),
        })
    }

    /// Reads an address back; `None` when it is not one of ours.
    pub(super) fn parse(locator: &'a Locator) -> Option<Self> {
        let mut parts = locator.as_str().split('/');
        let kind = parts.next()?;
        let mut ids = Vec::new();
        for part in parts {
            ids.push(percent_decode_str(part).decode_utf8().ok()?);
        }
        let mut ids = ids.into_iter();
        let address = match (kind, ids.next(), ids.next(), ids.next()) {
            ("infra", Some(connection), Some(external), None) if !external.is_empty() => {
                Self::Infra {
                    connection: Some(connection).filter(|id| !id.is_empty()),
                    external,
                }
            }
            ("me", Some(cluster), None, None) if !cluster.is_empty() => Self::Me { cluster },
            _ => return None,
        };
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_whatever_its_ids_hold() {
        for (connection, external, text) in [
            (
                Some("CN00000001"),
                "EX00000001",
                "infra/CN00000001/EX00000001",
            ),
            (None, "EX00000001", "infra//EX00000001"),
            (Some("a/b"), "c%2F", "infra/a%2Fb/c%252F"),
        ] {
            let address = Address::Infra {
                connection: connection.map(Cow::from),
                external: external.into(),
            };
            let locator = address.to_locator();
            assert_eq!(locator.as_str(), text);
            assert_eq!(Address::parse(&locator), Some(address));
        }
        let me = Address::Me {
            cluster: "CL1".into(),
        };
        assert_eq!(Address::parse(&me.to_locator()), Some(me));
    }

    #[test]
    fn another_text_is_no_address() {
        for text in [
            "",
            "me",
            "me/",
            "me/a/b",
            "infra/a",
            "infra/a/",
            "infra/a/b/c",
            "x/a",
            "me/%FF",
        ] {
            assert_eq!(Address::parse(&Locator::new(text)), None, "{text:?}");
        }
    }
}
