//! How well a cluster is, by what LakeSail's check of it found. No I/O: values in, values out.

use super::wire::{self, Health as Reported};
use crate::domain::{Health, HealthOrigin, HealthStatus, NodeGroup, NodeTally, SystemPod};
use crate::provider::Warnings;
use crate::provider::read::{flag, list, number, text, time};

/// What a word of the vendor's says. It publishes none, so that a word which is not plain is unknown.
pub(super) fn status_of(word: &str) -> HealthStatus {
    match word.trim().to_lowercase().as_str() {
        "healthy" | "ok" | "active" | "ready" | "running" | "passing" => HealthStatus::Healthy,
        "degraded" | "warning" | "impaired" => HealthStatus::Degraded,
        "unhealthy" | "critical" | "error" | "failed" | "failing" | "down" => {
            HealthStatus::Unhealthy
        }
        _ => HealthStatus::Unknown,
    }
}

/// The health of a cluster; `None` where the answer says nothing of any.
pub(super) fn health(reported: &Reported) -> Option<Health> {
    let w = &mut Warnings::default();
    let native = text(&reported.status, "status", w);
    let node_groups = groups(reported, w);
    let system_pods = pods(reported, w);
    let nodes = NodeTally {
        total: number(&reported.total_nodes, "totalNodes", w),
        ready: number(&reported.ready_nodes, "readyNodes", w),
    };
    let says_nothing = native.is_none()
        && node_groups.is_none()
        && system_pods.is_none()
        && nodes == NodeTally::default();
    (!says_nothing).then(|| Health {
        status: judged(
            native.as_deref(),
            &nodes,
            node_groups.as_deref().unwrap_or_default(),
            system_pods.as_deref().unwrap_or_default(),
        ),
        origin: HealthOrigin::Reported,
        native,
        message: None,
        derived_from: Vec::new(),
        node_groups,
        system_pods,
        nodes,
        checked_at: time(&reported.last_checked_at, "lastCheckedAt", w),
    })
}

/// Counts make a status worse than its word and never better: an unknown word may say what they do not show. Only without
/// any word do they speak alone.
fn judged(
    word: Option<&str>,
    nodes: &NodeTally,
    groups: &[NodeGroup],
    pods: &[SystemPod],
) -> HealthStatus {
    let said = word.map(status_of);
    let is_short = |wanted: Option<u64>, ready: Option<u64>| {
        wanted
            .zip(ready)
            .is_some_and(|(wanted, ready)| ready < wanted)
    };
    let is_down = nodes.ready == Some(0) && is_short(nodes.total, nodes.ready);
    let lacks_something = is_short(nodes.total, nodes.ready)
        || groups
            .iter()
            .any(|group| is_short(group.desired, group.ready))
        || pods
            .iter()
            .any(|pod| pod.ready == Some(false) && pod.phase.as_deref() != Some("Succeeded"));
    match said {
        Some(HealthStatus::Unhealthy) => HealthStatus::Unhealthy,
        _ if is_down => HealthStatus::Unhealthy,
        Some(HealthStatus::Degraded) => HealthStatus::Degraded,
        _ if lacks_something => HealthStatus::Degraded,
        Some(said) => said,
        None if nodes.total.is_some() && nodes.ready.is_some() => HealthStatus::Healthy,
        None => HealthStatus::Unknown,
    }
}

fn groups(reported: &Reported, w: &mut Warnings) -> Option<Vec<NodeGroup>> {
    let groups = list(&reported.node_groups, "nodeGroups", w)?;
    let group = |group: &wire::NodeGroup| NodeGroup {
        name: text(&group.name, "nodeGroups.name", w),
        native_status: text(&group.status, "nodeGroups.status", w),
        desired: number(&group.desired_size, "nodeGroups.desiredSize", w),
        ready: number(&group.ready_nodes, "nodeGroups.readyNodes", w),
        message: text(&group.message, "nodeGroups.message", w),
    };
    Some(groups.iter().map(group).collect())
}

fn pods(reported: &Reported, w: &mut Warnings) -> Option<Vec<SystemPod>> {
    let pods = list(&reported.system_pods, "systemPods", w)?;
    let pod = |pod: &wire::SystemPod| SystemPod {
        name: text(&pod.name, "systemPods.name", w),
        namespace: text(&pod.namespace, "systemPods.namespace", w),
        ready: flag(&pod.ready, "systemPods.ready", w),
        phase: text(&pod.phase, "systemPods.phase", w),
        restarts: number(&pod.restart_count, "systemPods.restartCount", w),
        message: text(&pod.message, "systemPods.message", w),
    };
    Some(pods.iter().map(pod).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(body: &str) -> Option<HealthStatus> {
        let reported: Reported = serde_json::from_str(body).unwrap();
        health(&reported).map(|health| health.status)
    }

    #[test]
    fn counts_make_a_status_worse_and_never_better() {
        use HealthStatus::{Degraded, Healthy, Unhealthy, Unknown};
        for (body, expected) in [
            (r#"{"status":"healthy"}"#, Healthy),
            (
                r#"{"status":"HEALTHY ","totalNodes":2,"readyNodes":1}"#,
                Degraded,
            ),
            (
                r#"{"status":"healthy","totalNodes":2,"readyNodes":0}"#,
                Unhealthy,
            ),
            (r#"{"status":"opaque"}"#, Unknown),
            (
                r#"{"status":"opaque","totalNodes":2,"readyNodes":2}"#,
                Unknown,
            ),
            (
                r#"{"status":"opaque","totalNodes":2,"readyNodes":1}"#,
                Degraded,
            ),
            (
                r#"{"status":"critical","totalNodes":2,"readyNodes":2}"#,
                Unhealthy,
            ),
            (r#"{"totalNodes":2,"readyNodes":2}"#, Healthy),
            (r#"{"totalNodes":0,"readyNodes":0}"#, Healthy),
            (r#"{"totalNodes":2}"#, Unknown),
            (
                r#"{"status":"ok","nodeGroups":[{"desiredSize":3,"readyNodes":2}]}"#,
                Degraded,
            ),
            (
                r#"{"status":"ok","systemPods":[{"ready":false}]}"#,
                Degraded,
            ),
            (
                r#"{"status":"ok","systemPods":[{"ready":false,"phase":"Succeeded"}]}"#,
                Healthy,
            ),
            (r#"{"status":7,"nodeGroups":[]}"#, Unknown),
        ] {
            assert_eq!(status(body), Some(expected), "{body}");
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_no_health() {
        for body in [
            "{}",
            r#"{"status":null}"#,
            r#"{"status":[],"nodeGroups":7}"#,
        ] {
            assert_eq!(status(body), None, "{body}");
        }
    }
}
