//! Points in time that cannot overflow, whatever a configuration or a vendor says.

use std::time::Duration;

use tokio::time::Instant;

/// Nothing here waits longer, so that a longer time is as good as never.
const NEVER: Duration = Duration::from_hours(365 * 24);

/// The time so much later, a year at most.
pub(super) fn later(time: Instant, by: Duration) -> Instant {
    time + by.min(NEVER)
}
