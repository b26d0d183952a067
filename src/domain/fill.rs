//! Joining two accounts of one thing: what the first leaves open, the second fills.

use std::collections::BTreeMap;

/// Takes from another value only what this one does not know.
pub trait Fill {
    /// Fills the gaps of `self` from `other`.
    fn fill(&mut self, other: Self);
}

/// Fills one optional value.
pub(super) fn fill<T>(slot: &mut Option<T>, other: Option<T>) {
    if slot.is_none() {
        *slot = other;
    }
}

impl<T: Fill> Fill for Option<T> {
    fn fill(&mut self, other: Self) {
        match (self.as_mut(), other) {
            (Some(own), Some(other)) => own.fill(other),
            (None, other) => *self = other,
            (Some(_), None) => {}
        }
    }
}

impl<T> Fill for Vec<T> {
    fn fill(&mut self, other: Self) {
        if self.is_empty() {
            *self = other;
        }
    }
}

impl<V> Fill for BTreeMap<String, V> {
    fn fill(&mut self, other: Self) {
        for (key, value) in other {
            self.entry(key).or_insert(value);
        }
    }
}
