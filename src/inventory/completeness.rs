//! Whether a selection is everything there is, and what of it could not be read.

use super::{Freshness, SourceReport};
use crate::domain::SourceName;

/// How far a selection can be taken for everything there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// Every selected source was read to its end at its last refresh.
    Complete,
    /// Every selected source was read to its end once; some are shown as they were then. Membership can be relied on.
    Frozen,
    /// Of some selected source no listing was ever read to its end, or rows of it could not be read and are not shown.
    Unknown,
}

/// What an answer can say of the sources that it draws on. It speaks of these alone, so that what a caller is not shown cannot
/// be told from it.
#[derive(Debug, Clone)]
pub struct Coverage<'a> {
    /// The sources, by name.
    pub sources: Vec<&'a SourceReport>,
    /// How far what they hold can be taken for everything there is.
    pub completeness: Completeness,
}

impl<'a> Coverage<'a> {
    /// Judges a selection of sources.
    pub fn of(sources: impl IntoIterator<Item = &'a SourceReport>) -> Self {
        let sources: Vec<&SourceReport> = sources.into_iter().collect();
        let completeness = (sources.iter().copied().map(of_source).max())
            // Nothing can be missing from no source.
            .unwrap_or(Completeness::Complete);
        Self {
            sources,
            completeness,
        }
    }

    /// Whether the answer holds everything there is.
    pub fn is_complete(&self) -> bool {
        self.completeness == Completeness::Complete
    }

    /// Sources that could not be read.
    pub fn unreachable(&self) -> impl Iterator<Item = &'a SourceName> {
        let sources = self.sources.iter().copied();
        sources
            .filter(|source| source.is_unreachable())
            .map(|source| &source.name)
    }
}

fn of_source(source: &SourceReport) -> Completeness {
    match source.state {
        Freshness::Never => Completeness::Unknown,
        Freshness::Fresh | Freshness::Stale | Freshness::Suspect if source.omitted > 0 => {
            Completeness::Unknown
        }
        Freshness::Stale | Freshness::Suspect => Completeness::Frozen,
        Freshness::Fresh => Completeness::Complete,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Kind, SourceName};

    fn source(state: Freshness, omitted: usize) -> SourceReport {
        let name = SourceName::new("s").unwrap();
        SourceReport {
            state,
            omitted,
            ..SourceReport::new(name, Kind::new("k"), Duration::from_mins(1))
        }
    }

    #[test]
    fn the_least_known_source_decides() {
        let completeness = |sources: &[&SourceReport]| {
            let coverage = Coverage::of(sources.iter().copied());
            assert_eq!(coverage.sources.len(), sources.len());
            coverage.completeness
        };
        let fresh = source(Freshness::Fresh, 0);
        let stale = source(Freshness::Stale, 0);
        let never = source(Freshness::Never, 0);
        let gaps = source(Freshness::Fresh, 1);
        assert_eq!(completeness(&[&fresh]), Completeness::Complete);
        assert_eq!(completeness(&[&fresh, &stale]), Completeness::Frozen);
        assert_eq!(completeness(&[&stale, &never]), Completeness::Unknown);
        assert_eq!(completeness(&[&fresh, &gaps]), Completeness::Unknown);
        assert_eq!(completeness(&[]), Completeness::Complete);
    }

    #[test]
    fn only_the_selected_sources_are_spoken_of() {
        let fresh = source(Freshness::Fresh, 0);
        let mut stale = source(Freshness::Stale, 0);
        stale.name = SourceName::new("other").unwrap();
        let both = Coverage::of([&fresh, &stale]);
        assert!(!both.is_complete());
        assert_eq!(both.unreachable().collect::<Vec<_>>(), [&stale.name]);
        let one = Coverage::of([&fresh]);
        assert!(one.is_complete());
        assert_eq!(one.unreachable().next(), None);
    }
}
