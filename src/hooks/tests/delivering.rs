//! How events are handed over: signed, tried again, given up.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::testing::{Sent, answer};
use super::*;

fn gaps(sent: &[Sent]) -> Vec<Duration> {
    sent.windows(2)
        .map(|pair| pair[1].at.saturating_sub(pair[0].at))
        .collect()
}

/// What a receiver does, by its own means.
fn is_signed(sent: &Sent) -> bool {
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let (id, at) = (sent.id(), sent.header("webhook-timestamp"));
    let text = [id.as_bytes(), b".", at.as_bytes(), b".", &sent.body[..]].concat();
    let signature = sent.header("webhook-signature");
    let signatures = signature
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"));
    let mut signatures = signatures.map(|one| STANDARD.decode(one).unwrap());
    signatures.any(|one| hmac::verify(&key, &text, &one).is_ok())
}

#[tokio::test(start_paused = true)]
async fn an_event_is_tried_again_with_the_same_id_until_it_is_taken() {
    let mut field = Field::new();
    let server = Server::new(vec![
        answer(500, None),
        Err(PostError::Timeout),
        answer(302, None),
        answer(404, Some(9_999)),
        answer(500, Some(9_999)),
    ]);
    let webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    field.list("a", 1);
    until("it is taken", || {
        field.outbox.is(DeliveryState::Delivered, 2)
    })
    .await;
    // The source's own event, and the cluster's.
    let of_cluster: Vec<Sent> = (server.sent().into_iter())
        .filter(|sent| sent.json()["type"] == "cluster.added")
        .collect();
    let ids: BTreeSet<&str> = of_cluster.iter().map(Sent::id).collect();
    let bodies: BTreeSet<&[u8]> = of_cluster.iter().map(|sent| &sent.body[..]).collect();
    assert_eq!((ids.len(), bodies.len()), (1, 1));
    assert!(server.sent().iter().all(is_signed));
    let sent = server.sent();
    assert_eq!(sent.len(), 7, "five failed and two were taken");
    // Only who is busy says when to come back: nothing waited for hours.
    assert!(
        gaps(&sent)
            .into_iter()
            .all(|gap| gap <= Duration::from_mins(6))
    );
    let first: i64 = of_cluster[0].header("webhook-timestamp").parse().unwrap();
    let last: i64 = of_cluster
        .last()
        .unwrap()
        .header("webhook-timestamp")
        .parse()
        .unwrap();
    assert!(last > first, "each attempt has its own time");
    let report = webhooks.reports().await.unwrap().remove(0);
    assert_eq!((report.tally.delivered, report.tally.retried), (2, 5));
    assert_eq!(report.tally.latency.count, 2);
    assert_eq!(report.condition, Condition::Active);
}

#[tokio::test(start_paused = true)]
async fn waits_grow_and_a_server_that_fails_is_left_alone() {
    let field = Field::new();
    let server = Server::new(Vec::new());
    *server.usual.lock().unwrap() = answer(503, None);
    let webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    webhooks.test("ops").await.unwrap().unwrap();
    until("it is dead", || field.outbox.is(DeliveryState::Dead, 1)).await;
    let gaps = gaps(&server.sent());
    let seconds: Vec<u64> = gaps
        .iter()
        .map(|gap| (*gap + Duration::from_millis(500)).as_secs())
        .collect();
    assert_eq!(seconds[..8], [5, 10, 20, 40, 80, 160, 320, 640]);
    assert!(seconds[8..].iter().all(|gap| *gap <= 3_601), "{seconds:?}");
    let row = field.outbox.rows().remove(0);
    assert_eq!(
        (row.code.as_deref(), row.status),
        (Some("SERVER_ERROR"), Some(503))
    );
    let lived = row.ended_at.unwrap().duration_since(row.created_at);
    assert!(
        lived.as_hours() >= 22 && lived.as_hours() <= 24,
        "{lived:?}"
    );
    let report = webhooks.reports().await.unwrap().remove(0);
    assert_eq!(
        (report.tally.dead, report.condition),
        (1, Condition::Failing)
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_is_probed_and_not_hammered() {
    let mut field = Field::new();
    let server = Server::new(Vec::new());
    *server.usual.lock().unwrap() = Err(PostError::Unreachable);
    let _webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    field.list("a", 500);
    sleep(Duration::from_hours(6)).await;
    let tried = server.sent().len();
    assert!((70..200).contains(&tried), "{tried} attempts in six hours");
    *server.usual.lock().unwrap() = answer(200, None);
    until("all are taken", || {
        field.outbox.is(DeliveryState::Delivered, 501)
    })
    .await;
    assert_eq!(server.ids().len(), 501);
}

#[tokio::test(start_paused = true)]
async fn who_is_busy_says_when_to_come_back() {
    for (status, asked, least, most) in [
        (429, 120, 120, 122),
        (503, 120, 120, 122),
        // Not for days.
        (429, 1_000_000, 7_200, 7_202),
        // It does not say so of itself.
        (400, 120, 4, 6),
    ] {
        let field = Field::new();
        let server = Server::new(vec![answer(status, Some(asked))]);
        let webhooks = field.start(vec![(webhook("ops"), &server)]);
        field.begun(&["ops"]).await;
        webhooks.test("ops").await.unwrap().unwrap();
        until("it is taken", || {
            field.outbox.is(DeliveryState::Delivered, 1)
        })
        .await;
        let gap = gaps(&server.sent())[0].as_secs();
        assert!((least..=most).contains(&gap), "{status}: {gap} s");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_can_be_bounded_and_a_dead_letter_sent_anew() {
    let field = Field::new();
    let server = Server::new(vec![answer(500, None), answer(500, None)]);
    let mut hook = webhook("ops");
    hook.settings.max_attempts = Some(2);
    let webhooks = field.start(vec![(hook, &server)]);
    field.begun(&["ops"]).await;
    let added = webhooks.test("ops").await.unwrap().unwrap();
    until("it is dead", || field.outbox.is(DeliveryState::Dead, 1)).await;
    assert_eq!(server.sent().len(), 2);
    assert_eq!(webhooks.redeliver("ops", "evt_none").await, Ok(None));
    assert_eq!(webhooks.redeliver("none", &added.id).await, Ok(None));
    let again = webhooks.redeliver("ops", &added.id).await.unwrap().unwrap();
    assert_eq!(
        (again.id.as_str(), again.state),
        (added.id.as_str(), DeliveryState::Pending)
    );
    until("it is taken", || {
        field.outbox.is(DeliveryState::Delivered, 1)
    })
    .await;
    let sent = server.sent();
    assert_eq!((sent.len(), &sent[2].body), (3, &sent[0].body));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_is_left_alone_until_somebody_asks() {
    let mut field = Field::new();
    let server = Server::new(vec![answer(410, None)]);
    let webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    let first = webhooks.test("ops").await.unwrap().unwrap();
    sleep(Duration::from_hours(2)).await;
    assert_eq!(server.sent().len(), 1);
    // Another gateway knows it, and one that is started anew as well.
    let other = field.start(vec![(webhook("ops"), &server)]);
    webhooks.stop(PATIENCE).await;
    drop(webhooks);
    let webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.list("a", 3);
    sleep(Duration::from_hours(2)).await;
    assert_eq!(server.sent().len(), 1);
    for webhooks in [&webhooks, &other] {
        let condition = webhooks.reports().await.unwrap()[0].condition;
        assert_eq!(condition, Condition::Disabled);
    }
    webhooks.redeliver("ops", &first.id).await.unwrap().unwrap();
    until("all are taken", || {
        field.outbox.is(DeliveryState::Delivered, 5)
    })
    .await;
    for webhooks in [&webhooks, &other] {
        let condition = webhooks.reports().await.unwrap()[0].condition;
        assert_eq!(condition, Condition::Active);
    }
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_server_that_is_gone_is_given_up_in_time() {
    let field = Field::new();
    let server = Server::new(vec![answer(410, None)]);
    let webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    webhooks.test("ops").await.unwrap().unwrap();
    until("it is dead", || field.outbox.is(DeliveryState::Dead, 1)).await;
    assert_eq!(server.sent().len(), 1);
    assert_eq!(field.outbox.rows()[0].code.as_deref(), Some("GONE"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_keeps_no_other_waiting_and_has_few_requests_at_once() {
    let mut field = Field::new();
    let (slow, quick) = (Server::new(Vec::new()), Server::new(Vec::new()));
    *slow.takes.lock().unwrap() = Duration::from_secs(9);
    let mut hook = webhook("slow");
    hook.settings.max_in_flight = 3;
    let _webhooks = field.start(vec![(hook, &slow), (webhook("quick"), &quick)]);
    field.begun(&["slow", "quick"]).await;
    field.list("a", 100);
    until("the quick one has all", || quick.sent().len() == 101).await;
    assert!(slow.sent().len() <= 6, "{}", slow.sent().len());
    until("the slow one has all", || {
        field.outbox.is(DeliveryState::Delivered, 202)
    })
    .await;
    assert_eq!(*slow.most_open.lock().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn events_of_one_cluster_set_out_in_order() {
    let mut field = Field::new();
    let server = Server::new(Vec::new());
    *server.takes.lock().unwrap() = Duration::from_millis(700);
    let mut hook = webhook("ops");
    hook.settings.max_in_flight = 16;
    let _webhooks = field.start(vec![(hook, &server)]);
    field.begun(&["ops"]).await;
    for state in ["running", "failed", "running", "degraded", "running"] {
        let clusters = ["1", "2", "3"].map(|id| cluster("a", id, state, None));
        field.stage.list("a", clusters.to_vec());
    }
    let all = 1 + 5 * 3;
    until("all are taken", || {
        field.outbox.is(DeliveryState::Delivered, all)
    })
    .await;
    for id in ["a:1", "a:2", "a:3"] {
        let sent = server.sent().into_iter();
        let sent: Vec<Sent> = sent
            .filter(|sent| sent.json()["data"]["cluster"] == id)
            .collect();
        let generations: Vec<u64> = (sent.iter())
            .map(|sent| sent.json()["data"]["generation"].as_u64().unwrap())
            .collect();
        assert!(generations.is_sorted(), "{id}: {generations:?}");
        assert_eq!(generations.len(), 5);
        assert!(
            gaps(&sent)
                .iter()
                .all(|gap| *gap >= Duration::from_millis(700))
        );
    }
    assert!(
        *server.most_open.lock().unwrap() >= 3,
        "clusters do not wait for each other"
    );
}

#[tokio::test(start_paused = true)]
async fn two_gateways_send_each_event_once() {
    let mut field = Field::new();
    let (one, two) = (Server::new(Vec::new()), Server::new(Vec::new()));
    for server in [&one, &two] {
        *server.takes.lock().unwrap() = Duration::from_millis(300);
    }
    let _first = field.start(vec![(webhook("ops"), &one)]);
    let _second = field.start(vec![(webhook("ops"), &two)]);
    field.begun(&["ops"]).await;
    field.list("a", 200);
    until("all are taken", || {
        field.outbox.is(DeliveryState::Delivered, 201)
    })
    .await;
    assert_eq!((&one.ids() | &two.ids()).len(), 201);
    let (one, two) = (one.sent(), two.sent());
    assert_eq!(one.len() + two.len(), 201);
    assert!(
        one.len() > 20 && two.len() > 20,
        "both work: {} {}",
        one.len(),
        two.len()
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_dead_gateway_had_claimed_is_sent_by_another() {
    let field = Field::new();
    let (dying, other) = (Server::new(Vec::new()), Server::new(Vec::new()));
    *dying.takes.lock().unwrap() = PATIENCE;
    let mut hook = webhook("ops");
    hook.settings.max_in_flight = 1;
    let first = field.start(vec![(hook, &dying)]);
    field.begun(&["ops"]).await;
    first.test("ops").await.unwrap().unwrap();
    until("it is claimed", || dying.sent().len() == 1).await;
    let _second = field.start(vec![(webhook("ops"), &other)]);
    sleep(Duration::from_secs(20)).await;
    assert!(
        other.sent().is_empty(),
        "while it is claimed nobody else sends it"
    );
    until("it is taken", || {
        field.outbox.is(DeliveryState::Delivered, 1)
    })
    .await;
    let (sent, again) = (dying.sent(), other.sent());
    assert_eq!((sent.len(), again.len()), (1, 1));
    assert_eq!(sent[0].id(), again[0].id());
    assert!(again[0].at <= Duration::from_secs(40), "{:?}", again[0].at);
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_is_away_for_a_while_loses_nothing() {
    let mut field = Field::new();
    let server = Server::new(Vec::new());
    *server.takes.lock().unwrap() = Duration::from_secs(1);
    let _webhooks = field.start(vec![(webhook("ops"), &server)]);
    field.begun(&["ops"]).await;
    field.list("a", 10);
    until("some are taken", || server.sent().len() > 4).await;
    field.outbox.set_broken(true);
    field.list("b", 10);
    sleep(Duration::from_mins(10)).await;
    field.outbox.set_broken(false);
    until("all are taken", || {
        field.outbox.is(DeliveryState::Delivered, 22)
    })
    .await;
    assert_eq!(server.ids().len(), 22);
}

#[tokio::test(start_paused = true)]
async fn chance_keeps_waits_within_their_bounds() {
    let field = Field::new();
    let server = Server::new(Vec::new());
    *server.usual.lock().unwrap() = answer(500, None);
    let hooks = vec![(webhook("ops"), &server)];
    let webhooks = field.start_with(hooks, crate::upstream::random_up_to);
    field.begun(&["ops"]).await;
    webhooks.test("ops").await.unwrap().unwrap();
    until("it is dead", || field.outbox.is(DeliveryState::Dead, 1)).await;
    let gaps = gaps(&server.sent());
    assert!(gaps.len() > 20, "{}", gaps.len());
    let distinct: BTreeSet<u128> = gaps.iter().map(Duration::as_millis).collect();
    assert!(distinct.len() > gaps.len() / 2, "they look alike: {gaps:?}");
    for (attempts, gap) in (1..).zip(&gaps) {
        // What is due is found within a look at the outbox.
        let most = super::super::backoff::ceiling(attempts).max(Duration::from_mins(5));
        assert!(*gap >= Duration::from_secs(1), "{gap:?}");
        assert!(*gap <= most + Duration::from_secs(6), "{attempts}: {gap:?}");
    }
}
