//! Answers that no handler gives: to what could not be understood, and to connections over the cap.
//!
//! The protocol implementation answers a head that it cannot read by itself, with a status and nothing more, and has no place to
//! say otherwise. So its answer is completed on its way out, into the problem document that every other refusal is.

use std::fmt::Write as _;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;

use crate::api::problem::PROBLEM_JSON;
use crate::api::{Code, Problem, armor};

/// Its answers are shorter; an answer of a handler may be of any length.
const LONGEST: usize = 256;

/// Where the document is announced, in its answers and in no answer of a handler: each of those has a request id before.
const EMPTY: &str = "\r\ncontent-length: 0\r\n";

/// The whole answer in place of one that the protocol implementation gave by itself; `None` when these bytes are anything else.
pub(super) fn complete(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > LONGEST || !bytes.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let head = str::from_utf8(bytes).ok()?;
    let code = match head.get(9..12)? {
        "400" => Code::MalformedRequest,
        "414" => Code::UriTooLong,
        "431" => Code::HeadersTooLarge,
        _ => return None,
    };
    let (before, after) = head.split_once(EMPTY)?;
    let is_alone = head.find("\r\n\r\n") == Some(head.len() - 4);
    if !is_alone || head.contains("x-request-id") {
        return None;
    }
    let (headers, body) = parts(&Problem::new(code));
    Some(format!("{before}\r\n{headers}{after}{body}").into_bytes())
}

/// What a connection over the cap is told.
pub(super) fn over_the_cap() -> Vec<u8> {
    let problem = Problem::new(Code::Overloaded)
        .with_detail("there are as many connections as are allowed")
        .with_retry_after(Duration::from_secs(1));
    let (headers, body) = parts(&problem);
    let status = StatusCode::SERVICE_UNAVAILABLE;
    format!("HTTP/1.1 {status}\r\n{RETRY_AFTER}: 1\r\nconnection: close\r\n{headers}\r\n{body}")
        .into_bytes()
}

/// The headers of a document, and the document.
fn parts(problem: &Problem) -> (String, String) {
    // Plain text and numbers always serialize; an empty body would still carry the right status.
    let body = serde_json::to_string(problem.document()).unwrap_or_default();
    let mut headers = format!(
        "content-type: {PROBLEM_JSON}\r\ncontent-length: {}\r\ncache-control: no-store\r\n",
        body.len()
    );
    for (name, value) in &armor::HEADERS {
        let value = value.to_str().unwrap_or_default();
        let _ = write!(headers, "{name}: {value}\r\n");
    }
    (headers, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(answer: &[u8]) -> String {
        let text = str::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{head}"
        );
        assert_eq!(head.matches("content-length").count(), 1, "{head}");
        assert!(head.contains("\r\nx-frame-options: DENY"), "{head}");
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(body["status"].to_string(), head[9..12]);
        body["code"].as_str().unwrap().to_owned()
    }

    #[test]
    fn an_answer_of_the_protocol_alone_is_completed() {
        for (status, expected) in [
            ("400 Bad Request", "MALFORMED_REQUEST"),
            ("414 URI Too Long", "URI_TOO_LONG"),
            ("431 Request Header Fields Too Large", "HEADERS_TOO_LARGE"),
        ] {
            let answer = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
            );
            let completed = complete(answer.as_bytes()).unwrap();
            assert_eq!(code(&completed), expected);
            assert!(completed.starts_with(answer.split_once("content").unwrap().0.as_bytes()));
            assert!(
                String::from_utf8(completed)
                    .unwrap()
                    .contains("\r\ndate: Sun")
            );
        }
    }

    #[test]
    fn everything_else_is_left_alone() {
        let long = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{:300}\r\n\r\n",
            "x: "
        );
        for bytes in [
            "",
            "HTTP/1.1 4",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-request-id: 1\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "x HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            &long,
        ] {
            assert_eq!(complete(bytes.as_bytes()), None, "{bytes}");
        }
        assert_eq!(
            complete(b"HTTP/1.1 400 \xff\r\ncontent-length: 0\r\n\r\n"),
            None
        );
    }

    #[test]
    fn a_connection_over_the_cap_is_told_when_to_come_again() {
        let answer = over_the_cap();
        assert_eq!(code(&answer), "OVERLOADED");
        assert!(answer.starts_with(b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"));
    }
}
