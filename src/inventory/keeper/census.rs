//! What nobody did: sources came or went with the configuration, or nobody looked at them while no gateway was there.
//!
//! A gateway that has its inventory alone finds this at its start. Where several share one, whoever has a turn first publishes it
//! as a generation of its own, with the same changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::super::begin::{differences, gone};
use super::super::change::{Cause, Change};
use super::super::diff::difference;
use super::super::journal::Delta;
use super::super::replicas::Census;
use super::super::shelf::Shelf;
use super::{Making, Ready, Writer};
use crate::domain::SourceName;

impl Writer {
    /// Makes one generation of what nobody did.
    pub(super) fn make_census(
        &mut self,
        census: Census,
        places: &HashMap<SourceName, usize>,
    ) -> Ready {
        let now = super::super::now();
        self.hurry(now);
        let mut making = Making::default();
        let mut changes: BTreeMap<SourceName, Vec<Change>> = BTreeMap::new();
        for (name, provider, source) in census.gone {
            let found = gone(name.clone(), provider, source);
            changes.entry(name).or_default().extend(found);
        }
        let left = census.left.into_iter().map(|name| (name, true));
        let come = census.come.into_iter().map(|name| (name, false));
        for (name, is_shown) in left.chain(come) {
            let Some(&place) = places.get(&name) else {
                continue;
            };
            let before = Arc::clone(&self.shelves[place]);
            let shelf = Arc::new(before.left(now));
            let found = if is_shown {
                difference(&before, &shelf, Cause::Outage).changes
            } else {
                differences(None, Some(&shelf))
            };
            changes.entry(name).or_default().extend(found);
            making.deltas.insert(place, settled(&shelf));
            self.shelves[place] = shelf;
        }
        if census.is_whole {
            making.changes = changes.into_values().flatten().collect();
        }
        self.make(making, now.max(self.as_of))
    }
}

/// A source of which no cluster is another one.
fn settled(shelf: &Arc<Shelf>) -> Delta {
    Delta {
        report: Arc::clone(&shelf.report),
        attempt: None,
        cause: Cause::Outage,
        shelf: Arc::clone(shelf),
        upserts: Vec::new(),
        removed: Vec::new(),
    }
}
