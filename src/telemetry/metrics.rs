//! Metrics: their names, and the handles that are kept so that counting a request looks nothing up.
//!
//! Every label has a bounded set of values: a configured source, a provider, a route template, an error code. Never a cluster,
//! never a caller's text.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

/// The content type of a scrape.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metric names. A counter is exposed with `_total` behind its name.
pub mod name {
    /// Requests answered, by route template, method and status class.
    pub const HTTP_REQUESTS: &str = "http_requests";
    /// Time to the answer's head, by route template.
    pub const HTTP_REQUEST_DURATION: &str = "http_request_duration_seconds";
    /// Requests in flight.
    pub const HTTP_IN_FLIGHT: &str = "http_requests_in_flight";
    /// Event streams that are open.
    pub const HTTP_EVENT_STREAMS: &str = "http_event_streams";
    /// Requests refused because the server had too much to do.
    pub const HTTP_SHED: &str = "http_requests_shed";
    /// Requests refused because their client asks too often.
    pub const HTTP_LIMITED: &str = "http_requests_rate_limited";
    /// How long what is ready waits for its turn.
    pub const HTTP_QUEUE_DELAY: &str = "http_queue_delay_seconds";
    /// When the certificate that is shown ends; absent without TLS.
    pub const TLS_NOT_AFTER: &str = "clustergate_tls_certificate_not_after_timestamp_seconds";
    /// Events that could not be written to the audit; absent without one.
    pub const AUDIT_LOST: &str = "clustergate_audit_events_lost";
    /// Changes of the keys file that could not be used; absent without one.
    pub const KEYS_REFUSED: &str = "clustergate_keys_file_reloads_refused";
    /// Keys of the store that cannot be read; absent where keys are not in the store.
    pub const KEYS_UNREADABLE: &str = "clustergate_keys_unreadable";
    /// Changes of the certificate's files, by whether they could be used.
    pub const TLS_RELOADS: &str = "clustergate_tls_certificate_reloads";
    /// Always 1; the version is a label.
    pub const BUILD_INFO: &str = "clustergate_build_info";
    /// Seconds since the process started.
    pub const UPTIME: &str = "clustergate_uptime_seconds";
    /// The published generation.
    pub const GENERATION: &str = "clustergate_inventory_generation";
    /// Clusters in the inventory.
    pub const CLUSTERS: &str = "clustergate_inventory_clusters";
    /// Whether the source's last refresh succeeded.
    pub const SOURCE_UP: &str = "clustergate_source_up";
    /// 1 for the state the source is in, 0 for the others.
    pub const SOURCE_STATE: &str = "clustergate_source_state";
    /// 1 for the code of the source's last failure; absent when there is none.
    pub const SOURCE_ERROR: &str = "clustergate_source_error";
    /// Refreshes in a row that failed.
    pub const SOURCE_FAILURES: &str = "clustergate_source_consecutive_failures";
    /// Clusters of the source.
    pub const SOURCE_CLUSTERS: &str = "clustergate_source_clusters";
    /// Seconds since the source's list was last read to its end; absent before.
    pub const SOURCE_AGE: &str = "clustergate_source_age_seconds";
    /// Items of the last good listing that could not be mapped.
    pub const SOURCE_REJECTED: &str = "clustergate_source_rejected_items";
    /// Items that could not be mapped and of which no last good version is shown.
    pub const SOURCE_OMITTED: &str = "clustergate_source_omitted_items";
    /// Clusters whose detail was never read.
    pub const SOURCE_DETAILS_PENDING: &str = "clustergate_source_details_pending";
    /// Seconds that the last refresh took.
    pub const SOURCE_REFRESH_DURATION: &str = "clustergate_source_last_refresh_duration_seconds";
    /// Requests sent to the vendor, retries included.
    pub const UPSTREAM_REQUESTS: &str = "clustergate_source_upstream_requests";
    /// Retries sent to the vendor.
    pub const UPSTREAM_RETRIES: &str = "clustergate_source_upstream_retries";
    /// Vendor calls in flight.
    pub const UPSTREAM_IN_FLIGHT: &str = "clustergate_source_upstream_in_flight";
    /// Whether the breaker refuses calls.
    pub const BREAKER_OPEN: &str = "clustergate_source_breaker_open";
    /// Whether the store has all that is shown; absent without a store, like the rest about it.
    pub const STORE_UP: &str = "clustergate_store_up";
    /// Publications that are not durable yet.
    pub const STORE_BEHIND: &str = "clustergate_store_behind_publications";
    /// How long it took to make what was published durable.
    pub const STORE_COMMIT: &str = "clustergate_store_commit_seconds";
    /// Changes that were not kept, since too many waited for the store.
    pub const STORE_LOST: &str = "clustergate_store_lost_changes";
    /// Attempts to deliver an event to a webhook, by what became of them; absent without webhooks, like the rest about them.
    pub const WEBHOOK_ATTEMPTS: &str = "clustergate_webhook_attempts";
    /// From when an event was added until its server took it.
    pub const WEBHOOK_LATENCY: &str = "clustergate_webhook_delivery_seconds";
    /// Whether the last attempt went well.
    pub const WEBHOOK_UP: &str = "clustergate_webhook_up";
    /// Events that wait to be delivered.
    pub const WEBHOOK_PENDING: &str = "clustergate_webhook_pending_events";
    /// Dead letters that are kept.
    pub const WEBHOOK_DEAD: &str = "clustergate_webhook_dead_letters";
    /// How long the oldest event waits.
    pub const WEBHOOK_OLDEST: &str = "clustergate_webhook_oldest_pending_age_seconds";
    /// Operations and answers to idempotency keys that the store does not have; absent without a store.
    pub const OPERATIONS_UNKEPT: &str = "clustergate_operations_unkept";
    /// Sources that are read from here, where several gateways share a store.
    pub const STORE_LEASES: &str = "clustergate_store_leases";
    /// The generation that readers see, where several gateways share a store.
    pub const STORE_GENERATION: &str = "clustergate_store_generation";
    /// Seconds since a store that is shared last answered.
    pub const STORE_SILENT: &str = "clustergate_store_silent_seconds";
    /// How often what was read was refused, since another gateway had the source by then.
    pub const STORE_FENCED: &str = "clustergate_store_fenced_writes";
    /// Calls that the vendor says are left; absent where it does not say.
    pub const QUOTA_REMAINING: &str = "clustergate_source_quota_remaining";
    /// Calls that the vendor allows in one window; absent where it does not say.
    pub const QUOTA_LIMIT: &str = "clustergate_source_quota_limit";
}

/// Upper bounds of the duration buckets, in seconds: an answer from memory takes microseconds.
const BUCKETS: [f64; 12] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0,
];

/// Methods that have a label of their own; every other one is counted as `OTHER`.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PATCH", "OPTIONS", "DELETE", "OTHER"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

type RequestLabels = [(&'static str, &'static str); 3];
/// A family of one without labels is shown only once it has a value.
type NoLabels = [(&'static str, &'static str); 0];
type ReloadLabels = [(&'static str, &'static str); 1];
type RouteLabels = [(&'static str, &'static str); 1];

/// The registry and what the inbound side counts.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
    event_streams: Gauge,
    shed: Counter,
    limited: Counter,
    queue_delay: Gauge<f64, AtomicU64>,
    tls_not_after: Family<NoLabels, Gauge>,
    tls_reloads: Family<ReloadLabels, Counter>,
    audit_lost: Family<NoLabels, Counter>,
    keys_refused: Family<NoLabels, Counter>,
    keys_unreadable: Family<NoLabels, Gauge>,
}

impl Default for Metrics {
    /// Registers everything.
    fn default() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> _);
        let in_flight = Gauge::default();
        let event_streams = Gauge::default();
        let shed = Counter::default();
        let limited = Counter::default();
        let queue_delay = Gauge::default();
        let tls_not_after = Family::default();
        let tls_reloads = Family::default();
        let audit_lost = Family::default();
        let keys_refused = Family::default();
        let keys_unreadable = Family::default();
        registry.register(
            name::AUDIT_LOST,
            "Events that could not be written to the audit",
            audit_lost.clone(),
        );
        registry.register(
            name::KEYS_REFUSED,
            "Changes of the keys file that could not be used",
            keys_refused.clone(),
        );
        registry.register(
            name::KEYS_UNREADABLE,
            "Keys of the store that cannot be read and open nothing here",
            keys_unreadable.clone(),
        );
        registry.register(name::HTTP_REQUESTS, "Requests answered", requests.clone());
        registry.register(
            name::HTTP_REQUEST_DURATION,
            "Time to the head of the answer",
            durations.clone(),
        );
        registry.register(
            name::HTTP_IN_FLIGHT,
            "Requests in flight",
            in_flight.clone(),
        );
        registry.register(
            name::HTTP_EVENT_STREAMS,
            "Event streams that are open",
            event_streams.clone(),
        );
        registry.register(
            name::HTTP_SHED,
            "Requests refused because the server had too much to do",
            shed.clone(),
        );
        registry.register(
            name::HTTP_LIMITED,
            "Requests refused because their client asks too often",
            limited.clone(),
        );
        registry.register(
            name::HTTP_QUEUE_DELAY,
            "How long what is ready waits for its turn, smoothed",
            queue_delay.clone(),
        );
        registry.register(
            name::TLS_NOT_AFTER,
            "When the certificate that is shown ends, in seconds since 1970",
            tls_not_after.clone(),
        );
        registry.register(
            name::TLS_RELOADS,
            "Changes of the certificate's files, by whether they could be used",
            tls_reloads.clone(),
        );
        registry.register_collector(Box::new(Process {
            started: Instant::now(),
        }));
        Self {
            registry,
            requests,
            durations,
            in_flight,
            event_streams,
            shed,
            limited,
            queue_delay,
            tls_not_after,
            tls_reloads,
            audit_lost,
            keys_refused,
            keys_unreadable,
        }
    }
}

impl Metrics {
    /// Takes note of when the certificate that is shown ends, in seconds since 1970.
    pub fn certificate_ends(&self, at: u64) {
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        self.tls_not_after.get_or_create(&[]).set(at);
    }

    /// Counts a change of the certificate's files.
    pub fn certificate_changed(&self, is_usable: bool) {
        let outcome = if is_usable { "used" } else { "refused" };
        self.tls_reloads
            .get_or_create(&[("outcome", outcome)])
            .inc();
    }

    /// Takes note of how many events the audit has lost.
    pub fn audit_has_lost(&self, events: u64) {
        let lost: &Counter = &self.audit_lost.get_or_create(&[]);
        lost.inner().store(events, Ordering::Relaxed);
    }

    /// Takes note of how often the keys file had changed and could not be used.
    pub fn keys_were_refused(&self, times: u64) {
        let refused: &Counter = &self.keys_refused.get_or_create(&[]);
        refused.inner().store(times, Ordering::Relaxed);
    }

    /// Takes note of how many keys of the store cannot be read.
    pub fn keys_are_unreadable(&self, keys: u64) {
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        self.keys_unreadable.get_or_create(&[]).set(keys);
    }

    /// The handles for one route; `template` is a route's pattern, never a path.
    pub fn route(&self, template: &'static str) -> RouteMetrics {
        RouteMetrics {
            template,
            requests: self.requests.clone(),
            cells: Default::default(),
            duration: self.durations.get_or_create(&[("route", template)]).clone(),
        }
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> &Gauge {
        &self.in_flight
    }

    /// Event streams that are open.
    pub fn event_streams(&self) -> &Gauge {
        &self.event_streams
    }

    /// Requests refused because the server had too much to do.
    pub fn shed(&self) -> &Counter {
        &self.shed
    }

    /// Requests refused because their client asks too often.
    pub fn limited(&self) -> &Counter {
        &self.limited
    }

    /// How long what is ready waits for its turn, smoothed, in seconds.
    pub fn queue_delay(&self) -> &Gauge<f64, AtomicU64> {
        &self.queue_delay
    }

    /// Renders everything as `OpenMetrics` text, and behind it what only this scrape is shown.
    pub fn render(&self, shown: Vec<Box<dyn Collector>>) -> Result<String, fmt::Error> {
        let mut own = Registry::default();
        for collector in shown {
            own.register_collector(collector);
        }
        let mut out = String::with_capacity(16 << 10);
        text::encode_registry(&mut out, &self.registry)?;
        text::encode_registry(&mut out, &own)?;
        text::encode_eof(&mut out)?;
        Ok(out)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The handles for one route: after the first request of a kind, counting is two atomic additions.
pub struct RouteMetrics {
    template: &'static str,
    requests: Family<RequestLabels, Counter>,
    cells: [[OnceLock<Counter>; CLASSES.len()]; METHODS.len()],
    duration: Histogram,
}

impl RouteMetrics {
    /// The route's pattern.
    pub fn template(&self) -> &'static str {
        self.template
    }

    /// Counts one answer.
    pub fn record(&self, method: &Method, status: StatusCode, took: Duration) {
        let method = METHODS
            .iter()
            .position(|known| *known == method.as_str())
            .unwrap_or(METHODS.len() - 1);
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        self.cells[method][class]
            .get_or_init(|| {
                self.requests
                    .get_or_create(&[
                        ("route", self.template),
                        ("method", METHODS[method]),
                        ("status_class", CLASSES[class]),
                    ])
                    .clone()
            })
            .inc();
        self.duration.observe(took.as_secs_f64());
    }
}

impl fmt::Debug for RouteMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteMetrics").field(&self.template).finish()
    }
}

#[derive(Debug)]
struct Process {
    started: Instant,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        encoder
            .encode_descriptor(
                name::BUILD_INFO,
                "Always 1; the version is a label",
                None,
                MetricType::Gauge,
            )?
            .encode_family(&version)?
            .encode_gauge(&1_i64)?;
        let uptime = ConstGauge::new(self.started.elapsed().as_secs_f64());
        let metric = encoder.encode_descriptor(
            name::UPTIME,
            "Seconds since the process started",
            None,
            ConstGauge::<f64>::TYPE,
        )?;
        uptime.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_by_route_method_and_class() {
        let metrics = Metrics::default();
        let route = metrics.route("/clusters/{id}");
        for _ in 0..3 {
            route.record(&Method::GET, StatusCode::OK, Duration::from_micros(80));
        }
        let odd = Method::from_bytes(b"BREW").unwrap();
        route.record(&odd, StatusCode::METHOD_NOT_ALLOWED, Duration::ZERO);
        let text = metrics.render(Vec::new()).unwrap();
        assert!(text.contains(
            "http_requests_total{route=\"/clusters/{id}\",method=\"GET\",status_class=\"2xx\"} 3"
        ));
        assert!(text.contains("method=\"OTHER\",status_class=\"4xx\"} 1"));
        assert!(!text.contains("BREW"));
        assert!(!text.contains("\nclustergate_tls_certificate_"), "{text}");
        assert!(text.contains("clustergate_build_info{version="));
        assert!(text.ends_with("# EOF\n"));
        metrics.certificate_ends(2_209_075_200);
        metrics.certificate_changed(false);
        let text = metrics.render(Vec::new()).unwrap();
        for line in [
            "clustergate_tls_certificate_not_after_timestamp_seconds{} 2209075200\n",
            "clustergate_tls_certificate_reloads_total{outcome=\"refused\"} 1\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
