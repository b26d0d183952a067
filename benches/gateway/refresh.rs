//! (d) Reads while a source is refreshed.

use std::sync::atomic::Ordering;
use std::time::Duration;

use clustergate::inventory::Control as _;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use super::latency::latencies;
use super::load::{get, percentile};
use super::{Bench, Effort, median, verdict_at_most, verdict_ms};

/// A sorted page: its order is made anew with each generation, so the first reader after a refresh pays for more than a copy.
const PATH: &str = "/clusters?limit=100&sort=-cost";

/// Of reads in the quiet and of reads while one source of five changes, both sorted.
struct Reads {
    quiet: Vec<Duration>,
    busy: Vec<Duration>,
    /// Milliseconds from the wish for a refresh to the next snapshot.
    took: Vec<f64>,
}

/// Refreshes follow each other a tenth of a second after the last.
pub(crate) fn again_and_again(bench: &Bench, client: &Runtime, effort: Effort, misses: &mut u32) {
    let reads = reads(bench, client, 500.0, effort.time * 3, 1, Pause::After);
    println!(
        "       (d) next snapshot after one of five sources changed, list read and mapped: median {:.1} ms over {} refreshes",
        median(reads.took.clone()),
        reads.took.len()
    );
    print(&reads, "500/s", "while refreshing ten times a second");
    let bound = (percentile(&reads.quiet, 0.99) * 2).max(Duration::from_millis(5));
    verdict_ms(
        "(d) p99 while refreshing ten times a second",
        percentile(&reads.busy, 0.99),
        bound,
        misses,
    );
}

/// One refresh a second, as often as the shortest interval that can be configured.
pub(crate) fn once_a_second(bench: &Bench, client: &Runtime, effort: Effort, misses: &mut u32) {
    let (rate, most_p99, most_max) = match bench.size {
        100_000.. => (200.0, Some(Duration::from_millis(5)), None),
        10_000.. => (500.0, None, Some(Duration::from_millis(10))),
        _ => return,
    };
    let reads = reads(
        bench,
        client,
        rate,
        effort.watch,
        effort.watches,
        Pause::UntilTheSecond,
    );
    let name = format!("{rate}/s");
    print(&reads, &name, "while refreshing once a second");
    for (share, what, goal, most) in [(0.99, "p99", 2.0, most_p99), (1.0, "max", 5.0, most_max)] {
        let (quiet, busy) = (
            percentile(&reads.quiet, share),
            percentile(&reads.busy, share),
        );
        let what = format!("(d) {what} at {name} while refreshing once a second");
        verdict_at_most(
            &format!("{what} / quiet"),
            busy.as_secs_f64() / quiet.as_secs_f64(),
            goal,
            misses,
        );
        if let Some(most) = most {
            verdict_ms(&what, busy, most, misses);
        }
    }
}

fn print(reads: &Reads, rate: &str, when: &str) {
    for (share, name) in [(0.5, "p50"), (0.99, "p99"), (1.0, "max")] {
        println!(
            "       (d) reads at {rate}, {name}: {:.2} ms quiet, {:.2} ms {when} ({} times)",
            percentile(&reads.quiet, share).as_secs_f64() * 1e3,
            percentile(&reads.busy, share).as_secs_f64() * 1e3,
            reads.took.len()
        );
    }
}

/// When the next refresh begins.
#[derive(Clone, Copy)]
enum Pause {
    /// A tenth of a second after the last is there.
    After,
    /// A second after the last began.
    UntilTheSecond,
}

/// Quiet and busy reads in turns, so that what else the machine does falls on both.
fn reads(
    bench: &Bench,
    client: &Runtime,
    rate: f64,
    time: Duration,
    turns: usize,
    pause: Pause,
) -> Reads {
    let request = get(PATH);
    let mut reads = Reads {
        quiet: Vec::new(),
        busy: Vec::new(),
        took: Vec::new(),
    };
    for _ in 0..turns {
        let quiet = client.block_on(latencies(bench.gateway, &request, rate, time));
        reads.quiet.extend(quiet);
        let busy = client.block_on(async {
            let load = tokio::spawn({
                let (gateway, request) = (bench.gateway, request.clone());
                async move { latencies(gateway, &request, rate, time).await }
            });
            while !load.is_finished() {
                let began = Instant::now();
                refresh(bench).await;
                reads.took.push(began.elapsed().as_secs_f64() * 1e3);
                let pause = match pause {
                    Pause::After => Duration::from_millis(100),
                    Pause::UntilTheSecond => Duration::from_secs(1).saturating_sub(began.elapsed()),
                };
                sleep(pause).await;
            }
            load.await.expect("the load ends")
        });
        reads.busy.extend(busy);
    }
    reads.quiet.sort_unstable();
    reads.busy.sort_unstable();
    reads
}

/// Changes one of five sources, and waits until readers see it.
async fn refresh(bench: &Bench) {
    let (name, revision) = &bench.fleet.revisions[2];
    revision.fetch_add(1, Ordering::Relaxed);
    let mut changes = bench.fleet.inventory.subscribe();
    bench.fleet.keeper.refresh(name);
    changes.changed().await.expect("the inventory is held here");
}
