//! `clustergate store`: the real program, over what a gateway left.

use std::path::Path;
use std::process::{Command, Output};

use clustergate::store::Settings;
use serde_json::Value;

use super::{everything, store_in, unmarked, whole};
use crate::support::{Plan, Rig};

fn run(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clustergate"))
        .arg("store")
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("CLUSTERGATE_DATA_DIR", home)
        .current_dir(home)
        .output()
        .unwrap()
}

/// Runs a command that succeeds; answers with its output.
fn succeed(home: &Path, arguments: &[&str]) -> String {
    let output = run(home, arguments);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that fails; answers with what it says.
fn fail(home: &Path, arguments: &[&str], code: i32) -> String {
    let output = run(home, arguments);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_moved_to_another_place_and_a_gateway_goes_on_there() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let home = folder.path();
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let store = store_in(home);
    let rig = whole(&sandbox, &plan, &store).await;
    let before = everything(&rig).await;
    for command in ["check", "migrate", "export"] {
        assert!(
            fail(home, &[command], 1).contains("stop it first"),
            "{command}"
        );
    }
    rig.stop().await;

    assert!(succeed(home, &["migrate"]).contains("the newest"));
    let told = succeed(home, &["check"]);
    assert!(told.contains("nothing is wrong"), "{told}");
    let document: Value = serde_json::from_str(&succeed(home, &["check", "-o", "json"])).unwrap();
    assert_eq!(document["clusters"], before["total"]);
    assert_eq!(document["problems"], serde_json::json!([]));

    let file = home.join("copy.ndjson");
    let name = file.to_str().unwrap();
    succeed(home, &["export", "--to", name]);
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(succeed(home, &["export"]), written);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "the copy is its owner's alone");
    }
    for vendor in sandbox.vendors() {
        assert!(!written.contains(&vendor.token()), "the copy holds a token");
    }
    // What is there is not lost: neither the copy nor the store.
    fail(home, &["export", "--to", name], 1);
    assert!(fail(home, &["import", "--from", name], 1).contains("not empty"));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);

    let address = format!("sqlite:{}", other.path().join("clustergate.db").display());
    assert!(fail(home, &["check", "--store", &address], 1).contains("no store"));
    succeed(home, &["import", "--from", name, "--store", &address]);
    super::set_faults(&sandbox, Some(clustergate::sandbox::Fault::Http503));
    let settings: Settings = store_in(other.path());
    let rig = Rig::remembering(&sandbox, &plan, &settings).await;
    assert_eq!(unmarked(everything(&rig).await), unmarked(before));
    rig.stop().await;
    // An address may hold a password.
    let told = fail(home, &["check", "--store", "mysql://user:hunter2@db/x"], 2);
    assert!(!told.contains("hunter2"), "{told}");
}
