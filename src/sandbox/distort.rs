//! Faults that lie in what an answer says: rows, keys, totals, dates.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::world::{Answer, Payload};

/// Stands for text that `serde_json` cannot write, and is replaced once the body is text.
const LONE: &str = "@@lone-surrogate@@";
const BEYOND_64_BITS: &str = "@@beyond-64-bits@@";
pub(super) const HUGE_STRING: &str = "@@huge-string@@";

/// Changes a good answer as the fault has it.
///
/// What varies from call to call follows from the call's `number`.
pub(super) fn distort(answer: &mut Answer, fault: Fault, canary: &str, number: u64) {
    let (rows, first) = (answer.rows, answer.first_page);
    let Payload::Json(body) = &mut answer.payload else {
        return;
    };
    let Some(main) = rows.first().copied() else {
        return;
    };
    match fault {
        Fault::ForeignNext => foreign(body, main, canary),
        Fault::BadRow if first => first_row(body, main, bad_row),
        Fault::WrongTypes => each(body, rows, wrong_types),
        Fault::NullData => *body.pointer_mut(main).unwrap_or(&mut Value::Null) = Value::Null,
        Fault::BareArray => *body = body.pointer(main).cloned().unwrap_or(Value::Null),
        Fault::MissingData => {
            if let Some(object) = body.as_object_mut() {
                object.remove(main.trim_start_matches('/'));
            }
        }
        Fault::HugeString => first_name(body, rows, HUGE_STRING),
        Fault::LoneSurrogate | Fault::InvalidUtf8 => first_name(body, rows, LONE),
        Fault::DuplicateRows => each_list(body, rows, |list| {
            *list = list
                .iter()
                .flat_map(|row| [row.clone(), row.clone()])
                .collect();
        }),
        Fault::TotalOverflow => totals(body, number),
        Fault::NegativeNumbers => each(body, rows, negative),
        Fault::BadDates => each(body, rows, bad_dates),
        _ => {}
    }
}

/// Writes a body, with what no JSON library would write.
pub(super) fn write(body: &Value, fault: Option<Fault>) -> Vec<u8> {
    let text = body.to_string();
    let text = match fault {
        Some(Fault::LoneSurrogate) => text.replace(LONE, "half-\\ud800-pair"),
        Some(Fault::TotalOverflow | Fault::NegativeNumbers) => {
            text.replace(&format!("\"{BEYOND_64_BITS}\""), "36893488147419103232")
        }
        Some(Fault::DuplicateKeys) => text
            .replace("\"name\":", "\"name\":\"first-of-two\",\"name\":")
            .replace("\"id\":", "\"id\":\"first-of-two\",\"id\":"),
        _ => text,
    };
    if fault == Some(Fault::InvalidUtf8)
        && let Some((head, tail)) = text.split_once(LONE)
    {
        return [head.as_bytes(), b"caf\xe9 \xc3\x28 \xff", tail.as_bytes()].concat();
    }
    text.into_bytes()
}

fn each(body: &mut Value, rows: &[&str], change: fn(&mut Value)) {
    for pointer in rows {
        match body.pointer_mut(pointer) {
            Some(Value::Array(list)) => list.iter_mut().for_each(change),
            Some(object) => change(object),
            None => {}
        }
    }
}

fn each_list(body: &mut Value, rows: &[&str], change: fn(&mut Vec<Value>)) {
    for pointer in rows {
        if let Some(Value::Array(list)) = body.pointer_mut(pointer) {
            change(list);
        }
    }
}

fn first_row(body: &mut Value, pointer: &str, change: fn(&mut Value)) {
    if let Some(row) = body.pointer_mut(pointer).and_then(|list| list.get_mut(0)) {
        change(row);
    }
}

fn bad_row(row: &mut Value) {
    let Value::Object(fields) = row else { return };
    for (name, value) in fields.iter_mut() {
        if name == "id" {
            *value = json!({"unexpected": true});
        } else if value.is_object() {
            *value = json!(7);
        }
    }
}

fn first_name(body: &mut Value, rows: &[&str], name: &str) {
    for pointer in rows {
        let target = match body.pointer_mut(pointer) {
            Some(Value::Array(list)) => list.first_mut(),
            other => other,
        };
        if let Some(value) = target.and_then(name_in) {
            *value = json!(name);
            return;
        }
    }
}

/// The name of a row, which some vendors keep one object deeper.
fn name_in(row: &mut Value) -> Option<&mut Value> {
    let fields = row.as_object_mut()?;
    if fields.contains_key("name") {
        return fields.get_mut("name");
    }
    fields
        .values_mut()
        .filter_map(Value::as_object_mut)
        .find_map(|inner| inner.get_mut("name"))
}

fn wrong_types(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (_, inner) in fields.iter_mut() {
                if inner.is_object() {
                    wrong_types(inner);
                } else {
                    *inner = match inner {
                        Value::String(text) => json!([text.as_str()]),
                        Value::Number(_) => json!("12,5 units"),
                        Value::Bool(_) => json!("maybe"),
                        Value::Array(_) => json!({"0": 1}),
                        Value::Null | Value::Object(_) => json!(0.5),
                    };
                }
            }
        }
        other => *other = json!(0.5),
    }
}

fn negative(value: &mut Value) {
    walk(value, &mut |name, value| {
        let Value::Number(number) = value else { return };
        let sized = ["bytes", "Gb", "Mib", "size"]
            .iter()
            .any(|word| name.contains(word));
        *value = if sized {
            json!(BEYOND_64_BITS)
        } else if let Some(whole) = number.as_i64().filter(|_| name != "id") {
            json!(-whole - 1)
        } else if number.is_f64() {
            json!(-1.5)
        } else {
            return;
        };
    });
}

fn bad_dates(value: &mut Value) {
    const BAD: [&str; 6] = [
        "not-a-date",
        "2026-02-30T25:61:61Z",
        "0000-00-00T00:00:00Z",
        "1767225600",
        "",
        "99999999-01-01T00:00:00Z",
    ];
    let mut count = 0;
    walk(value, &mut |_, value| {
        let Value::String(text) = value else { return };
        let bytes = text.as_bytes();
        if bytes.len() >= 19 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':' {
            *value = json!(BAD[count % BAD.len()]);
            count += 1;
        }
    });
}

fn totals(body: &mut Value, number: u64) {
    let mut count = number;
    walk(body, &mut |name, value| {
        if value.is_number() && (name.starts_with("total") || name == "count") {
            *value = match count % 3 {
                0 => json!(1_u64 << 52),
                1 => json!(i64::MAX),
                _ => json!(BEYOND_64_BITS),
            };
            count += 1;
        }
    });
}

/// Visits all fields of all objects, with their names.
fn walk(value: &mut Value, visit: &mut impl FnMut(&str, &mut Value)) {
    match value {
        Value::Object(fields) => {
            for (name, inner) in fields.iter_mut() {
                visit(name, inner);
                walk(inner, visit);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| walk(inner, visit)),
        _ => {}
    }
}

/// Spoils the ids of the first rows alike wherever they stand, and adds links to the canary.
fn foreign(body: &mut Value, main: &str, canary: &str) {
    let host = canary.trim_start_matches("http://");
    let mut spoiled: HashMap<String, String> = HashMap::new();
    if let Some(Value::Array(rows)) = body.pointer_mut(main) {
        for (at, row) in rows.iter_mut().take(5).enumerate() {
            let Some(field) = row.get_mut("id") else {
                continue;
            };
            let id = field
                .as_str()
                .map_or_else(|| field.to_string(), str::to_owned);
            let bad = match at {
                0 => format!("../../{id}"),
                1 => format!("{id}\r\nX-Injected: 1"),
                2 => format!("{id}%0d%0aX-Injected: 1"),
                3 => format!("@{host}/{id}"),
                _ => format!("{canary}/{id}"),
            };
            *field = json!(bad);
            spoiled.insert(id, bad);
        }
    }
    replace_all(body, &spoiled);
    if let Value::Object(fields) = body {
        let next = format!("{canary}/next");
        let mut links = Map::new();
        links.insert("next".to_owned(), json!(next));
        fields.entry("links").or_insert(Value::Object(links));
        fields.entry("next").or_insert(json!(next));
    }
}

fn replace_all(value: &mut Value, table: &HashMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(other) = table.get(text) {
                text.clone_from(other);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|inner| replace_all(inner, table)),
        Value::Object(fields) => fields
            .values_mut()
            .for_each(|inner| replace_all(inner, table)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[&str] = &["/data"];

    fn answer() -> Answer {
        Answer::ok(json!({"data": [
            {"id": "a", "name": "one", "main": {"count": 3, "bytes": 4, "at": "2026-01-15T10:30:00Z"}},
            {"id": "b", "name": "two", "main": {"count": 5, "bytes": 6, "at": null}},
        ], "total": 2}))
        .rows(ROWS)
        .first(true)
    }

    fn text(fault: Fault) -> String {
        let mut answer = answer();
        distort(&mut answer, fault, "http://canary", 0);
        String::from_utf8_lossy(&write(&answer.body(), Some(fault))).into_owned()
    }

    #[test]
    fn exactly_one_row_is_bad() {
        let body: Value = serde_json::from_str(&text(Fault::BadRow)).unwrap();
        assert!(body["data"][0]["id"].is_object() && body["data"][0]["main"].is_number());
        assert_eq!(body["data"][1], answer().body()["data"][1]);
    }

    #[test]
    fn what_json_libraries_do_not_write_is_written() {
        assert!(text(Fault::LoneSurrogate).contains("\\ud800"));
        assert!(text(Fault::NegativeNumbers).contains("\"bytes\":36893488147419103232"));
        assert!(text(Fault::NegativeNumbers).contains("\"count\":-4"));
        assert!(text(Fault::DuplicateKeys).contains("\"id\":\"first-of-two\",\"id\":\"a\""));
        assert!(
            std::str::from_utf8(&write(
                &{
                    let mut bad = answer();
                    distort(&mut bad, Fault::InvalidUtf8, "", 0);
                    bad.body()
                },
                Some(Fault::InvalidUtf8)
            ))
            .is_err()
        );
    }

    #[test]
    fn envelopes_lose_their_data() {
        assert!(text(Fault::BareArray).starts_with('['));
        assert!(!text(Fault::MissingData).contains("\"data\""));
        assert!(text(Fault::NullData).contains("\"data\":null"));
        assert!(text(Fault::TotalOverflow).contains("4503599627370496"));
        assert!(text(Fault::BadDates).contains("not-a-date"));
    }
}
