//! Far more requests than the server has time for: three times as many, and as many as two thousand connections make.
//!
//! What is asked costs the server far more than to refuse it, which takes a request and an answer as well, and far more than the
//! kernel, which here works for both ends. The server, the crowd and those who measure are three processes.

use std::net::SocketAddr;
use std::time::Duration;

use clustergate::api::server::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::child::{Child, Role};
use super::crowd::{Connected, Manners, Outcome, Rush};
use super::latency::latencies;
use super::load::{get, percentile};
use super::stage::{Served, Setting, runtime};
use super::{Effort, Verdicts, WARM_UP};

/// What those ask who measure.
const PATH: &str = "/clusters?limit=100";
/// What the crowd asks, a number at its end: a page that nobody asked for before, to be compressed.
const COSTLY: &str = "/clusters?limit=100&sort=-cost&team=!t";
/// Clusters of each vendor.
const CLUSTERS: usize = 500;
/// Requests that come, as a multiple of what the server can answer.
const TIMES: f64 = 3.0;
/// As many as it takes to keep the server busy all the time.
const ENOUGH: usize = 64;
const PER_SECOND: f64 = 300.0;
const PROBES: Duration = Duration::from_millis(100);

pub(crate) fn rehearse(effort: Effort, verdicts: &mut Verdicts) {
    println!(
        "\noverload: {} connections for {:?}, where {ENOUGH} keep the server busy",
        effort.crowd, effort.rush
    );
    let mut server = Child::start(&Role::Server(Setting {
        clusters: CLUSTERS,
        max_connections: Limits::default().max_connections,
        head_timeout: Limits::default().head_timeout,
    }));
    let Served { address, .. } = server.hear();
    let client = runtime("client");
    let request = get(PATH);
    let p99 = |time| {
        let load = latencies(address, &request, PER_SECOND, time);
        percentile(&client.block_on(load), 0.99)
    };
    p99(WARM_UP);
    let before = p99(effort.run / 4);
    let rush = |connections, time, manners| {
        Role::Crowd(Rush {
            address,
            path: COSTLY.to_owned(),
            connections,
            time,
            manners,
        })
    };
    let time = effort.rush / 2;
    let mut few = Child::start(&rush(ENOUGH, time, Manners::Rude));
    let Connected { .. } = few.hear();
    let busy = Busy::since(&server, &few);
    let capacity: Outcome = few.hear();
    let busy = busy.share(&server, &few, time);
    print("capacity", ENOUGH, &capacity, &busy);
    few.leave();
    let three_times = Manners::Steady(TIMES * capacity.good.per_second);
    for (name, manners, must_keep_pace) in [
        ("three times as much", three_times, true),
        // As many as there are connections, which is far more, and comes in waves.
        ("waiting as told", Manners::Polite, false),
        // The more it refuses the more it is asked, without an end.
        ("asking again at once", Manners::Rude, false),
    ] {
        let mut many = Child::start(&rush(effort.crowd, effort.rush, manners));
        let Connected { .. } = many.hear();
        let busy = Busy::since(&server, &many);
        let probes = client.block_on(probe(address, effort.rush));
        let pressed: Outcome = many.hear();
        let busy = busy.share(&server, &many, effort.rush);
        print(name, effort.crowd, &pressed, &busy);
        many.leave();
        // What is left in sockets and queues may take this long, no longer.
        client.block_on(async { sleep(Duration::from_secs(1)).await });
        let after = p99(effort.run / 4);

        let share = pressed.good.per_second / capacity.good.per_second;
        let text = format!("{name}: good answers / capacity {share:.2}");
        if must_keep_pace {
            verdicts.goal(share >= 0.9, &format!("{text} (goal >= 0.9)"));
        } else {
            println!("       {text}");
        }
        verdicts.goal(
            pressed.errors == 0 && pressed.other == 0,
            &format!(
                "{name}: {} errors, {} answers that are neither 200 nor 503 with Retry-After",
                pressed.errors, pressed.other
            ),
        );
        verdicts.goal(
            probes.iter().all(Option::is_some),
            &format!(
                "{name}: {} of {} probes of /livez are 200, the slowest after {:.1} ms",
                probes.iter().flatten().count(),
                probes.len(),
                ms(probes.iter().flatten().copied().max().unwrap_or_default())
            ),
        );
        let bound = before * 2 + Duration::from_millis(1);
        verdicts.goal(
            after <= bound,
            &format!(
                "{name}: p99 at {PER_SECOND}/s from one second after it {:.2} ms, before it {:.2} ms (goal <= {:.2} ms)",
                ms(after),
                ms(before),
                ms(bound)
            ),
        );
    }
    server.leave();
}

fn print(name: &str, connections: usize, outcome: &Outcome, busy: &str) {
    println!("       {name}: {connections} connections; {busy}");
    for (what, answers) in [("good", &outcome.good), ("shed", &outcome.shed)] {
        println!(
            "       {name}: {:.0}/s {what}, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            answers.per_second,
            ms(answers.p50),
            ms(answers.p99),
            ms(answers.max)
        );
    }
}

/// Time that server and clients have had on a processor: if the clients have more, it is them who set the pace.
struct Busy {
    server: Duration,
    clients: Duration,
}

impl Busy {
    fn since(server: &Child, clients: &Child) -> Self {
        Self {
            server: server.busy(),
            clients: clients.busy(),
        }
    }

    fn share(&self, server: &Child, clients: &Child, time: Duration) -> String {
        let share = |now: Duration, before| {
            100.0 * now.saturating_sub(before).as_secs_f64() / time.as_secs_f64()
        };
        format!(
            "on a processor: the server {:.0} % of the time, the clients {:.0} %",
            share(server.busy(), self.server),
            share(clients.busy(), self.clients)
        )
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Asks whether the server lives, ten times a second, each time on a new connection, as orchestrators do.
async fn probe(address: SocketAddr, time: Duration) -> Vec<Option<Duration>> {
    let mut probes = JoinSet::new();
    let until = Instant::now() + time;
    let mut ticks = interval(PROBES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while ticks.tick().await < until {
        probes.spawn(async move {
            let began = Instant::now();
            let lives = timeout(Duration::from_secs(5), lives(address)).await;
            matches!(lives, Ok(Ok(true))).then(|| began.elapsed())
        });
    }
    probes.join_all().await
}

async fn lives(address: SocketAddr) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200 "))
}
