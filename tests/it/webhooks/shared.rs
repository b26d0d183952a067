//! Several who deliver from one store.

use clustergate::hooks::{Parts, Webhooks};

use super::*;
use crate::store::store_in;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_sent_once_by_whoever_is_first() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan {
        clusters: 30,
        details: false,
        ..Plan::default()
    };
    let sandbox = plan.sandbox().await;
    let receiver = Receiver::start().await;
    let store = store_in(folder.path());
    let rig = telling(&sandbox, &plan, &store, vec![receiver.webhook("ops", "")]).await;
    // What another gateway does that shares the store.
    let recorder = rig.gateway.recorder.as_ref().unwrap();
    let others: Vec<Webhooks> = (0..2)
        .map(|_| {
            let parts = Parts {
                outbox: recorder.outbox().unwrap(),
                past: recorder.past().unwrap(),
                generations: rig.gateway.inventory.subscribe(),
            };
            let hooks = vec![receiver.webhook("ops", "")];
            Webhooks::start(hooks, parts, &Handle::current()).unwrap()
        })
        .collect();
    rig.settled().await;
    for _ in 0..3 {
        for vendor in sandbox.vendors() {
            vendor.touch();
            vendor.add();
            rig.refresh(vendor.vendor().name()).await;
        }
    }
    told(&rig).await;
    let known = receiver.changes().len();
    assert!(known > 100, "{known}");
    assert_eq!(receiver.times(), known, "none came twice");
    let mut delivered = Vec::new();
    for webhooks in [rig.gateway.webhooks.as_deref().unwrap()]
        .into_iter()
        .chain(&others)
    {
        delivered.push(webhooks.reports().await.unwrap()[0].tally.delivered);
    }
    assert_eq!(delivered.iter().sum::<u64>(), known as u64, "{delivered:?}");
    for webhooks in others {
        webhooks.stop(PATIENCE).await;
    }
    rig.stop().await;
}
