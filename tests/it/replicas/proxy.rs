//! What lies between a gateway and its database, and fails as told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    Open,
    /// It comes so much later.
    Slow(Duration),
    /// It never comes, and nobody is told.
    Lost,
    /// Connections end, and there are no new ones.
    Closed,
}

/// A way to a server.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    way: watch::Sender<Way>,
    /// So many connections, the first ones, are cut off in the middle: nobody is told.
    cut: watch::Sender<u64>,
    opened: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let way = watch::Sender::new(Way::Open);
        let ways = way.subscribe();
        let (cut, opened) = (watch::Sender::new(0), Arc::new(AtomicU64::new(0)));
        let (cuts, counted) = (cut.subscribe(), Arc::clone(&opened));
        let task = tokio::spawn(async move {
            let mut pumps = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if *ways.borrow() == Way::Closed {
                    continue;
                }
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let is_cut = || {
                    let cuts = cuts.clone();
                    move || number < *cuts.borrow()
                };
                pumps.spawn(pump(from_client, to_server, ways.clone(), is_cut()));
                pumps.spawn(pump(from_server, to_client, ways.clone(), is_cut()));
            }
        });
        Self {
            address,
            way,
            cut,
            opened,
            task,
        }
    }

    /// Has nothing come through the connections that there are, and nobody be told.
    pub(super) fn cut(&self) {
        self.cut.send_replace(self.opened.load(Ordering::SeqCst));
    }

    pub(super) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    ways: watch::Receiver<Way>,
    is_cut: impl Fn() -> bool,
) {
    let mut closing = ways.clone();
    let pumping = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if is_cut() {
                continue;
            }
            let way = *ways.borrow();
            match way {
                Way::Slow(time) => sleep(time).await,
                Way::Lost => continue,
                Way::Open | Way::Closed => {}
            }
            if to.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = pumping => {}
        _ = closing.wait_for(|way| *way == Way::Closed) => {}
    }
}
