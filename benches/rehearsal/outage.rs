//! A vendor, then all of them, fail for half of a run under load.

use std::time::Duration;

use clustergate::api::server::Limits;
use clustergate::inventory::Freshness;
use clustergate::sandbox::{Fault, Vendor};
use tokio::time::{Instant, sleep};

use super::latency::latencies;
use super::load::{get, percentile};
use super::stage::Stage;
use super::{Effort, Verdicts};

const INTERVAL: Duration = Duration::from_secs(1);
const PER_SECOND: f64 = 300.0;

pub(crate) fn rehearse(effort: Effort, verdicts: &mut Verdicts) {
    println!(
        "\noutage: {PER_SECOND}/s for {:?}, refresh every {INTERVAL:?}, the middle half of the run without the vendor",
        effort.run
    );
    let quiet = run(effort, &[], Fault::Http503);
    println!(
        "       no outage: p99 {:.2} ms, {} requests",
        quiet.p99.as_secs_f64() * 1e3,
        quiet.answers
    );
    let all = Vendor::ALL;
    let one = [Vendor::Kubeadapt];
    for (name, vendors, fault) in [
        ("one vendor, http503", one.as_slice(), Fault::Http503),
        ("one vendor, hang", &one, Fault::Hang),
        ("one vendor, reset", &one, Fault::Reset),
        ("one vendor, slow-body", &one, Fault::SlowBody),
        ("all five, http503", all.as_slice(), Fault::Http503),
    ] {
        let bad = run(effort, vendors, fault);
        // At these latencies a single late tick of the machine outweighs the gateway, so half a millisecond is always allowed.
        let bound = quiet
            .p99
            .mul_f64(1.5)
            .max(quiet.p99 + Duration::from_micros(500));
        let is_met = bad.p99 <= bound
            // A window cuts the rhythm anywhere, so one call more may fall into it.
            && bad.calls_per_refresh <= 1.1 * bad.calls_before.max(1.0) + per_interval(1, effort.run / 2)
            && bad.recovery <= 2 * INTERVAL;
        verdicts.goal(
            is_met,
            &format!(
                "{name}: every answer 200, p99 {:.2} ms, {:.2} calls an interval to the vendor in its outage ({:.2} without), fresh again {:.2} s after it",
                bad.p99.as_secs_f64() * 1e3,
                bad.calls_per_refresh,
                bad.calls_before,
                bad.recovery.as_secs_f64()
            ),
        );
    }
}

struct Run {
    p99: Duration,
    answers: usize,
    /// Calls to the first failing vendor for each interval before its outage.
    calls_before: f64,
    /// Calls to the first failing vendor for each interval of its outage.
    calls_per_refresh: f64,
    recovery: Duration,
}

/// `latencies` insists on 200 for each answer, so a run that ends is a run that was always available.
fn run(effort: Effort, vendors: &[Vendor], fault: Fault) -> Run {
    let stage = Stage::set(100, INTERVAL, Limits::default());
    let request = get("/clusters?limit=100");
    let watched = vendors.first().copied().unwrap_or(Vendor::Kubeadapt);
    stage.client.block_on(async {
        let load = tokio::spawn({
            let (address, time) = (stage.address, effort.run);
            async move { latencies(address, &request, PER_SECOND, time).await }
        });
        // The windows of time are what is measured here.
        let at_first = stage.calls()[&watched];
        sleep(effort.run / 4).await;
        let calls_before = stage.calls()[&watched] - at_first;
        for vendor in vendors {
            stage.sandbox.vendor(*vendor).set_fault(Some(fault));
        }
        let before = stage.calls()[&watched];
        sleep(effort.run / 2).await;
        let calls = stage.calls()[&watched] - before;
        let ended = Instant::now();
        for vendor in vendors {
            stage.sandbox.vendor(*vendor).set_fault(None);
        }
        let mut changes = stage.gateway.inventory.subscribe();
        while stage
            .gateway
            .inventory
            .current()
            .sources()
            .iter()
            .any(|source| source.state != Freshness::Fresh)
        {
            changes.changed().await.expect("the inventory is held here");
        }
        let recovery = ended.elapsed();
        let sorted = load.await.expect("the load ends");
        Run {
            p99: percentile(&sorted, 0.99),
            answers: sorted.len(),
            calls_before: per_interval(calls_before, effort.run / 4),
            calls_per_refresh: per_interval(calls, effort.run / 2),
            recovery,
        }
    })
}

#[expect(clippy::cast_precision_loss, reason = "a few calls")]
fn per_interval(calls: u64, time: Duration) -> f64 {
    calls as f64 / time.as_secs_f64() * INTERVAL.as_secs_f64()
}
