//! The published API documents: the same as the code makes them, and what generators need of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clustergate::app;
use serde_json::Value;

/// Set to anything, it makes the drift test write the documents instead of comparing them.
const UPDATE: &str = "UPDATE_OPENAPI";

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("openapi")
        .join(name)
}

/// Every operation: its name for people, and itself.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            METHODS.into_iter().filter_map(move |method| {
                let operation = item.get(method)?;
                Some((format!("{method} {path}"), operation))
            })
        })
        .collect()
}

/// Calls `see` with every object of the document that is part of the contract, and where it is. Examples are data.
fn walk(value: &Value, at: &str, see: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            see(at, value);
            for (key, member) in members {
                if !matches!(key.as_str(), "example" | "examples" | "default" | "enum") {
                    walk(member, &format!("{at}/{key}"), see);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{at}/{index}"), see);
            }
        }
        _ => {}
    }
}

/// Whether the object at this place is a table of names, in which a keyword is just another name.
fn is_table(at: &str) -> bool {
    [
        "/properties",
        "/schemas",
        "/responses",
        "/headers",
        "/paths",
    ]
    .iter()
    .any(|end| at.ends_with(end))
}

#[test]
fn the_files_are_what_the_code_says() {
    for (name, version_3_0) in [("openapi.json", false), ("openapi-3.0.json", true)] {
        let mut document = app::openapi(version_3_0);
        let path = file(name);
        if std::env::var_os(UPDATE).is_some() {
            // Which features other packages switch on must not decide the order.
            document.sort_all_objects();
            let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
            std::fs::write(&path, text).unwrap();
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let stored: Value = serde_json::from_str(&text).unwrap_or_default();
        assert!(
            stored == document,
            "openapi/{name} is not what the code says; write it with `{UPDATE}=1 cargo test --test it openapi`"
        );
    }
}

#[test]
fn the_document_is_about_this_program() {
    for version_3_0 in [false, true] {
        let info = &app::openapi(version_3_0)["info"];
        assert_eq!(info["title"], "clustergate");
        assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(info["license"]["name"], env!("CARGO_PKG_LICENSE"));
    }
    assert_eq!(app::openapi(false)["openapi"], "3.1.0");
    assert_eq!(app::openapi(true)["openapi"], "3.0.3");
}

#[test]
fn every_operation_has_a_name_a_tag_a_success_and_a_problem() {
    for version_3_0 in [false, true] {
        let document = app::openapi(version_3_0);
        let tags: BTreeSet<&str> = document["tags"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tag| tag["name"].as_str().unwrap())
            .collect();
        let mut ids = BTreeMap::new();
        for (name, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(id.contains('_'), "{name}: {id:?} is no verb with an object");
            assert_eq!(ids.insert(id.to_owned(), name.clone()), None, "{id}");
            assert!(operation["summary"].is_string(), "{name} has no summary");
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            assert!(tags.contains(tag), "{name}: the tag {tag:?} is unknown");

            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{name} never succeeds"
            );
            let mut problems = 0;
            for (status, response) in responses {
                assert!(response["description"].is_string(), "{name} {status}");
                if status.starts_with(['4', '5']) {
                    problems += 1;
                    let content = response["content"].as_object().unwrap();
                    let types: Vec<&str> = content.keys().map(String::as_str).collect();
                    assert_eq!(types, ["application/problem+json"], "{name} {status}");
                }
            }
            assert!(problems > 0, "{name} never fails");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_schema_is_used() {
    for version_3_0 in [false, true] {
        let document = app::openapi(version_3_0);
        let mut used = BTreeSet::new();
        walk(&document, "", &mut |at, object| {
            if let Some(Value::String(reference)) = object.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap_or_default();
                assert!(document.pointer(pointer).is_some(), "{at}: {reference}");
                used.insert(pointer.to_owned());
            }
        });
        for name in document["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
        {
            assert!(
                used.contains(&format!("/components/schemas/{name}")),
                "nothing uses {name}"
            );
        }
    }
}

#[test]
fn each_document_speaks_only_its_own_version() {
    walk(&app::openapi(false), "", &mut |at, object| {
        if !is_table(at) {
            assert!(object.get("nullable").is_none(), "{at} has nullable");
        }
    });
    walk(&app::openapi(true), "", &mut |at, object| {
        if is_table(at) {
            return;
        }
        for keyword in [
            "const",
            "prefixItems",
            "patternProperties",
            "propertyNames",
            "unevaluatedProperties",
            "dependentRequired",
            "dependentSchemas",
            "if",
            "then",
            "else",
            "contains",
            "contentEncoding",
            "contentMediaType",
            "$schema",
            "$id",
            "$defs",
            "$comment",
            "jsonSchemaDialect",
            "webhooks",
            "identifier",
        ] {
            assert!(object.get(keyword).is_none(), "{at} has {keyword}");
        }
        // A header's or parameter's `examples` would be an object, a schema's in 3.1 is a list.
        let examples = object.get("examples");
        assert!(!examples.is_some_and(Value::is_array), "{at} has examples");
        let kind = object.get("type");
        assert!(!kind.is_some_and(Value::is_array), "{at} has several types");
        assert_ne!(kind, Some(&Value::from("null")), "{at} has the type null");
        for bound in ["exclusiveMinimum", "exclusiveMaximum"] {
            let bound = object.get(bound);
            assert!(!bound.is_some_and(Value::is_number), "{at} has {bound:?}");
        }
        if object.get("$ref").is_some() {
            let members = object.as_object().unwrap().len();
            assert_eq!(members, 1, "{at} says something beside a reference");
        }
        if object.get("nullable").is_some() {
            assert!(kind.is_some(), "{at} is nullable without a type");
        }
    });
}
