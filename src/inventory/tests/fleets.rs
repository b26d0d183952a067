//! Random sources with random clusters, what becomes of them, and what must come of it.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rust_decimal::Decimal;

use super::*;
use crate::domain::{
    Accelerator, Capacity, Cost, CostOrigin, Money, NodeCounts, OrchestratorType, Project, State,
};

/// What becomes of a cluster in the second listing of its source.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    Listed,
    Unlisted,
    Unreadable,
}

/// What happens to a source after its listings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ending {
    Fresh,
    Failing,
    /// Only what was not in the last listing is old.
    PartlyOld,
    Old,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) clusters: Vec<(Cluster, Fate)>,
    pub(super) ending: Ending,
}

/// One cluster as the oracle knows it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) cluster: Cluster,
    pub(super) presence: Presence,
    pub(super) stale: bool,
}

const NAMES: [&str; 14] = [
    "",
    "a",
    "A",
    "aB",
    "Ab",
    "prod one",
    "PROD",
    "ä",
    "Ä",
    "ΟΔΟΣ",
    "οδος x",
    "a\nb",
    "\u{0}z",
    "z",
];
/// Sources whose order by name is not the order of their ids.
const SOURCES: [(&str, &str); 4] = [("s", "q"), ("s-a", "p"), ("s1", "q"), ("t", "p")];
const WORDS: [&str; 5] = ["aws", "AWS", "eu-1", "Eu-2", "x"];
const VERSIONS: [&str; 7] = [
    "1.9.3",
    "1.10.0",
    "1.34",
    "1.34.0-rc.1",
    "1.34.3",
    "2.0.0",
    "latest",
];

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => select(&NAMES[..]).prop_map(str::to_owned),
        // Two that differ only behind what takes part in sorting.
        1 => select(vec!["1", "2"]).prop_map(|end| format!("{}é{end}", "n".repeat(96))),
    ]
}

fn word() -> impl Strategy<Value = Option<String>> {
    option::of(select(&WORDS[..]).prop_map(str::to_owned))
}

fn few() -> impl Strategy<Value = Option<u64>> {
    option::of(0_u64..4)
}

fn accelerators() -> impl Strategy<Value = Option<Vec<Accelerator>>> {
    let one = (select(vec!["H100", "A100_80GB", "odd One"]), few())
        .prop_map(|(native, count)| Accelerator::from_native(native, count, None));
    option::of(proptest::collection::vec(one, 0..3))
}

fn clusters(
    name_of_source: &'static str,
    kind: &'static str,
) -> impl Strategy<Value = Vec<(Cluster, Fate)>> {
    let identity = (
        name(),
        select(&State::ALL[..]),
        select(&OrchestratorType::ALL[..]),
        any::<bool>(),
    );
    let place = (
        word(),
        word(),
        subsequence(WORDS.to_vec(), 0..3),
        word(),
        word(),
    );
    let version = option::of(select(&VERSIONS[..]));
    let money = option::of((0_i64..3, 0_u32..5, select(vec!["USD", "EUR"])));
    let sizes = (few(), few(), option::of(select(vec![0.5, 1.0, 8.0])), few());
    let labels = subsequence(vec![("team", "A"), ("team2", "b"), ("Env", "x=y")], 0..3);
    let owner = (word(), word(), word());
    let times = (
        option::of(-2_i64..2),
        option::of(0_i64..3),
        option::of(0_i64..3),
    );
    let fate = prop_oneof![4 => Just(Fate::Listed), 1 => Just(Fate::Unlisted), 1 => Just(Fate::Unreadable)];
    let one = (
        (identity, place, version, money),
        (sizes, accelerators(), labels, owner, times, fate),
    )
        .prop_map(move |((identity, place, version, money), rest)| {
            let (sizes, accelerators, labels, owner, times, fate) = rest;
            let mut cluster = super::cluster(name_of_source, "");
            cluster.provider = Kind::new(kind);
            (
                cluster.name,
                cluster.status.state,
                cluster.orchestrator.kind,
                cluster.contact_lost,
            ) = identity;
            let (cloud, region, regions, environment, distribution) = place;
            cluster.location.cloud = cloud;
            cluster.location.region = region;
            cluster.location.regions = regions.into_iter().map(str::to_owned).collect();
            cluster.environment = environment;
            cluster.orchestrator.distribution = distribution;
            cluster.orchestrator.version = version.map(str::to_owned);
            cluster.cost = money.map(|(amount, scale, currency)| Cost {
                hourly: Money {
                    amount: Decimal::new(amount * 5, scale),
                    currency: currency.to_owned(),
                },
                origin: CostOrigin::Listed,
                as_of: None,
            });
            cluster.nodes = sizes.0.map(|total| NodeCounts {
                total: Some(total),
                ready: sizes.1,
                ..NodeCounts::default()
            });
            cluster.capacity = Some(Capacity {
                cpu_cores: sizes.2,
                memory_bytes: sizes.3,
                ..Capacity::default()
            });
            cluster.accelerators = accelerators;
            cluster.labels = (labels.into_iter())
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect();
            cluster.owner.team = owner.0;
            cluster.owner.project = (owner.1.is_some() || owner.2.is_some()).then_some(Project {
                id: owner.1,
                name: owner.2,
            });
            cluster.created_at = times
                .0
                .map(|second| Timestamp::from_second(second).unwrap());
            cluster.updated_at = times.1.map(at);
            cluster.observed_at = times.2.map(at);
            (cluster, fate)
        });
    proptest::collection::vec(one, 0..16).prop_map(move |mut clusters| {
        for (number, (cluster, _)) in clusters.iter_mut().enumerate() {
            // Ids that are encoded, of mixed case, and not in the order of the listing.
            cluster.native_id = ["x/", "X", "b", "B~"][number % 4].to_owned() + &number.to_string();
            cluster.id = ClusterId::new(&source(name_of_source), &cluster.native_id);
        }
        clusters
    })
}

fn account((name, kind): (&'static str, &'static str)) -> impl Strategy<Value = Account> {
    let endings = [
        Ending::Fresh,
        Ending::Failing,
        Ending::PartlyOld,
        Ending::Old,
    ];
    (clusters(name, kind), select(endings.to_vec())).prop_map(move |(clusters, ending)| Account {
        name,
        kind,
        clusters,
        ending,
    })
}

/// Two to four sources.
pub(super) fn accounts() -> impl Strategy<Value = Vec<Account>> {
    (2_usize..=4).prop_flat_map(|count| {
        SOURCES[..count]
            .iter()
            .map(|pair| account(*pair))
            .collect::<Vec<_>>()
    })
}

impl Account {
    /// Lets it all happen.
    pub(super) fn bench(&self) -> Bench {
        let mut bench = Bench::new(self.name, self.kind);
        let all = self
            .clusters
            .iter()
            .map(|(cluster, _)| listed(cluster.clone()));
        bench.list_with(all.collect(), Vec::new());
        bench.clock += 1_800;
        let of = |fate: Fate| self.clusters.iter().filter(move |(_, own)| *own == fate);
        let still = of(Fate::Listed).map(|(cluster, _)| listed(cluster.clone()));
        let rejected = of(Fate::Unreadable).map(|(cluster, _)| Rejected {
            native_id: Some(cluster.native_id.clone()),
            reason: "test",
        });
        bench.list_with(still.collect(), rejected.collect());
        match self.ending {
            Ending::Fresh => {}
            Ending::Failing => bench.fail(ErrorKind::Malformed),
            Ending::PartlyOld => bench.age(2_400),
            Ending::Old => bench.age(9_000),
        }
        bench
    }

    /// What must come of it.
    pub(super) fn known(&self) -> Vec<Known> {
        let count = |fate| self.clusters.iter().filter(|(_, own)| *own == fate).count();
        let (all, lost) = (self.clusters.len(), count(Fate::Unlisted));
        let is_mass = count(Fate::Listed) == 0 || (all >= 10 && lost * 2 > all);
        let know = |(cluster, fate): &(Cluster, Fate)| {
            let is_unread = self.ending == Ending::Failing || self.ending == Ending::Old;
            let presence = match fate {
                Fate::Listed if is_unread => Presence::Stale,
                Fate::Listed => Presence::Present,
                Fate::Unreadable => Presence::Stale,
                Fate::Unlisted if is_mass => Presence::Suspect,
                Fate::Unlisted => Presence::Missing,
            };
            let is_old = match self.ending {
                Ending::Fresh | Ending::Failing => false,
                Ending::PartlyOld => *fate != Fate::Listed,
                Ending::Old => true,
            };
            Known {
                cluster: cluster.clone(),
                presence,
                stale: is_old || cluster.contact_lost,
            }
        };
        self.clusters.iter().map(know).collect()
    }
}
