//! Who may do what: every operation of the document, asked with and without what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use axum::body::Body;
use clustergate::access::audit::Destination;
use clustergate::access::{
    Access, IssuerSettings, KeyId, KeysFile, NewKey, Scope, Scopes, Settings,
};
use clustergate::api::server::{Limits, serve};
use clustergate::app::{self, Gateway, sources};
use http::{Method, Request};
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::api::{Answer, send};
use crate::support::{PATIENCE, Plan, Rig};

/// A gateway whose callers have to show a key, and some keys.
struct Closed {
    rig: Rig,
    folder: TempDir,
    admin: String,
    /// Keys that may do one thing.
    only: BTreeMap<Scope, String>,
    /// Keys that may do all things but one.
    all_but: BTreeMap<Scope, String>,
}

impl Closed {
    async fn start(configure: impl FnOnce(&mut Settings, &KeysFile, &TempDir)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = KeysFile::at(folder.path().join("keys.json"));
        let several = |choose: &dyn Fn(Scope) -> Scopes| {
            let made = Scope::ALL.map(|scope| (scope, make(&file, "test", choose(scope), None)));
            BTreeMap::from(made)
        };
        let only = several(&|scope| Scopes::NONE.with(scope));
        let all_but = several(&|scope| {
            let others = Scope::ALL.into_iter();
            let others = others.filter(|other| ![scope, Scope::Admin].contains(other));
            others.collect()
        });
        let mut settings = Settings {
            keys_file: Some(file.path().to_owned()),
            ..Settings::default()
        };
        configure(&mut settings, &file, &folder);
        let plan = Plan {
            clusters: 2,
            details: false,
            ..Plan::default()
        };
        let sandbox = plan.sandbox().await;
        let access = Access::start(&settings, &Handle::current()).unwrap();
        let sources = sources(&plan.configs(&sandbox)).unwrap();
        let gateway = Gateway::guarded(
            sources,
            access,
            clustergate::api::Settings::default(),
            &Handle::current(),
        );
        let rig = Rig { sandbox, gateway };
        rig.settled().await;
        Self {
            rig,
            folder,
            admin: only[&Scope::Admin].clone(),
            only,
            all_but,
        }
    }

    async fn ask(&self, method: &str, target: &str, shown: Option<&str>) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = Request::builder().method(method).uri(target);
        if let Some(shown) = shown {
            request = request.header("authorization", format!("Bearer {shown}"));
        }
        let request = request.header("host", "localhost").body(Body::empty());
        send(&self.rig.gateway.router, request.unwrap()).await
    }

    async fn stop(self) -> TempDir {
        self.rig.stop().await;
        self.folder
    }
}

fn make(file: &KeysFile, name: &str, scopes: Scopes, expires_at: Option<Timestamp>) -> String {
    let new = NewKey {
        name: name.to_owned(),
        scopes,
        sources: None,
        projects: None,
        expires_at,
    };
    let made = file.create(new, Timestamp::now()).unwrap();
    made.text.expose_secret().to_owned()
}

/// Every operation: method, a path that can be asked, and the scope that the document says it needs.
fn operations() -> Vec<(String, String, Option<Scope>)> {
    let document = app::openapi(false);
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let target = path
                .replace("{id}", "kubeadapt:nothing")
                .replace("{name}", "kubeadapt")
                .replace("{code}", "internal");
            assert!(!target.contains('{'), "{path}");
            let security = &operation["security"];
            let scope: Option<Scope> = (operation.get("x-required-scope"))
                .map(|scope| scope.as_str().unwrap().parse().unwrap());
            let expected = match scope {
                Some(_) => json!([{ "bearer": [] }, {}]),
                None => json!([]),
            };
            assert_eq!(*security, expected, "{method} {path}");
            found.push((method.to_ascii_uppercase(), target, scope));
        }
    }
    found
}

#[tokio::test]
async fn every_operation_wants_what_the_document_says() {
    let closed = Closed::start(|_, _, _| {}).await;
    let mut open = BTreeSet::new();
    for (method, target, needed) in operations() {
        let what = format!("{method} {target}");
        let Some(needed) = needed else {
            open.insert(target.clone());
            for shown in [None, Some("nonsense"), Some(closed.admin.as_str())] {
                let answer = closed.ask(&method, &target, shown).await;
                assert!(![401, 403].contains(&answer.status.as_u16()), "{what}");
            }
            continue;
        };
        for shown in [None, Some("nonsense"), Some("cg_abcdefgh12_nonsense")] {
            let answer = closed.ask(&method, &target, shown).await;
            assert_eq!(answer.refusal().1, "UNAUTHENTICATED", "{what}");
            assert_eq!(answer.status, 401, "{what}");
            assert!(
                answer
                    .header("www-authenticate")
                    .starts_with("Bearer realm=\"clustergate\"")
            );
        }
        let answer = closed
            .ask(&method, &target, Some(&closed.all_but[&needed]))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem().as_str()),
            (403, "FORBIDDEN"),
            "{what}"
        );
        assert_eq!(
            answer.header("www-authenticate"),
            format!(
                "Bearer realm=\"clustergate\", error=\"insufficient_scope\", scope=\"{needed}\""
            )
        );
        for shown in [&closed.only[&needed], &closed.admin] {
            let answer = closed.ask(&method, &target, Some(shown)).await;
            assert!(
                ![401, 403].contains(&answer.status.as_u16()),
                "{what}: {}",
                answer.status
            );
        }
    }
    let expected = [
        "/",
        "/livez",
        "/openapi-3.0.json",
        "/openapi.json",
        "/problems/internal",
        "/readyz",
    ];
    assert_eq!(open, expected.map(str::to_owned).into());

    for (method, target, status) in [
        ("HEAD", "/clusters", 401),
        ("HEAD", "/livez", 200),
        ("GET", "/docs/", 200),
        ("GET", "/nothing", 404),
        ("DELETE", "/clusters", 405),
    ] {
        let answer = closed.ask(method, target, None).await;
        assert_eq!(answer.status, status, "{method} {target}");
    }
    closed.stop().await;
}

#[tokio::test]
async fn without_access_control_nobody_is_asked_who_it_is() {
    let rig = Rig::start(Plan {
        clusters: 1,
        details: false,
        ..Plan::default()
    })
    .await;
    for shown in ["", "Bearer nonsense", "Basic YTpi"] {
        let request = Request::get("/clusters").header("authorization", shown);
        let request = request.header("host", "localhost").body(Body::empty());
        assert_eq!(rig.send(request.unwrap()).await.status, 200, "{shown}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_refusal_says_what_kind_it_is_and_not_why() {
    let mut shown = (String::new(), String::new());
    let closed = Closed::start(|settings, file, _| {
        let mut issuer = IssuerSettings::new("http://127.0.0.1:1", "clustergate");
        issuer.jwks_uri = Some("http://127.0.0.1:1/keys".parse().unwrap());
        settings.issuers.push(issuer);
        shown.0 = make(file, "gone", Scopes::ADMIN, None);
        let id = KeyId::new(shown.0.split('_').nth(1).unwrap()).unwrap();
        file.revoke(&id, Timestamp::now()).unwrap();
        shown.1 = make(file, "old", Scopes::ADMIN, Some(Timestamp::UNIX_EPOCH));
    })
    .await;
    let (revoked, expired) = shown;
    let good = closed.admin.clone();
    let mut wrong = good.clone();
    let last = if wrong.pop() == Some('A') { 'B' } else { 'A' };
    wrong.push(last);

    let missing = closed.ask("GET", "/clusters", None).await;
    assert_eq!(
        missing.header("www-authenticate"),
        "Bearer realm=\"clustergate\""
    );
    let invalid = "Bearer realm=\"clustergate\", error=\"invalid_token\"";
    let mut details = BTreeSet::new();
    for shown in [&wrong, &revoked, "cg_0000000000_x", "nonsense"] {
        let answer = closed.ask("GET", "/clusters", Some(shown)).await;
        assert_eq!(answer.problem(), "UNAUTHENTICATED");
        assert_eq!(answer.header("www-authenticate"), invalid);
        details.insert(answer.json()["detail"].to_string());
    }
    assert_eq!(details.len(), 1, "which it was is not told: {details:?}");
    let answer = closed.ask("GET", "/clusters", Some(&expired)).await;
    assert_eq!(answer.json()["detail"], "what was shown has expired");

    // {"alg":"RS256","kid":"a"}.{"iss":"http://127.0.0.1:1"}
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwOi8vMTI3LjAuMC4xOjEifQ.AAAA";
    let answer = closed.ask("GET", "/clusters", Some(token)).await;
    assert_eq!(
        (answer.status.as_u16(), answer.problem().as_str()),
        (503, "AUTH_UNAVAILABLE")
    );
    assert_eq!(answer.header("retry-after"), "30");
    assert_eq!(answer.header("www-authenticate"), "");
    let answer = closed.ask("GET", "/clusters", Some(&good)).await;
    assert_eq!(answer.status, 200, "keys do not depend on issuers");
    closed.stop().await;
}

#[tokio::test]
async fn the_audit_says_who_did_what_from_where_and_holds_no_secret() {
    let closed = Closed::start(|settings, _, folder| {
        settings.audit = Some(Destination::File(folder.path().join("audit.jsonl")));
    })
    .await;
    let reader = closed.only[&Scope::ClustersRead].clone();
    let refresher = closed.only[&Scope::SourcesRefresh].clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = closed.rig.gateway.router.clone();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let asked = async { drop(stopped.await) };
        serve(listener, router, Limits::default(), asked).await
    });
    let ask = async |method: &str, path: &str, shown: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nX-Request-Id: {method}-1\r\nConnection: close\r\nAuthorization: Bearer {shown}\r\n\r\n"
        );
        status_of(address, &request).await
    };
    let refresh = "/sources/kubeadapt/refresh";
    assert_eq!(ask("POST", refresh, &refresher).await, "202");
    assert_eq!(
        ask("POST", "/sources/nobody/refresh", &refresher).await,
        "404"
    );
    assert_eq!(ask("POST", refresh, &reader).await, "403");
    assert_eq!(ask("GET", "/clusters", &reader).await, "200");
    for _ in 0..20 {
        assert_eq!(ask("GET", "/clusters", "SECRET-CANARY").await, "401");
    }
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    let folder = closed.stop().await;

    let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    for secret in [&reader, &refresher, "SECRET-CANARY"] {
        assert!(
            !text.contains(secret) && !text.contains(&secret[secret.len() - 12..]),
            "{text}"
        );
    }
    let id = |key: &str| key.split('_').nth(1).unwrap().to_owned();
    let told = text
        .replace(&id(&reader), "READER")
        .replace(&id(&refresher), "REFRESHER");
    let told: Vec<String> = told.lines().map(brief).collect();
    let refused = "authentication_failed - GET /clusters - 401 UNAUTHENTICATED GET-1";
    assert_eq!(
        told,
        [
            "refresh REFRESHER POST /sources/{name}/refresh kubeadapt 202 - POST-1 - -".to_owned(),
            "refresh REFRESHER POST /sources/{name}/refresh nobody 404 SOURCE_NOT_FOUND POST-1 - -"
                .to_owned(),
            "forbidden READER POST /sources/{name}/refresh kubeadapt 403 FORBIDDEN POST-1 - -"
                .to_owned(),
            format!("{refused} neither a key nor a token -"),
            format!("{refused} neither a key nor a token 19"),
        ]
    );
}

/// Sends a request over a socket; gives back the status of the answer.
async fn status_of(address: SocketAddr, request: &str) -> String {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    read.unwrap().unwrap();
    String::from_utf8_lossy(&answer)[9..12].to_owned()
}

/// What a line of the audit says, in short.
fn brief(line: &str) -> String {
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["remote"], "127.0.0.1");
    assert!(line["time"].as_str().unwrap().parse::<Timestamp>().is_ok());
    let members = [
        "/event",
        "/actor/id",
        "/method",
        "/route",
        "/target",
        "/outcome/status",
        "/outcome/code",
        "/request_id",
        "/detail",
        "/count",
    ];
    let texts = members.map(|member| match line.pointer(member) {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    });
    texts.join(" ")
}

/// Runs the program with a keys file and nothing of this environment.
fn clustergate(file: &KeysFile, arguments: &[&str]) -> (Option<i32>, String, String) {
    clustergate_with(file, &[], arguments)
}

/// Does the same with these variables.
fn clustergate_with(
    file: &KeysFile,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_clustergate"))
        .args(arguments)
        .env_clear()
        .env("CLUSTERGATE_KEYS_FILE", file.path())
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn the_command_line_prints_a_key_alone_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("keys.json"));
    let missing = clustergate(&file, &["keys", "list"]);
    assert_eq!(missing.0, Some(1));
    assert!(missing.2.contains("clustergate keys new"), "{}", missing.2);

    let new = [
        "keys",
        "new",
        "--name",
        "ci",
        "--scopes",
        "clusters:read,metrics:read",
        "--expires",
        "90d",
    ];
    let (code, key, words) = clustergate(&file, &new);
    assert_eq!(code, Some(0), "{words}");
    let id = key.split('_').nth(1).unwrap().to_owned();
    assert!(
        key.starts_with("cg_") && key.trim().len() == 57 && key.lines().count() == 1,
        "{key}"
    );
    assert!(
        words.contains(&id) && !words.contains(key.trim()),
        "{words}"
    );

    let (code, rotated, words) = clustergate(&file, &["keys", "rotate", &id, "--overlap", "1h"]);
    assert_eq!(code, Some(0), "{words}");
    assert!(rotated.starts_with(&format!("cg_{id}_")) && rotated != key);
    assert!(words.contains("counts until"), "{words}");

    let (code, list, _) = clustergate(&file, &["keys", "list", "-o", "json"]);
    assert_eq!(code, Some(0));
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&list["items"][0]["id"], &list["items"][0]["state"]),
        (&json!(id), &json!("rotating"))
    );

    let (code, nothing, words) = clustergate(&file, &["keys", "revoke", &id]);
    assert_eq!((code, nothing.as_str()), (Some(0), ""), "{words}");
    assert!(file.list().unwrap()[0].revoked_at.is_some());
    assert_eq!(
        clustergate(&file, &["keys", "revoke", "0000000000"]).0,
        Some(4)
    );
    assert_eq!(
        clustergate(&file, &["keys", "new", "--name", "x", "--scopes", "all"]).0,
        Some(2)
    );
}

#[test]
fn an_open_address_wants_access_control_and_a_broken_keys_file_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("keys.json"));
    let check = |extra: &[&str]| {
        let mut config = std::fs::File::create(folder.path().join("c.toml")).unwrap();
        config
            .write_all(b"[[sources]]\nname = 'one'\nprovider = 'kubeadapt'\ntoken_file = 'token'\nbase_url = 'http://127.0.0.1:1'\n")
            .unwrap();
        let path = folder.path().join("c.toml");
        let mut arguments = vec!["check", "--config", path.to_str().unwrap()];
        arguments.extend(extra);
        clustergate(&file, &arguments)
    };
    std::fs::write(folder.path().join("token"), "t").unwrap();
    let open = ["--listen", "0.0.0.0:0"];
    let (code, _, words) = check(&open);
    assert_eq!(code, Some(2));
    assert!(
        words.contains("access.keys_file") && words.contains("no such file"),
        "{words}"
    );
    make(&file, "first", Scopes::ADMIN, None);
    let (code, _, words) = check(&open);
    assert_eq!(
        code,
        Some(1),
        "the source is down, the configuration is right: {words}"
    );
    std::fs::write(file.path(), "{").unwrap();
    let (code, _, words) = check(&open);
    assert_eq!(code, Some(2));
    assert!(words.contains("not a keys file"), "{words}");
}

#[test]
fn only_a_yes_opens_an_address_without_access_control() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("keys.json"));
    let open = ["check", "--listen", "0.0.0.0:0"];
    for text in ["\"false\"", "disabled", "none", "'true'"] {
        let variables = [("CLUSTERGATE_INSECURE_BIND", text)];
        let (code, _, words) = clustergate_with(&file, &variables, &open);
        assert_eq!(code, Some(2), "{text}: {words}");
        assert!(
            words.contains("--insecure-bind") && words.contains("must be true or false"),
            "{words}"
        );
    }
    for text in ["", "false ", "off"] {
        let variables = [
            ("CLUSTERGATE_INSECURE_BIND", text),
            ("KUBEADAPT_API_KEY", "k"),
            ("CLUSTERGATE_KEYS_FILE", ""),
        ];
        let (code, _, words) = clustergate_with(&file, &variables, &open);
        assert_eq!(code, Some(2), "{text}: {words}");
        assert!(!words.contains("must be true or false"), "{words}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_the_audit_is_required_nothing_is_done_that_it_cannot_be_told_of() {
    let closed = Closed::start(|settings, _, _| {
        settings.audit = Some(Destination::File("/dev/full".into()));
        settings.audit_required = true;
    })
    .await;
    let admin = closed.admin.clone();
    let write = "/clusters/kubeadapt:nothing";
    let ask = async |method: &str, target: &str| {
        let answer = closed.ask(method, target, Some(&admin)).await;
        (answer.status.as_u16(), answer)
    };
    // The first is what shows that nothing can be written.
    assert_ne!(ask("DELETE", write).await.0, 503);
    let noticed = async {
        while ask("DELETE", write).await.0 != 503 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    for (method, target) in [
        ("DELETE", write),
        ("POST", "/clusters"),
        ("GET", "/kubeconfig"),
    ] {
        let (status, answer) = ask(method, target).await;
        assert_eq!(
            (status, answer.problem().as_str()),
            (503, "AUDIT_UNAVAILABLE"),
            "{target}"
        );
        assert_eq!(answer.header("retry-after"), "5");
    }
    assert_eq!(ask("GET", "/clusters").await.0, 200);
    let (_, metrics) = ask("GET", "/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let line = "clustergate_audit_events_lost_total{} ";
    let lost = text.lines().find_map(|text| text.strip_prefix(line));
    assert!(lost.is_some_and(|lost| lost != "0"), "{text}");
    closed.stop().await;
}

#[test]
fn an_audit_that_cannot_be_written_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("keys.json"));
    make(&file, "first", Scopes::ADMIN, None);
    std::fs::write(folder.path().join("token"), "t").unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(
        &path,
        "[access]\naudit = 'nowhere/audit.jsonl'\n[[sources]]\nname = 'one'\nprovider = 'kubeadapt'\ntoken_file = 'token'\nbase_url = 'http://127.0.0.1:1'\n",
    )
    .unwrap();
    for command in ["check", "serve"] {
        let arguments = [command, "--config", path.to_str().unwrap()];
        let (code, _, words) = clustergate(&file, &arguments);
        assert_eq!(code, Some(2), "{command}: {words}");
        assert!(
            words.contains("access.audit") && words.contains("cannot be written"),
            "{words}"
        );
    }
}

#[cfg(unix)]
#[test]
fn the_end_of_its_terminal_ends_the_program_in_order() {
    use std::io::BufRead as _;

    let mut running = Command::new(env!("CARGO_BIN_EXE_clustergate"))
        .args(["demo", "--clusters", "5", "--listen", "127.0.0.1:0"])
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(running.stdout.take().unwrap()).lines();
    let address = lines.find_map(|line| {
        let line = line.unwrap();
        let (_, after) = line.split_once("listens on http://")?;
        Some(after.split(' ').next()?.to_owned())
    });
    // Who is answered is answered by a loop that listens to signals already.
    let mut socket = std::net::TcpStream::connect(address.unwrap()).unwrap();
    socket
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut socket, &mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let id = running.id().to_string();
    let told = Command::new("kill").args(["-HUP", &id]).status();
    assert!(told.unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_key_that_could_not_be_printed_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeysFile::at(folder.path().join("keys.json"));
    let run = |arguments: &[&str]| {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let output = Command::new(env!("CARGO_BIN_EXE_clustergate"))
            .args(arguments)
            .env_clear()
            .env("CLUSTERGATE_KEYS_FILE", file.path())
            .stdin(Stdio::null())
            .stdout(full.unwrap())
            .output()
            .unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(words.contains("taken back"), "{words}");
        assert_eq!(output.status.code(), Some(1));
    };
    make(&file, "first", Scopes::ADMIN, None);
    let before = file.list().unwrap();
    run(&["keys", "new", "--name", "ci", "--scopes", "clusters:read"]);
    assert_eq!(file.list().unwrap(), before);
    let id = before[0].id.to_string();
    run(&["keys", "rotate", &id, "--overlap", "0s"]);
    assert_eq!(file.list().unwrap(), before);
}
