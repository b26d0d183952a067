//! What holds when a gateway, its way to the database, or the database fails.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep};

use super::proxy::Way;
use super::{Fleet, LEASE, store_of, until};

/// What a machine that is busy with something else may add.
const SLACK: Duration = Duration::from_secs(2);
const INTERVAL: Duration = Duration::from_secs(1);

/// How often each vendor was read, at most, if one gateway at a time reads it every second.
struct Rhythm {
    begun: Instant,
    first: BTreeMap<&'static str, u64>,
    /// Requests of one listing.
    listing: BTreeMap<&'static str, u64>,
}

impl Rhythm {
    async fn of(fleet: &Fleet, listing: BTreeMap<&'static str, u64>) -> Self {
        fleet.settled().await;
        Self {
            begun: Instant::now(),
            first: fleet.requests(),
            listing,
        }
    }

    /// Nobody was read more often than that, also where so many listings were begun and not ended.
    fn is_kept(&self, fleet: &Fleet, broken: u64) {
        let periods = self.begun.elapsed().as_secs_f64() / INTERVAL.as_secs_f64();
        for (name, requests) in fleet.requests() {
            let asked = requests - self.first[name];
            let most = (periods + 2.0 + broken as f64) * self.listing[name] as f64;
            assert!(
                asked as f64 <= most,
                "{name}: {asked} requests in {periods} periods, {most} at most"
            );
        }
    }
}

/// Requests of one listing of each vendor.
async fn listing(name: &str) -> Option<BTreeMap<&'static str, u64>> {
    let fleet = Fleet::start(name, 1, "1h", LEASE).await?;
    Some(fleet.requests())
}

/// Waits until gateways read all sources, and says how long it took.
async fn taken_over(fleet: &Fleet, by: &[usize]) -> Duration {
    let begun = Instant::now();
    until("all sources are taken over", async || {
        let leases = fleet.leases_of(by).await;
        leases == 5
    })
    .await;
    begun.elapsed()
}

impl Fleet {
    async fn leases_of(&self, places: &[usize]) -> usize {
        let mut sum = 0;
        for place in places {
            let mine = super::metric(self.at(*place), "clustergate_store_leases").await;
            sum += usize::try_from(mine).unwrap();
        }
        sum
    }

    /// The others beside one.
    fn others(&self, place: usize) -> Vec<usize> {
        self.gateways
            .keys()
            .copied()
            .filter(|other| *other != place)
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_killed_or_stopped_is_followed_by_another_within_a_lease() {
    let Some(listing) = listing("clustergate_killing_one").await else {
        return;
    };
    let Some(mut fleet) = Fleet::start("clustergate_killing", 3, "1s", LEASE).await else {
        return;
    };
    let rhythm = Rhythm::of(&fleet, listing).await;
    // Killed.
    let killed = fleet.holder().await;
    let others = fleet.others(killed);
    fleet.gateways.remove(&killed).unwrap().kill();
    let took = taken_over(&fleet, &others).await;
    assert!(took <= LEASE + SLACK, "{took:?}");
    rhythm.is_kept(&fleet, 1);
    fleet.same("/clusters?limit=1000&include=raw,nodes").await;
    fleet.launch(killed);
    fleet.settled().await;

    // Stopped, and continued when others have its sources.
    let stopped = fleet.holder().await;
    let others = fleet.others(stopped);
    fleet.at(stopped).signal(Signal::STOP);
    let took = taken_over(&fleet, &others).await;
    assert!(took <= LEASE + SLACK, "{took:?}");
    let newest = fleet
        .at(others[0])
        .send("GET", "/clusters", "")
        .await
        .generation();
    fleet.at(stopped).signal(Signal::CONT);
    until("the one that was stopped goes on", async || {
        let target = format!("/clusters?min_generation={newest}");
        fleet.at(stopped).send("GET", &target, "").await.status == 200
    })
    .await;
    fleet.settled().await;
    rhythm.is_kept(&fleet, 3);
    fleet.same("/clusters?limit=1000&include=raw,nodes").await;

    // Asked to end, it leaves its sources at once.
    let ended = fleet.holder().await;
    let others = fleet.others(ended);
    fleet.at(ended).signal(Signal::TERM);
    let took = taken_over(&fleet, &others).await;
    assert!(took <= LEASE + SLACK, "{took:?}");
    fleet.gateways.remove(&ended);
    rhythm.is_kept(&fleet, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_all_serve_and_nobody_reads() {
    let Some(listing) = listing("clustergate_away_one").await else {
        return;
    };
    let Some(fleet) = Fleet::start("clustergate_away", 3, "1s", LEASE).await else {
        return;
    };
    let rhythm = Rhythm::of(&fleet, listing).await;
    for way in [Way::Closed, Way::Lost] {
        fleet.close_ways(way);
        until("all say so", async || {
            for process in fleet.gateways.values() {
                if store_of(process).await != "behind" {
                    return false;
                }
            }
            true
        })
        .await;
        until("no leases are left", async || {
            fleet.leases_of(&[0, 1, 2]).await == 0
        })
        .await;
        // Long enough for whatever was under way, and for several listings.
        sleep(INTERVAL / 4).await;
        let before = fleet.total();
        sleep(INTERVAL * 2).await;
        assert_eq!(fleet.total(), before, "{way:?}");
        let mut generations = Vec::new();
        for process in fleet.gateways.values() {
            let list = process.send("GET", "/clusters?limit=1000", "").await;
            assert_eq!(list.status, 200);
            assert_eq!(list.json()["items"].as_array().unwrap().len(), 60);
            generations.push(list.generation());
        }
        fleet.close_ways(Way::Open);
        let newest = generations.into_iter().max().unwrap();
        until("generations are made again", async || {
            let target = format!("/clusters?min_generation={}", newest + 1);
            fleet.at(0).send("GET", &target, "").await.status == 200
        })
        .await;
        fleet.settled().await;
        rhythm.is_kept(&fleet, 2);
        fleet.same("/clusters?limit=1000&include=raw,nodes").await;
        for process in fleet.gateways.values() {
            assert_eq!(store_of(process).await, "ok");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_or_slow_follows_when_it_can() {
    let Some(listing) = listing("clustergate_cut_off_one").await else {
        return;
    };
    let Some(fleet) = Fleet::start("clustergate_cut_off", 3, "1s", LEASE).await else {
        return;
    };
    let rhythm = Rhythm::of(&fleet, listing).await;
    let cut_off = fleet.holder().await;
    let others = fleet.others(cut_off);
    fleet.ways[cut_off].set(Way::Lost);
    let took = taken_over(&fleet, &others).await;
    assert!(took <= LEASE + SLACK, "{took:?}");
    assert_eq!(fleet.leases_of(&[cut_off]).await, 0);
    let old = fleet.at(cut_off).send("GET", "/clusters", "").await;
    assert_eq!(old.status, 200);
    fleet.ways[cut_off].set(Way::Closed);
    until("it says so", async || {
        store_of(fleet.at(cut_off)).await == "behind"
    })
    .await;

    // What comes late is shown late, and is the same.
    fleet.ways[cut_off].set(Way::Slow(Duration::from_millis(30)));
    until("it follows", async || {
        let newest = fleet
            .at(others[0])
            .send("GET", "/clusters", "")
            .await
            .generation();
        let target = format!("/clusters?min_generation={newest}");
        fleet.at(cut_off).send("GET", &target, "").await.status == 200
    })
    .await;
    fleet.same("/clusters?limit=1000&include=raw,nodes").await;
    fleet.ways[cut_off].set(Way::Open);
    fleet.settled().await;
    rhythm.is_kept(&fleet, 3);
    fleet.same("/clusters?limit=1000&include=raw,nodes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_begins_without_its_database_waits_for_it() {
    let Some(mut fleet) = Fleet::prepare("clustergate_waiting", 1, "1h", LEASE).await else {
        return;
    };
    fleet.close_ways(Way::Closed);
    fleet.launch(0);
    let ready = fleet.at(0).send("GET", "/readyz", "").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    assert_eq!(fleet.at(0).send("GET", "/clusters", "").await.status, 503);
    assert_eq!(fleet.total(), 0);
    fleet.close_ways(Way::Open);
    fleet.settled().await;
    assert_eq!(fleet.at(0).send("GET", "/readyz", "").await.status, 200);
}
