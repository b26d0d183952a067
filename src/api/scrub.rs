//! What callers wrote, as logs, the audit and problem documents may have it: without what looks like a credential.
//!
//! A key belongs into `Authorization`, and nothing there is ever written down. Callers put them elsewhere by mistake all the same:
//! into the path, the query or the id of a request, plain or percent-encoded.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What stands in place of a credential.
pub(super) const HIDDEN: &str = "[hidden]";

/// How API keys and JWTs begin.
const BEGINNINGS: [&str; 2] = ["cg_", "eyJ"];
/// What names of parameters have in them that are credentials, in letters and digits alone. No operation has such a parameter.
const PARTS: [&str; 8] = [
    "apikey",
    "authorization",
    "bearer",
    "credential",
    "jwt",
    "password",
    "secret",
    "token",
];
/// Names of parameters that are credentials as a whole.
const NAMES: [&str; 3] = ["auth", "key", "pass"];
/// How often a text is decoded, at most: what was encoded more often is still encoded.
const DECODINGS: usize = 3;

/// Whether a text has something in it that looks like a key or a token, encoded or not.
pub(super) fn looks_secret(text: &str) -> bool {
    is_secret(&decoded(text))
}

fn is_secret(text: &str) -> bool {
    BEGINNINGS.iter().any(|start| text.contains(start))
}

/// A path without segments that look like credentials.
pub(super) fn path(raw: &str) -> Cow<'_, str> {
    if !looks_secret(raw) {
        return Cow::Borrowed(raw);
    }
    let segments = raw.split('/').map(|segment| {
        if looks_secret(segment) {
            HIDDEN
        } else {
            segment
        }
    });
    Cow::Owned(segments.collect::<Vec<_>>().join("/"))
}

/// A query without values that look like credentials or have a credential's name.
pub(super) fn query(raw: &str) -> Cow<'_, str> {
    if !raw.split('&').any(is_credential) {
        return Cow::Borrowed(raw);
    }
    let pairs = raw.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_credential(pair) && !looks_secret(name) => {
            Cow::Owned(format!("{name}={HIDDEN}"))
        }
        _ if is_credential(pair) => Cow::Borrowed(HIDDEN),
        _ => Cow::Borrowed(pair),
    });
    Cow::Owned(pairs.collect::<Vec<_>>().join("&"))
}

fn is_credential(pair: &str) -> bool {
    if looks_secret(pair) {
        return true;
    }
    let Some((name, _)) = pair.split_once('=') else {
        return false;
    };
    let name: String = decoded(name)
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    NAMES.contains(&name.as_str()) || PARTS.iter().any(|part| name.contains(part))
}

fn decoded(text: &str) -> Cow<'_, str> {
    let mut decoded = Cow::Borrowed(text);
    for _ in 0..DECODINGS {
        if !decoded.contains('%') {
            break;
        }
        decoded = Cow::Owned(
            percent_decode_str(&decoded)
                .decode_utf8_lossy()
                .into_owned(),
        );
    }
    decoded
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::Request;

    use super::super::testing::{app, json, send_request};
    use super::*;
    use crate::telemetry::testing::listen;

    #[test]
    fn what_looks_like_a_credential_is_not_in_a_query() {
        for plain in [
            "",
            "limit=5&q=keys",
            "label=token",
            "sort=-name&&x",
            "q=%C3%A9%",
        ] {
            assert_eq!(query(plain), plain);
        }
        for (raw, expected) in [
            ("limit=5&access_token=s", "limit=5&access_token=[hidden]"),
            ("Token=s&q=a", "Token=[hidden]&q=a"),
            ("x=cg_0123456789_s", "x=[hidden]"),
            ("cg_0123456789_s", "[hidden]"),
            ("cg_0123456789_s=1", "[hidden]"),
            ("c%67_0123456789_s", "[hidden]"),
            ("x=Bearer%20eyJhbGciOiJ9.e.s&limit=5", "x=[hidden]&limit=5"),
            ("acc%65ss_token=s", "acc%65ss_token=[hidden]"),
            ("acc%2565ss_token=s", "acc%2565ss_token=[hidden]"),
            ("q=c%67_0123456789_s", "q=[hidden]"),
            ("q=c%2567_0123456789_s", "q=[hidden]"),
            ("client_secret=s", "client_secret=[hidden]"),
            ("bearer=s&Bearer=t", "bearer=[hidden]&Bearer=[hidden]"),
            (
                "x-api-key=s&X_Api%2DKey=t",
                "x-api-key=[hidden]&X_Api%2DKey=[hidden]",
            ),
            ("api+key=s&key=t", "api+key=[hidden]&key=[hidden]"),
        ] {
            assert_eq!(query(raw), expected);
        }
    }

    #[test]
    fn what_looks_like_a_credential_is_not_in_a_path() {
        for plain in ["/", "/clusters/main:c-1%2Fb", "/clusters/%", "/keys"] {
            assert_eq!(path(plain), plain);
        }
        for (raw, expected) in [
            ("/clusters/cg_0123456789_s", "/clusters/[hidden]"),
            (
                "/clusters/main:cg_0123456789_s/nodes",
                "/clusters/[hidden]/nodes",
            ),
            ("/clusters/c%67%5f0123456789_s", "/clusters/[hidden]"),
            ("/clusters/%2563g_0123456789_s", "/clusters/[hidden]"),
            ("/eyJhbGciOiJ9.e.s", "/[hidden]"),
        ] {
            assert_eq!(path(raw), expected);
        }
    }

    #[tokio::test]
    async fn keys_in_the_wrong_place_are_not_logged_and_not_repeated() {
        let app = app();
        let heard = listen();
        for (target, id) in [
            ("/clusters/cg_aaaaaaaaaa_SECRET", "cg_aaaaaaaaaa_SECRET"),
            ("/nothing/c%67_aaaaaaaaaa_SECRET", "eyJSECRET.e.s"),
            (
                "/sources?q=c%67_aaaaaaaaaa_SECRET",
                "x-cg_aaaaaaaaaa_SECRET",
            ),
            ("/sources?acc%65ss_token=SECRET", "mine-1"),
        ] {
            let request = Request::get(target)
                .header("host", "localhost")
                .header("x-request-id", id);
            let answer = send_request(&app, request.body(Body::empty()).unwrap()).await;
            let told = answer.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned();
            assert_eq!(told == id, id == "mine-1", "{told}");
            let body = json(answer).await;
            assert_eq!(body["request_id"], told);
            assert!(!body["instance"].to_string().contains("SECRET"), "{body}");
        }
        let log = heard.text();
        assert!(log.contains("http.path=\"/clusters/[hidden]\""), "{log}");
        assert!(!log.contains("SECRET"), "{log}");
    }
}
