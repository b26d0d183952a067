//! Numbers as vendors send them, kept only where they can be true.

/// Keeps a count that is not negative and fits.
pub fn count(value: i128) -> Option<u64> {
    // JSON readers of our answers hold integers exactly up to 2^53.
    u64::try_from(value)
        .ok()
        .filter(|value| *value <= (1 << 53))
}

/// Keeps a finite number that is not negative.
pub fn finite(value: f64) -> Option<f64> {
    (value.is_finite() && value >= 0.0).then_some(value)
}

/// Keeps a percentage between 0 and 100, and over-commitment up to 100,000.
pub fn percent(value: f64) -> Option<f64> {
    finite(value).filter(|value| *value <= 100_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_true_is_not_kept() {
        assert_eq!(count(-1), None);
        assert_eq!(count(i128::from(u64::MAX)), None);
        assert_eq!(count(7), Some(7));
        assert_eq!(finite(f64::NAN), None);
        assert_eq!(percent(-0.1), None);
        assert_eq!(percent(12.5), Some(12.5));
    }
}
