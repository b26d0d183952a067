//! Timestamps as vendors write them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Reads RFC 3339 with `Z`, with an offset, or naive, which is taken for UTC; `None` when no instant can be read.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let naive: DateTime = text.parse().ok()?;
    naive
        .to_zoned(TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_style_of_the_five_vendors_is_read() {
        let expected = timestamp("2026-07-01T12:00:00Z");
        assert!(expected.is_some());
        for text in [
            "2026-07-01T12:00:00.000000",
            "2026-07-01T14:00:00+02:00",
            "2026-07-01T12:00:00.000Z",
            "2026-07-01 12:00:00",
        ] {
            assert_eq!(timestamp(text), expected, "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "1"] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }
}
