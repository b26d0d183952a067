//! Parts of a rehearsal that play in a process of their own: this program again, with its role as an argument.
//!
//! Each has its own file descriptors, its own threads and its own memory, so that ten thousand clients do not share an event loop
//! with what is measured, and the server's memory is the server's alone. A child hears what it is to do from its argument, says
//! what it saw in lines of JSON, and ends when its standard input does: dismissed, or left alone.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::{crowd, stage, visitors};

const ARGUMENT: &str = "--role";

/// What a child does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    /// A gateway over simulated vendors.
    Server(stage::Setting),
    /// Slow clients.
    Visitors(visitors::Visit),
    /// Clients in a hurry.
    Crowd(crowd::Rush),
}

/// Plays the role that this process was started for, if it was started for one.
pub(crate) fn play(arguments: &[String]) -> bool {
    let Some(at) = arguments.iter().position(|argument| argument == ARGUMENT) else {
        return false;
    };
    let role = arguments
        .get(at + 1)
        .map(String::as_str)
        .unwrap_or_default();
    match serde_json::from_str(role).expect("a role, as `Child::start` writes it") {
        Role::Server(setting) => stage::play(&setting),
        Role::Visitors(visit) => visitors::play(&visit),
        Role::Crowd(rush) => crowd::play(&rush),
    }
    true
}

/// Says a line to the parent.
pub(crate) fn say(what: &impl Serialize) {
    println!("{}", serde_json::to_string(what).expect("plain data"));
}

/// Completes when the parent dismisses this process, or is no more.
pub(crate) fn dismissed() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        // Whoever does not wait any more has ended already.
        let _ = sender.send(());
    });
    receiver
}

/// One thread for all clients: they only wait, and leave the other cores to what they visit.
pub(crate) fn single_thread() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("an event loop can be made")
}

/// A child process; killed, if it still runs, when this is dropped.
pub(crate) struct Child {
    process: std::process::Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Child {
    pub(crate) fn start(role: &Role) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .arg(ARGUMENT)
            .arg(serde_json::to_string(role).expect("plain data"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let stdout = process.stdout.take().expect("it is piped");
        Self {
            process,
            said: BufReader::new(stdout).lines(),
        }
    }

    /// Waits for the next line.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> T {
        let line = self.said.next().expect("the child has more to say");
        serde_json::from_str(&line.expect("text")).expect("a line that `say` wrote")
    }

    /// Tells the child to end; it may say a last line.
    pub(crate) fn dismiss(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Waits until the child has said everything and all its connections are closed.
    pub(crate) fn leave(mut self) {
        self.dismiss();
        let status = self.process.wait().expect("it was started here");
        assert!(status.success(), "a child failed: {status}");
    }

    /// Resident memory. What the kernel holds for its sockets is not in it.
    pub(crate) fn resident(&self) -> usize {
        let pages = self.figure("statm", 1);
        usize::try_from(pages).unwrap_or(0) * 4_096
    }

    /// Time on a processor, in the program and in the kernel for it.
    pub(crate) fn busy(&self) -> Duration {
        // The second field is the name in parentheses, which has no spaces; the clock ticks a hundred times a second.
        let ticks = self.figure("stat", 13) + self.figure("stat", 14);
        Duration::from_millis(10 * ticks)
    }

    fn figure(&self, file: &str, at: usize) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", self.process.id()));
        let figure = text.ok().and_then(|text| {
            let figure = text.split_whitespace().nth(at)?;
            figure.parse().ok()
        });
        figure.unwrap_or(0)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
