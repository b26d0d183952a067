//! Leaves only the wanted fields of a prepared cluster.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::value::RawValue;

use super::super::code::Code;
use super::super::problem::Problem;

/// Appends the wanted fields of one cluster's JSON object, in the given order.
pub(super) fn keep_fields(row: &[u8], fields: &[&str], body: &mut Vec<u8>) -> Result<(), Problem> {
    let members: HashMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(row).map_err(|error| {
            tracing::error!(%error, "a prepared row is not an object");
            Problem::new(Code::Internal)
        })?;
    body.push(b'{');
    let mut is_first = true;
    for field in fields {
        if let Some(value) = members.get(*field) {
            if !is_first {
                body.push(b',');
            }
            is_first = false;
            // Field names are our own words and need no escape.
            body.extend_from_slice(format!("\"{field}\":").as_bytes());
            body.extend_from_slice(value.get().as_bytes());
        }
    }
    body.push(b'}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_wanted_fields_stay() {
        let mut body = Vec::new();
        keep_fields(
            br#"{"id":"a:1","name":"x","nodes":{"total":3},"cost":null}"#,
            &["id", "nodes", "cost", "raw"],
            &mut body,
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"id":"a:1","nodes":{"total":3},"cost":null}"#
        );
    }
}
