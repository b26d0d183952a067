//! Thousands of clients that say nothing, say it slowly, or do not read, beside an honest load.
//!
//! The server, the slow clients and the honest load are three processes. Of the server's memory only its own is counted: what the
//! kernel holds for its sockets is printed for the whole machine, where both ends of each connection are.

use std::net::SocketAddr;
use std::time::Duration;

use clustergate::api::server::Limits;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::child::{Child, Role};
use super::latency::latencies;
use super::load::{get, percentile};
use super::stage::{Served, Setting, runtime};
use super::visitors::{Gone, Here, Kind, Visit};
use super::{Effort, Verdicts, WARM_UP};

const PER_SECOND: f64 = 300.0;
/// How late a connection may be closed: timers are not exact, and a machine has other work.
const TOLERANCE: Duration = Duration::from_secs(1);

pub(crate) fn rehearse(effort: Effort, verdicts: &mut Verdicts) {
    let effort = Effort {
        clients: effort.clients.min(most_clients()),
        ..effort
    };
    println!(
        "\nslow clients: {} of each kind, come over {:?} and stay for {:?}, with {PER_SECOND}/s of honest load",
        effort.clients, effort.arriving, effort.stay
    );
    for (name, kind, room) in [
        ("idle", Kind::Idle, 20),
        ("slow headers", Kind::SlowHeaders, 20),
        ("slow readers", Kind::SlowReader, 64),
    ] {
        let seen = visit(kind, effort);
        report(name, kind, room, effort, &seen, verdicts);
    }
}

struct Seen {
    /// 99th percentiles of the honest load: before, while they come, with all there, and after the first were closed.
    quiet: Duration,
    coming: Duration,
    steady: Duration,
    closing: Option<Duration>,
    /// Shares of the time before and with all there in which some thread of the machine waited for a processor.
    waited: (f64, f64),
    connected: usize,
    /// Bytes that the server's process and the kernel's sockets grew by.
    grown: usize,
    sockets: usize,
    gone: Gone,
}

fn visit(kind: Kind, effort: Effort) -> Seen {
    let mut server = Child::start(&Role::Server(Setting {
        clusters: 100,
        max_connections: effort.clients + 1_000,
        head_timeout: effort.head_timeout,
    }));
    let Served { address, narrow } = server.hear();
    let honest = Honest {
        client: runtime("client"),
        address,
        request: get("/clusters?limit=100"),
    };
    let role = |count| {
        Role::Visitors(Visit {
            kind,
            address: match kind {
                Kind::Idle | Kind::SlowHeaders => address,
                Kind::SlowReader => narrow,
            },
            count,
            arriving: effort.arriving,
        })
    };
    let mut nobody = Child::start(&role(0));
    let Here { .. } = nobody.hear();
    honest.p99(WARM_UP);
    let (waited_before, quiet) = waiting(|| honest.p99(effort.stay / 4));
    nobody.leave();
    let (memory, sockets) = (server.resident(), socket_memory());

    let mut visitors = Child::start(&role(effort.clients));
    let coming = honest.p99(effort.arriving);
    let Here { connected } = visitors.hear();
    let first = (server.resident(), socket_memory());
    // Those who came first are closed first; until then all are there.
    let until_closing = match kind {
        Kind::SlowHeaders => effort
            .head_timeout
            .saturating_sub(effort.arriving)
            .mul_f64(0.9),
        Kind::Idle | Kind::SlowReader => effort.stay,
    };
    let (waited_steady, steady) = waiting(|| honest.p99(until_closing));
    let last = (server.resident(), socket_memory());
    let closing = effort
        .stay
        .checked_sub(until_closing)
        .filter(|left| !left.is_zero())
        .map(|left| honest.p99(left));
    visitors.dismiss();
    let gone = visitors.hear();
    visitors.leave();
    server.leave();
    Seen {
        quiet,
        coming,
        steady,
        closing,
        waited: (waited_before, waited_steady),
        connected,
        grown: first.0.max(last.0).saturating_sub(memory),
        sockets: first.1.max(last.1).saturating_sub(sockets),
        gone,
    }
}

fn report(
    name: &str,
    kind: Kind,
    room: usize,
    effort: Effort,
    seen: &Seen,
    verdicts: &mut Verdicts,
) {
    println!(
        "       {name}: honest p99 {:.2} ms without them, {:.2} ms while they come{}",
        ms(seen.quiet),
        ms(seen.coming),
        seen.closing.map_or(String::new(), |p99| format!(
            ", {:.2} ms while and after they are closed",
            ms(p99)
        ))
    );
    println!(
        "       {name}: something on this machine waited for a processor {:.0} % of the time without them, {:.0} % with all of them there",
        seen.waited.0 * 100.0,
        seen.waited.1 * 100.0
    );
    let clients = effort.clients.max(1);
    println!(
        "       {name}: sockets of the whole machine hold {} KiB more for each connection, both ends of it",
        (seen.sockets / clients) >> 10
    );
    // At these latencies a single late tick of the machine outweighs the gateway, so a millisecond is always allowed.
    let bound = (seen.quiet * 2).max(seen.quiet + Duration::from_millis(1));
    verdicts.goal(
        seen.steady <= bound,
        &format!(
            "{name}: honest p99 {:.2} ms with all of them there (goal <= {:.2} ms)",
            ms(seen.steady),
            ms(bound)
        ),
    );
    let each = seen.grown / clients;
    verdicts.goal(
        each <= room << 10,
        &format!(
            "{name}: {:.1} KiB of the server's memory for each connection (goal <= {room})",
            each as f64 / 1_024.0
        ),
    );
    verdicts.goal(
        seen.connected == effort.clients && seen.gone.errors == 0,
        &format!(
            "{name}: {} connected, {} errors",
            seen.connected, seen.gone.errors
        ),
    );
    let closed = seen.gone.closed_by_server;
    if kind == Kind::SlowHeaders {
        let limit = effort.head_timeout;
        let (soonest, latest) = seen.gone.closed_after.unwrap_or_default();
        verdicts.goal(
            closed == effort.clients && soonest >= limit && latest <= limit + TOLERANCE,
            &format!("{name}: {closed} closed by the server, {soonest:.2?} to {latest:.2?} after they began (goal: all, after {limit:?})"),
        );
    } else {
        let Limits {
            idle_timeout,
            write_timeout,
            ..
        } = Limits::default();
        verdicts.goal(
            closed == 0,
            &format!("{name}: {closed} closed by the server (goal: none before {:?} in which nothing moves)", idle_timeout.min(write_timeout)),
        );
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Does something, and says in which share of its time some thread of the machine was ready and waited for a processor: if that is
/// much without any clients, others are at work here and the latencies are theirs.
fn waiting<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let total = || {
        let text = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
        let micros = text.lines().next().and_then(|some| {
            let (_, total) = some.rsplit_once("total=")?;
            total.parse().ok()
        });
        Duration::from_micros(micros.unwrap_or(0))
    };
    let (began, before) = (Instant::now(), total());
    let done = work();
    let waited = total().saturating_sub(before);
    (waited.as_secs_f64() / began.elapsed().as_secs_f64(), done)
}

/// The load whose answers must not become slower.
struct Honest {
    client: Runtime,
    address: SocketAddr,
    request: Vec<u8>,
}

impl Honest {
    fn p99(&self, time: Duration) -> Duration {
        let load = latencies(self.address, &self.request, PER_SECOND, time);
        percentile(&self.client.block_on(load), 0.99)
    }
}

/// What is left of this process's file descriptors when everything else has some; children inherit the limit.
fn most_clients() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    soft.map_or(usize::MAX, |files| files.saturating_sub(600))
}

/// What the kernel holds for all TCP sockets of this machine.
fn socket_memory() -> usize {
    let text = std::fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let tcp = text.lines().find_map(|line| line.strip_prefix("TCP: "));
    let pages = tcp.and_then(|line| line.split("mem ").nth(1)?.trim().parse::<usize>().ok());
    pages.unwrap_or(0) * 4_096
}
