//! The integration tests of clustergate.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod adapter_calls;
mod api;
mod architecture;
mod authorization;
mod canary;
mod conformance;
mod deploy;
mod door;
mod events;
mod faults;
mod kubeadapt_reads;
mod kubeconfig;
mod lakesail_calls;
mod lakesail_writes;
mod latitude_calls;
mod latitude_life;
mod latitude_writes;
mod life_cycle;
mod live;
mod memory;
mod openapi;
mod replicas;
mod resilience;
mod secrets;
mod store;
mod support;
mod tls;
mod toolchain;
mod walking;
mod webhooks;
mod whole;
