//! What a cluster cost over time.
//!
//! The vendor documents the question and not the body of the answer. Its conventions are enough to read one: a moment is an
//! RFC 3339 text or Unix seconds, as in the question, and money is an object of a decimal text and a currency wherever there
//! is any. Every amount of a point is therefore a series of its own, and a body without points is of another shape, not empty.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use rust_decimal::prelude::ToPrimitive as _;
use serde_json::{Map, Value};

use super::{list, map, wire};
use crate::domain::{ClusterMetrics, Money, Period, Point, Series, timestamp};
use crate::provider::{ErrorKind, ProviderError, envelope, row};

const OPERATION: &str = "cost_trend";

/// More is no trend of one cluster.
const MOST_SERIES: usize = 32;

/// Points by the hour up to here, by the day beyond.
const HOURLY_UP_TO: u32 = 7 * 24;

/// The span that is asked for, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) granularity: &'static str,
}

impl Window {
    /// The period that ends at `now`.
    pub(super) fn until(now: Timestamp, period: Period) -> Self {
        let end = now.as_second();
        Self {
            start: end - i64::from(period.hours()) * 3_600,
            end,
            granularity: if period.hours() <= HOURLY_UP_TO {
                "hourly"
            } else {
                "daily"
            },
        }
    }
}

/// Reads a trend of the type `run_rate`, which the vendor projects to a month.
pub(super) fn metrics(period: Period, body: &Bytes) -> Result<ClusterMetrics, ProviderError> {
    let outer: wire::Envelope<'_> = envelope(OPERATION, body)?;
    let data: Value = row(list::data(OPERATION, &outer)?).ok_or_else(|| shape("unreadable"))?;
    let mut found = Found::default();
    match &data {
        Value::Array(points) => found.points(points)?,
        Value::Object(fields) => {
            for points in fields.values().filter_map(Value::as_array) {
                found.points(points)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    if !found.has_list {
        return Err(shape("no list of points"));
    }
    let series = found.series.into_iter();
    Ok(ClusterMetrics {
        period: period.to_string(),
        series: series
            .map(|((name, currency), mut points)| {
                points.sort_by_key(|point| point.at);
                Series {
                    name,
                    unit: Some(format!("{currency}/month")),
                    points,
                }
            })
            .collect(),
    })
}

/// Amounts by the name of their field and their currency.
#[derive(Default)]
struct Found {
    series: BTreeMap<(String, String), Vec<Point>>,
    has_list: bool,
}

impl Found {
    /// Takes a list whose items are points. A list of anything else is none of ours, unless nothing of it can be read although
    /// its items have moments.
    fn points(&mut self, items: &[Value]) -> Result<(), ProviderError> {
        let dated: Vec<_> = items
            .iter()
            .filter_map(|item| item.as_object())
            .filter_map(|item| Some((moment(item)?, item)))
            .collect();
        if dated.is_empty() && !items.is_empty() {
            return Ok(());
        }
        let mut amounts = 0_usize;
        for (at, item) in &dated {
            for (name, money) in item.iter().filter_map(amount) {
                amounts += 1;
                let key = (name.clone(), money.currency);
                self.series.entry(key).or_default().push(Point {
                    at: *at,
                    value: money.amount.to_f64(),
                    amount: Some(money.amount),
                });
            }
        }
        if amounts == 0 && !items.is_empty() {
            return Err(shape("points without an amount"));
        }
        if self.series.len() > MOST_SERIES {
            return Err(shape("more series than one cluster can have"));
        }
        self.has_list = true;
        Ok(())
    }
}

/// When a point is: the earliest of its moments, which is where a span begins.
fn moment(item: &Map<String, Value>) -> Option<Timestamp> {
    let moments = item.iter().filter_map(|(name, value)| match value {
        Value::String(text) => timestamp(text),
        Value::Number(number) if is_moment(name) => Timestamp::from_second(number.as_i64()?).ok(),
        _ => None,
    });
    moments.min()
}

/// Names under which a number is a moment.
fn is_moment(name: &str) -> bool {
    matches!(name, "timestamp" | "time" | "at" | "ts" | "start")
}

fn amount<'a>((name, value): (&'a String, &Value)) -> Option<(&'a String, Money)> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_plain);
    let money = value.as_object().filter(|_| is_name)?;
    let (amount, currency) = (money.get("amount")?, money.get("currency")?);
    Some((name, map::money(amount.as_str()?, currency.as_str()?)?))
}

fn shape(detail: &'static str) -> ProviderError {
    ProviderError::new(ErrorKind::UnexpectedShape, OPERATION).with_detail(detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(data: &Value) -> Result<ClusterMetrics, ErrorKind> {
        let body = Bytes::from(json!({"data": data, "meta": {}}).to_string());
        metrics("24h".parse().unwrap(), &body).map_err(|error| error.kind)
    }

    fn money(amount: &str) -> Value {
        json!({"amount": amount, "currency": "USD"})
    }

    #[test]
    fn a_period_is_a_window_of_unix_seconds() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let window = |period: &str| Window::until(now, period.parse().unwrap());
        let day = Window {
            start: 1_800_000_000 - 86_400,
            end: 1_800_000_000,
            granularity: "hourly",
        };
        assert_eq!(window("24h"), day);
        assert_eq!(window("7d").granularity, "hourly");
        assert_eq!(window("8d").granularity, "daily");
        assert_eq!(window("90d").start, 1_800_000_000 - 90 * 86_400);
    }

    #[test]
    fn every_amount_of_a_point_is_a_series_oldest_first() {
        let trend = read(
            &json!({"granularity": "hourly", "labels": ["a"], "points": [
                {"timestamp": "2026-06-02T07:00:00Z", "cost": money("783.0001"), "cpu": money("1.0000")},
                {"timestamp": "2026-06-02T06:00:00Z", "end": "2026-06-02T07:00:00Z", "cost": money("782.9250"), "cpu": null},
            ]}),
        );
        insta::assert_json_snapshot!("trend", trend.unwrap());
    }

    #[test]
    fn a_bare_list_and_unix_seconds_are_read_too() {
        let trend =
            read(&json!([{"start": 1_780_380_000, "end": 1_780_383_600, "cost": money("2.5")}]));
        let series = trend.unwrap().series;
        assert_eq!(series[0].points[0].at.as_second(), 1_780_380_000);
        assert_eq!(series[0].points[0].value, Some(2.5));
    }

    #[test]
    fn a_cluster_without_points_has_no_series() {
        assert_eq!(read(&json!({"points": []})).unwrap().series, []);
    }

    #[test]
    fn another_shape_is_never_an_empty_trend() {
        for data in [
            json!({}),
            json!(7),
            json!({"granularity": "hourly"}),
            json!({"points": [{"timestamp": "2026-06-02T07:00:00Z", "cost": 12.5}]}),
            json!({"points": [{"cost": money("1")}]}),
        ] {
            assert_eq!(read(&data), Err(ErrorKind::UnexpectedShape), "{data}");
        }
        let older = Bytes::from_static(br#"{"detail":"Not found"}"#);
        let error = metrics(Period::HOUR, &older).unwrap_err();
        assert_eq!(error.kind, ErrorKind::UnsupportedGeneration);
    }

    proptest! {
        #[test]
        fn any_body_is_read_without_panic(
            at in ".{0,12}", seconds in any::<i64>(), amount in ".{0,12}", other in any::<f64>(),
        ) {
            let point = json!({"timestamp": seconds, "at": at, "cost": {"amount": amount, "currency": "USD"}, "x": other});
            drop(read(&json!([point, {"timestamp": "2026-06-02T07:00:00Z", "cost": {"amount": "1", "currency": at}}])));
        }
    }
}
