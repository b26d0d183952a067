//! Logs and metrics.

pub mod logs;
pub mod metrics;
#[cfg(test)]
pub(crate) mod testing;
