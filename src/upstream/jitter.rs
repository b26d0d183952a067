//! Chance, so that many callers do not act in step.

use std::time::Duration;

/// A random part of `longest`, from nothing to all of it.
pub fn up_to(longest: Duration) -> Duration {
    // Without randomness half of the time still spreads nothing, but it never fails a call.
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    longest.mul_f64(f64::from(random) / f64::from(u32::MAX))
}
