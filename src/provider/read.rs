//! Single values as vendors send them: text that may be empty, counts, times, lists. What is of the wrong type or cannot be true
//! is null and counted. A field is given away, or lent where the wire's object is still needed.

use jiff::Timestamp;

use super::{Loose, Warnings};
use crate::domain::{count, timestamp};

/// The longest id that is shown and asked for, in characters.
const LONGEST_ID: usize = 256;

/// What programs write in place of an id that they do not have.
const NO_IDS: [&str; 5] = ["null", "none", "nil", "undefined", "nan"];

/// An id that can address something.
pub fn id<T: AsRef<str>>(value: &Loose<T>) -> Option<&str> {
    value.as_ref().map(AsRef::as_ref).filter(|id| is_id(id))
}

/// Whether a text can be an id. Where it cannot, several rows may well share it, and would be taken for one cluster: what is
/// empty or endless, a word for nothing, or not one word at all, such as `12 units` and `[object Object]`.
fn is_id(text: &str) -> bool {
    let is_one_word = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let is_nothing = NO_IDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    is_one_word && !text.is_empty() && !is_nothing && text.chars().count() <= LONGEST_ID
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_word_that_means_something() {
        let is = |text: &str| id(&Loose::Known(text.to_owned())) == Some(text);
        for good in ["7", "0", "kc_1", "a/../b", "%0d%0a", "@x", "Null-1", "ключ"] {
            assert!(is(good), "{good}");
        }
        for bad in [
            "",
            " ",
            " kc_1",
            "12,5 units",
            "a\r\nX-Injected: 1",
            "a\u{0}",
            "null",
            "None",
            "undefined",
            "NaN",
            "[object Object]",
        ] {
            assert!(!is(bad), "{bad:?}");
        }
        assert!(is(&"é".repeat(LONGEST_ID)));
        assert!(!is(&"x".repeat(LONGEST_ID + 1)));
        assert_eq!(id(&Loose::<String>::Wrong), None);
        assert_eq!(id(&Loose::<String>::Absent), None);
    }
}
