//! A client that does not read, over a real socket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::time::{interval, timeout};

use super::*;
use crate::api::server::{Limits, serve};

const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes that whoever reads gets at least.
const WHOLE: usize = 15 << 20;

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_nobody_else_is() {
    let mut stage = Stage::new(&["a"]);
    let state = state_over(&stage.inventory, None, Settings::default());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits {
        write_timeout: Duration::from_millis(200),
        ..Limits::default()
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(listener, router(state.clone()), limits, async {
        let _ = stopped.await;
    }));
    let open = async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(16 << 10).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = b"GET /events?since=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        stream
    };
    let (mut reading, idle) = (open().await, open().await);
    let count = Arc::new(AtomicUsize::new(0));
    let reader = tokio::spawn({
        let count = Arc::clone(&count);
        async move {
            let mut bytes = vec![0; 64 << 10];
            while let Ok(read @ 1..) = reading.read(&mut bytes).await {
                count.fetch_add(read, Ordering::Relaxed);
            }
        }
    });
    // More than the buffers on the way can take, and all of it within the memory.
    let long = "x".repeat(20_000);
    for round in 0..5 {
        let list = (0..100).map(|id| {
            let mut cluster = cluster("a", &id.to_string(), "running", None);
            cluster.environment = Some(format!("{round}{long}"));
            cluster
        });
        stage.list("a", list.collect());
    }
    let mut ticks = interval(Duration::from_millis(10));
    let is_over = async {
        while state.metrics.event_streams().get() > 1 || count.load(Ordering::Relaxed) < WHOLE {
            ticks.tick().await;
        }
    };
    let is_over = timeout(PATIENCE, is_over).await;
    let (streams, read) = (
        state.metrics.event_streams().get(),
        count.load(Ordering::Relaxed),
    );
    assert!(
        is_over.is_ok(),
        "{streams} streams are open, {read} bytes were read"
    );
    assert_eq!(streams, 1);
    state.drain();
    drop((idle, stop));
    timeout(PATIENCE, reader).await.unwrap().unwrap();
    timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
}
