//! An issuer's public keys, as it publishes them (RFC 7517).

use std::str::FromStr;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use serde::Deserialize;
use serde_json::Value;

/// Issuers have a handful of keys.
const MAX_KEYS: usize = 100;

/// A way to sign that is taken. There is no way here that needs a shared secret, and none without a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA PKCS#1 with SHA-256.
    Rs256,
    /// RSA PKCS#1 with SHA-384.
    Rs384,
    /// RSA PKCS#1 with SHA-512.
    Rs512,
    /// RSA PSS with SHA-256.
    Ps256,
    /// RSA PSS with SHA-384.
    Ps384,
    /// RSA PSS with SHA-512.
    Ps512,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// ECDSA over P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The ones that are taken unless an issuer is configured otherwise.
    pub const DEFAULT: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// Its registered name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The same for the library that checks signatures.
    pub(super) const fn checked_as(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Rs384 => jsonwebtoken::Algorithm::RS384,
            Self::Rs512 => jsonwebtoken::Algorithm::RS512,
            Self::Ps256 => jsonwebtoken::Algorithm::PS256,
            Self::Ps384 => jsonwebtoken::Algorithm::PS384,
            Self::Ps512 => jsonwebtoken::Algorithm::PS512,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::Es384 => jsonwebtoken::Algorithm::ES384,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }

    const fn needs(self) -> Shape {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                Shape::Rsa
            }
            Self::Es256 => Shape::P256,
            Self::Es384 => Shape::P384,
            Self::EdDsa => Shape::Ed25519,
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or(())
    }
}

/// What a key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// One key that signatures can be checked with.
struct Key {
    id: Option<String>,
    shape: Shape,
    /// The one algorithm that the issuer uses it with, where it says so.
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
}

/// All keys of one issuer that signatures can be checked with.
#[derive(Default)]
pub(super) struct KeySet(Vec<Key>);

impl KeySet {
    /// Reads a published set. A key that is not for signatures, or of a kind that is not known here, is left out, since
    /// issuers publish such; a document that is no set is refused.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Published {
            keys: Vec<Value>,
        }
        let published: Published =
            serde_json::from_slice(bytes).map_err(|_| "what it publishes is not a set of keys")?;
        if published.keys.len() > MAX_KEYS {
            return Err("it publishes too many keys");
        }
        Ok(Self(published.keys.into_iter().filter_map(key).collect()))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The keys that a signature can have been made with. Without a name only one that is the only one of its kind.
    pub(super) fn fitting(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fitting = (self.0.iter())
            .filter(|key| key.shape == algorithm.needs())
            .filter(|key| key.algorithm.is_none_or(|only| only == algorithm))
            .filter(|key| id.is_none() || key.id.as_deref() == id);
        let found: Vec<&DecodingKey> = fitting.map(|key| &key.decoding).take(4).collect();
        if id.is_none() && found.len() != 1 {
            return Vec::new();
        }
        found
    }
}

fn key(published: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(published).ok()?;
    let common = &jwk.common;
    let is_for_signatures = common
        .public_key_use
        .as_ref()
        .is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
        && common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !is_for_signatures {
        return None;
    }
    let shape = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Shape::Rsa,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Shape::P256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => Shape::P384,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            Shape::Ed25519
        }
        // A shared secret among public keys is a mistake; using it would let everybody sign who can read the set.
        _ => return None,
    };
    let algorithm = match common.key_algorithm {
        None => None,
        Some(named) => Some(of(named)?),
    };
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Key {
        id: jwk.common.key_id,
        shape,
        algorithm,
        decoding,
    })
}

fn of(named: KeyAlgorithm) -> Option<Algorithm> {
    Algorithm::ALL
        .into_iter()
        .find(|algorithm| KeyAlgorithm::from(algorithm.checked_as()) == named)
}
