//! That a real `kubectl` understands the files and gets in.
//!
//! It is looked for in `CLUSTERGATE_KUBECTL`, else on the path, and must be 1.22 or newer. Without one these tests say that they are
//! skipped and pass; with `CLUSTERGATE_REQUIRE_KUBECTL` they fail.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use clustergate::api::server::{self, Limits};
use clustergate::provider::ErrorKind;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::kubernetes::{Kubernetes, TOKEN};
use super::vendor::{Said, Stage, Vendor, authority, certificate, kubeconfig};
use crate::support::PATIENCE;

const CLUSTERGATE: &str = env!("CARGO_BIN_EXE_clustergate");

/// The program, or why there is none.
fn find() -> Result<PathBuf, String> {
    let named = std::env::var_os("CLUSTERGATE_KUBECTL").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = named.or_else(|| {
        std::env::split_paths(&path)
            .map(|folder| folder.join("kubectl"))
            .find(|file| file.is_file())
    });
    let file = found.ok_or("there is none on the path")?;
    let output = Command::new(&file)
        .args(["version", "--client", "-o", "json"])
        .output()
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let version: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{} does not say its version", file.display()))?;
    let minor = version["clientVersion"]["minor"].as_str().unwrap_or("0");
    let minor: u32 = minor.trim_end_matches('+').parse().unwrap_or(0);
    if minor < 22 {
        return Err(format!("{} is 1.{minor}, older than 1.22", file.display()));
    }
    Ok(file)
}

/// A gateway on a socket, and a home of its own for what talks to it.
struct Desk {
    kubectl: PathBuf,
    gateway: String,
    home: TempDir,
    _stage: Stage,
    _stop: oneshot::Sender<()>,
}

impl Desk {
    /// `None` where there is no `kubectl` and none is required.
    async fn open(vendor: impl FnOnce() -> Vendor) -> Option<Self> {
        let kubectl = match find() {
            Ok(kubectl) => kubectl,
            Err(why) => {
                assert!(
                    std::env::var_os("CLUSTERGATE_REQUIRE_KUBECTL").is_none(),
                    "kubectl is required: {why}"
                );
                // Not by a macro of printing, which a test that passes is not heard with.
                let _ = writeln!(
                    std::io::stderr(),
                    "SKIPPED, there is no kubectl to test with: {why}"
                );
                return None;
            }
        };
        let stage = Stage::over([Arc::new(vendor())]).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let router = stage.0.router.clone();
        tokio::spawn(server::serve(listener, router, Limits::default(), async {
            let _ = stopped.await;
        }));
        Some(Self {
            kubectl,
            gateway,
            home: TempDir::new().unwrap(),
            _stage: stage,
            _stop: stop,
        })
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("fleet.yaml")
    }

    /// Runs a program with nothing of this process's environment but where programs are.
    async fn run(&self, program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let own = Path::new(CLUSTERGATE).parent().unwrap().to_owned();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(own).chain(std::env::split_paths(&others));
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.home.path())
            .envs(variables.iter().copied());
        let output = spawn_blocking(move || command.output());
        timeout(PATIENCE, output).await.unwrap().unwrap().unwrap()
    }

    async fn clustergate(&self, arguments: &[&str]) -> Output {
        let url = [("CLUSTERGATE_URL", self.gateway.as_str())];
        self.run(Path::new(CLUSTERGATE), arguments, &url).await
    }

    /// Writes the file with the command line.
    async fn write(&self, arguments: &[&str]) -> Output {
        let file = self.file();
        let mut all = vec!["kubeconfig", "--force", "--output", file.to_str().unwrap()];
        all.extend(arguments);
        self.clustergate(&all).await
    }

    async fn kubectl(&self, arguments: &[&str]) -> Output {
        let file = self.file();
        let mut all = vec![
            "--kubeconfig",
            file.to_str().unwrap(),
            "--request-timeout=10s",
        ];
        all.extend(arguments);
        self.run(&self.kubectl, &all, &[]).await
    }

    /// What the cluster of a context says of how it was got into.
    async fn got_in_by(&self, context: &str) -> String {
        let output = self
            .kubectl(&["--context", context, "get", "--raw", "/version"])
            .await;
        let version: Value = serde_json::from_str(&good(&output)).unwrap();
        version["platform"].as_str().unwrap().to_owned()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of a program that did well.
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// One cluster to get into by certificate, one by token, and one that cannot be had.
fn fleet(kubernetes: &Kubernetes) -> Vendor {
    let (pem, key) = kubernetes.client();
    let file = |user: &str| {
        Said::File(kubeconfig(
            &kubernetes.url(),
            &authority(&kubernetes.authority()),
            user,
        ))
    };
    Vendor::new(
        "main",
        [
            ("kc_1", "by certificate", file(&certificate(&pem, &key))),
            ("kc_2", "by-token", file(&format!("token: {TOKEN}"))),
            ("kc_3", "away", Said::Failure(ErrorKind::NotReady)),
        ],
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_gets_in_by_asking_the_gateway() {
    let kubernetes = Kubernetes::start().await;
    let Some(desk) = Desk::open(|| fleet(&kubernetes)).await else {
        return;
    };
    let written = desk.write(&[]).await;
    assert_eq!(written.status.code(), Some(3), "it is not all there is");
    let warning = text(&written.stderr);
    assert!(
        warning.contains("main:kc_3: UPSTREAM_NOT_READY"),
        "{warning}"
    );

    let contexts = good(
        &desk
            .kubectl(&["config", "get-contexts", "-o", "name"])
            .await,
    );
    assert_eq!(contexts, "main/by-certificate\nmain/by-token\n");
    let view = good(
        &desk
            .kubectl(&["config", "view", "--raw", "-o", "json"])
            .await,
    );
    let view: Value = serde_json::from_str(&view).unwrap();
    assert_eq!(view["current-context"], "");
    let exec = &view["users"][0]["user"]["exec"];
    assert_eq!(exec["command"], "clustergate");
    assert_eq!(exec["interactiveMode"], "Never");
    let file = std::fs::read_to_string(desk.file()).unwrap();
    assert!(
        !file.contains(TOKEN) && !file.contains("client-key"),
        "{file}"
    );

    assert_eq!(desk.got_in_by("main/by-certificate").await, "certificate");
    assert_eq!(desk.got_in_by("main/by-token").await, "token");
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_gets_in_without_a_gateway_by_an_embedding_file() {
    let kubernetes = Kubernetes::start().await;
    let Some(desk) = Desk::open(|| fleet(&kubernetes)).await else {
        return;
    };
    desk.write(&["--embed"]).await;
    let users = good(
        &desk
            .kubectl(&["config", "view", "-o", "jsonpath={.users[*].user.exec}"])
            .await,
    );
    assert_eq!(users, "");
    assert_eq!(desk.got_in_by("main/by-certificate").await, "certificate");
    assert_eq!(desk.got_in_by("main/by-token").await, "token");

    let one = desk.write(&["main:kc_2", "--embed"]).await;
    assert_eq!(one.status.code(), Some(0), "{}", text(&one.stderr));
    let version = good(&desk.kubectl(&["get", "--raw", "/version"]).await);
    assert!(
        version.contains("v1.34.3"),
        "its context is the current one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_get_in_is_told_why() {
    let kubernetes = Kubernetes::start().await;
    let Some(desk) = Desk::open(|| fleet(&kubernetes)).await else {
        return;
    };
    // The gateway of the file is gone, and a cluster that the gateway does not have.
    desk.write(&["main:kc_1"]).await;
    let file = std::fs::read_to_string(desk.file()).unwrap();
    std::fs::write(
        desk.file(),
        file.replace(&desk.gateway, "http://127.0.0.1:9"),
    )
    .unwrap();
    let refused = desk.kubectl(&["get", "--raw", "/version"]).await;
    assert!(!refused.status.success());
    let said = text(&refused.stderr);
    assert!(
        said.contains("no credential for cluster main:kc_1"),
        "{said}"
    );
    assert!(said.contains("http://127.0.0.1:9"), "{said}");

    let unknown = desk
        .clustergate(&["credential", "--cluster", "main:kc_9"])
        .await;
    assert_eq!(
        (unknown.status.code(), text(&unknown.stdout).as_str()),
        (Some(4), "")
    );
    assert!(text(&unknown.stderr).contains("CLUSTER_NOT_FOUND"));
    let printed = good(
        &desk
            .clustergate(&["credential", "--cluster", "main:kc_2"])
            .await,
    );
    let credential: BTreeMap<String, Value> = serde_json::from_str(&printed).unwrap();
    assert_eq!(credential["status"]["token"], TOKEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_reads_back_every_text_that_a_file_can_hold() {
    let vendor = || {
        let text = |text: &str| serde_json::to_string(text).unwrap();
        let user = format!(
            "exec:\n  apiVersion: client.authentication.k8s.io/v1beta1\n  command: vendor-login\n  args: [{}, {}, \"yes\", \"1e3\", \"~\", \"\"]\n  env: [{{name: A, value: {}}}]",
            text("é \u{1F980} \t: #x"),
            text("--flag=\"'\\"),
            text("on"),
        );
        let file = kubeconfig(
            "https://k8s.example/k8s/clusters/c-1",
            "insecure-skip-tls-verify: true",
            &user,
        );
        let basic = kubeconfig(
            "https://k8s.example",
            "",
            "username: \"null\"\npassword: \"p: #\\u2028\"",
        );
        Vendor::new(
            "main",
            [("1", "a", Said::File(file)), ("2", "b", Said::File(basic))],
        )
    };
    let Some(desk) = Desk::open(vendor).await else {
        return;
    };
    good(&desk.write(&["--embed"]).await);
    let view = good(
        &desk
            .kubectl(&["config", "view", "--raw", "-o", "json"])
            .await,
    );
    let view: Value = serde_json::from_str(&view).unwrap();
    let exec = &view["users"][0]["user"]["exec"];
    assert_eq!(
        exec["args"],
        serde_json::json!(["é \u{1F980} \t: #x", "--flag=\"'\\", "yes", "1e3", "~", ""])
    );
    assert_eq!(exec["env"][0]["value"], "on");
    assert_eq!(view["users"][1]["user"]["username"], "null");
    assert_eq!(view["users"][1]["user"]["password"], "p: #\u{2028}");
    let cluster = &view["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], "https://k8s.example/k8s/clusters/c-1");
    assert_eq!(cluster["insecure-skip-tls-verify"], true);
}
