//! The integration tests of clustergate.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod adapter_calls;
mod api;
mod architecture;
mod lakesail_calls;
mod latitude_calls;
mod openapi;
mod secrets;
mod support;
mod toolchain;
mod walking;
mod whole;
