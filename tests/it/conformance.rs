//! Every row of the catalog: what it claims is so, and what it does not claim is refused.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use clustergate::adapters::CATALOG;
use clustergate::domain::{ClusterPatch, ClusterSpec, Period};
use clustergate::provider::{
    Capability, ErrorKind, Infrastructure, Limits, Listing, Locator, Provider, ProviderError,
    Written, walk,
};
use clustergate::sandbox::{Simulated, Vendor};
use serde_json::Value;

use crate::support::{Plan, Rig};

/// Enough for every field to be filled somewhere.
const FLEET: usize = 60;

/// What every provider gives and what the gateway itself adds.
const GIVEN: &[&str] = &[
    "id",
    "source",
    "provider",
    "native_id",
    "name",
    "vantage",
    "detailed_at",
    "fetched_at",
    "presence",
    "stale",
    "links",
];

fn fleet(details: bool) -> Plan {
    Plan {
        clusters: FLEET,
        quirks: false,
        details,
        ..Plan::default()
    }
}

/// A gateway that is told all that it can be told.
async fn start(plan: Plan) -> Rig {
    let sandbox = plan.sandbox().await;
    let mut configs = plan.configs(&sandbox);
    for config in &mut configs {
        let vendor = sandbox.vendor(config.name.as_str().parse().unwrap());
        if let Some(organization) = vendor.organization() {
            let settings = &mut config.settings;
            settings.insert("organization".to_owned(), organization.into());
        }
    }
    let rig = Rig::over(&sandbox, clustergate::app::sources(&configs).unwrap());
    rig.settled().await;
    rig
}

async fn described(rig: &Rig) {
    rig.until("all details", |snapshot| {
        let mut sources = snapshot.sources().iter();
        sources.all(|source| !source.attempts.is_empty() && source.details_pending == 0)
    })
    .await;
}

/// Whether a field says anything; every leaf of it null, or nothing in it, says nothing.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(list) => list.iter().any(says_something),
        Value::Object(fields) => fields.values().any(says_something),
        Value::String(word) => word != "unknown",
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Fields that say something of at least one cluster of a source.
async fn filled(rig: &Rig, source: &str) -> BTreeSet<String> {
    let path = format!("/clusters?source={source}&limit=1000");
    let list = rig.get(&path).await.json();
    let items = list["items"].as_array().unwrap();
    assert_eq!(items.len(), FLEET, "{source}");
    items
        .iter()
        .flat_map(|item| item.as_object().unwrap())
        .filter(|(_, value)| says_something(value))
        .map(|(name, _)| name.clone())
        .filter(|name| !GIVEN.contains(&name.as_str()))
        .collect()
}

#[tokio::test]
async fn each_provider_fills_the_fields_it_reports_and_no_others() {
    let listed = start(fleet(false)).await;
    let rig = start(fleet(true)).await;
    described(&rig).await;
    let mut wrong = Vec::new();
    for entry in CATALOG {
        let name = entry.kind.as_str();
        let claimed: BTreeSet<String> = entry
            .capabilities
            .reports
            .iter()
            .map(|&field| field.to_owned())
            .collect();
        let detail: BTreeSet<String> = entry
            .capabilities
            .detail_only
            .iter()
            .map(|&field| field.to_owned())
            .collect();
        let before = filled(&listed, name).await;
        let after = filled(&rig, name).await;
        let early: Vec<_> = before.intersection(&detail).collect();
        let silent: Vec<_> = claimed.difference(&after).collect();
        let unclaimed: Vec<_> = after.difference(&claimed).collect();
        let late: Vec<_> = claimed
            .difference(&before)
            .filter(|field| !detail.contains(*field))
            .collect();
        if !detail.is_subset(&claimed) {
            wrong.push(format!("{name}: detail_only names what is not reported"));
        }
        for (what, fields) in [
            ("filled before the detail", early),
            ("never filled", silent),
            ("filled and not reported", unclaimed),
            ("filled by the detail only", late),
        ] {
            if !fields.is_empty() {
                wrong.push(format!("{name}: {what}: {fields:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn each_claimed_operation_works_and_each_other_one_is_refused() {
    let plan = fleet(false);
    let sandbox = plan.sandbox().await;
    let sources = clustergate::app::sources(&plan.configs(&sandbox)).unwrap();
    assert_eq!(sources.len(), CATALOG.len());
    for source in &sources {
        let name = source.name.as_str();
        let capabilities = source.provider.capabilities();
        assert!(capabilities.supports(Capability::List), "{name}");
        let listing: Listing = walk(source.provider.as_ref(), Limits::default())
            .await
            .unwrap();
        assert_eq!(listing.clusters.len(), FLEET, "{name}");
        assert!(listing.rejected.is_empty(), "{name}");
        let mut has_nodes = listing
            .clusters
            .iter()
            .any(|listed| has(listed.nodes.as_ref()));
        for listed in &listing.clusters {
            match source.provider.describe(&listed.locator).await {
                Ok(described) => {
                    assert!(capabilities.supports(Capability::Describe), "{name}");
                    assert_eq!(described.cluster.id, listed.cluster.id);
                    has_nodes |= has(described.nodes.as_ref());
                }
                Err(error) => {
                    assert!(
                        !capabilities.supports(Capability::Describe),
                        "{name}: {error:?}"
                    );
                    assert_eq!(error.kind.code(), "CAPABILITY_NOT_SUPPORTED");
                }
            }
        }
        assert_eq!(
            has_nodes,
            capabilities.supports(Capability::Nodes),
            "{name}"
        );
    }
    for vendor in sandbox.vendors() {
        let stats = vendor.stats();
        assert_eq!(
            (stats.secret_calls, stats.unauthorized),
            (0, 0),
            "{:?}",
            vendor.vendor()
        );
    }
}

fn has<T>(nodes: Option<&Vec<T>>) -> bool {
    nodes.is_some_and(|nodes| !nodes.is_empty())
}

/// What is read of one cluster besides its detail.
const READS: [Capability; 5] = [
    Capability::Nodes,
    Capability::Health,
    Capability::Kubeconfig,
    Capability::Metrics,
    Capability::Operations,
];

/// Reads one thing of one cluster, and tells whether there is any of it.
async fn read(
    provider: &dyn Provider,
    what: Capability,
    cluster: &Locator,
) -> Result<bool, ProviderError> {
    Ok(match what {
        Capability::Nodes => !provider.nodes(cluster).await?.is_empty(),
        Capability::Health => provider.health(cluster).await?.native.is_some(),
        Capability::Kubeconfig => provider
            .kubeconfig(cluster)
            .await?
            .expose()
            .contains("clusters:"),
        Capability::Metrics => {
            let metrics = provider.metrics(cluster, Period::HOUR).await?;
            metrics
                .series
                .iter()
                .any(|series| !series.points.is_empty())
        }
        Capability::Operations => match provider.operations(cluster).await?.first() {
            Some(newest) => {
                let again = provider.operation(&newest.native_id).await?;
                assert_eq!(again.native_id, newest.native_id);
                true
            }
            None => false,
        },
        _ => unreachable!("no read of one cluster"),
    })
}

#[tokio::test]
async fn each_claimed_read_of_a_cluster_works_and_each_other_one_is_refused() {
    let plan = fleet(false);
    let sandbox = plan.sandbox().await;
    for source in clustergate::app::sources(&plan.configs(&sandbox)).unwrap() {
        let provider = source.provider.as_ref();
        let listing: Listing = walk(provider, Limits::default()).await.unwrap();
        for what in READS {
            let place = format!("{} {}", source.name.as_str(), what.as_str());
            let is_claimed = provider.capabilities().supports(what);
            let mut is_there = false;
            for listed in &listing.clusters {
                match read(provider, what, &listed.locator).await {
                    Ok(is_some) => {
                        assert!(is_claimed, "{place}");
                        is_there |= is_some;
                    }
                    // Of some clusters a provider cannot say what it says of others.
                    Err(error) if is_claimed => assert!(
                        matches!(
                            error.kind,
                            ErrorKind::NotSupported | ErrorKind::Conflict | ErrorKind::NotReady
                        ),
                        "{place}: {error:?}"
                    ),
                    Err(error) => assert_eq!(error.kind, ErrorKind::NotSupported, "{place}"),
                }
                if is_there || !is_claimed {
                    break;
                }
            }
            assert_eq!(is_there, is_claimed, "{place}");
        }
        let is_claimed = provider.capabilities().supports(Capability::Operations);
        if !is_claimed {
            let error = provider.operation("any").await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotSupported);
        }
    }
}

/// A provider that is written to, and how often it was.
struct Writer<'a> {
    provider: Arc<dyn Provider>,
    vendor: &'a Simulated,
    sent: u64,
}

impl Writer<'_> {
    fn claims(&self, what: Capability) -> bool {
        self.provider.capabilities().supports(what)
    }

    /// Looks at a write that was made and lets its work end.
    async fn made(&mut self, what: Capability, outcome: Result<Written, ProviderError>) -> Written {
        let place = format!("{} {}", self.provider.kind(), what.as_str());
        let written = outcome.unwrap_or_else(|error| panic!("{place}: {error:?}"));
        self.sent += 1;
        assert_eq!(self.vendor.stats().write_calls, self.sent, "{place}");
        self.vendor.finish();
        if let Some(begun) = &written.operation {
            let ended = self.provider.operation(&begun.native_id).await.unwrap();
            assert!(ended.done, "{place}");
        }
        written
    }

    /// Leads a cluster from its making to its end, as far as the provider claims.
    async fn live(&mut self) {
        let provider = Arc::clone(&self.provider);
        let example = self.vendor.example("made-by-conformance").unwrap();
        let spec: ClusterSpec = serde_json::from_value(example.spec).unwrap();
        let patch: ClusterPatch = serde_json::from_value(example.patch).unwrap();
        assert!(provider.find_created(&spec).await.unwrap().is_none());
        let written = provider.create(&spec).await;
        let written = self.made(Capability::Create, written).await;
        let found = provider.find_created(&spec).await.unwrap().unwrap();
        assert_eq!(found.cluster.name, spec.name);
        if let Some(told) = written.cluster {
            assert_eq!(
                (told.cluster.id, &told.locator),
                (found.cluster.id.clone(), &found.locator)
            );
        }
        let cluster = &found.locator;
        if self.claims(Capability::Provision) {
            assert_eq!(
                provider.infrastructure(&found.cluster),
                Infrastructure::None
            );
            let written = provider.provision(cluster).await;
            self.made(Capability::Provision, written).await;
            let built = provider.describe(cluster).await.unwrap().cluster;
            assert_eq!(provider.infrastructure(&built), Infrastructure::Possible);
        }
        if self.claims(Capability::Update) {
            let written = provider.update(cluster, &patch).await;
            self.made(Capability::Update, written).await;
        }
        if self.claims(Capability::Destroy) {
            let written = provider.destroy(cluster).await;
            self.made(Capability::Destroy, written).await;
        }
        if self.claims(Capability::Forget) {
            let empty = provider.describe(cluster).await.unwrap().cluster;
            assert_eq!(provider.infrastructure(&empty), Infrastructure::None);
            let written = provider.forget(cluster).await;
            self.made(Capability::Forget, written).await;
            assert!(provider.find_created(&spec).await.unwrap().is_none());
        }
    }

    /// Asks for what is not claimed, of a cluster that there is.
    async fn refused(&self, cluster: &Locator) {
        let provider = &self.provider;
        let (spec, patch) = (ClusterSpec::default(), ClusterPatch::default());
        for what in Capability::ALL {
            if !what.is_write() || self.claims(what) {
                continue;
            }
            let outcome = match what {
                Capability::Create => provider.create(&spec).await,
                Capability::Update => provider.update(cluster, &patch).await,
                Capability::Provision => provider.provision(cluster).await,
                Capability::Destroy => provider.destroy(cluster).await,
                Capability::Forget => provider.forget(cluster).await,
                _ => unreachable!("no write"),
            };
            let error = outcome.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotSupported, "{}", what.as_str());
        }
        if !self.claims(Capability::Create) {
            let error = provider.find_created(&spec).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::NotSupported);
        }
    }
}

#[tokio::test]
async fn each_claimed_write_is_made_once_and_each_other_one_is_refused() {
    let plan = fleet(false);
    let sandbox = plan.sandbox().await;
    for source in clustergate::app::sources(&plan.configs(&sandbox)).unwrap() {
        let vendor = sandbox.vendor(source.name.as_str().parse().unwrap());
        vendor.set_pace(None);
        let mut writer = Writer {
            provider: source.provider,
            vendor,
            sent: 0,
        };
        let listing = walk(writer.provider.as_ref(), Limits::default()).await;
        writer.refused(&listing.unwrap().clusters[0].locator).await;
        assert_eq!(vendor.stats().write_calls, 0);
        if writer.claims(Capability::Create) {
            writer.live().await;
        }
    }
}

#[test]
fn each_row_says_all_that_a_person_needs_to_use_it() {
    let mut kinds = BTreeSet::new();
    let mut variables = BTreeSet::new();
    for entry in CATALOG {
        let name = entry.kind.as_str();
        assert!(kinds.insert(name), "{name} twice");
        assert!(!entry.title.is_empty(), "{name}");
        assert!(entry.documentation.starts_with("https://"), "{name}");
        assert!(
            entry.base_url.is_none_or(|url| url.starts_with("https://")),
            "{name}"
        );
        let environment = entry.environment;
        assert!(!environment.token.is_empty(), "{name}");
        let is_placed = entry.base_url.is_some() || !environment.base_url.is_empty();
        assert!(is_placed, "{name}: nobody says where it is");
        for variable in environment.token.iter().chain(environment.base_url) {
            assert!(variables.insert(*variable), "{variable} twice");
            let is_plain =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            assert!(variable.bytes().all(is_plain), "{variable}");
        }
        assert!(entry.rate.calls > 0 && !entry.rate.per.is_zero(), "{name}");
        assert!(
            name.parse::<Vendor>().is_ok(),
            "{name} has no simulated vendor"
        );
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fixtures")
            .join(name);
        assert!(
            fixtures.join("README.md").is_file(),
            "{name} has no fixtures"
        );
    }
    assert_eq!(kinds.len(), Vendor::ALL.len());
}
