//! Several who deliver from one store.

use clustergate::hooks::{Parts, Webhooks};

use sqlx::{Connection as _, PgConnection};

use super::*;
use crate::store::postgres::database;
use crate::store::store_in;
use crate::support::process::{Process, configure};

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

/// Every change of the inventory after a generation, as it was told, and the last generation that has one.
async fn changes(address: &str, after: i64) -> (BTreeSet<String>, i64) {
    let mut connection = PgConnection::connect(address).await.unwrap();
    let sql = "SELECT generation, body FROM change WHERE generation > $1 ORDER BY generation";
    let rows: Vec<(i64, String)> = sqlx::query_as(sql)
        .bind(after)
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let last = rows.last().map_or(after, |row| row.0);
    let bodies = rows.into_iter();
    let bodies = bodies.map(|(_, body)| serde_json::from_str::<Value>(&body).unwrap());
    (bodies.map(|body| body.to_string()).collect(), last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_over_one_database_tell_each_change() {
    let Some(address) = database("clustergate_told").await else {
        return;
    };
    let home = tempfile::tempdir().unwrap();
    let plan = Plan {
        clusters: 8,
        details: false,
        ..Plan::default()
    };
    let sandbox = plan.sandbox().await;
    let receiver = Receiver::start().await;
    let head = format!(
        "[store]\nurl = \"{address}\"\nlease = \"2s\"\n\n[[webhooks]]\nname = \"ops\"\nurl = \"{}\"\n\
        secret_env = [\"OLD_SECRET\", \"NEW_SECRET\"]\nallow_private = true\n\n",
        receiver.url()
    );
    let file = home.path().join("clustergate.toml");
    let mut variables = configure(&sandbox, &file, &head, "1h");
    let [old, new] = SECRETS.map(str::to_owned);
    variables.extend([
        ("OLD_SECRET".to_owned(), old),
        ("NEW_SECRET".to_owned(), new),
    ]);
    let start = || Process::start(&file, home.path(), &variables);
    let mut programs = vec![start(), start()];
    let all_told = async |program: &Process, after: i64| {
        until("everything is told", || async {
            let (_, last) = changes(&address, after).await;
            let webhooks = program.ask("GET", "/webhooks").await;
            let webhook = &webhooks["items"][0];
            webhook["cursor"].is_string() && is_told(webhook, u64::try_from(last).unwrap())
        })
        .await;
        changes(&address, after).await
    };
    for program in &programs {
        until("everything is read", || async {
            let list = program.ask("GET", "/sources").await;
            let sources = list["items"].as_array().unwrap().iter();
            let mut times = sources.map(|source| &source["fetched_at"]);
            times.all(Value::is_string)
        })
        .await;
    }
    // From when all is read on everything counts.
    let (_, begun) = all_told(&programs[0], 0).await;
    for round in 0..4 {
        for vendor in sandbox.vendors() {
            let before = changes(&address, begun).await.0.len();
            vendor.add();
            let target = format!("/sources/{}/refresh", vendor.vendor().name());
            let program = &programs[round % programs.len()];
            assert_eq!(program.send("POST", &target, "").await.status, 202);
            until("it is seen", || async {
                changes(&address, begun).await.0.len() > before
            })
            .await;
        }
        if round == 1 {
            // The other one goes on with what this one has not told.
            programs.remove(0).kill();
        }
    }
    // What died with the other one comes back after a while, which is not waited for.
    let pending = "/webhooks/ops/deliveries?state=pending&limit=1000";
    let waiting = programs[0].ask("GET", pending).await;
    for delivery in waiting["items"].as_array().unwrap() {
        let id = delivery["id"].as_str().unwrap();
        let target = format!("/webhooks/ops/deliveries/{id}/redeliver");
        programs[0].ask("POST", &target).await;
    }
    let (kept, _) = all_told(&programs[0], begun).await;
    assert!(kept.len() >= 20, "{}", kept.len());
    let told = receiver.changes();
    let missing: Vec<&String> = kept.difference(&told).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    programs.remove(0).kill();
}
