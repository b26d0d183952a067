//! What callers want and what the vendor is sent.

use super::*;

fn spec(changes: &Value) -> ClusterSpec {
    let mut body = json!({
        "name": "lake-b", "region": "us-east-1", "version": "1.35",
        "node_groups": [{"instance_types": ["m7g.large"], "min_size": 1, "max_size": 3, "desired_size": 2}],
        "options": {"connection_id": "CN00000001", "network_id": "NW00000001"},
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    serde_json::from_value(body).unwrap()
}

fn fields(mistakes: Vec<Mistake>) -> Vec<String> {
    mistakes.into_iter().map(|mistake| mistake.field).collect()
}

fn patch(body: Value) -> ClusterPatch {
    serde_json::from_value(body).unwrap()
}

fn current() -> Current {
    let config = json!({"kubernetesVersion": "1.35", "added": {"lately": true},
        "systemNodeGroup": {"name": "system", "instanceTypes": [["m7g.large", "m7g.xlarge"]],
            "minSize": 1, "maxSize": 3, "desiredSize": 2, "diskSizeGb": 100, "taint": "x"},
        "publicAccessCidrs": ["203.0.113.0/24"]});
    Current {
        name: Some("lake-a".to_owned()),
        config: config.as_object().unwrap().clone(),
    }
}

#[test]
fn a_creation_is_written_in_the_vendors_words() {
    let spec = spec(&json!({"public_access_cidrs": ["203.0.113.0/24", "2001:db8::/32"]}));
    let body = json!(creation(&spec).unwrap());
    assert_eq!(
        body,
        json!({"connectionId": "CN00000001", "networkId": "NW00000001", "name": "lake-b", "region": "us-east-1",
            "config": {"kubernetesVersion": "1.35", "publicAccessCidrs": ["203.0.113.0/24", "2001:db8::/32"],
                "systemNodeGroup": {"name": "system", "instanceTypes": ["m7g.large"], "minSize": 1, "maxSize": 3,
                    "desiredSize": 2}}})
    );
}

#[test]
fn every_mistake_is_told_at_once() {
    let spec: ClusterSpec = serde_json::from_value(json!({
        "name": " ", "version": "v1.35.2", "project": "p",
        "node_groups": [{"name": "", "instance_types": [], "min_size": 5, "max_size": 0, "disk_gb": 0}],
        "public_access_cidrs": ["203.0.113.0/24", "203.0.113.7", "x/1", "::/129", "1.2.3.4/+4", "1.2.3.4/"],
        "options": {"connection_id": 7, "zone": "a"},
    }))
    .unwrap();
    assert_eq!(
        fields(creation(&spec).unwrap_err()),
        [
            "name",
            "region",
            "version",
            "project",
            "public_access_cidrs[1]",
            "public_access_cidrs[2]",
            "public_access_cidrs[3]",
            "public_access_cidrs[4]",
            "public_access_cidrs[5]",
            "node_groups[0].name",
            "node_groups[0].instance_types",
            "node_groups[0].max_size",
            "node_groups[0].disk_gb",
            "node_groups[0].desired_size",
            "node_groups[0].min_size",
            "options.zone",
            "options.connection_id",
            "options.network_id",
        ]
    );
}

#[test]
fn one_mistake_is_enough_to_send_nothing() {
    for (changes, field) in [
        (json!({"version": "1"}), "version"),
        (json!({"version": "1.x"}), "version"),
        (json!({"version": null}), "version"),
        (json!({"region": ""}), "region"),
        (json!({"name": "a\u{7}"}), "name"),
        (json!({"node_groups": []}), "node_groups"),
        (json!({"node_groups": [{}, {}]}), "node_groups"),
        (
            json!({"options": {"connection_id": " ", "network_id": "N"}}),
            "options.connection_id",
        ),
    ] {
        assert_eq!(fields(creation(&spec(&changes)).unwrap_err()), [field]);
    }
    for (sizes, field) in [
        ((3, 2, 2), "min_size"),
        ((2, 1, 3), "desired_size"),
        ((1, 4, 3), "desired_size"),
    ] {
        let (min, desired, max) = sizes;
        let group = json!({"instance_types": ["a"], "min_size": min, "desired_size": desired, "max_size": max});
        let found = creation(&spec(&json!({"node_groups": [group]}))).unwrap_err();
        assert_eq!(fields(found), [format!("node_groups[0].{field}")]);
    }
}

#[test]
fn a_change_sends_the_whole_configuration_and_what_is_not_known_of_it() {
    let patch = patch(json!({"node_groups": [{"name": "any", "max_size": 5, "desired_size": 4}]}));
    assert_eq!(mistakes(&patch), []);
    assert_eq!(
        json!(update(&patch, current()).unwrap()),
        json!({"name": "lake-a", "config": {"kubernetesVersion": "1.35", "added": {"lately": true},
            "systemNodeGroup": {"name": "system", "instanceTypes": ["m7g.large", "m7g.xlarge"],
                "minSize": 1, "maxSize": 5, "desiredSize": 4, "diskSizeGb": 100, "taint": "x"},
            "publicAccessCidrs": ["203.0.113.0/24"]}})
    );
}

#[test]
fn a_change_replaces_what_it_names() {
    let patch = patch(json!({"name": "lake-c", "version": "1.36", "public_access_cidrs": []}));
    let body = json!(update(&patch, current()).unwrap());
    assert_eq!(
        (
            &body["name"],
            &body["config"]["kubernetesVersion"],
            &body["config"]["publicAccessCidrs"]
        ),
        (&json!("lake-c"), &json!("1.36"), &json!([]))
    );
    assert_eq!(body["config"]["systemNodeGroup"]["maxSize"], json!(3));
}

#[test]
fn a_change_has_to_fit_the_cluster() {
    let too_many = patch(json!({"node_groups": [{"desired_size": 9}]}));
    assert_eq!(mistakes(&too_many), []);
    assert_eq!(
        fields(update(&too_many, current()).unwrap_err()),
        ["node_groups[0].desired_size"]
    );
    let wrong = patch(
        json!({"name": "", "version": "x", "public_access_cidrs": ["y"], "options": {"a": 1},
        "node_groups": [{}, {}]}),
    );
    assert_eq!(
        fields(mistakes(&wrong)),
        [
            "name",
            "version",
            "public_access_cidrs[0]",
            "options.a",
            "node_groups"
        ]
    );
}

#[test]
fn a_step_in_an_address_is_no_id() {
    for step in [".", ".."] {
        let spec = spec(&json!({"options": {"connection_id": step, "network_id": "NW00000001"}}));
        let mistakes = creation(&spec).err().unwrap();
        assert_eq!(fields(mistakes), ["options.connection_id"]);
    }
}
