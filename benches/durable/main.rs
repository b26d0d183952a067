//! What it costs to remember: restarts, changes, watchers, reads beside a store, and gateways that share one.
//!
//! `cargo bench --bench durable` measures everything, `-- restart`, `-- changes`, `-- reads`, `-- watchers` or `-- follower` one of them;
//! `-- --quick` takes a few seconds and checks that it runs. Ratios are against the same gateway without what is measured, in the
//! same run, and carry over to other machines; absolute figures do not.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a program that prints measurements of made-up numbers"
)]

mod changes;
#[path = "../gateway/fleet.rs"]
mod fleet;
mod follower;
#[path = "../gateway/load.rs"]
mod load;
mod reads;
mod restart;
mod stage;
#[path = "../gateway/throughput.rs"]
mod throughput;
mod watchers;

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Clusters of the fleet that is restored.
    restored: usize,
    /// Clusters of every other fleet.
    clusters: usize,
    rounds: usize,
    time: Duration,
    watchers: usize,
    /// Publications that are watched.
    watched: usize,
    /// Publications that another gateway is to show.
    followed: usize,
}

const FULL: Effort = Effort {
    restored: 100_000,
    clusters: 50_000,
    rounds: 9,
    time: Duration::from_millis(1_500),
    watchers: 1_000,
    watched: 30,
    followed: 300,
};
const QUICK: Effort = Effort {
    restored: 5_000,
    clusters: 5_000,
    rounds: 2,
    time: Duration::from_millis(200),
    watchers: 100,
    watched: 3,
    followed: 5,
};

/// What measures one thing.
type Part = fn(Effort, &mut Verdicts);

/// Goals that were met and missed.
#[derive(Debug, Default)]
struct Verdicts {
    missed: u32,
}

impl Verdicts {
    fn goal(&mut self, is_met: bool, text: &str) {
        self.missed += u32::from(!is_met);
        println!("  {} {text}", if is_met { "ok  " } else { "MISS" });
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if restart::play(&arguments) || watchers::play(&arguments) {
        return ExitCode::SUCCESS;
    }
    let is_quick = arguments
        .iter()
        .any(|argument| argument == "--quick" || argument == "--test");
    let effort = if is_quick { QUICK } else { FULL };
    let parts: [(&str, Part); 5] = [
        ("restart", restart::measure),
        ("changes", changes::measure),
        ("reads", reads::measure),
        ("watchers", watchers::measure),
        ("follower", follower::measure),
    ];
    let is_named = |name: &str| arguments.iter().any(|argument| argument == name);
    let is_any_named = parts.iter().any(|(name, _)| is_named(name));
    let mut verdicts = Verdicts::default();
    for (name, measure) in parts {
        if !is_any_named || is_named(name) {
            println!("\n{name}");
            measure(effort, &mut verdicts);
        }
    }
    println!("\n{} goals missed", verdicts.missed);
    ExitCode::from(u8::from(verdicts.missed > 0 && !is_quick))
}

/// Threads with one worker, as figures are per core.
fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .global_queue_interval(clustergate::app::GLOBAL_QUEUE_INTERVAL)
        .enable_all()
        .build()
        .expect("threads can be started")
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
