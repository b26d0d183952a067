//! `/clusters`.

use super::Code;
use super::problem::Problem;

/// Lists clusters
#[utoipa::path(
    get,
    path = "/clusters",
    tag = "clusters",
    operation_id = "list_clusters",
    responses((status = 200, description = "Clusters"))
)]
pub(super) async fn list_clusters() -> Problem {
    Problem::new(Code::CapabilityNotSupported)
}

/// Reads one cluster
#[utoipa::path(
    get,
    path = "/clusters/{id}",
    tag = "clusters",
    operation_id = "find_cluster",
    params(("id" = String, Path, description = "The cluster's id")),
    responses((status = 200, description = "The cluster"))
)]
pub(super) async fn find_cluster() -> Problem {
    Problem::new(Code::CapabilityNotSupported)
}
