//! Bodies of writes, read strictly: what is not understood is refused, never ignored.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::code::Code;
use super::super::problem::{Problem, echo};
use super::objects::Objects;

/// Media types of a whole thing.
pub(super) const JSON: &[&str] = &["application/json"];
/// Media types of a change.
pub(super) const PATCH: &[&str] = &["application/json", "application/merge-patch+json"];

/// Refuses a body that is not of one of these media types.
pub(super) fn is_of(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let text = types.next().and_then(|value| value.to_str().ok());
    let essence = text.map(|text| text.split(';').next().unwrap_or_default().trim());
    let is_accepted = types.next().is_none()
        && essence.is_some_and(|essence| {
            accepted
                .iter()
                .any(|accepted| essence.eq_ignore_ascii_case(accepted))
        });
    if is_accepted {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType)
        .with_detail(format!("the body must be {}", accepted.join(" or "))))
}

/// Reads JSON into what it must be; a field that is not known, missing or of another type is named by its path.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let reader = &mut serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(Objects(&mut *reader)).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        match error.classify() {
            serde_json::error::Category::Data => {
                let path = if path == "." { String::new() } else { path };
                invalid(&path, &error)
            }
            serde_json::error::Category::Eof => {
                Problem::new(Code::InvalidBody).with_detail("the body ends before its JSON does")
            }
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
                Problem::new(Code::InvalidBody).with_detail(format!(
                    "the body is not JSON: line {}, column {}",
                    error.line(),
                    error.column()
                ))
            }
        }
    })?;
    reader.end().map_err(|_| {
        Problem::new(Code::InvalidBody).with_detail("something follows the JSON in the body")
    })?;
    Ok(value)
}

/// A text that serde writes of a value; its place in the body is said by the path.
fn invalid(path: &str, error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    let name = text.split('`').nth(1);
    let (path, text) = match name {
        // The path ends at the object that misses the field.
        Some(field) if text.starts_with("missing field") => {
            let path = if path.is_empty() {
                field.to_owned()
            } else {
                format!("{path}.{field}")
            };
            (path, "is missing".to_owned())
        }
        _ => (path.to_owned(), text.chars().take(256).collect()),
    };
    let path = if path.is_empty() { "body" } else { &path };
    Problem::new(Code::InvalidValues).with_field(path, text, None)
}

/// Refuses nulls of a change: in a merge patch they remove something, and nothing of a cluster can be removed so.
pub(super) fn has_no_nulls(body: &[u8]) -> Result<(), Problem> {
    let Ok(fields) = serde_json::from_slice::<BTreeMap<String, Value>>(body) else {
        return Ok(());
    };
    let mut nulls = Vec::new();
    for (name, value) in &fields {
        match value {
            Value::Null => nulls.push(name.clone()),
            Value::Array(items) if name == "node_groups" => {
                for (at, item) in items.iter().enumerate() {
                    let members = item.as_object().into_iter().flatten();
                    let of_group = members.filter(|(_, value)| value.is_null());
                    nulls.extend(of_group.map(|(field, _)| format!("{name}[{at}].{field}")));
                }
            }
            Value::Array(_)
            | Value::Object(_)
            | Value::String(_)
            | Value::Bool(_)
            | Value::Number(_) => {}
        }
    }
    if nulls.is_empty() {
        return Ok(());
    }
    let problem = Problem::new(Code::InvalidValues);
    Err(nulls.iter().take(32).fold(problem, |problem, path| {
        let reason = "cannot be removed: leave it out, and it stays as it is";
        problem.with_field(&echo(path), reason, None)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ClusterPatch, ClusterSpec};

    fn refusal<T: DeserializeOwned>(body: &str) -> (Code, Vec<String>) {
        let problem = parse::<T>(body.as_bytes()).err().unwrap();
        let errors = problem.document().errors.iter();
        (
            problem.code(),
            errors
                .map(|error| format!("{} {}", error.parameter, error.detail))
                .collect(),
        )
    }

    #[test]
    fn what_is_wrong_is_named_by_its_path() {
        let (code, errors) =
            refusal::<ClusterSpec>(r#"{"name":"a","node_groups":[{"min_sze":1}]}"#);
        assert_eq!(code, Code::InvalidValues);
        assert!(
            errors[0].starts_with("node_groups[0].min_sze unknown field `min_sze`"),
            "{errors:?}"
        );
        let (_, errors) = refusal::<ClusterSpec>(r#"{"name":"a","node_groups":[{"min_size":-1}]}"#);
        assert!(
            errors[0].starts_with("node_groups[0].min_size invalid value"),
            "{errors:?}"
        );
        let (_, errors) = refusal::<ClusterSpec>("{}");
        assert_eq!(errors, ["name is missing"]);
        let (_, errors) = refusal::<ClusterSpec>("[]");
        assert!(errors[0].starts_with("body invalid"), "{errors:?}");
    }

    #[test]
    fn a_list_is_no_object() {
        let whole = r#"["edge",null,null,null,[],null,{}]"#;
        let (code, errors) = refusal::<ClusterSpec>(whole);
        assert_eq!(code, Code::InvalidValues);
        assert_eq!(
            errors,
            ["body invalid type: sequence, expected struct ClusterSpec"]
        );
        let groups = r#"{"name":"a","node_groups":[{},["pool",null,1,2,3,4]]}"#;
        for refused in [
            refusal::<ClusterSpec>(groups),
            refusal::<ClusterPatch>(groups),
        ] {
            assert_eq!(refused.0, Code::InvalidValues);
            assert_eq!(
                refused.1,
                ["node_groups[1] invalid type: sequence, expected struct NodeGroupSpec"]
            );
        }
        let good = r#"{"name":"a","node_groups":[{"min_size":1}],"public_access_cidrs":["::/0"],"options":{"x":[1,{"y":[null,1.5]}]}}"#;
        let read = parse::<ClusterSpec>(good.as_bytes()).unwrap();
        let plain: ClusterSpec = serde_json::from_str(good).unwrap();
        assert_eq!(read, plain);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in [
            "",
            "{",
            "{\"name\":\"a",
            "name=a",
            "{\"name\":\"a\"} x",
            "\u{feff}{}",
        ] {
            assert_eq!(
                refusal::<ClusterSpec>(body),
                (Code::InvalidBody, Vec::new()),
                "{body}"
            );
        }
        let deep = "[".repeat(10_000);
        assert_eq!(refusal::<Value>(&deep).0, Code::InvalidBody);
    }

    #[test]
    fn a_null_in_a_change_is_refused() {
        let refused = |body: &str| {
            let problem = has_no_nulls(body.as_bytes()).err()?;
            let errors = problem.document().errors.iter();
            Some(
                errors
                    .map(|error| error.parameter.clone())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            refused(r#"{"name":null,"node_groups":[{"name":"a","min_size":null}]}"#).unwrap(),
            ["name", "node_groups[0].min_size"]
        );
        assert_eq!(refused(r#"{"name":"a","options":{"x":null}}"#), None);
        assert!(parse::<ClusterPatch>(b"{}").unwrap().is_empty());
    }

    #[test]
    fn the_media_type_must_be_said() {
        let mut headers = HeaderMap::new();
        assert!(is_of(&headers, JSON).is_err());
        for (text, is_json, is_patch) in [
            ("application/json", true, true),
            ("Application/JSON; charset=utf-8", true, true),
            ("application/merge-patch+json", false, true),
            ("text/plain", false, false),
            ("application/jsonx", false, false),
        ] {
            headers.insert(CONTENT_TYPE, text.parse().unwrap());
            assert_eq!(
                (
                    is_of(&headers, JSON).is_ok(),
                    is_of(&headers, PATCH).is_ok()
                ),
                (is_json, is_patch),
                "{text}"
            );
        }
    }
}
