//! API keys and the audit in the store of the real program: the command line changes keys while a gateway runs, which follows.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::timeout;

use crate::support::process::{Process, configure};
use crate::support::{PATIENCE, Plan};

/// Runs `clustergate keys` beside a gateway; gives what it prints.
fn keys(home: &Path, config: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clustergate"));
    command
        .arg("keys")
        .args(arguments)
        .arg("--config")
        .arg(config)
        .env_clear()
        .env("HOME", home)
        .env("CLUSTERGATE_DATA_DIR", home.join("data"));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Asks with a key until the answer has a status.
async fn until(process: &Process, key: &str, status: &str) {
    let headers = format!("Authorization: Bearer {key}\r\n");
    let wait = async {
        loop {
            let (head, _) = process
                .write("GET", "/sources", &headers, &Value::Null)
                .await;
            if head.starts_with(&format!("http/1.1 {status}")) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    assert!(
        timeout(PATIENCE, wait).await.is_ok(),
        "{status} never comes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_changed_beside_a_gateway_and_who_used_none_is_written_down() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Plan::default().sandbox().await;
    let config = home.path().join("clustergate.toml");
    let tokens = configure(&sandbox, &config, "", "1s");
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&config)
        .unwrap();
    file.write_all(b"[access]\nkeys = \"store\"\naudit = \"store\"\n")
        .unwrap();
    let process = Process::start(&config, home.path(), &tokens);
    let nobody = format!("cg_{}_{}", "a".repeat(9), "b".repeat(43));
    until(&process, &nobody, "401").await;
    let key = keys(
        home.path(),
        &config,
        &["new", "--name", "ci", "--scopes", "clusters:read"],
    );
    until(&process, &key, "200").await;
    let listed = keys(home.path(), &config, &["list", "--output", "json"]);
    let id = key.split('_').nth(1).unwrap();
    assert!(listed.contains(id), "{listed}");
    process.kill();
    let process = Process::start(&config, home.path(), &tokens);
    until(&process, &key, "200").await;
    keys(home.path(), &config, &["revoke", id]);
    until(&process, &key, "401").await;

    let database = format!("sqlite:{}/data/clustergate.db", home.path().display());
    let mut connection = SqliteConnection::connect(&database).await.unwrap();
    let written = async {
        loop {
            const LINES: &str = "SELECT line FROM audit WHERE action = 'authentication_failed'";
            let lines: Vec<(String,)> = sqlx::query_as(LINES)
                .fetch_all(&mut connection)
                .await
                .unwrap();
            if !lines.is_empty() {
                break lines;
            }
            tokio::task::yield_now().await;
        }
    };
    let lines = timeout(PATIENCE, written).await.unwrap();
    let line: Value = serde_json::from_str(&lines[0].0).unwrap();
    assert_eq!(line["outcome"]["status"], 401);
    let secret = &key[key.len() - 20..];
    assert!(lines.iter().all(|line| !line.0.contains(secret)));
    process.kill();
}
