//! A gateway over a made-up fleet, with a store or without.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clustergate::api::{self, server};
use clustergate::app::{Background, Gateway, Memory};
use clustergate::inventory::Control as _;
use clustergate::inventory::journal::Journal as _;
use clustergate::store::{Address, Settings};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep};

use super::fleet::{Revision, sources, until_read};

/// A store in a folder.
pub(crate) fn within(folder: &Path) -> Settings {
    Settings::at(Address::within(folder))
}

pub(crate) struct Stage {
    pub(crate) gateway: Gateway,
    revisions: Vec<Revision>,
    background: Background,
}

impl Stage {
    /// A gateway that has taken over what a store has, and not waited for any source.
    pub(crate) fn begin(
        clusters: usize,
        every: usize,
        store: Option<Settings>,
        on: &Runtime,
    ) -> Self {
        let background = Background::start().expect("threads can be started");
        let (sources, revisions) = sources(clusters, every);
        let gateway = on.block_on(async {
            let handle = background.handle();
            let memory = match store {
                Some(store) => Memory::open(store, &sources, handle).await,
                None => Memory::default(),
            };
            Gateway::remembering(sources, memory, None, api::Settings::default(), handle)
        });
        Self {
            gateway,
            revisions,
            background,
        }
    }

    /// The same, with everything read and kept.
    pub(crate) fn set(
        clusters: usize,
        every: usize,
        store: Option<Settings>,
        on: &Runtime,
    ) -> Self {
        let stage = Self::begin(clusters, every, store, on);
        on.block_on(until_read(&stage.gateway.inventory));
        on.block_on(stage.until_kept());
        stage
    }

    /// Waits until all that readers see is written.
    async fn until_kept(&self) {
        let Some(recorder) = &self.gateway.recorder else {
            return;
        };
        let waits = || {
            recorder
                .standing()
                .is_some_and(|standing| standing.publications > 0 || standing.behind.is_some())
        };
        while waits() {
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn listen(&self, on: &Runtime) -> SocketAddr {
        let listener = on
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let limits = server::Limits {
            max_connections: 4_096,
            ..server::Limits::default()
        };
        let router = self.gateway.router.clone();
        on.spawn(server::serve(
            listener,
            router,
            limits,
            std::future::pending(),
        ));
        address
    }

    /// Changes some clusters of one source.
    pub(crate) fn touch(&self, source: usize) {
        self.revisions[source].1.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for one source to be read again.
    pub(crate) fn ask(&self, source: usize) {
        let known = self.gateway.keeper.refresh(&self.revisions[source].0);
        assert!(known.is_some(), "the source is there");
    }

    /// Has one source read again, changed or not, and waits until readers see it.
    pub(crate) async fn refresh(&self, source: usize, is_changed: bool) -> Duration {
        if is_changed {
            self.touch(source);
        }
        let mut generations = self.gateway.inventory.subscribe();
        let begun = Instant::now();
        self.ask(source);
        let changed = generations.changed();
        changed.await.expect("the inventory is held here");
        begun.elapsed()
    }

    /// Ends as the program does: what waits is written.
    pub(crate) fn stop(self, on: &Runtime) {
        on.block_on(self.gateway.stop(Duration::from_mins(1)));
        drop(self.background);
    }
}
