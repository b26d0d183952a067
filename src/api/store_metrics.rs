//! The metrics of the store behind the inventory, read at each scrape; none where there is no store.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::inventory::journal::{Commits, Sharing, Standing};
use crate::live;
use crate::telemetry::metrics::name;

/// Writes how a store is, for one scrape.
#[derive(Debug)]
pub(super) struct StoreCollector {
    /// Of the inventory.
    pub(super) inventory: Option<Standing>,
    /// Of operations and the answers to idempotency keys.
    pub(super) operations: Option<live::Standing>,
}

impl Collector for StoreCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if let Some(operations) = &self.operations {
            let unkept = i64::try_from(operations.unkept).unwrap_or(i64::MAX);
            encoder
                .encode_descriptor(
                    name::OPERATIONS_UNKEPT,
                    "Operations and answers to idempotency keys that the store does not have",
                    None,
                    MetricType::Gauge,
                )?
                .encode_gauge(&unkept)?;
        }
        let Some(standing) = &self.inventory else {
            return Ok(());
        };
        let publications = i64::try_from(standing.publications).unwrap_or(i64::MAX);
        for (name, help, value) in [
            (
                name::STORE_UP,
                "Whether the store has all that is shown",
                i64::from(standing.behind.is_none()),
            ),
            (
                name::STORE_BEHIND,
                "Publications that are not durable yet",
                publications,
            ),
        ] {
            encoder
                .encode_descriptor(name, help, None, MetricType::Gauge)?
                .encode_gauge(&value)?;
        }
        encoder
            .encode_descriptor(
                name::STORE_LOST,
                "Changes that were not kept, since too many waited for the store",
                None,
                MetricType::Counter,
            )?
            .encode_counter::<[(&str, &str); 0], _, u64>(&standing.lost_changes, None)?;
        if let Some(sharing) = &standing.shared {
            of_sharing(sharing, &mut encoder)?;
        }
        let Commits {
            count,
            seconds,
            within,
        } = &standing.commits;
        let mut buckets: Vec<(f64, u64)> = Commits::BOUNDS.into_iter().zip(*within).collect();
        let beyond = count - within.iter().sum::<u64>();
        buckets.push((f64::INFINITY, beyond));
        encoder
            .encode_descriptor(
                name::STORE_COMMIT,
                "How long it took to make what was published durable",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<[(&str, &str); 0]>(*seconds, *count, &buckets, None)
    }
}

/// How several gateways share the store.
fn of_sharing(sharing: &Sharing, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    for (name, help, value) in [
        (
            name::STORE_LEASES,
            "Sources that are read from here",
            sharing.leases,
        ),
        (
            name::STORE_GENERATION,
            "The generation that readers see",
            sharing.generation,
        ),
    ] {
        encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?
            .encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX))?;
    }
    encoder
        .encode_descriptor(
            name::STORE_SILENT,
            "Seconds since the shared store last answered",
            None,
            MetricType::Gauge,
        )?
        .encode_gauge(&sharing.silent_seconds)?;
    encoder
        .encode_descriptor(
            name::STORE_FENCED,
            "What was read of a source and refused, since another gateway had it by then",
            None,
            MetricType::Counter,
        )?
        .encode_counter::<[(&str, &str); 0], _, u64>(&sharing.fenced, None)
}
