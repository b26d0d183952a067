//! Prime Intellect's shapes, in its own words. Only what is declared here can get through to `raw`.
//!
//! Left out on purpose, since they hold credentials, addresses of machines or free-form text: `sshKeys`, `connections`,
//! `controller`, `orchestratorConfig`, `info`, `walletId`, `installationFailure`. `orchestratorEndpoint` is read apart, and
//! only where a source is configured to show it.

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::provider::Loose;

/// The outer object of a list. Its own `status` is about the response and says nothing of a cluster.
#[derive(Debug, Deserialize)]
pub(super) struct List<'a> {
    #[serde(borrow)]
    pub(super) data: Vec<&'a RawValue>,
    #[serde(default)]
    pub(super) total_count: Loose<i128>,
}

/// The outer object of a detail; `data` may be null with 200.
#[derive(Debug, Deserialize)]
pub(super) struct Detail<'a> {
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
}

/// The id alone, for a row of which nothing else can be read.
#[derive(Debug, Deserialize)]
pub(super) struct Identity {
    #[serde(default)]
    pub(super) id: Loose<String>,
}

/// The one field of a detail that is held back unless a source is configured otherwise.
#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    #[serde(default, rename = "orchestratorEndpoint")]
    pub(super) orchestrator_endpoint: Loose<String>,
}

/// A cluster: the list has its first lines, the detail all of it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) provider_type: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) vault_enabled: Loose<bool>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) user_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) team_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) created_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) remote_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) gpu_name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) gpu_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) socket: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) price_hr: Loose<Price>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) stopped_price_hr: Loose<Price>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) provisioning_price_hr: Loose<Price>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) base_price_hr: Loose<Price>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) base_currency: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) orchestrator_type: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) orchestrator_version: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) orchestrator_deployment_job_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) orchestrator_deployment_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) updated_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) terminated_at: Loose<String>,
    /// Nodes in the detail; what the list has under this name are connections, which are not read.
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) nodes: Loose<Vec<Loose<Node>>>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Node {
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) remote_id: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) provider_type: Loose<String>,
    #[serde(rename = "type", default, skip_serializing_if = "Loose::is_absent")]
    pub(super) kind: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) installation_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) installation_progress: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) test_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) finalizer_status: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) gpu_name: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) gpu_count: Loose<i128>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) socket: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) price_hr: Loose<Price>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) environment_type: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) is_detached: Loose<bool>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) created_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) updated_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) terminated_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) provider_ready_at: Loose<String>,
    #[serde(default, skip_serializing_if = "Loose::is_absent")]
    pub(super) pi_ready_at: Loose<String>,
}

/// A JSON number as it was written: read as a float it would no longer be the price.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Price(Box<RawValue>);

impl Price {
    /// The number's text.
    pub(super) fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let is_number = raw
            .get()
            .starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if is_number {
            Ok(Self(raw))
        } else {
            Err(D::Error::custom("not a number"))
        }
    }
}
