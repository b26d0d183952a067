//! How the JFrog platform says no: three forms of body, and HTML from proxies. It tells no quota.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::timestamp;
use crate::provider::Loose;
use crate::upstream::{Answer, Dialect, Refusal, excerpt};

/// JFrog's forms of errors.
pub(super) const DIALECT: Dialect = Dialect {
    refusal,
    quota: |_| None,
};

/// A longer wait than this is a clock that is wrong.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

#[derive(Deserialize)]
struct Body {
    /// Documented for clusters.
    #[serde(default)]
    error: Loose<String>,
    /// The platform's router.
    #[serde(default)]
    message: Loose<String>,
    /// Artifactory, and what was built on it.
    #[serde(default)]
    errors: Loose<Vec<Loose<Error>>>,
    /// When calls are accepted again; read by the vendor's own client.
    #[serde(default)]
    reset_at: Loose<String>,
}

#[derive(Default, Deserialize)]
struct Error {
    #[serde(default)]
    message: Loose<String>,
    /// Sent as a number by some services and as a word by others.
    #[serde(default)]
    code: Loose<Box<RawValue>>,
}

fn refusal(answer: &Answer, now: Timestamp) -> Refusal {
    let Ok(body) = serde_json::from_slice::<Body>(&answer.body) else {
        return Refusal::default();
    };
    let first = body
        .errors
        .as_ref()
        .and_then(|errors| errors.first()?.as_ref());
    let text = body
        .error
        .as_ref()
        .or(body.message.as_ref())
        .or_else(|| first?.message.as_ref());
    Refusal {
        kind: None,
        code: first
            .and_then(|error| error.code.as_ref())
            .map(|code| excerpt(code.get().trim_matches('"'))),
        text: text.map(|text| excerpt(text)),
        wait: body
            .reset_at
            .as_ref()
            .and_then(|text| timestamp(text))
            .and_then(|reset| Duration::try_from(reset.duration_since(now)).ok())
            .filter(|wait| !wait.is_zero() && *wait <= LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn read(body: &'static str) -> Refusal {
        let answer = Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        refusal(&answer, "2026-10-02T08:00:00Z".parse().unwrap())
    }

    #[test]
    fn all_three_forms_are_read() {
        let text = |body| read(body).text.unwrap();
        assert_eq!(
            text(include_str!("../../../fixtures/runtime/error.json")),
            "error message"
        );
        assert_eq!(
            text(include_str!("../../../fixtures/runtime/error-message.json")),
            "Token failed verification"
        );
        assert_eq!(
            text(include_str!("../../../fixtures/runtime/error-errors.json")),
            "Unauthorized"
        );
    }

    #[test]
    fn what_is_none_of_them_says_nothing() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"error":{"a":1},"errors":[7]}"#,
        ] {
            assert_eq!(read(body), Refusal::default(), "{body}");
        }
    }

    #[test]
    fn the_body_tells_the_wait_where_it_can_be_true() {
        assert_eq!(
            read(r#"{"reset_at":"2026-10-02T08:00:42Z"}"#).wait,
            Some(Duration::from_secs(42))
        );
        for body in [
            r#"{"reset_at":"2026-10-02T07:59:59Z"}"#,
            r#"{"reset_at":"2036-10-02T08:00:00Z"}"#,
            r#"{"reset_at":"soon"}"#,
        ] {
            assert_eq!(read(body).wait, None, "{body}");
        }
    }
}
