//! Every operation of the document, asked by everybody: who shows nothing, who may do other things, who sees other sources only,
//! and who may. What a caller does not see must be answered as what never was, to the byte.

mod asks;
mod audit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use clustergate::access::audit::Destination;
use clustergate::access::{Access, KeysFile, NewKey, Scope, Scopes};
use clustergate::adapters::CATALOG;
use clustergate::api::webhooks::interest;
use clustergate::app::{Gateway, Memory, sources};
use clustergate::domain::SourceName;
use clustergate::hooks::{HookName, SecretSource, Settings, Target, Webhook};
use clustergate::sandbox::{Fault, Vendor};
use http::{Method, Request};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::api::{Answer, ids, items, send};
use crate::store::store_in;
use crate::support::{HEARTBEAT, Plan, Rig};
use asks::{Call, Foreign, Is, WEBHOOK, asks, beside, operations};

/// Stands before the kind of vendor in each source's name, so that the names of sources can be told from those of providers.
const OURS: &str = "acct-";
/// The same for sources that do not exist, in as many letters.
const NOBODYS: &str = "none-";
/// Two vendors whose clusters can be written, each of which is foreign to the callers of the other.
const VENDORS: [Vendor; 2] = [Vendor::Latitude, Vendor::LakeSail];

fn source(vendor: Vendor) -> String {
    format!("{OURS}{}", vendor.name())
}

/// Keys of one operation's callers.
struct Keys {
    /// Everything but what is needed.
    wrong: String,
    /// What is needed, everywhere.
    right: String,
    /// What is needed, and everything, in one source only.
    of_source: BTreeMap<&'static str, [String; 2]>,
    /// The same, in a project that nothing belongs to.
    of_project: [String; 2],
}

struct Stage {
    rig: Rig,
    keys: BTreeMap<Scope, Keys>,
    admin: String,
    /// Keys that may embed credentials: only that, also read kubeconfigs, and that in one source only.
    embedding: [String; 3],
    _folder: TempDir,
}

fn make(file: &KeysFile, scopes: Scopes, source: Option<&str>, project: Option<&str>) -> String {
    let new = NewKey {
        name: "test".to_owned(),
        scopes,
        sources: source.map(|name| BTreeSet::from([SourceName::new(name).unwrap()])),
        projects: project.map(|project| BTreeSet::from([project.to_owned()])),
        expires_at: None,
    };
    let made = file.create(new, Timestamp::now()).unwrap();
    made.text.expose_secret().to_owned()
}

fn keys(file: &KeysFile, scope: Scope) -> Keys {
    let others = Scope::ALL.into_iter();
    let others = others.filter(|other| ![scope, Scope::Admin].contains(other));
    let each = [Scopes::NONE.with(scope), Scopes::ADMIN];
    let of_source = VENDORS.map(|vendor| {
        let keys = each.map(|scopes| make(file, scopes, Some(&source(vendor)), None));
        (vendor.name(), keys)
    });
    Keys {
        wrong: make(file, others.collect(), None, None),
        right: make(file, each[0], None, None),
        of_source: of_source.into(),
        of_project: each.map(|scopes| make(file, scopes, None, Some("nobody's"))),
    }
}

/// Where nobody listens.
const NOBODY: &str = "http://127.0.0.1:9";

/// A webhook that wants nothing that happens here, since it is of a kind that never comes.
fn webhook() -> Webhook {
    let target = Target::new(NOBODY, true).unwrap();
    let secret = SecretSource::Value("whsec_b2xkIHNlY3JldCBvZiB0aGUgdGVzdHMhIQ==".into());
    let settings = Settings::new(HookName::new(WEBHOOK).unwrap(), target, secret);
    let interest = interest("kind=returned", &[], CATALOG).unwrap();
    Webhook {
        settings,
        interest: Arc::new(interest),
    }
}

impl Stage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::at(folder.path().join("keys.json"));
        let scopes = operations().into_iter().filter_map(|one| one.scope);
        let scopes: BTreeSet<Scope> = scopes.collect();
        let keys = scopes.into_iter().map(|scope| (scope, keys(&file, scope)));
        let keys = keys.collect();
        let admin = make(&file, Scopes::ADMIN, None, None);
        let embed = Scopes::NONE.with(Scope::KubeconfigEmbed);
        let both = embed.with(Scope::KubeconfigRead);
        let embedding = [
            make(&file, embed, None, None),
            make(&file, both, None, None),
            make(&file, both, Some(&source(Vendor::LakeSail)), None),
        ];
        let settings = clustergate::access::Settings {
            keys_file: Some(file.path().to_owned()),
            audit: Some(Destination::Store),
            ..clustergate::access::Settings::default()
        };
        let plan = Plan {
            quirks: false,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let mut configs = plan.configs(&sandbox);
        for config in &mut configs {
            config.name = SourceName::new(format!("{OURS}{}", config.name)).unwrap();
        }
        let sources = sources(&configs).unwrap();
        let runtime = Handle::current();
        let memory = Memory::open(store_in(folder.path()), &sources, &runtime).await;
        let access = Access::sharing(&settings, memory.shared(&runtime), &runtime).unwrap();
        let memory = Memory {
            webhooks: vec![webhook()],
            ..memory
        };
        let settings = clustergate::api::Settings {
            heartbeat: HEARTBEAT,
            ..clustergate::api::Settings::default()
        };
        let gateway = Gateway::remembering(sources, memory, access, settings, &runtime);
        let rig = Rig { sandbox, gateway };
        rig.settled().await;
        rig.until("every detail", |snapshot| {
            let sources = snapshot.sources().iter();
            sources.map(|source| source.details_pending).sum::<usize>() == 0
        })
        .await;
        Self {
            rig,
            keys,
            admin,
            embedding,
            _folder: folder,
        }
    }

    async fn ask(&self, call: &Call, shown: Option<&str>) -> Answer {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.target)
            // Given, so that two answers can be the same.
            .header("x-request-id", "same")
            .header("idempotency-key", call.key.as_str())
            .header("host", "localhost");
        if let Some(shown) = shown {
            request = request.header("authorization", format!("Bearer {shown}"));
        }
        if call.body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = call.body.clone().map_or_else(Body::empty, Body::from);
        send(&self.rig.gateway.router, request.body(body).unwrap()).await
    }

    async fn admin(&self, method: Method, target: &str, body: Option<&Value>) -> Answer {
        let mut call = Call::new(method, target);
        if let Some(body) = body {
            call.key = body["source"].as_str().unwrap_or("same").to_owned();
            call.body = Some(body.to_string());
        }
        self.ask(&call, Some(&self.admin)).await
    }

    /// The generation after which all changes are known.
    async fn begun_at(&self) -> u64 {
        let changes = self.admin(Method::GET, "/changes?limit=1", None).await;
        changes.json()["complete_since"].as_u64().unwrap()
    }

    async fn clusters(&self, of: Vendor) -> Vec<String> {
        let target = format!("/clusters?limit=1000&source={}", source(of));
        ids(&items(&self.admin(Method::GET, &target, None).await.json()))
    }

    /// Begins some work at a vendor; gives back the operation.
    async fn work(&self, vendor: Vendor) -> String {
        self.rig.sandbox.vendor(vendor).set_pace(None);
        let mut body = self.example(vendor, "begun").0;
        body["source"] = source(vendor).into();
        let made = self.admin(Method::POST, "/clusters", Some(&body)).await;
        assert!(made.status.is_success(), "{}", made.text());
        let mut report = made.json();
        if report["operation"].is_null() {
            let target = format!(
                "/clusters/{}/provision",
                report["cluster"].as_str().unwrap()
            );
            report = self.admin(Method::POST, &target, None).await.json();
        }
        let id = report["operation"]["id"].as_str();
        id.unwrap_or_else(|| panic!("{report}")).to_owned()
    }

    /// What makes a cluster at a vendor, and what changes one.
    fn example(&self, vendor: Vendor, name: &str) -> (Value, Value) {
        let example = self.rig.sandbox.vendor(vendor).example(name).unwrap();
        (example.spec, example.patch)
    }

    /// Asks for something that is hidden from a caller and for its twin that does not exist.
    async fn twins(&self, call: &Call, hidden: &str, absent: &str, shown: &str) -> Answer {
        assert_eq!(hidden.len(), absent.len());
        let put = |text: &str| text.replace(hidden, absent);
        let twin = Call {
            target: put(&call.target),
            body: call.body.as_deref().map(put),
            ..call.clone()
        };
        assert_ne!(twin.target.clone() + twin.body.as_deref().unwrap_or(""), {
            call.target.clone() + call.body.as_deref().unwrap_or("")
        });
        let seen = self.ask(call, Some(shown)).await;
        let other = self.ask(&twin, Some(shown)).await;
        assert_eq!(whole(&seen, &put), whole(&other, &put), "{call:?}");
        seen
    }
}

/// Everything that a caller gets, with one name in place of another.
fn whole(
    answer: &Answer,
    put: &impl Fn(&str) -> String,
) -> (u16, BTreeMap<String, String>, String) {
    let headers = answer.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), put(value.to_str().unwrap())));
    (
        answer.status.as_u16(),
        headers.collect(),
        put(&answer.text()),
    )
}

/// Everything that a caller gets, as one text.
fn text(answer: &Answer) -> String {
    format!("{:?} {}", answer.headers, answer.text())
}

/// Nobody gets in without a key, or with one for other things, and learns nothing from it.
async fn keeps_out(stage: &Stage, call: &Call, pairs: &[(String, String)], needed: Scope) {
    for shown in [None, Some("nonsense"), Some("cg_abcdefgh12_nonsense")] {
        let answer = stage.ask(call, shown).await;
        assert_eq!(answer.refusal().1, "UNAUTHENTICATED", "{call:?}");
        assert_eq!(answer.status, 401, "{call:?}");
    }
    let wrong = &stage.keys[&needed].wrong;
    for (hidden, absent) in pairs {
        if call.target.contains(hidden) || call.body.as_ref().is_some_and(|it| it.contains(hidden))
        {
            stage.twins(call, hidden, absent, "cg_abcdefgh12_x").await;
            stage.twins(call, hidden, absent, wrong).await;
        }
    }
    let answer = stage.ask(call, Some(wrong)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (403, "FORBIDDEN"),
        "{call:?}"
    );
}

async fn every_operation(own: Vendor, other: Vendor) {
    let stage = Stage::start().await;
    let begun = stage.work(other).await;
    stage.work(own).await;
    let (spec, patch) = stage.example(other, "wanted");
    let mut foreign = Foreign {
        vendor: other,
        clusters: stage.clusters(other).await,
        operation: begun,
        begun_at: stage.begun_at().await,
        named: 0,
    };
    let foreign_name = source(other);
    let mut refused = 0;
    for operation in operations() {
        for ask in asks(&operation.id, &spec, &patch) {
            let (call, pairs) = foreign.call(&operation, &ask);
            let Some(needed) = operation.scope else {
                assert!(matches!(ask.is, Is::Open), "{call:?}");
                for shown in [None, Some("nonsense"), Some(stage.admin.as_str())] {
                    let answer = stage.ask(&call, shown).await;
                    assert_eq!(answer.status, 200, "{call:?}");
                    assert!(!text(&answer).contains(OURS), "{call:?}");
                }
                continue;
            };
            keeps_out(&stage, &call, &pairs, needed).await;
            let keys = &stage.keys[&needed];
            match ask.is {
                Is::Open => panic!("{call:?} needs {needed}"),
                Is::List { of_own } => {
                    for key in &keys.of_source[own.name()] {
                        let answer = stage.ask(&call, Some(key)).await;
                        assert_eq!(answer.status, 200, "{call:?}");
                        let text = text(&answer);
                        assert_eq!(text.contains(&source(own)), of_own, "{call:?}: {text}");
                        assert_eq!(
                            text.matches(OURS).count(),
                            text.matches(&source(own)).count()
                        );
                    }
                    let answer = stage.ask(&call, Some(&keys.right)).await;
                    assert_eq!(answer.status, 200, "{call:?}");
                    assert!(text(&answer).contains(&foreign_name), "{call:?}");
                }
                Is::Everything(absent) => {
                    let limited = keys.of_source.values().flatten();
                    for key in limited.chain(&keys.of_project) {
                        let answer = stage.ask(&call, Some(key)).await;
                        assert_eq!(answer.status, absent, "{call:?}");
                        assert!(!text(&answer).contains(NOBODY), "{call:?}");
                        refused += 1;
                    }
                    // What the path names beside the webhook is not there.
                    let answer = stage.ask(&call, Some(&keys.right)).await;
                    let is_there =
                        answer.status.is_success() || answer.problem() == "DELIVERY_NOT_FOUND";
                    assert!(is_there, "{call:?}: {}", answer.text());
                }
                Is::Named(status, code) => {
                    let limited = &keys.of_source[own.name()];
                    for (hidden, absent) in &pairs {
                        let names_source = *hidden == foreign_name;
                        let unseen = (keys.of_project.iter())
                            // Sources are named to who sees some projects of all of them.
                            .filter(|_| !names_source && !absent.starts_with(NOBODYS));
                        for key in limited.iter().chain(unseen) {
                            let answer = stage.twins(&call, hidden, absent, key).await;
                            assert_eq!(answer.status, status, "{call:?}: {}", answer.text());
                            if !code.is_empty() {
                                assert_eq!(answer.problem(), code, "{call:?}");
                            }
                            refused += 1;
                        }
                    }
                    let answer = stage.ask(&call, Some(&keys.right)).await;
                    let told = answer.status.as_u16();
                    assert!(
                        ![401, 403, 404].contains(&told),
                        "{call:?}: {}",
                        answer.text()
                    );
                    assert!(told == 200 || told != status, "{call:?}: {}", answer.text());
                }
            }
        }
    }
    assert!(refused > 60, "{refused} refusals");
    assert_eq!(stage.rig.sandbox.canary_hits().requests, 0);
    stage.rig.stop().await;
}

#[tokio::test]
async fn every_operation_hides_a_source_that_tells_its_operations() {
    every_operation(Vendor::Latitude, Vendor::LakeSail).await;
}

#[tokio::test]
async fn every_operation_hides_a_source_whose_operations_are_followed() {
    every_operation(Vendor::LakeSail, Vendor::Latitude).await;
}

/// The problems of the caller's own things name nothing foreign either.
#[tokio::test]
async fn what_is_refused_of_ones_own_names_no_other_source() {
    let stage = Stage::start().await;
    let own = Vendor::LakeSail;
    let id = stage.clusters(own).await.remove(0);
    let refused = [
        (Method::GET, format!("/clusters/{id}/nodes"), 501),
        (
            Method::GET,
            format!("/clusters/{id}/metrics?period=1x"),
            400,
        ),
        (Method::GET, format!("/clusters/{id}x"), 404),
        (
            Method::GET,
            format!("/operations/{}:none", source(own)),
            404,
        ),
        (Method::GET, "/operations?state=none".to_owned(), 400),
        (Method::GET, "/clusters?source=none".to_owned(), 400),
        (Method::GET, "/changes?source=none".to_owned(), 400),
        (Method::GET, "/events?source=none".to_owned(), 400),
        (Method::GET, "/kubeconfig?source=none".to_owned(), 400),
        (Method::GET, "/summary?source=none".to_owned(), 400),
        (Method::GET, "/sources/none".to_owned(), 404),
        (Method::GET, "/providers/none".to_owned(), 404),
        (Method::POST, "/sources/none/refresh".to_owned(), 404),
    ];
    let key = &stage.keys[&Scope::ClustersRead].of_source[own.name()][1];
    for (method, target, status) in refused {
        let call = Call::new(method, target);
        let answer = stage.ask(&call, Some(key)).await;
        assert_eq!(answer.status, status, "{call:?}: {}", answer.text());
        let text = text(&answer);
        assert_eq!(
            text.matches(OURS).count(),
            text.matches(&source(own)).count(),
            "{call:?}: {text}"
        );
    }
    stage.rig.stop().await;
}

#[tokio::test]
async fn a_vendor_that_fails_does_not_tell_a_hidden_operation_from_none() {
    for has_ended in [false, true] {
        let stage = Stage::start().await;
        let id = stage.work(Vendor::LakeSail).await;
        let vendor = stage.rig.sandbox.vendor(Vendor::LakeSail);
        if has_ended {
            vendor.finish();
        }
        let call = Call::new(Method::GET, format!("/operations/{id}"));
        let answer = stage.admin(Method::GET, &call.target, None).await.json();
        assert_eq!(answer["done"], has_ended, "{answer}");
        let mut asked = Vec::new();
        for fault in [None, Some(Fault::Http403)] {
            vendor.set_fault(fault);
            // Another one each time: what the vendor said of one is remembered for a moment.
            let absent = beside(&id, &asked);
            asked.push(absent.clone());
            for key in &stage.keys[&Scope::ClustersRead].of_project {
                let answer = stage.twins(&call, &id, &absent, key).await;
                assert_eq!(answer.problem(), "OPERATION_NOT_FOUND");
            }
        }
        stage.rig.stop().await;
    }
}

#[tokio::test]
async fn credentials_are_embedded_for_who_may_have_them_only() {
    let stage = Stage::start().await;
    let reader = &stage.keys[&Scope::KubeconfigRead].right;
    let [embedder, both, limited] = &stage.embedding;
    let get = |target: String| Call::new(Method::GET, target);
    let mut had = 0;
    for id in stage.clusters(Vendor::Latitude).await {
        let plain = get(format!("/clusters/{id}/kubeconfig"));
        let embedding = get(format!("{}?embed=true", plain.target));
        let answer = stage.ask(&embedding, Some(both)).await;
        had += usize::from(answer.status == 200);
        assert_ne!(stage.ask(&plain, Some(reader)).await.status, 403);
        let absent = id.replace(OURS, NOBODYS);
        for (call, key, code) in [
            (&embedding, reader, "FORBIDDEN"),
            (&embedding, embedder, "FORBIDDEN"),
            (&plain, embedder, "FORBIDDEN"),
            (&embedding, limited, "CLUSTER_NOT_FOUND"),
        ] {
            let answer = stage.twins(call, &id, &absent, key).await;
            assert_eq!(answer.problem(), code, "{call:?}");
        }
    }
    assert!(had > 0, "no cluster has a kubeconfig");
    let merged = get("/kubeconfig?embed=true".to_owned());
    for (key, status) in [(reader, 403), (embedder, 403), (both, 200), (limited, 200)] {
        let answer = stage.ask(&merged, Some(key)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        let names_foreign = answer.text().contains(&source(Vendor::Latitude));
        assert_eq!(names_foreign, key == both);
    }
    stage.rig.stop().await;
}
