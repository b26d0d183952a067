//! Three gateways that share one database: real processes over simulated vendors, each with a way to the database of its own.

mod failing;
mod proxy;
mod sharing;
mod turns;
mod writing;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clustergate::sandbox::Sandbox;
use proxy::{Proxy, Way};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::store::postgres::database;
use crate::support::process::{Answer, Process, configure};
use crate::support::{PATIENCE, Plan};

/// How long a source may be read by nobody.
const LEASE: Duration = Duration::from_secs(2);

/// The same where nobody fails, and a gateway that waits for a processor must not look as if it had.
const LONG_LEASE: Duration = Duration::from_secs(9);

/// Vendors, and gateways over one database.
struct Fleet {
    sandbox: Arc<Sandbox>,
    home: TempDir,
    tokens: Vec<(String, String)>,
    ways: Vec<Proxy>,
    /// Those that run, by their places.
    gateways: BTreeMap<usize, Process>,
}

impl Fleet {
    /// Prepares so many gateways and starts none; nothing where there is no database to test with.
    async fn prepare(
        name: &str,
        count: usize,
        refresh_interval: &str,
        lease: Duration,
    ) -> Option<Self> {
        let address = database(name).await?;
        let plan = Plan {
            clusters: 12,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let home = tempfile::tempdir().unwrap();
        let url = Url::parse(&address).unwrap();
        let server = url.socket_addrs(|| Some(5432)).unwrap()[0];
        let (mut ways, mut tokens) = (Vec::new(), Vec::new());
        for place in 0..count {
            let way = Proxy::to(server).await;
            let mut through = url.clone();
            through.set_ip_host(way.address.ip()).unwrap();
            through.set_port(Some(way.address.port())).unwrap();
            let head = format!(
                "[store]\nurl = \"{through}\"\nlease = \"{}s\"\n\n",
                lease.as_secs()
            );
            let file = file(&home, place);
            tokens = configure(&sandbox, &file, &head, refresh_interval);
            ways.push(way);
        }
        Some(Self {
            sandbox,
            home,
            tokens,
            ways,
            gateways: BTreeMap::new(),
        })
    }

    /// Starts so many gateways, and waits until they have read everything and divided the sources among them.
    async fn start(
        name: &str,
        count: usize,
        refresh_interval: &str,
        lease: Duration,
    ) -> Option<Self> {
        let mut fleet = Self::prepare(name, count, refresh_interval, lease).await?;
        fleet.launch_all(0..count).await;
        Some(fleet)
    }

    async fn launch_all(&mut self, places: std::ops::Range<usize>) {
        for place in places {
            self.launch(place);
        }
        self.settled().await;
    }

    fn launch(&mut self, place: usize) {
        let process = Process::start(&file(&self.home, place), self.home.path(), &self.tokens);
        self.gateways.insert(place, process);
    }

    fn at(&self, place: usize) -> &Process {
        &self.gateways[&place]
    }

    /// Waits until every gateway shows that every source was read, and each source has somebody who reads it.
    async fn settled(&self) {
        until("everything is read", async || {
            for process in self.gateways.values() {
                let list = process.send("GET", "/sources", "").await.json();
                let sources = list["items"].as_array().unwrap();
                if sources.iter().any(|source| source["fetched_at"].is_null()) {
                    return false;
                }
            }
            true
        })
        .await;
        until("the sources are divided", async || {
            let leases = self.leases().await;
            let share = 5_usize.div_ceil(leases.len());
            leases.values().sum::<usize>() == 5 && leases.values().all(|mine| *mine <= share)
        })
        .await;
    }

    /// How many sources each gateway reads.
    async fn leases(&self) -> BTreeMap<usize, usize> {
        let mut leases = BTreeMap::new();
        for (place, process) in &self.gateways {
            let mine = metric(process, "clustergate_store_leases").await;
            leases.insert(*place, usize::try_from(mine).unwrap());
        }
        leases
    }

    /// A gateway that reads sources.
    async fn holder(&self) -> usize {
        let leases = self.leases().await;
        *leases.iter().find(|(_, mine)| **mine > 0).unwrap().0
    }

    /// Requests that each vendor got.
    fn requests(&self) -> BTreeMap<&'static str, u64> {
        let vendors = self.sandbox.vendors();
        vendors
            .map(|vendor| (vendor.vendor().name(), vendor.stats().requests))
            .collect()
    }

    fn total(&self) -> u64 {
        self.requests().values().sum()
    }

    fn names(&self) -> Vec<&'static str> {
        self.requests().into_keys().collect()
    }

    /// When the last attempt at a source began, as a gateway shows it.
    async fn attempt(&self, place: usize, source: &str) -> String {
        let source = self
            .at(place)
            .ask("GET", &format!("/sources/{source}"))
            .await;
        let last = &source["attempts"][0]["started_at"];
        last.as_str().unwrap_or_default().to_owned()
    }

    /// Asks a gateway for a refresh and waits until all show it.
    async fn refresh_at(&self, place: usize, source: &str) {
        let before = self.attempt(place, source).await;
        let target = format!("/sources/{source}/refresh");
        let asked = self.at(place).send("POST", &target, "").await;
        assert_eq!(asked.status, 202);
        until("a refresh", async || {
            for other in self.gateways.keys() {
                if self.attempt(*other, source).await <= before {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// The same answer of every gateway, once all of them are of one generation.
    async fn same(&self, target: &str) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut answers = Vec::new();
            for process in self.gateways.values() {
                answers.push(process.send("GET", target, "").await);
            }
            let first = answers[0].clone();
            if answers
                .iter()
                .all(|one| one.generation() == first.generation())
            {
                for one in answers {
                    assert_eq!(one.status, 200, "{target}: {one:?}");
                    assert_eq!(one.header("etag"), first.header("etag"), "{target}");
                    assert_eq!(one.body, first.body, "{target}");
                }
                return first;
            }
            let generations: Vec<u64> = answers.iter().map(Answer::generation).collect();
            assert!(Instant::now() < deadline, "{target}: {generations:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn close_ways(&self, way: Way) {
        self.ways.iter().for_each(|one| one.set(way));
    }
}

fn file(home: &TempDir, place: usize) -> PathBuf {
    home.path().join(format!("gateway-{place}.toml"))
}

async fn metric(process: &Process, name: &str) -> u64 {
    let text = process.send("GET", "/metrics", "").await.body;
    let prefix = format!("{name} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
    let value: f64 = value
        .unwrap_or_else(|| panic!("{name}: {text}"))
        .parse()
        .unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let value = value as u64;
    value
}

/// How a gateway says that its store is.
async fn store_of(process: &Process) -> Value {
    let health = process.ask("GET", "/readyz?verbose=true").await;
    let parts = health["parts"].as_array().unwrap().iter();
    let mut parts = parts.filter(|part| part["part"] == "store");
    parts.next().unwrap()["status"].clone()
}

/// Waits until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}
