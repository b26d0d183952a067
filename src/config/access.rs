//! The `[access]` table: where keys are kept, whose tokens are taken, where the audit goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};
use url::Url;

use super::env::Strings;
use super::raw::{Section, printable};
use super::resolve::{Overrides, read, syntax};
use super::source::Context;
use super::{Mistake, Mistakes};
use crate::access::audit::Destination;
use crate::access::{
    Algorithm, IssuerSettings, KeysFile, Scopes, Settings, UnknownScope, may_be_asked,
};
use crate::domain::SourceName;
use crate::store;

/// The file's name in the folder of data.
const KEYS_FILE: &str = "keys.json";

/// What was found, and whether access control is wanted, although it may be wrongly configured.
pub(super) struct Resolved {
    pub(super) settings: Settings,
    pub(super) is_wanted: bool,
}

/// Reads the table; whatever is wrong with it goes to `mistakes`.
pub(super) fn resolve(
    table: Table,
    overrides: &Overrides,
    context: Context<'_>,
    mistakes: &mut Vec<Mistake>,
) -> Resolved {
    let mut section = Section::new("access", table, mistakes);
    let named = (overrides.keys_file.clone()).or(section
        .text("keys_file")
        .map(|file| context.folder.join(file)));
    let keys_in_store = in_store(&mut section, named.is_some());
    let audit = section.text("audit").map(|text| match text.as_str() {
        "stdout" => Destination::Stdout,
        "store" => Destination::Store,
        file => Destination::File(context.folder.join(file)),
    });
    let audit_required = section.flag("audit_required").unwrap_or(false);
    if audit_required && audit.is_none() && !section.was_rejected("audit") {
        section.reject(
            "audit_required",
            "needs an audit: say where it goes with access.audit",
        );
    }
    if !overrides.reads_only
        && let Some(destination) = &audit
        && let Err(error) = destination.check()
    {
        section.reject("audit", format!("cannot be written: {error}"));
    }
    let issuers = issuers_written(&mut section);
    let keys_file = named
        .or_else(|| default_keys_file(context.strings).filter(|file| exists(file)))
        .filter(|_| !keys_in_store);
    let is_wanted =
        keys_in_store || keys_file.is_some() || issuers.as_ref().is_some_and(|all| !all.is_empty());
    // Where nothing is served, the file may be another user's.
    if !overrides.reads_only
        && let Some(file) = &keys_file
        && let Err(error) = KeysFile::at(file).check()
    {
        section.reject("keys_file", format!("{}: {error}", file.display()));
    }
    section.finish();
    let mut settings = Settings {
        keys_file,
        keys_in_store,
        issuers: Vec::new(),
        audit,
        audit_required,
    };
    for (index, table) in issuers.unwrap_or_default() {
        let found = issuer(index, table, context, mistakes);
        let is_repeated = |known: &IssuerSettings| known.issuer == found.issuer;
        if !found.issuer.is_empty() && settings.issuers.iter().any(is_repeated) {
            mistakes.push(Mistake::new(
                format!("access.issuers[{index}].issuer"),
                "must be unique: give one table all its audiences",
            ));
        }
        settings.issuers.push(found);
    }
    if overrides.reads_only {
        settings = Settings::default();
    }
    Resolved {
        settings,
        is_wanted,
    }
}

/// Whether keys are in the store.
fn in_store(section: &mut Section<'_>, has_file: bool) -> bool {
    let Some(place) = section.text("keys") else {
        return false;
    };
    match place.as_str() {
        "store" if has_file => {
            section.reject(
                "keys",
                "keys are in the store or in a file: leave keys_file out",
            );
        }
        "store" | "file" => {}
        _ => section.reject("keys", "must be \"store\" or \"file\""),
    }
    place == "store"
}

/// Says which names of sources are of none.
pub(super) fn check_sources(
    settings: &Settings,
    known: &BTreeSet<&SourceName>,
    mistakes: &mut Vec<Mistake>,
) {
    for (index, issuer) in settings.issuers.iter().enumerate() {
        let unknown = issuer.sources.iter().flatten();
        for name in unknown.filter(|name| !known.contains(name)) {
            mistakes.push(Mistake::new(
                format!("access.issuers[{index}].sources"),
                format!("no source is called {name}"),
            ));
        }
    }
}

/// Where keys are kept.
#[derive(Debug, Clone)]
pub enum KeysPlace {
    /// In a file.
    File(PathBuf),
    /// In a store.
    Store(Box<store::Settings>),
}

/// Where keys are kept: as told, else as the configuration says, which may name the store, else in the folder of data.
pub fn keys_place(
    told: Option<&Path>,
    config: Option<&Path>,
    strings: &dyn Strings,
) -> Result<KeysPlace, Mistakes> {
    if let (None, Some(path)) = (told, config) {
        let one = |key: String, reason: String| Mistakes(vec![Mistake::new(key, reason)]);
        let shown = path.display().to_string();
        let text = read(path).map_err(|error| one(shown, format!("cannot be read: {error}")))?;
        let table: Table = text.parse().map_err(|_| Mistakes(syntax(&text)))?;
        let of = |name: &str| table.get(name).and_then(Value::as_table).cloned();
        let keys = of("access").and_then(|access| access.get("keys").cloned());
        if keys.as_ref().and_then(Value::as_str) == Some("store") {
            let context = Context {
                strings,
                catalog: &[],
                folder: path.parent().unwrap_or(Path::new("")),
            };
            let mut mistakes = Vec::new();
            let settings =
                super::store::resolve(of("store").unwrap_or_default(), context, &mut mistakes);
            return match settings {
                Some(settings) if mistakes.is_empty() => Ok(KeysPlace::Store(Box::new(settings))),
                Some(_) => Err(Mistakes(mistakes)),
                None => Err(no_store()),
            };
        }
    }
    keys_file(told, config, strings).map(KeysPlace::File)
}

fn no_store() -> Mistakes {
    Mistakes(vec![without_store("access.keys")])
}

fn without_store(key: &str) -> Mistake {
    Mistake::new(key, "is \"store\", and there is no store: see [store]")
}

/// Says what is to be in the store where there is none.
pub(super) fn check_store(settings: &Settings, mistakes: &mut Vec<Mistake>) {
    if settings.keys_in_store {
        mistakes.push(without_store("access.keys"));
    }
    if settings.audit == Some(Destination::Store) {
        mistakes.push(without_store("access.audit"));
    }
}

/// Where keys are kept: as told, else as the configuration says, else in the folder of data.
pub fn keys_file(
    told: Option<&Path>,
    config: Option<&Path>,
    strings: &dyn Strings,
) -> Result<PathBuf, Mistakes> {
    if let Some(file) = told {
        return Ok(file.to_owned());
    }
    if let Some(path) = config {
        let shown = path.display().to_string();
        let one = |key: String, reason: String| Mistakes(vec![Mistake::new(key, reason)]);
        let text = read(path).map_err(|error| one(shown, format!("cannot be read: {error}")))?;
        let table: Table = text.parse().map_err(|_| Mistakes(syntax(&text)))?;
        let access = table.get("access").and_then(Value::as_table);
        match access.and_then(|access| access.get("keys_file")) {
            Some(Value::String(file)) if !file.trim().is_empty() => {
                let folder = path.parent().unwrap_or(Path::new(""));
                return Ok(folder.join(file.trim()));
            }
            Some(_) => {
                let reason = "must be a text in quotes that is not empty".to_owned();
                return Err(one("access.keys_file".to_owned(), reason));
            }
            None => {}
        }
    }
    default_keys_file(strings).ok_or_else(|| {
        Mistakes(vec![Mistake::new(
            "access.keys_file",
            "is not set, and there is no folder for data: name the file with --keys-file or CLUSTERGATE_KEYS_FILE",
        )])
    })
}

/// Where keys are kept unless configured; `None` where there is no folder for data.
fn default_keys_file(strings: &dyn Strings) -> Option<PathBuf> {
    let folder = |key: &str| {
        let value = strings.get(key)?;
        // The service manager may name several, with colons between them.
        let first = PathBuf::from(value.split(':').next()?);
        first.is_absolute().then_some(first)
    };
    let folder = folder("STATE_DIRECTORY")
        .or_else(|| folder("XDG_DATA_HOME").map(|data| data.join("clustergate")))
        .or_else(|| folder("HOME").map(|home| home.join(".local/share/clustergate")))?;
    Some(folder.join(KEYS_FILE))
}

/// Whether there is something, even if it cannot be looked at: a file that is out of reach is no reason to be open.
fn exists(file: &Path) -> bool {
    match std::fs::metadata(file) {
        Ok(_) => true,
        Err(error) => !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

fn issuers_written(section: &mut Section<'_>) -> Option<Vec<(usize, Table)>> {
    let wrong = "must be a list of tables: write [[access.issuers]] before each issuer";
    let Value::Array(rows) = section.take("issuers")? else {
        section.reject("issuers", wrong);
        return Some(Vec::new());
    };
    let mut tables = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        match row {
            Value::Table(table) => tables.push((index, table)),
            _ => section.reject(&format!("issuers[{index}]"), wrong),
        }
    }
    Some(tables)
}

fn issuer(
    index: usize,
    table: Table,
    context: Context<'_>,
    mistakes: &mut Vec<Mistake>,
) -> IssuerSettings {
    const ADDRESS: &str = "must be an https:// address without user and fragment (plain http is allowed to this machine only, since whoever changes keys on the way lets everybody in)";

    let mut section = Section::new(format!("access.issuers[{index}]"), table, mistakes);
    let issuer = section.required(
        "issuer",
        "is missing: the address that tokens name as `iss`, exactly",
    );
    let is_issuer = |text: &str| address(text).is_some_and(|url| url.query().is_none());
    if !issuer.is_empty() && !is_issuer(&issuer) {
        section.reject("issuer", ADDRESS);
    }
    let mut settings = IssuerSettings::new(issuer, "");
    settings.audience = section.texts("audience").unwrap_or_default();
    if settings.audience.is_empty() && !section.was_rejected("audience") {
        section.reject(
            "audience",
            "is missing: without it tokens for any other program of the issuer would open this one",
        );
    }
    if let Some(text) = section.text("jwks_uri") {
        settings.jwks_uri = address(&text);
        if settings.jwks_uri.is_none() {
            section.reject("jwks_uri", ADDRESS);
        }
    }
    settings.ca_file = section.file("ca_file", context.folder);
    if let Some(names) = section.texts("algorithms") {
        match names.iter().map(|name| name.parse()).collect() {
            Ok(algorithms) => settings.algorithms = algorithms,
            Err(()) => section.reject("algorithms", algorithms_known()),
        }
    }
    if let Some(leeway) = section.duration("leeway", Duration::ZERO..=Duration::from_mins(5)) {
        settings.leeway = leeway;
    }
    if let Some(claim) = section.text("scope_claim") {
        settings.scope_claim = claim;
    }
    if let Some(names) = section.texts("scopes") {
        match scopes(&names) {
            Ok(scopes) => settings.scopes = scopes,
            Err(error) => section.reject("scopes", format!("each {error}")),
        }
    }
    settings.scopes_map = scopes_map(&mut section);
    settings.sources_claim = section.text("sources_claim");
    settings.projects_claim = section.text("projects_claim");
    settings.projects = section.texts("projects").map(BTreeSet::from_iter);
    if let Some(names) = section.texts("sources") {
        match names.into_iter().map(SourceName::new).collect() {
            Ok(names) => settings.sources = Some(names),
            Err(_) => section.reject("sources", "must be names of sources"),
        }
    }
    section.finish();
    settings
}

fn address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (may_be_asked(&url) && url.fragment().is_none()).then_some(url)
}

fn scopes(names: &[String]) -> Result<Scopes, UnknownScope> {
    names.iter().map(|name| name.parse()).collect()
}

fn scopes_map(section: &mut Section<'_>) -> BTreeMap<String, Scopes> {
    let mut map = BTreeMap::new();
    for (value, names) in section.table("scopes_map") {
        let key = format!("scopes_map.{}", printable(&value));
        let names: Option<Vec<String>> = names.as_array().and_then(|names| {
            let texts = names.iter().map(|name| name.as_str().map(str::to_owned));
            texts.collect()
        });
        match names.map(|names| scopes(&names)) {
            Some(Ok(scopes)) => {
                map.insert(value, scopes);
            }
            Some(Err(error)) => section.reject(&key, format!("each {error}")),
            None => section.reject(&key, "must be a list of scopes in quotes"),
        }
    }
    map
}

fn algorithms_known() -> String {
    let names = Algorithm::ALL.map(Algorithm::as_str);
    format!(
        "each must be one of {}: what needs a shared secret, or nothing, is never taken",
        names.join(", ")
    )
}
