//! Who did what, as whoever may know it reads it from the store.

use std::time::Duration;

use clustergate::access::Scope;
use clustergate::sandbox::Vendor;
use http::Method;
use serde_json::Value;

use super::asks::Call;
use super::{OURS, Stage, source};
use crate::api::contract::Contract;
use crate::api::items;

const GRACE: Duration = Duration::from_secs(10);

/// The part of a key that tells it from others, and is no secret.
fn id(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}

#[tokio::test]
async fn what_was_done_and_what_was_refused_is_told_without_any_secret() {
    let stage = Stage::start().await;
    let own = source(Vendor::LakeSail);
    let refresh = Call::new(Method::POST, format!("/sources/{own}/refresh"));
    let wrong = &stage.keys[&Scope::SourcesRefresh].wrong;
    let right = &stage.keys[&Scope::SourcesRefresh].right;
    assert_eq!(stage.ask(&refresh, Some(wrong)).await.status, 403);
    assert_eq!(stage.ask(&refresh, Some(right)).await.status, 202);
    assert_eq!(stage.ask(&refresh, Some("nonsense")).await.status, 401);
    // All of it is there once nothing waits to be written.
    let access = stage.rig.gateway.access.as_ref().unwrap();
    access.stop(GRACE).await;

    let reader = &stage.keys[&Scope::AuditRead].right;
    let mut contract = Contract::new();
    let mut told = async |query: &str| {
        let call = Call::new(Method::GET, format!("/audit{query}"));
        let answer = stage.ask(&call, Some(reader)).await;
        contract.check("get", "/audit", &call.target, &answer);
        answer
    };
    let all = told("").await;
    assert_eq!(all.status, 200, "{}", all.text());
    for secret in [wrong, right, reader, &stage.admin] {
        let secret = secret.splitn(3, '_').nth(2).unwrap();
        assert!(!all.text().contains(secret), "{}", all.text());
    }
    let event = |item: &Value| {
        let member = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let status = item["status"].as_u64().unwrap();
        (member("action"), member("actor"), member("target"), status)
    };
    let expected = [
        ("authentication_failed", "", own.as_str(), 401),
        ("refresh", id(right), own.as_str(), 202),
        ("forbidden", id(wrong), own.as_str(), 403),
    ];
    let expected = expected.map(|(action, actor, target, status)| {
        (
            action.to_owned(),
            actor.to_owned(),
            target.to_owned(),
            status,
        )
    });
    let all: Vec<Value> = items(&all.json());
    assert_eq!(all.iter().map(event).collect::<Vec<_>>(), expected);
    assert_eq!(all[1]["event"]["route"], "/sources/{name}/refresh");
    assert_eq!(all[1]["request_id"], "same");

    let filtered = format!("?action=forbidden&actor={}&target={own}", id(wrong));
    assert_eq!(items(&told(&filtered).await.json()), all[2..]);
    let none = told(&format!("?target={OURS}")).await;
    assert_eq!(items(&none.json()), [] as [Value; 0]);
    for (query, status) in [("?limit=0", 400), ("?action=x", 400), ("?limit=1", 200)] {
        assert_eq!(told(query).await.status, status, "{query}");
    }
    stage.rig.stop().await;
}
