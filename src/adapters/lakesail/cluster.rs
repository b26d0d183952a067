//! One cluster from all that LakeSail says of it: the external cluster, the platform's record, the connection, its health.

use super::KIND;
use super::health::status_of;
use super::wire::{Connection, ExternalCluster, Health, PlatformCluster, ProviderMetadata};
use crate::domain::{
    Cluster, HealthStatus, Identifier, Network, NodeCounts, Orchestrator, OrchestratorType,
    SourceName, State, Status, Vantage, Version,
};
use crate::provider::read::{number, text, texts, time};
use crate::provider::{Loose, Warnings};

/// What of the source's configuration goes into a cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) source: &'a SourceName,
    pub(super) organization: Option<&'a str>,
    pub(super) expose_arn: bool,
}

impl Scope<'_> {
    /// The external cluster as it may be shown: an ARN holds the customer's account id.
    pub(super) fn shown(&self, external: &ExternalCluster) -> ExternalCluster {
        let mut shown = external.clone();
        if let Loose::Known(metadata) = &mut shown.provider_metadata
            && !self.expose_arn
        {
            metadata.cluster_arn = Loose::Absent;
        }
        shown
    }
}

/// What was said of one cluster, and the ids by which it was said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Views<'a> {
    pub(super) external: Option<&'a ExternalCluster>,
    pub(super) platform: Option<&'a PlatformCluster>,
    pub(super) connection: Option<&'a Connection>,
    pub(super) health: Option<&'a Health>,
    pub(super) external_id: Option<&'a str>,
    pub(super) platform_id: Option<&'a str>,
    pub(super) connection_id: Option<&'a str>,
}

/// Joins the views; where two say the same thing, the external cluster goes before the platform's record.
pub(super) fn cluster(
    scope: Scope<'_>,
    native_id: &str,
    views: &Views<'_>,
    w: &mut Warnings,
) -> Cluster {
    let empty = (ExternalCluster::default(), PlatformCluster::default());
    let external = views.external.unwrap_or(&empty.0);
    let platform = views.platform.unwrap_or(&empty.1);
    let name = text(&external.name, "name", w).or_else(|| text(&platform.name, "name", w));
    let name = name.unwrap_or_else(|| native_id.to_owned());
    let mut cluster = Cluster::new(scope.source, KIND, native_id, name, Vantage::Hosts);
    let config = external
        .config
        .clone()
        .take("config", w)
        .unwrap_or_default();
    let metadata = external.provider_metadata.clone();
    let metadata = metadata.take("providerMetadata", w).unwrap_or_default();

    cluster.nodes = views.health.and_then(|health| counts(health, w));
    cluster.status = status(external, platform, views.health, cluster.nodes.as_ref(), w);
    cluster.location.cloud = views
        .connection
        .and_then(|connection| text(&connection.provider, "connection.provider", w))
        .map(|word| word.to_lowercase());
    cluster.location.region =
        text(&external.region, "region", w).or_else(|| text(&platform.region, "region", w));
    cluster.location.regions = cluster.location.region.iter().cloned().collect();
    let native_version = text(&config.kubernetes_version, "config.kubernetesVersion", w);
    cluster.orchestrator = orchestrator(native_version, w);
    // Every external cluster is an EKS one; a self-registered cluster may be anything.
    let is_aws = cluster
        .location
        .cloud
        .as_deref()
        .is_none_or(|cloud| cloud == "aws");
    cluster.orchestrator.distribution =
        (views.external_id.is_some() && is_aws).then(|| "eks".to_owned());
    cluster.owner.organization = scope.organization.map(str::to_owned);
    cluster.network = network(external, platform, &config.public_access_cidrs, w);
    cluster.identifiers = identifiers(scope, views, &metadata, w);
    cluster.created_at = time(&external.created_at, "createdAt", w)
        .or_else(|| time(&platform.created_at, "createdAt", w));
    cluster.updated_at = time(&external.updated_at, "updatedAt", w)
        .or_else(|| time(&platform.updated_at, "updatedAt", w));
    cluster.observed_at = views
        .health
        .and_then(|health| time(&health.last_checked_at, "health.lastCheckedAt", w))
        .or_else(|| time(&external.last_health_check_at, "lastHealthCheckAt", w));
    cluster
}

fn status(
    external: &ExternalCluster,
    platform: &PlatformCluster,
    health: Option<&Health>,
    nodes: Option<&NodeCounts>,
    w: &mut Warnings,
) -> Status {
    let native = text(&external.status, "status", w)
        .or_else(|| text(&platform.external_status, "externalStatus", w));
    let last = text(&external.last_health_status, "lastHealthStatus", w);
    let word = health
        .and_then(|health| text(&health.status, "health.status", w))
        .or(last);
    let health = word.map(|word| status_of(&word));
    let is_unhealthy = matches!(
        health,
        Some(HealthStatus::Degraded | HealthStatus::Unhealthy)
    );
    let lacks_nodes = nodes
        .and_then(|nodes| Some(nodes.ready? < nodes.total?))
        .unwrap_or_default();
    let message = text(&external.status_message, "statusMessage", w);
    let last_message = text(&external.last_health_message, "lastHealthMessage", w);
    Status {
        state: state(
            native.as_deref().unwrap_or_default(),
            is_unhealthy || lacks_nodes,
        ),
        native,
        ready: None,
        reason: None,
        message: message.or_else(|| last_message.filter(|_| is_unhealthy)),
        since: None,
    }
}

/// No list of words is published. A word that is not known is never read as done.
fn state(word: &str, is_degraded: bool) -> State {
    match word.trim().to_lowercase().as_str() {
        "pending" => State::Pending,
        "provisioning" => State::Provisioning,
        "active" if is_degraded => State::Degraded,
        "active" => State::Running,
        "updating" => State::Updating,
        "destroying" => State::Deleting,
        "destroyed" => State::Deleted,
        "failed" => State::Failed,
        _ => State::Unknown,
    }
}

fn counts(health: &Health, w: &mut Warnings) -> Option<NodeCounts> {
    let total = number(&health.total_nodes, "health.totalNodes", w);
    let mut ready = number(&health.ready_nodes, "health.readyNodes", w);
    if ready.is_some_and(|ready| total.is_some_and(|total| ready > total)) {
        w.count("health.readyNodes");
        ready = None;
    }
    let counts = NodeCounts {
        total,
        ready,
        ..NodeCounts::default()
    };
    (counts != NodeCounts::default()).then_some(counts)
}

fn orchestrator(native_version: Option<String>, w: &mut Warnings) -> Orchestrator {
    let version = native_version.as_deref().and_then(Version::parse);
    if native_version.is_some() && version.is_none() {
        w.count("config.kubernetesVersion");
    }
    Orchestrator {
        kind: OrchestratorType::Kubernetes,
        version: version.map(|version| version.normalized()),
        native_version,
        ..Orchestrator::default()
    }
}

fn network(
    external: &ExternalCluster,
    platform: &PlatformCluster,
    public_access_cidrs: &Loose<Vec<Loose<String>>>,
    w: &mut Warnings,
) -> Option<Network> {
    let network = Network {
        public_access_cidrs: texts(public_access_cidrs, "config.publicAccessCidrs", w),
        network_id: text(&external.network_id, "networkId", w)
            .or_else(|| text(&platform.network_id, "networkId", w)),
        ..Network::default()
    };
    (network != Network::default()).then_some(network)
}

fn identifiers(
    scope: Scope<'_>,
    views: &Views<'_>,
    metadata: &ProviderMetadata,
    w: &mut Warnings,
) -> Vec<Identifier> {
    let arn = text(&metadata.cluster_arn, "providerMetadata.clusterArn", w);
    let provider_name = text(&metadata.cluster_name, "providerMetadata.clusterName", w);
    let named = [
        ("lakesail_cluster_id", views.platform_id.map(str::to_owned)),
        ("external_cluster_id", views.external_id.map(str::to_owned)),
        ("connection_id", views.connection_id.map(str::to_owned)),
        ("provider_cluster_name", provider_name),
        ("arn", arn.filter(|_| scope.expose_arn)),
    ];
    let identifier = |(kind, value): (&str, Option<String>)| {
        Some(Identifier {
            kind: kind.to_owned(),
            value: value?,
        })
    };
    named.into_iter().filter_map(identifier).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_its_state_and_only_active_degrades() {
        for (word, state_of, degraded) in [
            ("pending", State::Pending, State::Pending),
            ("Provisioning", State::Provisioning, State::Provisioning),
            ("active", State::Running, State::Degraded),
            ("ACTIVE", State::Running, State::Degraded),
            ("updating", State::Updating, State::Updating),
            ("destroying", State::Deleting, State::Deleting),
            ("destroyed", State::Deleted, State::Deleted),
            ("failed", State::Failed, State::Failed),
            ("opaque", State::Unknown, State::Unknown),
            ("", State::Unknown, State::Unknown),
        ] {
            assert_eq!(state(word, false), state_of, "{word}");
            assert_eq!(state(word, true), degraded, "{word}");
        }
    }
}
