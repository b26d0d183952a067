//! A list, read page by page to its end, and what it says of its own completeness.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::exit::Failure;
use super::filters::target;
use super::text::{at, distance, scalar};
use crate::provider::ErrorKind;

/// The largest page that the API gives.
const PAGE: usize = 1000;

/// Clusters, and everything else that the list answer says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inventory {
    /// The clusters of all pages, in their order.
    pub(super) items: Vec<Value>,
    /// What the last page says of the whole: `complete`, `unreachable`, `sources`, `generation`, …
    pub(super) about: Map<String, Value>,
    /// Whether every page said that it is complete.
    pub(super) complete: bool,
}

impl Inventory {
    /// The whole as one document of the API's own shape.
    pub(super) fn into_document(self) -> Value {
        let mut document = self.about;
        document.remove("next_cursor");
        document.insert("items".into(), Value::Array(self.items));
        document.insert("complete".into(), Value::Bool(self.complete));
        Value::Object(document)
    }
}

/// Reads `/clusters` to its end, or to `limit` clusters.
///
/// A cursor that expired on the way starts the reading anew, once.
pub(super) async fn read(
    parameters: &[(&'static str, String)],
    limit: Option<usize>,
    mut ask: impl AsyncFnMut(String) -> Result<Value, Failure>,
) -> Result<Inventory, Failure> {
    match read_once(parameters, limit, &mut ask).await {
        Err(Failure::Problem(problem)) if problem.status == 410 => {
            read_once(parameters, limit, &mut ask).await
        }
        result => result,
    }
}

async fn read_once(
    parameters: &[(&'static str, String)],
    limit: Option<usize>,
    ask: &mut impl AsyncFnMut(String) -> Result<Value, Failure>,
) -> Result<Inventory, Failure> {
    let limit = limit.unwrap_or(usize::MAX);
    let mut inventory = Inventory {
        complete: true,
        ..Inventory::default()
    };
    let mut cursor: Option<String> = None;
    loop {
        let size = (limit - inventory.items.len()).clamp(1, PAGE);
        let mut query = parameters.to_vec();
        query.push(("limit", size.to_string()));
        query.extend(cursor.clone().map(|cursor| ("cursor", cursor)));
        let Value::Object(mut page) = ask(target("/clusters", &query)).await? else {
            return Err(Failure::Answer("it is no list"));
        };
        let Some(Value::Array(items)) = page.remove("items") else {
            return Err(Failure::Answer("it has no items"));
        };
        // What is not said to be complete is not.
        inventory.complete &= page
            .get("complete")
            .and_then(Value::as_bool)
            .unwrap_or(false);
        inventory.items.extend(items);
        let next = page
            .get("next_cursor")
            .and_then(Value::as_str)
            .map(str::to_owned);
        inventory.about = page;
        if inventory.items.len() >= limit {
            inventory.items.truncate(limit);
            return Ok(inventory);
        }
        match next {
            None => return Ok(inventory),
            Some(next) if cursor.as_ref() == Some(&next) => {
                return Err(Failure::Answer("its paging repeats itself"));
            }
            next => cursor = next,
        }
    }
}

/// Says which sources are missing from an incomplete answer, and what can be done about each.
pub(super) fn missing(about: &Map<String, Value>, now: Timestamp) -> String {
    let empty = Vec::new();
    let sources = about
        .get("sources")
        .and_then(Value::as_array)
        .unwrap_or(&empty);
    let named: Vec<String> = about
        .get("unreachable")
        .and_then(Value::as_array)
        .unwrap_or(&empty)
        .iter()
        .filter_map(scalar)
        .collect();
    let mut lines = vec!["warning: the inventory is incomplete".to_owned()];
    for source in sources {
        let name = at(source, "/source")
            .or_else(|| at(source, "/name"))
            .unwrap_or_default();
        let state = at(source, "/state").unwrap_or_default();
        // Null where some are, and how many is not for the caller to know.
        let omitted = match source.get("omitted") {
            Some(Value::Null) => Some("some".to_owned()),
            omitted => omitted
                .and_then(Value::as_u64)
                .filter(|omitted| *omitted > 0)
                .map(|omitted| omitted.to_string()),
        };
        if named.contains(&name) || (named.is_empty() && state != "fresh") {
            lines.push(missing_source(source, &name, &state, now));
        } else if let Some(omitted) = omitted {
            lines.push(format!(
                "  {name}: {omitted} of its items could not be read and are not shown"
            ));
        }
    }
    if lines.len() == 1 {
        let untold = named
            .iter()
            .map(|name| format!("  {name}: could not be read"));
        lines.extend(untold);
    }
    lines.join("\n")
}

fn missing_source(source: &Value, name: &str, state: &str, now: Timestamp) -> String {
    let since = distance(at(source, "/fetched_at"), now);
    let said = format!("  {name}: {}", trust(state, since));
    let Some(code) = error_code(source) else {
        return said;
    };
    match hint(&code) {
        Some(hint) => format!("{said}, {code}: {hint}"),
        None => format!("{said}, {code}"),
    }
}

fn trust(state: &str, since: Option<String>) -> String {
    match (state, since) {
        ("never", _) | (_, None) => "never read".to_owned(),
        ("suspect", Some(since)) => {
            format!("suddenly lists far less; last good list is {since} old")
        }
        (_, Some(since)) => format!("last good list is {since} old"),
    }
}

/// The code of a source's last error, in either of the forms it can have.
pub(super) fn error_code(source: &Value) -> Option<String> {
    at(source, "/error/code").or_else(|| at(source, "/error"))
}

/// What an operator can do about a code.
pub(super) fn hint(code: &str) -> Option<&'static str> {
    ErrorKind::ALL
        .into_iter()
        .find(|kind| kind.code() == code)
        .map(ErrorKind::hint)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::problem::Problem;

    fn page(items: &[u32], next: Option<&str>, complete: bool) -> Value {
        let mut page = json!({"items": items, "complete": complete, "generation": 7});
        if let Some(next) = next {
            page["next_cursor"] = json!(next);
        }
        page
    }

    #[test]
    fn a_source_with_unreadable_items_is_named() {
        let about = json!({"unreachable": [], "sources": [
            {"source": "a", "state": "fresh", "omitted": 0, "error": null},
            {"source": "b", "state": "fresh", "omitted": 2, "error": null},
            {"source": "c", "state": "fresh", "omitted": null, "error": null},
        ]});
        let text = missing(about.as_object().unwrap(), Timestamp::UNIX_EPOCH);
        assert_eq!(
            text,
            "warning: the inventory is incomplete\n  b: 2 of its items could not be read and are not shown\n  c: some of its items could not be read and are not shown"
        );
    }

    #[tokio::test]
    async fn pages_are_joined_and_one_incomplete_page_makes_the_whole_incomplete() {
        let mut asked = Vec::new();
        let filters = [("state", "running".to_owned())];
        let inventory = read(&filters, None, async |path| {
            asked.push(path);
            Ok(match asked.len() {
                1 => page(&[1, 2], Some("c2"), false),
                _ => page(&[3], None, true),
            })
        })
        .await
        .unwrap();
        assert_eq!(
            asked,
            [
                "/clusters?state=running&limit=1000",
                "/clusters?state=running&limit=1000&cursor=c2"
            ]
        );
        assert_eq!(
            inventory.into_document(),
            json!({"items": [1, 2, 3], "complete": false, "generation": 7})
        );
    }

    #[tokio::test]
    async fn a_limit_ends_the_reading() {
        let mut asked = 0;
        let inventory = read(&[], Some(3), async |_| {
            asked += 1;
            Ok(page(&[1, 2], Some(&asked.to_string()), true))
        })
        .await
        .unwrap();
        assert_eq!((inventory.items.len(), asked), (3, 2));
    }

    #[tokio::test]
    async fn an_expired_cursor_starts_anew_once_and_a_repeated_one_ends_it() {
        let mut asked = 0;
        let result = read(&[], None, async |path| {
            asked += 1;
            if path.contains("cursor") {
                let problem = Problem {
                    status: 410,
                    ..Problem::default()
                };
                return Err(Failure::Problem(Box::new(problem)));
            }
            Ok(page(&[1], Some("a"), true))
        })
        .await;
        assert!(matches!(result, Err(Failure::Problem(_))));
        assert_eq!(asked, 4);
        let result = read(&[], None, async |_| Ok(page(&[1], Some("a"), true))).await;
        assert!(matches!(result, Err(Failure::Answer(_))));
    }

    #[test]
    fn an_incomplete_answer_names_sources_and_what_to_do() {
        let about = json!({
            "unreachable": ["main", "eu"],
            "sources": [
                {"source": "main", "state": "never", "fetched_at": null, "error": {"code": "UPSTREAM_UNAUTHORIZED"}},
                {"source": "eu", "state": "stale", "fetched_at": "2026-07-01T11:00:00Z", "error": {"code": "UPSTREAM_TIMEOUT"}},
                {"source": "ok", "state": "fresh", "fetched_at": "2026-07-01T11:59:00Z", "error": null},
            ],
        });
        let now = "2026-07-01T12:00:00Z".parse().unwrap();
        let Value::Object(about) = about else {
            unreachable!()
        };
        insta::assert_snapshot!(missing(&about, now));
    }
}
