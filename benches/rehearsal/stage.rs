//! A gateway on a socket over simulated vendors, each part on threads of its own.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use clustergate::api::server::{self, Limits};
use clustergate::app::{Gateway, demo_sources, sources};
use clustergate::sandbox::{Options, Sandbox, Vendor};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket};
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
    /// Bytes that the kernel takes of an answer before it is read; by itself it takes megabytes on loopback, where segments are
    /// large, and tens of kilobytes on a network.
    pub(crate) send_buffer: Option<u32>,
}

/// Said when the gateway has read its vendors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
}

/// A stage for other processes, until this one is dismissed; it reads its vendors once.
pub(crate) fn play(setting: &Setting) {
    let limits = Limits {
        max_connections: setting.max_connections,
        head_timeout: setting.head_timeout,
        ..Limits::default()
    };
    let stage = Stage::set(
        setting.clusters,
        Duration::from_hours(1),
        limits,
        setting.send_buffer,
    );
    child::say(&Served {
        address: stage.address,
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
    _serving: Runtime,
    _refreshing: Runtime,
    _vendors: Runtime,
}

pub(crate) fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .expect("threads can be started")
}

/// Connections have the send buffer of the socket that accepts them.
fn listen(send_buffer: Option<u32>) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(1_024)
}

impl Stage {
    /// Sets the stage: five vendors with so many clusters each, read once.
    pub(crate) fn set(
        clusters: usize,
        refresh_interval: Duration,
        limits: Limits,
        send_buffer: Option<u32>,
    ) -> Self {
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
        let listener = serving
            .block_on(async { listen(send_buffer) })
            .expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let (stop, stopped) = oneshot::channel::<()>();
        let router = gateway.router.clone();
        serving.spawn(server::serve(listener, router, limits, async move {
            let _ = stopped.await;
        }));
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
            _serving: serving,
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
