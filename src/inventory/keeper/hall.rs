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
use super::super::shelf::Shelf;
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
    /// The places of sources that are as somebody left them.
    left: Vec<usize>,
    /// Where the memory begins, where it begins anew.
    floor: Option<(u64, Timestamp)>,
    told: Vec<Arc<Batch>>,
    /// What changes by itself all the time, where that is known.
    noise: Noise,
}

impl Shown {
    /// Whoever hears of the generation finds its changes. Answers with the shelves as they are shown, where that is not as they were
    /// published: nobody has told yet that nothing of them is fresh.
    pub(super) fn show(self, writer: &Writer) -> Option<Vec<Arc<Shelf>>> {
        let local = self.local(writer);
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
            writer.show(local.as_deref());
            return local;
        };
        let mut told = self.told;
        feed.push(told.pop(), noise);
        writer.show(local.as_deref());
        local
    }

    fn local(&self, writer: &Writer) -> Option<Vec<Arc<Shelf>>> {
        let now = super::super::now();
        let mut shelves = (!self.left.is_empty()).then(|| writer.shelves.clone())?;
        for &place in &self.left {
            shelves[place] = Arc::new(shelves[place].left(now));
        }
        Some(shelves)
    }
}

impl Writer {
    /// Shows the last generation as it was published, or otherwise, as long as nobody can publish that.
    pub(super) fn show(&self, local: Option<&[Arc<Shelf>]>) {
        let shown = match local {
            None => Snapshot::new(self.generation, self.as_of, self.shelves.clone()),
            Some(shelves) => {
                let now = super::super::now();
                let mut shown = Snapshot::new(self.generation, now, shelves.to_vec());
                shown.variant = u64::try_from(now.as_millisecond()).unwrap_or(1);
                shown
            }
        };
        self.inventory.publish(shown);
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
        let left = newer.left.iter();
        Shown {
            left: left
                .filter_map(|name| self.places.get(name).copied())
                .collect(),
            floor,
            told,
            noise,
        }
    }
}
