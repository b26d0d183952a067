//! From a body to rows: the envelope first, then each row on its own, so that one bad row spoils nothing else.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ErrorKind, ProviderError};

/// Reads the outer object of an answer. Text that is not JSON is [`ErrorKind::Malformed`]; JSON of another shape is
/// [`ErrorKind::UnexpectedShape`].
pub fn envelope<'de, T: Deserialize<'de>>(
    operation: &'static str,
    body: &'de Bytes,
) -> Result<T, ProviderError> {
    serde_json::from_slice(body).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Data => ErrorKind::UnexpectedShape,
            serde_json::error::Category::Io
            | serde_json::error::Category::Syntax
            | serde_json::error::Category::Eof => ErrorKind::Malformed,
        };
        // The message may quote a value of the body, so only the place is kept.
        ProviderError::new(kind, operation).with_detail(format!(
            "line {} column {}",
            error.line(),
            error.column()
        ))
    })
}

/// Reads one row; `None` when it cannot be read at all.
pub fn row<'de, T: Deserialize<'de>>(row: &'de RawValue) -> Option<T> {
    serde_json::from_str(row.get()).ok()
}

/// Reads one row that is an object; serde would take an array for a struct as well.
pub fn object<'de, T: Deserialize<'de>>(text: &'de RawValue) -> Option<T> {
    text.get().starts_with('{').then(|| row(text)).flatten()
}

/// Writes a wire struct back as the `raw` object: what the struct does not declare never gets through.
pub fn raw(wire: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(wire).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct List<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }

    #[test]
    fn rows_come_out_one_by_one() {
        let body = Bytes::from_static(br#"{"data":[{"a":1},2]}"#);
        let list: List<'_> = envelope("list", &body).unwrap();
        assert_eq!(
            list.data.iter().map(|row| row.get()).collect::<Vec<_>>(),
            [r#"{"a":1}"#, "2"]
        );
    }

    #[test]
    fn an_object_is_no_array() {
        let row: &RawValue = serde_json::from_str("[[]]").unwrap();
        assert!(super::row::<List<'_>>(row).is_some());
        assert!(object::<List<'_>>(row).is_none());
        let row: &RawValue = serde_json::from_str(r#"{"data":[]}"#).unwrap();
        assert!(object::<List<'_>>(row).is_some());
    }

    fn kind(body: &'static str) -> ErrorKind {
        envelope::<List<'_>>("list", &Bytes::from_static(body.as_bytes()))
            .unwrap_err()
            .kind
    }

    #[test]
    fn not_json_and_another_shape_are_told_apart() {
        assert_eq!(kind("<html>"), ErrorKind::Malformed);
        assert_eq!(kind(r#"{"data":[{"a":1}"#), ErrorKind::Malformed);
        assert_eq!(kind(""), ErrorKind::Malformed);
        assert_eq!(kind(r#"{"clusters":[]}"#), ErrorKind::UnexpectedShape);
        assert_eq!(kind(r#"{"data":null}"#), ErrorKind::UnexpectedShape);
        assert_eq!(kind("[]"), ErrorKind::UnexpectedShape);
    }

    #[test]
    fn an_error_quotes_nothing_of_the_body() {
        let body = Bytes::from_static(br#"{"data":"secret-canary"}"#);
        let error = envelope::<List<'_>>("list", &body).unwrap_err();
        assert!(!format!("{error:?}").contains("canary"));
    }
}
