//! Secrets of webhooks, and signatures by them (Standard Webhooks).

use std::fmt;
use std::path::PathBuf;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret as _, SecretString};

use crate::upstream::read_secret_file;

/// How every secret begins.
const PREFIX: &str = "whsec_";
/// Bytes that a key may have, by the specification.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A text is no secret of a webhook. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be whsec_ and base64 of 24 to 64 bytes, such as `echo whsec_$(openssl rand -base64 32)` makes"
)]
pub struct NoKey;

/// A key that signs. Its `Debug` says nothing of it.
#[derive(Clone)]
pub struct Key(hmac::Key);

impl Key {
    /// Reads a secret as it is written: `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, NoKey> {
        let base64 = text.trim().strip_prefix(PREFIX).ok_or(NoKey)?;
        let bytes = BASE64.decode(base64).map_err(|_| NoKey)?;
        if !LENGTHS.contains(&bytes.len()) {
            return Err(NoKey);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([redacted])")
    }
}

/// Where a secret comes from. Its `Debug` shows no secret.
#[derive(Clone)]
pub enum SecretSource {
    /// A value that was read at start, from the environment.
    Value(SecretString),
    /// A file, read anew for each attempt, so that it can be changed without a restart.
    File(PathBuf),
}

impl SecretSource {
    /// The key that it holds now; else what is wrong, without any of it.
    pub fn key(&self) -> Result<Key, String> {
        let parse = |text: &SecretString| {
            Key::parse(text.expose_secret()).map_err(|error| error.to_string())
        };
        match self {
            Self::Value(text) => parse(text),
            Self::File(path) => parse(&read_secret_file(path)?),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value([redacted])"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

/// The value of `webhook-signature`: one signature for each key, with a space between each two.
pub fn sign(keys: &[Key], id: &str, timestamp: i64, body: &[u8]) -> String {
    let signatures = keys.iter().map(|key| {
        let mut context = hmac::Context::with_key(&key.0);
        context.update(format!("{id}.{timestamp}.").as_bytes());
        context.update(body);
        format!("v1,{}", BASE64.encode(context.sign()))
    });
    signatures.collect::<Vec<String>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that Standard Webhooks publishes.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_published_example_is_signed_as_published() {
        let key = Key::parse(SECRET).unwrap();
        let (id, at, body) = (
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(sign(std::slice::from_ref(&key), id, at, body), SIGNATURE);
        let other = Key::parse(&format!("whsec_{}", BASE64.encode([7; 32]))).unwrap();
        let both = sign(&[other, key.clone()], id, at, body);
        let (first, second) = both.split_once(' ').unwrap();
        assert_eq!(second, SIGNATURE);
        assert!(first.starts_with("v1,") && first != SIGNATURE);
        for (id, at, body) in [
            ("msg_x", at, &body[..]),
            (id, at + 1, &body[..]),
            (id, at, &br#"{"test":2432232314}"#[..]),
        ] {
            assert_ne!(sign(std::slice::from_ref(&key), id, at, body), SIGNATURE);
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_and_shown_nowhere() {
        let of = |length: usize| format!("whsec_{}", BASE64.encode(vec![1_u8; length]));
        for text in [of(24), of(64), of(32).trim_end_matches('=').to_owned()] {
            assert!(Key::parse(&text).is_ok(), "{text}");
        }
        for text in [
            of(23),
            of(65),
            String::new(),
            "whsec_".to_owned(),
            "whsec_&&&&".to_owned(),
            BASE64.encode([1; 32]),
            format!("whsec-{}", BASE64.encode([1; 32])),
        ] {
            assert_eq!(Key::parse(&text).err(), Some(NoKey), "{text}");
        }
        let source = SecretSource::Value(SecretString::from(SECRET));
        let shown = format!("{source:?} {:?} {NoKey}", source.key());
        assert!(!shown.contains("MfKQ9r8G"), "{shown}");
    }
}
