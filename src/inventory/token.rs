//! Page tokens: versioned, opaque, bound to the query that made them, and bounded in length.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::query::{Position, SortValue};

/// The form of the tokens that this version makes.
const VERSION: u8 = 1;

/// The longest token that is read: four texts of the longest kind, in the worst writing, and the longest id.
pub const LONGEST: usize = 8_192;

/// How long a token is good for.
const LIFETIME_SECONDS: i64 = 24 * 60 * 60;

/// A token that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No version of this program made it.
    #[error("not a page token")]
    Invalid,
    /// It belongs to other filters or another order.
    #[error("page token of another query")]
    OtherQuery,
    /// It is too old, or of an older form.
    #[error("page token has expired")]
    Expired,
}

/// What a page token says: where the next page begins, and in which generation the walk began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageToken {
    /// The generation of the page that the token followed.
    pub generation: u64,
    /// The place after that page.
    pub position: Position,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    v: u8,
    q: String,
    g: u64,
    t: i64,
    k: Vec<SortValue>,
    i: String,
}

impl PageToken {
    /// Writes the token for a query, given in its canonical form.
    pub fn encode(&self, canonical: &str, now: Timestamp) -> String {
        let wire = Wire {
            v: VERSION,
            q: fingerprint(canonical),
            g: self.generation,
            t: now.as_second(),
            k: self.position.values.clone(),
            i: self.position.id.clone(),
        };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&wire).unwrap_or_default())
    }

    /// Reads a token that must belong to a query, given in its canonical form with so many sort terms.
    pub fn decode(
        text: &str,
        canonical: &str,
        terms: usize,
        now: Timestamp,
    ) -> Result<Self, TokenError> {
        if text.len() > LONGEST {
            return Err(TokenError::Invalid);
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| TokenError::Invalid)?;
        let version = serde_json::from_slice::<Version>(&bytes)
            .map_err(|_| TokenError::Invalid)?
            .v;
        if version < VERSION {
            return Err(TokenError::Expired);
        }
        let wire: Wire = serde_json::from_slice(&bytes).map_err(|_| TokenError::Invalid)?;
        if wire.v != VERSION {
            return Err(TokenError::Invalid);
        }
        if wire.q != fingerprint(canonical) || wire.k.len() != terms {
            return Err(TokenError::OtherQuery);
        }
        if now.as_second().saturating_sub(wire.t) > LIFETIME_SECONDS {
            return Err(TokenError::Expired);
        }
        Ok(Self {
            generation: wire.g,
            position: Position {
                values: wire.k,
                id: wire.i,
            },
        })
    }
}

#[derive(Deserialize)]
struct Version {
    v: u8,
}

/// Eighteen characters that stand for a query.
pub fn fingerprint(canonical: &str) -> String {
    let hash = blake3::hash(canonical.as_bytes());
    hash.to_hex()[..18].to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token() -> PageToken {
        let position = Position {
            values: vec![SortValue::Text("a".into()), SortValue::Unknown],
            id: "s:1".into(),
        };
        PageToken {
            generation: 7,
            position,
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn a_token_comes_back_for_its_own_query_alone() {
        let text = token().encode("state:running", now());
        assert_eq!(
            PageToken::decode(&text, "state:running", 2, now()),
            Ok(token())
        );
        assert_eq!(
            PageToken::decode(&text, "state:failed", 2, now()),
            Err(TokenError::OtherQuery)
        );
        assert_eq!(
            PageToken::decode(&text, "state:running", 1, now()),
            Err(TokenError::OtherQuery)
        );
    }

    #[test]
    fn an_old_token_has_expired() {
        let text = token().encode("q", now());
        let later = Timestamp::from_second(now().as_second() + LIFETIME_SECONDS + 1).unwrap();
        assert_eq!(
            PageToken::decode(&text, "q", 2, later),
            Err(TokenError::Expired)
        );
        let older = URL_SAFE_NO_PAD.encode(r#"{"v":0}"#);
        assert_eq!(
            PageToken::decode(&older, "q", 2, now()),
            Err(TokenError::Expired)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_panic(text in ".*") {
            prop_assert!(PageToken::decode(&text, "q", 0, now()).is_err());
        }

        #[test]
        fn a_token_never_grants_more_than_its_query(mine in "[a-z]{0,8}", other in "[a-z]{0,8}") {
            let text = token().encode(&mine, now());
            prop_assert_eq!(PageToken::decode(&text, &other, 2, now()).is_ok(), mine == other);
        }
    }
}
