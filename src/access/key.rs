//! The text of an API key: `cg_<id>_<secret>`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use blake3::Hash;
use secrecy::{ExposeSecret as _, SecretString};

/// What every key begins with, so that scanners for leaked secrets can find one.
pub(super) const PREFIX: &str = "cg_";
const ID_CHARS: usize = 10;
const SECRET_BYTES: usize = 32;
/// The secret as base64 without padding.
const SECRET_CHARS: usize = 43;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The public half of a key, by which it is looked up and spoken of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

impl KeyId {
    /// Reads an id; `None` when it is none.
    pub fn new(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_id(text: &str) -> bool {
    (8..=ID_CHARS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// A key as a caller showed it: its id, and the hash of all of it.
pub(super) struct Shown<'a> {
    pub(super) id: &'a str,
    pub(super) hash: Hash,
}

impl<'a> Shown<'a> {
    /// Reads a key; `None` when it has not the form of one.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_secret = secret.len() == SECRET_CHARS
            && secret
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (is_id(id) && is_secret).then(|| Self {
            id,
            hash: hash(text),
        })
    }
}

/// What is kept of a key. The secret has 256 random bits, so nothing slower than a plain hash is of use.
pub(super) fn hash(text: &str) -> Hash {
    blake3::hash(text.as_bytes())
}

/// A new id.
pub(super) fn new_id() -> Result<KeyId, getrandom::Error> {
    let mut id = String::with_capacity(ID_CHARS);
    while id.len() < ID_CHARS {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        // Four times the alphabet fits into a byte; what is above it would make its first letters likelier.
        let letters = bytes
            .iter()
            .filter(|byte| usize::from(**byte) < ALPHABET.len() * 4)
            .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        id.extend(letters.take(ID_CHARS - id.len()));
    }
    Ok(KeyId(id))
}

/// A new key of an id.
pub(super) fn new_text(id: &KeyId) -> Result<SecretString, getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    let secret = URL_SAFE_NO_PAD.encode(bytes);
    Ok(SecretString::from(format!("{PREFIX}{id}_{secret}")))
}

/// The hash of a key that was just made.
pub(super) fn hash_of(text: &SecretString) -> Hash {
    hash(text.expose_secret())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_new_key_has_the_form_of_one_and_is_its_own() {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let id = new_id().unwrap();
            let text = new_text(&id).unwrap();
            let shown = Shown::read(text.expose_secret()).unwrap();
            assert_eq!(shown.id, id.as_str());
            assert_eq!(shown.hash, hash_of(&text));
            assert!(seen.insert(text.expose_secret().to_owned()));
            assert!(!format!("{text:?}").contains(id.as_str()));
        }
    }

    #[test]
    fn what_is_no_key_is_not_read() {
        let secret = "a".repeat(SECRET_CHARS);
        assert!(Shown::read(&format!("cg_abcdefgh12_{secret}")).is_some());
        for text in [
            String::new(),
            "cg_".to_owned(),
            format!("abcdefgh12_{secret}"),
            format!("CG_abcdefgh12_{secret}"),
            format!("cg_abc_{secret}"),
            format!("cg_abcdefgh123_{secret}"),
            format!("cg_abcdefg%12_{secret}"),
            format!("cg_abcdefgh12_{secret}a"),
            format!("cg_abcdefgh12_{}", &secret[1..]),
            format!("cg_abcdefgh12_{}=", &secret[1..]),
            format!("cg_abcdefgh12{secret}"),
        ] {
            assert!(Shown::read(&text).is_none(), "{text}");
        }
    }
}
