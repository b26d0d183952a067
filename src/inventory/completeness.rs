//! Whether a selection is everything there is.

use super::{Freshness, SourceReport};

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

/// Judges the sources of a selection.
pub fn completeness<'a>(sources: impl IntoIterator<Item = &'a SourceReport>) -> Completeness {
    sources
        .into_iter()
        .map(of_source)
        .max()
        .unwrap_or(Completeness::Complete)
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
        let fresh = source(Freshness::Fresh, 0);
        let stale = source(Freshness::Stale, 0);
        let never = source(Freshness::Never, 0);
        let gaps = source(Freshness::Fresh, 1);
        assert_eq!(completeness([&fresh]), Completeness::Complete);
        assert_eq!(completeness([&fresh, &stale]), Completeness::Frozen);
        assert_eq!(completeness([&stale, &never]), Completeness::Unknown);
        assert_eq!(completeness([&fresh, &gaps]), Completeness::Unknown);
        assert_eq!(completeness([]), Completeness::Complete);
    }
}
