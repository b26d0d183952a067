//! Sources come and go with the configuration, and whoever follows the changes hears of it.

use std::time::Duration;

use clustergate::store::Settings;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::store_in;
use crate::support::{PATIENCE, Plan, Rig};

/// The source that is not always configured.
const SOURCE: &str = "lakesail";

/// Every change since a generation.
async fn changes(rig: &Rig, since: &str) -> Vec<Value> {
    let target = format!("/changes?since={since}&limit=1000");
    // What was published just now may not be in the store yet.
    let reading = async {
        loop {
            let reply = rig.get(&target).await;
            if reply.status != 503 {
                return reply;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let reply = timeout(PATIENCE, reading).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text);
    let body = reply.json();
    assert!(body["next_cursor"].is_null());
    body["items"].as_array().unwrap().clone()
}

/// What is told of the state of the source, as far as it came or went, and of its clusters.
fn told(changes: &[Value]) -> (Vec<(Value, Value)>, usize, usize) {
    let own = changes.iter().filter(|one| one["source"] == SOURCE);
    let own: Vec<&Value> = own.collect();
    let states = own.iter().filter(|one| one["kind"] == "source_state");
    let states = states.filter_map(|one| {
        let fields = one["fields"].as_array()?.iter();
        let mut fields = fields.filter(|field| field["field"] == "state");
        let field = fields.next()?;
        Some((field["old"].clone(), field["new"].clone()))
    });
    let states = states.filter(|(old, new)| old.is_null() || new.is_null());
    let count = |kind: &str| own.iter().filter(|one| one["kind"] == kind).count();
    (states.collect(), count("added"), count("removed"))
}

/// Waits until the source is told as it is to be.
async fn until(
    rig: &Rig,
    since: &str,
    is_so: impl Fn(&(Vec<(Value, Value)>, usize, usize)) -> bool,
) {
    let waiting = async {
        while !is_so(&told(&changes(rig, since).await)) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let is_so = timeout(PATIENCE, waiting).await.is_ok();
    assert!(is_so, "{:?}", told(&changes(rig, since).await));
}

async fn generation(rig: &Rig) -> String {
    let list = rig.get("/clusters?limit=1000").await.json();
    list["generation"].to_string()
}

/// Gateways, one after the other, of which one does not have the source.
pub(super) async fn comes_and_goes(store: &Settings) {
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let all = plan.configs(&sandbox);
    let mut some = all.clone();
    some.retain(|config| config.name.as_str() != SOURCE);
    let rig = super::whole(&sandbox, &plan, store).await;
    let since = generation(&rig).await;
    let had = rig.get("/clusters?limit=1000").await.json();
    let of_source = |list: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        items.filter(|item| item["source"] == SOURCE).count()
    };
    let count = of_source(&had);
    assert!(count > 0);
    rig.stop().await;

    let rig = Rig::remembering_of(&sandbox, &some, store).await;
    rig.settled().await;
    let null = Value::Null;
    until(&rig, &since, |told| {
        *told == (vec![("fresh".into(), null.clone())], 0, count)
    })
    .await;
    let gone = generation(&rig).await;
    rig.stop().await;
    // Told once.
    let rig = Rig::remembering_of(&sandbox, &some, store).await;
    rig.settled().await;
    assert_eq!(told(&changes(&rig, &gone).await), (vec![], 0, 0));
    let last = generation(&rig).await;
    rig.stop().await;

    let rig = Rig::remembering_of(&sandbox, &all, store).await;
    rig.settled().await;
    until(&rig, &last, |told| {
        *told == (vec![(null.clone(), "stale".into())], count, 0)
    })
    .await;
    // What there was before is known as it was.
    let then = rig
        .get(&format!("/clusters?limit=1000&as_of={since}"))
        .await
        .json();
    assert_eq!(of_source(&then), count);
    let fresh = then["items"].as_array().unwrap().iter();
    let fresh = fresh.filter(|item| item["presence"] == "present").count();
    let was = had["items"].as_array().unwrap().iter();
    let was = was.filter(|item| item["presence"] == "present").count();
    assert_eq!(fresh, was);
    rig.stop().await;
}

/// Two gateways at once, of which one does not have the source any more.
pub(super) async fn is_rolled_out(store: &Settings) {
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let mut some = plan.configs(&sandbox);
    some.retain(|config| config.name.as_str() != SOURCE);
    let before = super::whole(&sandbox, &plan, store).await;
    let since = generation(&before).await;
    let after = Rig::remembering_of(&sandbox, &some, store).await;
    after.settled().await;
    // It takes a turn, and finds nothing that it could tell.
    let vendor = some[0].name.as_str();
    sandbox.vendor(vendor.parse().unwrap()).touch();
    after.refresh(vendor).await;
    before.refresh(SOURCE).await;
    assert_eq!(told(&changes(&after, &since).await), (vec![], 0, 0));
    before.stop().await;
    until(&after, &since, |(states, _, removed)| {
        states.len() == 1 && states[0].1.is_null() && *removed > 0
    })
    .await;
    after.stop().await;
}

#[tokio::test]
async fn sources_come_and_go_with_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    comes_and_goes(&store_in(folder.path())).await;
}
