//! The whole life of one cluster, and of one whose work fails.

use clustergate::sandbox::Fault;
use http::Request;
use serde_json::{Value, json};

use super::super::post;
use super::{LISTS, World};
use crate::api::{ids, items};

#[tokio::test]
async fn a_cluster_lives_from_its_record_to_its_forgetting() {
    let world = World::start("lakesail").await;
    let vendor = world.vendor();
    let count = vendor.len();
    let new = world.new_cluster("one");

    // No list is answered meanwhile, so that none can have shown it.
    let before = world.rig.attempts("lakesail");
    world.break_calls(LISTS, Fault::Hang, false);
    let made = world.with(post("/clusters", "k1"), &new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let report = made.json();
    assert_eq!(
        (&report["pending"], &report["read_back"]),
        (&json!(false), &json!(false))
    );
    let at = made.header("location").to_owned();
    let item = world.listed("one").await.unwrap();
    assert_eq!(
        (&item["id"], &item["status"]["state"]),
        (&report["cluster"], &json!("pending"))
    );
    assert_eq!(item["links"]["self"], at);
    vendor.set_fault(None);
    world.rig.attempted_after("lakesail", before).await;
    assert_eq!(world.state("one").await, "pending");

    let again = world.with(post("/clusters", "k1"), &new).await;
    assert_eq!((again.status, &again.body), (made.status, &made.body));
    for name in ["location", "etag"] {
        assert_eq!(again.header(name), made.header(name), "{name}");
    }
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = world
        .with(post("/clusters", "k1"), &world.new_cluster("two"))
        .await;
    assert_eq!(
        (other.status.as_u16(), other.problem()),
        (422, "IDEMPOTENCY_KEY_REUSED".to_owned())
    );
    assert_eq!((world.writes(), vendor.len()), (1, count + 1));

    let provision = post(&format!("{at}/provision"), "k2");
    let building = world.write(provision, &Value::Null).await;
    assert_eq!(
        (building.status.as_u16(), building.header("retry-after")),
        (202, "5")
    );
    let operation = building.header("location").to_owned();
    assert!(operation.starts_with("/operations/lakesail:OP"));
    assert_eq!(world.state("one").await, "provisioning");
    vendor.advance();
    let going = world.get(&operation).await;
    let work = going.json();
    assert_eq!(
        (&work["state"], &work["done"], going.header("retry-after")),
        (&json!("running"), &json!(false), "5")
    );
    assert_eq!(
        (&work["cluster"], &work["kind"], &work["origin"]),
        (&item["id"], &json!("provision"), &json!("vendor"))
    );
    let counts = &work["progress"]["counts"];
    assert_eq!(
        (&counts["total"], &counts["succeeded"]),
        (&json!(6), &json!(1))
    );
    vendor.finish();
    // Nobody has asked the vendor since.
    assert_eq!(world.state("one").await, "provisioning");
    let work = world.ended(&operation).await;
    assert_eq!(
        (&work["state"], &work["progress"]["counts"]["succeeded"]),
        (&json!("succeeded"), &json!(6))
    );
    assert_eq!(world.state("one").await, "running");

    let etag = world.get(&at).await.header("etag").to_owned();
    let patch = vendor.example("one").unwrap().patch;
    let change = |tag: &str| Request::patch(&at).header("if-match", tag);
    let refused = world.with(change(made.header("etag")), &patch).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (412, "PRECONDITION_FAILED".to_owned())
    );
    assert_eq!(world.writes(), 2);
    let changing = world.write(change(&etag), &patch).await;
    assert_eq!(changing.status, 202, "{}", changing.text());
    assert_eq!(world.state("one").await, "updating");
    vendor.finish();
    let work = world.ended(changing.header("location")).await;
    assert_eq!(
        (&work["kind"], &work["state"]),
        (&json!("update"), &json!("succeeded"))
    );
    assert_eq!(world.state("one").await, "running");
    let health = world.get(&format!("{at}/health")).await.json();
    assert_eq!(health["nodes"]["total"], 4, "{health}");
    let listed = world.get(&format!("{at}/operations")).await.json();
    let kinds: Vec<Value> = items(&listed)
        .iter()
        .map(|work| work["kind"].clone())
        .collect();
    assert_eq!(kinds, ["update", "provision"]);

    let kept = world.with(Request::delete(&at), &Value::Null).await;
    assert_eq!(
        (kept.status.as_u16(), kept.problem()),
        (409, "INFRASTRUCTURE_MAY_EXIST".to_owned())
    );
    assert_eq!(kept.json()["cluster_state"], "running");
    let destroy = || post(&format!("{at}/destroy"), "k3");
    let wrong = world.with(destroy(), &json!({"name": "two"})).await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.problem()),
        (422, "NAME_MISMATCH".to_owned())
    );
    assert_eq!(world.writes(), 3);
    let ending = world.write(destroy(), &json!({"name": "one"})).await;
    assert_eq!(ending.status, 202, "{}", ending.text());
    assert_eq!(world.state("one").await, "deleting");
    vendor.finish();
    let work = world.ended(ending.header("location")).await;
    assert_eq!(work["state"], "succeeded");
    assert_eq!(world.state("one").await, "deleted");

    forget(&world, &at).await;
    assert_eq!((world.writes(), vendor.len()), (5, count));
}

/// Forgets a cluster called `one`, while no list is answered that could show that it is gone.
async fn forget(world: &World, at: &str) {
    let before = world.rig.attempts("lakesail");
    world.break_calls(LISTS, Fault::Hang, false);
    let forgotten = world.with(Request::delete(at), &Value::Null).await;
    assert_eq!((forgotten.status.as_u16(), forgotten.body.len()), (204, 0));
    assert_eq!(world.state("one").await, "none");
    assert_eq!(world.get(at).await.problem(), "CLUSTER_NOT_FOUND");
    world.vendor().set_fault(None);
    world.rig.attempted_after("lakesail", before).await;
    assert_eq!(world.state("one").await, "none");
}

#[tokio::test]
async fn work_that_fails_is_told_with_its_error() {
    let world = World::start("lakesail").await;
    world.vendor().set_feature("failing-work", true);
    let made = world
        .write(post("/clusters", "k"), &world.new_cluster("one"))
        .await;
    let at = made.header("location");
    let building = world
        .write(post(&format!("{at}/provision"), "k"), &json!({}))
        .await;
    world.vendor().finish();
    let work = world.ended(building.header("location")).await;
    assert_eq!(work["state"], "failed");
    assert_eq!(
        work["error"],
        json!({"code": "quota_exceeded", "message": "quota reached", "retryable": true, "retry_after_seconds": 30.0,
            "fields": {"config.systemNodeGroup.maxSize": "exceeds the quota of the account"}})
    );
    assert_eq!(work["progress"]["counts"]["failed"], 1);
    let item = world.listed("one").await.unwrap();
    assert_eq!(
        (&item["status"]["state"], &item["status"]["message"]),
        (&json!("failed"), &json!("quota reached"))
    );
    let failed = world.get("/operations?state=failed").await.json();
    assert_eq!(ids(&items(&failed)), [work["id"].as_str().unwrap()]);

    // What was built before it failed is still there.
    let kept = world.with(Request::delete(at), &Value::Null).await;
    assert_eq!(
        (kept.problem().as_str(), &kept.json()["cluster_state"]),
        ("INFRASTRUCTURE_MAY_EXIST", &json!("failed"))
    );
    let provision = post(&format!("{at}/provision"), "again");
    let refused = world.with(provision, &Value::Null).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (409, "UPSTREAM_CONFLICT".to_owned())
    );
    world.vendor().set_feature("failing-work", false);
    let ending = world
        .write(post(&format!("{at}/destroy"), "k"), &json!({"name": "one"}))
        .await;
    world.vendor().finish();
    let work = world.ended(ending.header("location")).await;
    assert_eq!(
        (&work["state"], &work["error"]),
        (&json!("succeeded"), &Value::Null)
    );
    assert_eq!(world.state("one").await, "deleted");
}
