//! The tables, and what can be wrong with them.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What these lines mean with these variables, and what is wrong with them.
fn read(lines: &str, has_store: bool) -> (Vec<Settings>, Vec<String>) {
    let strings: BTreeMap<String, String> = [
        ("HOOK_SECRET", SECRET),
        (
            "OTHER_SECRET",
            "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ),
        ("BAD_SECRET", "C4NARY"),
        ("HOOK_URL", "https://hooks.example/C4NARY"),
        ("EMPTY_ONE", ""),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let context = Context {
        strings: &strings,
        catalog: &[],
        folder: Path::new("/etc/clustergate"),
    };
    let mut mistakes = Vec::new();
    let mut root = Section::new("", lines.parse().unwrap(), &mut mistakes);
    let tables = written(&mut root);
    root.finish();
    let webhooks = resolve(tables, has_store, context, &mut mistakes);
    let known = SourceName::new("main").unwrap();
    check_sources(&webhooks, &BTreeSet::from([&known]), &mut mistakes);
    let mistakes = mistakes.iter();
    (webhooks, mistakes.map(ToString::to_string).collect())
}

#[test]
fn a_webhook_is_read_with_all_there_is_to_say_of_it() {
    let (webhooks, mistakes) = read(
        r#"
        [[webhooks]]
        name = "ops"
        url = "https://hooks.example/clusters"
        secret_env = "HOOK_SECRET"

        [[webhooks]]
        name = "all"
        url_env = "HOOK_URL"
        secret_env = ["HOOK_SECRET", "OTHER_SECRET"]
        filter = { provider = "latitude", state = ["running", "!deleted"] }
        kinds = ["removed", "missing"]
        sources = ["main"]
        timeout = "3s"
        give_up_after = "2h"
        max_attempts = 7
        max_in_flight = 1
        max_pending = 50

        [[webhooks]]
        name = "off"
        enabled = false
        url = "https://hooks.example/clusters"
        secret_env = "NOT_YET"
        "#,
        true,
    );
    assert!(mistakes.is_empty(), "{mistakes:?}");
    let [ops, all] = webhooks.as_slice() else {
        panic!("{webhooks:?}");
    };
    assert_eq!(ops.filter, "");
    assert_eq!((ops.secrets.len(), &ops.sources), (1, &None));
    assert_eq!(ops.give_up_after, Settings::GIVE_UP_AFTER);
    assert_eq!(
        all.filter,
        "provider=latitude&state=running&state=%21deleted&kind=removed&kind=missing"
    );
    assert_eq!(all.secrets.len(), 2);
    assert_eq!(all.timeout, 3 * SECOND);
    assert_eq!(all.give_up_after, 2 * HOUR);
    assert_eq!(
        (all.max_attempts, all.max_in_flight, all.max_pending),
        (Some(7), 1, 50)
    );
    assert!(!format!("{webhooks:?}").contains("C4NARY"));
}

#[test]
fn every_mistake_is_told_at_once_and_no_secret_is_shown() {
    let (webhooks, mistakes) = read(
        r#"
        [[webhooks]]
        url = "http://user:C4NARY@hooks.example/"
        secret = "C4NARY"

        [[webhooks]]
        name = "Ops"
        url = "http://hooks.example/C4NARY"
        secret_env = "BAD_SECRET"

        [[webhooks]]
        name = "ops"
        url = "https://169.254.169.254/C4NARY"
        allow_private = true
        secret_env = ["HOOK_SECRET", "OTHER_SECRET", "THIRD_SECRET"]
        filter = 7
        timeout = "1h"
        max_attempts = 0
        retries = 3

        [[webhooks]]
        name = "ops"
        url = "https://10.0.0.1/C4NARY"
        url_env = "HOOK_URL"
        secret_file = "/there/is/none"
        sources = ["No name"]

        [[webhooks]]
        name = "last"
        url = "https://10.0.0.1/C4NARY"
        secret_env = "EMPTY_ONE"

        [[webhooks]]
        name = "elsewhere"
        url = "https://hooks.example/"
        secret_env = "HOOK_SECRET"
        sources = ["main", "other"]
        "#,
        false,
    );
    assert_eq!(webhooks.len(), 1);
    assert!(!mistakes.join("\n").contains("C4NARY"), "{mistakes:#?}");
    insta::assert_snapshot!(mistakes.join("\n"));
}
