//! The environment, as something that can be asked: the only place that reads the process's own.

use std::collections::BTreeMap;

/// Named texts, such as environment variables. Resolving reads through this, so that it is a pure function.
pub trait Strings {
    /// The text under a name; `None` when there is none, or when it is not Unicode.
    fn get(&self, key: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy)]
pub struct Process;

impl Strings for Process {
    fn get(&self, key: &str) -> Option<String> {
        std::env::var(key).ok()
    }
}

impl Strings for BTreeMap<String, String> {
    fn get(&self, key: &str) -> Option<String> {
        Self::get(self, key).cloned()
    }
}

/// The first of some variables that is set to something, with its name.
///
/// An empty one counts as unset here: container tools pass `KEY=` for a variable that nobody set.
pub(super) fn first_of(strings: &dyn Strings, keys: &[&'static str]) -> Option<&'static str> {
    keys.iter().copied().find(|key| {
        strings
            .get(key)
            .is_some_and(|value| !value.trim().is_empty())
    })
}
