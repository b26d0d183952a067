//! A gateway on a socket over simulated vendors, each part on threads of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use clustergate::api::server::{self, Limits};
use clustergate::app::{Gateway, demo_sources, sources};
use clustergate::sandbox::{Options, Sandbox, Vendor};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

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

fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(name)
        .enable_all()
        .build()
        .expect("threads can be started")
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
        let listener = serving
            .block_on(TcpListener::bind("127.0.0.1:0"))
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

/// Resident memory of this process.
pub(crate) fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages: usize = pages
        .and_then(|text| text.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0);
    pages * 4_096
}
