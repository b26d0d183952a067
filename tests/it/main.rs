//! The integration tests of clustergate.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod adapter_calls;
mod conformance;
mod faults;
mod lakesail_calls;
mod latitude_calls;
mod support;
mod whole;
