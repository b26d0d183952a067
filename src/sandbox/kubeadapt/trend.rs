//! What one of Kubeadapt's clusters cost over time. The vendor publishes no body for it: this one follows its conventions.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::fleet::{Dice, Style, stamp};
use super::super::world::{Answer, Call};
use super::paging::{envelope, failure};
use super::record::money;
use super::{DAY, Kubeadapt};

const PARAMETERS: [&str; 5] = ["start", "end", "type", "granularity", "cost_mode"];
const LONGEST: i64 = 5 * 366 * DAY;
/// An answer has no more points than this, however fine they are asked for.
const POINTS_MAX: i64 = 2_000;

impl Kubeadapt {
    pub(super) fn trend(&self, call: &Call, serial: u64) -> Answer {
        let invalid = |message: &str, details: Value| {
            failure(call, 422, "VALIDATION_ERROR", message, &details)
        };
        let moment = |name: &str| call.query(name).and_then(|text| text.parse::<i64>().ok());
        let (Some(start), Some(end)) = (moment("start"), moment("end")) else {
            return invalid("start and end are required", json!({"field": "start"}));
        };
        if end <= start || end - start > LONGEST {
            return invalid("end must be after start", json!({"field": "end"}));
        }
        let kind = call.query("type").unwrap_or("run_rate");
        if !matches!(kind, "run_rate" | "breakdown") {
            return invalid(
                "invalid type",
                json!({"field": "type", "allowed": ["run_rate", "breakdown"]}),
            );
        }
        let granularity = match call.query("granularity").unwrap_or("auto") {
            "auto" if end - start <= 2 * DAY => "hourly",
            "auto" => "daily",
            word @ ("hourly" | "daily" | "weekly" | "monthly") => word,
            _ => {
                let allowed = ["auto", "hourly", "daily", "weekly", "monthly"];
                return invalid(
                    "invalid granularity",
                    json!({"field": "granularity", "allowed": allowed}),
                );
            }
        };
        let mode = call.query("cost_mode").unwrap_or("fully_loaded");
        let step = match granularity {
            "hourly" => 3_600,
            "daily" => DAY,
            "weekly" => 7 * DAY,
            _ => 30 * DAY,
        };
        let hours = if kind == "run_rate" {
            730
        } else {
            step / 3_600
        };
        let first = start.div_euclid(step) * step;
        let points: Vec<Value> = (0..POINTS_MAX)
            .map(|at| first + at * step)
            .take_while(|at| *at < end)
            .filter_map(|at| Timestamp::from_second(at).ok())
            .map(|at| {
                let cost = self.rate_at(serial, call.revision(), at) * hours.unsigned_abs();
                json!({"timestamp": stamp(at, Style::Seconds), "cost": money(cost)})
            })
            .collect();
        let data = json!({"type": kind, "granularity": granularity, "points": points});
        let mut body = envelope(call, data, None, &PARAMETERS);
        body["meta"]["cost_mode"] = json!(mode);
        Answer::ok(body)
    }

    /// The hourly rate at a moment: up to a tenth below what it is now.
    fn rate_at(&self, serial: u64, revision: u64, at: Timestamp) -> u64 {
        let hour = at.as_second().div_euclid(3_600).unsigned_abs();
        let less = Dice::new(&[self.context.seed, serial, hour, 12]).below(100);
        self.rate(serial, revision) * (1_000 - less) / 1_000
    }
}
