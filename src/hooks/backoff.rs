//! When a delivery is tried again; pure but for the dice.

use std::time::Duration;

/// The first wait is this at most.
const FIRST: Duration = Duration::from_secs(5);
/// No wait is longer, unless the server asks for it.
pub(super) const LONGEST: Duration = Duration::from_hours(1);
/// No wait is shorter: chance alone must not make a hammer of it.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);
/// How long a server that asks to be left alone is, at most.
pub(super) const LONGEST_ASKED: Duration = Duration::from_hours(2);

/// A random part of a time, from nothing to all of it.
pub(super) type Dice = fn(Duration) -> Duration;

/// The longest wait after so many attempts.
pub(super) fn ceiling(attempts: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1).min(16));
    FIRST.saturating_mul(doubled).min(LONGEST)
}

/// How long to wait after so many attempts that failed, given what the server asked for.
pub(super) fn wait(attempts: u32, asked: Option<Duration>, dice: Dice) -> Duration {
    let own = SHORTEST + dice(ceiling(attempts).saturating_sub(SHORTEST));
    match asked.map(|asked| asked.min(LONGEST_ASKED)) {
        // Not all who were sent away come back in the same moment.
        Some(asked) if asked >= own => asked + dice(SHORTEST),
        _ => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_stay_within_their_bounds() {
        let seconds: Vec<u64> = (1..=13).map(|n| ceiling(n).as_secs()).collect();
        assert_eq!(
            seconds,
            [
                5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600
            ]
        );
        assert_eq!(ceiling(u32::MAX), LONGEST);
        for attempts in 1..40 {
            assert_eq!(wait(attempts, None, |_| Duration::ZERO), SHORTEST);
            assert_eq!(wait(attempts, None, |most| most), ceiling(attempts));
            for _ in 0..100 {
                let wait = wait(attempts, None, crate::upstream::random_up_to);
                assert!((SHORTEST..=ceiling(attempts)).contains(&wait), "{wait:?}");
            }
        }
    }

    #[test]
    fn what_the_server_asks_for_counts_where_it_is_longer() {
        let none = |_| Duration::ZERO;
        let asked = Duration::from_secs(90);
        assert_eq!(wait(1, Some(asked), none), asked);
        assert_eq!(wait(1, Some(Duration::from_millis(1)), none), SHORTEST);
        assert_eq!(wait(12, Some(asked), |most| most), LONGEST);
        assert_eq!(wait(1, Some(Duration::MAX), none), LONGEST_ASKED);
        assert_eq!(wait(1, Some(asked), |most| most), asked + SHORTEST);
    }
}
