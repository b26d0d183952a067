//! `clustergate sources`.

use clap::Args;
use comfy_table::Cell;
use jiff::Timestamp;
use serde_json::Value;

use super::access::{Access, Target};
use super::exit::{Exit, Failure};
use super::get::Form;
use super::inventory::{error_code, hint};
use super::printer::Printer;
use super::table::{Style, Tone, known, number, render, toned};
use super::text::{UNKNOWN, at, distance};

/// Show how far each source can be trusted, and what is wrong with it.
#[derive(Debug, Clone, Args)]
pub struct Sources {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Form,
    /// Where to read from.
    #[command(flatten)]
    pub target: Target,
}

impl Sources {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let access = Access::open(&self.target).await?;
        let answer = access.json("/sources").await?;
        let rows = rows(&answer).ok_or(Failure::Answer("it has no sources"))?;
        match self.output {
            Form::Json => printer.json(&answer)?,
            Form::Table => printer.print(&sources(rows, Timestamp::now(), printer.style()))?,
        }
        let never = rows
            .iter()
            .any(|source| at(source, "/state").as_deref() == Some("never"));
        Ok(if never { Exit::Incomplete } else { Exit::Ok })
    }
}

fn rows(answer: &Value) -> Option<&Vec<Value>> {
    answer
        .get("items")
        .or_else(|| answer.get("sources"))
        .and_then(Value::as_array)
}

/// Draws sources, one on each row, and below them what can be done about those that fail.
fn sources(items: &[Value], now: Timestamp, style: Style) -> String {
    let header = [
        "SOURCE", "PROVIDER", "STATE", "CLUSTERS", "READ", "ERROR", "NEXT", "BREAKER", "QUOTA",
    ];
    let table = render(&header, items.iter().map(|source| row(source, now)), style);
    let advice = items.iter().filter_map(advice);
    std::iter::once(table)
        .chain(advice)
        .collect::<Vec<_>>()
        .join("\n")
}

/// What can be done about a source's last error.
fn advice(source: &Value) -> Option<String> {
    let code = error_code(source)?;
    let name = name(source)?;
    let advice = at(source, "/error/hint").or_else(|| hint(&code).map(str::to_owned));
    Some(format!("{name}: {}", advice.unwrap_or(code)))
}

fn row(source: &Value, now: Timestamp) -> Vec<Cell> {
    let state = at(source, "/state").unwrap_or_else(|| UNKNOWN.to_owned());
    let tone = Tone::of_freshness(&state);
    let next = at(source, "/next_attempt_at").or_else(|| at(source, "/error/next_attempt_at"));
    vec![
        known(name(source)),
        known(at(source, "/provider")),
        toned(state, tone),
        number(at(source, "/clusters")),
        number(distance(at(source, "/fetched_at"), now)),
        known(error_code(source)),
        known(next.map(|next| until(&next, now))),
        known(breaker(source)),
        known(quota(source)),
    ]
}

fn name(source: &Value) -> Option<String> {
    at(source, "/source").or_else(|| at(source, "/name"))
}

fn until(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(at) if at <= now => "now".to_owned(),
        _ => distance(Some(time.to_owned()), now)
            .map_or_else(|| UNKNOWN.to_owned(), |far| format!("in {far}")),
    }
}

/// Whether calls to the vendor go out.
fn breaker(source: &Value) -> Option<String> {
    let is_open = source.pointer("/upstream/breaker/open")?.as_bool()?;
    Some(if is_open { "open" } else { "closed" }.to_owned())
}

/// `left/limit` of the vendor's last statement.
fn quota(source: &Value) -> Option<String> {
    let left = at(source, "/upstream/quota/remaining");
    let limit = at(source, "/upstream/quota/limit");
    if left.is_none() && limit.is_none() {
        return None;
    }
    let or_unknown = |count: Option<String>| count.unwrap_or_else(|| "?".to_owned());
    Some(format!("{}/{}", or_unknown(left), or_unknown(limit)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failing_source_comes_with_what_to_do() {
        let items = [
            json!({"source": "main", "provider": "latitude", "state": "fresh", "clusters": 12,
                "fetched_at": "2026-07-01T11:59:30Z", "error": null, "next_attempt_at": "2026-07-01T12:00:30Z",
                "upstream": {"breaker": {"open": false, "until": null}, "quota": {"limit": 60, "remaining": 41}}}),
            json!({"source": "eu", "provider": "runtime", "state": "never", "clusters": 0, "fetched_at": null,
                "error": {"code": "UPSTREAM_UNAUTHORIZED", "next_attempt_at": "2026-07-01T11:59:59Z"}}),
        ];
        let now = "2026-07-01T12:00:00Z".parse().unwrap();
        insta::assert_snapshot!(sources(&items, now, Style::default()));
    }
}
