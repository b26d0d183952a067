//! Values as short texts for a terminal. Pure: the time is an argument.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

/// Stands for what is not known.
pub(super) const UNKNOWN: &str = "–";

/// Takes out what a terminal would obey: names come from vendors, and may hold escape sequences.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_whitespace() { ' ' } else { c })
        .filter(|c| !c.is_control() && !is_direction(*c))
        .collect()
}

/// Marks that turn the direction of writing, with which one name can be made to look like another.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

/// The value under a JSON pointer as text, if there is one that is a single value.
pub(super) fn at(value: &Value, pointer: &str) -> Option<String> {
    scalar(value.pointer(pointer)?)
}

/// A single value as text; `None` for null, an empty text, lists and objects.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(clean(text)).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// How long ago, or how far ahead, an RFC 3339 time is: `45s`, `12m`, `3h`, `9d`.
pub(super) fn distance(time: Option<String>, now: Timestamp) -> Option<String> {
    let time: Timestamp = time?.parse().ok()?;
    Some(brief(now.duration_since(time).unsigned_abs()))
}

/// A duration in its largest unit.
pub(super) fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A running time, to the millisecond while it is short.
pub(super) fn took(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        format!("{}ms", duration.as_millis())
    } else {
        format!("{:.1}s", duration.as_secs_f64())
    }
}

/// The known ones of some texts, joined; unknown if none is known.
pub(super) fn joined(parts: [Option<String>; 2], separator: &str) -> String {
    let known: Vec<String> = parts.into_iter().flatten().collect();
    if known.is_empty() {
        UNKNOWN.to_owned()
    } else {
        known.join(separator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_of_a_name_do_not_reach_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mred\u{7}\nb\u{202e}c"), "a[31mred bc");
    }

    #[test]
    fn a_duration_has_one_unit() {
        let texts: Vec<String> = [0, 119, 120, 7_199, 7_200, 172_799, 172_800, 8_640_000]
            .map(|seconds| brief(Duration::from_secs(seconds)))
            .into();
        assert_eq!(
            texts,
            ["0s", "119s", "2m", "119m", "2h", "47h", "2d", "100d"]
        );
    }

    #[test]
    fn a_time_that_is_none_is_unknown() {
        let now = "2026-07-01T00:00:00Z".parse().unwrap();
        assert_eq!(distance(Some("yesterday".into()), now), None);
        assert_eq!(
            distance(Some("2026-06-30T23:00:00Z".into()), now),
            Some("60m".into())
        );
        assert_eq!(
            distance(Some("2026-07-01T00:00:30Z".into()), now),
            Some("30s".into())
        );
    }
}
