//! What LakeSail tells of one cluster at this moment: its health, its access file, what it measured.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::super::fleet::{Dice, HEX, Style, stamp};
use super::super::world::{Answer, Call};
use super::record::Record;
use super::writes::conflict;
use super::{CANARY, LakeSail, bad};

/// A certificate that certifies nothing: nobody has its key.
const AUTHORITY: &str = include_str!("ca.pem");
const POINTS: i64 = 12;
const ONE: &[&str] = &[""];

impl LakeSail {
    pub(super) fn health(record: &Record) -> Answer {
        let is_up = record.is_up();
        let ready = if is_up {
            record.nodes - u64::from(record.serial % 9 == 4)
        } else {
            0
        };
        let total = if is_up || !record.is_made {
            record.nodes
        } else {
            0
        };
        let status = match (ready == total, total) {
            (_, 0) => "unknown",
            (true, _) => "healthy",
            (false, _) => "degraded",
        };
        Answer::ok(
            json!({"status": status, "providerMetadata": {"status": "ACTIVE"},
            "nodeGroups": [{"name": "system", "status": "ACTIVE", "desiredSize": total, "readyNodes": ready, "message": Value::Null}],
            "systemPods": [{"name": "coredns-1", "namespace": "kube-system", "ready": true, "phase": "Running", "restartCount": 0, "message": Value::Null}],
            "totalNodes": total, "readyNodes": ready, "lastCheckedAt": record.checked}),
        )
    }

    /// Twelve points over the period, of which the last one is now.
    pub(super) fn metrics(&self, call: &Call, record: &Record) -> Answer {
        let Some(hours) = hours(call.query("period").unwrap_or("1h")) else {
            return bad("period must be a number of hours or days");
        };
        let now = self.clock();
        let series = |salt: u64, low: u64, high: u64| -> Value {
            let mut dice =
                Dice::new(&[self.context.seed, record.serial, salt, hours.unsigned_abs()]);
            let mut point = |at: i64| {
                let back = SignedDuration::from_secs(hours * 3_600 * (POINTS - 1 - at) / POINTS);
                let time: Timestamp = now.checked_sub(back).unwrap_or(now);
                let value = dice.between(low, high) as f64 / 100.0;
                json!({"timestamp": stamp(time, Style::Seconds), "value": value})
            };
            if record.is_up() {
                (0..POINTS).map(&mut point).collect()
            } else {
                json!([])
            }
        };
        Answer::ok(
            json!({"cpuUtilization": series(61, 500, 9_000), "memoryUtilization": series(62, 2_000, 9_000),
                "estimatedCost": series(63, 20, 900), "activeJobCount": series(64, 0, 0)}),
        )
        .rows(ONE)
    }

    /// A file as the cloud's own tools write it, with a token, a client certificate, or a command that gets one.
    pub(super) fn kubeconfig(&self, call: &Call, record: &Record) -> Answer {
        if !record.is_up() {
            return conflict("the cluster is not active");
        }
        let host = Dice::new(&[self.context.seed, record.serial, 36]).letters(HEX, 32);
        let server = format!(
            "https://{}.gr7.{}.eks.amazonaws.com",
            host.to_uppercase(),
            record.region
        );
        let authority = STANDARD.encode(AUTHORITY);
        let arn = record.arn();
        let user = if call.feature("kubeconfig-exec") {
            format!(
                "    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      command: aws\n      args:\n      - --region\n      - {}\n      - eks\n      - get-token\n      - --cluster-name\n      - {}\n      - --output\n      - json\n",
                record.region,
                json!(record.name),
            )
        } else if call.feature("kubeconfig-certificate") {
            let key = STANDARD.encode(format!("{CANARY}-client-key"));
            format!("    client-certificate-data: {authority}\n    client-key-data: {key}\n")
        } else {
            format!("    token: {CANARY}-kubeconfig-token-{}\n", record.external)
        };
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: {arn}\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\ncontexts:\n- name: {arn}\n  context:\n    cluster: {arn}\n    user: {arn}\ncurrent-context: {arn}\npreferences: {{}}\nusers:\n- name: {arn}\n  user:\n{user}",
            arn = json!(arn),
        );
        Answer::ok(
            json!({"kubeconfig": text, "clusterEndpoint": server, "clusterCertificateAuthority": authority}),
        )
        .rows(ONE)
    }
}

fn hours(period: &str) -> Option<i64> {
    let (digits, unit) = period.split_at_checked(period.len().checked_sub(1)?)?;
    let number: i64 = digits.parse().ok()?;
    let hours = match unit {
        "h" => number,
        "d" => number.checked_mul(24)?,
        _ => return None,
    };
    (1..=24 * 365).contains(&hours).then_some(hours)
}
