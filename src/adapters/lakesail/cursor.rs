//! Which page of which listing is next. No I/O: answers in, the next call out.

use serde::Deserialize;

use crate::provider::{ErrorKind, PageCursor, ProviderError};

/// A marker longer than this is none.
const MAX_MARKER: usize = 4_096;

/// A total beyond this is no count of anything an organization has.
const PLAUSIBLE: u64 = 10_000_000;

/// The vendor's two views of the clusters of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Listing {
    /// Everything in the organization's cloud accounts: `/infra/clusters`.
    Infra,
    /// What the credential's teams may use, self-registered clusters too: `/me/clusters`.
    Me,
}

impl Listing {
    /// The word in the configuration and in the path.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Infra => "infra",
            Self::Me => "me",
        }
    }
}

/// One call of a walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cursor {
    /// `/infra` from this marker, or from its beginning, after so many rows.
    Infra { marker: Option<String>, seen: u64 },
    /// This page of `/me`, after so many rows.
    Me { page: u64, seen: u64 },
}

impl Cursor {
    /// The beginning of a listing.
    pub(super) const fn begin(listing: Listing) -> Self {
        match listing {
            Listing::Infra => Self::Infra {
                marker: None,
                seen: 0,
            },
            Listing::Me => Self::Me { page: 1, seen: 0 },
        }
    }

    /// Reads a cursor. Text that we did not write counts as expired: the walk starts afresh.
    pub(super) fn parse(cursor: &PageCursor) -> Result<Self, ProviderError> {
        Self::read(cursor.as_str())
            .ok_or_else(|| ProviderError::new(ErrorKind::CursorExpired, "list_clusters"))
    }

    fn read(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("infra:") {
            let (seen, marker) = rest.split_once(':')?;
            let marker = Some(marker.to_owned());
            let seen = seen.parse().ok()?;
            return Self::Infra { marker, seen }.valid();
        }
        let (page, seen) = text.strip_prefix("me:")?.split_once(':')?;
        let (page, seen) = (page.parse().ok()?, seen.parse().ok()?);
        Self::Me { page, seen }.valid()
    }

    fn valid(self) -> Option<Self> {
        let valid = match &self {
            Self::Infra { marker, .. } => marker
                .as_ref()
                .is_none_or(|marker| !marker.trim().is_empty() && marker.len() <= MAX_MARKER),
            Self::Me { page, .. } => (1..PLAUSIBLE).contains(page),
        };
        valid.then_some(self)
    }

    /// As text.
    pub(super) fn to_cursor(&self) -> PageCursor {
        PageCursor::new(match self {
            Self::Infra { marker, seen } => {
                format!("infra:{seen}:{}", marker.as_deref().unwrap_or_default())
            }
            Self::Me { page, seen } => format!("me:{page}:{seen}"),
        })
    }
}

/// Rows of one page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    /// In the answer.
    pub(super) sent: usize,
    /// Of these, not repeating another.
    pub(super) distinct: usize,
}

/// The page of `/infra` after one with this marker and these rows; `None` after the last.
///
/// A total that stands above the rows does not go on by itself, and without a marker there is no way on: that fails the walk
/// rather than hide clusters.
pub(super) fn after_infra(
    marker: Option<&str>,
    seen: u64,
    rows: Rows,
    total: Option<u64>,
) -> Result<Option<Cursor>, ProviderError> {
    const OPERATION: &str = "list_infra_clusters";
    let seen = seen.saturating_add(rows.distinct as u64);
    let Some(marker) = marker.filter(|marker| !marker.trim().is_empty()) else {
        return match total.filter(|total| *total <= PLAUSIBLE) {
            Some(total) if seen < total => Err(truncated(
                OPERATION,
                "no marker before the total was reached",
            )),
            _ => Ok(None),
        };
    };
    let marker = Some(marker.to_owned());
    match (Cursor::Infra { marker, seen }).valid() {
        Some(cursor) => Ok(Some(cursor)),
        None => Err(truncated(OPERATION, "the marker cannot be used")),
    }
}

/// The page of `/me` after one with these rows; `None` after the last.
///
/// A full page is followed by another call unless the total says that it was the last; a total of no more than this page's
/// rows may count this page alone and is not believed. A short page is the last one unless the total says otherwise, and a
/// total that no page ever reaches fails the walk rather than hide clusters.
pub(super) fn after_me(
    page: u64,
    seen: u64,
    rows: Rows,
    limit: u64,
    total: Option<u64>,
) -> Result<Option<Cursor>, ProviderError> {
    let seen = seen.saturating_add(rows.distinct as u64);
    let sent = rows.sent as u64;
    let total = total.filter(|total| *total <= PLAUSIBLE);
    let more = if sent >= limit {
        total.is_none_or(|total| seen < total || total <= sent)
    } else {
        total.is_some_and(|total| seen < total)
    };
    if more && sent == 0 {
        let detail = "a page without clusters before their total was reached";
        return Err(truncated("list_my_clusters", detail));
    }
    Ok(more.then_some(Cursor::Me {
        page: page.saturating_add(1),
        seen,
    }))
}

/// A listing that says that it goes on and gives no way to it.
pub(super) fn truncated(operation: &'static str, detail: &str) -> ProviderError {
    ProviderError::new(ErrorKind::Truncated, operation).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(sent: usize) -> Rows {
        Rows {
            sent,
            distinct: sent,
        }
    }

    fn infra(marker: &str, seen: u64) -> Cursor {
        let marker = Some(marker.to_owned());
        Cursor::Infra { marker, seen }
    }

    #[test]
    fn a_marker_goes_on_and_none_of_it_ends() {
        let next =
            |marker, total| after_infra(marker, 100, rows(7), total).map_err(|error| error.kind);
        for end in [None, Some(""), Some("  ")] {
            assert_eq!(next(end, None), Ok(None));
            assert_eq!(next(end, Some(107)), Ok(None));
            assert_eq!(next(end, Some(7)), Ok(None));
            assert_eq!(next(end, Some(1 << 52)), Ok(None));
            assert_eq!(next(end, Some(108)), Err(ErrorKind::Truncated));
        }
        assert_eq!(next(Some("m:1"), Some(7)), Ok(Some(infra("m:1", 107))));
        let endless = "x".repeat(MAX_MARKER + 1);
        assert_eq!(next(Some(&endless), None), Err(ErrorKind::Truncated));
    }

    #[test]
    fn pages_end_by_evidence() {
        let more = |seen, sent, total| {
            after_me(1, seen, rows(sent), 100, total)
                .map(|next| next.is_some())
                .map_err(|error| error.kind)
        };
        for (seen, sent, total, expected) in [
            (0, 2, Some(2), Ok(false)),
            (0, 2, None, Ok(false)),
            (0, 100, None, Ok(true)),
            (0, 100, Some(130), Ok(true)),
            (0, 100, Some(100), Ok(true)),
            (100, 100, Some(200), Ok(false)),
            (100, 0, Some(100), Ok(false)),
            (100, 30, Some(30), Ok(false)),
            (0, 40, Some(90), Ok(true)),
            (40, 0, Some(90), Err(ErrorKind::Truncated)),
            (40, 0, Some(1_000_040), Err(ErrorKind::Truncated)),
            (0, 2, Some(1 << 52), Ok(false)),
            (0, 0, Some(1 << 52), Ok(false)),
            (0, 0, Some(0), Ok(false)),
        ] {
            assert_eq!(more(seen, sent, total), expected, "{seen} {sent} {total:?}");
        }
    }

    #[test]
    fn rows_that_are_sent_twice_are_counted_once() {
        let twice = Rows {
            sent: 200,
            distinct: 100,
        };
        assert!(after_me(2, 100, twice, 100, Some(300)).unwrap().is_some());
    }

    #[test]
    fn a_cursor_reads_back() {
        for cursor in [infra("a:b/c?", 100), Cursor::Me { page: 7, seen: 600 }] {
            assert_eq!(Cursor::parse(&cursor.to_cursor()).unwrap(), cursor);
        }
    }

    #[test]
    fn what_is_not_ours_is_expired() {
        for text in [
            "",
            "infra",
            "infra:",
            "infra:1",
            "infra:1:",
            "infra:x:m",
            "me:",
            "me:0:0",
            "me:x:1",
            "me:-1:0",
            "me:1",
            "other:1",
        ] {
            let error = Cursor::parse(&PageCursor::new(text)).unwrap_err();
            assert_eq!(error.kind, ErrorKind::CursorExpired, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_cursor_or_expired(text in "(infra:|me:)?.*") {
            if let Ok(cursor) = Cursor::parse(&PageCursor::new(text)) {
                prop_assert_eq!(Cursor::parse(&cursor.to_cursor()).unwrap(), cursor);
            }
        }
    }
}
