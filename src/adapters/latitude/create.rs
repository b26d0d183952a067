//! From a wanted cluster to the vendor's body, or to everything that is wrong with it. No I/O.

use super::Settings;
use super::form::Form;
use super::progress::Family;
use super::wire::{LegacyCreation, LksCreation};
use crate::domain::ClusterSpec;
use crate::provider::ProviderError;

const OPERATION: &str = "create_cluster";

/// Names longer than this are refused by the vendor.
const LONGEST_NAME: usize = 63;

/// A cluster that the vendor can be asked for.
#[derive(Debug)]
pub(super) enum Creation {
    Legacy(LegacyCreation),
    Lks(LksCreation),
}

/// Where a cluster goes.
struct Place {
    project_id: String,
    site: String,
}

/// Reads what is wanted.
pub(super) fn read(spec: &ClusterSpec, settings: &Settings) -> Result<Creation, ProviderError> {
    let mut form = Form::new(&spec.options);
    let family = family(&mut form, settings);
    let place = Place {
        project_id: project(&mut form, spec, settings),
        site: form.required(
            "region",
            spec.region.as_deref(),
            "name the site, such as SAN3",
        ),
    };
    form.refuse(
        "public_access_cidrs",
        spec.public_access_cidrs.is_some(),
        "the vendor has no such setting",
    );
    let creation = match family {
        None => return Err(form.stop(OPERATION)),
        Some(Family::Legacy) => Creation::Legacy(legacy(&mut form, spec, place)),
        Some(Family::Lks) => Creation::Lks(lks(&mut form, spec, place)),
    };
    form.finish(OPERATION)?;
    Ok(creation)
}

/// The family and the project of a cluster that was asked for: where to look for it.
pub(super) fn whereabouts(
    spec: &ClusterSpec,
    settings: &Settings,
) -> Result<(Family, String), ProviderError> {
    let mut form = Form::new(&spec.options);
    let family = family(&mut form, settings);
    let project = project(&mut form, spec, settings);
    match family.filter(|_| !project.is_empty()) {
        Some(family) => Ok((family, project)),
        None => Err(form.stop(OPERATION)),
    }
}

fn family(form: &mut Form<'_>, settings: &Settings) -> Option<Family> {
    const FIELD: &str = "options.family";
    let word = form.text("family").map(|(_, word)| word);
    let family = match word.as_deref() {
        Some("legacy") => Family::Legacy,
        Some("lks") => Family::Lks,
        Some(_) | None => {
            form.wrong(FIELD, "say which product the cluster is of: legacy or lks");
            return None;
        }
    };
    form.refuse(
        FIELD,
        !settings.families.contains(&family),
        "the source does not read that family, so that the cluster would never be seen",
    );
    Some(family)
}

fn project(form: &mut Form<'_>, spec: &ClusterSpec, settings: &Settings) -> String {
    const FIELD: &str = "project";
    let project = form.required(FIELD, spec.project.as_deref(), "name the project by its id");
    let is_read = settings.projects.is_empty() || settings.projects.contains(&project);
    form.refuse(
        FIELD,
        !project.is_empty() && !is_read,
        "the source does not read that project, so that the cluster would never be seen",
    );
    project
}

fn legacy(form: &mut Form<'_>, spec: &ClusterSpec, place: Place) -> LegacyCreation {
    let name = form.required("name", Some(&spec.name), "give it a name");
    form.refuse(
        "name",
        !name.is_empty() && !is_name(&name),
        "use at most 63 lower-case letters, digits and hyphens, with a letter or digit at both ends",
    );
    let groups = form.groups(&spec.node_groups);
    let plan = form.text("plan");
    let plan = form.either(groups.control_plane.plan, plan);
    if plan.is_none() {
        form.wrong(
            "options.plan",
            "name the plan of the control plane's machines, such as c2-small-x86",
        );
    }
    let worker_plan = form.text("worker_plan");
    let worker_plan = form.either(groups.workers.plan, worker_plan);
    let planes = form.count("control_plane_count");
    let planes = form.either(groups.control_plane.size, planes);
    form.within(planes.as_ref(), &(1..=u32::MAX));
    let workers = form.count("worker_count");
    let workers = form.either(groups.workers.size, workers);
    LegacyCreation {
        name,
        project_id: place.project_id,
        site: place.site,
        plan: plan.map(|(_, plan)| plan).unwrap_or_default(),
        ssh_keys: form.texts("ssh_keys"),
        worker_plan: worker_plan.map(|(_, plan)| plan),
        kubernetes_version: form.optional("version", spec.version.as_deref()),
        control_plane_count: planes.map(|(_, count)| count),
        worker_count: workers.map(|(_, count)| count),
        operating_system: form.text("operating_system").map(|(_, system)| system),
    }
}

fn lks(form: &mut Form<'_>, spec: &ClusterSpec, place: Place) -> LksCreation {
    form.refuse(
        "node_groups",
        !spec.node_groups.is_empty(),
        "an LKS cluster is made without nodes: add node pools at the vendor",
    );
    LksCreation {
        name: form.required("name", Some(&spec.name), "give it a name"),
        project_id: place.project_id,
        site: place.site,
        kubernetes_version: form.required(
            "version",
            spec.version.as_deref(),
            "name a version that the vendor offers, such as 1.36.1",
        ),
        description: form.free_text("description"),
    }
}

/// Kubernetes' naming rules.
fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    name.len() <= LONGEST_NAME
        && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
        && [bytes.first(), bytes.last()]
            .into_iter()
            .all(|end| end.is_some_and(|byte| is_plain(*byte)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::ErrorKind;

    fn spec(value: Value) -> ClusterSpec {
        serde_json::from_value(value).unwrap()
    }

    fn body(value: Value) -> Value {
        match read(&spec(value), &Settings::default()).unwrap() {
            Creation::Legacy(body) => json!(body),
            Creation::Lks(body) => json!(body),
        }
    }

    fn mistakes(value: Value, settings: &Settings) -> Vec<String> {
        let error = read(&spec(value), settings).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidValues);
        assert!(!error.may_have_happened());
        let mut fields: Vec<_> = error.mistakes.into_iter().map(|it| it.field).collect();
        fields.sort();
        fields
    }

    #[test]
    fn the_least_that_a_legacy_cluster_takes() {
        let least = json!({"name": "edge-a", "project": "proj_1", "region": "SAN3",
            "options": {"family": "legacy", "plan": "c2-small-x86"}});
        assert_eq!(
            body(least),
            json!({"name": "edge-a", "project_id": "proj_1", "site": "SAN3", "plan": "c2-small-x86"})
        );
    }

    #[test]
    fn groups_and_options_say_the_same_of_a_legacy_cluster() {
        let all = json!({"name": "edge-a", "project_id": "proj_1", "site": "SAN3", "plan": "c2", "worker_plan": "c3",
            "control_plane_count": 3, "worker_count": 0, "ssh_keys": ["ssh_1"], "operating_system": "ubuntu",
            "kubernetes_version": "v1.35.3+rke2r1"});
        let mut wanted = json!({"name": "edge-a", "project": "proj_1", "region": "SAN3", "version": "v1.35.3+rke2r1",
            "options": {"family": "legacy", "ssh_keys": ["ssh_1"], "operating_system": "ubuntu", "plan": "c2",
                "worker_plan": "c3", "control_plane_count": 3, "worker_count": 0}});
        assert_eq!(body(wanted.clone()), all);
        wanted["node_groups"] = json!([
            {"name": "workers", "instance_types": ["c3"], "desired_size": 0},
            {"name": "control-plane", "instance_types": ["c2"], "desired_size": 3}]);
        wanted["options"] =
            json!({"family": "legacy", "ssh_keys": ["ssh_1"], "operating_system": "ubuntu"});
        assert_eq!(body(wanted), all);
    }

    #[test]
    fn an_lks_cluster_is_a_control_plane() {
        let wanted = json!({"name": "Edge A", "project": "proj_1", "region": "LAX2", "version": "1.36.1",
            "options": {"family": "lks", "description": ""}});
        assert_eq!(
            body(wanted),
            json!({"name": "Edge A", "project_id": "proj_1", "site": "LAX2", "kubernetes_version": "1.36.1", "description": ""})
        );
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let all = Settings::default();
        assert_eq!(
            mistakes(json!({"name": "a"}), &all),
            ["options.family", "project", "region"]
        );
        let wanted = json!({"name": "-Edge", "project": " ", "version": "", "public_access_cidrs": [],
            "node_groups": [{"name": "system"}, {"name": "workers", "min_size": 1, "desired_size": 2},
                {"name": "workers"}, {"name": "control-plane", "desired_size": 0, "instance_types": ["a", "b"]}],
            "options": {"family": "legacy", "worker_count": 3, "worker_plan": 7, "ssh_keys": [1], "sizes": 1,
                "control_plane_count": -1}});
        assert_eq!(
            mistakes(wanted, &all),
            [
                "name",
                "node_groups[0].name",
                "node_groups[1].min_size",
                "node_groups[2].name",
                "node_groups[3].desired_size",
                "node_groups[3].instance_types",
                "options.control_plane_count",
                "options.plan",
                "options.sizes",
                "options.ssh_keys",
                "options.worker_count",
                "options.worker_plan",
                "project",
                "public_access_cidrs",
                "region",
                "version",
            ]
        );
        let wanted = json!({"name": "", "project": "p", "region": "SAN3", "node_groups": [{"name": "workers"}],
            "options": {"family": "lks", "plan": "c2", "description": 1}});
        assert_eq!(
            mistakes(wanted, &all),
            [
                "name",
                "node_groups",
                "options.description",
                "options.plan",
                "version"
            ]
        );
    }

    #[test]
    fn a_cluster_that_would_never_be_seen_is_not_made() {
        let settings = Settings {
            families: vec![Family::Lks],
            projects: vec!["proj_1".to_owned()],
            ..Settings::default()
        };
        let wanted = json!({"name": "a", "project": "proj_2", "region": "SAN3",
            "options": {"family": "legacy", "plan": "c2"}});
        assert_eq!(mistakes(wanted, &settings), ["options.family", "project"]);
    }

    #[test]
    fn a_name_follows_kubernetes() {
        for name in ["a", "edge-a", "0", &"a".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a_b", "a.b", "ä", &"a".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
