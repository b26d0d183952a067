//! The real program, as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use clustergate::sandbox::Sandbox;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

/// A running gateway; it dies with this.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// An answer over a socket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("transfer-encoding"), "{head}");
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: body.to_owned(),
        }
    }

    /// A header, in lower case.
    pub(crate) fn header(&self, name: &str) -> &str {
        let prefix = format!("{name}:");
        let mut lines = self.head.lines();
        let value = lines.find_map(|line| line.strip_prefix(&prefix));
        value.unwrap_or_default().trim()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The generation that it is of.
    pub(crate) fn generation(&self) -> u64 {
        self.header("x-inventory-generation").parse().unwrap_or(0)
    }
}

impl Process {
    pub(crate) fn start(config: &Path, home: &Path, tokens: &[(String, String)]) -> Self {
        let program = Command::new(env!("CARGO_BIN_EXE_clustergate"));
        Self::begin(program, config, home, tokens)
    }

    /// Starts one whose files may grow to so many blocks of 512 or 1,024 bytes, as its shell counts.
    pub(crate) fn limited(
        blocks: u32,
        config: &Path,
        home: &Path,
        tokens: &[(String, String)],
    ) -> Self {
        let mut shell = Command::new("/bin/sh");
        let limit = format!("ulimit -f {blocks} && exec \"$0\" \"$@\"");
        shell.args(["-c", &limit, env!("CARGO_BIN_EXE_clustergate")]);
        Self::begin(shell, config, home, tokens)
    }

    fn begin(
        mut command: Command,
        config: &Path,
        home: &Path,
        tokens: &[(String, String)],
    ) -> Self {
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

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Asks for something and gets JSON.
    pub(crate) async fn ask(&self, method: &str, target: &str) -> Value {
        self.send(method, target, "").await.json()
    }

    /// Asks for something, with header lines that end as such lines do.
    pub(crate) async fn send(&self, method: &str, target: &str, headers: &str) -> Answer {
        let ask = async {
            let mut stream = self.open(method, target, headers).await;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        Answer::parse(&timeout(PATIENCE, ask).await.unwrap())
    }

    /// Sends a request with lines of headers, and JSON unless it is null; gives the head of the answer and its body.
    pub(crate) async fn write(
        &self,
        method: &str,
        target: &str,
        headers: &str,
        body: &Value,
    ) -> (String, Value) {
        let asking = async {
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
            Answer::parse(&String::from_utf8(answer).unwrap())
        };
        let answer = timeout(PATIENCE, asking).await.unwrap();
        let body = answer.json();
        (answer.head, body)
    }

    /// Begins to ask for something.
    pub(crate) async fn open(&self, method: &str, target: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
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

/// Writes the configuration of a gateway over simulated vendors, with further lines at its head; answers with the variables that it
/// names.
pub(crate) fn configure(
    sandbox: &Sandbox,
    file: &Path,
    head: &str,
    refresh_interval: &str,
) -> Vec<(String, String)> {
    let mut text = head.to_owned();
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
            format!(
                "refresh_interval = \"{refresh_interval}\"\ndetails = false\nrate = \"1000/s\"\n"
            ),
        ];
        text.push_str(&lines.join("\n"));
        tokens.push((variable, vendor.token()));
    }
    std::fs::write(file, text).unwrap();
    tokens
}
