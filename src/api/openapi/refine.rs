//! What the derive macros cannot say, added to the finished document.

use serde_json::{Map, Value, json};

use super::super::params::{FIELDS, FILTERS, MAX_VALUES};
use crate::domain::{OrchestratorType, Presence, State, Vantage};

/// Completes a document in OpenAPI 3.1.
pub(super) fn refine(document: &mut Value) {
    for name in FLAT {
        flatten(document, name);
    }
    if let Some(item) = document.pointer_mut("/components/schemas/ClusterItem") {
        item["required"] = json!(["id"]);
    }
    let operations = document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Value::as_object_mut)
        .flat_map(Map::values_mut);
    for operation in operations {
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        parameters.into_iter().flatten().for_each(bound);
    }
}

/// Objects made of what a provider says and what the gateway adds.
const FLAT: [&str; 4] = [
    "ClusterItem",
    "ClusterHealth",
    "MetricsReport",
    "OperationItem",
];

/// Makes one flat object of a schema. With `fields` any member of a cluster but the id may be left out.
///
/// Derived is an `allOf` of what the provider says and what the gateway adds, of which many generators make two types. What the
/// provider says is used nowhere else.
fn flatten(document: &mut Value, name: &str) {
    let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let Some(Value::Array(parts)) = schemas
        .get_mut(name)
        .and_then(|item| item.get_mut("allOf"))
        .map(Value::take)
    else {
        return;
    };
    let mut properties = Map::new();
    let mut required = Vec::new();
    for mut part in parts {
        if let Some(Value::String(reference)) = part.get("$ref") {
            let base = reference.rsplit('/').next().unwrap_or_default().to_owned();
            part = schemas.remove(&base).unwrap_or_default();
        }
        if let Some(Value::Object(members)) = part.get_mut("properties").map(Value::take) {
            properties.extend(members);
        }
        if let Some(Value::Array(names)) = part.get_mut("required").map(Value::take) {
            required.extend(names);
        }
    }
    if let Some(item) = schemas.get_mut(name).and_then(Value::as_object_mut) {
        item.remove("allOf");
        item.insert("type".to_owned(), json!("object"));
        item.insert("properties".to_owned(), Value::Object(properties));
        item.insert("required".to_owned(), Value::Array(required));
    }
}

/// Says of a parameter which values it takes, and of a list that an empty one is refused.
fn bound(parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    if name == "verbose" {
        // A flag, which may stand alone.
        parameter["allowEmptyValue"] = json!(true);
        parameter["schema"] = json!({ "type": "string", "enum": ["", "true", "false"] });
        return;
    }
    let Some(schema) = parameter.get_mut("schema").and_then(Value::as_object_mut) else {
        return;
    };
    if name == "limit" {
        // Any number of at least 1 is taken, and no format has all of them.
        schema.remove("format");
    }
    if schema.get("type") != Some(&json!("array")) {
        return;
    }
    schema.insert("minItems".to_owned(), json!(1));
    if FILTERS.contains(&name.as_str()) {
        schema.insert("maxItems".to_owned(), json!(MAX_VALUES));
    }
    let Some(items) = schema.get_mut("items").and_then(Value::as_object_mut) else {
        return;
    };
    match name.as_str() {
        "fields" => items.insert("enum".to_owned(), json!(FIELDS.as_slice())),
        "include" => items.insert("enum".to_owned(), json!(["raw", "nodes"])),
        _ => match closed(&name) {
            // No enum, since each word may have a `!` before it.
            Some(words) => items.insert("pattern".to_owned(), format!("^!?({words})$").into()),
            None => items.insert("minLength".to_owned(), json!(1)),
        },
    };
}

/// The words of a filter that takes no others.
fn closed(name: &str) -> Option<String> {
    Some(match name {
        "state" => State::ALL.map(State::as_str).join("|"),
        "orchestrator" => OrchestratorType::ALL
            .map(OrchestratorType::as_str)
            .join("|"),
        "vantage" => Vantage::ALL.map(Vantage::as_str).join("|"),
        "presence" => Presence::ALL.map(Presence::as_str).join("|"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::document;
    use super::*;

    #[test]
    fn a_cluster_is_one_flat_object_of_which_only_the_id_is_certain() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        let cluster = &schemas["ClusterItem"];
        assert_eq!(cluster["required"], json!(["id"]));
        assert!(cluster.get("allOf").is_none());
        let properties = cluster["properties"].as_object().unwrap();
        for field in FIELDS {
            assert!(properties.contains_key(field), "{field}");
        }
        assert_eq!(properties.len(), FIELDS.len());
        assert!(schemas.get("Cluster").is_none());
        let used = document.to_string();
        assert!(!used.contains("\"#/components/schemas/Cluster\""));
    }

    #[test]
    fn lists_in_the_query_say_what_they_take() {
        let document = document();
        let parameters = document["paths"]["/clusters"]["get"]["parameters"]
            .as_array()
            .unwrap();
        let schema = |name: &str| {
            let parameter = parameters
                .iter()
                .find(|parameter| parameter["name"] == name);
            &parameter.unwrap()["schema"]
        };
        assert_eq!(schema("include")["items"]["enum"], json!(["raw", "nodes"]));
        assert_eq!(schema("fields")["minItems"], 1);
        assert_eq!(schema("cloud")["items"]["minLength"], 1);
        let presence = schema("presence")["items"]["pattern"].as_str().unwrap();
        assert_eq!(presence, "^!?(present|stale|missing|suspect)$");
    }
}
