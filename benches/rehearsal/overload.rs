//! Far more connections that ask as fast as they can than the server has time for.

use std::time::Duration;

use clustergate::api::server::Limits;

use super::load::{get, latencies, percentile, throughput};
use super::stage::Stage;
use super::{Effort, Verdicts};

pub(crate) fn rehearse(effort: Effort, verdicts: &mut Verdicts) {
    println!(
        "\noverload: 256 connections, sixteen times as many as it takes, that ask without pause for {:?}",
        effort.run / 2
    );
    let stage = Stage::set(100, Duration::from_hours(1), Limits::default());
    let request = get("/clusters?limit=100");
    let requests = [request.clone()];
    stage.client.block_on(async {
        let before = percentile(
            &latencies(stage.address, &request, 300.0, effort.run / 8).await,
            0.99,
        );
        let capacity = throughput(stage.address, &requests, 16, effort.run / 4).await;
        let pressed = throughput(stage.address, &requests, 256, effort.run / 2).await;
        let after = percentile(
            &latencies(stage.address, &request, 300.0, effort.run / 8).await,
            0.99,
        );
        verdicts.goal(
            pressed >= 0.9 * capacity,
            &format!(
                "good answers under pressure / capacity: {:.2} (goal >= 0.9)",
                pressed / capacity
            ),
        );
        verdicts.goal(
            after <= (before * 2).max(before + Duration::from_millis(1)),
            &format!(
                "p99 at 300/s right after: {:.2} ms, before: {:.2} ms",
                after.as_secs_f64() * 1e3,
                before.as_secs_f64() * 1e3
            ),
        );
    });
}
