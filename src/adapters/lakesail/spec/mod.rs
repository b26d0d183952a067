//! What a caller wants a cluster to be, in LakeSail's words. No I/O: values in, values out.
//!
//! The vendor publishes neither which fields it requires nor what it takes for those that are left out. A caller names all
//! that its page shows for a cluster, but the name of the one group of nodes, its disks and the ranges of addresses; what is
//! not named is not sent.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::domain::{ClusterPatch, ClusterSpec, NodeGroupSpec};
use crate::provider::Mistake;

const GROUP: &str = "node_groups[0]";
const DEFAULT_GROUP: &str = "system";
/// Longer than any name that a cloud takes.
const LONGEST_NAME: usize = 255;

/// The body of a creation; the connection stands in the path as well.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Creation<'a> {
    pub(super) connection_id: &'a str,
    pub(super) network_id: &'a str,
    pub(super) name: &'a str,
    pub(super) region: &'a str,
    config: Config<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    kubernetes_version: &'a str,
    system_node_group: Group<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_access_cidrs: Option<&'a [String]>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Group<'a> {
    name: &'a str,
    instance_types: &'a [String],
    min_size: u32,
    max_size: u32,
    desired_size: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_size_gb: Option<u32>,
}

/// The body of a change: whether the vendor replaces the configuration or merges it is not published, so that the whole of
/// it is sent, with what we do not know of.
#[derive(Debug, Serialize)]
pub(super) struct Update {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    config: Map<String, Value>,
}

/// A cluster as it is before a change.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) name: Option<String>,
    pub(super) config: Map<String, Value>,
}

/// What is wrong with a request, all of it.
#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Mistake {
            field: field.into(),
            reason: reason.into(),
        });
    }

    /// A value that has to be there.
    fn need<T>(&mut self, value: Option<T>, field: impl Into<String>) -> Option<T> {
        if value.is_none() {
            self.add(field, "is required by this provider");
        }
        value
    }
}

/// Reads a specification, or says all that is wrong with it.
pub(super) fn creation(spec: &ClusterSpec) -> Result<Creation<'_>, Vec<Mistake>> {
    let mut mistakes = Mistakes::default();
    check_name(&spec.name, &mut mistakes);
    let region = filled(spec.region.as_deref());
    let region = mistakes.need(region, "region");
    let version = mistakes.need(spec.version.as_deref(), "version");
    if let Some(version) = version {
        check_version(version, &mut mistakes);
    }
    if spec.project.is_some() {
        mistakes.add("project", "this provider has no projects: leave it out");
    }
    let cidrs = spec.public_access_cidrs.as_deref();
    check_ranges(cidrs, &mut mistakes);
    let group = creation_group(&spec.node_groups, &mut mistakes);
    for name in spec.options.keys() {
        if !["connection_id", "network_id"].contains(&name.as_str()) {
            mistakes.add(
                format!("options.{name}"),
                "no such option: there are connection_id and network_id",
            );
        }
    }
    let connection_id = option(spec, "connection_id", &mut mistakes);
    let network_id = option(spec, "network_id", &mut mistakes);
    match (region, version, group, connection_id, network_id) {
        (
            Some(region),
            Some(kubernetes_version),
            Some(system_node_group),
            Some(connection_id),
            Some(network_id),
        ) if mistakes.0.is_empty() => Ok(Creation {
            connection_id,
            network_id,
            name: &spec.name,
            region,
            config: Config {
                kubernetes_version,
                system_node_group,
                public_access_cidrs: cidrs,
            },
        }),
        _ => Err(mistakes.0),
    }
}

fn creation_group<'a>(groups: &'a [NodeGroupSpec], mistakes: &mut Mistakes) -> Option<Group<'a>> {
    let [group] = groups else {
        mistakes.add("node_groups", "this provider takes exactly one group");
        return None;
    };
    let of = |field: &str| format!("{GROUP}.{field}");
    check_group(group, mistakes);
    let instance_types = mistakes.need(group.instance_types.as_deref(), of("instance_types"));
    let min_size = mistakes.need(group.min_size, of("min_size"));
    let max_size = mistakes.need(group.max_size, of("max_size"));
    let desired_size = mistakes.need(group.desired_size, of("desired_size"));
    check_sizes(
        group.min_size.map(u64::from),
        group.desired_size.map(u64::from),
        group.max_size.map(u64::from),
        mistakes,
    );
    Some(Group {
        name: group.name.as_deref().unwrap_or(DEFAULT_GROUP),
        instance_types: instance_types?,
        min_size: min_size?,
        max_size: max_size?,
        desired_size: desired_size?,
        disk_size_gb: group.disk_gb,
    })
}

/// What is wrong with a change, as far as it shows without the cluster.
pub(super) fn mistakes(patch: &ClusterPatch) -> Vec<Mistake> {
    let mut mistakes = Mistakes::default();
    if let Some(name) = &patch.name {
        check_name(name, &mut mistakes);
    }
    if let Some(version) = &patch.version {
        check_version(version, &mut mistakes);
    }
    check_ranges(patch.public_access_cidrs.as_deref(), &mut mistakes);
    for name in patch.options.keys() {
        let field = format!("options.{name}");
        mistakes.add(field, "this provider has no options that can be changed");
    }
    match patch.node_groups.as_slice() {
        [] => {}
        [group] => {
            check_group(group, &mut mistakes);
            check_sizes(
                group.min_size.map(u64::from),
                group.desired_size.map(u64::from),
                group.max_size.map(u64::from),
                &mut mistakes,
            );
        }
        _ => mistakes.add("node_groups", "this provider has exactly one group"),
    }
    mistakes.0
}

/// Works a change into a cluster, or says what of it does not fit. The group keeps its name: another one would be another
/// group.
pub(super) fn update(patch: &ClusterPatch, current: Current) -> Result<Update, Vec<Mistake>> {
    let Current { name, mut config } = current;
    if let Some(version) = &patch.version {
        config.insert("kubernetesVersion".to_owned(), json!(version));
    }
    if let Some(cidrs) = &patch.public_access_cidrs {
        config.insert("publicAccessCidrs".to_owned(), json!(cidrs));
    }
    if let Some(Value::Object(group)) = config.get_mut("systemNodeGroup") {
        // Read nested as the vendor's page prints them, sent flat as it takes them.
        if let Some(Value::Array(types)) = group.get_mut("instanceTypes") {
            *types = types.drain(..).flat_map(flat).collect();
        }
    }
    let mut mistakes = Mistakes::default();
    if let [wanted] = patch.node_groups.as_slice() {
        let group = config.entry("systemNodeGroup").or_insert(Value::Null);
        if !group.is_object() {
            *group = json!({"name": DEFAULT_GROUP});
        }
        if let Value::Object(group) = group {
            change_group(group, wanted, &mut mistakes);
        }
    }
    if mistakes.0.is_empty() {
        let name = patch.name.clone().or(name);
        Ok(Update { name, config })
    } else {
        Err(mistakes.0)
    }
}

fn change_group(group: &mut Map<String, Value>, wanted: &NodeGroupSpec, mistakes: &mut Mistakes) {
    let changes = [
        (
            "instanceTypes",
            wanted.instance_types.as_ref().map(|types| json!(types)),
        ),
        ("minSize", wanted.min_size.map(Value::from)),
        ("maxSize", wanted.max_size.map(Value::from)),
        ("desiredSize", wanted.desired_size.map(Value::from)),
        ("diskSizeGb", wanted.disk_gb.map(Value::from)),
    ];
    for (name, value) in changes {
        if let Some(value) = value {
            group.insert(name.to_owned(), value);
        }
    }
    let size = |name: &str| group.get(name).and_then(Value::as_u64);
    check_sizes(
        size("minSize"),
        size("desiredSize"),
        size("maxSize"),
        mistakes,
    );
}

fn flat(item: Value) -> Vec<Value> {
    match item {
        Value::Array(items) => items,
        one => vec![one],
    }
}

fn option<'a>(spec: &'a ClusterSpec, name: &str, mistakes: &mut Mistakes) -> Option<&'a str> {
    let field = format!("options.{name}");
    let value = mistakes.need(spec.options.get(name), field.clone())?;
    // In an address a dot or two are a step to somewhere else.
    let is_id = |id: &&str| filled(Some(id)).is_some() && !matches!(*id, "." | "..");
    let id = value.as_str().filter(is_id);
    if id.is_none() {
        mistakes.add(field, "use the id as the vendor tells it, a text");
    }
    id
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}

fn check_name(name: &str, mistakes: &mut Mistakes) {
    let is_good = filled(Some(name)).is_some()
        && name.chars().count() <= LONGEST_NAME
        && !name.chars().any(char::is_control);
    if !is_good {
        let reason = format!("use 1 to {LONGEST_NAME} characters that can be seen");
        mistakes.add("name", reason);
    }
}

fn check_version(version: &str, mistakes: &mut Mistakes) {
    let is_number = |part: &str| {
        (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_minor = version
        .split_once('.')
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor));
    if !is_minor {
        mistakes.add("version", "use a minor version such as 1.35");
    }
}

fn check_ranges(ranges: Option<&[String]>, mistakes: &mut Mistakes) {
    for (at, range) in ranges.into_iter().flatten().enumerate() {
        if !is_range(range) {
            let field = format!("public_access_cidrs[{at}]");
            mistakes.add(field, "use a range such as 203.0.113.0/24");
        }
    }
}

fn is_range(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.bytes().all(|byte| byte.is_ascii_digit())
        && length.parse().is_ok_and(|length: u8| length <= longest)
}

fn check_group(group: &NodeGroupSpec, mistakes: &mut Mistakes) {
    let name = group.name.as_deref();
    if name.is_some_and(|name| filled(Some(name)).is_none()) {
        mistakes.add(format!("{GROUP}.name"), "leave it out, or name the group");
    }
    let types = group.instance_types.as_deref();
    let is_blank = |name: &String| filled(Some(name.as_str())).is_none();
    if types.is_some_and(|types| types.is_empty() || types.iter().any(is_blank)) {
        let field = format!("{GROUP}.instance_types");
        mistakes.add(field, "name at least one machine type, and no blank one");
    }
    if group.max_size == Some(0) {
        mistakes.add(format!("{GROUP}.max_size"), "use at least 1");
    }
    if group.disk_gb == Some(0) {
        mistakes.add(format!("{GROUP}.disk_gb"), "use at least 1");
    }
}

fn check_sizes(min: Option<u64>, desired: Option<u64>, max: Option<u64>, mistakes: &mut Mistakes) {
    let exceeds =
        |low: Option<u64>, high: Option<u64>| low.zip(high).is_some_and(|(low, high)| low > high);
    if exceeds(min, max) {
        mistakes.add(format!("{GROUP}.min_size"), "must not exceed max_size");
    } else if exceeds(min, desired) {
        mistakes.add(
            format!("{GROUP}.desired_size"),
            "must not be below min_size",
        );
    } else if exceeds(desired, max) {
        mistakes.add(format!("{GROUP}.desired_size"), "must not exceed max_size");
    }
}
