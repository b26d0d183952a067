//! What the API answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clustergate::provider::ErrorKind;
use clustergate::upstream::FailureKind;

use super::vendor::{Said, Stage, Vendor, kubeconfig};
use crate::support::Reply;

const SERVER: &str = "https://k8s.example:6443";
const EXEC: &str = "exec: {apiVersion: client.authentication.k8s.io/v1, command: aws}";

fn file(user: &str) -> Said {
    Said::File(kubeconfig(SERVER, "", user))
}

fn timeout() -> Said {
    Said::Failure(ErrorKind::Call(FailureKind::Timeout))
}

fn is_kept_by_nobody(reply: &Reply) {
    assert_eq!(reply.header("cache-control"), "no-store");
    assert_eq!(reply.header("etag"), "");
}

#[tokio::test]
async fn a_fleet_is_one_file_that_names_what_it_does_not_have() {
    let fleet = Arc::new(Vendor::new(
        "main",
        [
            ("1", "edge", file("token: s3cret")),
            ("2", "edge", file("token: s3cret")),
            ("3", "away", timeout()),
            ("4", "eks", file(EXEC)),
            ("5", "odd", Said::File("<html>".to_owned())),
        ],
    ));
    let watched = Vendor::new("watched", [("9", "seen", timeout())]).without_kubeconfigs();
    let stage = Stage::over([Arc::clone(&fleet), Arc::new(watched)]).await;

    let reply = stage.get("/kubeconfig?gateway=https://gate.example").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    is_kept_by_nobody(&reply);
    assert_eq!(reply.header("content-type"), "application/yaml");
    assert_eq!(
        reply.header("x-kubeconfig-missing"),
        "main:3;UPSTREAM_TIMEOUT, main:4;KUBECONFIG_NEEDS_EMBED, main:5;KUBECONFIG_UNUSABLE"
    );
    for line in [
        "# not included: main:3: UPSTREAM_TIMEOUT\n",
        "- name: main/edge-1\n",
        "- name: main/edge-2\n",
        "      - main:2\n",
        "      - https://gate.example/\n",
        "current-context: \"\"\n",
    ] {
        assert!(reply.text.contains(line), "{line}:\n{}", reply.text);
    }
    assert!(!reply.text.contains("s3cret") && !reply.text.contains("watched"));

    let embedded = stage.get("/kubeconfig?embed=true&q=e").await;
    assert_eq!(embedded.text.matches("token: s3cret").count(), 2);
    assert!(embedded.text.contains("command: aws"), "{}", embedded.text);
    assert_eq!(embedded.header("x-kubeconfig-missing"), "");

    let none = stage.get("/kubeconfig?source=watched").await;
    assert!(none.text.contains("clusters: []"), "{}", none.text);
    assert_eq!(none.header("x-kubeconfig-missing"), "");
}

#[tokio::test]
async fn one_cluster_has_a_file_or_a_problem() {
    let fleet = Vendor::new(
        "main",
        [
            ("1", "edge", file("token: s3cret")),
            ("2", "later", Said::Failure(ErrorKind::NotReady)),
            ("3", "eks", file(EXEC)),
            ("4", "path", file("tokenFile: /run/token")),
            ("5", "open", file("")),
        ],
    );
    let watched = Vendor::new("watched", [("9", "seen", timeout())]).without_kubeconfigs();
    let stage = Stage::over([Arc::new(fleet), Arc::new(watched)]).await;

    let edge = stage.get("/clusters/main:1/kubeconfig").await;
    is_kept_by_nobody(&edge);
    assert!(edge.text.contains("current-context: main/edge\n"));
    assert!(!edge.text.contains("s3cret") && !edge.text.contains("--url"));
    let embedded = stage.get("/clusters/main:1/kubeconfig?embed=true").await;
    assert!(embedded.text.contains("token: s3cret"));
    let open = stage.get("/clusters/main:5/kubeconfig").await;
    assert!(open.text.contains("user: {}"), "{}", open.text);

    let credential = stage.get("/clusters/main:1/credential").await;
    is_kept_by_nobody(&credential);
    let json = credential.json();
    assert_eq!(json["apiVersion"], "client.authentication.k8s.io/v1");
    assert_eq!(json["kind"], "ExecCredential");
    assert_eq!(json["status"]["token"], "s3cret");

    for (path, status, code) in [
        ("main:2/kubeconfig", 409, "UPSTREAM_NOT_READY"),
        ("main:3/kubeconfig", 409, "KUBECONFIG_NEEDS_EMBED"),
        ("main:3/credential", 409, "KUBECONFIG_NEEDS_EMBED"),
        ("main:4/kubeconfig?embed=true", 502, "KUBECONFIG_UNUSABLE"),
        ("main:5/credential", 502, "KUBECONFIG_UNUSABLE"),
        ("main:7/kubeconfig", 404, "CLUSTER_NOT_FOUND"),
        ("watched:9/kubeconfig", 501, "CAPABILITY_NOT_SUPPORTED"),
        ("watched:9/credential", 501, "CAPABILITY_NOT_SUPPORTED"),
        ("main:1/kubeconfig?embed=perhaps", 400, "INVALID_PARAMETER"),
        ("main:1/kubeconfig?embed=", 400, "INVALID_PARAMETER"),
        (
            "main:1/kubeconfig?gateway=https://gate%5Cx",
            400,
            "INVALID_PARAMETER",
        ),
        ("main:1/kubeconfig?gateway=gate", 400, "INVALID_PARAMETER"),
        (
            "main:1/kubeconfig?gateway=https://a:b@gate",
            400,
            "INVALID_PARAMETER",
        ),
        (
            "main:1/kubeconfig?gateway=https://gate&embed=true",
            400,
            "INVALID_PARAMETER",
        ),
        ("main:1/kubeconfig?state=running", 400, "UNKNOWN_PARAMETER"),
        ("main:1/credential?embed=true", 400, "UNKNOWN_PARAMETER"),
    ] {
        let reply = stage.get(&format!("/clusters/{path}")).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
        assert_eq!(reply.json()["code"], code, "{path}");
        assert!(!reply.text.contains("/run/token"), "{}", reply.text);
        is_kept_by_nobody(&reply);
    }
}

#[tokio::test(start_paused = true)]
async fn vendors_are_asked_a_few_at_a_time_and_not_for_ever() {
    let ids: Vec<String> = (0..100).map(|at| format!("c{at:03}")).collect();
    let said = || Said::Late(Duration::from_secs(3), kubeconfig(SERVER, "", "token: t"));
    let clusters = ids.iter().map(|id| (id.as_str(), id.as_str(), said()));
    let fleet = Arc::new(Vendor::new("main", clusters));
    let stage = Stage::over([Arc::clone(&fleet)]).await;

    let reply = stage.get("/kubeconfig").await;
    assert_eq!(reply.status, 200);
    // Six rounds of three seconds and a seventh that is cut off, with eight each.
    assert_eq!(fleet.asked(), (56, 8));
    let included = reply.text.matches("- name: main/").count() / 3;
    assert_eq!(included, 48);
    let missing: BTreeSet<&str> = (reply.text.lines())
        .filter_map(|line| line.strip_prefix("# not included: "))
        .map(|line| line.split_once(": ").unwrap().1)
        .collect();
    assert_eq!(missing, BTreeSet::from(["TIMEOUT"]));
    let header = reply.header("x-kubeconfig-missing");
    assert_eq!(header.matches(";TIMEOUT").count(), 52, "{header}");
}

#[tokio::test]
async fn a_selection_that_is_too_large_is_refused_before_anybody_is_asked() {
    let ids: Vec<String> = (0..201).map(|at| format!("c{at:03}")).collect();
    let clusters = (ids.iter()).map(|id| (id.as_str(), id.as_str(), file("token: t")));
    let fleet = Arc::new(Vendor::new("main", clusters));
    let stage = Stage::over([Arc::clone(&fleet)]).await;
    let reply = stage.get("/kubeconfig").await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    assert_eq!(reply.json()["code"], "SELECTION_TOO_LARGE");
    assert_eq!(fleet.asked(), (0, 0));
    let fewer = stage.get("/kubeconfig?q=c1").await;
    assert_eq!(fewer.status, 200);
    assert_eq!(fleet.asked().0, 100);
}
