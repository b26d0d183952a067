//! Load over real sockets: keep-alive connections that each ask again as soon as they are answered, or at a fixed rate.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        stream
            .set_nodelay(true)
            .expect("a TCP stream takes the option");
        Self {
            stream,
            buffer: vec![0; 64 << 10],
        }
    }

    /// Asks and reads the whole answer; says its status and the length of its body.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> (u16, usize) {
        self.stream
            .write_all(request)
            .await
            .expect("the server reads");
        let mut have = 0;
        let (head, length, status) = loop {
            let read = self
                .stream
                .read(&mut self.buffer[have..])
                .await
                .expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            have += read;
            if let Some(head) = memchr::memmem::find(&self.buffer[..have], b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.buffer[..head]).to_ascii_lowercase();
                let status = text[9..12].parse().expect("a status line");
                let length = text
                    .split("content-length: ")
                    .nth(1)
                    .and_then(|rest| rest.split("\r\n").next())
                    .map_or(0, |n| n.parse().expect("a number"));
                break (head + 4, length, status);
            }
        };
        let mut left = (head + length).saturating_sub(have);
        while left > 0 {
            let room = self.buffer.len().min(left);
            let read = self
                .stream
                .read(&mut self.buffer[..room])
                .await
                .expect("the server answers");
            assert!(read > 0, "the server closed the connection");
            left -= read;
        }
        (status, length)
    }
}

pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

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
            let mut connection = Connection::open(address).await;
            let mut answered = 0_u64;
            let mut at = lane * 7;
            while started.elapsed() < time {
                let (status, _) = connection.ask(&requests[at % requests.len()]).await;
                assert_eq!(status, 200);
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

/// Latencies of requests sent at a fixed rate, sorted; a late answer does not make the next request late.
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
            let mut connection = Connection::open(address).await;
            let mut latencies = Vec::new();
            let mut number = lane;
            loop {
                let due = started + Duration::from_secs_f64(number as f64 / per_second);
                if due.duration_since(started) > time {
                    return latencies;
                }
                sleep_until(due).await;
                let sent = Instant::now();
                connection.ask(&request).await;
                latencies.push(sent.elapsed());
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

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length"
)]
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let at = ((sorted.len() as f64 - 1.0) * share).round() as usize;
    sorted.get(at).copied().unwrap_or_default()
}
