//! Which events there are: of what changed since a webhook was first seen, as its filter wants it, once each.

use std::sync::atomic::Ordering;

use super::*;
use crate::inventory::query::{Dimension, Filter, Term};

fn told(field: &Field) -> Vec<String> {
    let mut told: Vec<String> = (field.outbox.rows().iter())
        .map(|row| format!("{} {}", row.kind, row.subject.as_deref().unwrap_or("-")))
        .collect();
    told.sort();
    told
}

#[tokio::test(start_paused = true)]
async fn a_webhook_begins_where_it_is_first_seen_and_goes_on_where_it_was() {
    let mut field = Field::new();
    let server = Server::new(Vec::new());
    field.list("a", 3);
    let webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    field.list("a", 4);
    until("what came later", || {
        field.outbox.is(DeliveryState::Delivered, 1)
    })
    .await;
    assert_eq!(told(&field), ["cluster.added a:3"]);
    webhooks.stop(PATIENCE).await;
    drop(webhooks);
    field.list("a", 5);
    field.list("a", 6);
    let webhooks = field.start(vec![(webhook("ops"), &server)]);
    until("what it missed", || {
        field.outbox.is(DeliveryState::Delivered, 3)
    })
    .await;
    assert_eq!(
        told(&field),
        [
            "cluster.added a:3",
            "cluster.added a:4",
            "cluster.added a:5"
        ]
    );
    let cursor = webhooks.reports().await.unwrap()[0]
        .account
        .clone()
        .unwrap()
        .cursor;
    assert_eq!(cursor.known(), field.stage.generation());
    let body = server.sent()[0].json();
    let (_, change) = (body["timestamp"].as_str().unwrap(), &body["data"]);
    assert_eq!(
        (&change["kind"], &change["cluster"]),
        (&"added".into(), &"a:3".into())
    );
    assert_eq!(body["timestamp"], change["at"]);
}

#[tokio::test(start_paused = true)]
async fn filters_kinds_and_sources_choose() {
    let mut field = Field::new();
    let server = Server::new(Vec::new());
    let mut running = webhook("running");
    let states = Term {
        dimension: Dimension::State,
        any: vec!["failed".to_owned()],
        none: Vec::new(),
    };
    running.interest = Arc::new(Interest {
        filter: Filter {
            terms: vec![states],
            texts: Vec::new(),
        },
        kinds: vec![ChangeKind::Updated],
        noise: false,
    });
    let mut of_b = webhook("of-b");
    of_b.settings.sources = Some(BTreeSet::from([SourceName::new("b").unwrap()]));
    let _webhooks = field.start(vec![(running, &server), (of_b, &server)]);
    field.begun(&["running", "of-b"]).await;
    field.list("a", 2);
    field.list("b", 1);
    let clusters = vec![
        cluster("a", "0", "failed", None),
        cluster("a", "1", "running", None),
    ];
    field.stage.list("a", clusters);
    until("what was wanted", || {
        field.outbox.is(DeliveryState::Delivered, 3)
    })
    .await;
    sleep(Duration::from_mins(1)).await;
    assert_eq!(
        told(&field),
        [
            "cluster.added b:0",
            "cluster.updated a:0",
            "source.state_changed b"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn more_than_is_read_at_once_is_told_all_the_same() {
    let mut field = Field::new();
    let server = Server::new(Vec::new());
    let _webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    field.list("a", 1_700);
    until("all", || field.outbox.is(DeliveryState::Delivered, 1_701)).await;
    let ids: BTreeSet<String> = field.outbox.rows().into_iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 1_701);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_any_more_is_told_to_be_lost() {
    let field = Field::new();
    let server = Server::new(Vec::new());
    let name = HookName::new("ops").unwrap();
    let now = (field.clock)();
    // The archive begins later than this.
    let old = crate::inventory::Mark::after(7);
    field.outbox.cursor(&name, old, now).await.unwrap();
    let _webhooks = field.start(vec![(webhook("ops"), &server)]);
    until("it is told", || {
        field.outbox.is(DeliveryState::Delivered, 1)
    })
    .await;
    sleep(Duration::from_mins(5)).await;
    assert_eq!(told(&field), ["changes.lost -"], "once");
    let body = server.sent()[0].json();
    assert_eq!(body["type"], "changes.lost");
    let first = crate::inventory::testing::FIRST;
    assert_eq!(
        body["data"],
        serde_json::json!({"after": 7, "until": first})
    );
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_read_is_read_later() {
    let mut field = Field::new();
    let server = Server::new(Vec::new());
    let _webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    field.stage.archive.broken.store(true, Ordering::Relaxed);
    field.list("a", 2);
    sleep(Duration::from_mins(10)).await;
    assert!(field.outbox.rows().is_empty());
    field.stage.archive.broken.store(false, Ordering::Relaxed);
    until("it is told", || {
        field.outbox.is(DeliveryState::Delivered, 3)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_webhook_of_which_nothing_is_told_is_seen_all_the_same() {
    let mut field = Field::new();
    let server = Server::new(Vec::new());
    let name = HookName::new("ops").unwrap();
    field.list("a", 1);
    let _webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    for days in [1, 3] {
        sleep(Duration::from_hours(days * 24)).await;
        let seen = field.outbox.seen_at(&name).unwrap();
        let ago = (field.clock)().duration_since(seen);
        assert!(ago.as_secs() <= 66, "{ago:?}");
    }
    assert!(server.sent().is_empty());
}
