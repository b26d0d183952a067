//! One object as names and values.

use comfy_table::Cell;
use serde_json::Value;

use super::table::{Style, Tone, pairs, toned};
use super::text::{clean, scalar};

/// What a reader looks for first; the rest follows in alphabetical order.
const FIRST: [&str; 9] = [
    "name",
    "id",
    "provider",
    "source",
    "status",
    "presence",
    "stale",
    "orchestrator",
    "location",
];

/// Draws an object. What is not known is left out; the JSON form has it as null.
pub(super) fn view(object: &Value, style: Style) -> String {
    let mut rows = Vec::new();
    for key in FIRST {
        if let Some(value) = object.get(key) {
            flatten(key, value, &mut rows);
        }
    }
    for (key, value) in object.as_object().into_iter().flatten() {
        if !FIRST.contains(&key.as_str()) {
            flatten(key, value, &mut rows);
        }
    }
    pairs(
        rows.into_iter().map(|(name, value)| {
            let cell = cell(&name, value);
            (name, cell)
        }),
        style,
    )
}

fn cell(name: &str, value: String) -> Cell {
    let tone = match (name, value.as_str()) {
        ("status.state", state) => Tone::of_state(state),
        ("presence", "present") | ("stale", "false") => Tone::Plain,
        ("presence" | "stale", _) => Tone::Uneasy,
        _ => Tone::Plain,
    };
    toned(value, tone)
}

fn flatten(path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                flatten(&format!("{path}.{}", clean(key)), value, rows);
            }
        }
        Value::Array(items) if items.iter().all(|item| scalar(item).is_some()) => {
            let texts: Vec<String> = items.iter().filter_map(scalar).collect();
            if !texts.is_empty() {
                rows.push((path.to_owned(), texts.join(", ")));
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), item, rows);
            }
        }
        value => rows.extend(scalar(value).map(|text| (path.to_owned(), text))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identity_comes_first_and_the_unknown_is_left_out() {
        let cluster = json!({
            "id": "a:1", "name": "one", "provider": "a", "source": "a", "environment": null,
            "status": {"state": "running", "native": "ok", "reason": null},
            "accelerators": [{"model": "H200", "count": 8}], "labels": {"team\n": "x"},
            "location": {"zones": ["z1", "z2"], "regions": []}, "stale": false,
        });
        insta::assert_snapshot!(view(&cluster, Style::default()));
    }
}
