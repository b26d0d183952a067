//! How many requests are answered in a second.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::load::Connection;

/// Requests answered in a second by connections that ask one after the other.
pub(crate) async fn throughput(
    address: SocketAddr,
    requests: &[Vec<u8>],
    connections: usize,
    time: Duration,
) -> f64 {
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for lane in 0..connections {
        let requests = requests.to_vec();
        tasks.spawn(async move {
            let mut connection = Connection::open(address).await.expect("the server listens");
            let mut answered = 0_u64;
            let mut at = lane * 7;
            while started.elapsed() < time {
                let answer = connection
                    .ask(&requests[at % requests.len()])
                    .await
                    .expect("the server answers");
                assert_eq!(answer.status, 200);
                answered += 1;
                at += 1;
            }
            answered
        });
    }
    let mut answered = 0;
    while let Some(count) = tasks.join_next().await {
        answered += count.expect("the lane ends");
    }
    answered as f64 / started.elapsed().as_secs_f64()
}
