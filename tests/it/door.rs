//! What is let in, over a real socket: requests as they look on the wire, good, careless and hostile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clustergate::adapters::CATALOG;
use clustergate::api::server::{Limits, serve};
use clustergate::api::{ApiState, Hosts, Settings, router};
use clustergate::app::{Gateway, sources};
use clustergate::domain::SourceName;
use clustergate::inventory::{Control, Requested};
use clustergate::upstream::{Rate, Vitals};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::{PATIENCE, Plan};

/// A gateway on a socket.
struct Door {
    address: SocketAddr,
    asked: Arc<Asked>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

/// Counts the refreshes that were asked for, of any source but one.
#[derive(Default)]
struct Asked(AtomicUsize);

impl Control for Asked {
    fn refresh(&self, source: &SourceName) -> Option<Requested> {
        if source.as_str() == "nobody" {
            return None;
        }
        self.0.fetch_add(1, Ordering::SeqCst);
        Some(Requested {
            joined: false,
            not_before: None,
        })
    }

    fn vitals(&self, _: &SourceName) -> Option<Vitals> {
        None
    }
}

/// What came back over the wire.
struct Reply {
    head: String,
    body: String,
}

impl Reply {
    fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    /// The last of several answers.
    fn last(self) -> Self {
        match self.body.rsplit_once("HTTP/1.1 ") {
            Some((_, last)) => {
                let (head, body) = last.split_once("\r\n\r\n").unwrap();
                Self {
                    head: format!("HTTP/1.1 {head}"),
                    body: body.to_owned(),
                }
            }
            None => self,
        }
    }

    /// Status and code of a problem document.
    fn problem(&self) -> (u16, String) {
        assert!(
            self.head.contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let body: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(body["status"], self.status(), "{body}");
        (self.status(), body["code"].as_str().unwrap().to_owned())
    }
}

impl Door {
    async fn open() -> Self {
        Self::open_as(Hosts::default()).await
    }

    /// Opens for those who call the gateway by these names.
    async fn open_as(hosts: Hosts) -> Self {
        let settings = Settings {
            hosts,
            ..Settings::default()
        };
        Self::open_with(settings).await
    }

    async fn open_with(settings: Settings) -> Self {
        let plan = Plan {
            clusters: 1,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let sources = sources(&plan.configs(&sandbox)).unwrap();
        let gateway = Gateway::over(sources, &Handle::current());
        let asked = Arc::new(Asked::default());
        let control: Arc<dyn Control> = Arc::<Asked>::clone(&asked);
        let state = ApiState::new(
            Arc::clone(&gateway.inventory),
            control,
            gateway.live.clone(),
            CATALOG,
            settings,
        );
        let router = router(state);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, router, Limits::default(), async {
            let _ = stopped.await;
        }));
        Self {
            address,
            asked,
            stop,
            task,
        }
    }

    /// Sends these bytes and nothing more, and reads to the end. Who is refused early may find the connection reset: an end, too.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut answer = Vec::new();
        let exchange = async {
            stream.write_all(bytes.as_ref()).await.ok();
            stream.shutdown().await.ok();
            stream.read_to_end(&mut answer).await.ok();
        };
        let ended = timeout(PATIENCE, exchange).await;
        assert!(ended.is_ok(), "the connection does not end");
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        Reply {
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    async fn close(self) {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_request_names_the_one_host_that_it_is_for() {
    let door = Door::open().await;
    for request in [
        "GET /sources HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET http://localhost/sources HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n",
        "GET /sources HTTP/1.0\r\n\r\n",
    ] {
        assert_eq!(door.send(request).await.status(), 200, "{request}");
    }
    for request in [
        "GET /sources HTTP/1.1\r\n\r\n",
        "GET /sources HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET /sources HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /sources HTTP/1.1\r\nHost: user@localhost\r\n\r\n",
        "GET http://localhost/sources HTTP/1.1\r\n\r\n",
        "GET /livez HTTP/1.1\r\n\r\n",
    ] {
        assert_eq!(
            door.send(request).await.problem(),
            (400, "INVALID_HOST".to_owned()),
            "{request}"
        );
    }
    door.close().await;
}

fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[tokio::test]
async fn a_page_that_had_its_name_point_here_reads_nothing() {
    let door = Door::open().await;
    let port = door.address.port();
    for host in [
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        "gateway.localhost".to_owned(),
    ] {
        assert_eq!(door.send(get("/sources", &host)).await.status(), 200);
    }
    for request in [
        get("/sources", &format!("rebound.example:{port}")),
        get("/metrics", "rebound.example"),
        "GET http://rebound.example/sources HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /sources HTTP/1.0\r\nHost: rebound.example\r\n\r\n".to_owned(),
    ] {
        assert_eq!(
            door.send(&request).await.problem(),
            (421, "HOST_NOT_ALLOWED".to_owned()),
            "{request}"
        );
    }
    assert_eq!(
        door.send(get("/livez", "rebound.example")).await.status(),
        200
    );
    door.close().await;
}

#[tokio::test]
async fn a_gateway_goes_by_the_names_that_it_was_told_or_by_any() {
    let named = Door::open_as(Hosts::Named(vec!["clusters.example.com".to_owned()])).await;
    assert_eq!(
        named
            .send(get("/sources", "clusters.example.com"))
            .await
            .status(),
        200
    );
    assert_eq!(
        named
            .send(get("/sources", "other.example.com"))
            .await
            .status(),
        421
    );
    named.close().await;
    let any = Door::open_as(Hosts::Any).await;
    assert_eq!(
        any.send(get("/sources", "other.example.com"))
            .await
            .status(),
        200
    );
    any.close().await;
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing() {
    let door = Door::open().await;
    let host = format!("localhost:{}", door.address.port());
    let post = |headers: &str| {
        format!(
            "POST /sources/nobody/refresh HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n{headers}\r\n"
        )
    };
    for headers in [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        assert_eq!(
            door.send(post(headers)).await.problem(),
            (403, "CROSS_SITE_REQUEST".to_owned()),
            "{headers}"
        );
    }
    for headers in [
        String::new(),
        format!("Origin: http://{host}\r\nSec-Fetch-Site: same-origin\r\n"),
    ] {
        assert_eq!(
            door.send(post(&headers)).await.problem(),
            (404, "SOURCE_NOT_FOUND".to_owned()),
            "{headers}"
        );
    }
    let read =
        format!("GET /sources HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example\r\n\r\n");
    let reply = door.send(read).await;
    assert_eq!(reply.status(), 200);
    assert!(
        !reply.head.contains("access-control"),
        "the page may ask but not read"
    );
    door.close().await;
}

#[tokio::test]
async fn a_refresh_is_asked_for_by_a_whole_request_only() {
    let door = Door::open().await;
    let post = |rest: &str| {
        format!("POST /sources/latitude/refresh HTTP/1.1\r\nHost: localhost\r\n{rest}")
    };
    let chunk = format!("{:x}\r\n{}\r\n", 40_000, "x".repeat(40_000));
    for (rest, status, code) in [
        (
            "Content-Length: 10\r\n\r\n{}".to_owned(),
            400,
            "INVALID_BODY",
        ),
        ("Content-Length: 10\r\n\r\n".to_owned(), 400, "INVALID_BODY"),
        (
            "Transfer-Encoding: chunked\r\n\r\n5\r\nab".to_owned(),
            400,
            "INVALID_BODY",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n".to_owned(),
            400,
            "INVALID_BODY",
        ),
        (
            "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n".to_owned(),
            400,
            "INVALID_BODY",
        ),
        (
            "Content-Length: 65537\r\n\r\n".to_owned(),
            413,
            "PAYLOAD_TOO_LARGE",
        ),
        (
            format!("Transfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"),
            413,
            "PAYLOAD_TOO_LARGE",
        ),
    ] {
        let reply = door.send(post(&rest)).await;
        assert_eq!(reply.problem(), (status, code.to_owned()), "{rest:.60}");
    }
    assert_eq!(door.asked.0.load(Ordering::SeqCst), 0);
    for (at, rest) in [
        "\r\n".to_owned(),
        "Content-Length: 2\r\n\r\n{}".to_owned(),
        format!("Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"),
        "Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(door.send(post(&rest)).await.status(), 202, "{rest:.60}");
        assert_eq!(door.asked.0.load(Ordering::SeqCst), at + 1);
    }
    door.close().await;
}

#[tokio::test]
async fn a_client_is_limited_over_all_of_its_connections() {
    let limit = Rate {
        calls: 2,
        per: Duration::from_hours(1),
    };
    let door = Door::open_with(Settings {
        rate_limit: Some(limit),
        ..Settings::default()
    })
    .await;
    for left in [1, 0] {
        let reply = door.send(get("/sources", "localhost")).await;
        assert_eq!(reply.status(), 200);
        assert!(
            reply
                .head
                .contains("\r\nratelimit-policy: \"default\";q=2;w=3600")
        );
        let left = format!("\r\nratelimit: \"default\";r={left};t=");
        assert!(reply.head.contains(&left), "{}", reply.head);
    }
    let forged = "GET /sources HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    let refused = door.send(forged).await;
    assert_eq!(refused.problem(), (429, "RATE_LIMITED".to_owned()));
    assert!(refused.head.contains("\r\nretry-after: 1"));
    assert_eq!(door.send(get("/livez", "localhost")).await.status(), 200);
    door.close().await;
}

#[tokio::test]
async fn what_cannot_be_understood_gets_a_problem_too() {
    let door = Door::open().await;
    let many = "a: b\r\n".repeat(200);
    let long = "a".repeat(70_000);
    for (request, status, code) in [
        ("hello\r\n\r\n".to_owned(), 400, "MALFORMED_REQUEST"),
        (
            "GET / HTTP/1.1\r\nHost localhost\r\n\r\n".to_owned(),
            400,
            "MALFORMED_REQUEST",
        ),
        (
            "GET / HTTP/3.7\r\nHost: localhost\r\n\r\n".to_owned(),
            400,
            "MALFORMED_REQUEST",
        ),
        (
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .to_owned(),
            400,
            "MALFORMED_REQUEST",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
            431,
            "HEADERS_TOO_LARGE",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: localhost\r\na: {long}\r\n\r\n"),
            431,
            "HEADERS_TOO_LARGE",
        ),
        // Something good before it, in the same packet and in the same answer.
        (
            get("/sources", "localhost") + "hello\r\n\r\n",
            400,
            "MALFORMED_REQUEST",
        ),
    ] {
        let reply = door.send(&request).await.last();
        assert_eq!(reply.problem(), (status, code.to_owned()), "{request:.60}");
        assert!(
            reply
                .head
                .contains(&format!("content-length: {}", reply.body.len()))
        );
        assert!(reply.head.contains("x-frame-options: DENY"));
    }
    assert_eq!(door.send(get("/sources", "localhost")).await.status(), 200);
    door.close().await;
}
