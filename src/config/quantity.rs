//! Durations, sizes and rates as people write them.
//!
//! The errors say what would be right and never repeat what was written.

use std::time::Duration;

use crate::upstream::Rate;

const DURATION: &str = "must be a duration such as \"30s\", \"5m\" or \"1h30m\"";
const SIZE: &str = "must be a number of bytes, or a size such as \"32MiB\"";
const RATE: &str = "must be a number of calls and a time, such as \"60/1m\"";

/// Reads `30s`, `5m`, `1h30m`; units are `ms`, `s`, `m`, `h` and `d`, and every number has one.
pub fn duration(text: &str) -> Result<Duration, &'static str> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DURATION);
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, unit, after) = step(rest).ok_or(DURATION)?;
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(DURATION),
        };
        let part = number.checked_mul(milliseconds).ok_or(DURATION)?;
        total = total
            .checked_add(Duration::from_millis(part))
            .ok_or(DURATION)?;
        rest = after;
    }
    Ok(total)
}

/// Reads `512`, `64KiB`, `32 MiB`, `1GB`.
pub(super) fn size(text: &str) -> Result<u64, &'static str> {
    let text = text.trim();
    if let Ok(bytes) = text.parse() {
        return Ok(bytes);
    }
    let (number, unit, after) = step(text).ok_or(SIZE)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(SIZE),
    };
    if !after.is_empty() {
        return Err(SIZE);
    }
    number.checked_mul(factor).ok_or(SIZE)
}

/// Reads `60/1m`, `60/m` and `2/500ms`.
pub(super) fn rate(text: &str) -> Result<Rate, &'static str> {
    let (calls, per) = text.split_once('/').ok_or(RATE)?;
    let calls: u32 = calls.trim().parse().map_err(|_| RATE)?;
    let per = per.trim();
    let per = if per.starts_with(|c: char| c.is_ascii_digit()) {
        duration(per)
    } else {
        duration(&format!("1{per}"))
    }
    .map_err(|_| RATE)?;
    if calls == 0 || per.is_zero() {
        return Err(RATE);
    }
    Ok(Rate { calls, per })
}

/// Writes a duration the way it is read, for messages.
pub(super) fn spell(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.subsec_millis()),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// Splits a number and its unit off the front.
fn step(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at(letters);
    (!unit.is_empty()).then_some((number.parse().ok()?, unit, after.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_without_a_unit_is_no_duration() {
        for text in [
            "",
            " ",
            "5",
            "s",
            "1.5h",
            "-1s",
            "1h30",
            "5 weeks",
            "1s;",
            "99999999999999999999s",
            "18446744073709551615d",
            "é",
        ] {
            assert!(duration(text).is_err(), "{text:?}");
        }
        assert_eq!(duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(duration(" 250ms "), Ok(Duration::from_millis(250)));
    }

    #[test]
    fn sizes_know_both_families_of_units() {
        assert_eq!(size("32MiB"), Ok(32 << 20));
        assert_eq!(size("32 mb"), Ok(32_000_000));
        assert_eq!(size("512"), Ok(512));
        for text in [
            "",
            "MiB",
            "1.5MiB",
            "1TiB",
            "1MiB2",
            "18446744073709551615GiB",
        ] {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_rate_of_nothing_is_refused() {
        let minute = Rate {
            calls: 60,
            per: Duration::from_mins(1),
        };
        assert_eq!(rate("60/1m"), Ok(minute));
        assert_eq!(rate("60 / m"), Ok(minute));
        for text in [
            "", "60", "0/1m", "60/0s", "60/", "/1m", "a/1m", "-1/1m", "60/1m/1m",
        ] {
            assert!(rate(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_spelt_reads_back(seconds in 1_u64..10_000_000) {
            let whole = Duration::from_secs(seconds);
            prop_assert_eq!(duration(&spell(whole)), Ok(whole));
        }

        #[test]
        fn parts_add_up(hours in 0_u64..1000, minutes in 0_u64..1000, seconds in 0_u64..1000) {
            let expected = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
            prop_assert_eq!(duration(&format!("{hours}h{minutes}m{seconds}s")), Ok(expected));
        }

        #[test]
        fn no_text_panics_and_no_error_repeats_it(text in "[xyzXYZ0-9/ .é]{8,40}") {
            for message in [duration(&text).err(), size(&text).err(), rate(&text).err()].into_iter().flatten() {
                prop_assert!(!message.contains(text.trim()));
            }
        }
    }
}
