//! The real program, killed at any moment, again and again, while its vendors change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::unmarked;
use crate::support::Plan;
use crate::support::process::{Process, configure};

const KILLS: u32 = 20;

/// What was seen so far.
#[derive(Default)]
struct Model {
    generation: u64,
    /// The last answer's clusters, and when each source was read.
    clusters: BTreeMap<String, Value>,
    fetched: BTreeMap<String, Option<Timestamp>>,
    gone: BTreeSet<String>,
}

impl Model {
    /// Takes an answer, which must be no older than all that was seen before.
    fn see(&mut self, list: &Value, when: &str) {
        if list["status"] == 503 {
            // Nothing is known yet, which is no longer true once something was.
            assert!(self.fetched.values().all(Option::is_none), "{when}: {list}");
            return;
        }
        let generation = list["generation"].as_u64().unwrap();
        assert!(
            generation >= self.generation,
            "{when}: a generation went backwards"
        );
        self.generation = generation;
        let mut unread = BTreeSet::new();
        for source in list["sources"].as_array().unwrap() {
            let name = source["source"].as_str().unwrap().to_owned();
            let fetched = source["fetched_at"].as_str().map(|at| at.parse().unwrap());
            let before = self.fetched.entry(name.clone()).or_default();
            assert!(
                fetched >= *before,
                "{when}: {name} was read {before:?}, now {fetched:?}"
            );
            if fetched == *before {
                unread.insert(name);
            }
            *before = fetched;
        }
        let now: BTreeMap<String, Value> = unmarked(list.clone())
            .into_iter()
            .map(|item| (item["id"].as_str().unwrap().to_owned(), item))
            .collect();
        for id in now.keys() {
            assert!(!self.gone.contains(id), "{when}: {id} came back");
        }
        for (id, item) in &self.clusters {
            let (source, _) = id.split_once(':').unwrap();
            // Nothing but a listing changes or removes a cluster here.
            if unread.contains(source) {
                assert_eq!(now.get(id), Some(item), "{when}");
            } else if !now.contains_key(id) {
                self.gone.insert(id.clone());
            }
        }
        self.clusters = now;
    }
}

/// What happens between two kills at the least, however slow the machine.
const ROUNDS: u32 = 3;

/// Numbers that look random and are the same each time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_seen_is_lost_by_a_kill() {
    let home = tempfile::tempdir().unwrap();
    let plan = Plan::default();
    let sandbox = plan.sandbox().await;
    let file = home.path().join("clustergate.toml");
    let tokens = configure(&sandbox, &file, "", "1s");
    let mut dice = Dice(2026);
    let mut model = Model::default();
    let mut refreshed = 0;
    // A slow machine does less between two kills; what is asked for below is done then by more of them.
    for kill in 0..4 * KILLS {
        let is_enough = refreshed > 50 && model.clusters.len() > 40 && !model.gone.is_empty();
        if kill >= KILLS && is_enough {
            break;
        }
        let process = Process::start(&file, home.path(), &tokens);
        let first = process.ask("GET", "/clusters?limit=1000").await;
        model.see(&first, &format!("the first answer after kill {kill}"));
        let until = Instant::now() + Duration::from_millis(20 + dice.below(140));
        let (mut asked, mut rounds) = (0, 0);
        while rounds < ROUNDS || Instant::now() < until {
            rounds += 1;
            for vendor in sandbox.vendors() {
                let name = vendor.vendor().name();
                match dice.below(6) {
                    0 => vendor.touch(),
                    1 => drop(vendor.add()),
                    2 => {
                        let truth = vendor.truth();
                        if truth.len() > 12 {
                            let at = dice.below(truth.len() as u64);
                            vendor.remove(&truth[usize::try_from(at).unwrap()].id);
                        }
                    }
                    _ => {}
                }
                if dice.below(2) == 0 {
                    process
                        .ask("POST", &format!("/sources/{name}/refresh"))
                        .await;
                    asked += 1;
                }
            }
            let list = process.ask("GET", "/clusters?limit=1000").await;
            model.see(&list, &format!("answers before kill {}", kill + 1));
            sleep(Duration::from_millis(dice.below(8))).await;
        }
        refreshed += asked;
        process.kill();
    }
    // It was no idle gateway that was killed.
    assert!(refreshed > 50, "{refreshed}");
    assert!(model.clusters.len() > 40, "{}", model.clusters.len());
    assert!(!model.gone.is_empty());
}
