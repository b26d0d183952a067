//! Who follows the changes goes on after a restart, as if there had been none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use clustergate::sandbox::Sandbox;
use clustergate::store::Settings;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{standing, store_in, whole};
use crate::support::process::{Process, configure};
use crate::support::{PATIENCE, Plan, Rig};

const KILLS: usize = 6;

/// Every change since a place, page by page, and the generation up to which they are told.
async fn walk(rig: &Rig, since: &str, limit: usize) -> (Vec<Value>, String) {
    let mut target = format!("/changes?since={since}&limit={limit}");
    let mut items = Vec::new();
    loop {
        let reply = rig.get(&target).await;
        let store = standing(rig).await;
        assert_eq!(reply.status, 200, "{target}: {} {store:?}", reply.text);
        let body = reply.json();
        items.extend(body["items"].as_array().unwrap().iter().cloned());
        let Some(next) = body["next_cursor"].as_str() else {
            return (items, body["generation"].to_string());
        };
        target = format!("/changes?since={since}&limit={limit}&cursor={next}");
    }
}

/// What a list says of clusters that changes tell as well.
fn told(list: &Value) -> BTreeMap<String, Value> {
    let items = list["items"].as_array().unwrap().iter();
    let own = |item: &Value| {
        let status = &item["status"];
        serde_json::json!([
            item["name"],
            status["state"],
            item["presence"],
            item["stale"]
        ])
    };
    items
        .map(|item| (item["id"].as_str().unwrap().to_owned(), own(item)))
        .collect()
}

/// Changes something at every vendor and has it read.
async fn stir(rig: &Rig, sandbox: &Sandbox) {
    for vendor in sandbox.vendors() {
        vendor.touch();
        vendor.add();
        let truth = vendor.truth();
        vendor.remove(&truth[0].id);
        rig.refresh(vendor.vendor().name()).await;
    }
}

/// Gateways, one after the other, over one store, and clients that follow through all of them.
pub(super) async fn follows(store: &Settings) {
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let rig = whole(&sandbox, &plan, store).await;
    let first = rig.get("/clusters?limit=1000").await.json();
    let since = first["generation"].to_string();
    stir(&rig, &sandbox).await;
    let (mut before, mut last) = walk(&rig, &since, 1_000).await;
    assert!(before.len() > 10, "{}", before.len());
    // Somebody is in the middle of a page walk, and of a history.
    let page = rig
        .get(&format!("/changes?since={since}&limit=3"))
        .await
        .json();
    let cursor = page["next_cursor"].as_str().unwrap().to_owned();
    let gone = before
        .iter()
        .find(|item| item["kind"] == "missing")
        .unwrap();
    let id = gone["cluster"].as_str().unwrap().to_owned();
    let history = rig.get(&format!("/clusters/{id}/history")).await.json();
    let shown = rig.get("/clusters?limit=1000").await.json();
    rig.stop().await;

    for _ in 0..2 {
        let rig = Rig::remembering(&sandbox, &plan, store).await;
        rig.settled().await;
        stir(&rig, &sandbox).await;
        let (more, _) = walk(&rig, &last, 7).await;
        assert!(more.len() > 10, "{}", more.len());
        before.extend(more);
        // All of it at once is what was told bit by bit.
        let (all, end) = walk(&rig, &since, 100).await;
        let all: Vec<&Value> = all.iter().collect();
        let bits: Vec<&Value> = before.iter().collect();
        assert_eq!(all[..bits.len()], bits[..]);
        last = end;
        before = all.into_iter().cloned().collect();
        let target = format!("/changes?since={since}&limit=3&cursor={cursor}");
        let next = rig.get(&target).await.json();
        assert_eq!(next["items"].as_array().unwrap()[..], before[3..6]);
        let longer = rig
            .get(&format!("/clusters/{id}/history?limit=1000"))
            .await
            .json();
        let (was, is) = (
            history["items"].as_array().unwrap(),
            longer["items"].as_array().unwrap(),
        );
        assert!(is.ends_with(was), "{is:?} {was:?}");
        // What was shown before is told as it was.
        for list in [&first, &shown] {
            let as_of = format!("/clusters?limit=1000&as_of={}", list["generation"]);
            let then = rig.get(&as_of).await.json();
            assert_eq!(told(&then), told(list));
            assert_eq!(then["complete"], list["complete"]);
        }
        rig.stop().await;
    }
}

#[tokio::test]
async fn a_restart_is_no_reason_to_list_anew() {
    let folder = tempfile::tempdir().unwrap();
    follows(&store_in(folder.path())).await;
}

/// A client of the stream of events, which knows ids and names.
struct Follower {
    known: BTreeMap<String, Value>,
    told: BTreeSet<String>,
    last: String,
}

impl Follower {
    /// Lists everything, once everything was read.
    async fn begin(process: &Process) -> Self {
        let read = async {
            loop {
                let list = process.ask("GET", "/clusters?limit=1000").await;
                if list["complete"] == true {
                    return list;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let list = timeout(PATIENCE, read).await.unwrap();
        Self {
            known: names(&list),
            told: BTreeSet::new(),
            last: list["generation"].to_string(),
        }
    }

    /// Reads events from where it is until it knows something else, and as much as a list does.
    async fn catch_up(&mut self, address: SocketAddr, process: &Process) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // A body without chunks, to the end of the connection.
        let request = format!(
            "GET /events HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {}\r\n\r\n",
            self.last
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let before = self.known.clone();
        let mut text = String::new();
        let mut is_head_read = false;
        let follow = async {
            loop {
                let end = if is_head_read { "\n\n" } else { "\r\n\r\n" };
                while let Some((block, rest)) = text.split_once(end) {
                    let (block, rest) = (block.to_owned(), rest.to_owned());
                    if is_head_read {
                        self.take(&block);
                    } else {
                        assert!(block.contains(" 200 "), "{block}");
                        is_head_read = true;
                    }
                    text = rest;
                }
                let list = process.ask("GET", "/clusters?limit=1000").await;
                if self.known != before && names(&list) == self.known {
                    return;
                }
                let mut bytes = vec![0; 16 << 10];
                let count = stream.read(&mut bytes).await.unwrap();
                assert!(count > 0, "the stream ended: {text}");
                text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            }
        };
        assert!(
            timeout(PATIENCE, follow).await.is_ok(),
            "it does not arrive"
        );
    }

    fn take(&mut self, block: &str) {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
        let Some(event) = field("event: ") else {
            return;
        };
        assert_ne!(event, "reset", "{block}");
        field("id: ").unwrap().clone_into(&mut self.last);
        let data: Value = serde_json::from_str(field("data: ").unwrap()).unwrap();
        for item in data["items"].as_array().into_iter().flatten() {
            assert!(self.told.insert(item.to_string()), "told twice: {item}");
            let Some(id) = item["cluster"].as_str() else {
                continue;
            };
            if item["kind"] == "removed" {
                assert!(self.known.remove(id).is_some(), "{item}");
            } else {
                self.known.insert(id.to_owned(), item["name"].clone());
            }
        }
    }
}

fn names(list: &Value) -> BTreeMap<String, Value> {
    let items = list["items"].as_array().into_iter().flatten();
    items
        .map(|item| {
            (
                item["id"].as_str().unwrap().to_owned(),
                item["name"].clone(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_behind_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let file = home.path().join("clustergate.toml");
    let tokens = configure(&sandbox, &file, "", "1s");
    let mut follower: Option<Follower> = None;
    for kill in 0..KILLS {
        let process = Process::start(&file, home.path(), &tokens);
        if follower.is_none() {
            follower = Some(Follower::begin(&process).await);
        }
        let follower = follower.as_mut().unwrap();
        for vendor in sandbox.vendors() {
            vendor.touch();
            if kill % 2 == 0 {
                drop(vendor.add());
            } else {
                vendor.remove(&vendor.truth()[0].id);
            }
            let name = vendor.vendor().name();
            process
                .ask("POST", &format!("/sources/{name}/refresh"))
                .await;
        }
        follower.catch_up(process.address, &process).await;
        process.kill();
    }
    // Each of them told something.
    assert!(follower.unwrap().told.len() > KILLS);
}
