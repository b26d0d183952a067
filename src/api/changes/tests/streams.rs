//! `/events`, on a clock that waits for nothing.

use std::time::Duration;

use http_body_util::BodyExt as _;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::*;
use crate::access::{self, Access, KeysFile, NewKey, Scope, Scopes};
use crate::api::ApiState;
use crate::api::testing::state_for;

/// A client of an event stream.
pub(super) struct Client {
    body: Body,
    text: String,
}

/// What it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) data: Value,
}

impl Client {
    pub(super) async fn open(app: &Router, reach: &Reach, query: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(format!("/events?{query}"))
            .body(Body::empty())
            .unwrap();
        let viewer = Viewer::new(Arc::new(reach.clone()));
        request.extensions_mut().insert(viewer);
        if let Some(last) = last {
            request
                .headers_mut()
                .insert("last-event-id", last.parse().unwrap());
        }
        let response = send_request(app, request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next block, a comment or an event; `None` is the end.
    pub(super) async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let frame = timeout(Duration::from_mins(1), self.body.frame())
                .await
                .unwrap()?;
            let bytes = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_default().to_owned()
            };
            let kind = field("event: ");
            if !kind.is_empty() {
                assert_eq!(block.lines().count(), 3, "{block}");
                let data = serde_json::from_str(&field("data: ")).unwrap();
                let id = field("id: ");
                return Some(Event { kind, id, data });
            }
        }
    }
}

fn open_streams(state: &ApiState) -> i64 {
    state.metrics.event_streams().get()
}

#[tokio::test(start_paused = true)]
async fn a_stream_says_where_it_begins_and_then_what_changes() {
    let mut stage = stage();
    let app = app(&stage);
    let mut client = Client::open(&app, &Reach::ALL, "", None).await;
    assert_eq!(client.block().await.unwrap(), "retry: 2000");
    let first = client.event().await.unwrap();
    assert_eq!(
        (first.kind.as_str(), first.id.as_str()),
        ("generation", "1001")
    );
    assert_eq!(
        first.data,
        serde_json::json!({"generation": 1001, "complete": false})
    );
    stage.list("b", Vec::new());
    let event = client.event().await.unwrap();
    assert_eq!(
        (event.kind.as_str(), event.id.as_str()),
        ("changes", "1002")
    );
    assert_eq!(event.data["generation"], 1002);
    assert_eq!(short(&event.data), ["1002 source_state b"]);
    let (_, page) = get(&app, "/changes?since=1001").await;
    assert_eq!(event.data["items"], page["items"]);
    assert_eq!(event.data["at"], page["items"][0]["at"]);
    // Then there is nothing to say, which is said.
    let began = Instant::now();
    for beat in 1..=3 {
        assert_eq!(client.block().await.unwrap(), ":");
        assert_eq!(began.elapsed().as_secs(), beat * 15);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_where_it_was_cut_off() {
    let mut stage = stage();
    let app = app(&stage);
    stage.list("a", vec![cluster("a", "1", "failed", None)]);
    let mut client = Client::open(&app, &Reach::ALL, "since=1000", None).await;
    assert_eq!(client.event().await.unwrap().id, "1000");
    let first = client.event().await.unwrap();
    assert_eq!(short(&first.data).len(), 3);
    drop(client);
    stage.fail("a");
    // The last event that was read goes before what was asked for.
    let mut client = Client::open(&app, &Reach::ALL, "since=1000", Some(&first.id)).await;
    assert_eq!(client.event().await.unwrap().id, "1001");
    let told = [client.event().await.unwrap(), client.event().await.unwrap()];
    assert_eq!(
        short(&told[0].data),
        ["1002 updated a:1", "1002 missing a:2"]
    );
    assert_eq!(short(&told[1].data), ["1003 source_state a"]);
    let since = crate::inventory::testing::at(1_002);
    let mut client = Client::open(&app, &Reach::ALL, &format!("since={since}"), Some("")).await;
    assert_eq!(client.event().await.unwrap().id, "1002");
    assert_eq!(client.event().await.unwrap().id, "1003");
}

#[tokio::test(start_paused = true)]
async fn a_large_generation_comes_in_parts_that_can_be_resumed() {
    let mut stage = Stage::new(&["a"]);
    let app = app(&stage);
    let list = (0..1_200).map(|id| cluster("a", &format!("{id:04}"), "running", None));
    stage.list("a", list.collect());
    let mut last = "1000".to_owned();
    let mut told = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut client = Client::open(&app, &Reach::ALL, "kind=added", Some(&last)).await;
        assert_eq!(client.event().await.unwrap().id, last);
        let event = client.event().await.unwrap();
        last.clone_from(&event.id);
        ids.push((event.id.clone(), short(&event.data).len()));
        told.extend(short(&event.data));
    }
    // The first change is the source's.
    let expected = [("1001.501", 500), ("1001.1001", 500), ("1001", 200)];
    assert_eq!(ids, expected.map(|(id, count)| (id.to_owned(), count)));
    let whole = walk(&app, &Reach::ALL, "since=1000&kind=added&limit=1000")
        .await
        .unwrap();
    let whole = short(&serde_json::json!({ "items": whole }));
    assert_eq!(told, whole);
}

#[tokio::test(start_paused = true)]
async fn generations_that_pass_are_told_from_time_to_time() {
    let mut stage = stage();
    let app = app(&stage);
    let mut client = Client::open(&app, &Reach::ALL, "source=b", None).await;
    assert_eq!(client.event().await.unwrap().id, "1001");
    let began = Instant::now();
    stage.fail("a");
    stage.list("a", Vec::new());
    let event = client.event().await.unwrap();
    assert_eq!(
        (event.kind.as_str(), event.id.as_str()),
        ("generation", "1003")
    );
    assert_eq!(began.elapsed().as_secs(), 10);
    stage.fail("a");
    assert_eq!(client.event().await.unwrap().id, "1004");
    assert_eq!(began.elapsed().as_secs(), 20);
    stage.list("b", Vec::new());
    let event = client.event().await.unwrap();
    assert_eq!(
        (event.kind.as_str(), event.id.as_str()),
        ("changes", "1005")
    );
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_go_on_begins_anew() {
    let mut stage = Stage::new(&["a"]).with_feed_of(3_000);
    let app = app(&stage);
    let turn = |stage: &mut Stage| {
        for state in ["running", "failed"].into_iter().cycle().take(20) {
            stage.list("a", vec![cluster("a", "1", state, None)]);
        }
    };
    turn(&mut stage);
    for since in ["1000", "5000", "2026-01-01T00:00:00Z"] {
        let mut client = Client::open(&app, &Reach::ALL, &format!("since={since}"), None).await;
        let event = client.event().await.unwrap();
        assert_eq!((event.kind.as_str(), event.id.as_str()), ("reset", "1020"));
        assert_eq!(event.data, serde_json::json!({"generation": 1020}));
        assert_eq!(client.event().await.unwrap().kind, "generation");
    }
    let mut client = Client::open(&app, &Reach::ALL, "", None).await;
    assert_eq!(client.event().await.unwrap().id, "1020");
    // One that falls behind.
    turn(&mut stage);
    let event = client.event().await.unwrap();
    assert_eq!((event.kind.as_str(), event.id.as_str()), ("reset", "1040"));
    stage.fail("a");
    assert_eq!(client.event().await.unwrap().id, "1041");
}

#[tokio::test(start_paused = true)]
async fn streams_are_counted_and_there_are_only_so_many() {
    let stage = stage();
    let state = state_over(&stage.inventory, None, Settings::default());
    let app = router(state.clone());
    let first = Client::open(&app, &Reach::ALL, "", None).await;
    let mut others = Vec::new();
    for _ in 1..super::super::stream::MOST_STREAMS {
        others.push(Client::open(&app, &Reach::ALL, "", None).await);
    }
    assert_eq!(open_streams(&state), super::super::stream::MOST_STREAMS);
    assert_eq!(state.metrics.in_flight().get(), 0);
    let (status, body) = get(&app, "/events").await;
    assert_eq!((status, &body["code"]), (503, &"OVERLOADED".into()));
    drop(first);
    drop(Client::open(&app, &Reach::ALL, "", None).await);
    drop(others);
    assert_eq!(open_streams(&state), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_ends_its_streams_and_takes_no_new_ones() {
    let stage = stage();
    let state = state_over(&stage.inventory, None, Settings::default());
    let app = router(state.clone());
    let mut client = Client::open(&app, &Reach::ALL, "", None).await;
    client.event().await.unwrap();
    let began = Instant::now();
    let (end, ()) = tokio::join!(client.event(), async { state.drain() });
    assert_eq!((end, began.elapsed()), (None, Duration::ZERO));
    let (status, body) = get(&app, "/events").await;
    assert_eq!((status, &body["code"]), (503, &"SHUTTING_DOWN".into()));
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_key_that_opened_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("keys.json"));
    let new = NewKey {
        name: "test".to_owned(),
        scopes: Scopes::NONE.with(Scope::ClustersRead),
        sources: None,
        projects: None,
        expires_at: None,
    };
    let made = file.create(new, Timestamp::now()).unwrap();
    let settings = access::Settings {
        keys_file: Some(file.path().to_owned()),
        ..access::Settings::default()
    };
    let access = Access::start(&settings, &Handle::current()).unwrap();
    let stage = stage();
    let closed = Settings {
        open: false,
        ..Settings::default()
    };
    let app = router(state_for(&stage.inventory, None, closed, access));
    let key = format!("Bearer {}", made.text.expose_secret());
    let mut request = Request::get("/events").body(Body::empty()).unwrap();
    request
        .headers_mut()
        .insert("authorization", key.parse().unwrap());
    let response = send_request(&app, request).await;
    assert_eq!(response.status(), 200);
    let mut client = Client {
        body: response.into_body(),
        text: String::new(),
    };
    client.event().await.unwrap();
    assert_eq!(client.block().await.as_deref(), Some(":"));
    file.revoke(&made.entry.id, Timestamp::now()).unwrap();
    let began = Instant::now();
    while client.block().await.is_some() {
        assert!(began.elapsed().as_secs() <= 30);
    }
    assert!(began.elapsed().as_secs() <= 30);
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused() {
    let stage = stage();
    let app = app(&stage);
    for (query, parameter) in [
        ("since=x", "since"),
        ("since=", "since"),
        ("kind=x", "kind"),
        ("limit=1", "limit"),
        ("state=x", "state"),
    ] {
        let (status, body) = get(&app, &format!("/events?{query}")).await;
        assert_eq!(status, 400, "{query}");
        assert_eq!(body["errors"][0]["parameter"], parameter);
    }
    let mut request = Request::get("/events").body(Body::empty()).unwrap();
    request
        .headers_mut()
        .insert("last-event-id", "x".parse().unwrap());
    let body = json(send_request(&app, request).await).await;
    assert_eq!(body["errors"][0]["parameter"], "Last-Event-ID");
    for (accept, status) in [
        ("application/json", 406),
        ("text/event-stream", 200),
        ("application/json, text/*;q=0.1", 200),
    ] {
        let mut request = Request::get("/events").body(Body::empty()).unwrap();
        request
            .headers_mut()
            .insert("accept", accept.parse().unwrap());
        assert_eq!(
            send_request(&app, request).await.status(),
            status,
            "{accept}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_of_nothing_that_is_not_seen() {
    let mut stage = stage();
    let app = app(&stage);
    let mut client = Client::open(&app, &of_source("b"), "", None).await;
    client.event().await.unwrap();
    let mut of_p = Client::open(&app, &of_project("p"), "", None).await;
    of_p.event().await.unwrap();
    stage.list("a", vec![cluster("a", "2", "running", Some("q"))]);
    stage.list("b", vec![cluster("b", "9", "running", Some("q"))]);
    let event = client.event().await.unwrap();
    assert_eq!(
        short(&event.data),
        ["1003 source_state b", "1003 added b:9"]
    );
    let event = of_p.event().await.unwrap();
    assert_eq!(short(&event.data), ["1002 missing a:1"]);
    let event = of_p.event().await.unwrap();
    assert_eq!(short(&event.data), ["1003 source_state b"]);
}
