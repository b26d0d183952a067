//! Single values as vendors send them: text that may be empty, counts, times, lists. What is of the wrong type or cannot be true
//! is null and counted.

use jiff::Timestamp;

use super::{Loose, Warnings};
use crate::domain::{count, timestamp};

/// An id that can address something; what is empty or endless cannot.
pub fn id(value: &Loose<String>) -> Option<&str> {
    value
        .as_ref()
        .map(String::as_str)
        .filter(|id| !id.trim().is_empty() && id.chars().count() <= 256)
}

/// A text; absent, null and `""` are the same thing.
pub fn text(value: &Loose<String>, field: &'static str, warnings: &mut Warnings) -> Option<String> {
    let value = value.clone().take(field, warnings)?;
    (!value.trim().is_empty()).then_some(value)
}

/// A yes or no.
pub fn flag(value: &Loose<bool>, field: &'static str, warnings: &mut Warnings) -> Option<bool> {
    value.clone().take(field, warnings)
}

/// A count.
pub fn number(value: &Loose<i128>, field: &'static str, warnings: &mut Warnings) -> Option<u64> {
    value.clone().and_then(field, warnings, count)
}

/// A time.
pub fn time(
    value: &Loose<String>,
    field: &'static str,
    warnings: &mut Warnings,
) -> Option<Timestamp> {
    let instant = timestamp(&text(value, field, warnings)?);
    if instant.is_none() {
        warnings.count(field);
    }
    instant
}

/// The items of a list that can be read; a null among them is nothing, another type is counted. `None` is no list at all.
pub fn list<T: Clone>(
    value: &Loose<Vec<Loose<T>>>,
    field: &'static str,
    warnings: &mut Warnings,
) -> Option<Vec<T>> {
    let items = value.clone().take(field, warnings)?;
    let mut read = |item: Loose<T>| item.take(field, warnings);
    Some(items.into_iter().filter_map(&mut read).collect())
}

/// A list of texts, without the empty ones.
pub fn texts(
    value: &Loose<Vec<Loose<String>>>,
    field: &'static str,
    warnings: &mut Warnings,
) -> Vec<String> {
    let mut texts = list(value, field, warnings).unwrap_or_default();
    texts.retain(|text| !text.trim().is_empty());
    texts
}
