//! The list beside a store that is written, and without one.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use super::load::get;
use super::stage::Stage;
use super::throughput::throughput;
use super::{Effort, Verdicts, median, runtime};

const LANES: usize = 16;

/// Both gateways read one of their sources again each second, of which one cluster in a hundred has changed.
pub(crate) fn measure(effort: Effort, verdicts: &mut Verdicts) {
    let folder = tempfile::tempdir().expect("a folder");
    let (serving, client) = (runtime("serve"), runtime("client"));
    let kept = Stage::set(
        effort.clusters,
        100,
        Some(super::stage::within(folder.path())),
        &serving,
    );
    let forgotten = Stage::set(effort.clusters, 100, None, &serving);
    let (with, without) = (kept.listen(&serving), forgotten.listen(&serving));
    for (what, is_busy) in [("quiet", false), ("one refresh a second", true)] {
        let kept = || rate(&client, &kept, with, effort.time, is_busy);
        let forgotten = || rate(&client, &forgotten, without, effort.time, is_busy);
        let ratios: Vec<f64> = (0..effort.rounds)
            .map(|round| {
                // Whoever is measured first is not always the same.
                if round % 2 == 0 {
                    let base = forgotten();
                    kept() / base
                } else {
                    kept() / forgotten()
                }
            })
            .collect();
        let ratio = median(ratios);
        verdicts.goal(
            ratio >= 0.95,
            &format!("page of 100 of {} clusters with a store / without, {what}: {ratio:.2} (goal >= 0.95)", effort.clusters),
        );
    }
    kept.stop(&serving);
    forgotten.stop(&serving);
}

fn rate(
    client: &Runtime,
    stage: &Stage,
    address: SocketAddr,
    time: Duration,
    is_busy: bool,
) -> f64 {
    let requests = [get("/clusters?limit=100")];
    client.block_on(async {
        let load = tokio::spawn(async move { throughput(address, &requests, LANES, time).await });
        while is_busy && !load.is_finished() {
            let begun = Instant::now();
            stage.refresh(2, true).await;
            sleep(
                Duration::from_secs(1)
                    .saturating_sub(begun.elapsed())
                    .min(time),
            )
            .await;
        }
        load.await.expect("the load ends")
    })
}
