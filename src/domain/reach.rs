//! How far a caller sees: every source, or some; every project of them, or some.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::SourceName;

/// How far a caller sees. What is outside of it does not exist for the caller: not in lists, counts, totals or states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reach {
    /// Sources that are seen; `None` is all of them.
    pub sources: Option<BTreeSet<SourceName>>,
    /// Projects, by the vendor's id or by name, whose clusters are seen; `None` is all clusters, also those of no project.
    pub projects: Option<BTreeSet<String>>,
}

impl Reach {
    /// Everything there is.
    pub const ALL: Self = Self {
        sources: None,
        projects: None,
    };

    /// Whether nothing is hidden.
    pub const fn is_all(&self) -> bool {
        self.sources.is_none() && self.projects.is_none()
    }

    /// Whether a source is seen.
    pub fn sees(&self, source: &SourceName) -> bool {
        self.sources
            .as_ref()
            .is_none_or(|sources| sources.contains(source))
    }

    /// Stands for this reach in keys of caches and in entity tags; 0 is everything.
    pub fn fingerprint(&self) -> u64 {
        if self.is_all() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish() | 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_stands_for_one_reach() {
        let of = |sources: &[&str], projects: &[&str]| Reach {
            sources: (!sources.is_empty()).then(|| {
                sources
                    .iter()
                    .map(|name| SourceName::new(*name).unwrap())
                    .collect()
            }),
            projects: (!projects.is_empty())
                .then(|| projects.iter().map(|&name| name.to_owned()).collect()),
        };
        assert_eq!(Reach::ALL.fingerprint(), 0);
        let fingerprints: BTreeSet<u64> = [
            of(&["a"], &[]),
            of(&["b"], &[]),
            of(&["a", "b"], &[]),
            of(&["a"], &["p"]),
            of(&[], &["p"]),
            of(&[], &[]),
        ]
        .iter()
        .map(Reach::fingerprint)
        .collect();
        assert_eq!(fingerprints.len(), 6);
        assert!(of(&["a"], &[]).sees(&SourceName::new("a").unwrap()));
        assert!(!of(&["a"], &[]).sees(&SourceName::new("b").unwrap()));
    }
}
