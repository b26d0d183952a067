//! OpenAPI 3.1 rewritten as 3.0.3.
//!
//! Only what our documents use is rewritten; a test reads the result for anything that 3.0 does not know.

use serde_json::{Map, Value, json};

/// Rewrites a whole document.
pub(super) fn to_3_0(mut document: Value) -> Value {
    rewrite(&mut document, Place::Other);
    if let Some(root) = document.as_object_mut() {
        root.insert("openapi".to_owned(), json!("3.0.3"));
        root.remove("jsonSchemaDialect");
        root.remove("webhooks");
    }
    if let Some(license) = document
        .pointer_mut("/info/license")
        .and_then(Value::as_object_mut)
        && let Some(Value::String(identifier)) = license.remove("identifier")
    {
        license
            .entry("url")
            .or_insert_with(|| format!("https://spdx.org/licenses/{identifier}.html").into());
    }
    if let Some(info) = document.pointer_mut("/info").and_then(Value::as_object_mut) {
        info.remove("summary");
    }
    document
}

/// What a value is, since a property may be named like a keyword.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A schema.
    Schema,
    /// Schemas by name: the keys are names, not keywords.
    Schemas,
    /// A value that is data, not contract.
    Data,
    /// Anything else of the document.
    Other,
}

fn rewrite(value: &mut Value, place: Place) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, place)),
        Value::Object(object) => {
            if place == Place::Schema {
                rewrite_schema(object);
            }
            for (key, child) in object.iter_mut() {
                rewrite(child, place_of(place, key));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn place_of(parent: Place, key: &str) -> Place {
    match (parent, key) {
        (Place::Data, _)
        | (Place::Other, "example" | "examples")
        | (Place::Schema, "enum" | "default" | "example" | "required") => Place::Data,
        (Place::Other, "schemas") | (Place::Schema, "properties") => Place::Schemas,
        (Place::Schemas | Place::Schema, _) | (Place::Other, "schema") => Place::Schema,
        (Place::Other, _) => Place::Other,
    }
}

fn rewrite_schema(schema: &mut Map<String, Value>) {
    schema.remove("$schema");
    schema.remove("$comment");
    schema.remove("contentMediaType");
    schema.remove("contentEncoding");
    schema.remove("propertyNames");
    let mut nullable = rewrite_type(schema);
    nullable |= rewrite_one_of(schema);
    if let Some(constant) = schema.remove("const") {
        schema.insert("enum".to_owned(), json!([constant]));
    }
    if let Some(Value::Array(examples)) = schema.remove("examples")
        && let Some(first) = examples.into_iter().next()
    {
        schema.entry("example").or_insert(first);
    }
    rewrite_bound(schema, "exclusiveMinimum", "minimum");
    rewrite_bound(schema, "exclusiveMaximum", "maximum");
    if nullable {
        schema.insert("nullable".to_owned(), json!(true));
        if let Some(Value::Array(words)) = schema.get_mut("enum")
            && !words.contains(&Value::Null)
        {
            words.push(Value::Null);
        }
    }
    // In 3.0 everything beside a reference is ignored, so the reference goes inside.
    if schema.len() > 1
        && let Some(reference) = schema.remove("$ref")
    {
        schema.insert("allOf".to_owned(), json!([{ "$ref": reference }]));
    }
}

/// `type: [x, "null"]` is `type: x` and nullable; several types are alternatives.
fn rewrite_type(schema: &mut Map<String, Value>) -> bool {
    let Some(Value::Array(types)) = schema.get("type") else {
        return false;
    };
    let (null, types): (Vec<Value>, Vec<Value>) =
        types.iter().cloned().partition(|word| word == "null");
    match types.as_slice() {
        [] => {
            schema.remove("type");
        }
        [one] => {
            schema.insert("type".to_owned(), one.clone());
        }
        several => {
            let alternatives = several.iter().map(|word| json!({ "type": word })).collect();
            schema.remove("type");
            schema.insert("anyOf".to_owned(), Value::Array(alternatives));
        }
    }
    !null.is_empty()
}

/// The type `null` as an alternative is what it is in 3.0; an alternative to null that is no reference is the whole, and nullable.
fn rewrite_one_of(schema: &mut Map<String, Value>) -> bool {
    for key in ["oneOf", "anyOf"] {
        let Some(Value::Array(alternatives)) = schema.get_mut(key) else {
            continue;
        };
        let before = alternatives.len();
        alternatives.retain(|alternative| alternative.get("type") != Some(&json!("null")));
        if alternatives.len() == before {
            continue;
        }
        if let [Value::Object(only)] = alternatives.as_mut_slice() {
            // What is said beside a reference is said of the whole.
            let mut beside = std::mem::take(only);
            if let Some(reference) = beside.remove("$ref") {
                *alternatives = vec![json!({ "$ref": reference }), null()];
            } else {
                schema.remove(key);
            }
            let is_whole = !schema.contains_key(key);
            for (keyword, said) in beside {
                schema.entry(keyword).or_insert(said);
            }
            return is_whole;
        }
        alternatives.push(null());
    }
    false
}

/// Nothing but null. In 3.0 `nullable` says something only beside a `type`, and not of a reference, which admits no null itself.
fn null() -> Value {
    json!({ "type": "string", "nullable": true, "enum": [null] })
}

/// A number as an exclusive bound is a bound and a flag.
fn rewrite_bound(schema: &mut Map<String, Value>, exclusive: &str, inclusive: &str) {
    if schema.get(exclusive).is_some_and(Value::is_number)
        && let Some(bound) = schema.insert(exclusive.to_owned(), json!(true))
    {
        schema.insert(inclusive.to_owned(), bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(value: impl Into<Value>) -> Value {
        let document = json!({ "components": { "schemas": { "X": value.into() } } });
        to_3_0(document)["components"]["schemas"]["X"].take()
    }

    #[test]
    fn null_becomes_nullable() {
        assert_eq!(
            schema(json!({ "type": ["string", "null"], "examples": ["a", "b"] })),
            json!({ "type": "string", "nullable": true, "example": "a" })
        );
        let optional = json!({
            "oneOf": [{ "$ref": "#/x" }, { "type": "string", "nullable": true, "enum": [null] }],
            "description": "d",
        });
        assert_eq!(
            schema(json!({ "oneOf": [{ "type": "null" }, { "$ref": "#/x" }], "description": "d" })),
            optional
        );
        assert_eq!(
            schema(json!({ "oneOf": [{ "type": "null" }, { "$ref": "#/x", "description": "d" }] })),
            optional
        );
        assert_eq!(
            schema(
                json!({ "oneOf": [{ "type": "object", "description": "d" }, { "type": "null" }] })
            ),
            json!({ "type": "object", "nullable": true, "description": "d" })
        );
        assert_eq!(
            schema(json!({ "type": ["string", "null"], "enum": ["a"] })),
            json!({ "type": "string", "nullable": true, "enum": ["a", null] })
        );
    }

    #[test]
    fn keywords_of_3_1_are_replaced() {
        assert_eq!(
            schema(json!({ "const": 1, "exclusiveMinimum": 0, "$schema": "s" })),
            json!({ "enum": [1], "exclusiveMinimum": true, "minimum": 0 })
        );
        assert_eq!(
            schema(json!({ "$ref": "#/x", "description": "d" })),
            json!({ "allOf": [{ "$ref": "#/x" }], "description": "d" })
        );
        assert_eq!(
            schema(json!({ "type": ["string", "integer"] })),
            json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] })
        );
    }

    #[test]
    fn a_property_may_be_named_like_a_keyword() {
        let named = json!({ "type": "object", "properties": {
            "const": { "type": "string" },
            "type": { "type": ["string", "null"] },
            "examples": { "type": "string" },
        }});
        let rewritten = schema(named);
        assert_eq!(
            rewritten["properties"]["const"],
            json!({ "type": "string" })
        );
        assert_eq!(
            rewritten["properties"]["type"],
            json!({ "type": "string", "nullable": true })
        );
        assert_eq!(
            rewritten["properties"]["examples"],
            json!({ "type": "string" })
        );
    }

    #[test]
    fn the_licence_becomes_an_address() {
        let document = to_3_0(json!({
            "openapi": "3.1.0",
            "info": { "license": { "name": "n", "identifier": "Apache-2.0" } },
        }));
        assert_eq!(document["openapi"], "3.0.3");
        assert_eq!(
            document["info"]["license"]["url"],
            "https://spdx.org/licenses/Apache-2.0.html"
        );
        assert!(document["info"]["license"].get("identifier").is_none());
    }
}
