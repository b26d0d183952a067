//! Clusters as a table of comma-separated values (RFC 4180), one line each.

use serde_json::Value;

/// Columns: the heading and where in a cluster's JSON the value stands.
const COLUMNS: [(&str, &str); 33] = [
    ("id", "/id"),
    ("source", "/source"),
    ("provider", "/provider"),
    ("native_id", "/native_id"),
    ("name", "/name"),
    ("vantage", "/vantage"),
    ("state", "/status/state"),
    ("native_status", "/status/native"),
    ("ready", "/status/ready"),
    ("cloud", "/location/cloud"),
    ("region", "/location/region"),
    ("environment", "/environment"),
    ("orchestrator", "/orchestrator/type"),
    ("distribution", "/orchestrator/distribution"),
    ("version", "/orchestrator/version"),
    ("nodes_total", "/nodes/total"),
    ("nodes_ready", "/nodes/ready"),
    ("cpu_cores", "/capacity/cpu_cores"),
    ("memory_bytes", "/capacity/memory_bytes"),
    ("accelerators", "/accelerators"),
    ("cost_hourly", "/cost/hourly/amount"),
    ("cost_currency", "/cost/hourly/currency"),
    ("cost_origin", "/cost/origin"),
    ("project_id", "/owner/project/id"),
    ("project_name", "/owner/project/name"),
    ("team", "/owner/team"),
    ("labels", "/labels"),
    ("created_at", "/created_at"),
    ("updated_at", "/updated_at"),
    ("observed_at", "/observed_at"),
    ("fetched_at", "/fetched_at"),
    ("presence", "/presence"),
    ("stale", "/stale"),
];

/// Writes clusters as lines. An unknown value is an empty cell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Table;

impl Table {
    /// The heading line.
    pub fn head(&self) -> Vec<u8> {
        let mut line = Vec::new();
        write_line(COLUMNS.map(|(heading, _)| heading.to_owned()), &mut line);
        line
    }

    /// Appends one cluster, given as JSON.
    pub fn append(&self, cluster: &[u8], body: &mut Vec<u8>) {
        let cluster: Value = serde_json::from_slice(cluster).unwrap_or_default();
        write_line(
            COLUMNS.map(|(_, place)| cluster.pointer(place).map(cell).unwrap_or_default()),
            body,
        );
    }
}

fn write_line(cells: [String; COLUMNS.len()], body: &mut Vec<u8>) {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(body);
    // Writing to memory cannot fail.
    let _ = writer.write_record(cells);
    let _ = writer.flush();
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => harmless(text),
        Value::Array(accelerators) => harmless(
            &accelerators
                .iter()
                .map(accelerator)
                .collect::<Vec<_>>()
                .join("; "),
        ),
        Value::Object(labels) => {
            let pairs = labels
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            harmless(&pairs.collect::<Vec<_>>().join("; "))
        }
    }
}

fn accelerator(value: &Value) -> String {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let name = text("model")
        .or_else(|| text("native"))
        .unwrap_or("unknown");
    match value.get("count").and_then(Value::as_u64) {
        Some(count) => format!("{count} x {name}"),
        None => name.to_owned(),
    }
}

/// A spreadsheet would run a text that begins like a formula, and names come from vendors.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_one_line_and_a_formula_is_disarmed() {
        let mut body = Table.head();
        let cluster = br#"{"id":"a:1","name":"=cmd|'x'","status":{"state":"running"},"accelerators":[{"model":"H200","count":8},{"native":"X, \"1\""}],
            "cost":{"hourly":{"amount":"1.50","currency":"USD"}},"labels":{"a":"b"},"stale":false,"nodes":null}"#;
        Table.append(cluster, &mut body);
        let text = String::from_utf8(body).unwrap();
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(lines[0].starts_with("id,source,provider"));
        assert_eq!(
            lines[1],
            "a:1,,,,'=cmd|'x',,running,,,,,,,,,,,,,\"8 x H200; X, \"\"1\"\"\",1.50,USD,,,,,a=b,,,,,,false"
        );
        assert_eq!(lines.len(), 3);
    }
}
