//! Event streams over a real socket, of a gateway that controls access.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use clustergate::access::{Access, KeysFile, NewKey, Scope, Scopes, Settings};
use clustergate::api::server::{Limits, serve};
use clustergate::app::{Gateway, sources};
use clustergate::domain::SourceName;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{HEARTBEAT, PATIENCE, Plan, Rig};

/// A gateway on a socket.
struct Stage {
    rig: Rig,
    address: SocketAddr,
    /// Whoever sees everything, and whoever sees one source.
    keys: [String; 2],
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
    _folder: TempDir,
}

fn make(file: &KeysFile, source: Option<&str>) -> String {
    let new = NewKey {
        name: "test".to_owned(),
        scopes: Scopes::NONE
            .with(Scope::ClustersRead)
            .with(Scope::SourcesRefresh),
        sources: source.map(|name| BTreeSet::from([SourceName::new(name).unwrap()])),
        projects: None,
        expires_at: None,
    };
    let made = file.create(new, Timestamp::now()).unwrap();
    made.text.expose_secret().to_owned()
}

impl Stage {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::at(folder.path().join("keys.json"));
        let keys = [make(&file, None), make(&file, Some("lakesail"))];
        let settings = Settings {
            keys_file: Some(file.path().to_owned()),
            ..Settings::default()
        };
        let plan = Plan {
            details: false,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let gateway = Gateway::guarded(
            sources(&plan.configs(&sandbox)).unwrap(),
            Access::start(&settings, &Handle::current()).unwrap(),
            clustergate::api::Settings {
                heartbeat: HEARTBEAT,
                ..clustergate::api::Settings::default()
            },
            &Handle::current(),
        );
        let rig = Rig { sandbox, gateway };
        rig.settled().await;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let limits = Limits {
            // Shorter than the test, longer than a stream is silent.
            idle_timeout: HEARTBEAT * 20,
            ..Limits::default()
        };
        let router = rig.gateway.router.clone();
        let task = tokio::spawn(serve(listener, router, limits, async {
            let _ = stopped.await;
        }));
        Self {
            rig,
            address,
            keys,
            stop: Some(stop),
            task,
            _folder: folder,
        }
    }

    async fn watch(&self, key: &str, query: &str, last: Option<&str>) -> Client {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!(
            "GET /events?{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n{last}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut client = Client {
            stream,
            wire: Vec::new(),
            text: String::new(),
        };
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(!head.contains("content-encoding"), "{head}");
        client
    }

    /// Lets the vendor of a source lose a cluster, and waits for the gateway to find that out.
    async fn lose(&self, source: &str) -> String {
        let vendor = self.rig.vendor(source);
        let id = vendor.truth().remove(0).id;
        assert!(vendor.remove(&id));
        let before = self.rig.attempts(source);
        let control = &self.rig.gateway.keeper;
        let name = SourceName::new(source).unwrap();
        clustergate::inventory::Control::refresh(control.as_ref(), &name).unwrap();
        self.rig.attempted_after(source, before).await;
        id
    }

    async fn close(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, self.task)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

/// A client that reads an answer as it comes.
struct Client {
    stream: TcpStream,
    wire: Vec<u8>,
    text: String,
}

impl Client {
    async fn more(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let read = timeout(PATIENCE, self.stream.read(&mut bytes))
            .await
            .unwrap();
        let read = read.unwrap_or(0);
        self.wire.extend_from_slice(&bytes[..read]);
        read > 0
    }

    /// Takes what comes before some bytes off the wire, and them too.
    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.wire.windows(end.len()).position(|bytes| bytes == end);
            if let Some(at) = found {
                let taken = self.wire.drain(..at + end.len()).take(at).collect();
                return Some(taken);
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn head(&mut self) -> String {
        String::from_utf8(self.until(b"\r\n\r\n").await.unwrap()).unwrap()
    }

    /// Takes a chunk off the wire; the empty one is the end.
    async fn chunk(&mut self) -> Option<String> {
        let size = String::from_utf8(self.until(b"\r\n").await?).unwrap();
        let size = usize::from_str_radix(&size, 16).unwrap();
        while self.wire.len() < size + 2 {
            assert!(self.more().await);
        }
        let chunk: Vec<u8> = self.wire.drain(..size + 2).take(size).collect();
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    /// The next event: what it is, its id and its data. `None` is the end of the stream.
    async fn event(&mut self) -> Option<(String, String, Value)> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name));
                    line.map(str::to_owned)
                };
                if let (Some(kind), Some(id), Some(data)) =
                    (field("event: "), field("id: "), field("data: "))
                {
                    return Some((kind, id, serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk = self.chunk().await?;
            self.text.push_str(&chunk);
        }
    }

    /// The next event, of which it is known what it is.
    async fn expect(&mut self, wanted: &str) -> (String, Value) {
        let (kind, id, data) = self.event().await.unwrap();
        assert_eq!(kind, wanted, "{data}");
        (id, data)
    }
}

fn told(data: &Value) -> Vec<(&str, &str)> {
    let items = data["items"].as_array().unwrap().iter();
    let told = items.map(|item| {
        (
            item["kind"].as_str().unwrap(),
            item["source"].as_str().unwrap(),
        )
    });
    told.collect()
}

#[tokio::test]
async fn a_stream_tells_over_a_socket_what_changes_and_goes_on_where_it_was_cut_off() {
    let stage = Stage::open().await;
    let key = &stage.keys[0];
    let mut client = stage.watch(key, "kind=missing,removed", None).await;
    let (begin, data) = client.expect("generation").await;
    assert_eq!(begin, stage.rig.snapshot().generation.to_string());
    assert_eq!(data["generation"].to_string(), begin);
    let lost = stage.lose("lakesail").await;
    let (first, data) = client.expect("changes").await;
    assert_eq!(told(&data), [("missing", "lakesail")]);
    let id = data["items"][0]["cluster"].as_str().unwrap();
    assert!(id.ends_with(&lost), "{id} {lost}");
    drop(client);
    // What happened meanwhile is not missed, and what was told is not told again.
    stage.lose("latitude").await;
    let mut client = stage.watch(key, "kind=missing,removed", Some(&first)).await;
    assert_eq!(client.expect("generation").await.0, first);
    assert_eq!(
        told(&client.expect("changes").await.1),
        [("missing", "latitude")]
    );
    // It outlasts the time after which a silent connection is closed.
    let silent = timeout(HEARTBEAT * 30, client.event()).await;
    assert!(silent.is_err(), "{silent:?}");
    stage.lose("lakesail").await;
    let (_, data) = client.expect("changes").await;
    let mut changes = told(&data);
    changes.sort_unstable();
    assert_eq!(
        changes,
        ["missing", "removed"].map(|kind| (kind, "lakesail"))
    );
    stage.close().await;
}

#[tokio::test]
async fn a_filter_and_a_key_let_through_what_is_meant_for_them() {
    let stage = Stage::open().await;
    let [all, of_lakesail] = &stage.keys;
    let mut filtered = stage.watch(all, "source=latitude", None).await;
    let mut limited = stage.watch(of_lakesail, "", None).await;
    let mut whole = stage.watch(of_lakesail, "since=1", None).await;
    assert_eq!(
        whole.expect("reset").await.1["generation"],
        stage.rig.snapshot().generation
    );
    for client in [&mut filtered, &mut limited, &mut whole] {
        client.expect("generation").await;
    }
    stage.lose("latitude").await;
    stage.lose("runtime").await;
    stage.lose("lakesail").await;
    assert_eq!(
        told(&filtered.expect("changes").await.1),
        [("missing", "latitude")]
    );
    for client in [&mut limited, &mut whole] {
        // The first that it is told is its own source's, though others changed before.
        assert_eq!(
            told(&client.expect("changes").await.1),
            [("missing", "lakesail")]
        );
    }
    stage.close().await;
}

#[tokio::test]
async fn a_server_that_stops_ends_streams_within_its_grace() {
    let mut stage = Stage::open().await;
    let key = stage.keys[0].clone();
    let mut client = stage.watch(&key, "", None).await;
    client.expect("generation").await;
    stage.rig.gateway.state.drain();
    assert_eq!(client.event().await, None);
    drop(stage.stop.take());
    timeout(PATIENCE, stage.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}
