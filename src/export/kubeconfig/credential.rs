//! The credential alone, as `kubectl` wants it from a command.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::access::{Authorization, User};

/// The protocol between `kubectl` and the command; 1.22 and newer know it.
pub(super) const API_VERSION: &str = "client.authentication.k8s.io/v1";

/// Why a vendor's credential cannot be handed on by a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotForwardable {
    /// The protocol has no passwords.
    #[error("the vendor gives a name and password, which only a file can hold")]
    Password,
    /// A command of the vendor's makes the credential, and it is not run here.
    #[error("the vendor gives a command to run on your machine, which only a file can hold")]
    Command,
    /// There is nothing to hand on.
    #[error("the vendor gives no credential")]
    Nothing,
}

/// An answer of the protocol.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential<'a> {
    api_version: &'static str,
    kind: &'static str,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_certificate_data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_key_data: Option<&'a str>,
}

/// Whether a command can hand on what a vendor gives.
pub const fn forwardable(user: &User) -> Result<(), NotForwardable> {
    match (&user.authorization, &user.certificate) {
        (Authorization::Basic { .. }, _) => Err(NotForwardable::Password),
        (Authorization::Command(_), _) => Err(NotForwardable::Command),
        (Authorization::None, None) => Err(NotForwardable::Nothing),
        (Authorization::None, Some(_)) | (Authorization::Token(_), _) => Ok(()),
    }
}

/// Writes a credential as an `ExecCredential` of `client.authentication.k8s.io/v1`.
pub fn exec_credential(user: &User) -> Result<SecretString, NotForwardable> {
    forwardable(user)?;
    let token = match &user.authorization {
        Authorization::Token(token) => Some(token.expose_secret()),
        _ => None,
    };
    let credential = ExecCredential {
        api_version: API_VERSION,
        kind: "ExecCredential",
        status: Status {
            expiration_timestamp: token.and_then(expiry),
            token,
            client_certificate_data: (user.certificate.as_ref())
                .map(|certificate| certificate.chain.as_str()),
            client_key_data: (user.certificate.as_ref())
                .map(|certificate| certificate.key.expose_secret()),
        },
    };
    // Texts and a timestamp always serialize.
    Ok(serde_json::to_string(&credential)
        .unwrap_or_default()
        .into())
}

/// When a token that is a JWT ends. Without it `kubectl` keeps a token until the cluster refuses it.
fn expiry(token: &str) -> Option<Timestamp> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }

    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    // The year 9999 is the last one that RFC 3339 can write.
    let is_date = (0.0..253_402_300_800.0).contains(&claims.exp);
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let seconds = is_date.then_some(claims.exp as i64)?;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(r#"{"alg":"none"}"#), part(claims))
    }

    #[test]
    fn a_token_that_says_when_it_ends_is_believed() {
        assert_eq!(
            expiry(&jwt(r#"{"exp":1790000000,"sub":"x"}"#)).map(|at| at.to_string()),
            Some("2026-09-21T14:13:20Z".to_owned())
        );
        for token in [
            "",
            "opaque",
            "a.b",
            "a.b.c",
            "a.b.c.d",
            &jwt("{}"),
            &jwt(r#"{"exp":"soon"}"#),
            &jwt(r#"{"exp":-1}"#),
            &jwt(r#"{"exp":1e300}"#),
        ] {
            assert_eq!(expiry(token), None, "{token:?}");
        }
    }

    #[test]
    fn what_the_protocol_cannot_carry_is_refused() {
        assert_eq!(
            exec_credential(&User::default()).err(),
            Some(NotForwardable::Nothing)
        );
        let basic = User {
            certificate: None,
            authorization: Authorization::Basic {
                username: "admin".into(),
                password: "secret".into(),
            },
        };
        assert_eq!(
            exec_credential(&basic).err(),
            Some(NotForwardable::Password)
        );
        let token = User {
            certificate: None,
            authorization: Authorization::Token("t\"1".into()),
        };
        let credential = exec_credential(&token).unwrap();
        assert_eq!(
            credential.expose_secret(),
            r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t\"1"}}"#
        );
    }
}
