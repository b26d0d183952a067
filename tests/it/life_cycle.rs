//! How clusters come, are missed and go, and what becomes of their details.

use clustergate::adapters::CATALOG;
use clustergate::inventory::Freshness;
use clustergate::sandbox::{Aim, Fault};
use serde_json::Value;

use crate::support::{Plan, Rig};

fn still() -> Plan {
    Plan {
        details: false,
        ..Plan::default()
    }
}

async fn list(rig: &Rig, query: &str) -> Value {
    rig.get(&format!("/clusters?limit=1000&{query}"))
        .await
        .json()
}

#[tokio::test]
async fn a_cluster_is_missing_before_it_is_gone() {
    let rig = Rig::start(still()).await;
    for entry in CATALOG {
        let name = entry.kind.as_str();
        let items = list(&rig, &format!("source={name}")).await["items"].clone();
        let native = rig.vendor(name).truth()[3].id.clone();
        let item = items
            .as_array()
            .unwrap()
            .iter()
            .find(|item| item["native_id"] == native);
        let own = item.unwrap()["links"]["self"].as_str().unwrap().to_owned();
        assert!(rig.vendor(name).remove(&native));

        rig.refresh(name).await;
        let missing = list(&rig, &format!("source={name}&presence=missing")).await;
        assert_eq!(missing["total"], 1, "{name}");
        assert_eq!(missing["items"][0]["native_id"], native);
        assert_eq!(rig.get(&own).await.json()["presence"], "missing");
        assert_eq!(list(&rig, &format!("source={name}")).await["total"], 20);

        rig.refresh(name).await;
        assert_eq!(rig.get(&own).await.status, 404, "{name}");
        let rest = list(&rig, &format!("source={name}")).await;
        assert_eq!(
            (&rest["total"], &rest["complete"]),
            (&19.into(), &true.into())
        );
    }
}

#[tokio::test]
async fn a_cluster_that_comes_back_was_never_gone() {
    let rig = Rig::start(still()).await;
    let name = "kubeadapt";
    rig.vendor(name).set_feature("allow-list", true);
    rig.refresh(name).await;
    let missing = list(&rig, "source=kubeadapt&presence=missing").await["total"].as_u64();
    assert!(missing > Some(0), "{missing:?}");
    rig.vendor(name).set_feature("allow-list", false);
    rig.refresh(name).await;
    assert_eq!(
        list(&rig, "source=kubeadapt&presence=present").await["total"],
        20
    );
}

#[tokio::test]
async fn a_sudden_emptiness_is_believed_the_second_time() {
    let rig = Rig::start(still()).await;
    for entry in CATALOG {
        let name = entry.kind.as_str();
        let vendor = rig.vendor(name);
        let listed = format!("source={name}");

        vendor.set_fault(Some(Fault::SuddenlyEmpty));
        rig.refresh(name).await;
        let suspect = list(&rig, &listed).await;
        assert_eq!(
            (&suspect["total"], &suspect["complete"]),
            (&20.into(), &false.into()),
            "{name}"
        );
        assert_eq!(suspect["items"][0]["presence"], "suspect");
        vendor.set_fault(None);
        rig.refresh(name).await;
        let back = list(&rig, &format!("{listed}&presence=present")).await;
        assert_eq!(
            (&back["total"], &back["complete"]),
            (&20.into(), &true.into()),
            "{name}"
        );

        for truth in vendor.truth() {
            assert!(vendor.remove(&truth.id));
        }
        rig.refresh(name).await;
        assert_eq!(rig.report(name).state, Freshness::Suspect, "{name}");
        assert_eq!(list(&rig, &listed).await["total"], 20, "{name}");
        rig.refresh(name).await;
        let empty = list(&rig, &listed).await;
        assert_eq!(
            (&empty["total"], &empty["complete"]),
            (&0.into(), &true.into()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn details_are_filled_and_outlive_a_failing_detail_call() {
    let rig = Rig::start(Plan {
        quirks: false,
        ..Plan::default()
    })
    .await;
    for entry in CATALOG {
        let name = entry.kind.as_str();
        let Some(field) = entry.capabilities.detail_only.first() else {
            continue;
        };
        rig.until("details", |snapshot| {
            snapshot.source(name).unwrap().details_pending == 0
        })
        .await;
        let query = format!("source={name}");
        let before = list(&rig, &query).await["items"].clone();
        let of = |items: &Value, field: &str| -> Vec<Value> {
            items
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item[field].clone())
                .collect()
        };
        assert!(
            of(&before, "detailed_at").iter().all(Value::is_string),
            "{name}"
        );

        // Every call but those to lists fails.
        let vendor = rig.vendor(name);
        let kinds = vendor
            .stats()
            .by_kind
            .into_keys()
            .filter(|kind| !kind.contains("list") && *kind != "projects");
        vendor.set_fault_aim(Aim {
            kinds: kinds.map(str::to_owned).collect(),
            ..Aim::default()
        });
        vendor.set_fault(Some(Fault::Http503));
        for _ in 0..2 {
            rig.refresh(name).await;
            assert_eq!(rig.report(name).error, None, "{name}");
            let after = list(&rig, &query).await["items"].clone();
            assert_eq!(of(&after, field), of(&before, field), "{name}");
        }
        vendor.set_fault_aim(Aim::default());
        rig.refresh(name).await;
        let stale = list(&rig, &query).await["items"].clone();
        assert_eq!(of(&stale, field), of(&before, field), "{name}");
        assert_eq!(stale[0]["presence"], "stale", "{name}");
    }
}
