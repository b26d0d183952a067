//! The inventory against naive accounts of what it should be.

mod changes;
mod fleets;
mod hours;
mod json;
mod moving;
mod oracle;
mod questions;
mod reaching;
mod records;
mod replicas;
mod selecting;
mod shelves;
mod summing;
mod tasks;
mod telling;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::facts::Interner;
use super::prepare::Preparing;
use super::row::Entry;
use super::shelf::{Detailed, Outcome, Shelf};
use super::shown::Shown;
use super::{Freshness, Snapshot, SourceReport};
use crate::domain::{Cluster, ClusterId, Kind, Presence, SourceName, Vantage};
use crate::provider::{
    Described, ErrorKind, Gather as _, Listed, Listing, Locator, Rejected, Warnings,
};

/// Age after which the clusters of a [`Bench`] are old.
const LIMIT: Duration = Duration::from_hours(1);

/// A time of day, so many seconds into the test.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn source(name: &str) -> SourceName {
    SourceName::new(name).unwrap()
}

fn cluster(source_name: &str, native_id: &str) -> Cluster {
    let name = format!("name of {native_id}");
    Cluster::new(
        &source(source_name),
        Kind::new("test"),
        native_id,
        name,
        Vantage::Hosts,
    )
}

fn listed(cluster: Cluster) -> Listed {
    Listed {
        locator: Locator::new(&cluster.native_id),
        cluster,
        raw: None,
        nodes: None,
    }
}

fn described(cluster: Cluster) -> Described {
    Described {
        cluster,
        nodes: None,
        raw: None,
        warnings: Warnings::default(),
    }
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// One source and what happens to it, second by second.
struct Bench {
    shelf: Arc<Shelf>,
    texts: Arc<Mutex<Interner>>,
    clock: i64,
    generation: u64,
}

impl Bench {
    fn new(name: &str, kind: &'static str) -> Self {
        let report = SourceReport::new(source(name), Kind::new(kind), Duration::from_mins(1));
        Self {
            shelf: Arc::new(Shelf::new(report, LIMIT)),
            texts: Arc::default(),
            clock: 0,
            generation: 0,
        }
    }

    fn name(&self) -> String {
        self.shelf.report.name.to_string()
    }

    fn end(&mut self, result: Result<Listing, (ErrorKind, u32)>) {
        self.end_based_on(self.generation, result);
    }

    /// Ends a refresh that began when a generation was current.
    fn end_based_on(&mut self, based_on: u64, result: Result<Listing, (ErrorKind, u32)>) {
        self.clock += 1;
        self.generation += 1;
        let mut preparing = Preparing {
            shelf: Arc::clone(&self.shelf),
            texts: Arc::clone(&self.texts),
            now: at(self.clock),
        };
        let result = result.map(|listing| Listing {
            clusters: listing
                .clusters
                .into_iter()
                .map(|listed| preparing.take(listed))
                .collect(),
            rejected: listing.rejected,
            warnings: listing.warnings,
            pages: listing.pages,
        });
        let outcome = Outcome {
            started_at: at(self.clock),
            based_on,
            took: Duration::ZERO,
            result,
            next_attempt_at: Some(at(self.clock + 60)),
        };
        self.shelf = Arc::new(self.shelf.after(outcome, true));
    }

    fn list_with(&mut self, clusters: Vec<Listed>, rejected: Vec<Rejected>) {
        self.end(Ok(Listing {
            clusters,
            rejected,
            warnings: Warnings::default(),
            pages: 1,
        }));
    }

    fn list(&mut self, ids: &[&str]) {
        let name = self.name();
        let clusters = ids.iter().map(|id| listed(cluster(&name, id))).collect();
        self.list_with(clusters, Vec::new());
    }

    fn list_numbered(&mut self, ids: std::ops::Range<u32>) {
        let ids: Vec<String> = ids.map(|id| format!("{id:03}")).collect();
        self.list(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    }

    fn fail(&mut self, kind: ErrorKind) {
        self.end(Err((kind, 2)));
    }

    fn describe(&mut self, cluster: Cluster) {
        self.describe_with(cluster.id.clone(), described(cluster));
    }

    fn describe_with(&mut self, id: ClusterId, described: Described) {
        self.clock += 1;
        let detailed = Detailed {
            id,
            described,
            at: at(self.clock),
            based_on: self.generation,
        };
        self.shelf = Arc::new(
            self.shelf
                .detailed(vec![detailed], &mut self.texts.lock().unwrap()),
        );
    }

    /// Takes what a call has shown, in a generation of its own.
    fn change(&mut self, change: Shown) {
        self.clock += 1;
        self.generation += 1;
        let texts = &mut self.texts.lock().unwrap();
        let next = (self.shelf).changed(change, at(self.clock), self.generation, true, texts);
        self.shelf = Arc::new(next);
    }

    /// Lets time pass and looks at the ages.
    fn age(&mut self, seconds: i64) {
        self.clock += seconds;
        if let Some(next) = self.shelf.aged(at(self.clock)) {
            self.shelf = Arc::new(next);
        }
    }

    fn entry(&self, native_id: &str) -> &Entry {
        let id = ClusterId::new(&self.shelf.report.name, native_id);
        let content = &self.shelf.content;
        &content.entries[content.index.find(&content.entries, id.as_str()).unwrap()]
    }

    fn cluster(&self, native_id: &str) -> Cluster {
        self.entry(native_id).row.cluster().unwrap()
    }

    /// Native ids and presences as answers show them.
    fn presences(&self) -> Vec<(String, Presence)> {
        let shown = |entry: &Entry| {
            let id = entry.row.id.as_str().split_once(':').unwrap().1.to_owned();
            (id, self.shelf.presence(entry))
        };
        self.shelf.content.entries.iter().map(shown).collect()
    }

    fn wanting(&self, older_than: Timestamp) -> Vec<String> {
        let wanting = self.shelf.wanting_detail(older_than);
        let native = wanting
            .iter()
            .map(|(_, locator)| locator.as_str().to_owned());
        native.collect()
    }

    fn state(&self) -> Freshness {
        self.shelf.report.state
    }
}

fn snapshot(generation: u64, benches: &[Bench]) -> Snapshot {
    let shelves = benches.iter().map(|bench| Arc::clone(&bench.shelf));
    Snapshot::new(generation, at(0), shelves.collect())
}
