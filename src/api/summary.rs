//! `/summary`.

use super::Code;
use super::problem::Problem;

/// Summarizes clusters
#[utoipa::path(
    get,
    path = "/summary",
    tag = "clusters",
    operation_id = "summarize_clusters",
    responses((status = 200, description = "The summary"))
)]
pub(super) async fn summarize() -> Problem {
    Problem::new(Code::CapabilityNotSupported)
}
