//! Every fault at every vendor, present from the start and begun later: what the gateway then says.
//!
//! The cells follow from the catalog and from the list of faults, so that a provider or a fault that is added is covered by
//! itself. What each cell ends as is a snapshot: the fullest documentation of what a reader is told, and when.

mod details;
mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clustergate::adapters::CATALOG;
use clustergate::app::sources;
use clustergate::config::SourceConfig;
use clustergate::inventory::Source;
use clustergate::sandbox::{Fault, Sandbox, Simulated};
use clustergate::upstream::Fetcher;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Plan, Reply, Rig};
use oracle::{Phase, Reference, Verdict};

/// Faults that are examined at one time: most of them wait.
const AT_ONCE: usize = 12;
/// A list answer never waits for a vendor; the rest is room for a busy machine and a build without optimization.
const SLOWEST_ANSWER: Duration = Duration::from_secs(2);
const MOST_CALLS: u64 = 40;

fn plan(anchor: Timestamp) -> Plan {
    Plan {
        attempt_timeout: Duration::from_secs(10),
        details: false,
        anchor: Some(anchor),
        ..Plan::default()
    }
}

/// What one fault led to at each provider, from the start and begun later.
struct Examined {
    fault: Fault,
    outcomes: BTreeMap<&'static str, [String; 2]>,
    complaints: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_fault_of_a_vendor_makes_the_inventory_lie() {
    let anchor = Timestamp::now();
    let reference = Arc::new(Reference::read(plan(anchor)).await);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for fault in Fault::ALL {
        let (reference, turns) = (Arc::clone(&reference), Arc::clone(&turns));
        running.spawn(async move {
            let _turn = turns.acquire().await.unwrap();
            examine(fault, anchor, &reference).await
        });
    }
    let mut rows = BTreeMap::new();
    let mut complaints = Vec::new();
    for row in running.join_all().await {
        complaints.extend(row.complaints);
        rows.insert(row.fault, row.outcomes);
    }
    complaints.sort();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    insta::assert_snapshot!("fault_matrix", table(&rows));
}

/// One fault, one provider after the other.
async fn examine(fault: Fault, anchor: Timestamp, reference: &Reference) -> Examined {
    let plan = plan(anchor);
    let sandbox = plan.sandbox().await;
    let configs = plan.configs(&sandbox);
    let healthy = sources(&configs).unwrap();
    let mut examined = Examined {
        fault,
        outcomes: BTreeMap::new(),
        complaints: Vec::new(),
    };
    for entry in CATALOG {
        let name = entry.kind.as_str();
        let cell = Cell {
            fault,
            name,
            sandbox: &sandbox,
            healthy: &healthy,
            config: impatient(&configs, name, fault),
            reference,
            words: vendor_words(sandbox.vendor(name.parse().unwrap()), fault).await,
        };
        let cold = cell.from_the_start().await;
        let warm = cell.begun_later().await;
        for (phase, verdict) in [("cold", &cold), ("warm", &warm)] {
            let complaints = verdict.complaints.iter();
            examined
                .complaints
                .extend(complaints.map(|text| format!("{fault} {name} {phase}: {text}")));
        }
        examined.outcomes.insert(name, [cold.outcome, warm.outcome]);
    }
    examined
}

/// The source's configuration with bounds that a test can wait for.
fn impatient(configs: &[SourceConfig], name: &str, fault: Fault) -> SourceConfig {
    let config = configs.iter().find(|config| config.name.as_str() == name);
    let mut config = config.unwrap().clone();
    // Only what waits is hurried: a busy machine must not change the outcome of the others.
    if matches!(
        fault,
        Fault::Hang | Fault::HangBody | Fault::SlowBody | Fault::SlowHeaders | Fault::Slow
    ) {
        config.stack.attempt_timeout = Duration::from_secs(1);
    }
    config.stack.max_wait = Duration::from_millis(500);
    config.stack.max_body_bytes = 1 << 20;
    // Several pages, where the provider can be told: much goes wrong only between them.
    let mut paged = config.clone();
    paged.settings.insert("page_size".to_owned(), 7.into());
    if sources(std::slice::from_ref(&paged)).is_ok() {
        config = paged;
    }
    config
}

/// What the vendor says when it refuses, none of which may come through.
async fn vendor_words(vendor: &Simulated, fault: Fault) -> BTreeSet<String> {
    let mut words = BTreeSet::from([
        vendor.token(),
        "x-flood".to_owned(),
        "upstream connect error".to_owned(),
        "nginx".to_owned(),
    ]);
    if fault.name().starts_with("http") || fault == Fault::ExpiredToken {
        vendor.set_fault(Some(fault));
        let url = vendor.api_url().parse().unwrap();
        let fetched = Fetcher::new(&url)
            .unwrap()
            .fetch(&url, "*/*")
            .await
            .unwrap();
        let body = fetched.body(1 << 20).await.unwrap();
        vendor.set_fault(None);
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        sentences(&body, &mut words);
    }
    words
}

fn sentences(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.contains(' ') => drop(into.insert(text.clone())),
        Value::Array(list) => list.iter().for_each(|inner| sentences(inner, into)),
        Value::Object(fields) => fields.values().for_each(|inner| sentences(inner, into)),
        _ => {}
    }
}

/// One fault at one provider.
struct Cell<'a> {
    fault: Fault,
    name: &'static str,
    sandbox: &'a Arc<Sandbox>,
    healthy: &'a [Source],
    config: SourceConfig,
    reference: &'a Reference,
    words: BTreeSet<String>,
}

impl Cell<'_> {
    fn vendor(&self) -> &Simulated {
        self.sandbox.vendor(self.name.parse().unwrap())
    }

    /// A gateway over the sources, of which this one is connected anew: nothing is left of an earlier fault.
    fn rig(&self) -> Rig {
        let mut sources = self.healthy.to_vec();
        let own = clustergate::app::sources(std::slice::from_ref(&self.config)).unwrap();
        sources.retain(|source| source.name.as_str() != self.name);
        sources.extend(own);
        Rig::over(self.sandbox, sources)
    }

    async fn from_the_start(&self) -> Verdict {
        self.vendor().set_fault(Some(self.fault));
        self.vendor().reset_stats();
        let rig = self.rig();
        rig.until("the other sources", |snapshot| {
            let mut others = snapshot.sources().iter();
            others.all(|source| source.name.as_str() == self.name || !source.attempts.is_empty())
        })
        .await;
        let meanwhile = timed(&rig).await;
        rig.settled().await;
        self.judge(Phase::Cold, rig, meanwhile).await
    }

    async fn begun_later(&self) -> Verdict {
        let rig = self.rig();
        rig.settled().await;
        assert_eq!(rig.report(self.name).error, None, "{}", self.name);
        // Were nothing to change, an old row could pass for a new one.
        self.vendor().touch();
        self.vendor().set_fault(Some(self.fault));
        self.vendor().reset_stats();
        let before = rig.attempts(self.name);
        rig.ask_refresh(self.name).await;
        let meanwhile = timed(&rig).await;
        rig.attempted_after(self.name, before).await;
        self.judge(Phase::Warm, rig, meanwhile).await
    }

    async fn judge(&self, phase: Phase, rig: Rig, meanwhile: (Reply, Duration)) -> Verdict {
        let stats = self.vendor().stats();
        self.vendor().set_fault(None);
        let (list, took) = timed(&rig).await;
        let mut texts = vec![meanwhile.0.text];
        for path in ["sources", "summary", "metrics", "clusters"] {
            texts.push(rig.get(&format!("/{path}")).await.text);
        }
        let report = rig.get(&format!("/sources/{}", self.name)).await;
        let alone = rig.get(&format!("/clusters?source={}", self.name)).await;
        let require = format!("/clusters?source={}&require=complete", self.name);
        let required = rig.get(&require).await;
        let mut verdict = self.reference.judge(
            phase, self.fault, self.name, &list, &report, &alone, &required,
        );
        let mut complain = |wrong: bool, text: String| {
            if wrong {
                verdict.complaints.push(text);
            }
        };
        complain(
            meanwhile.0.status != 200,
            format!("answered {} meanwhile", meanwhile.0.status),
        );
        let slowest = took.max(meanwhile.1);
        complain(
            slowest > SLOWEST_ANSWER,
            format!("an answer took {slowest:?}"),
        );
        complain(
            stats.requests > MOST_CALLS,
            format!("{} calls", stats.requests),
        );
        complain(stats.secret_calls > 0, "a call to a secret".to_owned());
        complain(
            stats.max_inflight > self.config.stack.max_in_flight as u64,
            format!("{} calls at once", stats.max_inflight),
        );
        complain(
            stats.injected > 0 && self.fault != Fault::ForeignNext,
            "an injected path".to_owned(),
        );
        let canary = rig.sandbox.canary_hits();
        complain(
            canary.requests > 0,
            format!("calls to a foreign host: {:?}", canary.targets),
        );
        texts.extend([list.text, report.text, alone.text, required.text]);
        for word in &self.words {
            let is_told = texts.iter().any(|text| text.contains(word.as_str()));
            complain(is_told, format!("an answer says {word:?}"));
        }
        rig.stop().await;
        verdict
    }
}

async fn timed(rig: &Rig) -> (Reply, Duration) {
    let began = Instant::now();
    let reply = rig.get("/clusters?limit=1000").await;
    (reply, began.elapsed())
}

/// A fault a line, and below it who ends how; one line where all end alike.
fn table(rows: &BTreeMap<Fault, BTreeMap<&'static str, [String; 2]>>) -> String {
    let mut text = "from the start -> begun later\n".to_owned();
    for (fault, outcomes) in rows {
        let mut groups: BTreeMap<&[String; 2], Vec<&str>> = BTreeMap::new();
        for (name, outcome) in outcomes {
            groups.entry(outcome).or_default().push(name);
        }
        let _ = writeln!(text, "\n{fault}: {}", fault.describe());
        for ([cold, warm], names) in &groups {
            let who = if groups.len() == 1 {
                "all".to_owned()
            } else {
                names.join(", ")
            };
            let _ = writeln!(text, "  {who}: {cold} -> {warm}");
        }
    }
    text
}
