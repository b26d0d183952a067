//! The envelope of Kubeadapt's answers: request ids, cursors, filters, failures.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::Fault;
use super::super::fleet::{BASE36, Dice, Style, stamp};
use super::super::world::{Answer, Call};
use super::{DAY, Kubeadapt};

/// Filters whose values are checked, with the choices.
const ENUMS: [(&str, &[&str]); 3] = [
    ("provider", &["aws", "gcp", "azure", "on-prem"]),
    (
        "environment",
        &["production", "non-production", "staging", "dev"],
    ),
    (
        "status",
        &["pending", "active", "disconnected", "error", "discovered"],
    ),
];

impl Kubeadapt {
    pub(super) fn limit(call: &Call) -> Result<usize, Answer> {
        let Some(text) = call.query("limit") else {
            return Ok(100);
        };
        match text.parse::<usize>() {
            Ok(limit @ 1..=500) => Ok(limit),
            _ => Err(failure(
                call,
                400,
                "BAD_REQUEST",
                "limit must be between 1 and 500",
                &json!({"field": "limit", "reason": "out_of_range"}),
            )),
        }
    }

    /// Where the cursor that was sent stands, once it is found to be whole, young and of the same query.
    pub(super) fn position(call: &Call) -> Result<Option<(u64, String)>, Answer> {
        let Some(cursor) = call.cursor(call.query("cursor")) else {
            return Ok(None);
        };
        let damaged = || {
            failure(
                call,
                400,
                "INVALID_CURSOR",
                "cursor could not be decoded",
                &json!({"field": "cursor"}),
            )
        };
        let expired = |reason: &str| {
            failure(
                call,
                410,
                "CURSOR_EXPIRED",
                "cursor no longer valid",
                &json!({"reason": reason}),
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| damaged())?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
        let (Some(value), Some(id), Some(issued)) = (
            token["after_value"].as_u64(),
            token["after_id"].as_str(),
            token["issued_at"].as_i64(),
        ) else {
            return Err(damaged());
        };
        if token["query_hash"] != json!(query_hash(call)) {
            return Err(expired("query_changed"));
        }
        if Timestamp::now().as_second() - issued > DAY || call.feature("expire-cursors") {
            return Err(expired("expired"));
        }
        Ok(Some((value, id.to_owned())))
    }

    pub(super) fn token_for(call: &Call, value: u64, id: &str) -> String {
        let token = json!({"v": 1, "after_id": id, "after_value": value, "query_hash": query_hash(call),
            "issued_at": Timestamp::now().as_second()});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }
}

fn meta(call: &Call) -> Value {
    let id = Dice::new(&[call.number, 12]).letters(BASE36, 26);
    json!({"request_id": format!("req_{id}"), "applied_at": stamp(Timestamp::now(), Style::Seconds)})
}

pub(super) fn envelope(
    call: &Call,
    data: Value,
    pagination: Option<Value>,
    known: &[&str],
) -> Value {
    let mut meta = meta(call);
    if let Some(pagination) = pagination {
        meta["pagination"] = pagination;
    }
    let ignored: Vec<&str> = call
        .query
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| !known.contains(name))
        .collect();
    if !ignored.is_empty() {
        meta["ignored_params"] = json!(ignored);
    }
    // Moved, not copied: `json!` would write all rows anew.
    Value::Object(Map::from_iter([
        ("data".to_owned(), data),
        ("meta".to_owned(), meta),
    ]))
}

pub(super) fn pagination(
    call: &Call,
    next: Option<String>,
    has_more: bool,
    limit: usize,
    total: impl Fn() -> usize,
) -> Value {
    let mut pagination = json!({"has_more": call.more(has_more), "limit": limit});
    match call.next(next) {
        Some(next) => pagination["next_cursor"] = json!(next),
        // Absent and empty both occur.
        None if call.number.is_multiple_of(2) => pagination["next_cursor"] = json!(""),
        None => {}
    }
    if call.query("include_total") == Some("true") || call.fault == Some(Fault::TotalOverflow) {
        pagination["total_count"] = json!(total());
    }
    pagination
}

pub(super) fn failure(
    call: &Call,
    status: u16,
    code: &str,
    message: &str,
    detail: &Value,
) -> Answer {
    Answer::json(
        status,
        json!({"data": Value::Null, "meta": meta(call),
        "error": {"code": code, "message": message, "details": [detail]}}),
    )
}

/// The filters of a query, each with its values; an unknown value of a closed list is refused.
pub(super) fn filters(call: &Call) -> Result<Vec<(&'static str, Vec<String>)>, Answer> {
    let mut filters = Vec::new();
    if let Some(region) = call.query("region") {
        filters.push(("region", region.split(',').map(str::to_owned).collect()));
    }
    for (name, allowed) in ENUMS {
        let Some(text) = call.query(name) else {
            continue;
        };
        let values: Vec<String> = text.split(',').map(str::to_owned).collect();
        if let Some(bad) = values
            .iter()
            .find(|value| !allowed.contains(&value.as_str()))
        {
            let message = format!("invalid {name} value: {bad}");
            return Err(failure(
                call,
                422,
                "VALIDATION_ERROR",
                &message,
                &json!({"field": name, "allowed": allowed}),
            ));
        }
        filters.push((name, values));
    }
    Ok(filters)
}

/// Binds a cursor to the endpoint and to everything that was asked, the limit included.
fn query_hash(call: &Call) -> String {
    let mut pairs: Map<String, Value> = Map::new();
    for (name, value) in call
        .query
        .iter()
        .filter(|(name, _)| name != "cursor" && name != "include_total")
    {
        pairs.insert(name.clone(), json!(value));
    }
    let text = format!("{} {}", call.parts.uri.path(), Value::Object(pairs));
    let parts: Vec<u64> = text.bytes().map(u64::from).collect();
    format!("{:016x}", Dice::new(&parts).next())
}
