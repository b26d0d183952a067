//! One `[[sources]]` table.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use toml::{Table, Value};
use url::Url;

use super::connect::{settings_mistakes, stack_mistake};
use super::env::Strings;
use super::mistake::nearest;
use super::raw::Section;
use super::{Mistake, Schedule, SourceConfig, quantity};
use crate::domain::SourceName;
use crate::provider::Entry;
use crate::upstream::{Credential, Scheme, Stack, StackSettings, TokenSource};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);

/// What resolving a source needs besides its table.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    /// Variables.
    pub(super) strings: &'a dyn Strings,
    /// Providers.
    pub(super) catalog: &'static [Entry],
    /// Where relative file names begin: the folder of the configuration file.
    pub(super) folder: &'a Path,
}

/// A source as far as it could be read.
pub(super) struct Resolved {
    /// How mistakes name it.
    pub(super) path: String,
    /// Its name, when it is usable.
    pub(super) name: Option<SourceName>,
    /// Whether it is to be read.
    pub(super) enabled: bool,
    /// All of it; `None` when anything is wrong with it, or when it is switched off.
    pub(super) config: Option<SourceConfig>,
}

/// Reads one source; whatever is wrong with it goes to `mistakes`. A name that other sources have as well does not say which
/// one is meant: its number and provider do.
pub(super) fn resolve(
    index: usize,
    table: Table,
    is_name_shared: bool,
    context: Context<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Resolved {
    let before = mistakes.len();
    let mut path = format!("sources[{index}]");
    let provider = provider(&table, context.catalog);
    let mut section = Section::new(path.clone(), table, mistakes);
    let name = name(&mut section);
    if let Some(name) = &name {
        path = match provider {
            _ if !is_name_shared => format!("sources[{name}]"),
            Some(entry) => format!("{path} \"{name}\" ({})", entry.kind),
            None => format!("{path} \"{name}\""),
        };
        section.rename(path.clone());
    }
    let enabled = section.flag("enabled").unwrap_or(true);
    let entry = entry(&mut section, context.catalog);
    let token = token(&mut section, entry, context, enabled);
    let scheme = section.word("auth", &[("bearer", Scheme::Bearer), ("raw", Scheme::Raw)]);
    let base_url = base_url(&mut section, entry);
    let schedule = schedule(&mut section);
    let stack = stack(&mut section, base_url.clone(), entry, context.folder)
        .probed_every(schedule.refresh_interval);
    let Some(entry) = entry else {
        // Without a provider nobody can tell its own keys from misspelt ones.
        return Resolved {
            path,
            name,
            enabled,
            config: None,
        };
    };
    let credential = Credential {
        token: Arc::new(token.unwrap_or_else(|| TokenSource::Value(SecretString::from("unset")))),
        scheme: scheme.unwrap_or(entry.scheme),
    };
    let (settings, common) = section.into_rest();
    let way = way(&path, entry, &stack, &credential, mistakes);
    if let Some(way) = way {
        let probe = name.clone().unwrap_or_else(placeholder_name);
        mistakes.extend(settings_mistakes(
            &path, entry, &probe, &settings, &way, &common,
        ));
    }
    let clean = mistakes.len() == before;
    let config = name
        .clone()
        .filter(|_| clean && enabled)
        .map(|name| SourceConfig {
            name,
            entry,
            stack,
            credential,
            settings,
            schedule,
        });
    Resolved {
        path,
        name,
        enabled,
        config,
    }
}

/// A stack with which the provider's own keys can be checked, although something else of the source may be wrong.
fn way(
    path: &str,
    entry: &Entry,
    settings: &StackSettings,
    credential: &Credential,
    mistakes: &mut Vec<Mistake>,
) -> Option<Stack> {
    // A stack names one mistake at a time, so what it may have named is replaced step by step.
    let elsewhere = StackSettings {
        base_url: placeholder().base_url,
        ..settings.clone()
    };
    for attempt in [settings.clone(), elsewhere, placeholder()] {
        match Stack::connect(attempt, credential.clone(), entry.dialect) {
            Ok(stack) => return Some(stack),
            Err(error) => {
                let mistake = stack_mistake(path, &error);
                if !mistakes.contains(&mistake) {
                    mistakes.push(mistake);
                }
            }
        }
    }
    None
}

fn name(section: &mut Section<'_>) -> Option<SourceName> {
    let missing = "is missing: a short name of your own, such as name = \"main\"";
    match section.take("name") {
        Some(Value::String(text)) => SourceName::new(text)
            .map_err(|_| {
                section.reject(
                    "name",
                    "must be 1 to 63 lower-case letters, digits and inner hyphens",
                );
            })
            .ok(),
        Some(_) => {
            section.reject("name", "must be a text in quotes");
            None
        }
        None => {
            section.reject("name", missing);
            None
        }
    }
}

/// The provider that a table names, where there is one of this name.
fn provider(table: &Table, catalog: &'static [Entry]) -> Option<&'static Entry> {
    let text = table.get("provider")?.as_str()?;
    catalog.iter().find(|entry| entry.kind.as_str() == text)
}

fn entry(section: &mut Section<'_>, catalog: &'static [Entry]) -> Option<&'static Entry> {
    let known: Vec<&'static str> = catalog.iter().map(|entry| entry.kind.as_str()).collect();
    let all = known.join(", ");
    let reason = match section.take("provider") {
        Some(Value::String(text)) => {
            let found = catalog.iter().find(|entry| entry.kind.as_str() == text);
            if found.is_some() {
                return found;
            }
            match nearest(&text, known.iter().copied()) {
                Some(meant) => format!("unknown provider; did you mean {meant}? Known are {all}"),
                None => format!("unknown provider; known are {all}"),
            }
        }
        Some(_) => format!("must be a text in quotes: one of {all}"),
        None => format!("is missing: one of {all}"),
    };
    section.reject("provider", reason);
    None
}

fn token(
    section: &mut Section<'_>,
    entry: Option<&'static Entry>,
    context: Context<'_>,
    enabled: bool,
) -> Option<TokenSource> {
    for key in ["token", "api_key", "api_token", "access_token"] {
        if section.take(key).is_some() {
            section.reject(
                key,
                "a token is never written in the file: name the variable that holds it with token_env, or the file with token_file",
            );
        }
    }
    let had = section.mistakes();
    let variable = section.text("token_env");
    let file = section.text("token_file");
    if section.mistakes() > had {
        return None;
    }
    match (variable, file) {
        (Some(_), Some(_)) => {
            section.reject("token_env", "give either token_env or token_file, not both");
            None
        }
        (None, Some(file)) => Some(TokenSource::File(context.folder.join(file))),
        // A source that is switched off may wait for its token.
        (Some(_), None) if !enabled => None,
        (Some(variable), None) => match context.strings.get(&variable) {
            Some(value) if !value.trim().is_empty() => {
                Some(TokenSource::Value(SecretString::from(value.trim())))
            }
            value => {
                section.reject("token_env", unset(&variable, value.is_some(), "token"));
                None
            }
        },
        (None, None) => {
            let usual = entry
                .and_then(|entry| entry.environment.token.first())
                .map_or(String::new(), |usual| {
                    format!(", such as token_env = \"{usual}\"")
                });
            section.reject(
                "token_env",
                format!("is missing: name the variable that holds the token{usual}, or a file with token_file"),
            );
            None
        }
    }
}

/// What to say of a variable that does not hold what it should. It is named only if it looks like a variable's name: people paste
/// tokens here.
pub(super) fn unset(variable: &str, is_set: bool, held: &str) -> String {
    let shaped = variable.len() <= 64
        && variable.contains('_')
        && variable
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    match (shaped, is_set) {
        (true, true) => format!("the variable {variable} is set but empty"),
        (true, false) => format!("the variable {variable} is not set"),
        (false, true) => "the variable that it names is set but empty".to_owned(),
        (false, false) => {
            format!(
                "there is no variable of this name; it takes the name of a variable, not the {held} itself"
            )
        }
    }
}

fn base_url(section: &mut Section<'_>, entry: Option<&'static Entry>) -> Option<Url> {
    let wrong = "must be an absolute URL with a host and without user, query or fragment, such as https://api.example.com";
    let had = section.mistakes();
    let text = match (
        section.text("base_url"),
        entry.and_then(|entry| entry.base_url),
    ) {
        (Some(text), _) => text,
        (None, Some(vendor)) => vendor.to_owned(),
        (None, None) => {
            if section.mistakes() == had
                && let Some(entry) = entry
            {
                section.reject(
                    "base_url",
                    format!(
                        "is missing: {} has an own address for every customer",
                        entry.title
                    ),
                );
            }
            return None;
        }
    };
    let url = Url::parse(&text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        section.reject("base_url", wrong);
    }
    url
}

fn schedule(section: &mut Section<'_>) -> Schedule {
    let mut schedule = Schedule::default();
    if let Some(interval) = section.duration("refresh_interval", SECOND..=7 * DAY) {
        schedule = Schedule::every(interval);
    }
    if let Some(deadline) = section.duration("refresh_deadline", SECOND..=DAY) {
        schedule.refresh_deadline = deadline;
    }
    if let Some(limit) = section.duration("staleness_limit", SECOND..=90 * DAY) {
        if limit < schedule.refresh_interval {
            let interval = quantity::spell(schedule.refresh_interval);
            section.reject(
                "staleness_limit",
                format!("must not be shorter than refresh_interval ({interval}): every cluster would always be stale"),
            );
        }
        schedule.staleness_limit = limit;
    }
    if let Some(details) = section.flag("details") {
        schedule.details = details;
    }
    if let Some(pages) = section.count("max_pages", 1..=1_000_000) {
        schedule.max_pages = u32::try_from(pages).unwrap_or(u32::MAX);
    }
    if let Some(clusters) = section.count("max_clusters", 1..=10_000_000) {
        schedule.max_clusters = usize::try_from(clusters).unwrap_or(usize::MAX);
    }
    schedule
}

fn stack(
    section: &mut Section<'_>,
    base_url: Option<Url>,
    entry: Option<&'static Entry>,
    folder: &Path,
) -> StackSettings {
    let mut settings = StackSettings {
        rate: entry.map(|entry| entry.rate),
        ..base_url.map_or_else(placeholder, StackSettings::new)
    };
    if let Some(timeout) = section.duration("connect_timeout", SECOND..=60 * SECOND) {
        settings.connect_timeout = timeout;
    }
    if let Some(timeout) = section.duration("attempt_timeout", SECOND..=600 * SECOND) {
        settings.attempt_timeout = timeout;
    }
    if let Some(calls) = section.count("max_in_flight", 1..=8) {
        settings.max_in_flight = usize::try_from(calls).unwrap_or(1);
    }
    if let Some(bytes) = section.size("max_body_bytes", 1 << 10..=1 << 30) {
        settings.max_body_bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    }
    if let Some(text) = section.text("rate") {
        match quantity::rate(&text) {
            Ok(rate) => settings.rate = Some(rate),
            Err(reason) => section.reject("rate", reason),
        }
    }
    settings.ca_file = section.file("ca_file", folder);
    settings
}

fn placeholder() -> StackSettings {
    let url = Url::parse("https://localhost/").expect("a constant URL parses");
    StackSettings::new(url)
}

fn placeholder_name() -> SourceName {
    SourceName::new("unnamed").expect("a constant name is a name")
}
