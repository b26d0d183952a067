//! How Latitude.sh says no: three shapes of one `errors` array, and HTML from the edge in front of it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use crate::provider::Loose;
use crate::upstream::{Answer, Dialect, Refusal};

/// The vendor documents no quota headers and sends none.
pub(super) const DIALECT: Dialect = Dialect {
    refusal,
    quota: |_| None,
};

/// A longer wait is no rate limit of so many calls a minute, but nonsense.
const LONGEST_WAIT: f64 = 3_600.0;

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    errors: Loose<Vec<Loose<Refused>>>,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    code: Loose<String>,
    #[serde(default)]
    message: Loose<String>,
    #[serde(default)]
    detail: Loose<String>,
    #[serde(default)]
    title: Loose<String>,
    #[serde(default)]
    meta: Loose<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    retry_after: Loose<f64>,
}

fn refusal(answer: &Answer, _now: Timestamp) -> Refusal {
    serde_json::from_slice::<Body>(&answer.body)
        .ok()
        .and_then(|body| body.errors.as_ref()?.first()?.as_ref().map(read))
        .unwrap_or_default()
}

fn read(refused: &Refused) -> Refusal {
    let texts = [&refused.message, &refused.detail, &refused.title];
    let wait = refused
        .meta
        .as_ref()
        .and_then(|meta| meta.retry_after.as_ref().copied())
        .filter(|seconds| *seconds <= LONGEST_WAIT)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Refusal {
        kind: None,
        code: text(&refused.code),
        text: texts.into_iter().find_map(text),
        wait,
    }
}

fn text(value: &Loose<String>) -> Option<String> {
    value.as_ref().filter(|text| !text.is_empty()).cloned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use proptest::prelude::*;

    use super::*;

    fn read(body: impl Into<Bytes>) -> Refusal {
        let answer = Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            headers: HeaderMap::new(),
            body: body.into(),
        };
        refusal(&answer, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn each_of_the_three_shapes_is_read() {
        let a =
            read(r#"{"errors":[{"code":"NOT_FOUND","message":"Cluster my-cluster not found"}]}"#);
        assert_eq!(a.code.as_deref(), Some("NOT_FOUND"));
        assert_eq!(a.text.as_deref(), Some("Cluster my-cluster not found"));
        let b = read(
            r#"{"errors":[{"code":null,"status":"422","title":"Unprocessable","detail":"bad site","source":{"pointer":"/data"}}]}"#,
        );
        assert_eq!((b.code, b.text.as_deref()), (None, Some("bad site")));
        let c = read(
            r#"{"errors":[{"code":"not_found","status":"404","title":"Error","detail":"","meta":{}}]}"#,
        );
        assert_eq!(c.code.as_deref(), Some("not_found"));
        assert_eq!(c.text.as_deref(), Some("Error"));
    }

    #[test]
    fn the_body_of_a_429_says_how_long_to_wait() {
        let body = include_str!("../../../fixtures/latitude/error_rate_limited.json");
        assert_eq!(read(body).wait, Some(Duration::from_secs(17)));
        for wait in ["-1", "1e300", "\"soon\"", "null", "86400"] {
            let body = format!(r#"{{"errors":[{{"meta":{{"retry_after":{wait}}}}}]}}"#);
            assert_eq!(read(body).wait, None, "{wait}");
        }
    }

    #[test]
    fn a_page_of_the_edge_says_nothing() {
        assert_eq!(read("<html>error 1015</html>"), Refusal::default());
        assert_eq!(read(""), Refusal::default());
        assert_eq!(read(r#"{"errors":[]}"#), Refusal::default());
        assert_eq!(read(r#"{"errors":["x"]}"#), Refusal::default());
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            read(body);
        }
    }
}
