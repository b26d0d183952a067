//! A gateway on a socket over simulated vendors, each part on threads of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use clustergate::api::server::{self, Limits};
use clustergate::app::{Gateway, demo_sources, sources};
use clustergate::sandbox::{Options, Sandbox, Vendor};
use serde::{Deserialize, Serialize};
use tokio::net::TcpSocket;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::child;

/// What a stage in a process of its own is like.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// Clusters of each of the five vendors.
    pub(crate) clusters: usize,
    pub(crate) max_connections: usize,
    pub(crate) head_timeout: Duration,
}

/// Said when the gateway has read its vendors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    /// Another door to the same gateway, whose connections have a send buffer of [`SEND_BUFFER`].
    pub(crate) narrow: SocketAddr,
}

/// As much as the kernel takes of an answer on a network before anything is read. On loopback, where segments are large, it takes
/// megabytes, and a server would never notice that a client does not read.
const SEND_BUFFER: u32 = 32 << 10;

/// A stage for other processes, until this one is dismissed; it reads its vendors once.
pub(crate) fn play(setting: &Setting) {
    let limits = Limits {
        max_connections: setting.max_connections,
        head_timeout: setting.head_timeout,
        ..Limits::default()
    };
    let stage = Stage::set(setting.clusters, Duration::from_hours(1), limits);
    let narrow = open(
        &stage.serving,
        stage.gateway.router.clone(),
        limits,
        Some(SEND_BUFFER),
        std::future::pending(),
    );
    child::say(&Served {
        address: stage.address,
        narrow,
    });
    // Nobody waits for those who are still connected.
    let _ = child::dismissed().blocking_recv();
}

/// A gateway on a socket over simulated vendors.
pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    pub(crate) sandbox: Sandbox,
    pub(crate) address: SocketAddr,
    pub(crate) client: Runtime,
    stop: Option<oneshot::Sender<()>>,
    serving: Runtime,
    _watch: server::LagWatch,
    _refreshing: Runtime,
    _vendors: Runtime,
}

pub(crate) fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .global_queue_interval(clustergate::app::GLOBAL_QUEUE_INTERVAL)
        .enable_all()
        .build()
        .expect("threads can be started")
}

/// A door to the gateway; connections have the send buffer of the socket that accepts them.
fn open(
    serving: &Runtime,
    router: Router,
    limits: Limits,
    send_buffer: Option<u32>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> SocketAddr {
    let listener = serving.block_on(async {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        socket.listen(1_024)
    });
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    serving.spawn(server::serve(listener, router, limits, stop));
    address
}

impl Stage {
    /// Sets the stage: five vendors with so many clusters each, read once.
    pub(crate) fn set(clusters: usize, refresh_interval: Duration, limits: Limits) -> Self {
        let (client, serving, refreshing, vendors) = (
            runtime("client"),
            runtime("serve"),
            runtime("refresh"),
            runtime("vendors"),
        );
        let fleet: BTreeMap<Vendor, usize> = Vendor::ALL
            .iter()
            .map(|vendor| (*vendor, clusters))
            .collect();
        let sandbox = vendors
            .block_on(Sandbox::start(Options {
                seed: 11,
                clusters: fleet,
                ..Options::default()
            }))
            .expect("loopback ports are free");
        let mut configs = demo_sources(&sandbox, refresh_interval);
        for config in &mut configs {
            config.stack.attempt_timeout = (refresh_interval * 2).max(Duration::from_millis(500));
            config.schedule.details = false;
        }
        let gateway = Gateway::over(
            sources(&configs).expect("the sources are good"),
            refreshing.handle(),
        );
        let (stop, stopped) = oneshot::channel::<()>();
        let watch = {
            let _serving = serving.enter();
            server::LagWatch::start(gateway.state.clone())
        };
        let router = gateway.router.clone();
        let address = open(&serving, router, limits, None, async move {
            let _ = stopped.await;
        });
        client.block_on(async {
            let mut changes = gateway.inventory.subscribe();
            while gateway
                .inventory
                .current()
                .sources()
                .iter()
                .any(|source| source.fetched_at.is_none())
            {
                changes.changed().await.expect("the inventory is held here");
            }
        });
        Self {
            gateway,
            sandbox,
            address,
            client,
            stop: Some(stop),
            serving,
            _watch: watch,
            _refreshing: refreshing,
            _vendors: vendors,
        }
    }

    /// Requests that the vendors have counted so far.
    pub(crate) fn calls(&self) -> BTreeMap<Vendor, u64> {
        self.sandbox
            .vendors()
            .map(|vendor| (vendor.vendor(), vendor.stats().requests))
            .collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}
