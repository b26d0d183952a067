//! The calls to Kubeadapt: one method each. None of them sends `cost_mode`, which most endpoints refuse.

use super::trend::Window;
use crate::domain::Period;
use crate::upstream::{Answer, Call, Stack, Target, UpstreamError};

/// Makes the calls of one source.
pub(super) struct Client {
    stack: Stack,
    page_size: String,
}

impl Client {
    pub(super) fn new(stack: Stack, page_size: u16) -> Self {
        Self {
            stack,
            page_size: page_size.to_string(),
        }
    }

    /// Lists clusters: <https://kubeadapt.io/docs/v1/api-reference/clusters>.
    ///
    /// A cursor is bound to the whole query, `limit` included, so that the page size never changes within a walk.
    pub(super) async fn list_clusters(
        &self,
        cursor: Option<&str>,
    ) -> Result<Answer, UpstreamError> {
        let target = self.paged(Target::new("/v1/clusters"), cursor);
        self.stack.send(Call::get("list_clusters", target)).await
    }

    /// Reads one cluster: <https://kubeadapt.io/docs/v1/api-reference/clusters>.
    pub(super) async fn find_cluster(&self, id: &str) -> Result<Answer, UpstreamError> {
        let target = Target::new("/v1/clusters").segment(id);
        self.stack.send(Call::get("find_cluster", target)).await
    }

    /// Lists the nodes of one cluster: <https://kubeadapt.io/docs/v1/api-reference/nodes>.
    pub(super) async fn list_nodes(
        &self,
        id: &str,
        cursor: Option<&str>,
    ) -> Result<Answer, UpstreamError> {
        let target = self.paged(
            Target::new("/v1/clusters").segment(id).then("/nodes"),
            cursor,
        );
        self.stack.send(Call::get("list_nodes", target)).await
    }

    /// Reads what one cluster cost over a period that ends now: <https://kubeadapt.io/docs/v1/api-reference/cost-trends>.
    pub(super) async fn cost_trend(
        &self,
        id: &str,
        period: Period,
    ) -> Result<Answer, UpstreamError> {
        let window = Window::until(self.stack.now(), period);
        let target = Target::new("/v1/clusters")
            .segment(id)
            .then("/cost-trend")
            .query("start", &window.start.to_string())
            .query("end", &window.end.to_string())
            .query("type", "run_rate")
            .query("granularity", window.granularity);
        self.stack.send(Call::get("cost_trend", target)).await
    }

    fn paged(&self, target: Target, cursor: Option<&str>) -> Target {
        let target = target.query("limit", &self.page_size);
        match cursor {
            Some(cursor) => target.query("cursor", cursor),
            None => target,
        }
    }
}
