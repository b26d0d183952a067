//! Single values as vendors send them: text that may be empty, counts, times, lists. What is of the wrong type or cannot be true
//! is null and counted. A field is given away, or lent where the wire's object is still needed.

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
pub fn text(
    value: impl Into<Loose<String>>,
    field: &'static str,
    warnings: &mut Warnings,
) -> Option<String> {
    let value = value.into().take(field, warnings)?;
    (!value.trim().is_empty()).then_some(value)
}

/// A yes or no.
pub fn flag(
    value: impl Into<Loose<bool>>,
    field: &'static str,
    warnings: &mut Warnings,
) -> Option<bool> {
    value.into().take(field, warnings)
}

/// A count.
pub fn number(
    value: impl Into<Loose<i128>>,
    field: &'static str,
    warnings: &mut Warnings,
) -> Option<u64> {
    value.into().and_then(field, warnings, count)
}

/// A time.
pub fn time(
    value: impl Into<Loose<String>>,
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
pub fn list<T>(
    value: impl Into<Loose<Vec<Loose<T>>>>,
    field: &'static str,
    warnings: &mut Warnings,
) -> Option<Vec<T>> {
    let items = value.into().take(field, warnings)?;
    let mut read = |item: Loose<T>| item.take(field, warnings);
    Some(items.into_iter().filter_map(&mut read).collect())
}

/// A list of texts, without the empty ones.
pub fn texts(
    value: impl Into<Loose<Vec<Loose<String>>>>,
    field: &'static str,
    warnings: &mut Warnings,
) -> Vec<String> {
    let mut texts = list(value, field, warnings).unwrap_or_default();
    texts.retain(|text| !text.trim().is_empty());
    texts
}
