//! The real program, killed while it tells what changes.

use sqlx::{Connection as _, SqliteConnection};
use tokio::time::Instant;

use super::*;
use crate::store::killed::Dice;
use crate::support::process::{Process, configure};

const KILLS: u32 = 8;

/// How many changes each life tells at the least.
const CHANGES: usize = 4;

/// Every change that the store has after a generation, as it was told.
async fn kept(home: &std::path::Path, after: u64) -> BTreeSet<String> {
    let file = home.join("data/clustergate.db");
    let url = format!("sqlite://{}?mode=ro", file.display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let rows: Vec<(String,)> = sqlx::query_as("SELECT body FROM change WHERE generation > $1")
        .bind(i64::try_from(after).unwrap())
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let bodies = rows.into_iter();
    let bodies = bodies.map(|(body,)| serde_json::from_str::<Value>(&body).unwrap());
    bodies.map(|body| body.to_string()).collect()
}

async fn generation(process: &Process) -> Option<u64> {
    let list = process.ask("GET", "/clusters?limit=1").await;
    list["generation"].as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_by_a_kill_and_ids_stay_the_same() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan {
        clusters: 8,
        ..Plan::default()
    };
    let sandbox = plan.sandbox().await;
    let receiver = Receiver::start().await;
    let file = home.path().join("clustergate.toml");
    let mut variables = configure(&sandbox, &file, "", "1s");
    let sources = std::fs::read_to_string(&file).unwrap();
    let hook = format!(
        "[[webhooks]]\nname = \"ops\"\nurl = \"{}\"\nsecret_env = [\"OLD_SECRET\", \"NEW_SECRET\"]\nallow_private = true\n\n",
        receiver.url()
    );
    std::fs::write(&file, hook + &sources).unwrap();
    let [old, new] = SECRETS.map(str::to_owned);
    variables.extend([
        ("OLD_SECRET".to_owned(), old),
        ("NEW_SECRET".to_owned(), new),
    ]);

    let all_told = async |process: &Process| {
        until("everything is told", || async {
            let kept = kept(home.path(), 0).await;
            let generations = kept.iter().map(|change| {
                let change: Value = serde_json::from_str(change).unwrap();
                change["generation"].as_u64().unwrap()
            });
            let last = generations.max().unwrap_or(u64::MAX);
            let webhooks = process.ask("GET", "/webhooks").await;
            is_told(&webhooks["items"][0], last)
        })
        .await;
    };
    // From when it is first seen on everything counts.
    let process = Process::start(&file, home.path(), &variables);
    all_told(&process).await;
    let begun = generation(&process).await.unwrap();
    process.kill();

    let mut dice = Dice(2026);
    let mut seen = BTreeSet::new();
    for kill in 0..KILLS {
        let process = Process::start(&file, home.path(), &variables);
        // Some of the time nobody takes what is told.
        receiver.set_down(kill % 3 == 1);
        // It lives for a while, and until it has told something: how much that takes is the
        // machine's business.
        let until = Instant::now() + Duration::from_millis(100 + dice.below(400));
        let enough = seen.len() + CHANGES;
        while seen.len() < enough || Instant::now() < until {
            for vendor in sandbox.vendors() {
                match dice.below(4) {
                    0 => vendor.touch(),
                    1 => drop(vendor.add()),
                    _ => {}
                }
                let name = vendor.vendor().name();
                let target = format!("/sources/{name}/refresh");
                process.ask("POST", &target).await;
            }
            let changes = process.ask("GET", "/changes?limit=1000").await;
            let items = changes["items"].as_array().unwrap().iter();
            let items = items.filter(|item| item["generation"].as_u64().unwrap() > begun);
            seen.extend(items.map(ToString::to_string));
        }
        process.kill();
    }
    receiver.set_down(false);
    let process = Process::start(&file, home.path(), &variables);
    // What waits for another attempt is not waited for.
    let webhooks = async || {
        let target = "/webhooks/ops/deliveries?state=pending&limit=1000";
        process.ask("GET", target).await["items"].clone()
    };
    for waiting in webhooks().await.as_array().unwrap() {
        let id = waiting["id"].as_str().unwrap();
        let target = format!("/webhooks/ops/deliveries/{id}/redeliver");
        process.ask("POST", &target).await;
    }
    all_told(&process).await;
    process.kill();

    let (kept, told) = (kept(home.path(), begun).await, receiver.changes());
    let missing: Vec<&String> = kept
        .union(&seen)
        .filter(|one| !told.contains(*one))
        .collect();
    assert!(
        missing.is_empty(),
        "{} are missing: {missing:#?}",
        missing.len()
    );
    // Nothing that never happened either, and one id for each change.
    let invented = told.iter().filter(|one| {
        let change: Value = serde_json::from_str(one).unwrap();
        change["generation"].as_u64().unwrap() > begun && !kept.contains(*one)
    });
    assert_eq!(invented.count(), 0);
    let ids = receiver.got.lock().unwrap().events.len();
    assert_eq!(ids, told.len());
}
