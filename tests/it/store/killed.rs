//! The real program, killed at any moment, again and again, while its vendors change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clustergate::sandbox::Sandbox;
use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::unmarked;
use crate::support::{PATIENCE, Plan};

const KILLS: u32 = 20;

/// A running gateway; it dies with this.
pub(crate) struct Process {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Process {
    pub(crate) fn start(config: &Path, home: &Path, tokens: &[(String, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clustergate"));
        command
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--log-format",
                "json",
                "--config",
            ])
            .arg(config)
            .env_clear()
            .env("HOME", home)
            .env("CLUSTERGATE_DATA_DIR", home.join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command.envs(tokens.iter().cloned());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let address = loop {
            let Some(Ok(line)) = log.next() else {
                panic!("it did not start: {said:#?}");
            };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if let Some(address) = find(&event, "server.listen") {
                break address.parse().unwrap();
            }
            said.push(line);
        };
        // Nobody else empties the pipe, and whoever cannot write its log waits.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address }
    }

    /// Ends it as nothing but the kernel can.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn ask(&self, method: &str, target: &str) -> Value {
        self.send(method, target, "", &Value::Null).await.1
    }

    /// Sends a request with lines of headers, and JSON unless it is null; gives the head of the answer and its body.
    pub(super) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: &Value,
    ) -> (String, Value) {
        let ask = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            let body = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            let request = format!(
                "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let answer = timeout(PATIENCE, ask).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("transfer-encoding"), "{head}");
        let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"));
        (head, body)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A member of an event, wherever it stands.
fn find<'a>(event: &'a Value, name: &str) -> Option<&'a str> {
    let own = event.get(name).and_then(Value::as_str);
    own.or_else(|| {
        event
            .as_object()?
            .values()
            .find_map(|inner| find(inner, name))
    })
}

/// What was seen so far.
#[derive(Default)]
struct Model {
    generation: u64,
    /// The last answer's clusters, and when each source was read.
    clusters: BTreeMap<String, Value>,
    fetched: BTreeMap<String, Option<Timestamp>>,
    gone: BTreeSet<String>,
}

impl Model {
    /// Takes an answer, which must be no older than all that was seen before.
    fn see(&mut self, list: &Value, when: &str) {
        if list["status"] == 503 {
            // Nothing is known yet, which is no longer true once something was.
            assert!(self.fetched.values().all(Option::is_none), "{when}: {list}");
            return;
        }
        let generation = list["generation"].as_u64().unwrap();
        assert!(
            generation >= self.generation,
            "{when}: a generation went backwards"
        );
        self.generation = generation;
        let mut unread = BTreeSet::new();
        for source in list["sources"].as_array().unwrap() {
            let name = source["source"].as_str().unwrap().to_owned();
            let fetched = source["fetched_at"].as_str().map(|at| at.parse().unwrap());
            let before = self.fetched.entry(name.clone()).or_default();
            assert!(
                fetched >= *before,
                "{when}: {name} was read {before:?}, now {fetched:?}"
            );
            if fetched == *before {
                unread.insert(name);
            }
            *before = fetched;
        }
        let now: BTreeMap<String, Value> = unmarked(list.clone())
            .into_iter()
            .map(|item| (item["id"].as_str().unwrap().to_owned(), item))
            .collect();
        for id in now.keys() {
            assert!(!self.gone.contains(id), "{when}: {id} came back");
        }
        for (id, item) in &self.clusters {
            let (source, _) = id.split_once(':').unwrap();
            // Nothing but a listing changes or removes a cluster here.
            if unread.contains(source) {
                assert_eq!(now.get(id), Some(item), "{when}");
            } else if !now.contains_key(id) {
                self.gone.insert(id.clone());
            }
        }
        self.clusters = now;
    }
}

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

pub(crate) fn configure(sandbox: &Sandbox, file: &Path) -> Vec<(String, String)> {
    let mut text = String::new();
    let mut tokens = Vec::new();
    for vendor in sandbox.vendors() {
        let name = vendor.vendor().name();
        let variable = format!("TOKEN_OF_{}", name.replace('-', "_").to_ascii_uppercase());
        let lines = [
            "[[sources]]".to_owned(),
            format!("name = \"{name}\""),
            format!("provider = \"{name}\""),
            format!("base_url = \"{}\"", vendor.api_url()),
            format!("token_env = \"{variable}\""),
            "refresh_interval = \"1s\"\ndetails = false\nrate = \"1000/s\"\n".to_owned(),
        ];
        text.push_str(&lines.join("\n"));
        tokens.push((variable, vendor.token()));
    }
    std::fs::write(file, text).unwrap();
    tokens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_seen_is_lost_by_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let file = home.path().join("clustergate.toml");
    let tokens = configure(&sandbox, &file);
    let mut dice = Dice(2026);
    let mut model = Model::default();
    let mut refreshed = 0;
    for kill in 0..KILLS {
        let process = Process::start(&file, home.path(), &tokens);
        let first = process.ask("GET", "/clusters?limit=1000").await;
        model.see(&first, &format!("the first answer after kill {kill}"));
        let until = Instant::now() + Duration::from_millis(20 + dice.below(140));
        let mut asked = 0;
        while Instant::now() < until {
            for vendor in sandbox.vendors() {
                let name = vendor.vendor().name();
                match dice.below(6) {
                    0 => vendor.touch(),
                    1 => drop(vendor.add()),
                    2 => {
                        let truth = vendor.truth();
                        if truth.len() > 12 {
                            let at = dice.below(truth.len() as u64);
                            vendor.remove(&truth[usize::try_from(at).unwrap()].id);
                        }
                    }
                    _ => {}
                }
                if dice.below(2) == 0 {
                    process
                        .ask("POST", &format!("/sources/{name}/refresh"))
                        .await;
                    asked += 1;
                }
            }
            let list = process.ask("GET", "/clusters?limit=1000").await;
            model.see(&list, &format!("answers before kill {}", kill + 1));
            sleep(Duration::from_millis(dice.below(8))).await;
        }
        refreshed += asked;
        process.kill();
    }
    // It was no idle gateway that was killed.
    assert!(refreshed > 50, "{refreshed}");
    assert!(model.clusters.len() > 40, "{}", model.clusters.len());
    assert!(!model.gone.is_empty());
}
