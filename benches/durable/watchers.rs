//! Many clients that watch: what each costs, and how late they learn.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::load::percentile;
use super::stage::Stage;
use super::{Effort, Verdicts, milliseconds, runtime};

const ARGUMENT: &str = "--watched";
/// How long an event is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves a fleet and changes one of its sources for each line it is told, if this process was started for that.
pub(crate) fn play(arguments: &[String]) -> bool {
    let Some(at) = arguments.iter().position(|argument| argument == ARGUMENT) else {
        return false;
    };
    let clusters: usize = arguments[at + 1].parse().expect("a number");
    let serving = runtime("serve");
    let stage = Stage::set(clusters, 100, None, &serving);
    println!("{}", stage.listen(&serving));
    for line in std::io::stdin().lines() {
        line.expect("text");
        serving.block_on(stage.refresh(3, true));
        println!("{}", stage.gateway.inventory.current().generation);
    }
    std::process::exit(0);
}

/// The gateway in a process of its own, so that its memory is its own.
struct Server {
    process: Child,
    input: ChildStdin,
    said: std::io::Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start(clusters: usize) -> (Self, SocketAddr) {
        let mut process = Command::new(std::env::current_exe().expect("this program"))
            .args([ARGUMENT, &clusters.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be started");
        let input = process.stdin.take().expect("it is piped");
        let said = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let mut server = Self {
            process,
            input,
            said,
        };
        let address = server.hear().parse().expect("an address");
        (server, address)
    }

    fn hear(&mut self) -> String {
        let line = self.said.next().expect("it has more to say");
        line.expect("text")
    }

    /// Changes one source; answers with the generation that shows it.
    fn change(&mut self) -> u64 {
        writeln!(self.input, "change").expect("it listens");
        self.hear().parse().expect("a generation")
    }

    fn resident(&self) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.process.id()));
        let pages = text
            .ok()
            .and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
        pages.expect("the kernel tells") * 4_096
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn measure(effort: Effort, verdicts: &mut Verdicts) {
    let (mut server, address) = Server::start(effort.clusters / 5);
    let client = runtime("client");
    // What each thing costs once is not a watcher's.
    server.change();
    let before = server.resident();
    let mut watchers = client.block_on(open(address, effort.watchers));
    let per_watcher = server.resident().saturating_sub(before) / effort.watchers;
    let mut late = Vec::new();
    for _ in 0..effort.watched {
        let generation = server.change();
        let (back, mut found) = client.block_on(hear(watchers, generation));
        watchers = back;
        late.append(&mut found);
    }
    late.sort_unstable();
    let (p50, p99) = (percentile(&late, 0.5), percentile(&late, 0.99));
    println!(
        "       {} watchers, {} changes each time: heard {:.1} ms after it was published (p50), {:.1} ms (p99), {:.1} ms (max), {} times",
        effort.watchers,
        effort.clusters / 5 / 5 / 100,
        milliseconds(p50),
        milliseconds(p99),
        milliseconds(percentile(&late, 1.0)),
        effort.watched
    );
    verdicts.goal(
        per_watcher <= 64 << 10,
        &format!(
            "memory of the gateway for each watcher: {} KiB (goal <= 64)",
            per_watcher >> 10
        ),
    );
    verdicts.goal(
        p99 <= Duration::from_secs(1),
        &format!(
            "all watchers have heard, p99: {:.0} ms (goal <= 1000)",
            milliseconds(p99)
        ),
    );
}

/// A client that watches, and what it has read and not looked at.
struct Watcher {
    stream: TcpStream,
    read: Vec<u8>,
}

async fn open(address: SocketAddr, count: usize) -> Vec<Watcher> {
    let mut watchers = Vec::new();
    for number in 0..count {
        if number % 32 == 31 {
            // No faster than a listener with a short queue can take.
            sleep(Duration::from_millis(5)).await;
        }
        let mut stream = TcpStream::connect(address)
            .await
            .expect("the server listens");
        let request =
            b"GET /events HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
        stream.write_all(request).await.expect("it is read");
        let mut watcher = Watcher {
            stream,
            read: Vec::new(),
        };
        watcher.until(b"\r\n\r\n").await;
        assert!(watcher.read.starts_with(b"HTTP/1.1 200"), "a stream");
        watcher.read.clear();
        watchers.push(watcher);
    }
    sleep(Duration::from_millis(200)).await;
    watchers
}

impl Watcher {
    /// Reads until these bytes are there.
    async fn until(&mut self, wanted: &[u8]) {
        while memchr::memmem::find(&self.read, wanted).is_none() {
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
            let read = read
                .expect("the server has something to say")
                .expect("the stream is open");
            assert!(read > 0, "the stream has ended");
        }
    }
}

/// Waits until all have heard of a generation; tells how late each was.
async fn hear(watchers: Vec<Watcher>, generation: u64) -> (Vec<Watcher>, Vec<Duration>) {
    let mut hearing = JoinSet::new();
    for mut watcher in watchers {
        hearing.spawn(async move {
            let wanted = format!("\"generation\":{generation},\"at\":\"");
            watcher.until(wanted.as_bytes()).await;
            let heard = Timestamp::now();
            let at = memchr::memmem::find(&watcher.read, wanted.as_bytes()).expect("it is there");
            let text = &watcher.read[at + wanted.len()..];
            let text = text.split(|byte| *byte == b'"').next().unwrap_or_default();
            let published: Timestamp = String::from_utf8_lossy(text).parse().expect("a time");
            watcher
                .until(format!("id: {generation}\n").as_bytes())
                .await;
            watcher.read.clear();
            let late = heard.duration_since(published);
            (watcher, Duration::try_from(late).unwrap_or_default())
        });
    }
    let (mut watchers, mut late) = (Vec::new(), Vec::new());
    while let Some(heard) = hearing.join_next().await {
        let (watcher, one) = heard.expect("it was heard");
        watchers.push(watcher);
        late.push(one);
    }
    (watchers, late)
}
