//! Which changes a webhook is told.

use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use toml::Value;

use super::super::raw::Section;
use crate::domain::SourceName;

/// The filter and the kinds as the query of `GET /changes` says them.
pub(super) fn filter(section: &mut Section<'_>) -> String {
    let mut pairs: Vec<String> = Vec::new();
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    match section.take("filter") {
        None => {}
        Some(Value::String(text)) => {
            let text = text.trim().trim_start_matches('?');
            pairs.extend((!text.is_empty()).then(|| text.to_owned()));
        }
        Some(Value::Table(table)) => {
            for (word, value) in table {
                match texts(&value) {
                    Some(values) => pairs.extend(
                        (values.iter()).map(|value| format!("{}={}", escape(&word), escape(value))),
                    ),
                    None => section.reject(
                        "filter",
                        "must have texts, or lists of texts, as its values",
                    ),
                }
            }
        }
        Some(_) => section.reject(
            "filter",
            "must be a query such as \"provider=latitude&state=running\", or a table of the same words",
        ),
    }
    for kind in section.texts("kinds").unwrap_or_default() {
        pairs.push(format!("kind={}", escape(&kind)));
    }
    pairs.join("&")
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Boolean(flag) => Some(vec![flag.to_string()]),
        Value::Array(values) => {
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
            texts.collect()
        }
        _ => None,
    }
}

/// Sources that it learns of; `None` is all of them.
pub(super) fn sources(section: &mut Section<'_>) -> Option<BTreeSet<SourceName>> {
    let names = section.texts("sources")?;
    let mut sources = BTreeSet::new();
    for name in names {
        match SourceName::new(name) {
            Ok(name) => drop(sources.insert(name)),
            Err(_) => section.reject(
                "sources",
                "must be names of sources: lower-case letters, digits and inner hyphens",
            ),
        }
    }
    Some(sources)
}
