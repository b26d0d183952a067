//! The only loop over pages.

use std::collections::{HashMap, HashSet};

use super::{ErrorKind, Listed, Page, PageCursor, Provider, ProviderError, Rejected, Warnings};
use crate::domain::ClusterId;

/// Bounds of one walk.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Pages read at most.
    pub max_pages: u32,
    /// Clusters kept at most.
    pub max_clusters: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pages: 5_000,
            max_clusters: 250_000,
        }
    }
}

/// Every page of one source, read to its end, one row for each cluster.
#[derive(Debug, Clone)]
pub struct Listing<R = Listed> {
    /// Clusters in the order in which they were first seen.
    pub clusters: Vec<R>,
    /// Items that could not be mapped.
    pub rejected: Vec<Rejected>,
    /// Values that were set to null.
    pub warnings: Warnings,
    /// Pages read, those before a fresh start included.
    pub pages: u32,
}

/// What a walk makes of each row as soon as it is read, so that a long list is never held in the form in which it came.
pub trait Gather: Send {
    /// What is kept of a row.
    type Row: Send;

    /// Takes the first row of a cluster.
    fn take(&mut self, listed: Listed) -> Self::Row;

    /// Joins a further row of the same cluster: what is known stays, what it leaves open is filled.
    fn join(&mut self, known: &mut Self::Row, other: Listed);
}

/// Keeps rows as they are.
#[derive(Debug, Clone, Copy)]
pub struct AsListed;

impl Gather for AsListed {
    type Row = Listed;

    fn take(&mut self, listed: Listed) -> Listed {
        listed
    }

    fn join(&mut self, known: &mut Listed, other: Listed) {
        known.join(other);
    }
}

/// A walk that did not reach the end. Nothing of it is kept: a part of a list cannot tell what is gone.
#[derive(Debug, thiserror::Error)]
#[error("the listing ended early")]
pub struct WalkError {
    /// Why.
    #[source]
    pub error: ProviderError,
    /// Pages read before.
    pub pages: u32,
}

/// How often a page may come again before the walk gives up; a moving list may repeat one by chance.
const REPEATS: u32 = 2;

/// Reads a source's listing to its end.
///
/// A cursor that comes again, pages that come again, a page cap and a cluster cap end the walk with an error; a cursor that
/// the vendor no longer accepts restarts it once. Rows of one cluster are joined: the first says what it says, later ones
/// fill what it leaves open.
pub async fn walk(provider: &dyn Provider, limits: Limits) -> Result<Listing, WalkError> {
    walk_into(provider, limits, &mut AsListed).await
}

/// Reads a source's listing to its end as [`walk()`] does, and keeps of each row what `gather` makes of it.
pub async fn walk_into<G: Gather>(
    provider: &dyn Provider,
    limits: Limits,
    gather: &mut G,
) -> Result<Listing<G::Row>, WalkError> {
    let mut pages = 0;
    match walk_once(provider, limits, gather, &mut pages).await {
        Err(error) if error.kind == ErrorKind::CursorExpired && pages > 0 => {
            walk_once(provider, limits, gather, &mut pages).await
        }
        result => result,
    }
    .map(|listing| Listing { pages, ..listing })
    .map_err(|error| WalkError { error, pages })
}

async fn walk_once<G: Gather>(
    provider: &dyn Provider,
    limits: Limits,
    gather: &mut G,
    pages: &mut u32,
) -> Result<Listing<G::Row>, ProviderError> {
    let mut progress = Progress::new();
    let mut cursor: Option<PageCursor> = None;
    let first = *pages;
    loop {
        if *pages - first >= limits.max_pages {
            return Err(ProviderError::new(ErrorKind::PageLimit, "walk"));
        }
        let page = provider.list_page(cursor.as_ref()).await?;
        *pages += 1;
        cursor = progress.take(page, limits, gather)?;
        if cursor.is_none() {
            return progress.finish();
        }
    }
}

struct Progress<R> {
    listing: Listing<R>,
    places: HashMap<ClusterId, usize>,
    cursors: HashSet<PageCursor>,
    fingerprints: HashSet<u64>,
    repeats: u32,
}

impl<R> Progress<R> {
    fn new() -> Self {
        Self {
            listing: Listing {
                clusters: Vec::new(),
                rejected: Vec::new(),
                warnings: Warnings::default(),
                pages: 0,
            },
            places: HashMap::new(),
            cursors: HashSet::new(),
            fingerprints: HashSet::new(),
            repeats: 0,
        }
    }

    fn take(
        &mut self,
        page: Page,
        limits: Limits,
        gather: &mut impl Gather<Row = R>,
    ) -> Result<Option<PageCursor>, ProviderError> {
        self.guard_repetition(&page)?;
        for row in page.clusters {
            self.keep(row, gather);
        }
        if self.listing.clusters.len() > limits.max_clusters {
            return Err(ProviderError::new(ErrorKind::PageLimit, "walk"));
        }
        self.listing.rejected.extend(page.rejected);
        self.listing.warnings.merge(&page.warnings);
        Ok(page.next)
    }

    fn guard_repetition(&mut self, page: &Page) -> Result<(), ProviderError> {
        let is_new_cursor = page
            .next
            .as_ref()
            .is_none_or(|next| self.cursors.insert(next.clone()));
        let is_new_page = page
            .fingerprint
            .is_none_or(|fingerprint| self.fingerprints.insert(fingerprint));
        if !is_new_page {
            self.repeats += 1;
        }
        if !is_new_cursor || self.repeats > REPEATS {
            return Err(ProviderError::new(ErrorKind::PaginationLoop, "walk"));
        }
        Ok(())
    }

    fn keep(&mut self, row: Listed, gather: &mut impl Gather<Row = R>) {
        if let Some(&place) = self.places.get(&row.cluster.id) {
            gather.join(&mut self.listing.clusters[place], row);
        } else {
            self.places
                .insert(row.cluster.id.clone(), self.listing.clusters.len());
            self.listing.clusters.push(gather.take(row));
        }
    }

    /// A listing of which not one row could be read is a change of shape, not an empty account.
    fn finish(self) -> Result<Listing<R>, ProviderError> {
        if self.listing.clusters.is_empty() && !self.listing.rejected.is_empty() {
            return Err(ProviderError::new(ErrorKind::UnexpectedShape, "walk")
                .with_detail("no row could be read"));
        }
        Ok(self.listing)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use futures_util::future::BoxFuture;
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Cluster, Kind, SourceName, Vantage};
    use crate::provider::{Capabilities, Capability, Described, Locator};

    /// Answers pages from a function of the cursor and the number of the call.
    struct Script<F>(F, Mutex<u32>);

    impl<F: Fn(Option<&str>, u32) -> Result<Page, ProviderError> + Send + Sync> Provider for Script<F> {
        fn kind(&self) -> Kind {
            Kind::new("script")
        }

        fn capabilities(&self) -> &'static Capabilities {
            &Capabilities {
                vantage: Vantage::Hosts,
                operations: &[Capability::List],
                reports: &[],
                detail_only: &[],
            }
        }

        fn list_page<'a>(
            &'a self,
            cursor: Option<&'a PageCursor>,
        ) -> BoxFuture<'a, Result<Page, ProviderError>> {
            let mut calls = self.1.lock().unwrap();
            *calls += 1;
            let page = (self.0)(cursor.map(PageCursor::as_str), *calls);
            Box::pin(std::future::ready(page))
        }

        fn describe<'a>(
            &'a self,
            _: &'a Locator,
        ) -> BoxFuture<'a, Result<Described, ProviderError>> {
            Box::pin(std::future::ready(Err(ProviderError::not_supported(
                "describe",
            ))))
        }
    }

    fn page(ids: &[&str], next: Option<String>) -> Page {
        let source = SourceName::new("script").unwrap();
        let listed = |id: &&str| Listed {
            cluster: Cluster::new(&source, Kind::new("script"), *id, *id, Vantage::Hosts),
            locator: Locator::new(id),
            raw: None,
            nodes: None,
        };
        Page {
            clusters: ids.iter().map(listed).collect(),
            next: next.map(PageCursor::new),
            fingerprint: Page::fingerprint("all", ids.iter().copied()),
            ..Page::default()
        }
    }

    async fn run(
        script: impl Fn(Option<&str>, u32) -> Result<Page, ProviderError> + Send + Sync,
    ) -> (Result<Listing, WalkError>, u32) {
        let script = Script(script, Mutex::new(0));
        let result = walk(
            &script,
            Limits {
                max_pages: 50,
                max_clusters: 1_000,
            },
        )
        .await;
        let calls = *script.1.lock().unwrap();
        (result, calls)
    }

    fn kind(result: Result<Listing, WalkError>) -> ErrorKind {
        result.unwrap_err().error.kind
    }

    #[tokio::test]
    async fn a_cursor_that_repeats_ends_the_walk() {
        let (result, calls) = run(|_, _| Ok(page(&["a"], Some("same".into())))).await;
        assert_eq!((kind(result), calls), (ErrorKind::PaginationLoop, 2));
    }

    #[tokio::test]
    async fn the_same_page_under_fresh_cursors_ends_the_walk() {
        let (result, calls) = run(|_, call| Ok(page(&["a", "b"], Some(call.to_string())))).await;
        assert_eq!((kind(result), calls), (ErrorKind::PaginationLoop, 4));
    }

    #[tokio::test]
    async fn empty_pages_without_end_meet_the_cap() {
        let (result, calls) = run(|_, call| Ok(page(&[], Some(call.to_string())))).await;
        assert_eq!((kind(result), calls), (ErrorKind::PageLimit, 50));
    }

    #[tokio::test]
    async fn an_expired_cursor_restarts_once() {
        let expired = || ProviderError::new(ErrorKind::CursorExpired, "list");
        let (result, calls) = run(|cursor, call| match (cursor, call) {
            (Some(_), 2) => Err(expired()),
            (None, _) => Ok(page(&["a"], Some("2".into()))),
            (Some(_), _) => Ok(page(&["b"], None)),
        })
        .await;
        assert_eq!((result.unwrap().clusters.len(), calls), (2, 4));
        let (result, calls) = run(|cursor, _| {
            if cursor.is_some() {
                Err(expired())
            } else {
                Ok(page(&["a"], Some("2".into())))
            }
        })
        .await;
        assert_eq!((kind(result), calls), (ErrorKind::CursorExpired, 4));
    }

    #[tokio::test]
    async fn a_listing_of_rejected_rows_alone_is_no_empty_account() {
        let rejected = Rejected {
            native_id: None,
            reason: "no id",
        };
        let (result, _) = run(|_, _| {
            Ok(Page {
                rejected: vec![rejected.clone()],
                ..Page::default()
            })
        })
        .await;
        assert_eq!(kind(result), ErrorKind::UnexpectedShape);
    }

    proptest! {
        #[test]
        fn every_cluster_comes_out_once(ids in proptest::collection::vec("[a-f]{1,3}", 0..60), size in 1_usize..7) {
            let pages: Vec<Vec<String>> = ids.chunks(size).map(<[String]>::to_vec).collect();
            let script = |cursor: Option<&str>, _| {
                let at: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
                let rows: Vec<&str> = pages.get(at).map(|rows| rows.iter().map(String::as_str).collect()).unwrap_or_default();
                Ok(Page { fingerprint: None, ..page(&rows, (at + 1 < pages.len()).then(|| (at + 1).to_string())) })
            };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (result, _) = runtime.block_on(run(script));
            if pages.len() <= 50 {
                let expected: HashSet<&str> = ids.iter().map(String::as_str).collect();
                let listing = result.unwrap();
                prop_assert_eq!(listing.clusters.len(), expected.len());
            }
        }
    }
}
