//! Rehearsals of bad days, on loopback and bounded in time: vendors that fail under load, slow clients, overload.
//!
//! `cargo bench --bench rehearsal` runs all of them, `-- outage`, `-- slow-clients` or `-- overload` one;
//! `--quick` shortens each. A goal that is missed makes the exit code 1, but not with `--quick`: short windows on a shared machine
//! say little, and what must always hold (every answer to an honest client is a 200) ends the program by itself.

#![expect(clippy::print_stdout, reason = "a program that prints measurements")]

mod child;
mod crowd;
#[path = "../gateway/latency.rs"]
mod latency;
#[path = "../gateway/load.rs"]
mod load;
mod outage;
mod overload;
mod slow_clients;
mod stage;
mod visitors;

use std::process::ExitCode;
use std::time::Duration;

/// How long is rehearsed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Seconds of load in one run; the middle half of it is the bad part.
    pub(crate) run: Duration,
    /// Slow clients of each kind.
    pub(crate) clients: usize,
    /// Time over which they come, and how long they stay then.
    pub(crate) arriving: Duration,
    pub(crate) stay: Duration,
    /// After which time a head that is not complete is given up.
    pub(crate) head_timeout: Duration,
    /// Clients of an overload, and how long they ask.
    pub(crate) crowd: usize,
    pub(crate) rush: Duration,
}

const FULL: Effort = Effort {
    run: Duration::from_secs(16),
    clients: 10_000,
    arriving: Duration::from_secs(4),
    stay: Duration::from_secs(20),
    head_timeout: Duration::from_secs(10),
    crowd: 2_000,
    rush: Duration::from_secs(10),
};
const QUICK: Effort = Effort {
    run: Duration::from_secs(4),
    clients: 1_000,
    arriving: Duration::from_secs(1),
    stay: Duration::from_secs(4),
    head_timeout: Duration::from_secs(3),
    crowd: 1_000,
    rush: Duration::from_secs(3),
};

/// Time of load before the first that counts.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// Goals that were met and missed.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    missed: u32,
}

impl Verdicts {
    pub(crate) fn goal(&mut self, is_met: bool, text: &str) {
        self.missed += u32::from(!is_met);
        println!("  {} {text}", if is_met { "ok  " } else { "MISS" });
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    if child::play(&arguments) {
        return ExitCode::SUCCESS;
    }
    let is_quick = arguments
        .iter()
        .any(|argument| argument == "--quick" || argument == "--test");
    let effort = if is_quick { QUICK } else { FULL };
    let named: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let wants = |name: &str| named.is_empty() || named.contains(&name);
    let mut verdicts = Verdicts::default();
    if wants("outage") {
        outage::rehearse(effort, &mut verdicts);
    }
    if wants("slow-clients") {
        slow_clients::rehearse(effort, &mut verdicts);
    }
    if wants("overload") {
        overload::rehearse(effort, &mut verdicts);
    }
    println!("\n{} goals missed", verdicts.missed);
    ExitCode::from(u8::from(verdicts.missed > 0 && !is_quick))
}
