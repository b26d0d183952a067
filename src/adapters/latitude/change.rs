//! From a wanted change to the vendor's body, or to everything that is wrong with it. No I/O.

use super::form::Form;
use super::wire::{LegacyChange, LksChange};
use crate::domain::ClusterPatch;
use crate::provider::ProviderError;

const OPERATION: &str = "update_cluster";

/// Workers of a legacy cluster, by the vendor's rule.
const MOST_WORKERS: u32 = 10;

/// Reads a change of a legacy cluster. The vendor takes one at a time, and each starts work that refuses the next: two in one
/// patch would be a promise that cannot be kept.
pub(super) fn legacy(patch: &ClusterPatch) -> Result<LegacyChange, ProviderError> {
    let mut form = Form::new(&patch.options);
    form.refuse(
        "name",
        patch.name.is_some(),
        "a cluster of this family keeps its name",
    );
    no_cidrs(&mut form, patch);
    let groups = form.groups(&patch.node_groups);
    let worker_plan = form.text("worker_plan");
    let worker_plan = form.either(groups.workers.plan, worker_plan);
    if let Some((field, _)) = &groups.control_plane.plan {
        form.wrong(field, "the control plane keeps its plan");
    }
    let (planes, workers) = (groups.control_plane.size, groups.workers.size);
    form.within(planes.as_ref(), &(1..=u32::MAX));
    form.within(workers.as_ref(), &(0..=MOST_WORKERS));
    let version = form.optional("version", patch.version.as_deref());

    let changes: Vec<&str> = [
        version.as_ref().map(|_| "version"),
        planes.as_ref().map(|(field, _)| field.as_str()),
        workers.as_ref().map(|(field, _)| field.as_str()),
    ]
    .into_iter()
    .flatten()
    .collect();
    match changes.as_slice() {
        [] => nothing(&mut form, "version, or desired_size of one node group"),
        [_] => {}
        many => {
            for field in many {
                form.wrong(
                    *field,
                    "the vendor takes one change at a time: the version, the workers or the control plane",
                );
            }
        }
    }
    if let Some((field, _)) = &worker_plan
        && workers.is_none()
    {
        form.wrong(
            field,
            "a plan goes with the number of workers, and counts only where there were none",
        );
    }
    form.finish(OPERATION)?;
    Ok(LegacyChange {
        worker_count: workers.map(|(_, count)| count),
        worker_plan: worker_plan.map(|(_, plan)| plan),
        control_plane_count: planes.map(|(_, count)| count),
        kubernetes_version: version,
    })
}

/// Reads a change of an LKS cluster.
pub(super) fn lks(patch: &ClusterPatch) -> Result<LksChange, ProviderError> {
    let mut form = Form::new(&patch.options);
    no_cidrs(&mut form, patch);
    form.refuse(
        "node_groups",
        !patch.node_groups.is_empty(),
        "the nodes of an LKS cluster are in node pools: change those at the vendor",
    );
    let change = LksChange {
        name: form.optional("name", patch.name.as_deref()),
        description: form.free_text("description"),
        kubernetes_version: form.optional("version", patch.version.as_deref()),
    };
    let is_empty = patch.name.is_none()
        && patch.version.is_none()
        && !patch.options.contains_key("description");
    if is_empty {
        nothing(&mut form, "name, version or options.description");
    }
    form.finish(OPERATION)?;
    Ok(change)
}

fn no_cidrs(form: &mut Form<'_>, patch: &ClusterPatch) {
    form.refuse(
        "public_access_cidrs",
        patch.public_access_cidrs.is_some(),
        "the vendor has no such setting",
    );
}

/// The body as a whole is at fault where it changes nothing.
fn nothing(form: &mut Form<'_>, choices: &str) {
    form.wrong("", format!("changes nothing: give {choices}"));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn patch(value: Value) -> ClusterPatch {
        serde_json::from_value(value).unwrap()
    }

    fn fields(error: ProviderError) -> Vec<String> {
        let mut fields: Vec<_> = error.mistakes.into_iter().map(|it| it.field).collect();
        fields.sort();
        fields
    }

    fn legacy_body(value: Value) -> Result<Value, Vec<String>> {
        legacy(&patch(value)).map(|it| json!(it)).map_err(fields)
    }

    fn lks_body(value: Value) -> Result<Value, Vec<String>> {
        lks(&patch(value)).map(|it| json!(it)).map_err(fields)
    }

    #[test]
    fn a_legacy_change_is_one_thing() {
        for (wanted, body) in [
            (
                json!({"version": "v1.35.0+rke2r1"}),
                json!({"kubernetes_version": "v1.35.0+rke2r1"}),
            ),
            (
                json!({"node_groups": [{"name": "control-plane", "desired_size": 3}]}),
                json!({"control_plane_count": 3}),
            ),
            (
                json!({"node_groups": [{"name": "workers", "desired_size": 0}]}),
                json!({"worker_count": 0}),
            ),
            (
                json!({"node_groups": [{"name": "workers", "desired_size": 3, "instance_types": ["c3"]}]}),
                json!({"worker_count": 3, "worker_plan": "c3"}),
            ),
        ] {
            assert_eq!(legacy_body(wanted), Ok(body));
        }
    }

    #[test]
    fn two_legacy_changes_are_two_mistakes() {
        let wanted = json!({"version": "1.36", "node_groups": [
            {"name": "workers", "desired_size": 11}, {"name": "control-plane", "desired_size": 0}]});
        assert_eq!(
            legacy_body(wanted).unwrap_err(),
            [
                "node_groups[0].desired_size",
                "node_groups[0].desired_size",
                "node_groups[1].desired_size",
                "node_groups[1].desired_size",
                "version",
            ]
        );
    }

    #[test]
    fn what_a_legacy_cluster_does_not_have_is_a_mistake() {
        let wanted = json!({"name": "b", "public_access_cidrs": [], "options": {"description": "x", "worker_plan": "c3"},
            "node_groups": [{"name": "control-plane", "instance_types": ["c2"]}]});
        assert_eq!(
            legacy_body(wanted).unwrap_err(),
            [
                "",
                "name",
                "node_groups[0].instance_types",
                "options.description",
                "options.worker_plan",
                "public_access_cidrs",
            ]
        );
        assert_eq!(legacy_body(json!({})).unwrap_err(), [""]);
    }

    #[test]
    fn an_lks_change_may_be_several_things() {
        let wanted = json!({"name": "b", "version": "1.36.1", "options": {"description": ""}});
        assert_eq!(
            lks_body(wanted),
            Ok(json!({"name": "b", "kubernetes_version": "1.36.1", "description": ""}))
        );
        assert_eq!(lks_body(json!({})).unwrap_err(), [""]);
        let wanted = json!({"name": " ", "options": {"site": "x"}, "node_groups": [{"name": "pool-a", "desired_size": 2}]});
        assert_eq!(
            lks_body(wanted).unwrap_err(),
            ["name", "node_groups", "options.site"]
        );
    }
}
