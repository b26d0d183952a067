//! The integration tests of clustergate.
