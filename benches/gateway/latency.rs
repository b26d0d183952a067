//! How long answers take at a fixed rate.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::load::Connection;

/// Latencies of requests sent at a fixed rate, sorted; a late answer does not make the next request late. Each answer must be a
/// 200: anything else ends the program.
///
/// A request whose time came while its connection still waited for an answer counts from that time, so that a pause of the
/// server is seen by all whom it made wait, and not only by those who were in time for it.
pub(crate) async fn latencies(
    address: SocketAddr,
    request: &[u8],
    per_second: f64,
    time: Duration,
) -> Vec<Duration> {
    const LANES: usize = 16;
    let started = Instant::now() + Duration::from_millis(5);
    let mut tasks = JoinSet::new();
    for lane in 0..LANES {
        let request = request.to_vec();
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await.expect("the server listens");
            let mut latencies = Vec::new();
            let mut number = lane;
            loop {
                let due = started + Duration::from_secs_f64(number as f64 / per_second);
                if due.duration_since(started) > time {
                    return latencies;
                }
                let began = if Instant::now() < due {
                    sleep_until(due).await;
                    // Not `due`: timers are a millisecond late, which is not the server's doing.
                    Instant::now()
                } else {
                    due
                };
                let answer = connection.ask(&request).await.expect("the server answers");
                assert_eq!(answer.status, 200);
                latencies.push(began.elapsed());
                number += LANES;
            }
        });
    }
    let mut all = Vec::new();
    while let Some(latencies) = tasks.join_next().await {
        all.extend(latencies.expect("the lane ends"));
    }
    all.sort_unstable();
    all
}
