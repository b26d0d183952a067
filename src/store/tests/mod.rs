//! The store over real files, and the recorder over one that fails as told.

mod api_keys;
mod audit;
mod copies;
mod files;
mod hooks;
mod hours;
mod outages;
mod owned;
mod past;
mod recorder;
mod scripted;
mod sharing;
mod steps;
mod upgrades;

use crate::domain::SourceName;
pub(super) use files::{Place, places};
pub(super) use steps::{Steps, plan};

fn source(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

/// Clusters of these ids, each with a name of its own.
fn clusters(ids: &[&str]) -> Vec<(String, String)> {
    let named = |id: &&str| ((*id).to_owned(), format!("name of {id}"));
    ids.iter().map(named).collect()
}
