//! Trying every source once.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout};

use super::Progress;
use crate::config::{Config, SourceConfig, connect};
use crate::domain::{Kind, SourceName};
use crate::provider::{ErrorKind, ProviderError, walk};

/// How the trial of one source went.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The source.
    pub source: SourceName,
    /// Its provider.
    pub provider: Kind,
    /// What was seen.
    pub outcome: Result<Seen, ProviderError>,
    /// How long it took.
    pub took: Duration,
}

/// What the trial of a source saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Clusters.
    pub clusters: usize,
    /// Pages.
    pub pages: u32,
    /// Items that could not be mapped.
    pub rejected: usize,
}

/// Reads the listing of every source once, all at the same time; the results are in the order of the configuration.
pub async fn check(config: &Config, mut progress: impl FnMut(Progress)) -> Vec<Checked> {
    let mut trials: FuturesUnordered<_> = (config.sources.iter().enumerate())
        .map(async |(at, source)| (at, try_source(source).await))
        .collect();
    for source in &config.sources {
        progress(Progress::Started {
            source: source.name.clone(),
        });
    }
    let mut checked = Vec::with_capacity(config.sources.len());
    while let Some((at, result)) = trials.next().await {
        let (clusters, error_code) = match &result.outcome {
            Ok(seen) => (seen.clusters, None),
            Err(error) => (0, Some(error.kind.code())),
        };
        progress(Progress::Finished {
            source: result.source.clone(),
            clusters,
            error_code,
        });
        checked.push((at, result));
    }
    checked.sort_by_key(|(at, _)| *at);
    checked.into_iter().map(|(_, result)| result).collect()
}

async fn try_source(config: &SourceConfig) -> Checked {
    let started = Instant::now();
    let outcome = match connect(config) {
        Ok(connected) => {
            let walked = timeout(
                config.schedule.refresh_deadline,
                walk(connected.provider.as_ref(), config.schedule.limits()),
            );
            match walked.await {
                Ok(Ok(listing)) => Ok(Seen {
                    clusters: listing.clusters.len(),
                    pages: listing.pages,
                    rejected: listing.rejected.len(),
                }),
                Ok(Err(failure)) => Err(failure.error),
                Err(_) => Err(ProviderError::new(ErrorKind::Deadline, "check")),
            }
        }
        // The configuration was found good before, by the same connecting.
        Err(_) => Err(ProviderError::new(ErrorKind::NotSupported, "connect")),
    };
    Checked {
        source: config.name.clone(),
        provider: config.entry.kind.clone(),
        outcome,
        took: started.elapsed(),
    }
}
