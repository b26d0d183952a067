//! Logs and metrics.

pub mod logs;
