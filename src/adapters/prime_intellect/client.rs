//! The calls to Prime Intellect: one method each. The call that signs an SSH key is left out on purpose.

use crate::upstream::{Answer, Call, Stack, Target, UpstreamError};

/// Which of the two families of paths is called. They take the same parameters; the second is scoped to what its caller was
/// granted, and only an administrator can call the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `/api/admin/clusters`.
    Admin,
    /// `/api/admin/inventory/clusters`.
    Inventory,
}

impl Family {
    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Admin => Self::Inventory,
            Self::Inventory => Self::Admin,
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Admin => "/api/admin/clusters",
            Self::Inventory => "/api/admin/inventory/clusters",
        }
    }
}

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

    /// Lists clusters that are not terminated: <https://docs.primeintellect.ai/api-reference/admin-clusters/list-clusters>,
    /// <https://docs.primeintellect.ai/api-reference/admin-inventory/list-clusters>.
    ///
    /// `detailed` is never asked for: it adds connections, and nothing else.
    pub(super) async fn list_clusters(
        &self,
        family: Family,
        offset: u64,
    ) -> Result<Answer, UpstreamError> {
        let target = Target::new(family.path())
            .query("offset", &offset.to_string())
            .query("limit", &self.page_size);
        self.stack.send(Call::get("list_clusters", target)).await
    }

    /// Reads one cluster: <https://docs.primeintellect.ai/api-reference/admin-clusters/get-cluster>,
    /// <https://docs.primeintellect.ai/api-reference/admin-inventory/get-cluster>.
    pub(super) async fn find_cluster(
        &self,
        family: Family,
        id: &str,
    ) -> Result<Answer, UpstreamError> {
        let target = Target::new(family.path()).segment(id);
        self.stack.send(Call::get("find_cluster", target)).await
    }
}
