//! Random inventories, and the naive way to filter and sort them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rust_decimal::Decimal;

use super::*;
use crate::domain::{
    Accelerator, Capacity, Cost, CostOrigin, Money, NodeCounts, OrchestratorType, Project, State,
};
use crate::inventory::query::{Dimension, Filter, Sort, SortKey, SortTerm, Term};

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
    let money = option::of((0_i64..3, select(vec!["USD", "EUR"])));
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
            cluster.cost = money.map(|(amount, currency)| Cost {
                hourly: Money {
                    amount: Decimal::new(amount * 5, 1),
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

fn lower(text: Option<&String>) -> Vec<String> {
    text.map(|text| text.to_lowercase()).into_iter().collect()
}

/// The values of a cluster that a filter can name.
fn values(known: &Known, dimension: Dimension) -> Vec<String> {
    let cluster = &known.cluster;
    match dimension {
        Dimension::Provider => vec![cluster.provider.to_string()],
        Dimension::Source => vec![cluster.source.to_string()],
        Dimension::Cloud => lower(cluster.location.cloud.as_ref()),
        Dimension::Region => {
            let regions = cluster
                .location
                .regions
                .iter()
                .chain(&cluster.location.region);
            regions.map(|region| region.to_lowercase()).collect()
        }
        Dimension::State => vec![cluster.status.state.as_str().to_owned()],
        Dimension::Environment => lower(cluster.environment.as_ref()),
        Dimension::Orchestrator => vec![cluster.orchestrator.kind.as_str().to_owned()],
        Dimension::Distribution => lower(cluster.orchestrator.distribution.as_ref()),
        Dimension::Version => {
            let mut values = lower(cluster.orchestrator.version.as_ref());
            if let Some(version) = values.first().cloned()
                && version.matches('.').count() >= 2
            {
                values.push(version.split('.').take(2).collect::<Vec<_>>().join("."));
            }
            values
        }
        Dimension::Accelerator => (cluster.accelerators.iter().flatten())
            .map(|one| {
                one.model
                    .clone()
                    .or(one.native.clone())
                    .unwrap()
                    .to_lowercase()
            })
            .collect(),
        Dimension::Vantage => vec!["hosts".to_owned()],
        Dimension::Presence => vec![known.presence.as_str().to_owned()],
        Dimension::Stale => vec![known.stale.to_string()],
        Dimension::Label => (cluster.labels.iter())
            .flat_map(|(key, value)| [key.to_lowercase(), format!("{key}={value}").to_lowercase()])
            .collect(),
        Dimension::Project => (cluster.owner.project.iter())
            .flat_map(|project| [lower(project.id.as_ref()), lower(project.name.as_ref())].concat())
            .collect(),
        Dimension::Team => lower(cluster.owner.team.as_ref()),
    }
}

pub(super) fn passes(known: &Known, filter: &Filter) -> bool {
    let folded = |text: &str| {
        let lower = text.to_lowercase();
        lower.replace('ς', "σ").replace('\n', " ")
    };
    let holds = |text: &String| {
        let wanted = folded(text);
        folded(&known.cluster.name).contains(&wanted)
            || folded(known.cluster.id.as_str()).contains(&wanted)
    };
    let terms = filter.terms.iter().all(|term| {
        let values = values(known, term.dimension);
        (term.any.is_empty() || term.any.iter().any(|value| values.contains(value)))
            && !term.none.iter().any(|value| values.contains(value))
    });
    terms && filter.texts.iter().all(holds)
}

/// Something to compare by.
#[derive(Debug, PartialEq, PartialOrd)]
enum Value {
    Whole(i128),
    Float(f64),
    Text(String),
    Version(Vec<u64>, bool),
}

fn text(text: &str) -> Value {
    let mut kept = String::new();
    for c in text.chars() {
        if kept.len() + c.len_utf8() > 96 {
            break;
        }
        kept.push(c.to_ascii_lowercase());
    }
    Value::Text(kept)
}

fn whole(number: impl Into<i128>) -> Value {
    Value::Whole(number.into())
}

fn value(cluster: &Cluster, key: SortKey) -> Option<Value> {
    let of = |own: &Option<String>| own.as_deref().map(|own| text(&own.to_lowercase()));
    match key {
        SortKey::Id => Some(Value::Text(cluster.id.to_string())),
        SortKey::Provider => Some(text(cluster.provider.as_str())),
        SortKey::Source => Some(text(cluster.source.as_str())),
        SortKey::Name => Some(text(&cluster.name)),
        SortKey::State => {
            let place = State::ALL
                .iter()
                .position(|state| *state == cluster.status.state);
            place.map(|place| whole(place as u64))
        }
        SortKey::Cloud => of(&cluster.location.cloud),
        SortKey::Region => of(&cluster.location.region),
        SortKey::Environment => of(&cluster.environment),
        SortKey::Distribution => of(&cluster.orchestrator.distribution),
        SortKey::Version => {
            let version = cluster.orchestrator.version.as_deref()?;
            let (bare, is_release) = match version.split_once('-') {
                Some((bare, _)) => (bare, false),
                None => (version, true),
            };
            let parts = bare.split('.').map(|part| part.parse().ok());
            let mut parts: Vec<u64> = parts.collect::<Option<_>>()?;
            parts.resize(3, 0);
            Some(Value::Version(parts, is_release))
        }
        SortKey::Nodes => cluster.nodes.as_ref()?.total.map(whole),
        SortKey::Accelerators => {
            let counts = cluster.accelerators.as_ref()?.iter().map(|one| one.count);
            counts.sum::<Option<u64>>().map(whole)
        }
        SortKey::Cost => cluster
            .cost
            .as_ref()
            .map(|cost| Value::Float(cost.hourly.amount.to_string().parse().unwrap())),
        SortKey::Cpu => cluster.capacity.as_ref()?.cpu_cores.map(Value::Float),
        SortKey::Memory => cluster.capacity.as_ref()?.memory_bytes.map(whole),
        SortKey::CreatedAt => cluster.created_at.map(|at| whole(at.as_second())),
        SortKey::UpdatedAt => cluster.updated_at.map(|at| whole(at.as_second())),
        SortKey::ObservedAt => cluster.observed_at.map(|at| whole(at.as_second())),
    }
}

pub(super) fn compare(a: &Cluster, b: &Cluster, sort: &Sort) -> Ordering {
    let by = |term: &SortTerm| match (value(a, term.key), value(b, term.key)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) if term.descending => b.partial_cmp(&a).unwrap(),
        (Some(a), Some(b)) => a.partial_cmp(&b).unwrap(),
    };
    let first = sort.0.iter().map(by).find(|ordering| ordering.is_ne());
    first.unwrap_or_else(|| a.id.as_str().cmp(b.id.as_str()))
}

pub(super) fn filters() -> impl Strategy<Value = Filter> {
    let words = [
        "aws",
        "eu-1",
        "eu-2",
        "x",
        "p",
        "q",
        "s",
        "s1",
        "running",
        "failed",
        "kubernetes",
        "1.34",
        "1.34.3",
        "1.34.0-rc.1",
        "latest",
        "h100",
        "a100",
        "odd one",
        "hosts",
        "observes",
        "present",
        "stale",
        "missing",
        "suspect",
        "true",
        "false",
        "team",
        "team=a",
        "env=x=y",
        "none",
    ];
    let some =
        move || proptest::collection::vec(select(words.to_vec()).prop_map(str::to_owned), 0..5);
    let term =
        (select(&Dimension::ALL[..]), some(), some()).prop_map(|(dimension, any, none)| Term {
            dimension,
            any,
            none,
        });
    // Wanted values that name every common value, so that not every filter finds nothing.
    let wide = select(vec![
        (Dimension::Stale, vec!["true"]),
        (Dimension::Stale, vec!["false"]),
        (Dimension::Presence, vec!["present", "missing"]),
        (Dimension::Presence, vec!["stale"]),
        (Dimension::Provider, vec!["q"]),
        (Dimension::Source, vec!["s", "s-a"]),
        (Dimension::Cloud, vec!["aws", "x"]),
        (Dimension::Region, vec!["eu-1", "eu-2"]),
        (Dimension::Label, vec!["team", "team2=b"]),
        (Dimension::Version, vec!["1.34", "1.10"]),
    ])
    .prop_map(|(dimension, any)| Term {
        dimension,
        any: any.into_iter().map(str::to_owned).collect(),
        none: Vec::new(),
    });
    let none = (select(&Dimension::ALL[..]), some()).prop_map(|(dimension, none)| Term {
        dimension,
        any: Vec::new(),
        none,
    });
    let terms = prop_oneof![1 => term, 3 => wide, 2 => none];
    let texts = select(vec![
        "a", "οδος", "prod", "s-a:", "one s", "x%2f", "b", "é1", "a b", "",
    ]);
    (
        proptest::collection::vec(terms, 0..3),
        proptest::collection::vec(texts.prop_map(str::to_owned), 0..2),
        any::<bool>(),
    )
        .prop_map(|(terms, texts, is_open)| Filter {
            terms,
            texts: if is_open { Vec::new() } else { texts },
        })
}

/// Orders as a query can ask for them: the id alone, or up to four other keys.
pub(super) fn sorts() -> impl Strategy<Value = Sort> {
    let keys: Vec<SortKey> = SortKey::ALL
        .into_iter()
        .filter(|key| *key != SortKey::Id)
        .collect();
    let frequent = vec![
        SortKey::Source,
        SortKey::Provider,
        SortKey::Name,
        SortKey::State,
        SortKey::Cost,
    ];
    let key = prop_oneof![select(keys), select(frequent)];
    let term = (key, any::<bool>()).prop_map(|(key, descending)| SortTerm { key, descending });
    prop_oneof![
        1 => any::<bool>().prop_map(|descending| Sort(vec![SortTerm { key: SortKey::Id, descending }])),
        12 => proptest::collection::vec(term, 0..=4).prop_map(Sort),
    ]
}

/// Counts by a text.
pub(super) fn count<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for text in texts {
        *counts.entry(text.to_owned()).or_default() += 1;
    }
    counts
}
