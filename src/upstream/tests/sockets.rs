//! Real sockets on loopback, canned bytes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

/// A server that answers every connection with the same bytes, and keeps what it was asked.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How a canned answer ends.
#[derive(Clone, Copy)]
enum End {
    Close,
    Hang,
}

impl Server {
    async fn new(answer: impl Into<Vec<u8>>, end: End) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (answer.into(), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = vec![0; 8192];
                let length = socket.read(&mut head).await.unwrap_or(0);
                log.lock()
                    .unwrap()
                    .push(String::from_utf8_lossy(&head[..length]).into_owned());
                // A client that has read enough closes early; that is its right.
                let _ = socket.write_all(&answer).await;
                match end {
                    End::Close => drop(socket.shutdown().await),
                    End::Hang => open.push(socket),
                }
            }
        });
        Self { port, asked, task }
    }

    fn settings(&self, prefix: &str) -> StackSettings {
        let base = format!("http://127.0.0.1:{}{prefix}", self.port);
        let mut settings = StackSettings::new(base.parse().unwrap());
        settings.max_attempts = 1;
        settings.max_body_bytes = 1 << 20;
        settings
    }

    async fn call(&self) -> Result<Answer, UpstreamError> {
        connect(self.settings("")).unwrap().send(read()).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn connect(settings: StackSettings) -> Result<Stack, StackError> {
    Stack::connect(settings, credential("token-1"), Dialect::PLAIN)
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn fails(bytes: Vec<u8>) -> UpstreamError {
    let server = Server::new(bytes, End::Close).await;
    let error = server.call().await.unwrap_err();
    assert!(!format!("{error:?}").contains("127.0.0.1:"), "{error:?}");
    assert_eq!(server.asked().len(), 1);
    error
}

#[tokio::test]
async fn an_answer_arrives_and_the_base_url_may_have_a_prefix() {
    let bytes = answer("200 OK\r\ncontent-type: application/json", b"{\"a\":1}");
    let server = Server::new(bytes, End::Close).await;
    let stack = connect(server.settings("/api/v2/")).unwrap();
    let call = Call::get(
        "read",
        Target::new("/things").segment("a b").query("q", "ü"),
    );
    let answer = stack.send(call).await.unwrap();
    assert_eq!(answer.body.as_ref(), b"{\"a\":1}");
    let asked = server.asked().remove(0);
    assert!(
        asked.starts_with("GET /api/v2/things/a%20b?q=%C3%BC HTTP/1.1\r\n"),
        "{asked}"
    );
    let asked = asked.to_ascii_lowercase();
    assert!(
        asked.contains("authorization: bearer token-1\r\n"),
        "{asked}"
    );
    assert!(
        asked.contains("accept-encoding: gzip, br, zstd\r\n"),
        "{asked}"
    );
    assert!(!asked.contains("content-length"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::new(answer("200 OK", b"{}"), End::Close).await;
    let head = format!("302 Found\r\nlocation: http://127.0.0.1:{}/x", other.port);
    let error = fails(answer(&head, b"")).await;
    assert_eq!(error.kind, FailureKind::Redirected);
    assert!(other.asked().is_empty());
}

fn gzip(data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn a_compressed_answer_is_read_and_a_bomb_is_not() {
    let head = "200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip";
    let server = Server::new(answer(head, &gzip(b"[1,2]")), End::Close).await;
    assert_eq!(server.call().await.unwrap().body.as_ref(), b"[1,2]");
    let bomb = gzip(&vec![b' '; 1 << 20]).repeat(64);
    assert_eq!(fails(answer(head, &bomb)).await.kind, FailureKind::TooLarge);
    let error = fails(answer(head, b"not gzip at all")).await;
    assert_eq!(error.kind, FailureKind::Garbled);
    let unknown = "200 OK\r\ncontent-type: application/json\r\ncontent-encoding: lzma";
    assert_eq!(
        fails(answer(unknown, b"{}")).await.kind,
        FailureKind::Garbled
    );
}

#[tokio::test]
async fn a_huge_body_is_refused_announced_or_not() {
    let announced = answer("200 OK\r\ncontent-length: 268435456", b"{");
    let server = Server::new(announced, End::Hang).await;
    assert_eq!(server.call().await.unwrap_err().kind, FailureKind::TooLarge);
    let endless = answer("200 OK", &vec![b' '; 3 << 20]);
    assert_eq!(fails(endless).await.kind, FailureKind::TooLarge);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_interrupted() {
    for bytes in [
        answer("200 OK\r\ncontent-length: 100", b"{\"a\":"),
        answer("200 OK\r\ntransfer-encoding: chunked", b"64\r\n{\"a\":"),
        answer("200 OK\r\ntransfer-encoding: chunked", b"2\r\n{}\r\n"),
        b"HTTP/1.1 200 OK\r\ncontent-le".to_vec(),
        Vec::new(),
    ] {
        let error = fails(bytes).await;
        assert_eq!(error.kind, FailureKind::Interrupted, "{error:?}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_garbled() {
    for bytes in [
        b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec(),
        b"HTTP/1.1 200 OK\r\nbad header\x01: x\r\n\r\n".to_vec(),
        answer("200 OK\r\ncontent-length: 2\r\ncontent-length: 5", b"{}"),
        answer("200 OK\r\ntransfer-encoding: chunked", b"zz\r\n{}"),
    ] {
        let error = fails(bytes).await;
        assert_eq!(error.kind, FailureKind::Garbled, "{error:?}");
    }
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    for head in [
        (0..300).fold("200 OK".to_owned(), |head, n| format!("{head}\r\nx-{n}: 1")),
        format!("200 OK\r\nx: {}", "a".repeat(1 << 20)),
    ] {
        let error = fails(answer(&head, b"{}")).await;
        assert_eq!(error.kind, FailureKind::TooLarge, "{error:?}");
    }
}

#[tokio::test]
async fn a_page_for_people_is_not_an_answer() {
    let error = fails(answer("200 OK\r\ncontent-type: text/html", b"<html>")).await;
    assert_eq!(error.kind, FailureKind::ContentType);
    assert_eq!(error.status.unwrap().as_u16(), 200);
}

#[tokio::test]
async fn a_refusal_counts_even_if_its_body_is_broken_or_huge() {
    for bytes in [
        answer("503 Down\r\nretry-after: 7\r\ncontent-length: 100", b"x"),
        answer(
            "503 Down\r\nretry-after: 7\r\ncontent-length: 3145728",
            &vec![b'x'; 3 << 20],
        ),
        answer("503 Down\r\nretry-after: 7\r\ncontent-encoding: gzip", b"x"),
        answer("503 Down\r\nretry-after: 7\r\ncontent-encoding: odd", b"x"),
    ] {
        let error = fails(bytes).await;
        assert_eq!(error.kind, FailureKind::Unavailable);
        assert_eq!(error.wait.unwrap().as_secs(), 7);
    }
}

#[tokio::test]
async fn a_slow_body_runs_into_the_attempts_time() {
    for bytes in [
        Vec::new(),
        answer("200 OK\r\ncontent-length: 100", b"{\"a\":"),
        answer("503 Down\r\ncontent-length: 100", b"{\"a\":"),
    ] {
        let server = Server::new(bytes, End::Hang).await;
        let mut settings = server.settings("");
        settings.attempt_timeout = Duration::from_millis(100);
        let error = connect(settings).unwrap().send(read()).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Timeout);
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    drop(listener);
    let stack = connect(StackSettings::new(base.parse().unwrap())).unwrap();
    let error = stack.send(write()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unreachable);
    assert!(!error.text.unwrap().contains(&base));
}

#[tokio::test]
async fn tls_to_a_server_without_it_is_unreachable() {
    let server = Server::new(answer("200 OK", b"{}"), End::Close).await;
    let base = format!("https://127.0.0.1:{}", server.port);
    let stack = connect(StackSettings::new(base.parse().unwrap())).unwrap();
    let error = stack.send(write()).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Unreachable, "{error:?}");
}

#[test]
fn a_stack_needs_a_safe_address_and_usable_certificates() {
    let with = |base: &str| connect(StackSettings::new(base.parse().unwrap()));
    assert!(matches!(
        with("http://api.example"),
        Err(StackError::PlainHttp)
    ));
    assert!(matches!(
        with("ftp://api.example"),
        Err(StackError::BaseUrl)
    ));
    assert!(with("https://api.example").is_ok());
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_owned(), "/nowhere/ca.pem".into()] {
        let mut settings = StackSettings::new("https://api.example".parse().unwrap());
        settings.ca_file = Some(path);
        assert!(matches!(connect(settings), Err(StackError::CaFile(_))));
    }
}

#[tokio::test]
async fn no_log_level_shows_the_token_or_the_vendors_text() {
    let heard = crate::telemetry::testing::listen();
    let body = b"no such token: token-1";
    let server = Server::new(answer("401 No\r\nx-vendor: inside", body), End::Close).await;
    server.call().await.unwrap_err();
    let log = heard.text();
    assert!(log.contains("attempt failed"), "{log}");
    for secret in ["token-1", "no such token", "inside"] {
        assert!(!log.contains(secret), "{log}");
    }
}
