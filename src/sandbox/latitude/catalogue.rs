//! What Latitude.sh offers to everyone: versions, sites, plans.

use serde_json::{Value, json};

use super::super::world::Answer;

/// The sites there are.
const SITES: [&str; 9] = [
    "AMS", "ASH", "CHI", "FRA2", "LAX2", "LON2", "SAN3", "SYD", "TYO4",
];
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
        (31..36).rev().map(|minor| json!({"latest": format!("v1.{minor}.3+rke2r1"), "minor": format!("1.{minor}")})).collect();
    Answer::ok(json!({"data": rows}))
}

pub(super) fn lks_versions() -> Answer {
    let rows: Vec<Value> = (33..37)
        .map(|minor| {
            let version = format!("1.{minor}.1");
            json!({"id": version, "type": "lks_available_versions", "attributes": {"version": version, "default": minor == 36,
                "available_for_creation": minor > 33, "available_for_upgrade": true}})
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
