//! What Latitude.sh offers to everyone: versions, sites, plans.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::super::world::Answer;

/// The sites there are.
pub(super) const SITES: [&str; 9] = [
    "AMS", "ASH", "CHI", "FRA2", "LAX2", "LON2", "SAN3", "SYD", "TYO4",
];
/// The site that has no machines for legacy clusters.
pub(super) const WITHOUT_KUBERNETES: &str = "CHI";
/// Minor versions of the legacy family; each has one release, the newest of its channel.
const MINORS: RangeInclusive<u64> = 32..=36;
const PATCH: u64 = 3;
/// Minor versions of LKS; the oldest is for upgrades only.
pub(super) const LKS_MINORS: RangeInclusive<u64> = 33..=36;

/// Whether a legacy cluster can be made with a version, or raised to it.
pub(super) fn is_offered((minor, patch): (u64, u64)) -> bool {
    MINORS.contains(&minor) && patch == PATCH
}

/// The site nearest to each place of a profile.
pub(super) const SITE_OF_PLACE: [&str; 12] = [
    "LON2", "ASH", "CHI", "FRA2", "AMS", "AMS", "LAX2", "SYD", "ASH", "SAN3", "TYO4", "FRA2",
];
pub(super) const PLANS: [&str; 4] = [
    "c3-small-x86",
    "c3-medium-x86",
    "f4-metal-small",
    "g3-large-h100",
];

pub(super) fn versions() -> Answer {
    let rows: Vec<Value> =
        MINORS.rev().map(|minor| json!({"latest": format!("v1.{minor}.{PATCH}+rke2r1"), "minor": format!("1.{minor}")})).collect();
    Answer::ok(json!({"data": rows}))
}

pub(super) fn lks_versions() -> Answer {
    let rows: Vec<Value> = LKS_MINORS
        .map(|minor| {
            let version = format!("1.{minor}.1");
            json!({"id": version, "type": "lks_available_versions", "attributes": {"version": version, "default": minor == *LKS_MINORS.end(),
                "available_for_creation": minor > *LKS_MINORS.start(), "available_for_upgrade": true}})
        })
        .collect();
    Answer::ok(json!({"data": rows}))
}

pub(super) fn lks_sites() -> Answer {
    let rows: Vec<Value> = SITES
        .iter()
        .map(|site| json!({"id": site, "type": "lks_sites", "attributes": {"name": site, "slug": site, "facility": site, "country": Value::Null}}))
        .collect();
    Answer::ok(json!({"data": rows}))
}

pub(super) fn plans() -> Answer {
    let rows: Vec<Value> = PLANS
        .iter()
        .enumerate()
        .map(|(at, plan)| {
            let hour = 0.5 + at as f64;
            json!({"id": format!("plan_{at}"), "type": "plans", "attributes": {"slug": plan, "name": plan,
                "regions": [{"name": "United States", "pricing": {"USD": {"hour": hour, "month": hour * 500.0, "year": Value::Null}}}]}})
        })
        .collect();
    Answer::ok(json!({"data": rows}))
}
