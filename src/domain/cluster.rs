//! The unified cluster.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::fill::fill;
use super::{
    Accelerator, Capacity, ClusterId, Cost, Fill, Kind, Orchestrator, SourceName, Status,
    Utilization,
};

/// Whether a provider runs a cluster or watches one that runs elsewhere.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Vantage {
    /// The provider runs it.
    Hosts,
    /// The provider watches it.
    Observes,
}

impl Vantage {
    /// Both vantages.
    pub const ALL: [Self; 2] = [Self::Hosts, Self::Observes];

    /// The word used in answers and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::Observes => "observes",
        }
    }
}

/// How sure the inventory is that the cluster still exists.
///
/// Only a complete successful listing can remove a cluster.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// In the last good listing of its source.
    #[default]
    Present,
    /// Its source could not be read lately, or the cluster's own row could not; this is the last good state.
    Stale,
    /// Not in the last complete listing; gone if the next one does not have it either.
    Missing,
    /// Its source suddenly listed nothing or far less; kept until a second listing agrees.
    Suspect,
}

impl Presence {
    /// Every degree of presence.
    pub const ALL: [Self; 4] = [Self::Present, Self::Stale, Self::Missing, Self::Suspect];

    /// The word used in answers and filters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::Suspect => "suspect",
        }
    }
}

/// Where a cluster is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Location {
    /// `aws`, `gcp`, `azure`, `on-prem`, `latitude`, or the vendor's own word in lower case.
    pub cloud: Option<String>,
    /// The first region.
    pub region: Option<String>,
    /// Every region.
    pub regions: Vec<String>,
    /// Availability zones.
    pub zones: Vec<String>,
}

/// Counts of nodes; each null where the provider does not report it, never a guessed 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeCounts {
    /// All nodes.
    pub total: Option<u64>,
    /// Nodes that are ready.
    pub ready: Option<u64>,
    /// Nodes that failed.
    pub failed: Option<u64>,
    /// Nodes that are being built or joining.
    pub pending: Option<u64>,
    /// Nodes excluded on purpose.
    pub disabled: Option<u64>,
    /// Nodes that run the control plane.
    pub control_plane: Option<u64>,
    /// Nodes that run workloads.
    pub workers: Option<u64>,
}

/// A project of the vendor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// The vendor's id.
    pub id: Option<String>,
    /// Display name.
    pub name: Option<String>,
}

/// To whom the cluster belongs, by id, or by name where the vendor gives one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Owner {
    /// The vendor's project.
    pub project: Option<Project>,
    /// Team.
    pub team: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Organization.
    pub organization: Option<String>,
}

/// The vendor's agent or controller in the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// The vendor's word for its condition.
    pub status: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// When it last reported.
    pub last_seen_at: Option<Timestamp>,
}

/// One step of provisioning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// The vendor's name for the step.
    pub name: String,
    /// `pending`, `in_progress`, `completed`, or the vendor's own word.
    pub status: String,
}

/// The cluster's networks, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// Addresses of load balancers.
    pub load_balancer_ips: Vec<String>,
    /// Ranges of pods.
    pub pod_cidrs: Vec<String>,
    /// Ranges of services.
    pub service_cidrs: Vec<String>,
    /// Ranges of nodes.
    pub node_cidrs: Vec<String>,
    /// Ranges that may reach the API server.
    pub public_access_cidrs: Vec<String>,
    /// The vendor's id of the network.
    pub network_id: Option<String>,
}

/// Another name of the same cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Identifier {
    /// What kind of name: `arn`, `lakesail_cluster_id`, `connection_id`, `remote_id`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The name.
    pub value: String,
}

/// One cluster, as its provider describes it.
///
/// What the inventory adds (`fetched_at`, `presence`, `stale`, `links`) is not part of this type: it changes without the
/// cluster changing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// `<source>:<native id>`: unique, stable, safe in a URL.
    #[schema(value_type = String, example = "latitude-main:kc_pRMLydp0dQKr1")]
    pub id: ClusterId,
    /// The configured account it comes from.
    #[schema(value_type = String, example = "latitude-main")]
    pub source: SourceName,
    /// The kind of provider.
    #[schema(value_type = String, example = "latitude")]
    pub provider: Kind,
    /// The vendor's own id, verbatim.
    pub native_id: String,
    /// Display name.
    pub name: String,
    /// Whether the provider runs it or watches it.
    pub vantage: Vantage,
    /// Condition.
    pub status: Status,
    /// What schedules work in it.
    pub orchestrator: Orchestrator,
    /// Where it is.
    pub location: Location,
    /// `production`, `staging`, …: the vendor's word in lower case.
    pub environment: Option<String>,
    /// Counts of nodes; null when the provider reports none.
    pub nodes: Option<NodeCounts>,
    /// What it has.
    pub capacity: Option<Capacity>,
    /// Accelerators, by kind; null when the provider does not say, `[]` when it says none.
    pub accelerators: Option<Vec<Accelerator>>,
    /// What is used of it.
    pub utilization: Option<Utilization>,
    /// Counts of what runs in it, under the vendor's keys.
    pub workload_counts: BTreeMap<String, Option<u64>>,
    /// What it costs.
    pub cost: Option<Cost>,
    /// To whom it belongs.
    pub owner: Owner,
    /// The vendor's agent in it.
    pub agent: Option<Agent>,
    /// Provisioning progress.
    pub steps: Vec<Step>,
    /// Networks.
    pub network: Option<Network>,
    /// Other names of the same cluster.
    pub identifiers: Vec<Identifier>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made, by the vendor's clock.
    pub created_at: Option<Timestamp>,
    /// When it last changed, by the vendor's clock.
    pub updated_at: Option<Timestamp>,
    /// When the vendor last saw it, by the vendor's clock.
    pub observed_at: Option<Timestamp>,
    /// When it was terminated, by the vendor's clock.
    pub terminated_at: Option<Timestamp>,
    /// When its detail was last read, by our clock; null when only a listing was.
    pub detailed_at: Option<Timestamp>,
    /// Whether the vendor says that it has lost contact. Answers show it joined with the age of our own copy, as `stale`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    #[schema(ignore)]
    pub contact_lost: bool,
}

impl Cluster {
    /// Begins a cluster of which only the identity is known.
    pub fn new(
        source: &SourceName,
        provider: Kind,
        native_id: impl Into<String>,
        name: impl Into<String>,
        vantage: Vantage,
    ) -> Self {
        let native_id = native_id.into();
        Self {
            id: ClusterId::new(source, &native_id),
            source: source.clone(),
            provider,
            native_id,
            name: name.into(),
            vantage,
            status: Status::default(),
            orchestrator: Orchestrator::default(),
            location: Location::default(),
            environment: None,
            nodes: None,
            capacity: None,
            accelerators: None,
            utilization: None,
            workload_counts: BTreeMap::new(),
            cost: None,
            owner: Owner::default(),
            agent: None,
            steps: Vec::new(),
            network: None,
            identifiers: Vec::new(),
            labels: BTreeMap::new(),
            created_at: None,
            updated_at: None,
            observed_at: None,
            terminated_at: None,
            detailed_at: None,
            contact_lost: false,
        }
    }
}

impl Fill for Cluster {
    /// Joins another account of the same cluster: what this one says wins, what it leaves open is taken over.
    fn fill(&mut self, other: Self) {
        // A cluster without a name is called by its id until an account knows better.
        let is_unnamed = self.name.is_empty() || self.name == self.native_id;
        if is_unnamed && !other.name.is_empty() {
            self.name = other.name;
        }
        self.status.fill(other.status);
        self.orchestrator.fill(other.orchestrator);
        self.location.fill(other.location);
        fill(&mut self.environment, other.environment);
        self.nodes.fill(other.nodes);
        self.capacity.fill(other.capacity);
        fill(&mut self.accelerators, other.accelerators);
        fill(&mut self.utilization, other.utilization);
        self.workload_counts.fill(other.workload_counts);
        fill(&mut self.cost, other.cost);
        self.owner.fill(other.owner);
        self.agent.fill(other.agent);
        self.steps.fill(other.steps);
        self.network.fill(other.network);
        for identifier in other.identifiers {
            if !self.identifiers.contains(&identifier) {
                self.identifiers.push(identifier);
            }
        }
        self.labels.fill(other.labels);
        fill(&mut self.created_at, other.created_at);
        fill(&mut self.updated_at, other.updated_at);
        fill(&mut self.observed_at, other.observed_at);
        fill(&mut self.terminated_at, other.terminated_at);
        fill(&mut self.detailed_at, other.detailed_at);
        self.contact_lost |= other.contact_lost;
    }
}

impl Fill for Location {
    fn fill(&mut self, other: Self) {
        fill(&mut self.cloud, other.cloud);
        fill(&mut self.region, other.region);
        self.regions.fill(other.regions);
        self.zones.fill(other.zones);
    }
}

impl Fill for NodeCounts {
    fn fill(&mut self, other: Self) {
        fill(&mut self.total, other.total);
        fill(&mut self.ready, other.ready);
        fill(&mut self.failed, other.failed);
        fill(&mut self.pending, other.pending);
        fill(&mut self.disabled, other.disabled);
        fill(&mut self.control_plane, other.control_plane);
        fill(&mut self.workers, other.workers);
    }
}

impl Fill for Project {
    fn fill(&mut self, other: Self) {
        fill(&mut self.id, other.id);
        fill(&mut self.name, other.name);
    }
}

impl Fill for Owner {
    fn fill(&mut self, other: Self) {
        self.project.fill(other.project);
        fill(&mut self.team, other.team);
        fill(&mut self.user, other.user);
        fill(&mut self.organization, other.organization);
    }
}

impl Fill for Agent {
    fn fill(&mut self, other: Self) {
        fill(&mut self.status, other.status);
        fill(&mut self.version, other.version);
        fill(&mut self.last_seen_at, other.last_seen_at);
    }
}

impl Fill for Network {
    fn fill(&mut self, other: Self) {
        self.load_balancer_ips.fill(other.load_balancer_ips);
        self.pod_cidrs.fill(other.pod_cidrs);
        self.service_cidrs.fill(other.service_cidrs);
        self.node_cidrs.fill(other.node_cidrs);
        self.public_access_cidrs.fill(other.public_access_cidrs);
        fill(&mut self.network_id, other.network_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::State;

    fn cluster() -> Cluster {
        let source = SourceName::new("main").unwrap();
        Cluster::new(&source, Kind::new("test"), "c1", "one", Vantage::Hosts)
    }

    #[test]
    fn filling_takes_only_what_is_unknown() {
        let mut detail = cluster();
        detail.status.state = State::Running;
        detail.status.native = Some("ready".into());
        detail.nodes = Some(NodeCounts {
            total: Some(3),
            ..NodeCounts::default()
        });
        let mut listed = cluster();
        listed.status.state = State::Failed;
        listed.location.region = Some("eu".into());
        listed.nodes = Some(NodeCounts {
            total: Some(9),
            ready: Some(2),
            ..NodeCounts::default()
        });
        detail.fill(listed);
        assert_eq!(detail.status.state, State::Running);
        assert_eq!(detail.location.region.as_deref(), Some("eu"));
        assert_eq!(
            detail.nodes,
            Some(NodeCounts {
                total: Some(3),
                ready: Some(2),
                ..NodeCounts::default()
            })
        );
    }

    #[test]
    fn a_cluster_survives_its_own_json() {
        let before = cluster();
        let text = serde_json::to_string(&before).unwrap();
        let after: Cluster = serde_json::from_str(&text).unwrap();
        assert_eq!(before, after);
        assert!(!text.contains("contact_lost"));
    }
}
