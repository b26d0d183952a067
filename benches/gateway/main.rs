//! What the gateway costs, as ratios against a bare axum handler in the same run.
//!
//! `cargo bench` measures everything, with numbers of clusters as arguments only these sizes; `cargo bench -- --quick` takes a few
//! seconds and checks that it runs. Ratios carry over to other machines, absolute figures do not.

#![expect(
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a program that prints measurements of made-up numbers"
)]

mod fleet;
mod latency;
mod load;
mod refresh;
mod summary;
mod throughput;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use clustergate::adapters::CATALOG;
use clustergate::api::{self, ApiState, server};
use clustergate::app;
use clustergate::inventory::{Inventory, Keeper};
use fleet::{Revision, until_read};
use http_body_util::BodyExt as _;
use throughput::throughput;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use tower::ServiceExt as _;

/// How long and how often is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    time: Duration,
    /// How long reads are watched, quiet and while one source is refreshed each second, and how often in turns.
    watch: Duration,
    watches: usize,
    sizes: &'static [usize],
}

const FULL: Effort = Effort {
    rounds: 7,
    time: Duration::from_millis(700),
    watch: Duration::from_secs(5),
    watches: 4,
    sizes: &[100, 10_000, 100_000],
};
const QUICK: Effort = Effort {
    rounds: 2,
    time: Duration::from_millis(150),
    watch: Duration::from_secs(2),
    watches: 1,
    sizes: &[100, 10_000],
};
const LANES: usize = 16;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--memory") {
        return memory(arguments[at + 1].parse().expect("a number of clusters"));
    }
    let effort = if arguments
        .iter()
        .any(|argument| argument == "--quick" || argument == "--test")
    {
        QUICK
    } else {
        FULL
    };
    let named: Vec<usize> = arguments
        .iter()
        .filter_map(|size| size.parse().ok())
        .collect();
    let sizes: Vec<usize> = if named.is_empty() {
        effort.sizes.to_vec()
    } else {
        named
    };
    let client = runtime("client");
    let mut misses = 0;
    let mut plain_by_size = Vec::new();
    for size in &sizes {
        println!("\n{size} clusters");
        let bench = Bench::new(*size);
        plain_by_size.push(bench.pages(&client, effort, &mut misses));
        bench.filtered(&client, effort, &mut misses);
        bench.one(&client, effort, &mut misses);
        summary::sums(&bench, &client, effort, &mut misses);
        refresh::again_and_again(&bench, &client, effort, &mut misses);
        refresh::once_a_second(&bench, &client, effort, &mut misses);
    }
    let (least, most) = (
        plain_by_size.iter().copied().fold(f64::MAX, f64::min),
        plain_by_size.iter().copied().fold(0.0, f64::max),
    );
    verdict(
        "page of 100 / bare axum, least / most over the sizes",
        least / most,
        0.9,
        &mut misses,
    );
    println!("\nmemory");
    let largest = sizes.last().copied().unwrap_or(100);
    let child = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--memory", &largest.to_string()])
        .status();
    assert!(
        child.is_ok_and(|status| status.success()),
        "the memory measurement failed"
    );
    println!("\n{misses} goals missed");
}

/// A server with one thread, as the figures are per core.
fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .expect("threads can be started")
}

fn verdict(what: &str, value: f64, goal: f64, misses: &mut u32) {
    let word = if value >= goal { "ok  " } else { "MISS" };
    *misses += u32::from(value < goal);
    println!("  {word} {what}: {value:.2} (goal >= {goal})");
}

fn verdict_at_most(what: &str, value: f64, goal: f64, misses: &mut u32) {
    let word = if value <= goal { "ok  " } else { "MISS" };
    *misses += u32::from(value > goal);
    println!("  {word} {what}: {value:.2} (goal <= {goal})");
}

fn verdict_ms(what: &str, value: Duration, goal: Duration, misses: &mut u32) {
    let word = if value <= goal { "ok  " } else { "MISS" };
    *misses += u32::from(value > goal);
    println!(
        "  {word} {what}: {:.2} ms (goal <= {:.2} ms)",
        value.as_secs_f64() * 1e3,
        goal.as_secs_f64() * 1e3
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A fleet in an inventory, and how to change it.
struct Fleet {
    inventory: Arc<Inventory>,
    keeper: Arc<Keeper>,
    revisions: Vec<Revision>,
}

impl Fleet {
    /// Reads a fleet of five sources into an inventory and waits until it is there.
    async fn read(clusters: usize, runtime: &tokio::runtime::Handle) -> Self {
        let (sources, revisions) = fleet::sources(clusters, 1);
        let (inventory, keeper) = Keeper::start(sources, runtime);
        until_read(&inventory).await;
        Self {
            inventory,
            keeper: Arc::new(keeper),
            revisions,
        }
    }
}

struct Bench {
    size: usize,
    fleet: Fleet,
    router: Router,
    gateway: SocketAddr,
    server: Runtime,
    _background: app::Background,
}

impl Bench {
    fn new(size: usize) -> Self {
        let background = app::Background::start().expect("threads can be started");
        let server = runtime("server");
        let fleet = server.block_on(Fleet::read(size, background.handle()));
        let state = ApiState::new(
            Arc::clone(&fleet.inventory),
            Arc::<Keeper>::clone(&fleet.keeper),
            app::live(&[], &fleet.keeper, background.handle()),
            CATALOG,
            api::Settings::default(),
        );
        let router = api::router(state);
        let gateway = listen(&server, router.clone(), true);
        Self {
            size,
            fleet,
            router,
            gateway,
            server,
            _background: background,
        }
    }

    fn body(&self, path: &str) -> Bytes {
        self.server.block_on(async {
            let request = http::Request::get(path)
                .header("host", "localhost")
                .body(Body::empty())
                .expect("a request");
            let response = self
                .router
                .clone()
                .oneshot(request)
                .await
                .expect("an answer");
            assert_eq!(response.status(), 200, "{path}");
            response
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes()
        })
    }

    /// A bare axum handler that answers with the same bytes.
    fn ceiling(&self, body: Bytes) -> SocketAddr {
        let answer =
            move || std::future::ready(([("content-type", "application/json")], body.clone()));
        listen(&self.server, Router::new().route("/", get(answer)), false)
    }

    /// Our requests against the ceiling's, in turns: the median of the ratios, and of our throughput.
    fn ratio(
        &self,
        client: &Runtime,
        effort: Effort,
        ours: &[Vec<u8>],
        ceiling: SocketAddr,
    ) -> (f64, f64) {
        let theirs = [load::get("/")];
        let mut ratios = Vec::new();
        let mut rates = Vec::new();
        client.block_on(async {
            throughput(self.gateway, ours, LANES, effort.time / 3).await;
            for _ in 0..effort.rounds {
                let base = throughput(ceiling, &theirs, LANES, effort.time).await;
                let rate = throughput(self.gateway, ours, LANES, effort.time).await;
                ratios.push(rate / base);
                rates.push(rate);
            }
        });
        (median(ratios), median(rates))
    }

    /// (a) A page of 100 against the same bytes.
    fn pages(&self, client: &Runtime, effort: Effort, misses: &mut u32) -> f64 {
        let path = "/clusters?limit=100";
        let body = self.body(path);
        let (ratio, rate) = self.ratio(
            client,
            effort,
            &[load::get(path)],
            self.ceiling(body.clone()),
        );
        verdict(
            &format!(
                "(a) page of 100 ({} KiB, {rate:.0}/s) / bare axum",
                body.len() >> 10
            ),
            ratio,
            0.8,
            misses,
        );
        ratio
    }

    /// (b) Filtered and sorted pages against the plain page; first-seen queries.
    fn filtered(&self, client: &Runtime, effort: Effort, misses: &mut u32) {
        let filters = [
            "state=running&sort=-cost",
            "region=eu-central-1,us-east-1&sort=name",
            "cloud=!aws&sort=-nodes,name",
            "accelerator=h200&sort=created_at",
        ];
        let ours: Vec<Vec<u8>> = filters
            .iter()
            .map(|filter| load::get(&format!("/clusters?limit=100&{filter}")))
            .collect();
        let plain = [load::get("/clusters?limit=100")];
        let mut ratios = Vec::new();
        client.block_on(async {
            for _ in 0..effort.rounds {
                let base = throughput(self.gateway, &plain, LANES, effort.time).await;
                ratios.push(throughput(self.gateway, &ours, LANES, effort.time).await / base);
            }
        });
        verdict(
            "(b) filtered and sorted page / plain page",
            median(ratios),
            0.5,
            misses,
        );
        let mut worst = Duration::ZERO;
        for (number, query) in [
            "state=running&sort=-cost,name",
            "sort=name",
            "sort=-cost",
            "q=prod",
            "q=1",
            "region=!eu-west-1&sort=environment,-cost,name",
            "version=1.30,1.31&environment=production&sort=-nodes",
            "label=team=team-7&sort=-cost",
            "sort=state,cloud,region,name",
            "stale=false&presence=present&sort=-memory",
        ]
        .iter()
        .enumerate()
        {
            // A query that nobody sent before: the limit differs. The best of three, as the machine has other work too.
            let took = [90, 80, 70].map(|limit| {
                let path = format!("/clusters?{query}&limit={}", limit + number);
                let started = Instant::now();
                self.body(&path);
                started.elapsed()
            });
            worst = worst.max(took.into_iter().min().unwrap_or_default());
        }
        verdict_ms(
            "(b) first-seen query, worst of ten",
            worst,
            Duration::from_millis(5),
            misses,
        );
    }

    /// (c) One cluster by id against the same bytes.
    fn one(&self, client: &Runtime, effort: Effort, misses: &mut u32) {
        let list = self.body("/clusters?limit=1000&fields=id");
        let list: serde_json::Value = serde_json::from_slice(&list).expect("a list");
        let paths: Vec<String> = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| format!("/clusters/{}", item["id"].as_str().expect("an id")))
            .collect();
        let body = self.body(&paths[0]);
        let requests: Vec<Vec<u8>> = paths.iter().map(|path| load::get(path)).collect();
        let (ratio, rate) = self.ratio(client, effort, &requests, self.ceiling(body.clone()));
        verdict(
            &format!(
                "(c) one cluster ({} B, {rate:.0}/s) / bare axum",
                body.len()
            ),
            ratio,
            0.7,
            misses,
        );
    }
}

fn listen(runtime: &Runtime, router: Router, ours: bool) -> SocketAddr {
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    if ours {
        runtime.spawn(server::serve(
            listener,
            router,
            server::Limits::default(),
            std::future::pending(),
        ));
    } else {
        runtime.spawn(async move { axum::serve(listener, router).await });
    }
    address
}

/// (e) Memory for each cluster against its JSON, in a process of its own.
fn memory(size: usize) {
    let background = app::Background::start().expect("threads can be started");
    let server = runtime("server");
    let before = resident();
    let fleet = server.block_on(Fleet::read(size, background.handle()));
    let state = ApiState::new(
        Arc::clone(&fleet.inventory),
        Arc::<Keeper>::clone(&fleet.keeper),
        app::live(&[], &fleet.keeper, background.handle()),
        CATALOG,
        api::Settings::default(),
    );
    let router = api::router(state);
    let body = server.block_on(async {
        let request = http::Request::get("/clusters?format=ndjson")
            .header("host", "localhost")
            .body(Body::empty())
            .expect("a request");
        let response = router.oneshot(request).await.expect("an answer");
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame.expect("a piece").data_ref().map_or(0, Bytes::len);
        }
        length
    });
    let after = resident();
    let per_cluster = (after - before) as f64 / size as f64;
    let json = body as f64 / size as f64;
    let word = if per_cluster / json <= 2.5 {
        "ok  "
    } else {
        "MISS"
    };
    println!(
        "  {word} (e) {size} clusters: {per_cluster:.0} B each, raw objects included, for {json:.0} B of JSON: {:.2} (goal <= 2.5)",
        per_cluster / json
    );
}

/// Resident memory of this process.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages: usize = pages
        .and_then(|text| text.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0);
    pages * 4096
}
