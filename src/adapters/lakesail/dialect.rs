//! How LakeSail says no. The vendor publishes nothing about it, so every known form is tried in turn.

use http::StatusCode;
use http::header::WWW_AUTHENTICATE;
use jiff::Timestamp;
use serde::Deserialize;

use crate::provider::Loose;
use crate::upstream::{Answer, Dialect, Refusal, excerpt};

/// No quota headers are known.
pub(super) const DIALECT: Dialect = Dialect {
    refusal,
    quota: |_| None,
};

/// The scheme of RFC 9449, in lower case, which an organization may insist on.
pub(super) const DPOP: &str = "dpop";

/// Stands before the scheme in the code of a 401.
const CHALLENGE: &str = "challenge:";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body {
    code: Loose<String>,
    message: Loose<String>,
    error: Loose<ErrorField>,
    error_type: Loose<String>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum ErrorField {
    Text(String),
    Object(Inner),
}

#[derive(Clone, Deserialize)]
struct Inner {
    code: Option<String>,
    message: Option<String>,
}

fn refusal(answer: &Answer, _now: Timestamp) -> Refusal {
    let body = serde_json::from_slice::<Body>(&answer.body).unwrap_or_default();
    let (inner_code, inner_text) = match body.error.as_ref() {
        Some(ErrorField::Text(text)) => (None, Some(text.clone())),
        Some(ErrorField::Object(inner)) => (inner.code.clone(), inner.message.clone()),
        None => (None, None),
    };
    let text = body.message.as_ref().cloned().or(inner_text);
    let code = body.code.as_ref().cloned().or(inner_code);
    Refusal {
        kind: None,
        code: asked_scheme(answer)
            .or(code)
            .or_else(|| body.error_type.as_ref().cloned()),
        text: text.or_else(|| raw_text(&answer.body)),
        wait: None,
    }
}

/// The challenge's scheme, never its parameters. `DPoP` goes first: it is the one that nothing but the vendor can change.
fn asked_scheme(answer: &Answer) -> Option<String> {
    if answer.status != StatusCode::UNAUTHORIZED {
        return None;
    }
    let challenges = answer.headers.get_all(WWW_AUTHENTICATE).iter();
    let schemes: Vec<String> = challenges
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|part| part.split_whitespace().next())
        .filter(|word| !word.contains('='))
        .map(|word| excerpt(word).to_ascii_lowercase())
        .collect();
    let dpop = schemes.iter().find(|scheme| *scheme == DPOP);
    let scheme = dpop.or_else(|| schemes.first())?;
    Some(format!("{CHALLENGE}{scheme}"))
}

/// The scheme that a code of ours names.
pub(super) fn challenge(code: &str) -> Option<&str> {
    code.strip_prefix(CHALLENGE)
}

fn raw_text(body: &[u8]) -> Option<String> {
    // Four bytes for each character that an excerpt keeps are more than enough.
    let head = body.get(..1_024).unwrap_or(body);
    let text = excerpt(&String::from_utf8_lossy(head));
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    fn read(status: StatusCode, challenge: Option<&str>, body: impl Into<Bytes>) -> Refusal {
        let mut headers = HeaderMap::new();
        if let Some(challenge) = challenge {
            headers.insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
        }
        let answer = Answer {
            status,
            headers,
            body: body.into(),
        };
        refusal(&answer, Timestamp::UNIX_EPOCH)
    }

    fn texts(body: &'static str) -> (Option<String>, Option<String>) {
        let refusal = read(StatusCode::BAD_REQUEST, None, body);
        (refusal.code, refusal.text)
    }

    #[test]
    fn every_known_form_is_read() {
        let pair =
            |code: Option<&str>, text: &str| (code.map(str::to_owned), Some(text.to_owned()));
        let full = r#"{"code":"QUOTA","message":"quota reached","errorType":"limit","details":{}}"#;
        assert_eq!(texts(full), pair(Some("QUOTA"), "quota reached"));
        assert_eq!(texts(r#"{"message":"no"}"#), pair(None, "no"));
        assert_eq!(texts(r#"{"error":"no"}"#), pair(None, "no"));
        assert_eq!(
            texts(r#"{"error":{"code":"X","message":"no"}}"#),
            pair(Some("X"), "no")
        );
        assert_eq!(texts("<html>\n502</html>"), pair(None, "<html>502</html>"));
        assert_eq!(texts(""), (None, None));
    }

    #[test]
    fn a_401_says_which_scheme_is_asked_for_and_nothing_more() {
        let code = |challenge| read(StatusCode::UNAUTHORIZED, Some(challenge), "").code;
        let dpop = Some("challenge:dpop");
        assert_eq!(
            code("DPoP algs=\"ES256\", error=\"use_dpop_nonce\"").as_deref(),
            dpop
        );
        assert_eq!(
            code("Bearer realm=\"x\", DPoP algs=\"ES256\"").as_deref(),
            dpop
        );
        assert_eq!(
            code("Bearer realm=\"secret\"").as_deref(),
            Some("challenge:bearer")
        );
        let forbidden = read(StatusCode::FORBIDDEN, Some("DPoP"), "");
        assert_eq!(forbidden.code, None);
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            let refusal = read(StatusCode::BAD_GATEWAY, None, body);
            prop_assert!(refusal.text.is_none_or(|text| text.chars().count() <= 256));
        }
    }
}
