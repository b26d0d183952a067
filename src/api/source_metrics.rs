//! The metrics of the sources that a caller sees, read from the current snapshot at each scrape.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;

use crate::inventory::{Control, Freshness, Snapshot, SourceReport};
use crate::telemetry::metrics::name;
use crate::upstream::{BreakerState, Vitals};

/// Writes what a snapshot knows, for one scrape.
pub(super) struct SourceCollector {
    seen: Arc<Snapshot>,
    control: Arc<dyn Control>,
}

impl SourceCollector {
    pub(super) fn new(seen: Arc<Snapshot>, control: Arc<dyn Control>) -> Self {
        Self { seen, control }
    }
}

impl fmt::Debug for SourceCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceCollector").finish_non_exhaustive()
    }
}

/// A source as it is written out.
struct Row {
    report: Arc<SourceReport>,
    vitals: Option<Vitals>,
}

impl Row {
    fn labels(&self) -> [(&str, &str); 2] {
        [
            ("source", self.report.name.as_str()),
            ("provider", self.report.provider.as_str()),
        ]
    }
}

impl Collector for SourceCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let snapshot = &self.seen;
        let now = Timestamp::now();
        let rows: Vec<Row> = snapshot
            .sources()
            .iter()
            .map(|report| Row {
                report: Arc::clone(report),
                // Each gateway counts its own calls. Their number would tell how much there is beside what the caller sees.
                vitals: (!report.is_partial)
                    .then(|| self.control.own_vitals(&report.name))
                    .flatten(),
            })
            .collect();
        let total: usize = rows.iter().map(|row| row.report.clusters).sum();
        encoder
            .encode_descriptor(
                name::GENERATION,
                "The published generation",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&wide(snapshot.generation))?;
        encoder
            .encode_descriptor(
                name::CLUSTERS,
                "Clusters in the inventory",
                None,
                MetricType::Gauge,
            )?
            .encode_gauge(&size(total))?;
        let mut out = Writer { encoder, rows };
        out.reports(now)?;
        out.states()?;
        out.vitals()
    }
}

struct Writer<'a> {
    encoder: DescriptorEncoder<'a>,
    rows: Vec<Row>,
}

impl Writer<'_> {
    fn reports(&mut self, now: Timestamp) -> fmt::Result {
        self.gauge(
            name::SOURCE_UP,
            "Whether the last refresh succeeded",
            |row| {
                Some(i64::from(
                    row.report.error.is_none() && row.report.fetched_at.is_some(),
                ))
            },
        )?;
        self.gauge(name::SOURCE_CLUSTERS, "Clusters of the source", |row| {
            Some(size(row.report.clusters))
        })?;
        self.gauge(
            name::SOURCE_AGE,
            "Seconds since the list was last read to its end",
            |row| {
                let age = now.duration_since(row.report.fetched_at?);
                Some(age.as_secs_f64().max(0.0))
            },
        )?;
        self.gauge(
            name::SOURCE_REJECTED,
            "Items that could not be mapped",
            |row| (!row.report.is_partial).then(|| size(row.report.rejected)),
        )?;
        self.gauge(
            name::SOURCE_OMITTED,
            "Items that could not be mapped and of which no last good version is shown",
            |row| row.report.omitted().map(size),
        )?;
        self.gauge(
            name::SOURCE_FAILURES,
            "Refreshes in a row that failed",
            |row| Some(i64::from(row.report.failures)),
        )?;
        self.gauge(
            name::SOURCE_DETAILS_PENDING,
            "Clusters whose detail was never read",
            |row| Some(size(row.report.details_pending)),
        )?;
        self.gauge(
            name::SOURCE_REFRESH_DURATION,
            "Seconds that the last refresh took",
            |row| Some(row.report.attempts.front()?.took.as_secs_f64()),
        )
    }

    fn states(&mut self) -> fmt::Result {
        let mut states = self.encoder.encode_descriptor(
            name::SOURCE_STATE,
            "1 for the state the source is in",
            None,
            MetricType::Gauge,
        )?;
        for row in &self.rows {
            for state in Freshness::ALL {
                let [source, provider] = row.labels();
                states
                    .encode_family(&[source, provider, ("state", state.as_str())])?
                    .encode_gauge(&i64::from(row.report.state == state))?;
            }
        }
        let mut errors = self.encoder.encode_descriptor(
            name::SOURCE_ERROR,
            "1 for the code of the last failure",
            None,
            MetricType::Gauge,
        )?;
        for row in &self.rows {
            if let Some(error) = row.report.error {
                let [source, provider] = row.labels();
                errors
                    .encode_family(&[source, provider, ("code", error.code())])?
                    .encode_gauge(&1_i64)?;
            }
        }
        Ok(())
    }

    fn vitals(&mut self) -> fmt::Result {
        self.counter(
            name::UPSTREAM_REQUESTS,
            "Requests sent to the vendor, retries included",
            |vitals| vitals.requests,
        )?;
        self.counter(
            name::UPSTREAM_RETRIES,
            "Retries sent to the vendor",
            |vitals| vitals.retries,
        )?;
        self.gauge(name::UPSTREAM_IN_FLIGHT, "Vendor calls in flight", |row| {
            Some(size(row.vitals.as_ref()?.in_flight))
        })?;
        self.gauge(
            name::BREAKER_OPEN,
            "Whether the breaker refuses calls",
            |row| {
                let open = row.vitals.as_ref()?.breaker != BreakerState::Closed;
                Some(i64::from(open))
            },
        )?;
        self.gauge(
            name::QUOTA_REMAINING,
            "Calls that the vendor says are left",
            |row| row.vitals.as_ref()?.quota?.remaining.map(wide),
        )?;
        self.gauge(
            name::QUOTA_LIMIT,
            "Calls that the vendor allows in one window",
            |row| row.vitals.as_ref()?.quota?.limit.map(wide),
        )
    }

    fn gauge<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&Row) -> Option<V>,
    ) -> fmt::Result {
        let mut metric = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for row in &self.rows {
            if let Some(value) = value(row) {
                metric.encode_family(&row.labels())?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn counter<V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        value: impl Fn(&Vitals) -> V,
    ) -> fmt::Result {
        let mut metric = self
            .encoder
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        for row in &self.rows {
            if let Some(vitals) = &row.vitals {
                metric
                    .encode_family(&row.labels())?
                    .encode_counter::<[(&str, &str); 0], _, u64>(&value(vitals), None)?;
            }
        }
        Ok(())
    }
}

fn size(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn wide(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
