//! What the adapters' tests share: documents that no vendor documents.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;

/// Any document, in which the keys that an adapter reads, and a text that means something to it, are likely.
pub(crate) fn any_json(
    keys: &'static [&'static str],
    word: &'static str,
) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from(word)),
    ];
    let key = select(keys).prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((key.clone(), inner), 0..8).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

/// Every place of a document, as a pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                places(item, &format!("{at}/{key}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The body with something else at one place of it.
pub(crate) fn spoiled(body: &Bytes, place: Index, other: Value) -> Bytes {
    let mut value: Value = serde_json::from_slice(body).unwrap();
    let mut all = Vec::new();
    places(&value, "", &mut all);
    if let Some(slot) = value.pointer_mut(place.get::<String>(&all)) {
        *slot = other;
    }
    Bytes::from(value.to_string())
}
