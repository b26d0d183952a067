//! What `clustergate check` says of webhooks; nobody is called.

use std::process::{Command, Output};

use super::{SECRETS, TOKEN};

/// Checks a configuration of one source and these webhooks.
fn check(webhooks: &str) -> (bool, String) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("clustergate.toml");
    let source =
        "[[sources]]\nname = \"main\"\nprovider = \"latitude\"\ntoken_env = \"SOME_TOKEN\"\n";
    std::fs::write(&file, format!("{webhooks}\n{source}")).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_clustergate"))
        .args(["check", "--offline", "--config"])
        .arg(&file)
        .env_clear()
        .env("HOME", home.path())
        .env("SOME_TOKEN", "x")
        .env("HOOK_SECRET", SECRETS[0])
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = run.unwrap();
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8(said).unwrap())
}

fn webhook(name: &str, lines: &str) -> String {
    format!(
        "[[webhooks]]\nname = \"{name}\"\nurl = \"https://hooks.example/{TOKEN}\"\nsecret_env = \"HOOK_SECRET\"\n{lines}\n"
    )
}

#[test]
fn good_webhooks_are_counted() {
    let one = webhook("one", "filter = \"state=running,!deleted&source=main\"");
    let two = webhook("two", "filter = { q = \"gpu farm\" }\nkinds = \"removed\"");
    let (is_good, said) = check(&format!("{one}{two}"));
    assert!(is_good, "{said}");
    assert_eq!(
        said.trim(),
        "the configuration is valid: 1 source, 2 webhooks"
    );
}

#[test]
fn every_wrong_word_of_a_filter_is_told_at_once() {
    let wrong = [
        webhook("one", "filter = \"sate=running&sauce=main\""),
        webhook("two", "filter = { provider = \"none\" }"),
        webhook("three", "kinds = [\"added\", \"gone\"]"),
        webhook("four", "filter = \"source=other\""),
    ];
    let (is_good, said) = check(&wrong.concat());
    assert!(!is_good && !said.contains(TOKEN), "{said}");
    for part in [
        "webhooks[one].filter: sate: unknown parameter; accepted are ",
        "webhooks[one].filter: sauce: ",
        "webhooks[two].filter: provider: ",
        "webhooks[three].kinds: kind: ",
        "added, updated, missing, removed, returned, source_state",
        "webhooks[four].filter: source: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}
