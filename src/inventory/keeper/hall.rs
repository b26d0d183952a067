//! The sources as a gateway shares them with others, and taking over what those have published.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use jiff::Timestamp;
use tracing::error;

use super::super::batch::Batch;
use super::super::change::Change;
use super::super::diff::difference;
use super::super::past;
use super::super::replicas::{Commons, Desk, Newer};
use super::{Activation, Snapshot, Writer, texts};
use crate::domain::{ClusterId, SourceName};

/// A source as this gateway takes part in it.
pub(super) struct Seat {
    pub(super) name: SourceName,
    pub(super) desk: Arc<Desk>,
    pub(super) activation: Arc<Activation>,
}

/// What does not change.
pub(super) struct Hall {
    pub(super) commons: Arc<dyn Commons>,
    pub(super) seats: Vec<Seat>,
    pub(super) places: HashMap<SourceName, usize>,
}

/// What changes by itself all the time.
enum Noise {
    Known(Option<Arc<Batch>>),
    /// Of several generations at once nobody knows it.
    Unknown,
}

/// What was taken over, ready to be shown.
pub(super) struct Shown {
    /// Where the memory begins, where it begins anew.
    floor: Option<(u64, Timestamp)>,
    told: Vec<Arc<Batch>>,
    /// What changes by itself all the time, where that is known.
    noise: Noise,
}

impl Shown {
    /// Whoever hears of the generation finds its changes.
    pub(super) fn show(self, writer: &Writer) {
        let (generation, at) = (writer.generation, writer.as_of);
        let feed = writer.inventory.feed();
        if let Some((floor, at)) = self.floor {
            feed.begin(floor, at);
        }
        let Noise::Known(noise) = self.noise else {
            for batch in self.told {
                feed.push(Some(batch), None);
            }
            feed.skip_noise(generation, at);
            let shown = Snapshot::new(generation, at, writer.shelves.clone());
            writer.inventory.publish(shown);
            return;
        };
        let mut told = self.told;
        feed.push(told.pop(), noise);
        let shown = Snapshot::new(generation, at, writer.shelves.clone());
        writer.inventory.publish(shown);
    }
}

impl Hall {
    /// Takes over what others have published.
    pub(super) fn take_over(&self, writer: &mut Writer, newer: Newer) -> Shown {
        let is_next = newer.anew.is_none() && newer.previous == writer.generation;
        let mut known: HashMap<(SourceName, Option<ClusterId>), Change> = HashMap::new();
        let mut noise = Vec::new();
        for source in newer.sources {
            let Some(&place) = self.places.get(&source.name) else {
                continue;
            };
            let before = Arc::clone(&writer.shelves[place]);
            let followed = {
                let mut texts = texts(&writer.texts[place]);
                let followed = before.followed(source, &mut texts);
                texts.sweep();
                followed
            };
            if followed.refused > 0 {
                error!(source.name = %before.report.name, records.refused = followed.refused, "records of the store are not what was written; the source is incomplete");
            }
            let seat = &self.seats[place];
            if followed.is_attempted && seat.desk.lease().is_none() {
                seat.activation.pending.store(false, Ordering::Release);
            }
            let shelf = Arc::new(followed.shelf);
            if is_next {
                let found = difference(&before, &shelf, followed.cause);
                noise.extend(found.noise);
                let changes = found.changes.into_iter();
                known.extend(
                    changes.map(|change| ((change.source.clone(), change.cluster.clone()), change)),
                );
            }
            writer.shelves[place] = shelf;
        }
        writer.generation = newer.generation;
        writer.as_of = newer.at;
        let (generation, at) = (newer.generation, newer.at);
        let mut floor = newer.anew;
        let told = past::batches(newer.changes, known).unwrap_or_else(|| {
            // Whoever watches has to begin anew.
            floor = Some((generation, at));
            Vec::new()
        });
        let noise = if is_next {
            Noise::Known(Batch::new(generation, at, noise).map(Arc::new))
        } else {
            Noise::Unknown
        };
        Shown { floor, told, noise }
    }
}
