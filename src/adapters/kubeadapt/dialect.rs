//! How Kubeadapt says no and tells its quota.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

use crate::provider::Loose;
use crate::upstream::{Answer, Dialect, Quota, Refusal, excerpt};

/// Kubeadapt's form of errors and of quota headers.
pub(super) const DIALECT: Dialect = Dialect { refusal, quota };

/// Our own code for an error in the form of the older generation; the vendor's codes are upper-case words.
pub(super) const OLDER_GENERATION: &str = "older-generation";

/// A window is a minute; a reset further away than this is a clock that is wrong.
const LONGEST_WINDOW: Duration = Duration::from_hours(1);

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    error: Loose<Error>,
    #[serde(default)]
    meta: Loose<Meta>,
    #[serde(default)]
    detail: Loose<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct Error {
    #[serde(default)]
    code: Loose<String>,
    #[serde(default)]
    message: Loose<String>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default)]
    request_id: Loose<String>,
}

fn refusal(answer: &Answer, now: Timestamp) -> Refusal {
    let mut refusal = Refusal {
        wait: wait(answer, now),
        ..Refusal::default()
    };
    let Ok(body) = serde_json::from_slice::<Body>(&answer.body) else {
        return refusal;
    };
    if let Some(error) = body.error.as_ref() {
        refusal.code = error.code.as_ref().map(|code| excerpt(code));
        refusal.text = error.message.as_ref().map(|text| excerpt(text));
    } else if let Some(detail) = body.detail.as_ref() {
        // A quota or a failing server says nothing about what this account would be served.
        let is_final =
            answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS;
        refusal.code = is_final.then(|| OLDER_GENERATION.to_owned());
        refusal.text = detail.as_str().map(excerpt);
    }
    // The request id is in the body only, never in a header, and support asks for it.
    let request_id = body.meta.as_ref().and_then(|meta| meta.request_id.as_ref());
    if let (Some(text), Some(id)) = (refusal.text.take(), request_id) {
        refusal.text = Some(excerpt(&format!("{text} (request {id})")));
    }
    refusal
}

/// `Retry-After` is a flat 60 seconds here, whatever the window has left, so that the reset is the better clock.
fn wait(answer: &Answer, now: Timestamp) -> Option<Duration> {
    if answer.status != StatusCode::TOO_MANY_REQUESTS {
        return None;
    }
    let resets_at = quota(&answer.headers)?.resets_at?;
    Duration::try_from(resets_at.duration_since(now))
        .ok()
        .filter(|wait| !wait.is_zero() && *wait <= LONGEST_WINDOW)
}

fn quota(headers: &HeaderMap) -> Option<Quota> {
    let number =
        |name: &str| -> Option<u64> { headers.get(name)?.to_str().ok()?.trim().parse().ok() };
    let quota = Quota {
        limit: number("x-ratelimit-limit"),
        remaining: number("x-ratelimit-remaining"),
        resets_at: number("x-ratelimit-reset")
            .and_then(|seconds| i64::try_from(seconds).ok())
            .and_then(|seconds| Timestamp::from_second(seconds).ok()),
    };
    let says_something =
        quota.limit.is_some() || quota.remaining.is_some() || quota.resets_at.is_some();
    says_something.then_some(quota)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn the_code_the_text_and_the_request_are_read() {
        let body = include_str!("../../../fixtures/kubeadapt/error-cursor-expired.json");
        let refusal = refusal(&answer(410, body), now());
        assert_eq!(refusal.code.as_deref(), Some("CURSOR_EXPIRED"));
        assert_eq!(
            refusal.text.as_deref(),
            Some("cursor no longer valid (request req_01JX0000000000000000000005)")
        );
        assert_eq!(refusal.kind, None);
    }

    #[test]
    fn the_older_generation_gives_itself_away_unless_the_failure_passes() {
        let body = include_str!("../../../fixtures/kubeadapt/legacy-error.json");
        assert_eq!(
            refusal(&answer(401, body), now()).code.as_deref(),
            Some(OLDER_GENERATION)
        );
        assert_eq!(refusal(&answer(503, body), now()).code, None);
    }

    #[test]
    fn a_body_that_is_not_json_says_nothing() {
        assert_eq!(refusal(&answer(502, "<html>"), now()), Refusal::default());
        assert_eq!(refusal(&answer(500, "[]"), now()), Refusal::default());
    }

    #[test]
    fn the_reset_tells_the_wait_where_it_can_be_true() {
        let wait = |reset: &'static str| {
            let mut answer = answer(429, "{}");
            answer
                .headers
                .insert("x-ratelimit-reset", HeaderValue::from_static(reset));
            refusal(&answer, now()).wait
        };
        assert_eq!(wait("1800000017"), Some(Duration::from_secs(17)));
        for reset in [
            "1799999999",
            "1800000000",
            "1900000000",
            "soon",
            "99999999999999999999",
        ] {
            assert_eq!(wait(reset), None, "{reset}");
        }
    }

    #[test]
    fn quota_headers_are_read_as_far_as_they_are_there() {
        let mut headers = HeaderMap::new();
        assert_eq!(quota(&headers), None);
        headers.insert("x-ratelimit-remaining", HeaderValue::from_static("4"));
        let quota = quota(&headers).unwrap();
        assert_eq!(
            (quota.limit, quota.remaining, quota.resets_at),
            (None, Some(4), None)
        );
    }
}
