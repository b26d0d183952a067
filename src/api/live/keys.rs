//! `Idempotency-Key`: one write, however often it is sent.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use crate::live::{Ending, Finished, Key, MOST_OF_ONE, Once, Outcome, Print, Refusal};

use super::super::code::Code;
use super::super::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// On an answer that was given before.
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const LONGEST: usize = 255;

/// Whether a write wants a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Always,
    IfGiven,
}

/// Reads the key of a request.
///
/// The header is a string of structured fields, in quotes; the bare form that most clients send is the same key.
pub(super) fn key(
    wanted: Wanted,
    caller: &str,
    target: &str,
    headers: &HeaderMap,
) -> Result<Option<Key>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return match wanted {
            Wanted::Always => Err(Problem::new(Code::IdempotencyKeyRequired)),
            Wanted::IfGiven => Ok(None),
        };
    };
    let text = value.to_str().unwrap_or_default().trim();
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    let is_key = (1..=LONGEST).contains(&bare.len())
        && bare.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
        && values.next().is_none();
    if !is_key {
        return Err(Problem::invalid_parameter(
            "Idempotency-Key",
            format!("must be given once, as 1 to {LONGEST} visible ASCII characters"),
        ));
    }
    Ok(Some(Key {
        caller: caller.to_owned(),
        target: target.to_owned(),
        key: bare.to_owned(),
    }))
}

/// What tells one request under a key from another: its query, its condition and its body.
pub(super) fn print(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Print {
    let mut hasher = blake3::Hasher::new();
    let mut take = |part: &[u8]| {
        hasher
            .update(&(part.len() as u64).to_le_bytes())
            .update(part);
    };
    take(uri.query().unwrap_or_default().as_bytes());
    take(
        headers
            .get(http::header::IF_MATCH)
            .map_or(b"", HeaderValue::as_bytes),
    );
    take(body);
    *hasher.finalize().as_bytes()
}

/// The end of a write that succeeded.
pub(super) fn success(
    status: StatusCode,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
) -> Finished {
    Finished {
        outcome: Outcome {
            status: status.as_u16(),
            headers,
            body,
            reach: 0,
        },
        ending: Ending::Final,
    }
}

/// The end of a write that did not.
pub(super) fn refusal(problem: &Problem, ending: Ending) -> Finished {
    Finished {
        outcome: Outcome {
            status: problem.status().as_u16(),
            headers: Vec::new(),
            body: problem.to_kept(),
            reach: 0,
        },
        ending,
    }
}

/// Answers with what a write came to.
pub(super) fn answer(once: Once) -> Response {
    let Once {
        outcome,
        is_replayed,
    } = once;
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if status.is_success() {
        let mut response = Response::new(Body::from(outcome.body));
        *response.status_mut() = status;
        response
    } else {
        let problem = Problem::from_kept(&outcome.body).unwrap_or(Problem::new(Code::Internal));
        axum::response::IntoResponse::into_response(problem)
    };
    let headers = response.headers_mut();
    for (name, value) in outcome.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    if is_replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// Why a write was not begun.
pub(super) fn refused(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Running => {
            Problem::new(Code::IdempotencyInProgress).with_retry_after(Duration::from_secs(2))
        }
        Refusal::OtherRequest => Problem::new(Code::IdempotencyKeyReused),
        Refusal::Full => Problem::new(Code::Overloaded)
            .with_detail("as many writes are running as are allowed")
            .with_retry_after(Duration::from_secs(1)),
        Refusal::Crowded => Problem::new(Code::Overloaded)
            .with_detail(format!(
                "one caller may have {MOST_OF_ONE} writes under way at once, also those whose answers nobody waits for"
            ))
            .with_retry_after(Duration::from_secs(1)),
        Refusal::Stopping => Problem::new(Code::ShuttingDown),
        Refusal::Broken => Problem::new(Code::Internal),
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn read(wanted: Wanted, keys: &[&str]) -> Result<Option<String>, Code> {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(IDEMPOTENCY_KEY, key.parse().unwrap());
        }
        match key(wanted, "me", "POST /clusters", &headers) {
            Ok(found) => Ok(found.map(|found| {
                assert_eq!((&*found.caller, &*found.target), ("me", "POST /clusters"));
                found.key
            })),
            Err(problem) => Err(problem.code()),
        }
    }

    #[test]
    fn a_key_is_read_with_and_without_quotes() {
        assert_eq!(read(Wanted::IfGiven, &["abc-1"]), Ok(Some("abc-1".into())));
        assert_eq!(
            read(Wanted::Always, &["\"abc-1\""]),
            Ok(Some("abc-1".into()))
        );
        assert_eq!(read(Wanted::IfGiven, &[]), Ok(None));
        assert_eq!(read(Wanted::Always, &[]), Err(Code::IdempotencyKeyRequired));
        let long = "x".repeat(256);
        for keys in [
            &["a", "a"][..],
            &[""],
            &["\"\""],
            &["a b"],
            &[&long],
            &["a\"b"],
        ] {
            assert_eq!(
                read(Wanted::IfGiven, keys),
                Err(Code::InvalidParameter),
                "{keys:?}"
            );
        }
    }

    #[test]
    fn the_print_is_of_query_condition_and_body() {
        let print_of = |uri: &'static str, condition: &str, body: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::IF_MATCH, condition.parse().unwrap());
            print(&Uri::from_static(uri), &headers, body)
        };
        let first = print_of("/c?force=true", "\"1\"", b"{}");
        assert_eq!(first, print_of("/c?force=true", "\"1\"", b"{}"));
        for other in [
            print_of("/c", "\"1\"", b"{}"),
            print_of("/c?force=true", "\"2\"", b"{}"),
            print_of("/c?force=true", "\"1\"", b"{ }"),
        ] {
            assert_ne!(first, other);
        }
    }
}
