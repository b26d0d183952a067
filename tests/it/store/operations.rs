//! The real program, killed in the middle of a write and after it: what was begun is found, and nothing is sent twice.

use std::path::PathBuf;
use std::sync::Arc;

use clustergate::sandbox::{Aim, Fault, Sandbox, Simulated, Vendor};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use crate::support::process::{Process, configure};
use crate::support::{PATIENCE, Plan};

/// A vendor whose work moves by steps alone, and where gateways over it keep what they know.
struct World {
    home: TempDir,
    config: PathBuf,
    tokens: Vec<(String, String)>,
    sandbox: Arc<Sandbox>,
}

impl World {
    async fn new() -> Self {
        let plan = Plan {
            quirks: false,
            details: false,
            clusters: 3,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("clustergate.toml");
        let tokens = configure(&sandbox, &config, "", "1s");
        let world = Self {
            home,
            config,
            tokens,
            sandbox,
        };
        world.vendor().set_pace(None);
        world
    }

    fn vendor(&self) -> &Simulated {
        self.sandbox.vendor(Vendor::LakeSail)
    }

    /// Calls that change something, as the vendor has counted them.
    fn writes(&self) -> u64 {
        self.vendor().stats().write_calls
    }

    async fn start(&self) -> Process {
        let process = Process::start(&self.config, self.home.path(), &self.tokens);
        // Nothing can be written before it is known.
        within("the first listing", async || {
            let list = process.write("GET", "/clusters?limit=1", "", &Value::Null);
            let (_, list) = list.await;
            let sources = list["sources"].as_array();
            sources.is_some_and(|all| all.iter().all(|source| source["state"] == "fresh"))
        })
        .await;
        process
    }

    /// Makes a cluster and gives its path.
    async fn made(&self, process: &Process) -> String {
        let mut body = self.vendor().example("one").unwrap().spec;
        body["source"] = "lakesail".into();
        let (head, made) = write(process, "/clusters", "make", &body).await;
        assert!(head.starts_with("http/1.1 201"), "{head} {made}");
        format!("/clusters/{}", made["cluster"].as_str().unwrap())
    }
}

/// Waits until something is so.
async fn within(what: &str, is_so: impl AsyncFn() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "in vain: {what}");
}

async fn write(process: &Process, target: &str, key: &str, body: &Value) -> (String, Value) {
    let headers = format!("Idempotency-Key: {key}\r\nContent-Type: application/json\r\n");
    process.write("POST", target, &headers, body).await
}

async fn get(process: &Process, target: &str) -> Value {
    process.write("GET", target, "", &Value::Null).await.1
}

/// Without what each look changes.
fn unread(mut operation: Value) -> Value {
    let members = operation.as_object_mut().unwrap();
    for name in ["fetched_at", "updated_at", "progress"] {
        members.remove(name);
    }
    operation
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_found_after_a_kill_and_ends() {
    let world = World::new().await;
    let process = world.start().await;
    let at = world.made(&process).await;
    let provision = format!("{at}/provision");
    let (head, begun) = write(&process, &provision, "build", &json!({})).await;
    assert!(head.starts_with("http/1.1 202"), "{head} {begun}");
    process.kill();
    let id = begun["operation"]["id"].as_str().unwrap();
    assert_eq!(begun["operation"]["durable"], true);

    let process = world.start().await;
    let list = get(&process, "/operations").await;
    assert_eq!(
        unread(list["items"][0].clone()),
        unread(begun["operation"].clone())
    );
    let (head, again) = write(&process, &provision, "build", &json!({})).await;
    assert!(head.starts_with("http/1.1 202"), "{head}");
    assert!(head.contains("idempotency-replayed: true"), "{head}");
    assert_eq!(again, begun);
    let (head, other) = write(
        &process,
        "/clusters",
        "make",
        &json!({"source": "lakesail", "name": "two"}),
    )
    .await;
    assert!(head.starts_with("http/1.1 422"), "{head}");
    assert_eq!(other["code"], "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(world.writes(), 2);
    world.vendor().finish();
    let target = format!("/operations/{id}");
    within("the end of the work", async || {
        get(&process, &target).await["state"] == "succeeded"
    })
    .await;
    process.kill();
    let process = world.start().await;
    let ended = get(&process, &target).await;
    assert_eq!(
        (&ended["state"], &ended["done"]),
        (&json!("succeeded"), &json!(true))
    );
    process.kill();
}

/// Kills a gateway that waits for the answer to a write, which the vendor carries out or not. Gives the replay's answer, the
/// operations, and how many there were before.
async fn killed_at_work(is_done: bool) -> (String, Value, Value) {
    let world = World::new().await;
    let process = world.start().await;
    let at = world.made(&process).await;
    let provision = format!("{at}/provision");
    world.vendor().set_fault_aim(Aim {
        kinds: vec!["provision".to_owned()],
        late: is_done,
        ..Aim::default()
    });
    world.vendor().set_fault(Some(Fault::Hang));
    let nothing = json!({});
    let mut asked = Box::pin(write(&process, &provision, "build", &nothing));
    let wait = async {
        while world.writes() < 2 {
            assert!(futures_util::poll!(&mut asked).is_pending());
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
    drop(asked);
    process.kill();
    world.vendor().set_fault(None);
    let process = world.start().await;
    let last = std::cell::RefCell::default();
    within("somebody knows", async || {
        let answer = write(&process, &provision, "build", &nothing).await;
        let is_known = !answer.0.starts_with("http/1.1 409");
        *last.borrow_mut() = answer;
        is_known
    })
    .await;
    let (head, answer) = last.into_inner();
    assert!(
        head.contains("idempotency-replayed: true"),
        "{head} {answer}"
    );
    let (_, again) = write(&process, &provision, "build", &nothing).await;
    let code = |answer: &Value| (answer["code"].clone(), answer["operation"].clone());
    assert_eq!(code(&again), code(&answer));
    assert_eq!(world.writes(), 2, "nothing is sent again");
    let operations = get(&process, "/operations").await;
    process.kill();
    // What is kept holds no credential.
    let data = world.home.path().join("data");
    for file in std::fs::read_dir(data).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for (_, token) in &world.tokens {
            let mut parts = bytes.windows(token.len());
            assert!(!parts.any(|part| part == token.as_bytes()));
        }
    }
    (head, answer, operations)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_vendor_did_before_a_kill_is_found_afterwards() {
    let (head, answer, operations) = killed_at_work(true).await;
    assert!(head.starts_with("http/1.1 202"), "{head} {answer}");
    assert_eq!(answer["read_back"], true);
    assert_eq!(operations["items"].as_array().unwrap().len(), 1);
    let id = &operations["items"][0]["id"];
    assert_eq!(&answer["operation"]["id"], id);
    assert!(id.as_str().unwrap().starts_with("lakesail:OP"), "{id}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_shows_no_effect_after_a_kill_ends_unknown() {
    let (head, answer, operations) = killed_at_work(false).await;
    assert!(head.starts_with("http/1.1 502"), "{head} {answer}");
    assert_eq!(answer["code"], "WRITE_OUTCOME_UNKNOWN");
    let operation = &operations["items"][0];
    assert_eq!(
        (&operation["state"], &operation["done"], &operation["kind"]),
        (&json!("unknown"), &json!(true), &json!("provision"))
    );
    let text = operation["error"]["message"].as_str().unwrap();
    assert!(text.contains("shows no effect"), "{text}");
}
