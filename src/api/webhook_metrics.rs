//! The metrics of webhooks, read at each scrape; none where there are no webhooks.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;

use crate::hooks::{Account, Condition, Latency, Report, Tally};
use crate::telemetry::metrics::name;

/// A webhook as it is written out.
#[derive(Debug)]
struct Row {
    name: String,
    condition: Condition,
    account: Option<Account>,
    tally: Tally,
}

/// Writes how webhooks are, for one scrape.
#[derive(Debug)]
pub(super) struct WebhookCollector(Vec<Row>);

impl WebhookCollector {
    pub(super) fn new(reports: Vec<Report<'_>>) -> Self {
        let rows = reports.into_iter().map(|report| Row {
            name: report.settings.name.to_string(),
            condition: report.condition,
            account: report.account,
            tally: report.tally,
        });
        Self(rows.collect())
    }

    fn gauge<V: EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        value: impl Fn(&Row) -> Option<V>,
    ) -> fmt::Result {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for row in &self.0 {
            if let Some(value) = value(row) {
                let labels = [("webhook", row.name.as_str())];
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }
}

impl Collector for WebhookCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let now = Timestamp::now();
        let mut attempts = encoder.encode_descriptor(
            name::WEBHOOK_ATTEMPTS,
            "Attempts to deliver an event, by what became of them",
            None,
            MetricType::Counter,
        )?;
        for row in &self.0 {
            for (outcome, count) in [
                ("delivered", row.tally.delivered),
                ("retried", row.tally.retried),
                ("dead", row.tally.dead),
            ] {
                let labels = [("webhook", row.name.as_str()), ("outcome", outcome)];
                attempts
                    .encode_family(&labels)?
                    .encode_counter::<[(&str, &str); 0], _, u64>(&count, None)?;
            }
        }
        let mut latencies = encoder.encode_descriptor(
            name::WEBHOOK_LATENCY,
            "From when an event was added until its server took it",
            None,
            MetricType::Histogram,
        )?;
        for row in &self.0 {
            let latency = &row.tally.latency;
            let buckets = Latency::BOUNDS.into_iter().zip(latency.within);
            let mut buckets: Vec<(f64, u64)> = buckets.collect();
            let beyond = latency.count - latency.within.iter().sum::<u64>();
            buckets.push((f64::INFINITY, beyond));
            latencies
                .encode_family(&[("webhook", row.name.as_str())])?
                .encode_histogram::<[(&str, &str); 0]>(
                    latency.seconds,
                    latency.count,
                    &buckets,
                    None,
                )?;
        }
        let account = |row: &Row, pick: fn(&Account) -> u64| {
            let count = row.account.as_ref().map(pick)?;
            Some(i64::try_from(count).unwrap_or(i64::MAX))
        };
        self.gauge(
            &mut encoder,
            name::WEBHOOK_UP,
            "Whether the last attempt went well",
            |row| Some(i64::from(row.condition == Condition::Active)),
        )?;
        self.gauge(
            &mut encoder,
            name::WEBHOOK_PENDING,
            "Events that wait to be delivered",
            |row| account(row, |account| account.pending),
        )?;
        self.gauge(
            &mut encoder,
            name::WEBHOOK_DEAD,
            "Dead letters that are kept",
            |row| account(row, |account| account.dead),
        )?;
        self.gauge(
            &mut encoder,
            name::WEBHOOK_OLDEST,
            "Seconds that the oldest event waits; 0 where none does",
            |row| {
                let oldest = row.account.as_ref()?.oldest_pending;
                Some(oldest.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0)))
            },
        )
    }
}
