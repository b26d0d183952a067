//! What a vendor measured of a cluster over a period, as series of one shape.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far back series reach: a whole number of hours or days, from `1h` to `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period {
    hours: u32,
}

/// A text that is no [`Period`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a period is a whole number of hours or days from 1h to 90d, such as 1h, 24h or 7d")]
pub struct InvalidPeriod;

impl Period {
    /// One hour.
    pub const HOUR: Self = Self { hours: 1 };
    const LONGEST: u32 = 90 * 24;

    /// The period in hours.
    pub const fn hours(self) -> u32 {
        self.hours
    }

    /// The period in days, rounded up.
    pub const fn days(self) -> u32 {
        self.hours.div_ceil(24)
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let (digits, unit) = text
            .split_at_checked(text.len().saturating_sub(1))
            .ok_or(InvalidPeriod)?;
        let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        let number: u32 = is_number
            .then(|| digits.parse().ok())
            .flatten()
            .ok_or(InvalidPeriod)?;
        let hours = match unit {
            "h" => Some(number),
            "d" => number.checked_mul(24),
            _ => None,
        };
        hours
            .filter(|hours| (1..=Self::LONGEST).contains(hours))
            .map(|hours| Self { hours })
            .ok_or(InvalidPeriod)
    }
}

/// Whole days above one day, hours otherwise: `1h`, `24h`, `7d`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hours > 24 && self.hours.is_multiple_of(24) {
            write!(f, "{}d", self.hours / 24)
        } else {
            write!(f, "{}h", self.hours)
        }
    }
}

/// One measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// When, by the vendor's clock.
    pub at: Timestamp,
    /// The value as a number, for charts; null where the vendor has a gap.
    pub value: Option<f64>,
    /// The exact amount as a decimal string, where the series is money.
    #[serde(
        with = "rust_decimal::serde::str_option",
        skip_serializing_if = "Option::is_none",
        default
    )]
    #[schema(value_type = Option<String>, required = false, example = "12.3400")]
    pub amount: Option<Decimal>,
}

/// Values of one kind, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// What is measured: `cpu_utilization`, `memory_utilization`, `estimated_cost`, `active_jobs`, `cost`, …
    #[schema(example = "cpu_utilization")]
    pub name: String,
    /// The unit, such as `percent` or `USD/h`; null where the vendor does not say: it is not guessed.
    pub unit: Option<String>,
    /// The values.
    pub points: Vec<Point>,
}

/// Series of one cluster over one period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClusterMetrics {
    /// The period that was asked for, such as `24h`.
    #[schema(example = "24h")]
    pub period: String,
    /// The series that the vendor has.
    pub series: Vec<Series>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_read_and_shown() {
        for (text, hours, shown) in [
            ("1h", 1, "1h"),
            ("24h", 24, "24h"),
            ("1d", 24, "24h"),
            ("7d", 168, "7d"),
            ("36h", 36, "36h"),
            ("90d", 2_160, "90d"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(
                (period.hours(), period.to_string().as_str()),
                (hours, shown)
            );
        }
        for text in [
            "",
            "h",
            "0h",
            "91d",
            "1w",
            "-1h",
            "+1h",
            "1.5h",
            "99999999999h",
            "1ä",
        ] {
            assert_eq!(text.parse::<Period>(), Err(InvalidPeriod), "{text}");
        }
    }
}
