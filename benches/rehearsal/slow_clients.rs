//! Thousands of clients that say nothing, say it slowly, or do not read, beside an honest load.

use std::net::SocketAddr;
use std::time::Duration;

use clustergate::api::server::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::load::{get, latencies, percentile};
use super::stage::{Stage, resident};
use super::{Effort, Verdicts};

const PER_SECOND: f64 = 300.0;

#[derive(Clone, Copy)]
enum Kind {
    Idle,
    SlowHeaders,
    SlowReader,
}

pub(crate) fn rehearse(effort: Effort, verdicts: &mut Verdicts) {
    let effort = Effort {
        clients: effort.clients.min(most_clients()),
        ..effort
    };
    println!(
        "\nslow clients: {} of each kind for {:?}, with {PER_SECOND}/s of honest load",
        effort.clients, effort.stay
    );
    let limits = Limits {
        max_connections: effort.clients + 1_000,
        ..Limits::default()
    };
    let stage = Stage::set(100, Duration::from_hours(1), limits);
    let request = get("/clusters?limit=100");
    let quiet = stage.client.block_on(latencies(
        stage.address,
        &request,
        PER_SECOND,
        effort.stay / 4,
    ));
    let quiet = percentile(&quiet, 0.99);
    println!(
        "       without them: p99 {:.2} ms",
        quiet.as_secs_f64() * 1e3
    );
    for (name, kind, room) in [
        ("idle", Kind::Idle, 20),
        ("slow headers", Kind::SlowHeaders, 20),
        ("slow readers", Kind::SlowReader, 64),
    ] {
        let before = resident();
        let (busy, grown, closed) = stage.client.block_on(visit(&stage, kind, effort, &request));
        let each = grown.saturating_sub(before) / effort.clients / 1_024;
        let bound = (quiet * 2).max(quiet + Duration::from_millis(1));
        verdicts.goal(
            busy <= bound && each <= room,
            &format!(
                "{name}: honest p99 {:.2} ms, {each} KiB a connection, both ends of it (goal <= {room}); closed by the server in time: {closed}",
                busy.as_secs_f64() * 1e3
            ),
        );
        if matches!(kind, Kind::SlowHeaders) {
            verdicts.goal(
                closed == effort.clients,
                "slow headers are all closed after 10 s",
            );
        }
    }
}

async fn visit(
    stage: &Stage,
    kind: Kind,
    effort: Effort,
    request: &[u8],
) -> (Duration, usize, usize) {
    let mut visitors = JoinSet::new();
    let address = stage.address;
    let until = Instant::now() + effort.stay;
    let clients = u32::try_from(effort.clients).unwrap_or(u32::MAX);
    for number in 0..effort.clients {
        visitors.spawn(async move {
            // Not all at once: the listener's queue is finite.
            let arriving = match kind {
                Kind::Idle | Kind::SlowHeaders => effort.stay / 4,
                // Each of them is a whole page to write: what is rehearsed is that they do not read, not that they ask.
                Kind::SlowReader => effort.stay / 2,
            };
            sleep(arriving * u32::try_from(number).unwrap_or(0) / clients).await;
            let Ok(mut stream) = connect(address).await else {
                return false;
            };
            match kind {
                Kind::Idle => {}
                Kind::SlowHeaders => {
                    if stream
                        .write_all(b"GET /clusters HTTP/1.1\r\nhost: lo")
                        .await
                        .is_err()
                    {
                        return true;
                    }
                }
                Kind::SlowReader => {
                    if stream
                        .write_all(b"GET /clusters?limit=100 HTTP/1.1\r\nhost: localhost\r\n\r\n")
                        .await
                        .is_err()
                    {
                        return true;
                    }
                    sleep(until.saturating_duration_since(Instant::now())).await;
                    return false;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            let mut byte = [0; 1];
            matches!(
                timeout(left, stream.read(&mut byte)).await,
                Ok(Ok(0) | Err(_))
            )
        });
    }
    let load = tokio::spawn({
        let (request, time) = (
            request.to_vec(),
            effort.stay.saturating_sub(Duration::from_secs(1)),
        );
        async move { latencies(address, &request, PER_SECOND, time).await }
    });
    // The most memory is held when all have come and none of those that are closed after ten seconds has gone.
    let full = match kind {
        Kind::Idle | Kind::SlowHeaders => (effort.stay / 3).min(Duration::from_secs(8)),
        Kind::SlowReader => effort.stay / 2,
    };
    sleep(full).await;
    let grown = resident();
    let sorted = load.await.expect("the load ends");
    let mut closed = 0;
    while let Some(was_closed) = visitors.join_next().await {
        closed += usize::from(was_closed.unwrap_or(false));
    }
    (percentile(&sorted, 0.99), grown, closed)
}

/// Both ends of each connection are in this process, and so is everything else that needs a file descriptor.
fn most_clients() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    soft.map_or(usize::MAX, |files| files.saturating_sub(600) / 2)
}

/// A client with a small window: what it does not read stays with the server.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(8 << 10)?;
    socket.connect(address).await
}
