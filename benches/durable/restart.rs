//! From the start of a process to its first answer, over what an earlier one left.

use std::path::Path;
use std::process::Command;

use axum::body::Body;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::stage::Stage;
use super::{Effort, Verdicts, milliseconds, runtime};

const ARGUMENT: &str = "--restart";

/// Answers once over the store in a folder, if this process was started for that.
pub(crate) fn play(arguments: &[String]) -> bool {
    let Some(at) = arguments.iter().position(|argument| argument == ARGUMENT) else {
        return false;
    };
    let begun = Instant::now();
    let folder = Path::new(&arguments[at + 1]);
    let clusters: usize = arguments[at + 2].parse().expect("a number");
    let serving = runtime("serve");
    let stage = Stage::begin(clusters, 1, Some(super::stage::within(folder)), &serving);
    let total = serving.block_on(async {
        let request = http::Request::get("/clusters?limit=100&total=true")
            .header("host", "localhost")
            .body(Body::empty())
            .expect("a request");
        let answer = stage.gateway.router.clone().oneshot(request).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let body = answer.into_body().collect().await.expect("a body");
        let body: serde_json::Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
        body["total"].as_u64().unwrap_or(0)
    });
    println!("{} {total}", milliseconds(begun.elapsed()));
    // What the restored gateway would read and write now is not measured.
    std::process::exit(0);
}

pub(crate) fn measure(effort: Effort, verdicts: &mut Verdicts) {
    let folder = tempfile::tempdir().expect("a folder");
    let serving = runtime("serve");
    let clusters = effort.restored;
    let begun = Instant::now();
    let stage = Stage::set(
        clusters,
        1,
        Some(super::stage::within(folder.path())),
        &serving,
    );
    let first = begun.elapsed();
    stage.stop(&serving);
    let bytes =
        std::fs::metadata(folder.path().join("clustergate.db")).map_or(0, |file| file.len());
    println!(
        "       {clusters} clusters listed, mapped and kept for the first time: {:.0} ms; {} MiB on disk",
        milliseconds(first),
        bytes >> 20
    );
    let answers: Vec<f64> = (0..effort.rounds.min(5))
        .map(|_| answer(folder.path(), clusters))
        .collect();
    let took = super::median(answers);
    verdicts.goal(
        took <= 1_000.0,
        &format!(
            "from the start to the first answer over what {clusters} clusters left: {took:.0} ms (goal <= 1000), {:.2} of the first listing",
            took / milliseconds(first)
        ),
    );
}

/// Milliseconds that a new process took.
fn answer(folder: &Path, clusters: usize) -> f64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .arg(ARGUMENT)
        .arg(folder)
        .arg(clusters.to_string())
        .output()
        .expect("this program can be started");
    let said = String::from_utf8_lossy(&output.stdout);
    let (took, total) = said.trim().split_once(' ').expect("two figures");
    assert_eq!(total, clusters.to_string(), "all of them are there");
    took.parse().expect("a number")
}
