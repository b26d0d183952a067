//! What LakeSail measured of a cluster, as series. No I/O: values in, values out.

use rust_decimal::Decimal;

use super::wire::{self, Metrics};
use crate::domain::{ClusterMetrics, Period, Point, Series};
use crate::provider::read::{list, time};
use crate::provider::{Loose, Warnings};

/// The series that the answer has; `None` where it has none of those that are known. No unit and no currency is published,
/// so none is said.
pub(super) fn metrics(period: Period, metrics: &Metrics) -> Option<ClusterMetrics> {
    let known = [
        ("cpu_utilization", &metrics.cpu_utilization),
        ("memory_utilization", &metrics.memory_utilization),
        ("estimated_cost", &metrics.estimated_cost),
        ("active_jobs", &metrics.active_job_count),
    ];
    let series: Vec<Series> = known
        .into_iter()
        .filter_map(|(name, points)| series(name, points))
        .collect();
    (!series.is_empty()).then(|| ClusterMetrics {
        period: period.to_string(),
        series,
    })
}

/// A point without a time has no place in a series.
fn series(name: &'static str, points: &Loose<Vec<Loose<wire::Point>>>) -> Option<Series> {
    let w = &mut Warnings::default();
    let points = list(points, name, w)?;
    let is_money = name == "estimated_cost";
    let point = |point: &wire::Point| {
        let written = point.value.as_ref().map(|value| value.get());
        Some(Point {
            at: time(&point.timestamp, name, w)?,
            value: written.and_then(float),
            amount: written.filter(|_| is_money).and_then(decimal),
        })
    };
    let mut points: Vec<Point> = points.iter().filter_map(point).collect();
    points.sort_by_key(|point| point.at);
    Some(Series {
        name: name.to_owned(),
        unit: None,
        points,
    })
}

fn float(written: &str) -> Option<f64> {
    written.parse().ok().filter(|value: &f64| value.is_finite())
}

/// The number exactly, or not at all.
fn decimal(written: &str) -> Option<Decimal> {
    if written.contains(['e', 'E']) {
        Decimal::from_scientific(written).ok()
    } else {
        Decimal::from_str_exact(written).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<ClusterMetrics> {
        metrics(Period::HOUR, &serde_json::from_str(body).unwrap())
    }

    #[test]
    fn points_come_oldest_first_and_money_stays_exact() {
        let found = read(
            r#"{"estimatedCost":[{"timestamp":"2026-05-01T11:00:00Z","value":0.1000},
                {"timestamp":"2026-05-01T10:00:00Z","value":3e-1},{"timestamp":"soon","value":1},
                {"timestamp":"2026-05-01T12:00:00Z","value":"7"}],"activeJobCount":[]}"#,
        )
        .unwrap();
        let shown: Vec<_> = found.series[0]
            .points
            .iter()
            .map(|point| {
                let amount = point.amount.map(|amount| amount.to_string());
                (point.at.to_string(), point.value, amount)
            })
            .collect();
        let row = |at: &str, value, amount: Option<&str>| {
            (at.to_owned(), value, amount.map(str::to_owned))
        };
        assert_eq!(
            shown,
            [
                row("2026-05-01T10:00:00Z", Some(0.3), Some("0.3")),
                row("2026-05-01T11:00:00Z", Some(0.1), Some("0.1000")),
                row("2026-05-01T12:00:00Z", None, None),
            ]
        );
        assert_eq!(found.series[1].name, "active_jobs");
        assert_eq!(found.period, "1h");
    }

    #[test]
    fn an_answer_without_a_known_series_is_none() {
        for body in ["{}", r#"{"cpu":[]}"#, r#"{"cpuUtilization":7}"#] {
            assert_eq!(read(body), None, "{body}");
        }
    }
}
