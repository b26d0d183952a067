//! Answers of the vendor that are lost, and requests that are: nothing is sent again, and nothing is claimed without evidence.

use clustergate::sandbox::Fault;
use http::Request;
use http::request::Builder;
use serde_json::{Value, json};

use super::super::post;
use super::World;
use crate::api::{Answer, items};

impl World {
    /// Sends a write that the vendor carries out, and whose answer a fault takes away.
    async fn unanswered(&self, kind: &str, fault: Fault, request: Builder, body: &Value) -> Answer {
        self.vendor().reset_stats();
        self.break_calls(&[kind], fault, true);
        let answer = self.write(request, body).await;
        self.vendor().set_fault(None);
        let stats = self.vendor().stats();
        assert_eq!((stats.write_calls, stats.faulted), (1, 1), "{kind} {fault}");
        if !answer.body.is_empty() {
            assert_eq!(answer.json()["read_back"], true, "{kind} {fault}");
        }
        answer
    }

    /// Makes a cluster, and gives its path.
    async fn made(&self, name: &str) -> String {
        let request = post("/clusters", name);
        let made = self.write(request, &self.new_cluster(name)).await;
        made.header("location").to_owned()
    }

    /// Makes a cluster that runs.
    async fn running(&self, name: &str) -> String {
        let at = self.made(name).await;
        let request = post(&format!("{at}/provision"), name);
        let building = self.write(request, &Value::Null).await;
        self.vendor().finish();
        self.ended(building.header("location")).await;
        at
    }
}

/// A whole life without one answer to a write.
async fn live_unanswered(fault: Fault) {
    let world = World::start("lakesail").await;
    let vendor = world.vendor();
    let count = vendor.len();
    let new = world.new_cluster("one");
    let made = world
        .unanswered("create", fault, post("/clusters", "k1"), &new)
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let at = made.header("location").to_owned();
    let item = world.listed("one").await.unwrap();
    assert_eq!(
        (&item["links"]["self"], &item["status"]["state"]),
        (&json!(at), &json!("pending"))
    );
    let again = world.with(post("/clusters", "k1"), &new).await;
    assert_eq!((again.status, &again.body), (made.status, &made.body));
    assert_eq!((world.writes(), vendor.len()), (1, count + 1));

    let patch = vendor.example("one").unwrap().patch;
    let provision = post(&format!("{at}/provision"), "k2");
    let destroy = post(&format!("{at}/destroy"), "k3");
    let name = json!({"name": "one"});
    for (kind, request, body, meanwhile, afterwards) in [
        (
            "provision",
            provision,
            &Value::Null,
            "provisioning",
            "running",
        ),
        ("update", Request::patch(&at), &patch, "updating", "running"),
        ("destroy", destroy, &name, "deleting", "deleted"),
    ] {
        let begun = world.unanswered(kind, fault, request, body).await;
        assert_eq!(begun.status, 202, "{kind}: {}", begun.text());
        let operation = begun.header("location");
        assert!(operation.starts_with("/operations/lakesail:OP"), "{kind}");
        assert_eq!(world.state("one").await, meanwhile);
        vendor.finish();
        let work = world.ended(operation).await;
        assert_eq!(
            (&work["kind"], &work["state"]),
            (&json!(kind), &json!("succeeded"))
        );
        assert_eq!(world.state("one").await, afterwards);
    }
    let forgotten = world
        .unanswered("forget", fault, Request::delete(&at), &Value::Null)
        .await;
    assert_eq!(forgotten.status, 204, "{}", forgotten.text());
    assert_eq!(world.state("one").await, "none");
    assert_eq!(vendor.len(), count);
}

#[tokio::test]
async fn a_life_goes_on_where_no_answer_ever_comes() {
    live_unanswered(Fault::Hang).await;
}

#[tokio::test]
async fn a_life_goes_on_where_connections_are_reset() {
    live_unanswered(Fault::Reset).await;
}

#[tokio::test]
async fn a_life_goes_on_where_the_vendor_says_that_it_failed() {
    live_unanswered(Fault::Http500).await;
}

/// Requests of each kind, none of which the vendor carries out, at the same time. Looking back takes a few seconds.
async fn lose_requests(fault: Fault, status: u16) {
    let world = World::start("lakesail").await;
    let (changed, doomed) = (
        world.running("changed").await,
        world.running("doomed").await,
    );
    let record = world.made("record").await;
    let patch = json!({"node_groups": [{"max_size": 7}]});
    // A change of a moment ago is no sign of the next one.
    let begun = world.write(Request::patch(&changed), &patch).await;
    world.vendor().finish();
    world.ended(begun.header("location")).await;
    let (count, operations) = (world.vendor().len(), world.get("/operations").await.json());

    world.vendor().reset_stats();
    world.break_calls(&["create", "provision", "update", "destroy"], fault, false);
    let new = world.new_cluster("new");
    let patch = json!({"node_groups": [{"max_size": 8}]});
    let (name, nothing) = (json!({"name": "doomed"}), Value::Null);
    let (provision, destroy) = (format!("{record}/provision"), format!("{doomed}/destroy"));
    let change = || Request::patch(&changed).header("idempotency-key", "lost");
    let requests = || {
        [
            (post("/clusters", "lost"), &new, Value::Null, "none", "new"),
            (
                post(&provision, "lost"),
                &nothing,
                json!("pending"),
                "pending",
                "record",
            ),
            (change(), &patch, json!("running"), "running", "changed"),
            (
                post(&destroy, "lost"),
                &name,
                json!("running"),
                "running",
                "doomed",
            ),
        ]
    };
    for replayed in ["", "true"] {
        let answers = requests().map(|(request, body, read, state, name)| {
            let world = &world;
            async move { (world.with(request, body).await, read, state, name) }
        });
        for (answer, read, state, name) in futures_util::future::join_all(answers).await {
            assert_eq!(
                (answer.status.as_u16(), answer.problem().as_str()),
                (status, "WRITE_OUTCOME_UNKNOWN"),
                "{name}"
            );
            let body = answer.json();
            assert_eq!(body["cluster_state"], read, "{name}");
            assert!(body["source_error"].is_string(), "{name}");
            assert_eq!(answer.header("idempotency-replayed"), replayed, "{name}");
            assert_eq!(world.state(name).await, state);
        }
        // The same request is answered from memory.
        world.vendor().set_fault(None);
    }
    let stats = world.vendor().stats();
    assert_eq!((stats.write_calls, stats.faulted), (4, 4));
    for kind in ["create", "provision", "update", "destroy"] {
        assert_eq!(stats.by_kind[kind], 1, "{kind}");
    }
    assert_eq!(world.vendor().len(), count);
    let after = world.get("/operations").await.json();
    assert_eq!(items(&after).len(), items(&operations).len());
}

#[tokio::test]
async fn nothing_is_claimed_where_no_answer_ever_comes() {
    lose_requests(Fault::Hang, 504).await;
}

#[tokio::test]
async fn nothing_is_claimed_where_connections_are_reset() {
    lose_requests(Fault::Reset, 502).await;
}

#[tokio::test]
async fn nothing_is_claimed_where_the_vendor_says_that_it_failed() {
    lose_requests(Fault::Http500, 502).await;
}

#[tokio::test]
async fn a_refusal_is_told_as_one_and_sent_once() {
    let world = World::start("lakesail").await;
    let at = world.running("one").await;
    for (fault, status, code) in [
        (Fault::Http400, 422, "UPSTREAM_REFUSED"),
        (Fault::Http403, 502, "UPSTREAM_FAILED"),
        (Fault::Http429, 503, "UPSTREAM_FAILED"),
    ] {
        world.vendor().reset_stats();
        world.break_calls(&["destroy"], fault, false);
        let destroy = post(&format!("{at}/destroy"), fault.name());
        let answer = world.with(destroy, &json!({"name": "one"})).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (status, code),
            "{fault}"
        );
        assert_eq!(world.writes(), 1, "{fault}");
        assert_eq!(world.state("one").await, "running", "{fault}");
    }
}
