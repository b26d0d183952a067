//! How far a caller sees: every source, or some; every project of them, or some.

use std::collections::BTreeSet;

use super::SourceName;

/// How far a caller sees. What is outside of it does not exist for the caller: not in lists, counts, totals or states.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reach {
    /// Sources that are seen; `None` is all of them.
    pub sources: Option<BTreeSet<SourceName>>,
    /// Projects whose clusters are seen, each by its id or its name, letter by letter as the vendor writes it; `None` is all
    /// clusters, also those of no project.
    pub projects: Option<BTreeSet<String>>,
}

impl Reach {
    /// Everything there is.
    pub const ALL: Self = Self {
        sources: None,
        projects: None,
    };

    /// Nothing at all.
    pub const NOTHING: Self = Self {
        sources: Some(BTreeSet::new()),
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

    /// Stands for this reach in keys of caches, page tokens and entity tags; 0 is everything. It is the same in every process,
    /// and no two reaches can be made to share one.
    pub fn fingerprint(&self) -> u128 {
        if self.is_all() {
            return 0;
        }
        let mut hasher = blake3::Hasher::new();
        let sources = self.sources.as_ref();
        add(
            &mut hasher,
            sources.map(|names| names.iter().map(SourceName::as_str)),
        );
        let projects = self.projects.as_ref();
        add(
            &mut hasher,
            projects.map(|names| names.iter().map(String::as_str)),
        );
        let mut bytes = [0; 16];
        hasher.finalize_xof().fill(&mut bytes);
        u128::from_le_bytes(bytes) | 1
    }
}

/// Adds a set so that its end and the ends of its members can be told.
fn add<'a>(hasher: &mut blake3::Hasher, names: Option<impl ExactSizeIterator<Item = &'a str>>) {
    let Some(names) = names else {
        hasher.update(&[0]);
        return;
    };
    hasher.update(&[1]).update(&names.len().to_le_bytes());
    for name in names {
        hasher.update(&name.len().to_le_bytes());
        hasher.update(name.as_bytes());
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
        let fingerprints: BTreeSet<u128> = [
            of(&["a"], &[]),
            of(&["b"], &[]),
            of(&["a", "b"], &[]),
            of(&["a"], &["p"]),
            of(&[], &["p"]),
            of(&[], &["a"]),
            of(&[], &["a", "b"]),
            of(&[], &["ab"]),
            of(&[], &[]),
            Reach::NOTHING,
        ]
        .iter()
        .map(Reach::fingerprint)
        .collect();
        assert_eq!(fingerprints.len(), 10);
        assert!(of(&["a"], &[]).sees(&SourceName::new("a").unwrap()));
        assert!(!of(&["a"], &[]).sees(&SourceName::new("b").unwrap()));
    }
}
