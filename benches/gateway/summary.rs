//! (f) Counts and sums, of all clusters and of some.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::load::get;
use super::throughput::throughput;
use super::{Bench, Effort, LANES, median, verdict, verdict_ms};

/// Filters of all kinds, of which most leave many clusters.
const FILTERS: [&str; 10] = [
    "state=running",
    "state=!running",
    "cloud=aws,gcp&environment=!dev",
    "region=eu-central-1,us-east-1",
    "version=1.30,1.31&environment=production",
    "accelerator=h200",
    "label=team=team-7",
    "stale=false&presence=present&cloud=!aws",
    "q=prod",
    "q=1",
];

/// What is asked for again and again, and what nobody asked for before.
pub(crate) fn sums(bench: &Bench, client: &Runtime, effort: Effort, misses: &mut u32) {
    let (plain, ours) = ([get("/clusters?limit=100")], [get("/summary")]);
    let mut ratios = Vec::new();
    client.block_on(async {
        for _ in 0..effort.rounds {
            let base = throughput(bench.gateway, &plain, LANES, effort.time).await;
            ratios.push(throughput(bench.gateway, &ours, LANES, effort.time).await / base);
        }
    });
    verdict(
        "(f) summary of all clusters / plain page",
        median(ratios),
        1.0,
        misses,
    );
    verdict_ms(
        "(f) summary of all clusters, first seen",
        first_seen(bench, ""),
        Duration::from_millis(1),
        misses,
    );
    let mut worst = (Duration::ZERO, "");
    for filter in FILTERS {
        worst = worst.max((first_seen(bench, filter), filter));
    }
    let (took, filter) = worst;
    verdict_ms(
        &format!("(f) filtered summary, first seen, worst of ten ({filter})"),
        took,
        Duration::from_millis(5),
        misses,
    );
}

/// The best of three, as the machine has other work too. Nobody sent such a query before: a team that no cluster has differs.
fn first_seen(bench: &Bench, filter: &str) -> Duration {
    let took = ["a", "b", "c"].map(|team| {
        let path = format!("/summary?{filter}&team=!nobody-{team}");
        let started = Instant::now();
        bench.body(&path);
        started.elapsed()
    });
    took.into_iter().min().unwrap_or_default()
}
