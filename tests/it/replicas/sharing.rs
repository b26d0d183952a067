//! What gateways that share a database have in common while nothing fails.

use clustergate::sandbox::Simulated;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::{Fleet, LONG_LEASE, until};
use crate::support::PATIENCE;
use crate::support::process::Process;

/// Reads an event stream until an event of a kind was told; answers with its id and what it said.
async fn event(process: &Process, target: &str, headers: &str, kind: &str) -> (String, Value) {
    let mut stream = process.open("GET", target, headers).await;
    let mut text = String::new();
    let reading = async {
        loop {
            let mut buffer = vec![0; 16 << 10];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "the stream ended: {text}");
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            // Chunks of a transfer have lines of their own.
            let begin = format!("event: {kind}\n");
            let Some(at) = text.find(&begin) else {
                continue;
            };
            let rest = &text[at + begin.len()..];
            let id = rest.lines().find_map(|line| line.strip_prefix("id: "));
            let data = rest.lines().find_map(|line| line.strip_prefix("data: "));
            if let (Some(id), Some(data)) = (id, data)
                && let Ok(data) = serde_json::from_str(data)
            {
                return (id.to_owned(), data);
            }
        }
    };
    timeout(PATIENCE, reading).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_source_is_read_by_one_and_shown_the_same_by_all() {
    let Some(mut fleet) = Fleet::prepare("clustergate_sharing", 3, "1h", LONG_LEASE).await else {
        return;
    };
    fleet.launch_all(0..2).await;
    // One listing of each, though two gateways began at once; another gateway adds none.
    let first = fleet.requests();
    fleet.launch_all(2..3).await;
    assert_eq!(fleet.requests(), first);
    let targets = [
        "/clusters?limit=1000&include=raw,nodes",
        "/clusters?limit=7&sort=-name",
        "/summary",
    ];
    for target in &targets {
        fleet.same(target).await;
    }
    let list = fleet.same(targets[0]).await;
    assert_eq!(list.json()["items"].as_array().unwrap().len(), 60);
    for source in list.json()["sources"].as_array().unwrap() {
        assert_eq!(source["restored"], false, "{source}");
        assert_eq!(source["state"], "fresh", "{source}");
    }

    // A refresh is one listing, wherever it is asked for.
    for place in 0..3 {
        fleet.sandbox.vendors().for_each(Simulated::touch);
        for name in fleet.names() {
            fleet.refresh_at(place, name).await;
        }
        let more = u64::try_from(place).unwrap() + 2;
        for (name, requests) in fleet.requests() {
            assert_eq!(requests, first[name] * more, "{name} at {place}");
        }
    }
    let since = list.generation();
    for target in &targets {
        fleet.same(target).await;
    }
    // Each says for itself since when it knows of changes.
    for noise in ["false", "true"] {
        let target = format!("/changes?since={since}&limit=1000&noise={noise}");
        let mut told = Vec::new();
        for place in 0..3 {
            let mut changes = fleet.at(place).ask("GET", &target).await;
            changes.as_object_mut().unwrap().remove("complete_since");
            told.push(changes);
        }
        assert!(!told[0]["items"].as_array().unwrap().is_empty());
        assert_eq!(told[0], told[1]);
        assert_eq!(told[0], told[2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_and_a_watch_go_on_at_another_gateway_and_writes_are_read_there() {
    let Some(fleet) = Fleet::start("clustergate_walking", 3, "1h", LONG_LEASE).await else {
        return;
    };
    // Page after page, each at another gateway.
    let whole = fleet.same("/clusters?limit=1000").await.json();
    let ids = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().unwrap().iter();
        items
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (mut walked, mut cursor, mut place) = (Vec::new(), String::new(), 0);
    loop {
        let page = fleet
            .at(place % 3)
            .ask("GET", &format!("/clusters?limit=7{cursor}"))
            .await;
        walked.extend(ids(&page));
        let Some(next) = page["next_cursor"].as_str() else {
            break;
        };
        cursor = format!("&cursor={next}");
        place += 1;
    }
    assert_eq!(walked, ids(&whole));
    assert!(place > 5);

    // Also where the order could change meanwhile: the pages are of the generation that the walk began in.
    let first = fleet
        .at(0)
        .send("GET", "/clusters?limit=7&sort=-name", "")
        .await;
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let target = format!("/clusters?limit=7&sort=-name&cursor={cursor}");
    let second = fleet.at(0).send("GET", &target, "").await;
    for name in ["latitude", "lakesail"] {
        fleet.sandbox.vendors().for_each(Simulated::touch);
        fleet.refresh_at(1, name).await;
    }
    assert!(fleet.same("/summary").await.generation() > first.generation());
    for place in 0..3 {
        let again = fleet.at(place).send("GET", &target, "").await;
        assert_eq!(again.generation(), first.generation(), "{place}: {again:?}");
        assert_eq!(
            (again.header("etag"), &again.body),
            (second.header("etag"), &second.body)
        );
    }
    let whole = fleet.same("/clusters?limit=1000").await.json();

    // A client that watches at one gateway goes on at the next.
    let mut generation = whole["generation"].as_u64().unwrap();
    let mut mark = String::new();
    for place in 0..3 {
        let vendor = fleet.sandbox.vendor("kubeadapt".parse().unwrap());
        let gone = vendor.truth()[0].id.clone();
        assert!(vendor.remove(&gone));
        fleet.refresh_at((place + 1) % 3, "kubeadapt").await;
        let target = format!("/events?since={generation}");
        let headers = if mark.is_empty() {
            String::new()
        } else {
            format!("Last-Event-ID: {mark}\r\n")
        };
        let (id, said) = event(fleet.at(place), &target, &headers, "changes").await;
        for other in 0..3 {
            let again = event(fleet.at(other), &target, &headers, "changes").await;
            assert_eq!(again, (id.clone(), said.clone()), "{other}");
        }
        let later = said["generation"].as_u64().unwrap();
        assert!(later > generation, "{later} {generation}");
        (generation, mark) = (later, id);
    }

    // What one gateway has read or done, another has as soon as it is named.
    let id = walked
        .iter()
        .find(|id| id.starts_with("latitude:"))
        .unwrap();
    let mut last = generation;
    for place in 0..3 {
        let target = format!("/clusters/{id}");
        let read = fleet
            .at(place)
            .send("GET", &target, "Cache-Control: no-cache\r\n")
            .await;
        assert_eq!(read.status, 200, "{read:?}");
        assert!(read.generation() > last, "{} {last}", read.generation());
        last = read.generation();
        for other in 0..3 {
            let target = format!("{target}?min_generation={last}");
            let seen = fleet.at(other).send("GET", &target, "").await;
            assert_eq!((seen.status, &seen.body), (200, &read.body), "{other}");
            assert_eq!(seen.header("etag"), read.header("etag"));
        }
    }
    last = writes(&fleet, &walked, last).await;
    let never = last + 3_600_000;
    let waited = fleet
        .at(1)
        .send("GET", &format!("/clusters?min_generation={never}"), "")
        .await;
    assert_eq!(waited.status, 503);
    assert_eq!(waited.json()["code"], "GENERATION_NOT_REACHED");
    // What the vendor's client has seen is told by whoever reads the source.
    until("vitals are told", async || {
        let mut requests = Vec::new();
        for process in fleet.gateways.values() {
            let source = process.ask("GET", "/sources/lakesail").await;
            requests.push(source["upstream"]["requests"].as_u64());
        }
        requests
            .iter()
            .all(|one| one.is_some() && *one == requests[0])
    })
    .await;
}

/// What was done at a gateway is shown by the others as soon as it is named, whoever reads the source. Of the records of this
/// fleet the vendor lets some be removed.
async fn writes(fleet: &Fleet, ids: &[String], mut last: u64) -> u64 {
    let mut removed = 0;
    for id in ids.iter().filter(|id| id.starts_with("lakesail:")) {
        let target = format!("/clusters/{id}?force=true");
        let mut readers = Vec::new();
        for place in 0..3 {
            let name = "clustergate_source_upstream_requests_total{source=\"lakesail\",provider=\"lakesail\"}";
            if super::metric(fleet.at(place), name).await > 0 {
                readers.push(place);
            }
        }
        // By one that has not read the source itself.
        let place = (0..3).find(|place| !readers.contains(place)).unwrap_or(0);
        let done = fleet.at(place).send("DELETE", &target, "").await;
        if done.status != 204 {
            continue;
        }
        removed += 1;
        assert!(done.generation() > last, "{done:?}");
        last = done.generation();
        for other in 0..3 {
            let target = format!("/clusters/{id}?min_generation={last}");
            let seen = fleet.at(other).send("GET", &target, "").await;
            assert_eq!(seen.status, 404, "{other}: {seen:?}");
        }
    }
    assert!(removed > 0);
    last
}
