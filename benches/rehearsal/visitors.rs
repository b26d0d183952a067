//! Slow clients, in a process of their own: they come one after the other, stay until they are dismissed, and say what happened.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::child;

/// How a client is slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// It connects and says nothing.
    Idle,
    /// It begins a request and adds a byte every two seconds, without end.
    SlowHeaders,
    /// It asks for a page of a hundred clusters and reads 256 bytes of the answer each second, through a small window.
    SlowReader,
}

const DRIBBLE: Duration = Duration::from_secs(2);
const SIP: Duration = Duration::from_secs(1);
const SIP_BYTES: usize = 256;
/// The smaller, the more of an answer stays with the server.
const WINDOW: u32 = 8 << 10;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Visit {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    pub(crate) count: usize,
    /// Time over which their arrivals are spread.
    pub(crate) arriving: Duration,
}

/// Said when all have come, and slow readers have seen that they are answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Here {
    pub(crate) connected: usize,
}

/// Said at the end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Gone {
    /// Not connected, or answered with anything but what they asked for.
    pub(crate) errors: usize,
    pub(crate) closed_by_server: usize,
    /// The shortest and the longest time after which the server closed one.
    pub(crate) closed_after: Option<(Duration, Duration)>,
}

pub(crate) fn play(visit: &Visit) {
    let gone = child::single_thread().block_on(receive(visit, child::dismissed()));
    child::say(&gone);
}

async fn receive(visit: &Visit, dismissed: impl Future<Output = impl Sized>) -> Gone {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let mut visitors = JoinSet::new();
    for number in 0..visit.count {
        let wait = visit.arriving.mul_f64(number as f64 / visit.count as f64);
        let (kind, address, arrived) = (visit.kind, visit.address, arrived.clone());
        visitors.spawn(async move {
            sleep(wait).await;
            stay(kind, address, arrived).await
        });
    }
    drop(arrived);
    let mut connected = 0;
    while arrivals.recv().await.is_some() {
        connected += 1;
    }
    child::say(&Here { connected });
    let _ = dismissed.await;
    visitors.abort_all();
    let mut gone = Gone::default();
    while let Some(end) = visitors.join_next().await {
        match end {
            Ok(Ok(after)) => {
                gone.closed_by_server += 1;
                let (least, most) = gone.closed_after.unwrap_or((after, after));
                gone.closed_after = Some((least.min(after), most.max(after)));
            }
            Ok(Err(_)) => gone.errors += 1,
            Err(end) if end.is_cancelled() => {}
            Err(end) => panic!("a visitor failed: {end}"),
        }
    }
    gone
}

/// Ends when the server closes the connection, and says after how long.
async fn stay(
    kind: Kind,
    address: SocketAddr,
    arrived: mpsc::UnboundedSender<()>,
) -> io::Result<Duration> {
    let mut stream = connect(kind, address).await?;
    let began = Instant::now();
    match kind {
        Kind::Idle => {
            arrive(arrived);
            no_answer(&stream.read(&mut [0; 1]).await)?;
        }
        Kind::SlowHeaders => {
            stream
                .write_all(b"GET /clusters HTTP/1.1\r\nhost: lo")
                .await?;
            arrive(arrived);
            loop {
                match timeout(DRIBBLE, stream.read(&mut [0; 1])).await {
                    Ok(outcome) => break no_answer(&outcome)?,
                    // An error is the server's end of it, seen when writing first.
                    Err(_) if stream.write_all(b"x").await.is_err() => break,
                    Err(_) => {}
                }
            }
        }
        Kind::SlowReader => {
            stream
                .write_all(b"GET /clusters?limit=100 HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await?;
            let mut bytes = [0; SIP_BYTES];
            stream.read_exact(&mut bytes[..12]).await?;
            if &bytes[..12] != b"HTTP/1.1 200" {
                return Err(io::ErrorKind::InvalidData.into());
            }
            arrive(arrived);
            while !matches!(stream.read(&mut bytes).await, Ok(0) | Err(_)) {
                sleep(SIP).await;
            }
        }
    }
    Ok(began.elapsed())
}

/// Takes the sender, since all have arrived when there is none left.
#[expect(clippy::needless_pass_by_value, reason = "it is given up")]
fn arrive(arrived: mpsc::UnboundedSender<()>) {
    let _ = arrived.send(());
}

/// The end of a connection, in order or by a reset; bytes are an answer that nobody has asked for.
fn no_answer(outcome: &io::Result<usize>) -> io::Result<()> {
    match outcome {
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn connect(kind: Kind, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if kind == Kind::SlowReader {
        socket.set_recv_buffer_size(WINDOW)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
