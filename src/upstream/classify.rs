//! What an answer means: the one table from HTTP statuses to kinds of failure, and the vendor's hints.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderMap, Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use tower::ServiceExt as _;

use super::layer::{Pass, Within};
use super::pace::Pacer;
use super::{Answer, Dialect, FailureKind, UpstreamError, excerpt};

/// No hint holds calls back longer than this: one absurd header must not silence a source for a day.
pub(super) const LONGEST_HINT: Duration = Duration::from_mins(15);

/// Up to this difference our clock is taken for right, since the vendor's `Date` has whole seconds only.
const CLOCKS_AGREE: SignedDuration = SignedDuration::from_secs(2);

/// Turns answers into successes and failures, and notes the quota they tell.
#[derive(Clone)]
pub(super) struct Classify {
    pub(super) dialect: Dialect,
    pub(super) pacer: Arc<Pacer>,
}

impl<S: Within> Pass<S> for Classify {
    async fn pass(self, within: S, request: Request<Bytes>) -> Result<Answer, UpstreamError> {
        let answer = within.oneshot(request).await?;
        let now = vendor_time(&answer.headers, Timestamp::now());
        if let Some(quota) = (self.dialect.quota)(&answer.headers) {
            self.pacer.note_quota(quota, now);
        }
        judge(answer, &self.dialect, now)
    }
}

/// Passes what an adapter can read; everything else is a failure with its kind and the vendor's hints.
fn judge(answer: Answer, dialect: &Dialect, now: Timestamp) -> Result<Answer, UpstreamError> {
    if answer.status.is_success() {
        return if answer.body.is_empty() || is_json(&answer.headers) {
            Ok(answer)
        } else {
            let mut error = UpstreamError::new(FailureKind::ContentType)
                .with_text(content_type(&answer.headers).unwrap_or_default());
            error.status = Some(answer.status);
            Err(error)
        };
    }
    let refusal = (dialect.refusal)(&answer, now);
    // A vendor's own hint is the better one where there are two: some send a flat `Retry-After` beside it.
    let wait = refusal
        .wait
        .filter(|wait| !wait.is_zero())
        .or_else(|| retry_after(&answer.headers, now))
        .map(|wait| wait.min(LONGEST_HINT));
    Err(UpstreamError {
        kind: refusal.kind.unwrap_or_else(|| kind_of(answer.status)),
        status: Some(answer.status),
        code: refusal.code.as_deref().map(excerpt),
        text: refusal.text.as_deref().map(excerpt),
        wait,
        attempts: 1,
    })
}

fn kind_of(status: StatusCode) -> FailureKind {
    match status.as_u16() {
        300..=399 => FailureKind::Redirected,
        401 => FailureKind::Unauthorized,
        403 => FailureKind::Forbidden,
        404 | 410 => FailureKind::NotFound,
        429 => FailureKind::RateLimited,
        // 408: the vendor gave up waiting for our request, with which nothing is wrong.
        408 | 500..=599 => FailureKind::Unavailable,
        400..=499 => FailureKind::Rejected,
        _ => FailureKind::Garbled,
    }
}

/// The time at the vendor, so that its points in time become right durations here even if a clock is wrong.
fn vendor_time(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    match headers
        .get(DATE)
        .and_then(|date| http_date(date.to_str().ok()?))
    {
        Some(date) if now.duration_since(date).abs() > CLOCKS_AGREE => date,
        Some(_) | None => now,
    }
}

pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse::<u64>() {
        Duration::from_secs(seconds)
    } else if let Ok(seconds) = text.parse::<f64>() {
        // Not in the standard, but sent; infinite and negative values are no hint.
        Duration::try_from_secs_f64(seconds).ok()?
    } else {
        Duration::try_from(http_date(text)?.duration_since(now)).ok()?
    };
    Some(wait).filter(|wait| !wait.is_zero())
}

fn http_date(text: &str) -> Option<Timestamp> {
    Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok()
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let bytes = headers.get(CONTENT_TYPE)?.as_bytes();
    Some(String::from_utf8_lossy(bytes).into_owned())
}

/// A body without a content type gets the benefit of the doubt: the adapter's parser decides.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = content_type(headers) else {
        return true;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || (essence.contains('/') && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Refusal;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers
                .iter()
                .map(|(name, value)| {
                    (
                        http::HeaderName::from_static(name),
                        value.parse::<http::HeaderValue>().unwrap(),
                    )
                })
                .collect(),
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn each_status_has_its_kind() {
        for (status, kind) in [
            (301, FailureKind::Redirected),
            (304, FailureKind::Redirected),
            (400, FailureKind::Rejected),
            (401, FailureKind::Unauthorized),
            (403, FailureKind::Forbidden),
            (404, FailureKind::NotFound),
            (408, FailureKind::Unavailable),
            (410, FailureKind::NotFound),
            (422, FailureKind::Rejected),
            (429, FailureKind::RateLimited),
            (500, FailureKind::Unavailable),
            (503, FailureKind::Unavailable),
            (599, FailureKind::Unavailable),
            (999, FailureKind::Garbled),
        ] {
            let error = judge(answer(status, &[], "x"), &Dialect::PLAIN, now()).unwrap_err();
            assert_eq!(error.kind, kind, "{status}");
        }
    }

    #[test]
    fn only_json_succeeds() {
        for (content_type, good) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("application/problem+json; x=y", true),
            ("text/html", false),
            ("application/jsonp", false),
            ("+json", false),
            ("", false),
        ] {
            let result = judge(
                answer(200, &[("content-type", content_type)], "{}"),
                &Dialect::PLAIN,
                now(),
            );
            assert_eq!(result.is_ok(), good, "{content_type}");
        }
        assert!(judge(answer(200, &[], "{}"), &Dialect::PLAIN, now()).is_ok());
        let empty = answer(204, &[("content-type", "text/plain")], "");
        assert!(judge(empty, &Dialect::PLAIN, now()).is_ok());
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped() {
        for (text, wait) in [
            ("2", Some(2_000)),
            ("1.5", Some(1_500)),
            ("Sun, 01 Mar 2026 12:00:07 GMT", Some(7_000)),
            ("Sun, 01 Mar 2026 11:00:00 GMT", None),
            ("0", None),
            ("-3", None),
            ("inf", None),
            ("soon", None),
            ("99999999999999", Some(900_000)),
        ] {
            let error = judge(
                answer(503, &[("retry-after", text)], ""),
                &Dialect::PLAIN,
                now(),
            )
            .unwrap_err();
            assert_eq!(error.wait, wait.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_wrong_clock_does_not_bend_a_date() {
        let headers = answer(
            429,
            &[
                ("date", "Sun, 01 Mar 2026 10:00:00 GMT"),
                ("retry-after", "Sun, 01 Mar 2026 10:00:05 GMT"),
            ],
            "",
        )
        .headers;
        let there = vendor_time(&headers, now());
        assert_eq!(retry_after(&headers, there), Some(Duration::from_secs(5)));
    }

    #[test]
    fn the_vendors_own_hint_and_kind_win() {
        let dialect = Dialect {
            refusal: |_, _| Refusal {
                kind: Some(FailureKind::RateLimited),
                code: Some("quota".into()),
                text: Some("a\nb".repeat(400)),
                wait: Some(Duration::from_secs(3)),
            },
            ..Dialect::PLAIN
        };
        let error = judge(answer(403, &[("retry-after", "60")], ""), &dialect, now()).unwrap_err();
        assert_eq!(error.kind, FailureKind::RateLimited);
        assert_eq!(error.wait, Some(Duration::from_secs(3)));
        assert_eq!(error.text.unwrap().len(), 256);
    }
}
