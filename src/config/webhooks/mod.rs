//! The `[[webhooks]]` tables: who is told what changes.
//!
//! What a filter means is told by the API, whose words they are; here it is a query that nobody has read yet.

mod choice;
mod target;

use std::collections::BTreeSet;
use std::time::Duration;

use toml::{Table, Value};

use super::Mistake;
use super::raw::Section;
use super::source::Context;
use crate::domain::SourceName;
use crate::hooks::{HookName, Settings};
use choice::{filter, sources};
use target::{secrets, target};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
/// Webhooks at most: each has its own task and its own connections.
const MOST: usize = 100;

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

#[cfg(test)]
mod tests;
