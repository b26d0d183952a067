//! The calls to JFrog Runtime: one method each. The calls that make or revoke sensor registration tokens are left out on
//! purpose.

use super::wire::ListRequest;
use crate::upstream::{Answer, Call, Stack, Target, UpstreamError};

/// Makes the calls of one source.
pub(super) struct Client {
    stack: Stack,
    prefix: String,
    page_size: u16,
}

impl Client {
    pub(super) fn new(stack: Stack, prefix: &str, page_size: u16) -> Self {
        Self {
            stack,
            prefix: prefix.trim_end_matches('/').to_owned(),
            page_size,
        }
    }

    /// Lists clusters, by a POST that only reads:
    /// <https://jfrog.com/help/r/jfrog-security-user-guide/products/runtime/apis/get-clusters-list>.
    pub(super) async fn list_clusters(
        &self,
        next_key: Option<&str>,
    ) -> Result<Answer, UpstreamError> {
        let target = self.target("/clusters");
        let body = ListRequest {
            limit: self.page_size,
            next_key,
        };
        self.stack
            .send(Call::reading_post("list_clusters", target, &body))
            .await
    }

    /// Reads one cluster and its nodes, where the documentation has it:
    /// <https://jfrog.com/help/r/jfrog-security-user-guide/products/runtime/apis/get-cluster>.
    pub(super) async fn find_cluster(&self, id: &str) -> Result<Answer, UpstreamError> {
        let target = self.target("/cluster").segment(id);
        self.stack.send(Call::get("find_cluster", target)).await
    }

    /// Reads the same where the vendor's own client has it: <https://github.com/jfrog/mcp-jfrog>, `tools/runtime.ts`.
    pub(super) async fn find_cluster_with_slash(&self, id: &str) -> Result<Answer, UpstreamError> {
        let target = self.target("/clusters").segment(id).then("/");
        self.stack.send(Call::get("find_cluster", target)).await
    }

    fn target(&self, path: &'static str) -> Target {
        Target::configured(&self.prefix).then(path)
    }
}
