//! Whatever changes, and whenever a client is cut off: what it makes of a list and of the changes since is the list.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::streams::Client;
use super::*;
use crate::domain::{Cluster, ClusterId};
use crate::inventory::Shown;

const STATES: [&str; 3] = ["running", "failed", "stopped"];
const PROJECTS: [Option<&str>; 3] = [Some("p"), Some("q"), None];

/// A cluster: its id, state and project, and when it was seen.
type Spec = (u8, usize, usize, i64);

#[derive(Debug, Clone)]
pub(super) enum Happening {
    List(usize, Vec<Spec>),
    Both(Vec<Spec>, Vec<Spec>),
    Fail(usize),
    Forget(usize, u8),
    Show(usize, Spec),
    Age,
}

fn specs() -> impl Strategy<Value = Vec<Spec>> {
    let spec = (0..4_u8, 0..3_usize, 0..3_usize, 0..3_i64);
    proptest::collection::vec(spec, 0..5)
}

pub(super) fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (0..2_usize, specs()).prop_map(|(source, specs)| Happening::List(source, specs)),
        2 => (specs(), specs()).prop_map(|(one, other)| Happening::Both(one, other)),
        1 => (0..2_usize).prop_map(Happening::Fail),
        1 => (0..2_usize, 0..4_u8).prop_map(|(source, id)| Happening::Forget(source, id)),
        1 => (0..2_usize, (0..4_u8, 0..3_usize, 0..3_usize, 0..3_i64))
            .prop_map(|(source, spec)| Happening::Show(source, spec)),
        1 => Just(Happening::Age),
    ]
}

/// How a client keeps up, and what it asks for.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) filter: &'static str,
    pub(super) noise: bool,
    pub(super) reach: usize,
    /// Walks pages of so many changes; 0 watches.
    pub(super) page: usize,
    /// What it does after each happening: 0 nothing, 1 reads all, else so many events and is cut off.
    pub(super) turns: Vec<u8>,
}

pub(super) fn plan() -> impl Strategy<Value = Plan> {
    const FILTERS: [&str; 7] = [
        "",
        "state=running",
        "state=!failed",
        "project=p",
        "source=a",
        "q=1",
        "state=running&project=!q",
    ];
    (
        proptest::sample::select(&FILTERS[..]),
        any::<bool>(),
        0..4_usize,
        0..4_usize,
        proptest::collection::vec(0..4_u8, 12),
    )
        .prop_map(|(filter, noise, reach, page, turns)| Plan {
            filter,
            noise,
            reach,
            page,
            turns,
        })
}

fn make(source: &str, (id, state, project, second): Spec) -> Cluster {
    let mut cluster = cluster(source, &id.to_string(), STATES[state], PROJECTS[project]);
    cluster.observed_at = Some(crate::inventory::testing::at(
        u64::try_from(second).unwrap(),
    ));
    cluster
}

fn listing(source: &str, specs: &[Spec]) -> Vec<Cluster> {
    let mut seen = BTreeSet::new();
    let new = specs.iter().filter(|spec| seen.insert(spec.0));
    new.map(|spec| make(source, *spec)).collect()
}

pub(super) fn happen(stage: &mut Stage, happening: &Happening) {
    const NAMES: [&str; 2] = ["a", "b"];
    match happening {
        Happening::List(source, specs) => {
            stage.list(NAMES[*source], listing(NAMES[*source], specs));
        }
        Happening::Both(one, other) => {
            let lists = [
                ("a", Some(listing("a", one))),
                ("b", Some(listing("b", other))),
            ];
            stage.publish(BTreeMap::from(lists));
        }
        Happening::Fail(source) => {
            stage.fail(NAMES[*source]);
        }
        Happening::Forget(source, id) => {
            let name = SourceName::new(NAMES[*source]).unwrap();
            let id = ClusterId::new(&name, &id.to_string());
            stage.show(NAMES[*source], Shown::Gone(id));
        }
        Happening::Show(source, spec) => {
            stage.show(NAMES[*source], Stage::shown(make(NAMES[*source], *spec)));
        }
        Happening::Age => {
            stage.age(100_000);
        }
    }
}

/// A client that knows the API and nothing else.
pub(super) struct Follower {
    pub(super) app: Router,
    pub(super) plan: Plan,
    pub(super) reach: Reach,
    pub(super) known: BTreeMap<String, Value>,
    /// The generation of its last list, and what it was told since.
    pub(super) listed: u64,
    pub(super) told: Vec<Value>,
    /// Where it goes on.
    last: String,
    pub(super) client: Option<Client>,
    pub(super) resets: usize,
}

impl Follower {
    pub(super) async fn start(app: &Router, plan: &Plan) -> Self {
        let reach = [Reach::ALL, of_project("p"), of_source("a"), Reach::ALL][plan.reach].clone();
        let mut follower = Self {
            app: app.clone(),
            plan: plan.clone(),
            reach,
            known: BTreeMap::new(),
            listed: 0,
            told: Vec::new(),
            last: String::new(),
            client: None,
            resets: 0,
        };
        follower.list().await;
        follower
    }

    pub(super) fn noise(&self) -> &'static str {
        if self.plan.noise { "&noise=true" } else { "" }
    }

    pub(super) async fn read(&self) -> (u64, BTreeMap<String, Value>) {
        let target = format!("/clusters?limit=1000&{}", self.plan.filter);
        let (status, body) = ask(&self.app, &self.reach, &target).await;
        assert_eq!(status, 200, "{body}");
        let items = body["items"].as_array().unwrap().iter();
        let known = items.map(|item| (item["id"].as_str().unwrap().to_owned(), own(item)));
        (body["generation"].as_u64().unwrap(), known.collect())
    }

    async fn list(&mut self) {
        (self.listed, self.known) = self.read().await;
        self.last = self.listed.to_string();
        self.told.clear();
    }

    pub(super) async fn turn(&mut self, turn: u8, until: u64) {
        if self.plan.page > 0 {
            if turn > 0 {
                self.walk().await;
            }
            return;
        }
        match turn {
            0 => {}
            1 => self.watch(usize::MAX, until).await,
            events => {
                self.watch(usize::from(events) - 1, until).await;
                self.client = None;
            }
        }
    }

    async fn walk(&mut self) {
        let (filter, noise, page) = (self.plan.filter, self.noise(), self.plan.page);
        let query = format!("since={}&limit={page}&{filter}{noise}", self.last);
        let mut target = format!("/changes?{query}");
        loop {
            let (status, body) = ask(&self.app, &self.reach, &target).await;
            if status == 410 {
                self.resets += 1;
                return self.list().await;
            }
            assert_eq!(status, 200, "{body}");
            self.take(body["items"].as_array().unwrap()).await;
            let Some(next) = body["next_cursor"].as_str() else {
                self.last = body["generation"].to_string();
                return;
            };
            target = format!("/changes?{query}&cursor={next}");
        }
    }

    /// Reads so many events, or until it is up to date.
    async fn watch(&mut self, events: usize, until: u64) {
        for _ in 0..events {
            if self.last == until.to_string() {
                return;
            }
            if self.client.is_none() {
                let query = format!("{}{}", self.plan.filter, self.noise());
                let client = Client::open(&self.app, &self.reach, &query, Some(&self.last)).await;
                self.client = Some(client);
            }
            let event = self.client.as_mut().unwrap().event().await.unwrap();
            match event.kind.as_str() {
                "changes" => self.take(event.data["items"].as_array().unwrap()).await,
                "reset" => {
                    self.resets += 1;
                    self.list().await;
                }
                kind => assert_eq!(kind, "generation"),
            }
            self.last = event.id;
        }
    }

    async fn take(&mut self, items: &[Value]) {
        for item in items {
            self.told.push(item.clone());
            let Some(id) = item["cluster"].as_str() else {
                continue;
            };
            match item["kind"].as_str().unwrap() {
                "removed" => {
                    self.known.remove(id);
                    continue;
                }
                _ if self.known.contains_key(id) => {}
                _ => {
                    let (status, body) =
                        ask(&self.app, &self.reach, &format!("/clusters/{id}")).await;
                    match status {
                        200 => drop(self.known.insert(id.to_owned(), own(&body))),
                        _ => assert_eq!(status, 404, "{body}"),
                    }
                }
            }
            let Some(known) = self.known.get_mut(id) else {
                continue;
            };
            for field in item["fields"].as_array().unwrap() {
                apply(known, field);
            }
            if !passes(self.plan.filter, known) {
                self.known.remove(id);
            }
        }
    }
}

/// What of a cluster its changes tell.
fn own(item: &Value) -> Value {
    let mut item = item.clone();
    let members = item.as_object_mut().unwrap();
    for tail in ["links", "fetched_at", "presence", "stale"] {
        members.remove(tail);
    }
    item
}

fn apply(known: &mut Value, field: &Value) {
    let name = field["field"].as_str().unwrap();
    if ["presence", "stale"].contains(&name) {
        return;
    }
    let value = field["new"].clone();
    match name.split_once('.') {
        None => known[name] = value,
        Some((outer, inner)) => known[outer][inner] = value,
    }
}

fn passes(filter: &str, known: &Value) -> bool {
    filter
        .split('&')
        .filter(|term| !term.is_empty())
        .all(|term| {
            let (name, wanted) = term.split_once('=').unwrap();
            let (is_not, wanted) = match wanted.strip_prefix('!') {
                Some(wanted) => (true, wanted),
                None => (false, wanted),
            };
            let has = match name {
                "state" => known["status"]["state"] == wanted,
                "project" => known["owner"]["project"]["id"] == wanted,
                "source" => known["source"] == wanted,
                "q" => known["id"].as_str().unwrap().contains(wanted),
                other => panic!("{other}"),
            };
            has != is_not
        })
}

/// A value without what a client that did not ask for noise cannot know.
pub(super) fn shown(known: &BTreeMap<String, Value>, noise: bool) -> BTreeMap<String, Value> {
    let mut known = known.clone();
    for value in known.values_mut() {
        if !noise {
            value.as_object_mut().unwrap().remove("observed_at");
        }
    }
    known
}

async fn converge(happenings: Vec<Happening>, plans: Vec<Plan>, small: bool, with_past: bool) {
    let mut stage = Stage::new(&["a", "b"]);
    if small {
        stage = stage.with_feed_of(8_000);
    }
    let settings = Settings {
        max_event_items: 2,
        ..Settings::default()
    };
    let past: Arc<dyn Past> = Arc::<Archive>::clone(&stage.archive);
    let past = with_past.then_some(past);
    let app = router(state_over(&stage.inventory, past, settings));
    stage.publish(BTreeMap::from([
        ("a", Some(Vec::new())),
        ("b", Some(Vec::new())),
    ]));
    let mut followers = Vec::new();
    for plan in &plans {
        followers.push(Follower::start(&app, plan).await);
    }
    for (at, happening) in happenings.iter().enumerate() {
        happen(&mut stage, happening);
        for follower in &mut followers {
            let turn = follower.plan.turns[at % follower.plan.turns.len()];
            follower.turn(turn, stage.generation()).await;
        }
    }
    for mut follower in followers {
        follower.turn(1, stage.generation()).await;
        let noise = follower.plan.noise;
        let (generation, list) = follower.read().await;
        assert_eq!(generation, stage.generation());
        let plan = &follower.plan;
        assert_eq!(
            shown(&follower.known, noise),
            shown(&list, noise),
            "{plan:?}"
        );
        assert!(small || follower.resets == 0, "{plan:?}");
        if with_past && !noise {
            assert_eq!(follower.resets, 0, "{plan:?}");
        }
        // Everything that it was told, it was told once and in order.
        let query = format!(
            "since={}&limit=1000&{}{}",
            follower.listed,
            plan.filter,
            follower.noise()
        );
        if let Ok(whole) = walk(&app, &follower.reach, &query).await {
            assert_eq!(follower.told, whole, "{plan:?}");
        } else {
            assert!(small);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_client_arrives_at_the_list(
        happenings in proptest::collection::vec(happening(), 1..24),
        plans in proptest::collection::vec(plan(), 1..4),
        small in any::<bool>(),
        with_past in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(converge(happenings, plans, small, with_past));
    }
}
