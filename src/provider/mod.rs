//! The contract between the gateway and any provider.
