//! A vendor that tells no operations: the gateway follows what it has begun. And what each vendor cannot write.

use clustergate::adapters::CATALOG;
use clustergate::provider::Capability;
use clustergate::sandbox::{Fault, Simulated};
use http::Request;
use serde_json::{Value, json};

use super::super::post;
use super::World;
use crate::api::items;
use crate::support::{Plan, Rig};

/// A project that has room for a legacy cluster.
fn make_room(vendor: &Simulated) -> String {
    let truth = vendor.truth();
    let old = truth.iter().find(|it| it.family == "kubernetes").unwrap();
    assert!(vendor.remove(&old.id));
    old.parent.clone().unwrap()
}

#[tokio::test]
async fn the_gateway_follows_what_no_vendor_tracks() {
    let mut project = String::new();
    let world = World::prepared("latitude", |vendor| project = make_room(vendor)).await;
    let vendor = world.vendor();
    let count = vendor.len();
    let new = json!({"source": "latitude", "name": "edge-new", "project": project, "region": "SAN3", "version": "1.34",
        "node_groups": [{"name": "control-plane", "instance_types": ["c3-small-x86"]},
            {"name": "workers", "desired_size": 2}],
        "options": {"family": "legacy", "ssh_keys": ["ssh_1"]}});
    let making = world.write(post("/clusters", "k1"), &new).await;
    assert_eq!(
        (making.status.as_u16(), making.header("retry-after")),
        (202, "5")
    );
    let report = making.json();
    let at = format!("/clusters/{}", report["cluster"].as_str().unwrap());
    assert_eq!(report["operation"]["origin"], "gateway");
    let created = making.header("location").to_owned();
    assert!(created.starts_with("/operations/latitude:gw-"));
    assert_eq!(world.state("edge-new").await, "pending");
    vendor.advance();
    let going = world.get(&created).await;
    let work = going.json();
    assert_eq!(
        (
            &work["state"],
            &work["native_status"],
            going.header("retry-after")
        ),
        (&json!("running"), &json!("Provisioning"), "5")
    );
    vendor.finish();
    assert_eq!(world.ended(&created).await["state"], "succeeded");
    assert_eq!(world.state("edge-new").await, "running");

    let scale = json!({"node_groups": [{"name": "workers", "desired_size": 3}]});
    let scaling = world.write(Request::patch(&at), &scale).await;
    assert_eq!(scaling.status, 202, "{}", scaling.text());
    let scaled = scaling.header("location").to_owned();
    assert_eq!(world.get(&scaled).await.json()["state"], "running");
    assert_eq!(world.state("edge-new").await, "updating");
    vendor.finish();
    assert_eq!(world.ended(&scaled).await["state"], "succeeded");
    let nodes = world.get(&format!("{at}/nodes")).await.json();
    assert_eq!(items(&nodes).len(), 4);
    let list = world.get(&format!("{at}/operations")).await.json();
    let kinds: Vec<Value> = (items(&list).iter())
        .map(|work| work["kind"].clone())
        .collect();
    assert_eq!(kinds, ["update", "create"]);

    let destroy = post(&format!("{at}/destroy"), "k2");
    let ending = world.write(destroy, &json!({"name": "edge-new"})).await;
    assert_eq!(ending.status, 202, "{}", ending.text());
    assert_eq!(world.state("edge-new").await, "deleting");
    vendor.finish();
    assert_eq!(world.state("edge-new").await, "deleting");
    assert_eq!(
        world.ended(ending.header("location")).await["state"],
        "succeeded"
    );
    // It is gone with the first word of it, not with the second list.
    assert_eq!(world.state("edge-new").await, "none");
    assert_eq!(world.get(&at).await.problem(), "CLUSTER_NOT_FOUND");
    assert_eq!((world.writes(), vendor.len()), (3, count));
}

#[tokio::test]
async fn a_creation_that_goes_on_is_followed_also_where_its_answer_is_lost() {
    let mut project = String::new();
    let world = World::prepared("latitude", |vendor| project = make_room(vendor)).await;
    let vendor = world.vendor();
    let legacy = json!({"source": "latitude", "name": "edge-one", "project": project, "region": "SAN3", "version": "1.34",
        "options": {"family": "legacy", "plan": "c3-small-x86"}});
    let lks = world.new_cluster("edge-two");
    for (name, new) in [("edge-one", legacy), ("edge-two", lks)] {
        vendor.reset_stats();
        world.break_calls(&["create"], Fault::Reset, true);
        let making = world.write(post("/clusters", name), &new).await;
        vendor.set_fault(None);
        assert_eq!((making.status.as_u16(), world.writes()), (202, 1), "{name}");
        assert_eq!(making.json()["read_back"], true, "{name}");
        vendor.finish();
        let work = world.ended(making.header("location")).await;
        assert_eq!(work["state"], "succeeded", "{name}");
        assert_eq!(world.state(name).await, "running");
    }
}

#[tokio::test]
async fn what_a_vendor_cannot_write_is_refused_and_says_who_can() {
    let plan = Plan {
        clusters: 3,
        quirks: false,
        details: false,
        ..Plan::default()
    };
    let rig = Rig::start(plan).await;
    for entry in CATALOG {
        let provider = entry.kind.as_str();
        let list = rig.get(&format!("/clusters?provider={provider}")).await;
        let item = items(&list.json()).remove(0);
        let at = item["links"]["self"].as_str().unwrap();
        let (new, name) = (
            json!({"source": provider, "name": "x"}),
            json!({"name": item["name"]}),
        );
        for (capability, request, body) in [
            (Capability::Create, post("/clusters", "k"), &new),
            (
                Capability::Update,
                Request::patch(at),
                &json!({"version": "1.36"}),
            ),
            (
                Capability::Provision,
                post(&format!("{at}/provision"), "k"),
                &json!({}),
            ),
            (
                Capability::Destroy,
                post(&format!("{at}/destroy"), "k"),
                &name,
            ),
            (Capability::Forget, Request::delete(at), &json!({})),
        ] {
            if entry.capabilities.supports(capability) {
                continue;
            }
            let request = request.header("content-type", "application/json");
            let reply = rig
                .send(request.body(body.to_string().into()).unwrap())
                .await;
            let body = reply.json();
            let what = capability.as_str();
            assert_eq!(
                (reply.status.as_u16(), &body["code"]),
                (501, &json!("CAPABILITY_NOT_SUPPORTED")),
                "{provider} {what}"
            );
            let able = (CATALOG.iter()).filter(|entry| entry.capabilities.supports(capability));
            let able: Vec<&str> = able.map(|entry| entry.kind.as_str()).collect();
            assert!(
                !able.is_empty() && body["providers"] == json!(able),
                "{body}"
            );
        }
        assert_eq!(rig.vendor(provider).stats().write_calls, 0, "{provider}");
    }
    rig.stop().await;
}
