//! What the API says of webhooks, and what can be asked of it.

use axum::body::Body;
use http::Request;
use serde_json::json;

use super::*;
use crate::store::store_in;

async fn post(rig: &Rig, target: &str) -> crate::support::Reply {
    rig.send(Request::post(target).body(Body::empty()).unwrap())
        .await
}

#[tokio::test]
async fn events_arrive_signed_and_the_api_tells_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        clusters: 3,
        ..Plan::default()
    };
    let sandbox = plan.sandbox().await;
    let receiver = Receiver::start().await;
    let hooks = vec![
        receiver.webhook("ops", ""),
        receiver.webhook("gone", "provider=latitude&kind=missing,removed"),
    ];
    let rig = telling(&sandbox, &plan, &store_in(folder.path()), hooks).await;
    rig.settled().await;
    told(&rig).await;
    let begun = rig.snapshot().generation;
    // A cluster comes and another one goes.
    let before = receiver.changes().len();
    let vendor = rig.vendor("latitude");
    let added = vendor.add();
    let truth = vendor.truth();
    let gone = truth.iter().find(|one| one.id != added).unwrap().id.clone();
    vendor.remove(&gone);
    rig.refresh("latitude").await;
    rig.refresh("latitude").await;
    told(&rig).await;
    assert!(receiver.changes().len() > before);
    let types: BTreeSet<String> = (receiver.bodies().iter())
        .map(|body| body["type"].as_str().unwrap().to_owned())
        .collect();
    for wanted in ["cluster.added", "cluster.missing", "cluster.removed"] {
        assert!(types.contains(wanted), "{types:?}");
    }
    // All that the API tells was told.
    let changes = rig.get("/changes?limit=1000").await.json();
    let items = changes["items"].as_array().unwrap().iter();
    let later: Vec<&Value> = items
        .filter(|item| item["generation"].as_u64() > Some(begun))
        .collect();
    assert!(later.len() >= 3, "{later:?}");
    for change in later {
        assert!(receiver.changes().contains(&change.to_string()), "{change}");
    }

    let list = rig.get("/webhooks").await;
    assert!(!list.text.contains(TOKEN));
    let list = list.json();
    let [ops, filtered] = list["items"].as_array().unwrap().as_slice() else {
        panic!("{list}");
    };
    assert_eq!(filtered["delivered"], 2);
    assert_eq!(filtered["filter"], "provider=latitude&kind=missing,removed");
    insta::assert_json_snapshot!(ops, {
        ".target" => "[origin]", ".cursor" => "[cursor]", ".last_success_at" => "[time]", ".delivered" => "[count]",
    });

    // Page by page, the newest first.
    let mut target = "/webhooks/ops/deliveries?limit=4".to_owned();
    let mut ids = Vec::new();
    loop {
        let page = rig.get(&target).await;
        let body = page.json();
        ids.extend(body["items"].as_array().unwrap().iter().cloned());
        let Some(next) = body["next_cursor"].as_str() else {
            break;
        };
        assert!(page.header("link").contains(next));
        target = format!("/webhooks/ops/deliveries?limit=4&cursor={next}");
    }
    assert_eq!(json!(ids.len()), ops["delivered"]);
    let generations: Vec<u64> = ids
        .iter()
        .map(|one| one["generation"].as_u64().unwrap())
        .collect();
    assert!(generations.is_sorted_by(|one, next| one >= next));
    let distinct: BTreeSet<&str> = ids.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert_eq!(distinct.len(), ids.len());
    let removed = rig.get("/webhooks/gone/deliveries?limit=1").await.json();
    insta::assert_json_snapshot!(removed["items"][0], {
        ".id" => "[id]", ".generation" => "[generation]", ".created_at" => "[time]", ".last_attempt_at" => "[time]",
        ".ended_at" => "[time]", ".subject" => "[cluster]",
    });

    let metrics = rig.get("/metrics").await.text;
    for line in [
        "clustergate_webhook_attempts_total{webhook=\"gone\",outcome=\"delivered\"} 2\n",
        "clustergate_webhook_up{webhook=\"ops\"} 1\n",
        "clustergate_webhook_pending_events{webhook=\"ops\"} 0\n",
        "clustergate_webhook_dead_letters{webhook=\"ops\"} 0\n",
        "clustergate_webhook_oldest_pending_age_seconds{webhook=\"ops\"} 0.0\n",
        "clustergate_webhook_delivery_seconds_count{webhook=\"gone\"} 2\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_webhook_can_be_tried_and_a_refused_event_sent_anew() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        clusters: 1,
        ..Plan::default()
    };
    let sandbox = plan.sandbox().await;
    let receiver = Receiver::start().await;
    let mut hook = receiver.webhook("ops", "kind=returned");
    hook.settings.max_attempts = Some(1);
    let rig = telling(&sandbox, &plan, &store_in(folder.path()), vec![hook]).await;
    rig.settled().await;
    begun(&rig).await;
    receiver.refuse(&[418]);
    let accepted = post(&rig, "/webhooks/ops/test").await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    assert_eq!(accepted.header("location"), "/webhooks/ops/deliveries");
    let test = accepted.json();
    assert_eq!(
        (&test["type"], &test["state"]),
        (&json!("webhook.test"), &json!("pending"))
    );
    let id = test["id"].as_str().unwrap();
    let in_state = |state: &'static str| {
        let rig = &rig;
        async move {
            let target = format!("/webhooks/ops/deliveries?state={state}");
            rig.get(&target).await.json()["items"].clone()
        }
    };
    until("it is dead", || async {
        in_state("dead").await[0]["id"] == id
    })
    .await;
    let dead = in_state("dead").await;
    assert_eq!(
        (&dead[0]["status"], &dead[0]["code"]),
        (&json!(418), &json!("REFUSED"))
    );
    let webhook = rig.get("/webhooks").await.json()["items"][0].clone();
    assert_eq!(
        (&webhook["state"], &webhook["dead"]),
        (&json!("failing"), &json!(1))
    );
    assert_eq!(webhook["last_failure"]["status"], 418);
    let again = post(&rig, &format!("/webhooks/ops/deliveries/{id}/redeliver")).await;
    assert_eq!(
        (again.status.as_u16(), again.json()["id"].as_str()),
        (202, Some(id))
    );
    until("it is taken", || async {
        in_state("delivered").await[0]["id"] == id
    })
    .await;
    assert_eq!(receiver.bodies()[0]["data"], json!({"webhook": "ops"}));

    for (method, target, status, code) in [
        ("GET", "/webhooks/none/deliveries", 404, "WEBHOOK_NOT_FOUND"),
        ("POST", "/webhooks/none/test", 404, "WEBHOOK_NOT_FOUND"),
        (
            "POST",
            "/webhooks/none/deliveries/x/redeliver",
            404,
            "WEBHOOK_NOT_FOUND",
        ),
        (
            "POST",
            "/webhooks/ops/deliveries/evt_x/redeliver",
            404,
            "DELIVERY_NOT_FOUND",
        ),
        (
            "GET",
            "/webhooks/ops/deliveries?state=lost",
            400,
            "INVALID_PARAMETER",
        ),
        (
            "GET",
            "/webhooks/ops/deliveries?limit=0",
            400,
            "INVALID_PARAMETER",
        ),
        (
            "GET",
            "/webhooks/ops/deliveries?cursor=x",
            400,
            "INVALID_CURSOR",
        ),
        ("GET", "/webhooks?all=1", 400, "UNKNOWN_PARAMETER"),
        ("POST", "/webhooks/ops/test?now=1", 400, "UNKNOWN_PARAMETER"),
    ] {
        let request = Request::builder().method(method).uri(target);
        let reply = rig.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, status, "{target}: {}", reply.text);
        assert_eq!(reply.json()["code"], code, "{target}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_gateway_without_webhooks_has_none() {
    let rig = Rig::start(Plan {
        clusters: 1,
        ..Plan::default()
    })
    .await;
    assert_eq!(rig.get("/webhooks").await.json(), json!({"items": []}));
    let reply = post(&rig, "/webhooks/ops/test").await;
    assert_eq!(reply.json()["code"], "WEBHOOK_NOT_FOUND");
    assert!(
        !rig.get("/metrics")
            .await
            .text
            .contains("clustergate_webhook")
    );
    rig.stop().await;
}
