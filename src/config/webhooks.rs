//! The `[[webhooks]]` tables: who is told what changes.
//!
//! What a filter means is told by the API, whose words they are; here it is a query that nobody has read yet.

use std::collections::BTreeSet;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use toml::{Table, Value};

use super::Mistake;
use super::raw::Section;
use super::source::{Context, unset};
use crate::domain::SourceName;
use crate::hooks::{HookName, SecretSource, Settings, Target};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
/// Secrets of one webhook, at most: two while they are changed.
const SECRETS: usize = 2;
/// Webhooks at most: each has its own task and its own connections.
const MOST: usize = 100;

const HOW: &str = "name the variable that holds it with secret_env, or the file with secret_file";

/// Takes the tables out of the file.
pub(super) fn written(root: &mut Section<'_>) -> Vec<(usize, Table)> {
    let wrong = "must be a list of tables: write [[webhooks]] before each webhook";
    let rows = match root.take("webhooks") {
        None => return Vec::new(),
        Some(Value::Array(rows)) => rows,
        Some(_) => {
            root.reject("webhooks", wrong);
            return Vec::new();
        }
    };
    if rows.len() > MOST {
        root.reject("webhooks", format!("must be {MOST} at most"));
    }
    let mut tables = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        match row {
            Value::Table(table) => tables.push((index, table)),
            _ => root.reject(&format!("webhooks[{index}]"), wrong),
        }
    }
    tables
}

/// Reads the tables; whatever is wrong with them goes to `mistakes`.
pub(super) fn resolve(
    tables: Vec<(usize, Table)>,
    has_store: bool,
    context: Context<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Settings> {
    if !tables.is_empty() && !has_store {
        mistakes.push(Mistake::new(
            "webhooks",
            "need a store, in which events wait until they are delivered: set data_dir or url in [store], and not enabled = false",
        ));
    }
    let mut webhooks: Vec<Settings> = Vec::new();
    let mut names = BTreeSet::new();
    for (index, table) in tables {
        let mut section = Section::new(format!("webhooks[{index}]"), table, mistakes);
        let (name, settings) = webhook(&mut section, context);
        if let Some(name) = name
            && !names.insert(name)
        {
            section.reject("name", "must be unique: another webhook has the same");
        }
        section.finish();
        webhooks.extend(settings);
    }
    webhooks
}

/// Names of sources that there are not.
pub(super) fn check_sources(
    webhooks: &[Settings],
    known: &BTreeSet<&SourceName>,
    mistakes: &mut Vec<Mistake>,
) {
    for webhook in webhooks {
        let unknown = webhook.sources.iter().flatten();
        for name in unknown.filter(|name| !known.contains(name)) {
            mistakes.push(Mistake::new(
                format!("webhooks[{}].sources", webhook.name),
                format!("no source is named {name}"),
            ));
        }
    }
}

fn webhook(
    section: &mut Section<'_>,
    context: Context<'_>,
) -> (Option<HookName>, Option<Settings>) {
    let had = section.mistakes();
    let name = name(section);
    if let Some(name) = &name {
        section.rename(format!("webhooks[{name}]"));
    }
    let enabled = section.flag("enabled").unwrap_or(true);
    let allow_private = section.flag("allow_private").unwrap_or(false);
    let target = target(section, allow_private, context);
    let secrets = secrets(section, context, enabled);
    let filter = filter(section);
    let sources = sources(section);
    let mut settings = None;
    if let (Some(name), Some(target), [secret, others @ ..]) = (&name, target, secrets.as_slice()) {
        let mut one = Settings::new(name.clone(), target, secret.clone());
        one.secrets.extend(others.iter().cloned());
        one.filter = filter;
        one.sources = sources;
        settings = Some(one);
    }
    let timeout = section.duration("timeout", SECOND..=60 * SECOND);
    let give_up_after = section.duration("give_up_after", 60 * SECOND..=30 * 24 * HOUR);
    let max_attempts = section.count("max_attempts", 1..=1_000);
    let max_in_flight = section.count("max_in_flight", 1..=64);
    let max_pending = section.count("max_pending", 10..=1_000_000);
    let ca_file = section.file("ca_file", context.folder);
    if section.mistakes() > had || !enabled {
        return (name, None);
    }
    let settings = settings.map(|one| Settings {
        timeout: timeout.unwrap_or(one.timeout),
        give_up_after: give_up_after.unwrap_or(one.give_up_after),
        max_attempts: max_attempts.and_then(|most| u32::try_from(most).ok()),
        max_in_flight: max_in_flight
            .and_then(|most| usize::try_from(most).ok())
            .unwrap_or(one.max_in_flight),
        max_pending: max_pending.unwrap_or(one.max_pending),
        ca_file,
        ..one
    });
    (name, settings)
}

fn name(section: &mut Section<'_>) -> Option<HookName> {
    let missing = "is missing: a short name of your own, such as name = \"ops\"";
    let had = section.mistakes();
    let text = section.required("name", missing);
    let name = HookName::new(&text);
    if name.is_none() && section.mistakes() == had {
        section.reject(
            "name",
            "must be 1 to 63 lower-case letters, digits and inner hyphens",
        );
    }
    name
}

/// Where events are sent. No message shows it: there may be a secret in it.
fn target(section: &mut Section<'_>, allow_private: bool, context: Context<'_>) -> Option<Target> {
    let had = section.mistakes();
    let (key, text) = match (section.text("url"), section.text("url_env")) {
        _ if section.mistakes() > had => return None,
        (Some(url), None) => ("url", url),
        (None, Some(variable)) => match context.strings.get(&variable) {
            Some(value) if !value.trim().is_empty() => ("url_env", value.trim().to_owned()),
            value => {
                section.reject("url_env", unset(&variable, value.is_some(), "URL"));
                return None;
            }
        },
        (Some(_), Some(_)) => {
            section.reject("url", "give either url or url_env, not both");
            return None;
        }
        (None, None) => {
            section.reject(
                "url",
                "is missing: where events are sent, such as https://hooks.example.com/clusters, or url_env where it holds a secret",
            );
            return None;
        }
    };
    let target = Target::new(&text, allow_private);
    target
        .map_err(|error| section.reject(key, error.to_string()))
        .ok()
}

fn secrets(section: &mut Section<'_>, context: Context<'_>, enabled: bool) -> Vec<SecretSource> {
    for key in ["secret", "secrets", "token"] {
        // Not among the keys that are named as known ones.
        if section.has(key) && section.take(key).is_some() {
            section.reject(key, format!("a secret is never written in the file: {HOW}"));
        }
    }
    let had = section.mistakes();
    let variables = section.texts("secret_env").unwrap_or_default();
    let files = section.texts("secret_file").unwrap_or_default();
    let mut found = Vec::new();
    match variables.len() + files.len() {
        _ if section.mistakes() > had => {}
        0 => section.reject("secret_env", format!("is missing: {HOW}")),
        count if count > SECRETS => section.reject(
            "secret_env",
            "must be one secret, or two while they are changed",
        ),
        // A webhook that is switched off may wait for its secret.
        _ if !enabled => {}
        _ => {
            for variable in variables {
                match context.strings.get(&variable) {
                    Some(value) if !value.trim().is_empty() => {
                        let source = SecretSource::Value(value.trim().into());
                        found.extend(usable(section, "secret_env", source));
                    }
                    value => {
                        let reason = unset(&variable, value.is_some(), "secret");
                        section.reject("secret_env", reason);
                    }
                }
            }
            for file in files {
                let source = SecretSource::File(context.folder.join(file));
                found.extend(usable(section, "secret_file", source));
            }
        }
    }
    found
}

fn usable(section: &mut Section<'_>, key: &str, source: SecretSource) -> Option<SecretSource> {
    match source.key() {
        Ok(_) => Some(source),
        Err(reason) => {
            section.reject(key, reason);
            None
        }
    }
}

/// The filter and the kinds as the query of `GET /changes` says them.
fn filter(section: &mut Section<'_>) -> String {
    let mut pairs: Vec<String> = Vec::new();
    let escape = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    match section.take("filter") {
        None => {}
        Some(Value::String(text)) => {
            let text = text.trim().trim_start_matches('?');
            pairs.extend((!text.is_empty()).then(|| text.to_owned()));
        }
        Some(Value::Table(table)) => {
            for (word, value) in table {
                match texts(&value) {
                    Some(values) => pairs.extend(
                        (values.iter()).map(|value| format!("{}={}", escape(&word), escape(value))),
                    ),
                    None => section.reject(
                        "filter",
                        "must have texts, or lists of texts, as its values",
                    ),
                }
            }
        }
        Some(_) => section.reject(
            "filter",
            "must be a query such as \"provider=latitude&state=running\", or a table of the same words",
        ),
    }
    for kind in section.texts("kinds").unwrap_or_default() {
        pairs.push(format!("kind={}", escape(&kind)));
    }
    pairs.join("&")
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Boolean(flag) => Some(vec![flag.to_string()]),
        Value::Array(values) => {
            let texts = values.iter().map(|value| value.as_str().map(str::to_owned));
            texts.collect()
        }
        _ => None,
    }
}

fn sources(section: &mut Section<'_>) -> Option<BTreeSet<SourceName>> {
    let names = section.texts("sources")?;
    let mut sources = BTreeSet::new();
    for name in names {
        match SourceName::new(name) {
            Ok(name) => drop(sources.insert(name)),
            Err(_) => section.reject(
                "sources",
                "must be names of sources: lower-case letters, digits and inner hyphens",
            ),
        }
    }
    Some(sources)
}

#[cfg(test)]
mod tests {
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
}
