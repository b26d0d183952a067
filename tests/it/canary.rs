//! One run through everything that holds or hands out a secret, with everything logged: API keys, tokens of an issuer, tokens of
//! the vendors and what their kubeconfigs hold. Each is looked for wherever it has no business to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clustergate::access::audit::Destination;
use clustergate::access::{
    Access, Authentication, IssuerSettings, KeysFile, NewKey, Scope, Scopes, Settings,
};
use clustergate::api::Viewer;
use clustergate::app::{Gateway, sources};
use clustergate::config::{Config, Log, Server, SourceConfig};
use clustergate::export::kubeconfig::{self, Entry, UserMode};
use clustergate::provider::{Limits, walk};
use clustergate::sandbox::{Fault, Vendor};
use http::{HeaderMap, HeaderValue, Method, Request};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::api::{Answer, ids, items, send};
use crate::secrets::{PLANTED, check, logged, tokens};
use crate::support::{Plan, Rig};

/// What callers show that opens nothing.
const SHOWN: &str = "SHOWN-CANARY";

/// An issuer of tokens that publishes its key on a socket.
struct Issuer {
    address: String,
    pair: Ed25519KeyPair,
}

impl Issuer {
    async fn start() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let key = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": key, "kid": "k", "alg": "EdDSA", "use": "sig"}]});
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let body = keys.to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut asked = [0; 4_096];
                if socket.read(&mut asked).await.is_ok() {
                    // Who asked may be gone.
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            }
        });
        Self { address, pair }
    }

    fn settings(&self) -> IssuerSettings {
        let mut settings = IssuerSettings::new(&self.address, "clustergate");
        settings.jwks_uri = Some(format!("{}/keys", self.address).parse().unwrap());
        settings
    }

    fn token(&self, scope: &str) -> String {
        let now = Timestamp::now().as_second();
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": "k"});
        let claims = json!({
            "iss": self.address, "aud": "clustergate", "sub": "ada", "iat": now - 10, "exp": now + 600, "scope": scope,
        });
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", text(&header), text(&claims));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// A gateway with everything that has a secret.
struct Stage {
    rig: Rig,
    folder: TempDir,
    settings: Settings,
    configs: Vec<SourceConfig>,
    admin: String,
    reader: String,
    token: String,
}

/// Whether an answer may hold what the vendors' kubeconfigs hold.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Nothing,
    Credential,
}

impl Stage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::at(folder.path().join("keys.json"));
        let make = |scopes| {
            let new = NewKey {
                name: "test".to_owned(),
                scopes,
                sources: None,
                projects: None,
                expires_at: None,
            };
            let made = file.create(new, Timestamp::now()).unwrap();
            let text = made.text.expose_secret().to_owned();
            check("a made key", &format!("{made:?}"), &parts(&text));
            text
        };
        let admin = make(Scopes::ADMIN);
        let reader = make(Scopes::NONE.with(Scope::ClustersRead));
        let issuer = Issuer::start().await;
        let settings = Settings {
            keys_file: Some(file.path().to_owned()),
            keys_in_store: false,
            issuers: vec![issuer.settings()],
            audit: Some(Destination::File(folder.path().join("audit.jsonl"))),
            audit_required: false,
        };
        let plan = Plan {
            quirks: false,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let mut configs = plan.configs(&sandbox);
        for config in &mut configs {
            // Every fault is to be met, not to be kept away by the one before it.
            config.stack.breaker_failures = u32::MAX;
            config.stack.max_wait = Duration::from_secs(1);
        }
        let gateway = Gateway::guarded(
            sources(&configs).unwrap(),
            Access::start(&settings, &Handle::current()).unwrap(),
            clustergate::api::Settings {
                heartbeat: crate::support::HEARTBEAT,
                ..clustergate::api::Settings::default()
            },
            &Handle::current(),
        );
        let rig = Rig { sandbox, gateway };
        rig.settled().await;
        Self {
            rig,
            folder,
            settings,
            configs,
            admin,
            reader,
            token: issuer.token("clusters:read kubeconfig:read kubeconfig:embed"),
        }
    }

    /// What must be shown nowhere.
    fn secrets(&self) -> Vec<String> {
        let mut secrets = tokens(&self.rig);
        for shown in [&self.admin, &self.reader, &self.token] {
            secrets.extend(parts(shown));
        }
        secrets.push(SHOWN.to_owned());
        // As it is written in files and headers, as far as it is the same wherever it begins.
        for planted in [PLANTED, SHOWN] {
            secrets.push(STANDARD.encode(&planted[..12]));
        }
        secrets
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Asks, and looks at the answer.
    async fn ask(
        &self,
        method: Method,
        target: &str,
        shown: &str,
        body: Option<&Value>,
        holds: Holds,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(target);
        let key = body.and_then(|body| body["source"].as_str());
        request = request.header("idempotency-key", key.unwrap_or("once"));
        if !shown.is_empty() {
            request = request.header("authorization", shown);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let answer = send(&self.rig.gateway.router, request.body(body).unwrap()).await;
        if holds == Holds::Nothing || !answer.status.is_success() {
            check(target, &answer.text(), &self.secrets());
        }
        check(target, &format!("{:?}", answer.headers), &self.secrets());
        answer
    }

    async fn get(&self, target: &str) -> Answer {
        let shown = bearer(&self.admin);
        self.ask(Method::GET, target, &shown, None, Holds::Nothing)
            .await
    }

    async fn clusters(&self, vendor: Vendor) -> Vec<String> {
        let target = format!("/clusters?limit=1000&source={}", vendor.name());
        ids(&items(&self.get(&target).await.json()))
    }

    /// Reads the credentials of all clusters; gives back how many answers held one.
    async fn read_credentials(&self, shown: &str) -> usize {
        let mut held = 0;
        let mut targets = vec!["/kubeconfig".to_owned()];
        for vendor in [Vendor::Latitude, Vendor::LakeSail] {
            let clusters = self.clusters(vendor).await.into_iter();
            targets.extend(clusters.map(|id| format!("/clusters/{id}/kubeconfig")));
        }
        for target in targets {
            let mut secret = vec![format!("{target}?embed=true")];
            if target.starts_with("/clusters") {
                secret.push(target.replace("/kubeconfig", "/credential"));
            }
            self.ask(Method::GET, &target, shown, None, Holds::Nothing)
                .await;
            for target in secret {
                let answer = self.ask(Method::GET, &target, shown, None, Holds::Credential);
                let text = answer.await.text();
                held += usize::from(
                    text.contains(PLANTED) || text.contains(&STANDARD.encode(&PLANTED[..12])),
                );
            }
        }
        held
    }

    /// Makes and changes clusters, and meets the refusals.
    async fn write(&self) {
        let shown = bearer(&self.admin);
        for vendor in [Vendor::Latitude, Vendor::LakeSail] {
            let example = self.rig.sandbox.vendor(vendor).example("canary").unwrap();
            let mut spec = example.spec;
            spec["source"] = vendor.name().into();
            let ask = async |method: Method, target: &str, body: Option<&Value>| {
                self.ask(method, target, &shown, body, Holds::Nothing).await
            };
            let made = ask(Method::POST, "/clusters", Some(&spec)).await;
            assert!(made.status.is_success(), "{}", made.text());
            let again = ask(Method::POST, "/clusters", Some(&spec)).await;
            assert_eq!(again.header("idempotency-replayed"), "true");
            assert_eq!(again.text(), made.text());
            spec["name"] = "other".into();
            let other = ask(Method::POST, "/clusters", Some(&spec)).await;
            assert_eq!(other.problem(), "IDEMPOTENCY_KEY_REUSED");
            let id = made.json()["cluster"].as_str().unwrap().to_owned();
            let cluster = format!("/clusters/{id}");
            ask(Method::PATCH, &cluster, Some(&example.patch)).await;
            ask(Method::POST, &format!("{cluster}/provision"), None).await;
            let wrong = json!({"name": "wrong"});
            let destroy = format!("{cluster}/destroy");
            let refused = ask(Method::POST, &destroy, Some(&wrong)).await;
            assert_eq!(refused.problem(), "NAME_MISMATCH");
            ask(Method::GET, &format!("{cluster}/operations"), None).await;
            ask(Method::DELETE, &cluster, None).await;
        }
    }

    /// Reads kubeconfigs and writes while the vendors misbehave.
    async fn meet_faults(&self) {
        let shown = bearer(&self.admin);
        let vendor = Vendor::Latitude;
        let clusters = self.clusters(vendor).await;
        for (at, fault) in [
            Fault::Http401,
            Fault::Http400,
            Fault::Http500,
            Fault::Html200,
            Fault::NotJson,
            Fault::TruncatedJson,
            Fault::WrongTypes,
            Fault::InvalidUtf8,
            Fault::Redirect,
        ]
        .into_iter()
        .enumerate()
        {
            self.rig.sandbox.vendor(vendor).set_fault(Some(fault));
            let id = &clusters[at];
            for part in ["kubeconfig?embed=true", "credential", "nodes"] {
                let target = format!("/clusters/{id}/{part}");
                self.ask(Method::GET, &target, &shown, None, Holds::Credential)
                    .await;
            }
            if ![Fault::Http400, Fault::NotJson].contains(&fault) {
                // A write whose answer is lost is looked for, which takes seconds.
                continue;
            }
            let renamed = json!({"version": "1.36.1"});
            let target = format!("/clusters/{id}");
            self.ask(
                Method::PATCH,
                &target,
                &shown,
                Some(&renamed),
                Holds::Nothing,
            )
            .await;
        }
        self.rig.sandbox.vendor(vendor).set_fault(None);
    }

    /// Shows what opens nothing, everywhere where callers put it.
    async fn be_refused(&self) {
        let token: Vec<&str> = self.token.split('.').collect();
        let forged = format!(
            "{}.{}.{}",
            token[0],
            token[1],
            URL_SAFE_NO_PAD.encode(SHOWN)
        );
        let id = self.admin.split('_').nth(1).unwrap();
        for shown in [
            bearer(SHOWN),
            bearer(&format!("cg_{id}_{SHOWN}")),
            bearer(&format!("cg_0123456789_{SHOWN}")),
            bearer(&forged),
            bearer(&format!(
                "{}.{}.{SHOWN}",
                token[0],
                URL_SAFE_NO_PAD.encode(SHOWN)
            )),
            format!("Basic {}", STANDARD.encode(format!("{SHOWN}:{SHOWN}"))),
            SHOWN.to_owned(),
        ] {
            for target in ["/clusters", "/kubeconfig?embed=true", "/metrics"] {
                let answer = self.ask(Method::GET, target, &shown, None, Holds::Nothing);
                assert_eq!(answer.await.status, 401, "{target}");
            }
            let body = json!({"source": "latitude", "name": "x"});
            let answer = self.ask(
                Method::POST,
                "/clusters",
                &shown,
                Some(&body),
                Holds::Nothing,
            );
            assert_eq!(answer.await.status, 401);
        }
        for (target, shown) in [
            (format!("/clusters?access_token={SHOWN}"), String::new()),
            (format!("/clusters?token={SHOWN}"), bearer(&self.admin)),
            (format!("/clusters?q=cg_{id}_{SHOWN}"), bearer(&self.reader)),
            (format!("/livez?key={}", self.admin), String::new()),
        ] {
            self.ask(Method::GET, &target, &shown, None, Holds::Nothing)
                .await;
        }
        let reader = bearer(&self.reader);
        let target = "/kubeconfig?embed=true";
        let refused = self.ask(Method::GET, target, &reader, None, Holds::Nothing);
        assert_eq!(refused.await.problem(), "FORBIDDEN");
    }

    /// Looks at the `Debug` of what holds secrets.
    async fn look_at_debug(&self) {
        let secrets = self.secrets();
        let config = Config {
            server: Server::default(),
            sources: self.configs.clone(),
            disabled: Vec::new(),
            log: Log::default(),
            access: self.settings.clone(),
            store: None,
            webhooks: Vec::new(),
        };
        check("Config", &format!("{config:?} {config:#?}"), &secrets);
        let entries = KeysFile::at(self.file("keys.json")).list().unwrap();
        check("entries of keys", &format!("{entries:?}"), &secrets);
        let access = self.rig.gateway.access.as_ref().unwrap();
        for shown in [&self.admin, &self.reader, &self.token] {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::try_from(bearer(shown)).unwrap();
            headers.insert("authorization", value);
            let Authentication::Done(told) = access.authenticate(&headers, Timestamp::now()) else {
                panic!("the issuer's keys are known");
            };
            let viewer = Viewer::new(Arc::clone(&told.as_ref().unwrap().reach));
            check("Principal", &format!("{told:?} {viewer:?}"), &secrets);
        }
        let mut read = 0;
        for source in sources(&self.configs).unwrap() {
            check("a stack", &format!("{:?}", source.stack), &secrets);
            if ![Vendor::Latitude.name(), Vendor::LakeSail.name()].contains(&source.name.as_str()) {
                continue;
            }
            let listing = walk(source.provider.as_ref(), Limits::default()).await;
            for listed in listing.unwrap().clusters {
                let Ok(file) = source.provider.kubeconfig(&listed.locator).await else {
                    continue;
                };
                check("Kubeconfig", &format!("{file:?}"), &secrets);
                let access = kubeconfig::Access::read(file.expose()).unwrap();
                check("Access", &format!("{access:?} {access:#?}"), &secrets);
                let entry = Entry {
                    id: listed.cluster.id,
                    source: source.name.clone(),
                    name: listed.cluster.name,
                    access: Ok(access),
                };
                check("Entry", &format!("{entry:?}"), &secrets);
                let merged = kubeconfig::merged(&[entry], &UserMode::Embed);
                check("File", &format!("{merged:?}"), &secrets);
                read += usize::from(file.expose().contains(&STANDARD.encode(&PLANTED[..12])));
            }
        }
        assert!(read > 0, "no kubeconfig holds a secret");
    }
}

fn bearer(shown: &str) -> String {
    format!("Bearer {shown}")
}

/// A key or a token whole, and the part of it that makes it one.
fn parts(shown: &str) -> Vec<String> {
    let secret = if shown.starts_with("cg_") {
        shown.splitn(3, '_').nth(2)
    } else {
        shown.rsplit('.').next()
    };
    let secret = secret.unwrap();
    assert!(secret.len() > 20);
    vec![shown.to_owned(), secret.to_owned()]
}

#[test]
fn no_secret_leaves_the_answers_that_are_meant_to_hold_it() {
    let ((secrets, audit, keys), log) = logged(async {
        let stage = Stage::start().await;
        let by_key = stage.read_credentials(&bearer(&stage.admin)).await;
        let by_token = stage.read_credentials(&bearer(&stage.token)).await;
        assert!(by_key > 4 && by_token == by_key, "{by_key} {by_token}");
        stage.write().await;
        stage.be_refused().await;
        stage.meet_faults().await;
        for target in [
            "/metrics",
            "/operations",
            "/sources",
            "/providers",
            "/summary",
            "/changes?limit=1000&noise=true",
            "/events",
            "/clusters?limit=1000&include=raw,nodes",
            "/readyz?verbose",
            "/problems/unauthenticated",
        ] {
            stage.get(target).await;
        }
        stage.look_at_debug().await;
        assert_eq!(stage.rig.sandbox.canary_hits().requests, 0);
        stage.rig.gateway.stop(crate::support::PATIENCE).await;
        let text = |name| std::fs::read_to_string(stage.file(name)).unwrap();
        (stage.secrets(), text("audit.jsonl"), text("keys.json"))
    });
    for (place, text, has) in [
        ("the log", &log, "request answered"),
        ("the log", &log, "cluster written"),
        ("the log", &log, "live call failed"),
        ("the audit", &audit, "authentication_failed"),
        ("the audit", &audit, "kubeconfig"),
        ("the audit", &audit, "IDEMPOTENCY_KEY_REUSED"),
        ("the keys file", &keys, "clusters:read"),
    ] {
        assert!(text.contains(has), "{place} was read: {has}");
        check(place, text, &secrets);
    }
    assert!(log.contains("TRACE"));
}
