//! Query parameters of the cluster operations.
