//! `clustergate list`.

use clap::{Args, ValueEnum};
use comfy_table::Cell;
use jiff::Timestamp;
use serde_json::Value;

use super::access::{Access, Target};
use super::exit::{Exit, Failure};
use super::filters::{Filters, target};
use super::inventory::{self, missing};
use super::printer::Printer;
use super::table::{Style, Tone, known, number, render, render_without, toned};
use super::text::{UNKNOWN, at, clean, distance, joined, scalar};

/// How a list is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// What fits a terminal
    #[default]
    Table,
    /// A table with more columns
    Wide,
    /// One JSON document
    Json,
    /// One JSON object on each line
    Ndjson,
    /// Comma-separated values
    Csv,
}

/// List clusters.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Form of the output
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
    /// Order, such as -cost,name
    #[arg(long, value_name = "KEYS", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Fields of each cluster, such as name,status,nodes; they become the columns of a table
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub fields: Vec<String>,
    /// Clusters at most; without it all of them
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
    /// Fail instead of printing an incomplete inventory
    #[arg(long)]
    pub require_complete: bool,
    /// Filters.
    #[command(flatten)]
    pub filters: Filters,
    /// Where to read from.
    #[command(flatten)]
    pub target: Target,
}

impl List {
    /// Runs the command.
    pub async fn run(&self, printer: Printer) -> Result<Exit, Failure> {
        let access = Access::open(&self.target).await?;
        match self.output {
            Output::Ndjson => self.pass(&access, "application/x-ndjson", printer).await,
            Output::Csv => self.pass(&access, "text/csv", printer).await,
            Output::Table | Output::Wide | Output::Json => self.show(&access, printer).await,
        }
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut parameters = self.filters.parameters();
        parameters.extend(self.sort.clone().map(|sort| ("sort", sort)));
        if !self.fields.is_empty() {
            parameters.push(("fields", self.fields.join(",")));
        }
        if self.require_complete {
            parameters.push(("require", "complete".to_owned()));
        }
        parameters
    }

    async fn show(&self, access: &Access, printer: Printer) -> Result<Exit, Failure> {
        let limit = self.limit.and_then(|limit| usize::try_from(limit).ok());
        let ask = async |path: String| access.json(&path).await;
        let inventory = inventory::read(&self.parameters(), limit, ask).await?;
        let now = Timestamp::now();
        let is_complete = inventory.complete;
        let remark = missing(&inventory.about, now);
        if self.output == Output::Json {
            printer.json(&inventory.into_document())?;
        } else {
            let text = if self.fields.is_empty() {
                let is_wide = self.output == Output::Wide;
                clusters(&inventory.items, is_wide, now, printer.style())
            } else {
                chosen(&inventory.items, &self.fields, printer.style())
            };
            printer.print(&text)?;
            if inventory.items.is_empty() {
                printer.remark("no clusters");
            }
        }
        if is_complete {
            return Ok(Exit::Ok);
        }
        printer.remark(&remark);
        Ok(Exit::Incomplete)
    }

    /// Hands on what the server writes, as it arrives.
    async fn pass(&self, access: &Access, accept: &str, printer: Printer) -> Result<Exit, Failure> {
        let mut parameters = self.parameters();
        parameters.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        let path = target("/clusters", &parameters);
        let (_, headers) = access
            .stream(&path, accept, |bytes| Ok(printer.pass(bytes)?))
            .await?;
        let said = headers
            .get("x-inventory-complete")
            .map(|value| value.as_bytes() == b"true");
        if said == Some(true) {
            return Ok(Exit::Ok);
        }
        // Rows alone cannot say what is missing; the shortest list answer can.
        let mut parameters = self.filters.parameters();
        parameters.push(("limit", "1".to_owned()));
        let answer = access.json(&target("/clusters", &parameters)).await?;
        let is_complete = answer
            .get("complete")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        if said.is_none() && is_complete {
            return Ok(Exit::Ok);
        }
        let about = answer.as_object().cloned().unwrap_or_default();
        printer.remark(&missing(&about, Timestamp::now()));
        Ok(Exit::Incomplete)
    }
}

const COLUMNS: [&str; 10] = [
    "NAME",
    "STATE",
    "PROVIDER",
    "SOURCE",
    "CLOUD/REGION",
    "VERSION",
    "NODES",
    "ACCELERATORS",
    "COST/H",
    "AGE",
];

const WIDE_COLUMNS: [&str; 8] = [
    "ID",
    "NATIVE STATUS",
    "ORCHESTRATOR",
    "ENVIRONMENT",
    "PROJECT",
    "VANTAGE",
    "PRESENCE",
    "READ",
];

/// What a terminal without room for all titles goes without, first to last.
const EXPENDABLE: [&str; 4] = ["AGE", "VERSION", "PROVIDER", "COST/H"];

/// Draws clusters, one on each row.
fn clusters(items: &[Value], is_wide: bool, now: Timestamp, style: Style) -> String {
    let mut header = COLUMNS.to_vec();
    if is_wide {
        header.extend(WIDE_COLUMNS);
    }
    let rows = items.iter().map(|cluster| {
        let mut cells = row(cluster, now);
        if is_wide {
            cells.extend(wide_row(cluster, now));
        }
        cells
    });
    render_without(&EXPENDABLE, &header, rows, style)
}

fn row(cluster: &Value, now: Timestamp) -> Vec<Cell> {
    let text = |pointer| at(cluster, pointer);
    vec![
        known(text("/name").or_else(|| text("/native_id"))),
        state(cluster),
        known(text("/provider")),
        known(text("/source")),
        Cell::new_owned(joined(
            [text("/location/cloud"), text("/location/region")],
            "/",
        )),
        known(text("/orchestrator/version").or_else(|| text("/orchestrator/native_version"))),
        number(nodes(cluster)),
        known(accelerators(cluster)),
        number(cost(cluster)),
        number(distance(text("/created_at"), now)),
    ]
}

fn wide_row(cluster: &Value, now: Timestamp) -> Vec<Cell> {
    let text = |pointer| at(cluster, pointer);
    vec![
        known(text("/id")),
        known(text("/status/native")),
        Cell::new_owned(joined(
            [
                text("/orchestrator/type"),
                text("/orchestrator/distribution"),
            ],
            "/",
        )),
        known(text("/environment")),
        known(text("/owner/project/name").or_else(|| text("/owner/project/id"))),
        known(text("/vantage")),
        known(text("/presence")),
        number(distance(text("/fetched_at"), now)),
    ]
}

/// The state, and what takes away from it.
fn state(cluster: &Value) -> Cell {
    let state = at(cluster, "/status/state").unwrap_or_else(|| UNKNOWN.to_owned());
    let tone = Tone::of_state(&state);
    let doubt = match at(cluster, "/presence").as_deref() {
        Some("missing") => Some("missing"),
        Some("suspect") => Some("suspect"),
        Some("stale") => Some("stale"),
        _ => cluster["stale"]
            .as_bool()
            .unwrap_or(false)
            .then_some("stale"),
    };
    match doubt {
        Some(doubt) => toned(format!("{state} ({doubt})"), Tone::Uneasy),
        None => toned(state, tone),
    }
}

/// `ready/total`, or the total alone.
fn nodes(cluster: &Value) -> Option<String> {
    match (at(cluster, "/nodes/ready"), at(cluster, "/nodes/total")) {
        (Some(ready), Some(total)) => Some(format!("{ready}/{total}")),
        (Some(ready), None) => Some(format!("{ready}/?")),
        (None, total) => total,
    }
}

/// `8×H200, 2×A100`; a model that is not recognised keeps the vendor's text.
fn accelerators(cluster: &Value) -> Option<String> {
    let kinds = cluster.get("accelerators")?.as_array()?;
    if kinds.is_empty() {
        return Some("none".to_owned());
    }
    let texts: Vec<String> = kinds
        .iter()
        .map(|kind| {
            let model = at(kind, "/model")
                .or_else(|| at(kind, "/native"))
                .unwrap_or_else(|| "?".to_owned());
            match at(kind, "/count") {
                Some(count) => format!("{count}×{model}"),
                None => model,
            }
        })
        .collect();
    Some(texts.join(", "))
}

/// The hourly cost to the cent, with its currency; smaller amounts keep their digits.
fn cost(cluster: &Value) -> Option<String> {
    let amount = at(cluster, "/cost/hourly/amount")?;
    let currency = at(cluster, "/cost/hourly/currency").unwrap_or_default();
    let rounded = match amount.parse::<rust_decimal::Decimal>() {
        Ok(exact) => {
            let cents = exact.round_dp(2);
            if cents.is_zero() && !exact.is_zero() {
                amount
            } else {
                format!("{cents:.2}")
            }
        }
        Err(_) => amount,
    };
    Some(format!("{rounded} {currency}").trim_end().to_owned())
}

/// Draws the chosen fields as they are.
fn chosen(items: &[Value], fields: &[String], style: Style) -> String {
    let header: Vec<String> = fields
        .iter()
        .map(|field| clean(field).to_uppercase())
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let rows = items.iter().map(|cluster| {
        fields
            .iter()
            .map(|field| match cluster.get(field.trim()) {
                Some(value @ (Value::Array(_) | Value::Object(_))) => {
                    Cell::new_owned(clean(&value.to_string()))
                }
                value => known(value.and_then(scalar)),
            })
            .collect()
    });
    render(&header, rows, style)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items() -> Vec<Value> {
        vec![
            json!({
                "id": "latitude-main:kc_1", "source": "latitude-main", "provider": "latitude",
                "native_id": "kc_1", "name": "edge\u{1b}[2J-1", "vantage": "hosts",
                "status": {"state": "running", "native": "Provisioned"},
                "orchestrator": {"type": "kubernetes", "distribution": "rke2", "version": "1.34.3"},
                "location": {"cloud": "latitude", "region": "SAO2"},
                "environment": null, "nodes": {"total": 3, "ready": 2},
                "accelerators": null, "cost": null,
                "owner": {"project": {"id": "proj_1", "name": "Core"}},
                "created_at": "2026-06-01T00:00:00Z", "fetched_at": "2026-07-01T11:59:30Z",
                "presence": "present", "stale": false,
            }),
            json!({
                "id": "prime:x", "source": "prime", "provider": "prime-intellect",
                "native_id": "x", "name": "train", "vantage": "hosts",
                "status": {"state": "failed", "native": "ERROR"},
                "orchestrator": {"type": "slurm", "distribution": null, "version": null},
                "location": {"cloud": null, "region": null},
                "nodes": {"total": 16, "ready": null},
                "accelerators": [{"model": "H200", "count": 128}, {"model": null, "native": "ODD_9", "count": null}],
                "cost": {"hourly": {"amount": "147.2400", "currency": "USD"}, "origin": "listed"},
                "owner": {}, "created_at": null, "fetched_at": "2026-07-01T09:00:00Z",
                "presence": "stale", "stale": true,
            }),
        ]
    }

    fn now() -> Timestamp {
        "2026-07-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_table_is_drawn_without_a_terminal() {
        insta::assert_snapshot!(clusters(&items(), false, now(), Style::default()));
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let style = Style {
            width: Some(80),
            colour: false,
        };
        let text = clusters(&items(), false, now(), style);
        assert!(text.lines().all(|line| line.chars().count() <= 80));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_wide_table_has_more_columns() {
        insta::assert_snapshot!(clusters(&items(), true, now(), Style::default()));
    }

    #[test]
    fn states_are_coloured_only_where_colour_is_wanted() {
        let plain = clusters(
            &items(),
            false,
            now(),
            Style {
                width: Some(200),
                colour: false,
            },
        );
        assert!(!plain.contains('\u{1b}'));
    }

    #[test]
    fn chosen_fields_become_columns() {
        let fields = [
            "name".to_owned(),
            "nodes".to_owned(),
            "environment".to_owned(),
        ];
        insta::assert_snapshot!(chosen(&items(), &fields, Style::default()));
    }

    #[test]
    fn small_amounts_keep_their_digits() {
        let cost = |amount: &str| {
            cost(&json!({"cost": {"hourly": {"amount": amount, "currency": "USD"}}}))
        };
        assert_eq!(cost("0.0012").as_deref(), Some("0.0012 USD"));
        assert_eq!(cost("0").as_deref(), Some("0.00 USD"));
        assert_eq!(cost("1234.5").as_deref(), Some("1234.50 USD"));
    }
}
