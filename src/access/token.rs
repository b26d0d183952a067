//! One token: what it says of itself, and whether that is so.
//!
//! Nothing that a token says chooses how it is checked: its algorithm must be one that its issuer is configured for, its key
//! one that the issuer publishes for that algorithm, and keys or addresses inside of it are never looked at.

use jiff::Timestamp;
use jsonwebtoken::dangerous::insecure_decode_claims;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::issuer::IssuerSettings;
use super::jwks::Algorithm;
use super::principal::Denied;

/// Longest token that is looked at.
pub(super) const MAX_BYTES: usize = 8 << 10;

/// A token's own words, none of them checked.
pub(super) struct Token<'a> {
    text: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) issuer: String,
}

impl<'a> Token<'a> {
    /// Reads a token without believing it.
    pub(super) fn read(text: &'a str) -> Result<Self, Denied> {
        #[derive(Deserialize)]
        struct Unchecked {
            iss: String,
        }
        const NO_TOKEN: Denied = Denied::invalid("neither a key nor a token");

        if text.len() > MAX_BYTES {
            return Err(Denied::invalid("token is too long"));
        }
        let header = decode_header(text).map_err(|_| NO_TOKEN)?;
        if header.crit.is_some() {
            return Err(Denied::invalid(
                "token wants something that is not known here",
            ));
        }
        if !header.typ.as_deref().is_none_or(is_access_token) {
            return Err(Denied::invalid("token is of another type"));
        }
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.checked_as() == header.alg)
            .ok_or(Denied::invalid(
                "token is signed in a way that is never taken",
            ))?;
        let Unchecked { iss: issuer } = insecure_decode_claims(text).map_err(|_| NO_TOKEN)?;
        Ok(Self {
            text,
            algorithm,
            key_id: header.kid,
            issuer,
        })
    }

    /// The claims, if one of the keys has signed them and they are good now.
    pub(super) fn check(
        &self,
        keys: &[&DecodingKey],
        issuer: &IssuerSettings,
        now: Timestamp,
    ) -> Result<Checked, Denied> {
        let mut validation = Validation::new(self.algorithm.checked_as());
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&issuer.issuer]);
        validation.set_audience(&issuer.audience);
        // Times are compared below, with a clock that is an argument.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let mut refusal = Denied::invalid("no key of the issuer has signed the token");
        for key in keys {
            match decode::<Map<String, Value>>(self.text, key, &validation) {
                Ok(decoded) => return check_times(decoded.claims, issuer, now),
                Err(error) => refusal = explain(error.kind()).unwrap_or(refusal),
            }
        }
        Err(refusal)
    }
}

/// Claims that were found good, and until when they are.
pub(super) struct Checked {
    pub(super) claims: Map<String, Value>,
    /// The last second at which they are, in seconds of the epoch.
    pub(super) until: f64,
}

fn check_times(
    claims: Map<String, Value>,
    issuer: &IssuerSettings,
    now: Timestamp,
) -> Result<Checked, Denied> {
    // The library takes a list of issuers as well, which no issuer of ours sends.
    if claims.get("iss").and_then(Value::as_str) != Some(issuer.issuer.as_str()) {
        return Err(Denied::invalid("token of another issuer"));
    }
    let now = seconds(now);
    let leeway = issuer.leeway.as_secs_f64();
    let until = number(&claims, "exp")?.ok_or(Denied::invalid("token without an end"))? + leeway;
    if until <= now {
        return Err(Denied::expired("expired token"));
    }
    for (claim, reason) in [
        ("nbf", "token is not good yet"),
        ("iat", "token was issued in the future"),
    ] {
        if number(&claims, claim)?.is_some_and(|time| time > now + leeway) {
            return Err(Denied::invalid(reason));
        }
    }
    Ok(Checked { claims, until })
}

/// A moment as tokens have it: in seconds of the epoch.
pub(super) fn seconds(time: Timestamp) -> f64 {
    time.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

/// A time among the claims. One of another type is no missing one.
fn number(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Denied> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_f64()),
        Some(_) => Err(Denied::invalid("token with a time that is no number")),
    }
}

fn is_access_token(kind: &str) -> bool {
    let kind = kind.to_ascii_lowercase();
    let kind = kind.strip_prefix("application/").unwrap_or(&kind);
    matches!(kind, "jwt" | "at+jwt")
}

/// What the operator is told; `None` where it is the signature.
fn explain(kind: &jsonwebtoken::errors::ErrorKind) -> Option<Denied> {
    use jsonwebtoken::errors::ErrorKind;

    Some(Denied::invalid(match kind {
        ErrorKind::MissingRequiredClaim(_) => "token lacks a claim, or has it in another type",
        ErrorKind::InvalidAudience => "token for another audience",
        ErrorKind::InvalidIssuer => "token of another issuer",
        _ => return None,
    }))
}
