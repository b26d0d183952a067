//! How Prime Intellect says no: five forms of body. It tells no quota.

use serde_json::Value;

use crate::upstream::{Answer, Dialect, Refusal, excerpt};

/// Prime Intellect's forms of errors.
pub(super) const DIALECT: Dialect = Dialect {
    refusal: |answer, _| refusal(answer),
    quota: |_| None,
};

fn refusal(answer: &Answer) -> Refusal {
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
        return Refusal::default();
    };
    let code = ["/error/code", "/detail/0/type"]
        .into_iter()
        .find_map(|place| body.pointer(place)?.as_str());
    Refusal {
        kind: None,
        code: code.map(excerpt),
        text: text(&body).map(|text| excerpt(&text)),
        wait: None,
    }
}

/// The text, from where each form has it; the first two name what they are about, since a validation error is of no use
/// without it.
fn text(body: &Value) -> Option<String> {
    let named = |name: Option<&str>, text: &str| match name {
        Some(name) => format!("{name}: {text}"),
        None => text.to_owned(),
    };
    if let Some(text) = body.pointer("/errors/0/details").and_then(Value::as_str) {
        return Some(named(
            body.pointer("/errors/0/param").and_then(Value::as_str),
            text,
        ));
    }
    if let Some(text) = body.pointer("/detail/0/msg").and_then(Value::as_str) {
        let place = body.pointer("/detail/0/loc").and_then(Value::as_array);
        return Some(named(place.and_then(|place| place.last()?.as_str()), text));
    }
    ["/detail", "/error/message", "/message", "/error"]
        .into_iter()
        .find_map(|place| body.pointer(place)?.as_str())
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;

    fn read(body: &'static str) -> Refusal {
        refusal(&Answer {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            headers: HeaderMap::new(),
            body: body.into(),
        })
    }

    #[test]
    fn every_form_is_read() {
        let too_large = "limit: Input should be less than or equal to 100";
        for (body, text) in [
            (
                include_str!("../../../fixtures/prime-intellect/error-errors.json"),
                too_large,
            ),
            (
                include_str!("../../../fixtures/prime-intellect/error-detail-list.json"),
                too_large,
            ),
            (
                include_str!("../../../fixtures/prime-intellect/error-detail.json"),
                "Not authenticated",
            ),
            (r#"{"error":{"message":"no","type":"t","code":"c"}}"#, "no"),
            (r#"{"message":"no"}"#, "no"),
            (r#"{"error":"no"}"#, "no"),
        ] {
            assert_eq!(read(body).text.as_deref(), Some(text), "{body}");
        }
        let code = |body| read(body).code;
        assert_eq!(
            code(r#"{"error":{"message":"no","code":"c"}}"#).as_deref(),
            Some("c")
        );
    }

    #[test]
    fn what_is_none_of_them_says_nothing() {
        for body in [
            "",
            "<html>",
            "[]",
            "{}",
            "null",
            r#"{"detail":{"a":1},"errors":[7]}"#,
        ] {
            assert_eq!(read(body), Refusal::default(), "{body}");
        }
    }
}
