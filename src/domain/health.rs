//! Whether a cluster is well: as its vendor reports it, or as it follows from what the vendor says of it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Cluster, State};

/// How well a cluster is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Up, and nothing known to be wrong.
    Healthy,
    /// Up, with something in it failing.
    Degraded,
    /// Not up, failed, or out of contact.
    Unhealthy,
    /// Nothing is known, or the vendor says a word that is not known.
    #[default]
    Unknown,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthOrigin {
    /// The vendor checked it.
    Reported,
    /// It follows from the facts in `derived_from`.
    Derived,
}

/// A group of nodes, and how many of them are up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeGroup {
    /// Its name.
    pub name: Option<String>,
    /// The vendor's word, verbatim.
    pub native_status: Option<String>,
    /// Nodes it should have.
    pub desired: Option<u64>,
    /// Nodes that are ready.
    pub ready: Option<u64>,
    /// The vendor's text for people.
    pub message: Option<String>,
}

/// A pod that the cluster itself needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SystemPod {
    /// Its name.
    pub name: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// Whether it is ready.
    pub ready: Option<bool>,
    /// The pod's phase, verbatim.
    pub phase: Option<String>,
    /// How often its containers were started again.
    pub restarts: Option<u64>,
    /// The vendor's text for people.
    pub message: Option<String>,
}

/// Nodes that there are, and that are ready; each null where the vendor does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeTally {
    /// All nodes.
    pub total: Option<u64>,
    /// Nodes that are ready.
    pub ready: Option<u64>,
}

/// How well a cluster is, who says so, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HealthReport)]
pub struct Health {
    /// How well it is.
    pub status: HealthStatus,
    /// Who says so.
    pub origin: HealthOrigin,
    /// The vendor's word, verbatim.
    pub native: Option<String>,
    /// The vendor's text for people.
    pub message: Option<String>,
    /// Fields of the cluster that a derived status follows from, such as `status.state`; empty when it is reported.
    pub derived_from: Vec<String>,
    /// Groups of nodes; null where the vendor names none.
    pub node_groups: Option<Vec<NodeGroup>>,
    /// Pods that the cluster itself needs; null where the vendor names none.
    pub system_pods: Option<Vec<SystemPod>>,
    /// Nodes.
    pub nodes: NodeTally,
    /// When it was checked, by the vendor's clock; for a derived status, when the vendor last saw the cluster.
    pub checked_at: Option<Timestamp>,
}

impl Health {
    /// What follows from an account of the cluster.
    ///
    /// Nodes that are not ready, and a vendor that lost contact, make a running cluster worse; nothing makes it better than
    /// its state. A node that somebody took out on purpose is missed by nobody.
    pub fn derive(cluster: &Cluster) -> Self {
        let mut status = of_state(cluster.status.state);
        let mut derived_from = vec!["status.state".to_owned()];
        let counts = cluster.nodes.clone().unwrap_or_default();
        let disabled = counts.disabled.unwrap_or(0);
        let is_short = match (counts.total, counts.ready) {
            (Some(total), Some(ready)) => ready.saturating_add(disabled) < total,
            _ => false,
        };
        let has_failed = counts.failed.is_some_and(|failed| failed > 0);
        if status == HealthStatus::Healthy {
            if is_short {
                derived_from.push("nodes.ready".to_owned());
            }
            if has_failed {
                derived_from.push("nodes.failed".to_owned());
            }
            if cluster.status.ready == Some(false) {
                derived_from.push("status.ready".to_owned());
            }
            if derived_from.len() > 1 {
                status = HealthStatus::Degraded;
            }
            if cluster.contact_lost {
                status = HealthStatus::Unknown;
                derived_from.push("stale".to_owned());
            }
        }
        Self {
            status,
            origin: HealthOrigin::Derived,
            native: cluster.status.native.clone(),
            message: cluster.status.message.clone(),
            derived_from,
            node_groups: None,
            system_pods: None,
            nodes: NodeTally {
                total: counts.total,
                ready: counts.ready,
            },
            checked_at: cluster.observed_at,
        }
    }
}

const fn of_state(state: State) -> HealthStatus {
    match state {
        State::Running | State::Updating => HealthStatus::Healthy,
        State::Degraded => HealthStatus::Degraded,
        State::Failed | State::Unreachable | State::Stopped | State::Deleted => {
            HealthStatus::Unhealthy
        }
        State::Pending | State::Provisioning | State::Deleting | State::Unknown => {
            HealthStatus::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Kind, NodeCounts, SourceName, Vantage};

    fn derive(state: State, change: impl FnOnce(&mut Cluster)) -> (HealthStatus, Vec<String>) {
        let source = SourceName::new("main").unwrap();
        let kind = Kind::new("runtime");
        let mut cluster = Cluster::new(&source, kind, "1", "a", Vantage::Observes);
        cluster.status.state = state;
        change(&mut cluster);
        let health = Health::derive(&cluster);
        (health.status, health.derived_from)
    }

    fn counts(total: u64, ready: u64, failed: u64, disabled: u64) -> impl FnOnce(&mut Cluster) {
        move |cluster| {
            cluster.nodes = Some(NodeCounts {
                total: Some(total),
                ready: Some(ready),
                failed: Some(failed),
                disabled: Some(disabled),
                ..NodeCounts::default()
            });
        }
    }

    #[test]
    fn nodes_make_a_running_cluster_worse_unless_they_were_taken_out_on_purpose() {
        let state = "status.state".to_owned();
        for (change, status, because) in [
            (counts(3, 3, 0, 0), HealthStatus::Healthy, None),
            (counts(3, 2, 0, 1), HealthStatus::Healthy, None),
            (
                counts(3, 1, 0, 1),
                HealthStatus::Degraded,
                Some("nodes.ready"),
            ),
            (
                counts(3, 3, 1, 0),
                HealthStatus::Degraded,
                Some("nodes.failed"),
            ),
        ] {
            let (got, from) = derive(State::Running, change);
            let expected: Vec<_> = [state.clone()]
                .into_iter()
                .chain(because.map(str::to_owned))
                .collect();
            assert_eq!((got, from), (status, expected));
        }
    }

    #[test]
    fn nothing_makes_a_cluster_better_than_its_state() {
        for state in [State::Failed, State::Unreachable, State::Stopped] {
            assert_eq!(derive(state, counts(3, 3, 0, 0)).0, HealthStatus::Unhealthy);
        }
        assert_eq!(
            derive(State::Pending, counts(3, 3, 0, 0)).0,
            HealthStatus::Unknown
        );
    }

    #[test]
    fn of_a_cluster_out_of_contact_nothing_is_known() {
        let (status, from) = derive(State::Running, |cluster| cluster.contact_lost = true);
        assert_eq!(status, HealthStatus::Unknown);
        assert_eq!(from, ["status.state", "stale"]);
    }
}
