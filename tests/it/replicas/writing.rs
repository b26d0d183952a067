//! Writes under one key at two gateways: the vendor is asked once, and both say the same, also where one dies in between.

use clustergate::sandbox::{Aim, Fault, Simulated, Vendor};
use futures_util::future::join;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;

use super::{Fleet, LEASE, LONG_LEASE, until};
use crate::support::PATIENCE;

type Answered = (String, Value);

impl Fleet {
    fn lakesail(&self) -> &Simulated {
        self.sandbox.vendor(Vendor::LakeSail)
    }

    /// Calls that change something, as the vendor has counted them.
    fn writes(&self) -> u64 {
        self.lakesail().stats().write_calls
    }

    async fn post(&self, place: usize, target: &str, key: &str, body: &Value) -> Answered {
        let headers = format!("Idempotency-Key: {key}\r\nContent-Type: application/json\r\n");
        self.at(place).write("POST", target, &headers, body).await
    }

    fn spec(&self, name: &str) -> Value {
        let mut spec = self.lakesail().example("one").unwrap().spec;
        spec["source"] = "lakesail".into();
        spec["name"] = name.into();
        spec
    }

    /// Makes a cluster that both gateways know, and gives the path of what builds it.
    async fn made(&self) -> String {
        let (head, made) = self.post(0, "/clusters", "make", &self.spec("made")).await;
        assert_eq!(status(&head), 201, "{head} {made}");
        let at = format!("/clusters/{}", made["cluster"].as_str().unwrap());
        until("the other one knows it", async || {
            self.at(1).send("GET", &at, "").await.status == 200
        })
        .await;
        format!("{at}/provision")
    }
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

fn is_replayed(head: &str) -> bool {
    head.contains("idempotency-replayed: true")
}

/// Has the dead be known as dead now, and not after some time.
async fn are_dead(address: &str) {
    let mut connection = PgConnection::connect(address).await.unwrap();
    let dead = "UPDATE live_owner SET until = 0 WHERE id IN (SELECT owner FROM operation WHERE done = 0) \
        OR id IN (SELECT owner FROM claim WHERE answer IS NULL)";
    sqlx::query(dead).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn address(name: &str) -> String {
    let server = std::env::var("CLUSTERGATE_TEST_POSTGRES").unwrap();
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_at_two_gateways_is_one_write() {
    let Some(fleet) = Fleet::start("clustergate_keys", 2, "1h", LONG_LEASE).await else {
        return;
    };
    let before = fleet.writes();
    for number in 0..10_u64 {
        let (name, key) = (format!("at-once-{number}"), format!("key-{number}"));
        let spec = fleet.spec(&name);
        // At once.
        let (first, second) = join(
            fleet.post(0, "/clusters", &key, &spec),
            fleet.post(1, "/clusters", &key, &spec),
        )
        .await;
        let mut own = Vec::new();
        for (head, body) in [&first, &second] {
            match status(head) {
                201 if !is_replayed(head) => own.push(body),
                201 => {}
                409 => assert_eq!(body["code"], "IDEMPOTENCY_IN_PROGRESS"),
                other => panic!("{other}: {head} {body}"),
            }
        }
        assert_eq!(own.len(), 1, "{first:?} {second:?}");
        // After each other.
        for place in [0, 1] {
            let (head, body) = fleet.post(place, "/clusters", &key, &spec).await;
            assert_eq!((status(&head), is_replayed(&head)), (201, true), "{head}");
            assert_eq!(&body, own[0]);
            let other = fleet.spec("another one");
            let (head, body) = fleet.post(place, "/clusters", &key, &other).await;
            assert_eq!(status(&head), 422, "{head}");
            assert_eq!(body["code"], "IDEMPOTENCY_KEY_REUSED");
        }
        assert_eq!(fleet.writes(), before + number + 1);
    }
    // Two keys, and one name: the vendor is asked once at a time.
    let spec = fleet.spec("twice");
    let (first, second) = join(
        fleet.post(0, "/clusters", "a", &spec),
        fleet.post(1, "/clusters", "b", &spec),
    )
    .await;
    for (head, body) in [&first, &second] {
        assert!(
            status(head) == 201 || body["code"] == "CLUSTER_BUSY" || status(head) == 422,
            "{head} {body}"
        );
    }
}

/// Kills a gateway that waits for the answer to a write, which the vendor carries out or not; gives the answer of another gateway
/// under the same key, and what is listed.
async fn killed_at_work(name: &str, is_done: bool) -> Option<(Answered, Value)> {
    let mut fleet = Fleet::start(name, 2, "1h", LEASE).await?;
    fleet.lakesail().set_pace(None);
    let provision = fleet.made().await;
    fleet.lakesail().set_fault_aim(Aim {
        kinds: vec!["provision".to_owned()],
        late: is_done,
        ..Aim::default()
    });
    fleet.lakesail().set_fault(Some(Fault::Hang));
    let before = fleet.writes();
    let nothing = json!({});
    let mut asked = Box::pin(fleet.post(0, &provision, "build", &nothing));
    let wait = async {
        while fleet.writes() == before {
            assert!(futures_util::poll!(&mut asked).is_pending());
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
    // While it is sent, another key is no way round it.
    for (key, code) in [
        ("build", "IDEMPOTENCY_IN_PROGRESS"),
        ("again", "CLUSTER_BUSY"),
    ] {
        let (head, busy) = fleet.post(1, &provision, key, &nothing).await;
        assert_eq!((status(&head), busy["code"].as_str()), (409, Some(code)));
    }
    drop(asked);
    fleet.gateways.remove(&0).unwrap().kill();
    fleet.lakesail().set_fault(None);
    let (head, busy) = fleet.post(1, &provision, "build", &nothing).await;
    assert_eq!(status(&head), 409, "nobody has looked: {head} {busy}");
    are_dead(&address(name)).await;
    let mut last = (String::new(), Value::Null);
    until("somebody knows", async || {
        last = fleet.post(1, &provision, "build", &nothing).await;
        status(&last.0) != 409
    })
    .await;
    assert!(is_replayed(&last.0), "{last:?}");
    let (_, again) = fleet.post(1, &provision, "build", &nothing).await;
    assert_eq!(again["code"], last.1["code"]);
    assert_eq!(again["operation"], last.1["operation"]);
    assert_eq!(fleet.writes(), before + 1, "nothing is sent again");
    let operations = fleet.at(1).ask("GET", "/operations").await;
    Some((last, operations["items"].clone()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_gateway_sent_is_told_by_another_one() {
    let Some(((head, answer), operations)) = killed_at_work("clustergate_killed", true).await
    else {
        return;
    };
    assert_eq!(status(&head), 202, "{head} {answer}");
    assert_eq!(answer["read_back"], true);
    assert_eq!(operations.as_array().unwrap().len(), 1);
    assert_eq!(answer["operation"]["id"], operations[0]["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_gateway_sent_in_vain_is_not_sent_again() {
    let Some(((head, answer), operations)) = killed_at_work("clustergate_vain", false).await else {
        return;
    };
    assert_eq!(status(&head), 502, "{head} {answer}");
    assert_eq!(answer["code"], "WRITE_OUTCOME_UNKNOWN");
    assert_eq!(operations[0]["state"], "unknown");
    assert_eq!(operations[0]["done"], true);
}
