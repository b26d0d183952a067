//! Handing JSON to a stranger, over real sockets: where the connection goes, and what counts of the answer.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use crate::upstream::{Admitted, Lookup, PostError, PostSettings, Posted, Poster};

/// A name system that says something else each time.
struct Script {
    answers: Mutex<VecDeque<Vec<&'static str>>>,
    asked: Mutex<Vec<String>>,
}

impl Lookup for Script {
    fn lookup(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let next = self.answers.lock().unwrap().pop_front().unwrap();
        let found = next.into_iter().map(|text| text.parse().unwrap()).collect();
        Box::pin(std::future::ready(Ok(found)))
    }
}

fn script(answers: &[&[&'static str]]) -> Arc<Script> {
    Arc::new(Script {
        answers: Mutex::new(answers.iter().map(|answer| answer.to_vec()).collect()),
        asked: Mutex::default(),
    })
}

/// A server on loopback that answers each connection with these bytes; the requests come out at the other end.
async fn server(answer: &'static str) -> (u16, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let read = socket.read(&mut request).await.unwrap_or(0);
            sender
                .send(String::from_utf8_lossy(&request[..read]).into_owned())
                .ok();
            if answer.is_empty() {
                std::future::pending::<()>().await;
            }
            socket.write_all(answer.as_bytes()).await.ok();
            let endless = [b'x'; 4_096];
            while answer.contains("999999999") && socket.write_all(&endless).await.is_ok() {}
        }
    });
    (port, receiver)
}

const CLOSED: &str = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

fn settings(url: &str, admitted: Admitted) -> PostSettings {
    PostSettings {
        url: url.parse().unwrap(),
        admitted,
        timeout: Duration::from_secs(10),
        max_idle: 1,
        ca_file: None,
    }
}

async fn post(poster: &Poster) -> Result<u16, PostError> {
    let posted = poster
        .post(HeaderMap::new(), Bytes::from_static(b"{}"))
        .await;
    posted.map(|posted| posted.status.as_u16())
}

#[tokio::test]
async fn what_a_name_leads_to_is_judged_each_time_and_the_connection_goes_nowhere_else() {
    let (port, mut requests) = server(CLOSED).await;
    let names = script(&[
        &["127.0.0.1"],
        &["169.254.169.254"],
        &["1.1.1.1"],
        &["::ffff:169.254.169.254", "0.0.0.0"],
        &["1.1.1.1", "169.254.169.254", "127.0.0.1"],
        &[],
    ]);
    let url = format!("http://hooks.example:{port}/T0KEN");
    let poster = Poster::asking(
        settings(&url, Admitted::Private),
        Arc::<Script>::clone(&names),
    )
    .unwrap();
    assert_eq!(post(&poster).await, Ok(204));
    assert!(
        requests
            .recv()
            .await
            .unwrap()
            .starts_with("POST /T0KEN HTTP/1.1\r\n")
    );
    for _ in 0..3 {
        assert_eq!(post(&poster).await, Err(PostError::NotAllowed));
    }
    assert_eq!(post(&poster).await, Ok(204));
    assert!(requests.recv().await.is_some());
    assert_eq!(post(&poster).await, Err(PostError::Unreachable));
    // Once for each request: nobody asks again between the judgement and the connection.
    assert_eq!(*names.asked.lock().unwrap(), ["hooks.example"; 6]);
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn this_machine_is_called_only_where_that_is_allowed() {
    let (port, mut requests) = server(CLOSED).await;
    for url in [
        format!("https://hooks.example:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://[::1]:{port}/"),
        format!("https://2130706433:{port}/"),
    ] {
        let names = script(&[&["127.0.0.1"]]);
        let poster = Poster::asking(settings(&url, Admitted::Public), names).unwrap();
        assert_eq!(post(&poster).await, Err(PostError::NotAllowed), "{url}");
    }
    assert!(requests.try_recv().is_err(), "nobody was connected to");
    let url = format!("https://127.0.0.1:{port}/");
    let private = Poster::new(settings(&url, Admitted::PublicAndPrivate)).unwrap();
    // It does not speak TLS.
    assert_eq!(post(&private).await, Err(PostError::Tls));
}

#[tokio::test]
async fn of_an_answer_its_status_counts() {
    for (answer, expected) in [
        (
            "HTTP/1.1 503 x\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
            (503, Some(7)),
        ),
        (
            "HTTP/1.1 302 x\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            (302, None),
        ),
        // Nobody reads it to its end.
        (
            "HTTP/1.1 200 x\r\ncontent-length: 999999999\r\n\r\n",
            (200, None),
        ),
        (
            "HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\ncut",
            (200, None),
        ),
    ] {
        let (port, mut requests) = server(answer).await;
        let url = format!("http://127.0.0.1:{port}/");
        let poster = Poster::new(settings(&url, Admitted::Private)).unwrap();
        let body = Bytes::from_static(b"{\"type\":\"x\"}");
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("webhook-id"),
            http::HeaderValue::from_static("evt_1"),
        )]);
        let Posted {
            status,
            retry_after,
        } = poster.post(headers, body).await.unwrap();
        let asked = retry_after.map(|wait| wait.as_secs());
        assert_eq!((status.as_u16(), asked), expected, "{answer}");
        let request = requests.recv().await.unwrap();
        for part in [
            "webhook-id: evt_1\r\n",
            "content-type: application/json\r\n",
            "clustergate/",
        ] {
            assert!(request.contains(part), "{request}");
        }
    }
}

/// A server that answers with a status and then with these parts, one each tenth of a second, for as long as somebody reads them;
/// says so when the connection was closed at the other end.
async fn dripping(head: &'static str, part: &'static str) -> (u16, oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, closed) = oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4_096];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut beats = interval(Duration::from_millis(100));
        loop {
            tokio::select! {
                read = socket.read(&mut request) => if matches!(read, Ok(0) | Err(_)) {
                    sender.send(()).unwrap();
                    return;
                },
                _ = beats.tick() => drop(socket.write_all(part.as_bytes()).await),
            }
        }
    });
    (port, closed)
}

#[tokio::test]
async fn who_keeps_back_the_rest_of_an_answer_has_answered_all_the_same() {
    for (head, part, expected) in [
        ("HTTP/1.1 200 x\r\ncontent-length: 5\r\n\r\n", "", 200),
        ("HTTP/1.1 200 x\r\n\r\n", "", 200),
        (
            "HTTP/1.1 202 x\r\ntransfer-encoding: chunked\r\n\r\n",
            "1\r\nx\r\n",
            202,
        ),
        ("HTTP/1.1 500 x\r\n\r\n", "x", 500),
    ] {
        let (port, closed) = dripping(head, part).await;
        let url = format!("http://127.0.0.1:{port}/");
        let poster = Poster::new(settings(&url, Admitted::Private)).unwrap();
        assert_eq!(post(&poster).await, Ok(expected), "{head}");
        // It is not kept for the next request.
        timeout(Duration::from_secs(30), closed)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn who_does_not_answer_is_not_waited_for() {
    let (port, _requests) = server("").await;
    let url = format!("http://127.0.0.1:{port}/");
    let hasty = PostSettings {
        timeout: Duration::from_millis(50),
        ..settings(&url, Admitted::Private)
    };
    let poster = Poster::new(hasty).unwrap();
    assert_eq!(post(&poster).await, Err(PostError::Timeout));
    let (port, _requests) = server("no HTTP at all\r\n\r\n").await;
    let url = format!("http://127.0.0.1:{port}/");
    let poster = Poster::new(settings(&url, Admitted::Private)).unwrap();
    assert_eq!(post(&poster).await, Err(PostError::Interrupted));
}

#[tokio::test]
async fn nobody_listening_is_no_connection_and_nothing_shows_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = format!("http://127.0.0.1:{port}/T0KEN?key=T0KEN");
    let settings = settings(&url, Admitted::Private);
    let shown = format!("{settings:?}");
    let error = post(&Poster::new(settings).unwrap()).await.unwrap_err();
    assert_eq!(error, PostError::Unreachable);
    assert!(!format!("{shown} {error} {error:?}").contains("T0KEN"));
}
