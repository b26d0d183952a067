//! What is let in, over a real socket: requests as they look on the wire, good, careless and hostile.

use std::net::SocketAddr;

use clustergate::api::server::{Limits, serve};
use clustergate::api::{Hosts, Settings};
use clustergate::app::Gateway;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::PATIENCE;

/// A gateway without sources, on a socket.
struct Door {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
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
        let router = Gateway::with(Vec::new(), settings, &Handle::current()).router;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, router, Limits::default(), async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop,
            task,
        }
    }

    /// Sends these bytes and nothing more, and reads to the end.
    async fn send(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_ref()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut text = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut text)).await;
        read.expect("the connection ends").unwrap();
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
