//! Far too many clients, in a process of their own: each asks again as soon as it is answered.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::child;
use super::load::{Connection, percentile};

/// How long after the end an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client does when it is told to come back later.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Manners {
    /// It asks again at once.
    Rude,
    /// It waits as long as `Retry-After` says.
    Polite,
    /// All of them together ask so many times in a second, whatever they are answered.
    Steady(f64),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rush {
    pub(crate) address: SocketAddr,
    /// Asked for with a number at its end that no other request has; the answer is to be compressed.
    pub(crate) path: String,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    pub(crate) manners: Manners,
}

/// Said when all are connected; now they ask.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Connected {
    pub(crate) connections: usize,
}

/// Said at the end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// 200, within the time.
    pub(crate) good: Answers,
    /// 503 with `Retry-After`, within the time.
    pub(crate) shed: Answers,
    /// Any other answer.
    pub(crate) other: usize,
    /// Connections that failed or were closed without a word, and answers that did not come.
    pub(crate) errors: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answers {
    pub(crate) per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Answers {
    fn of(mut latencies: Vec<Duration>, time: Duration) -> Self {
        latencies.sort_unstable();
        Self {
            per_second: latencies.len() as f64 / time.as_secs_f64(),
            p50: percentile(&latencies, 0.5),
            p99: percentile(&latencies, 0.99),
            max: percentile(&latencies, 1.0),
        }
    }
}

pub(crate) fn play(rush: &Rush) {
    child::single_thread().block_on(async {
        tokio::select! {
            outcome = run(rush) => child::say(&outcome),
            _ = child::dismissed() => {}
        }
    });
}

#[derive(Default)]
struct Tally {
    good: Vec<Duration>,
    shed: Vec<Duration>,
    other: usize,
    errors: usize,
}

async fn run(rush: &Rush) -> Outcome {
    let (go, gone) = watch::channel(None);
    let mut lanes = JoinSet::new();
    // Connecting is not what is rehearsed, so it is done before, no faster than a listener with a short queue can take.
    for number in 1..=rush.connections {
        if number % 32 == 0 {
            sleep(Duration::from_millis(10)).await;
        }
        let connection = Connection::open(rush.address)
            .await
            .expect("the server listens");
        let lane = Lane {
            rush: rush.clone(),
            number: number - 1,
            connection,
        };
        let mut gone = gone.clone();
        lanes.spawn(async move {
            let until = *gone.wait_for(Option::is_some).await.expect("it comes");
            lane.ask_until(until.expect("it was waited for")).await
        });
    }
    child::say(&Connected {
        connections: lanes.len(),
    });
    go.send_replace(Some(Instant::now() + rush.time));
    let mut all = Tally::default();
    while let Some(lane) = lanes.join_next().await {
        let mut lane = lane.expect("the lane ends");
        all.good.append(&mut lane.good);
        all.shed.append(&mut lane.shed);
        all.other += lane.other;
        all.errors += lane.errors;
    }
    Outcome {
        good: Answers::of(all.good, rush.time),
        shed: Answers::of(all.shed, rush.time),
        other: all.other,
        errors: all.errors,
    }
}

struct Lane {
    rush: Rush,
    number: usize,
    connection: Connection,
}

impl Lane {
    async fn ask_until(mut self, until: Instant) -> Tally {
        let mut tally = Tally::default();
        let address = self.rush.address;
        let began = until - self.rush.time;
        let mut number = self.number;
        loop {
            let mut sent = Instant::now();
            if let Manners::Steady(per_second) = self.rush.manners {
                let due = began + Duration::from_secs_f64(number as f64 / per_second);
                if due > sent {
                    sleep_until(due.min(until)).await;
                    // Timers are a millisecond late, which is not the server's doing.
                    sent = Instant::now();
                } else {
                    sent = due;
                }
            }
            if Instant::now() >= until {
                return tally;
            }
            let request = format!(
                "GET {}{number} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n\r\n",
                self.rush.path
            );
            number += self.rush.connections;
            let asked = timeout_at(until + PATIENCE, self.connection.ask(request.as_bytes()));
            let Ok(Ok(answer)) = asked.await else {
                tally.errors += 1;
                // Not at once: a server that closes every connection is not to be beaten for it.
                sleep(Duration::from_millis(100)).await;
                if let Ok(opened) = Connection::open(address).await {
                    self.connection = opened;
                }
                continue;
            };
            let ended = Instant::now();
            let retry_after = answer
                .field("retry-after")
                .and_then(|text| text.parse().ok());
            let is_in_time = ended <= until;
            match (answer.status, retry_after) {
                (200, _) if is_in_time => tally.good.push(ended - sent),
                (503, Some(_)) if is_in_time => tally.shed.push(ended - sent),
                (200, _) | (503, Some(_)) => {}
                _ => tally.other += 1,
            }
            if answer.field("connection") == Some("close") {
                match Connection::open(address).await {
                    Ok(opened) => self.connection = opened,
                    Err(_) => tally.errors += 1,
                }
            }
            if let (Manners::Polite, 503, Some(seconds)) =
                (self.rush.manners, answer.status, retry_after)
            {
                let back = Instant::now() + Duration::from_secs(seconds);
                sleep_until(back.min(until)).await;
            }
        }
    }
}
