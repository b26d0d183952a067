//! The listener over loopback. Time here is real, and short.

use std::net::SocketAddr;

use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;

const SHORT: Duration = Duration::from_millis(60);

struct Running {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<io::Result<()>>,
}

impl Running {
    async fn start(router: Router, limits: Limits) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, router, limits, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            task,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        self.task.await.unwrap().unwrap();
    }
}

fn short() -> Limits {
    Limits {
        head_timeout: SHORT,
        idle_timeout: SHORT * 4,
        write_timeout: SHORT,
        grace: SHORT,
        ..Limits::default()
    }
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end like any other here.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

async fn hello() -> &'static str {
    "hello"
}

fn app() -> Router {
    Router::new().route("/", get(hello))
}

mod cap;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn slow_headers_are_closed_sooner_than_idle_connections() {
    let server = Running::start(app(), short()).await;
    let mut idle = server.connect().await;
    let mut slow = server.connect().await;
    let began = Instant::now();
    slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    assert_eq!(rest(&mut slow).await, "");
    let headers = began.elapsed();
    assert_eq!(rest(&mut idle).await, "");
    assert!(headers >= SHORT && began.elapsed() >= SHORT * 4);
    assert!(headers < began.elapsed());
    server.stop().await;
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request_and_closed_when_idle() {
    let server = Running::start(app(), short()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).await.unwrap();
        assert!(answer[..read].ends_with(b"hello"));
    }
    assert_eq!(rest(&mut stream).await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_answered_with_431() {
    let limits = Limits {
        max_head_bytes: 8 << 10,
        ..Limits::default()
    };
    let server = Running::start(app(), limits).await;
    let mut stream = server.connect().await;
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(9_000));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 431 "));
    server.stop().await;
}

#[tokio::test]
async fn requests_in_flight_are_finished_before_the_server_stops() {
    let (entered, inside) = oneshot::channel::<()>();
    let entered = Arc::new(std::sync::Mutex::new(Some(entered)));
    let release = Arc::new(tokio::sync::Notify::new());
    let waiting = Arc::clone(&release);
    let router = Router::new().route(
        "/",
        get(move || {
            drop(entered.lock().unwrap().take());
            let waiting = Arc::clone(&waiting);
            async move {
                waiting.notified().await;
                "late"
            }
        }),
    );
    let server = Running::start(router, Limits::default()).await;
    let mut busy = server.connect().await;
    let mut idle = server.connect().await;
    busy.write_all(REQUEST).await.unwrap();
    let _ = inside.await;
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    release.notify_one();
    assert!(rest(&mut busy).await.ends_with("late"));
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off_after_the_grace_period() {
    let router = Router::new().route("/", get(std::future::pending::<&'static str>));
    let server = Running::start(router, short()).await;
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    tokio::task::yield_now().await;
    server.stop().await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn who_has_said_everything_is_answered_and_closed() {
    let (open, opened) = oneshot::channel::<()>();
    let opened = Arc::new(tokio::sync::Mutex::new(Some(opened)));
    let slow = move || {
        let opened = Arc::clone(&opened);
        async move {
            let opened = opened.lock().await.take();
            opened.unwrap().await.unwrap();
            "late"
        }
    };
    let router = Router::new().route("/", get(slow));
    let running = Running::start(router, short()).await;
    let mut stream = running.connect().await;
    let request = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    // The server sees the end of what is said long before it answers.
    tokio::time::sleep(SHORT).await;
    open.send(()).unwrap();
    let answer = timeout(SHORT * 20, rest(&mut stream)).await.unwrap();
    assert!(answer.ends_with("late"), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    let router = Router::new().route("/", get(async || vec![b'x'; 32 << 20]));
    let server = Running::start(router, short()).await;
    let mut stream = server.connect().await;
    stream.write_all(REQUEST).await.unwrap();
    stream.readable().await.unwrap();
    let mut connection = tokio::time::interval(SHORT);
    for _ in 0..6 {
        connection.tick().await;
    }
    assert!(rest(&mut stream).await.len() < 32 << 20);
    server.stop().await;
}
