//! As many connections as are allowed, and one more.

use super::*;

fn at_most(connections: usize) -> Limits {
    Limits {
        max_connections: connections,
        ..Limits::default()
    }
}

/// What is answered to one request on a connection that stays open.
async fn answer(stream: &mut TcpStream) -> String {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 1024];
    let read = timeout(Duration::from_secs(10), stream.read(&mut answer));
    let read = read.await.expect("an answer in time").unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

async fn end(stream: &mut TcpStream) -> String {
    let rest = timeout(Duration::from_secs(10), rest(stream)).await;
    rest.expect("the connection ends")
}

#[tokio::test]
async fn the_connection_that_was_idle_longest_makes_room() {
    let server = Running::start(app(), at_most(2)).await;
    let mut silent = server.connect().await;
    let mut kept = server.connect().await;
    assert!(answer(&mut kept).await.ends_with("hello"));
    let mut late = server.connect().await;
    assert!(answer(&mut late).await.ends_with("hello"));
    assert_eq!(end(&mut silent).await, "");
    // Of the two that were used the one goes that was used first.
    assert!(answer(&mut kept).await.ends_with("hello"));
    let mut later = server.connect().await;
    assert!(answer(&mut later).await.ends_with("hello"));
    assert_eq!(end(&mut late).await, "");
    assert!(answer(&mut kept).await.ends_with("hello"));
    server.stop().await;
}

#[tokio::test]
async fn a_head_that_never_ends_keeps_nobody_out() {
    let server = Running::start(app(), at_most(1)).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    let mut other = server.connect().await;
    assert!(answer(&mut other).await.ends_with("hello"));
    assert_eq!(end(&mut slow).await, "");
    server.stop().await;
}

#[tokio::test]
async fn many_who_say_nothing_keep_nobody_out() {
    let server = Running::start(app(), at_most(20)).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(server.connect().await);
    }
    for _ in 0..5 {
        let mut stream = server.connect().await;
        assert!(answer(&mut stream).await.ends_with("hello"));
        silent.push(stream);
    }
    assert_eq!(end(&mut silent[0]).await, "");
    server.stop().await;
}

#[tokio::test]
async fn a_connection_over_the_cap_is_refused_where_each_has_a_request_under_way() {
    let waits = Router::new().route("/", get(std::future::pending::<&'static str>));
    let streams = Router::new().route(
        "/",
        get(async || {
            let first = Ok::<_, std::convert::Infallible>("first");
            let first = futures_util::stream::iter([first]);
            let rest = futures_util::stream::pending();
            Body::from_stream(futures_util::StreamExt::chain(first, rest))
        }),
    );
    for (router, begins) in [(waits, false), (streams, true)] {
        let server = Running::start(
            router,
            Limits {
                grace: SHORT,
                ..at_most(1)
            },
        )
        .await;
        let mut busy = server.connect().await;
        if begins {
            assert!(answer(&mut busy).await.starts_with("HTTP/1.1 200 "));
        } else {
            busy.write_all(REQUEST).await.unwrap();
        }
        // Until the handler has it, the connection may still be asked to go; then this one waits for its own answer.
        let refused = loop {
            let mut other = server.connect().await;
            match timeout(SHORT, rest(&mut other)).await {
                Ok(refused) => break refused,
                Err(_) => busy = other,
            }
            busy.write_all(REQUEST).await.unwrap();
        };
        assert!(
            refused.starts_with("HTTP/1.1 503 ") && refused.contains("\"OVERLOADED\""),
            "{refused}"
        );
        server.stop().await;
    }
}
